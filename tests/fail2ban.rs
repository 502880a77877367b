//! Lines that a real server wrote, read by a real fail2ban: with its stock filter `courier-auth`, and with ours.
//!
//! Each failed login comes from an address of its own, so that a match with another's shows.

mod common;

use std::fs;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::path::{Path, PathBuf};
use std::process::Command;

use base64ct::{Base64, Encoding};

use common::client::{Channel, Client};
use common::{PASSWORD, Server, USER, eventually, has_ipv6, needs, ours};

/// What a client may call itself, to be taken for another or for nothing.
const NAMES: [&str; 14] = [
    USER,
    "ada@example.org",
    "x,ip=[8.8.8.8]",
    "x, ip=[8.8.8.8]",
    "x, ip=[8.8.8.8], method=USER",
    "x, method=USER, tls=no, ip=[8.8.8.8]",
    "LOGIN FAILED, user=x, ip=[8.8.8.8]",
    "ip=8.8.8.8",
    "[192.0.2.7]",
    "8.8.8.8",
    "user=<HOST>",
    "\u{f6}\u{2028}\u{a0}\u{6f22}",
    "%(__prefix_line)s \\x2c $",
    "y, ip=[8.8.8.8], 64 characters are shown and this name has some more of them: ip=[8.8.8.8]",
];

/// How it may say so.
const METHODS: [&str; 3] = ["USER", "PLAIN", "LOGIN"];

fn filter() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/fail2ban/filter.d/poppet.conf")
}

/// The addresses that fail2ban finds in `log`, in the order of its lines.
fn found(log: &Path, filter: &str) -> Vec<String> {
    let output = Command::new("fail2ban-regex").args(["-o", "ip"]).arg(log).arg(filter).output().expect("run it");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect()
}

fn fail(client: &mut Client, method: &str, name: &str) {
    match method {
        "USER" => {
            client.ok(&format!("USER {name}"));
            client.err("PASS wrong");
        }
        "PLAIN" => {
            client.err(&format!("AUTH PLAIN {}", Base64::encode_string(format!("\0{name}\0wrong").as_bytes())));
        }
        _ => {
            client.cmd(&format!("AUTH LOGIN {}", Base64::encode_string(name.as_bytes())));
            client.err(&Base64::encode_string(b"wrong"));
        }
    }
}

/// A server whose log has failed logins, and others that are none; and whose they were.
fn server_with_a_past() -> (Server, Vec<String>) {
    let ipv6 = has_ipv6();
    let builder = Server::builder();
    let server = if ipv6 { builder.listen_also(Ipv6Addr::LOCALHOST.into()) } else { builder }.start();
    let mut tried = Vec::new();
    let pairs = NAMES.iter().flat_map(|name| METHODS.map(|method| (name, method)));
    // USER takes one word.
    let pairs = pairs.filter(|(name, method)| *method != "USER" || !name.contains(' '));
    for ((name, method), last) in pairs.zip(20..) {
        let source = Ipv4Addr::new(127, 0, 0, last);
        fail(&mut Client::connect_from(source, &server), method, name);
        tried.push(source.to_string());
    }
    for channel in [Channel::Stls, Channel::Tls] {
        fail(&mut server.connect_over(channel), "USER", USER);
        tried.push("127.0.0.1".to_owned());
    }
    for name in if ipv6 { &NAMES[..9] } else { &[] } {
        fail(&mut Client::connect_at(server.also[0][0], &server, Channel::Plain), "PLAIN", name);
        tried.push("::1".to_owned());
    }
    // What is no failure: a session, a busy maildrop, names that are none, and somebody who can't speak TLS.
    let mut first = server.log_in(USER);
    let mut second = server.connect();
    second.ok(&format!("USER {USER}"));
    second.err(&format!("PASS {PASSWORD}"));
    second.err("USER x\u{7f}LOGIN FAILED, user=x, ip=[8.8.8.8]");
    second.err("USER x\rLOGIN FAILED, user=x, method=USER, tls=no, ip=[8.8.8.8]");
    first.quit();
    let mut garbage = Client::over(std::net::TcpStream::connect(server.tls).expect("connect"));
    garbage.send(b"LOGIN FAILED, user=x, method=USER, tls=no, ip=[8.8.8.8]\n");
    garbage.rest();
    eventually("the log has all of it", || {
        let log = server.log();
        let parts = ["LOGOUT, user=", "LOGIN REFUSED, user=", ": TLS: "];
        log.matches("LOGIN FAILED, user=").count() == tried.len() && parts.iter().all(|part| log.contains(part))
    });
    (server, tried)
}

#[test]
fn each_failed_login_has_its_true_address_once_and_nothing_else_has_any() {
    if !ours() || !needs("fail2ban-regex") {
        return;
    }
    let (server, tried) = server_with_a_past();
    let file = server.folder.join("log");
    let own = filter().display().to_string();
    for filter in ["courier-auth", &own] {
        assert_eq!(found(&file, filter), tried, "{filter}\n{}", server.log());
    }
    // As fail2ban takes a line from the journal, under the two names that a unit gives it.
    for (program, filters) in [("pop3d", vec!["courier-auth", &own]), ("poppet", vec![&own])] {
        let journal = server.folder.join("journal");
        let lines = server
            .log()
            .lines()
            .filter_map(|line| {
                let (time, message) = line.split_once(' ')?;
                Some(format!("{time} mail.example.org {program}[4711]: {}\n", message[5..].trim_start()))
            })
            .collect::<String>();
        fs::write(&journal, lines).expect("write it");
        for filter in filters {
            assert_eq!(found(&journal, filter), tried, "{filter}, {program}");
        }
    }
}

#[test]
fn of_all_lines_in_the_document_only_failed_logins_are_found() {
    if !needs("fail2ban-regex") {
        return;
    }
    let text = include_str!("../docs/LOG.md");
    let samples =
        text.lines().filter(|line| line.starts_with("| `")).flat_map(|line| line.split('`').skip(1).step_by(2));
    let lines: Vec<String> = samples.map(|sample| format!("2026-11-23T08:59:28Z WARN  {sample}\n")).collect();
    assert!(lines.len() > 30 && lines.iter().any(|line| line.contains("more wrong passwords from")), "{lines:?}");
    let failures = lines.iter().filter(|line| line.contains("WARN  LOGIN FAILED, ")).count();
    assert!(failures > 0);
    let folder = tempfile::tempdir().expect("a folder");
    let log = folder.path().join("log");
    fs::write(&log, lines.concat()).expect("write it");
    for filter in ["courier-auth", &filter().display().to_string()] {
        assert_eq!(found(&log, filter), vec!["192.0.2.7"; failures], "{filter}");
    }
}

#[test]
fn jail_is_one_that_fail2ban_takes_for_the_journal_and_for_a_file() {
    if !needs("fail2ban-client") {
        return;
    }
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/fail2ban");
    let jail = fs::read_to_string(ours.join("jail.d/poppet.conf")).expect("the jail");
    let for_file = jail
        .replace("\nbackend = systemd\n", "\n")
        .replace("\n#backend", "\nbackend")
        .replace("\n#logpath", "\nlogpath");
    assert!(for_file.contains("\nlogpath = ") && for_file.contains("\nbackend = auto\n"));
    for (jail, watches) in [(jail, "addjournalmatch"), (for_file, "addlogpath")] {
        let folder = tempfile::tempdir().expect("a folder");
        let config = folder.path().join("fail2ban");
        let copied = Command::new("cp").arg("-r").arg("/etc/fail2ban").arg(&config).status().expect("cp");
        assert!(copied.success());
        // No other jail of this machine's has a part in it.
        for entry in fs::read_dir(config.join("jail.d")).expect("a folder").flatten() {
            fs::remove_file(entry.path()).expect("remove it");
        }
        let log = folder.path().join("poppet.log");
        fs::write(&log, "").expect("a log");
        let jail = jail.replace("/var/log/poppet.log", log.to_str().expect("text"));
        fs::write(config.join("jail.d/poppet.conf"), jail).expect("the jail");
        fs::copy(filter(), config.join("filter.d/poppet.conf")).expect("the filter");
        let output = Command::new("fail2ban-client").arg("-c").arg(&config).args(["--dp"]).output().expect("run it");
        let said = String::from_utf8_lossy(&output.stdout);
        let trouble = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && !trouble.contains("ERROR"), "{said}\n{trouble}");
        for part in ["['add', 'poppet', '", "['set', 'poppet', 'maxretry', 5]", watches, "LOGIN FAILED, user="] {
            assert!(said.contains(part), "{part}\n{said}");
        }
    }
}
