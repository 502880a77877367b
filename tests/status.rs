//! `poppet status`, asked of real servers: what it says, whom it tells, and that nobody waits for it.

mod common;

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::client::Channel;
use common::service::{NOBODY, Service};
use common::{PASSWORD, Server, USER, eventually, needs, needs_root, ours};

/// A server that can be asked, of `ada` and somebody whose name is awkward.
fn server() -> Option<Server> {
    ours().then(|| {
        Server::builder().user(USER, PASSWORD).user(AWKWARD, PASSWORD).config("process.status", "\"status\"").start()
    })
}

const AWKWARD: &str = "o\"brien,é";

fn ask(folder: &Path, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_poppet"));
    command.arg("status").arg("--config").arg(folder.join("poppet.toml")).args(arguments).output().unwrap()
}

/// What it says where it is successful.
fn told(folder: &Path, arguments: &[&str]) -> String {
    let output = ask(folder, arguments);
    assert!(output.status.success(), "{}", said(&output));
    String::from_utf8(output.stdout).unwrap()
}

/// The one line that it says where it is not.
fn refused(output: &Output) -> String {
    assert_eq!((output.status.code(), output.stdout.as_slice()), (Some(1), &b""[..]), "{}", said(output));
    let text = said(output);
    assert_eq!(text.lines().count(), 1, "{text}");
    text
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The value of an expression of Python in which `s` is what `--json` says.
fn json(folder: &Path, expression: &str) -> String {
    let script = "import json, sys; s = json.load(sys.stdin); print(eval(sys.argv[1]))";
    let mut python = Command::new("python3");
    python.args(["-c", script, expression]).env("PYTHONUTF8", "1").stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = python.spawn().unwrap();
    std::io::Write::write_all(&mut child.stdin.take().unwrap(), told(folder, &["--json"]).as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{expression}");
    String::from_utf8(output.stdout).unwrap().trim().to_owned()
}

#[test]
fn figures_follow_what_clients_do() {
    let Some(server) = server().filter(|_| needs("python3")) else { return };
    for text in ["Subject: one\n\nbody\n", "Subject: two\n\nbody\n", "Subject: three\n\nbody\n"] {
        server.maildir(USER).deliver(text.as_bytes());
    }
    let of = |expression: &str| json(&server.folder, expression);
    assert_eq!(
        of("s['now'], s['sessions'], s['totals']['logins']"),
        "({'connections': 0, 'sessions': 0, 'slowed': 0}, [], 0)"
    );
    let mut guesser = server.connect();
    guesser.ok(&format!("USER {USER}"));
    guesser.err("PASS canary-of-a-guess");
    let mut first = server.connect_tls();
    first.log_in(USER, PASSWORD);
    let octets = first.ok("RETR 1").split(' ').nth(1).unwrap().to_owned();
    first.multiline();
    first.body("TOP 2 0");
    first.ok("DELE 3");
    let mut second = server.connect();
    second.log_in(AWKWARD, PASSWORD);
    assert_eq!(
        of("s['now']['connections'], s['now']['sessions'], s['totals']['logins'], s['totals']['failed']"),
        "(3, 2, 2, 1)"
    );
    let session = "[(x['user'], x['address'], x['tls'], x['messages'], x['retr_messages'], x['retr_octets'], \
                   x['top_messages'], x['marked']) for x in s['sessions']]";
    let due = format!(
        "[('{USER}', '127.0.0.1', '1.3', 3, 1, {octets}, 1, 1), \
         ('o\"brien\\\\x2cé', '127.0.0.1', 'no', 0, 0, 0, 0, 0)]"
    );
    assert_eq!(of(session), due);
    first.quit();
    assert_eq!(of("s['totals']['deleted'], s['totals']['left'], s['closed']['quit']"), "(1, 2, 1)");
    assert_eq!(of("s['totals']['retr_octets'], len(s['sessions'])"), format!("({octets}, 1)"));
    // Its index was written at the first login, and the directory has changed since.
    server.log_in(USER);
    assert_eq!(of("s['index']['whole'] + s['index']['part'], s['index']['nothing']"), "(1, 2)");
    let facts = "s['server']['pid'], s['server']['version'], len(s['listeners']), s['certificates'][0]['names'], \
                 s['certificates'][0]['days'] > 365000, s['memory']['anonymous'] > 100000";
    let due = format!("({}, '{}', 2, 'localhost,127.0.0.1', True, True)", server.pid(), env!("CARGO_PKG_VERSION"));
    assert_eq!(of(facts), due);
    for form in [&[][..], &["--json"], &["--prometheus"]] {
        let text = told(&server.folder, form);
        assert!(!text.contains(PASSWORD) && !text.contains("canary"), "{text}");
    }
}

#[test]
fn people_see_a_line_for_each_session() {
    let Some(server) = server() else { return };
    assert!(told(&server.folder, &[]).ends_with("nobody is logged in\n"));
    let _client = server.log_in(USER);
    let text = told(&server.folder, &[]);
    let row: Vec<&str> = text.lines().last().unwrap().split_whitespace().collect();
    assert_eq!((row[0], row[1], row[2], row[5], row.len()), (USER, "127.0.0.1", "no", "0", 9), "{text}");
    assert!(
        text.starts_with(&format!("poppet {}, process {}, for ", env!("CARGO_PKG_VERSION"), server.pid())),
        "{text}"
    );
}

#[test]
fn prometheus_can_read_its_form() {
    let Some(server) = server() else { return };
    let _client = server.log_in(USER);
    let text = told(&server.folder, &["--prometheus"]);
    let mut families: Vec<(&str, &str)> = Vec::new();
    let mut helped = "";
    let mut figures = 0;
    for line in text.lines() {
        let is_name = |name: &str| name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_');
        if let Some(help) = line.strip_prefix("# HELP ") {
            helped = help.split_once(' ').unwrap().0;
            assert!(is_name(helped) && helped.starts_with("poppet_"), "{line}");
            continue;
        }
        if let Some(of_type) = line.strip_prefix("# TYPE ") {
            let (name, kind) = of_type.split_once(' ').unwrap();
            assert_eq!((name, kind == "counter"), (helped, name.ends_with("_total")), "{line}");
            assert!(["counter", "gauge"].contains(&kind), "{line}");
            assert!(families.iter().all(|(other, _)| *other != name), "{name} is there twice");
            families.push((name, kind));
            continue;
        }
        let (series, value) = line.rsplit_once(' ').unwrap();
        value.parse::<u64>().unwrap();
        let name = series.split('{').next().unwrap();
        assert_eq!(families.last().map(|(name, _)| *name), Some(name), "{line}");
        if let Some(labels) = series.strip_prefix(name).filter(|it| !it.is_empty()) {
            let (label, text) =
                labels.strip_prefix('{').unwrap().strip_suffix("\"}").unwrap().split_once("=\"").unwrap();
            assert!(is_name(label) && !text.replace("\\\\", "").replace("\\\"", "").contains(['"', '\\']), "{line}");
        }
        figures += 1;
    }
    assert!(text.ends_with('\n') && families.len() >= 15 && figures > families.len(), "{text}");
    assert!(text.contains("\npoppet_sessions 1\n") && !text.contains(USER), "{text}");
}

#[test]
fn where_nothing_can_be_told_one_line_says_why() {
    let Some(mut server) = server() else { return };
    let socket = server.folder.join("status");
    // Who answers can hear signals.
    told(&server.folder, &[]);
    server.terminate();
    assert!(server.wait());
    assert!(refused(&ask(&server.folder, &[])).contains("no server answers at"));
    fs::remove_file(&socket).unwrap();
    assert!(refused(&ask(&server.folder, &[])).contains("no server answers at"));
    let off = Server::start();
    let line = refused(&ask(&off.folder, &["--json"]));
    assert!(line.contains("poppet.toml:") && line.contains("[process] status is \"\""), "{line}");
    assert!(refused(&ask(Path::new("/nowhere"), &[])).contains("there is no such file"));
}

#[test]
fn a_socket_is_not_taken_from_a_server_that_lives_and_replaces_one_that_has_gone() {
    let Some(mut first) = server() else { return };
    let path = format!("{:?}", first.folder.join("status"));
    // As root the servers are nobody's, and this one must get through.
    fs::set_permissions(&first.folder, fs::Permissions::from_mode(0o711)).unwrap();
    let second = Server::builder().config("process.status", &path).start();
    assert!(second.log().contains("poppet status can't ask this server: another server has "), "{}", second.log());
    assert!(told(&second.folder, &[]).contains(&format!("process {}, ", first.pid())));
    first.restart();
    assert!(told(&first.folder, &[]).contains(&format!("process {}, ", first.pid())));
    assert!(!first.log().contains("can't ask this server"), "{}", first.log());
}

#[test]
fn a_server_without_its_socket_serves_and_says_so_once() {
    if !ours() {
        return;
    }
    let server = Server::builder().config("process.status", "\"no/such/folder/status\"").start();
    server.log_in(USER).quit();
    assert_eq!(
        server.log().matches("poppet status can't ask this server: cannot make ").count(),
        1,
        "{}",
        server.log()
    );
}

#[test]
fn five_hundred_sessions_are_told_and_a_reader_that_does_not_read_keeps_nobody_waiting() {
    const SESSIONS: usize = 500;
    let Some(server) = ours().then(|| {
        let users = (0..SESSIONS).map(|number| format!("user-{number}-{}", "x".repeat(40)));
        let builder = Server::builder().user(USER, PASSWORD).config("process.status", "\"status\"");
        users.fold(builder, |builder, user| builder.user(&user, PASSWORD)).start()
    }) else {
        return;
    };
    let clients: Vec<_> =
        (0..SESSIONS).map(|number| server.log_in(&format!("user-{number}-{}", "x".repeat(40)))).collect();
    let mut bystander = server.log_in(USER);
    // Neither reads; the second one waits for the first.
    let stuck = [(); 2].map(|()| UnixStream::connect(server.folder.join("status")).unwrap());
    for _ in 0..100 {
        bystander.ok("NOOP");
    }
    let text = told(&server.folder, &[]);
    let rows = text.lines().filter(|line| line.starts_with("user-")).count();
    assert_eq!(rows, SESSIONS, "{text}");
    assert!(!server.log().contains("one turn took"), "{}", server.log());
    drop((stuck, clients));
}

#[test]
fn only_root_and_the_servers_user_are_told_by_a_keepers_server() {
    if !needs_root() {
        return;
    }
    let mut service = Service::new(NOBODY);
    service.serve();
    let (mut client, _) = service.connect(Channel::Tls);
    client.log_in(USER, PASSWORD);
    let as_user = |uid: u32, gid: u32| {
        let mut command = Command::new(service.at("poppet"));
        command.arg("status").arg("--config").arg(service.at("poppet.toml")).uid(uid).gid(gid).output().unwrap()
    };
    for (uid, gid) in [(0, 0), (NOBODY, NOBODY)] {
        let output = as_user(uid, gid);
        assert!(output.status.success() && said(&output).contains("\nada "), "{uid}: {}", said(&output));
        assert!(said(&output).contains(&format!("process {}, ", service.server(0))), "{}", said(&output));
    }
    // The second one is let in by the file's mode, and is told nothing.
    for (uid, gid) in [(NOBODY - 1, NOBODY - 1), (NOBODY - 1, NOBODY)] {
        assert!(refused(&as_user(uid, gid)).contains("only root, and the user that the server runs as, may ask"));
    }
    let found = fs::metadata(service.at("status")).unwrap();
    use std::os::unix::fs::MetadataExt as _;
    assert_eq!((found.uid(), found.gid(), found.mode() & 0o7777), (0, NOBODY, 0o660));
}

#[test]
fn the_next_server_of_a_keeper_answers_at_the_same_socket() {
    if !needs_root() {
        return;
    }
    let mut service = Service::new(NOBODY);
    service.serve();
    let before = service.server(0);
    assert!(told(service.folder.path(), &[]).contains(&format!("process {before}, ")));
    service.signal(before, rustix::process::Signal::KILL);
    let after = service.server(before);
    // Whoever asks meanwhile waits, as clients do, or is cut off with the old one.
    eventually("the next one answers", || {
        let output = ask(service.folder.path(), &[]);
        said(&output).contains(&format!("process {after}, "))
    });
}

#[test]
fn an_answer_is_given_without_a_word_from_whoever_asks() {
    let Some(server) = server() else { return };
    let mut stream = UnixStream::connect(server.folder.join("status")).unwrap();
    // What it says is not listened to, be it too late or too much.
    let _ = std::io::Write::write(&mut stream, &[b'x'; 4096]);
    let mut answer = String::new();
    let _ = stream.read_to_string(&mut answer);
    assert!(answer.starts_with("poppet-status 1\n"), "{answer}");
}
