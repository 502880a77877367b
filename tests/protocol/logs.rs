//! What the log says, and what it never says.

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
    assert!(line.contains(", ip=[127.0.0.1]"), "{line}");
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
    let canary = "canary-9f2c";
    let server = Server::builder().user(USER, PASSWORD).user("bob", canary).start();
    let mut client = server.connect();
    client.log_in("bob", canary);
    client.err(&format!("PASS {canary}"));
    client.quit();
    let mut client = server.connect();
    client.ok(&format!("USER {USER}"));
    client.err(&format!("PASS {canary}"));
    client.err(canary);
    // In the wrong place: the name and the password changed seats.
    client.ok(&format!("USER {USER}"));
    client.err(&format!("USER {canary} {canary}"));
    client.err(&format!("AUTH PLAIN {canary}"));
    client.quit();
    eventually("the log has the end", || server.log().matches("bob").count() >= 2);
    assert!(!server.log().contains(canary), "{}", server.log());
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
