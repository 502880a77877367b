//! The rules of the state machine, one by one; all of them at once, against a model, in `model`.

use super::*;
use crate::maildrop::{Folder, NewMessage, Octets};

mod model;

/// Terms of a client that may do anything.
const FREE: Terms = Terms { tls_offered: true, tls_active: false, plaintext_login: true };
/// Terms of a client that must begin TLS first.
const STRICT: Terms = Terms { tls_offered: true, tls_active: false, plaintext_login: false };

/// Message n has n * 100 octets.
fn maildrop(messages: u32) -> Arc<Maildrop> {
    let mut drop = Maildrop::default();
    for n in 1..=messages {
        let name = format!("{n}.base:2,");
        let octets = Octets::hearsay(u64::from(n) * 100);
        let (name, base_len) = (name.as_bytes(), name.len() as u8 - 3);
        drop.push(NewMessage { name, base_len, folder: Folder::Cur, inode: n.into(), octets, unique_id: None })
            .unwrap();
    }
    Arc::new(drop)
}

fn wire(reply: &Reply) -> String {
    let mut out = vec![];
    reply.encode(&mut out);
    String::from_utf8(out).unwrap()
}

/// What a reply says, and a word for the effects that are none.
fn say(session: &mut Session, line: &str) -> String {
    match session.line(Ok(line.as_bytes())) {
        Effect::Reply(reply) => wire(&reply),
        Effect::Close(reply) => format!("close {}", wire(&reply)),
        Effect::StartTls(reply) => format!("tls {}", wire(&reply)),
        other => format!("{other:?}"),
    }
}

fn logged_in(terms: Terms, messages: u32) -> Session {
    let mut session = Session::new(terms);
    assert!(say(&mut session, "USER ada").starts_with("+OK"));
    assert!(matches!(session.line(Ok(b"PASS x")), Effect::LogIn { .. }));
    let Effect::Reply(reply) = session.logged_in(Ok(maildrop(messages))) else { panic!("no reply") };
    assert_eq!(wire(&reply), format!("+OK {messages} messages\r\n"));
    session
}

fn capabilities(session: &mut Session) -> Vec<String> {
    let text = say(session, "capa");
    assert!(text.starts_with("+OK") && text.ends_with("\r\n.\r\n"), "{text}");
    text.lines().skip(1).filter(|line| *line != ".").map(str::to_owned).collect()
}

#[test]
fn greeting_announces_no_apop() {
    let greeting = wire(&Session::new(FREE).greeting());
    assert!(greeting.starts_with("+OK ") && !greeting.contains(['<', '>']), "{greeting}");
    assert_ne!(greeting, "+OK POP3 Server Ready\r\n");
}

#[test]
fn capabilities_are_the_same_before_and_after_login_but_for_sasl_and_stls() {
    let mut before = capabilities(&mut Session::new(FREE));
    let after = capabilities(&mut logged_in(FREE, 1));
    for name in ["TOP", "UIDL", "USER", "RESP-CODES", "AUTH-RESP-CODE", "PIPELINING", "UTF8", "LANG"] {
        assert!(before.iter().any(|line| line == name), "{name}");
    }
    assert!(before.iter().any(|line| line == "STLS") && before.iter().any(|line| line == "SASL PLAIN LOGIN"));
    before.retain(|line| line != "STLS" && !line.starts_with("SASL "));
    assert_eq!(before, after);
}

#[test]
fn stls_is_listed_only_where_it_can_be_had() {
    for (tls_offered, tls_active, listed) in [(true, false, true), (false, false, false), (true, true, false)] {
        let mut session = Session::new(Terms { tls_offered, tls_active, plaintext_login: true });
        assert_eq!(capabilities(&mut session).contains(&"STLS".to_owned()), listed);
    }
}

#[test]
fn clear_text_login_is_refused_in_words_and_not_listed() {
    for tls_offered in [true, false] {
        let mut session = Session::new(Terms { tls_offered, ..STRICT });
        let listed = capabilities(&mut session);
        assert!(!listed.iter().any(|line| line == "USER" || line.starts_with("SASL")), "{listed:?}");
        for line in ["USER ada", "PASS x", "AUTH", "AUTH PLAIN", "AUTH PLAIN AGFkYQB4", "AUTH GSSAPI", "USER ada"] {
            let reply = say(&mut session, line);
            assert!(reply.starts_with("-ERR ") && reply.contains("TLS"), "{line}: {reply}");
        }
        assert!(say(&mut session, "PASS x").starts_with("-ERR"));
    }
}

#[test]
fn stls_begins_tls_and_forgets_user_and_bad_commands() {
    let mut session = Session::new(FREE);
    say(&mut session, "USER ada");
    for _ in 0..4 {
        say(&mut session, "STAT");
    }
    assert!(say(&mut session, "STLS").starts_with("tls +OK"));
    session.tls_began();
    assert!(say(&mut session, "PASS x").starts_with("-ERR"), "the user was given before TLS");
    for _ in 0..3 {
        assert!(say(&mut session, "STAT").starts_with("-ERR"));
    }
    assert!(say(&mut session, "STLS").starts_with("-ERR"), "TLS is on");
    assert!(!capabilities(&mut session).contains(&"STLS".to_owned()));
}

#[test]
fn tls_makes_the_login_free() {
    let mut session = Session::new(STRICT);
    assert!(say(&mut session, "STLS").starts_with("tls"));
    session.tls_began();
    assert!(say(&mut session, "USER ada").starts_with("+OK"));
    assert!(capabilities(&mut session).contains(&"USER".to_owned()));
}

#[test]
fn stls_without_certificate_or_after_login_or_after_utf8_is_refused() {
    let mut session = Session::new(Terms { tls_offered: false, ..FREE });
    assert!(say(&mut session, "STLS").starts_with("-ERR"));
    assert!(say(&mut logged_in(FREE, 0), "STLS").starts_with("-ERR"));
    let mut session = Session::new(FREE);
    assert!(say(&mut session, "UTF8").starts_with("+OK"));
    assert!(say(&mut session, "STLS").starts_with("-ERR"));
}

#[test]
fn utf8_is_taken_in_both_states() {
    assert!(say(&mut Session::new(FREE), "utf8").starts_with("+OK"));
    assert!(say(&mut logged_in(FREE, 0), "UTF8").starts_with("+OK"));
    assert!(say(&mut Session::new(FREE), "UTF8 USER").starts_with("-ERR"));
}

#[test]
fn lang_speaks_english_and_nothing_else() {
    let mut session = Session::new(FREE);
    let list = say(&mut session, "LANG");
    assert!(list.contains("\r\nen English\r\n") && list.contains("\r\ni-default "), "{list}");
    for tag in ["en", "EN", "en-gb", "*", "i-default", "I-DEFAULT"] {
        assert!(say(&mut session, &format!("LANG {tag}")).starts_with("+OK "), "{tag}");
    }
    for tag in ["de", "eng", "e", "en-", "english"] {
        assert!(say(&mut session, &format!("LANG {tag}")).starts_with("-ERR "), "{tag}");
    }
    assert!(say(&mut logged_in(FREE, 0), "LANG en").starts_with("+OK "));
}

#[test]
fn bare_auth_lists_the_mechanisms() {
    for line in ["AUTH", "auth "] {
        assert_eq!(say(&mut Session::new(FREE), line), "+OK mechanisms\r\nPLAIN\r\nLOGIN\r\n.\r\n");
    }
}

#[test]
fn a_wrong_password_says_so_in_words_that_fetchmail_takes_right_and_the_third_closes() {
    let mut session = Session::new(FREE);
    for attempt in 1..=3 {
        assert!(say(&mut session, "USER ada").starts_with("+OK"));
        assert!(matches!(session.line(Ok(b"PASS x")), Effect::LogIn { .. }));
        let (reply, closes) = match session.logged_in(Err(Refusal::Credentials)) {
            Effect::Reply(reply) => (wire(&reply), false),
            Effect::Close(reply) => (wire(&reply), true),
            other => panic!("{other:?}"),
        };
        assert!(reply.starts_with("-ERR [AUTH] "), "{reply}");
        assert!(!reply.contains("lock") && !reply.contains("wait"), "{reply}");
        assert_eq!(closes, attempt == 3);
    }
}

#[test]
fn a_busy_or_broken_maildrop_is_no_wrong_password() {
    let mut session = Session::new(FREE);
    let refusals =
        [(Refusal::InUse, "[IN-USE]"), (Refusal::Temporary, "[SYS/TEMP]"), (Refusal::Permanent, "[SYS/PERM]")];
    for (refusal, code) in refusals.into_iter().cycle().take(12) {
        say(&mut session, "USER ada");
        assert!(matches!(session.line(Ok(b"PASS x")), Effect::LogIn { .. }));
        let Effect::Reply(reply) = session.logged_in(Err(refusal)) else { panic!("closed") };
        assert!(wire(&reply).starts_with(&format!("-ERR {code} ")), "{reply:?}");
    }
}

#[test]
fn passwords_and_names_arrive_as_they_were_sent() {
    let mut session = Session::new(FREE);
    say(&mut session, "user  Ada ");
    let Effect::LogIn { user, password, method } = session.line(Ok(b"pass  a b ")) else { panic!() };
    assert_eq!((user.as_str(), password.expose(), method), ("ada", &b" a b "[..], "USER"));
    let mut session = Session::new(FREE);
    assert_eq!(say(&mut session, "AUTH PLAIN"), "+ \r\n");
    let Effect::LogIn { user, password, method } = session.line(Ok(b"AGFkYQB4")) else { panic!() };
    assert_eq!((user.as_str(), password.expose(), method), ("ada", &b"x"[..], "PLAIN"));
}

#[test]
fn only_lines_of_a_sasl_exchange_may_be_long_and_a_longer_one_closes() {
    let mut session = Session::new(FREE);
    assert_eq!(session.line_limit(), line::COMMAND_LIMIT);
    assert!(matches!(session.line(Err(LineError::TooLong)), Effect::Reply(reply) if reply.is_err()));
    assert_eq!(say(&mut session, "AUTH LOGIN"), "+ VXNlcm5hbWU6\r\n");
    assert_eq!(session.line_limit(), line::SASL_LIMIT);
    assert!(matches!(session.line(Err(LineError::TooLong)), Effect::Close(reply) if reply.is_err()));
}

#[test]
fn an_endless_line_is_hung_up_on_in_every_state() {
    let mut sasl = Session::new(FREE);
    say(&mut sasl, "AUTH PLAIN");
    for mut session in [Session::new(FREE), sasl, logged_in(FREE, 0)] {
        assert!(matches!(session.line(Err(LineError::Endless)), Effect::Hangup));
    }
}

#[test]
fn a_proxy_header_is_hung_up_on_before_login_and_is_a_bad_command_after() {
    let headers: [&[&str]; 3] = [&["PROXY TCP4 192.0.2.7 203.0.113.1 1100 110"], &["PROXY "], &["", "", "\0"]];
    for header in headers {
        let (mut before, mut after) = (Session::new(FREE), logged_in(FREE, 1));
        let (last, first) = header.split_last().unwrap();
        for line in first {
            assert!(say(&mut before, line).starts_with("-ERR") && say(&mut after, line).starts_with("-ERR"));
        }
        assert!(matches!(before.line(Ok(last.as_bytes())), Effect::Hangup), "{header:?}");
        assert!(say(&mut after, last).starts_with("-ERR"), "{header:?}");
    }
    for other in ["PROXY", "proxy TCP4", "PROXYTCP4", "\0", ""] {
        assert!(say(&mut Session::new(FREE), other).starts_with("-ERR"), "{other:?}");
    }
}

#[test]
fn bad_commands_in_a_row_close_the_session_the_fifth_before_login_and_the_twentieth_after() {
    for (mut session, limit) in [(Session::new(FREE), 5), (logged_in(FREE, 1), 20)] {
        for n in 1..limit {
            assert!(say(&mut session, "XYZZY").starts_with("-ERR"), "{n}");
        }
        assert!(say(&mut session, "CAPA").starts_with("+OK"), "a good one between forgives them all");
        for n in 1..limit {
            assert!(say(&mut session, ["", "GET / HTTP/1.1", "DELE x"][n % 3]).starts_with("-ERR"), "{n}");
        }
        assert!(say(&mut session, "USER").starts_with("close -ERR"));
    }
}

#[test]
fn messages_that_are_not_there_are_refused_and_nobody_is_closed_for_asking() {
    let mut session = logged_in(FREE, 2);
    assert!(say(&mut session, "DELE 2").starts_with("+OK"));
    for _ in 0..30 {
        for line in ["LIST 2", "UIDL 2", "RETR 2", "TOP 2 0", "DELE 2", "LIST 3", "UIDL 9", "RETR 4294967295", "DELE 3"]
        {
            assert_eq!(say(&mut session, line), "-ERR no such message\r\n", "{line}");
        }
    }
    assert_eq!(say(&mut session, "STAT"), "+OK 1 100\r\n");
    assert!(say(&mut session, "RSET").starts_with("+OK"));
    assert_eq!(say(&mut session, "LIST 2"), "+OK 2 200\r\n");
    assert_eq!(say(&mut session, "UIDL 2"), "+OK 2 2.base\r\n");
}

#[test]
fn a_number_or_a_nul_that_others_take_for_message_one_deletes_nothing() {
    let mut session = logged_in(FREE, 1);
    for line in ["DELE 0", "DELE -1", "DELE 4294967297", "DELE 1\0 2", "DELE 1x", "DELE 1 1", "DELE\t1", "DELE +1"] {
        assert!(say(&mut session, line).starts_with("-ERR"), "{line:?}");
    }
    assert_eq!(session.marks().unwrap().deleted_count(), 0);
}

#[test]
fn quit_before_login_closes_and_after_it_updates() {
    assert_eq!(say(&mut Session::new(FREE), "quit"), "close +OK bye\r\n");
    let mut session = logged_in(FREE, 3);
    say(&mut session, "DELE 3");
    session.sent(MessageNumber::new(1).unwrap(), true);
    session.sent(MessageNumber::new(2).unwrap(), false);
    let Effect::Update { marks } = session.line(Ok(b"QUIT")) else { panic!() };
    let of = |n| MessageNumber::new(n).unwrap();
    assert_eq!((1..=3).filter(|&n| marks.is_deleted(of(n))).collect::<Vec<_>>(), [3]);
    assert_eq!((1..=3).filter(|&n| marks.is_retrieved(of(n))).collect::<Vec<_>>(), [1], "TOP marks nothing as seen");
    assert!(session.marks().is_none());
}

#[test]
fn the_reply_to_quit_is_true() {
    let told = |failed, uncertain, temporary| {
        let mut session = logged_in(FREE, 0);
        let _ = session.line(Ok(b"QUIT"));
        wire(&session.updated(Err(NotRemoved { failed, uncertain, of: 7, temporary })))
    };
    assert_eq!(told(2, 0, true), "-ERR [SYS/TEMP] 2 of 7 deleted messages not removed\r\n");
    assert!(told(2, 0, false).starts_with("-ERR [SYS/PERM] 2 of 7 "));
    assert!(told(0, 5, true).contains("5 not for certain"));
}
