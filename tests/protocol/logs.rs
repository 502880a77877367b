//! What the log says, and what it never says.

use base64ct::{Base64, Encoding};

use crate::common::client::Client;
use crate::common::{PASSWORD, Server, USER, eventually, ours};

#[test]
fn failed_login_is_a_line_that_fail2ban_understands() {
    if !ours() {
        return;
    }
    let server = Server::start();
    let mut client = server.connect();
    client.ok(&format!("USER {USER}"));
    client.err("PASS wrong");
    client.quit();
    eventually("the log has it", || server.log().contains("LOGIN FAILED, user=ada, method="));
    let line = server.log().lines().find(|line| line.contains("LOGIN FAILED")).expect("the line").to_owned();
    assert!(line.ends_with(", ip=[127.0.0.1]"), "{line}");
}

#[test]
fn user_name_forges_no_line_and_no_address() {
    if !ours() {
        return;
    }
    let server = Server::start();
    let mut client = server.connect();
    for name in ["x,ip=[8.8.8.8]", "x\u{85}LOGIN", "[192.0.2.7]", &"y".repeat(200)] {
        client.cmd(&format!("USER {name}"));
        client.cmd("PASS wrong");
        client = server.connect();
    }
    drop(client);
    eventually("the log has them", || server.log().matches("LOGIN FAILED").count() >= 3);
    let log = server.log();
    assert!(!log.contains("8.8.8.8]") && !log.contains("[192.0.2.7]") && !log.contains('\u{85}'), "{log}");
    assert!(!log.contains(&"y".repeat(65)), "{log}");
}

#[test]
fn passwords_are_in_no_log() {
    if !ours() {
        return;
    }
    // Twelve octets: their Base64 stands for itself where it begins at a multiple of three.
    let canary = "canary-9f2c!";
    let encoded = Base64::encode_string(canary.as_bytes());
    let response = |user: &str| Base64::encode_string(format!("{user}\0{user}\0{canary}").as_bytes());
    let (right, wrong) = (response("bo"), response("al"));
    assert!(right.ends_with(&encoded) && wrong.ends_with(&encoded));
    let builder = Server::builder().env("POPPET_LOG", "trace").user("al", PASSWORD).user("bo", canary);
    let server = builder.start();
    for &channel in server.channels() {
        let mut client = server.connect_over(channel);
        client.log_in("bo", canary);
        client.err(&format!("PASS {canary}"));
        client.quit();
        for login in [format!("AUTH PLAIN {right}"), format!("AUTH PLAIN\r\n{right}"), auth_login("bo", &encoded)] {
            let mut client = server.connect_over(channel);
            client.send(format!("{login}\r\n").as_bytes());
            let granted = |client: &mut Client| (0..3).any(|_| client.line().starts_with("+OK"));
            assert!(granted(&mut client), "{login}");
            client.quit();
        }
        for refused in [
            format!("PASS {canary}"),
            format!("USER al\r\nPASS {canary}"),
            // In the wrong place: the name and the password changed seats.
            format!("USER {canary} {canary}"),
            canary.to_owned(),
            format!("AUTH PLAIN {canary}"),
            format!("AUTH PLAIN {wrong}"),
            format!("AUTH PLAIN {encoded}"),
            format!("AUTH {encoded}"),
            encoded.clone(),
            auth_login("al", &encoded),
        ] {
            let mut client = server.connect_over(channel);
            client.send(format!("{refused}\r\n").as_bytes());
            let denied = |client: &mut Client| (0..3).any(|_| client.line().starts_with("-ERR"));
            assert!(denied(&mut client), "{refused}");
            client.quit();
        }
    }
    let log = server.log();
    assert!(
        log.contains("LOGIN, user=bo") && log.contains("LOGIN FAILED, user=al") && log.contains(" TRACE "),
        "{log}"
    );
    for secret in [canary, &encoded, &right, &wrong] {
        assert!(!log.contains(secret), "{secret} is in the log:\n{log}");
    }
}

fn auth_login(user: &str, encoded: &str) -> String {
    format!("AUTH LOGIN\r\n{}\r\n{encoded}", Base64::encode_string(user.as_bytes()))
}

#[test]
fn end_of_a_session_says_what_was_done() {
    if !ours() {
        return;
    }
    let server = Server::start();
    for _ in 0..3 {
        server.maildir(USER).deliver(b"Subject: x\n\n");
    }
    let mut client = server.log_in(USER);
    client.body("RETR 1");
    client.body("RETR 2");
    client.body("TOP 3 0");
    client.ok("DELE 1");
    client.quit();
    let said = ["user=ada", "ip=[127.0.0.1]", "tls=no", "retr=2/28", "top=1/14", "dele=1", "left=2"];
    eventually("one line says it all", || server.log().lines().any(|line| said.iter().all(|part| line.contains(part))));
}
