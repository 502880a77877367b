//! AUTH: the mechanisms, the exchange, its faults.

use crate::common::script::{Dialogue, dialogue};
use crate::common::{Server, USER};

#[test]
fn auth_alone_lists_the_mechanisms() {
    let server = Server::start();
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        for command in ["AUTH", "AUTH ", "auth"] {
            let mut listed = client.list(command);
            listed.sort();
            assert!(
                listed.contains(&"LOGIN".to_owned()) && listed.contains(&"PLAIN".to_owned()),
                "{command}: {listed:?}"
            );
            let mut offered = client.list("CAPA");
            offered.retain(|line| line.starts_with("SASL "));
            let mut sasl: Vec<&str> = offered[0].split(' ').skip(1).collect();
            sasl.sort();
            assert_eq!(listed, sasl, "{command} and CAPA differ");
        }
    }
}

#[test]
fn plain_with_an_initial_response_logs_in() {
    dialogue("C: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*\nC: STAT\nS: +OK 0 0");
}

#[test]
fn plain_with_a_continuation_logs_in() {
    dialogue("C: AUTH PLAIN\nS: + *\nC: {b64:\\0{user}\\0secret}\nS: +OK*\nC: STAT\nS: +OK 0 0");
}

#[test]
fn plain_as_oneself_logs_in() {
    dialogue("C: AUTH PLAIN {b64:{user}\\0{user}\\0secret}\nS: +OK*");
}

#[test]
fn plain_as_somebody_else_is_refused() {
    dialogue("C: AUTH PLAIN {b64:eve\\0{user}\\0secret}\nS: -ERR*\nC: NOOP\nS: -ERR*");
}

#[test]
fn mechanisms_have_no_case() {
    dialogue("C: auth pLaIn {b64:\\0{user}\\0secret}\nS: +OK*");
}

#[test]
fn login_asks_for_name_and_password() {
    dialogue("C: AUTH LOGIN\nS: + *\nC: {b64:{user}}\nS: + *\nC: {b64:secret}\nS: +OK*\nC: STAT\nS: +OK 0 0");
}

#[test]
fn login_with_an_initial_response_asks_for_the_password_only() {
    dialogue("C: AUTH LOGIN {b64:{user}}\nS: + *\nC: {b64:secret}\nS: +OK*\nC: STAT\nS: +OK 0 0");
}

#[test]
fn continuation_has_its_space_and_valid_base64() {
    use base64ct::{Base64, Encoding};
    let server = Server::start();
    for mechanism in ["PLAIN", "LOGIN"] {
        let mut client = server.connect();
        let asked = client.cmd(&format!("AUTH {mechanism}"));
        let challenge = asked.strip_prefix("+ ").unwrap_or_else(|| panic!("{mechanism}: {asked:?}"));
        Base64::decode_vec(challenge).unwrap_or_else(|error| panic!("{mechanism}: {challenge:?}: {error}"));
    }
}

#[test]
fn equals_sign_is_an_empty_initial_response() {
    dialogue("C: AUTH PLAIN =\nS: -ERR*\nC: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*");
}

#[test]
fn asterisk_cancels() {
    dialogue("C: AUTH PLAIN\nS: + *\nC: *\nS: -ERR*\nC: USER {user}\nS: +OK*\nC: PASS secret\nS: +OK*");
    dialogue("C: AUTH LOGIN\nS: + *\nC: *\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*");
    dialogue(
        "C: AUTH LOGIN\nS: + *\nC: {b64:{user}}\nS: + *\nC: *\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*",
    );
}

#[test]
fn cancelling_counts_as_no_wrong_password() {
    let cancel = "C: AUTH PLAIN\nS: + *\nC: *\nS: -ERR*\nC: CAPA\nS: +OK*\nS: <lines>\n";
    dialogue(&format!("{}C: AUTH PLAIN {{b64:\\0{{user}}\\0secret}}\nS: +OK*", cancel.repeat(4)));
}

#[test]
fn bad_base64_is_refused_and_the_session_lives() {
    for bad in ["!!!!", "AGFk", "A", "AGFkYQBzZWNyZXQ", "AGFk YQBz", "====", "AGFkYQBzZWNyZXQ=="] {
        let script = format!(
            "C: AUTH PLAIN\nS: + *\nC: {bad}\nS: -ERR*
             C: CAPA\nS: +OK*\nS: <lines>\nC: AUTH PLAIN {{b64:\\0{{user}}\\0secret}}\nS: +OK*"
        );
        dialogue(&script);
    }
}

#[test]
fn bad_initial_response_is_refused_and_the_session_lives() {
    dialogue(
        "C: AUTH PLAIN !!!!\nS: -ERR*\nC: AUTH PLAIN {b64:no separators}\nS: -ERR*
         C: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*",
    );
}

#[test]
fn empty_name_or_password_is_refused() {
    dialogue(
        "C: AUTH PLAIN {b64:\\0\\0secret}\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0}\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*",
    );
}

#[test]
fn unknown_mechanism_is_refused() {
    dialogue(
        "C: AUTH GSSAPI\nS: -ERR*\nC: AUTH DIGEST-MD5 =\nS: -ERR*
         C: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*",
    );
}

#[test]
fn auth_with_too_many_arguments_is_refused() {
    dialogue("C: AUTH PLAIN {b64:\\0{user}\\0secret} x\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*");
}

#[test]
fn password_with_a_nul_is_refused() {
    dialogue("C: AUTH PLAIN {b64:\\0{user}\\0secret\\0x}\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*");
}

#[test]
fn nul_in_a_continuation_is_refused() {
    dialogue("C: AUTH PLAIN\nS: + *\nC: AGFk\\0YQ==\nS: -ERR*\nC: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*");
}

#[test]
fn continuation_of_nearly_8_kib_is_read() {
    let long = "x".repeat(6_000);
    let script = format!(
        "C: AUTH PLAIN\nS: + *\nC: {{b64:\\0{{user}}\\0{long}}}\nS: -ERR*\nC: AUTH PLAIN {{b64:\\0{{user}}\\0secret}}\nS: +OK*"
    );
    dialogue(&script);
}

#[test]
fn continuation_of_more_than_8_kib_closes() {
    let long = "A".repeat(9_000);
    dialogue(&format!("C: AUTH PLAIN\nS: + *\nC: {long}\nS: -ERR*\nS: <eof>"));
    dialogue(&format!("C: AUTH LOGIN\nS: + *\nC: {{b64:{{user}}}}\nS: + *\nC: {long}\nS: -ERR*\nS: <eof>"));
}

#[test]
fn a_command_in_place_of_a_continuation_is_not_run() {
    let server = Server::start();
    let mut client = server.connect();
    assert!(client.cmd("AUTH PLAIN").starts_with('+'));
    client.err("QUIT");
    client.log_in(server.name_of(USER), crate::common::PASSWORD);
}

#[test]
fn wrong_password_by_auth_says_auth() {
    Dialogue::new(
        "C: AUTH PLAIN {b64:\\0{user}\\0wrong}\nS: -ERR [AUTH]*
         C: AUTH LOGIN\nS: + *\nC: {b64:{user}}\nS: + *\nC: {b64:wrong}\nS: -ERR [AUTH]*
         C: AUTH PLAIN {b64:\\0{user}\\0secret}\nS: +OK*",
    )
    .run();
}
