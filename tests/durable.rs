//! What QUIT says has happened on the disk itself: seen through strace.

mod common;

use common::{Maildir, PASSWORD, Server, USER, can_trace, eventually, ours};

/// Delivers a message to `new` and one to `cur`.
fn deliver(maildir: &Maildir) {
    for (folder, name) in MESSAGES {
        maildir.deliver_named(folder, name, b"Subject: x\n\n");
    }
}

const MESSAGES: [(&str, &str); 2] = [("new", "1700000000.M1.example"), ("cur", "1700000001.M2.example:2,S")];

/// Marks all and gives the reply to QUIT.
fn delete_all(server: &Server) -> String {
    let mut client = server.connect();
    client.log_in(server.name_of(USER), PASSWORD);
    (1..=MESSAGES.len()).for_each(|number| drop(client.ok(&format!("DELE {number}"))));
    let reply = client.cmd("QUIT");
    assert_eq!(client.rest(), b"", "octets behind the reply to QUIT");
    reply
}

#[test]
fn folders_are_synced_between_the_removal_and_the_reply() {
    if !ours() || !can_trace() {
        return;
    }
    let mut server = Server::builder().strace(&["-e", "trace=unlinkat,fsync,sendto,sendmsg,write"]).start();
    deliver(&server.maildir(USER));
    let reply = delete_all(&server);
    assert!(reply.starts_with("+OK"), "{reply}");
    server.terminate();
    assert!(server.wait());
    let replies = |trace: &str| trace.lines().filter(|line| line.contains("\"+OK")).count();
    // Greeting, USER, PASS, DELE, QUIT. What strace saw comes to its file a little later.
    eventually("strace has written all replies", || replies(&server.trace()) == 4 + MESSAGES.len());
    let trace = server.trace();
    let lines: Vec<&str> = trace.lines().collect();
    let replied = lines.iter().rposition(|line| line.contains("\"+OK")).expect("the reply");
    for (folder, name) in MESSAGES {
        let is_removal = |line: &&str| line.contains("unlinkat(") && line.contains(&format!("\"{name}\""));
        let removed = lines.iter().position(is_removal).unwrap_or_else(|| panic!("{name} is not removed:\n{trace}"));
        let is_sync = |line: &str| line.contains("fsync(") && line.contains(&format!("/{folder}>"));
        let begun = (removed..lines.len()).find(|&at| is_sync(lines[at]));
        let begun = begun.unwrap_or_else(|| panic!("{folder} is not synced behind the removal:\n{trace}"));
        assert!(end_of_call(&lines, begun) < replied, "{folder} is not synced before the reply:\n{trace}");
    }
}

/// Where the call that begins at line `begun` has ended: other threads may have had a word in between.
fn end_of_call(lines: &[&str], begun: usize) -> usize {
    if !lines[begun].ends_with("<unfinished ...>") {
        return begun;
    }
    let thread = lines[begun].split(' ').next().expect("a thread");
    let is_end = |line: &str| line.split(' ').next() == Some(thread) && line.contains("fsync resumed>");
    (begun..lines.len()).find(|&at| is_end(lines[at])).expect("the end of fsync")
}

#[test]
fn quit_says_what_is_not_certain_where_syncing_fails() {
    if !ours() || !can_trace() {
        return;
    }
    let server = Server::builder().strace(&["-e", "trace=fsync", "-e", "inject=fsync:error=EIO"]).start();
    let maildir = server.maildir(USER);
    deliver(&maildir);
    let reply = delete_all(&server);
    assert!(reply.starts_with("-ERR [SYS/TEMP] ") && reply.ends_with(" not for certain"), "{reply}");
    let numbers: Vec<usize> = reply.split(' ').filter_map(|word| word.parse().ok()).collect();
    assert_eq!(numbers, [0, 2, 2], "{reply}");
    assert!(maildir.files().is_empty(), "{:?}", maildir.names());
    let said = "of 2 messages to remove, 0 remain and 2 may come back after a crash; first: cannot fsync ";
    eventually("the log says so too", || server.log().contains(said));
}

#[test]
fn file_system_that_syncs_no_folders_is_no_failure() {
    if !ours() || !can_trace() {
        return;
    }
    for error in ["EINVAL", "EOPNOTSUPP", "ENOSYS"] {
        let inject = format!("inject=fsync:error={error}");
        let server = Server::builder().strace(&["-e", "trace=fsync", "-e", &inject]).start();
        let maildir = server.maildir(USER);
        deliver(&maildir);
        let reply = delete_all(&server);
        assert!(reply.starts_with("+OK"), "{error}: {reply}");
        assert!(maildir.files().is_empty(), "{error}: {:?}", maildir.names());
    }
}
