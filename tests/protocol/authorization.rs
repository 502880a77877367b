//! The AUTHORIZATION state: greeting, USER, PASS, and what is refused there.

use crate::common::client::{Channel, End};
use crate::common::script::{Dialogue, dialogue};
use crate::common::{Maildir, PASSWORD, Server, USER, ours};

fn two_messages(maildir: &Maildir) {
    maildir.deliver(b"Subject: one\n\n1\n");
    maildir.deliver(b"Subject: two\n\n2\n");
}

#[test]
fn greeting_offers_no_apop_and_no_words_that_mislead() {
    let server = Server::start();
    for &channel in server.channels() {
        let greeting = server.connect_over(channel).greeting;
        assert!(!greeting.contains(['<', '>']), "{greeting}");
        assert!(!greeting.contains("POP3 Server Ready"), "{greeting}");
    }
}

#[test]
fn pass_says_how_many_messages_there_are() {
    Dialogue::new("C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK 2 messages*").mail(&two_messages).run();
}

#[test]
fn pass_of_an_empty_maildrop_says_0() {
    dialogue("C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK 0 messages*\nC: STAT\nS: +OK 0 0");
}

#[test]
fn spaces_belong_to_the_password() {
    if !ours() {
        return;
    }
    Dialogue::new(
        "C: USER {user}\nS: +OK*\nC: PASS two  words\nS: -ERR [AUTH]*
         C: USER {user}\nS: +OK*\nC: PASS  two  words \nS: +OK*",
    )
    .password(" two  words ")
    .run();
}

#[test]
fn latin_1_password_is_taken_for_its_utf_8() {
    if !ours() {
        return;
    }
    Dialogue::new("C: USER {user}\nS: +OK*\nC: PASS gr\\xfcn\nS: +OK*\nC: QUIT\nS: +OK*\nS: <eof>")
        .password("gr\u{fc}n")
        .run();
    Dialogue::new("C: AUTH PLAIN {b64:\\0{user}\\0gr\\xfcn}\nS: +OK*").password("gr\u{fc}n").run();
}

#[test]
fn utf_8_password_is_taken_as_it_is() {
    if !ours() {
        return;
    }
    Dialogue::new("C: USER {user}\nS: +OK*\nC: PASS gr\\xc3\\xbcn\nS: +OK*").password("gr\u{fc}n").run();
}

#[test]
fn wrong_latin_1_password_counts_once() {
    Dialogue::new(
        "C: USER {user}\nS: +OK*\nC: PASS b\\xf6s\nS: -ERR*
         C: USER {user}\nS: +OK*\nC: PASS b\\xf6s\nS: -ERR*
         C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*",
    )
    .run();
}

#[test]
fn user_name_is_compared_without_case() {
    let server = Server::start();
    server.maildir(USER).deliver(b"Subject: x\n\n");
    let mut client = server.connect();
    client.ok(&format!("USER {}", server.name_of(USER).to_uppercase()));
    assert!(client.ok(&format!("PASS {PASSWORD}")).starts_with("+OK 1 messages"));
}

#[test]
fn user_name_may_have_a_domain() {
    let server = Server::builder().user("ada@example.org", PASSWORD).start();
    server.maildir("ada@example.org").deliver(b"Subject: x\n\n");
    assert_eq!(server.log_in("ada@example.org").ok("STAT"), "+OK 1 14");
}

#[test]
fn control_octets_in_a_user_name_are_refused() {
    dialogue("C: USER a\\x01b\nS: -ERR*\nC: USER a\\tb\nS: -ERR*\nC: USER {user}\\x7f\nS: -ERR*");
}

#[test]
fn user_without_a_name_is_refused() {
    dialogue("C: USER\nS: -ERR*\nC: USER \nS: -ERR*\nC: USER {user}\nS: +OK*");
}

#[test]
fn wrong_password_leaves_the_session_alive() {
    dialogue(
        "C: USER {user}\nS: +OK*\nC: PASS wrong\nS: -ERR [AUTH]*
         C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*",
    );
}

#[test]
fn third_wrong_password_closes() {
    dialogue(
        "C: USER {user}\nS: +OK*\nC: PASS wrong\nS: -ERR [AUTH]*
         C: USER {user}\nS: +OK*\nC: PASS secret2\nS: -ERR [AUTH]*
         C: USER {user}\nS: +OK*\nC: PASS Secret\nS: -ERR [AUTH]*
         S: <eof>",
    );
}

#[test]
fn third_wrong_password_closes_whatever_the_mechanism() {
    dialogue(
        "C: USER {user}\nS: +OK*\nC: PASS wrong\nS: -ERR [AUTH]*
         C: AUTH PLAIN {b64:\\0{user}\\0wrong}\nS: -ERR [AUTH]*
         C: AUTH LOGIN {b64:{user}}\nS: + *\nC: {b64:wrong}\nS: -ERR [AUTH]*
         S: <eof>",
    );
}

#[test]
fn unknown_user_gets_the_same_octets_as_a_wrong_password() {
    let server = Server::start();
    for &channel in server.channels() {
        let refusals = [server.name_of(USER), "nobody-of-that-name"].map(|name| {
            let mut client = server.connect_over(channel);
            let mut heard = vec![client.cmd(&format!("USER {name}"))];
            heard.push(client.cmd("PASS wrong"));
            client.send(b"AUTH PLAIN\r\n");
            heard.push(client.line());
            client.send(b"AHg=\r\n");
            heard.push(client.line());
            heard
        });
        assert_eq!(refusals[0], refusals[1]);
        let text = refusals[0][1].to_lowercase();
        assert!(!text.contains("lock") && !text.contains("wait"), "fetchmail takes it for a busy maildrop: {text}");
    }
}

#[test]
fn transaction_commands_before_login_are_refused() {
    for command in ["STAT", "LIST", "LIST 1", "UIDL", "RETR 1", "TOP 1 0", "DELE 1", "RSET", "NOOP"] {
        let script = format!(
            "C: {command}\nS: -ERR*\nC: USER {{user}}\nS: +OK*\nC: {command}\nS: -ERR*
             C: CAPA\nS: +OK*\nS: <lines>\nC: USER {{user}}\nS: +OK*\nC: PASS secret\nS: +OK 2 *"
        );
        Dialogue::new(&script).mail(&two_messages).over(&[Channel::Plain]).run();
    }
}

#[test]
fn pass_without_user_is_refused() {
    dialogue("C: PASS secret\nS: -ERR*\nC: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*");
}

#[test]
fn login_after_login_is_refused() {
    dialogue(
        "C: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*
         C: USER {user}\nS: -ERR*\nC: PASS secret\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: -ERR*
         C: AUTH\nS: -ERR*\nC: STLS\nS: -ERR*\nC: NOOP\nS: +OK*",
    );
}

#[test]
fn quit_before_login_closes() {
    dialogue("C: QUIT\nS: +OK*\nS: <eof>");
    dialogue("C: USER {user}\nS: +OK*\nC: QUIT\nS: +OK*\nS: <eof>");
}

#[test]
fn apop_is_no_command() {
    dialogue("C: APOP {user} c4c9334bac560ecc979e58001b3e22fb\nS: -ERR*");
}

#[test]
fn clear_text_login_is_refused_in_words_where_tls_is_required() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("login.plaintext-from", "[]").start();
    let mut client = server.connect();
    for command in [format!("USER {USER}"), format!("PASS {PASSWORD}"), "AUTH PLAIN AGFkYQBzZWNyZXQ=".into()] {
        let reply = client.err(&command);
        assert!(reply.contains("TLS"), "{command}: {reply}");
    }
    let offered = client.list("CAPA");
    assert!(offered.iter().any(|line| line == "STLS"), "{offered:?}");
    assert!(!offered.iter().any(|line| line == "USER" || line.starts_with("SASL")), "{offered:?}");
    assert_eq!(client.end_by(b"QUIT\r\n"), End::Clean);
    for channel in [Channel::Stls, Channel::Tls] {
        let mut client = server.connect_over(channel);
        assert!(client.list("CAPA").iter().any(|line| line == "USER"));
        client.log_in(USER, PASSWORD);
    }
}

#[test]
fn clear_text_login_is_granted_to_the_networks_named() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("login.plaintext-from", "[\"127.0.0.1/32\"]").start();
    server.log_in(USER).quit();
    let server = Server::builder().config("login.plaintext-from", "[\"127.0.0.2/32\"]").start();
    server.connect().err(&format!("USER {USER}"));
}
