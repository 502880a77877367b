//! Started as root: a keeper that stays root, and a server that has nothing left of it.
//!
//! Needs root.

mod common;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::client::Channel;
use common::service::{NOBODY, Service};
use common::{PASSWORD, USER, eventually, needs_root};
use rustix::process::Signal;

/// A service of root's with mail of nobody's.
fn service() -> Option<Service> {
    needs_root().then(|| {
        let mut service = Service::new(NOBODY);
        service.serve();
        service
    })
}

fn proc(pid: u32, file: &str) -> String {
    fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_else(|error| panic!("/proc/{pid}/{file}: {error}"))
}

#[test]
fn nothing_of_root_is_left_in_the_server() {
    let Some(service) = service() else { return };
    service.connect(Channel::Plain).0.log_in(USER, PASSWORD);
    let server = service.server(0);
    let mut threads = 0;
    for thread in fs::read_dir(format!("/proc/{server}/task")).unwrap() {
        let status = fs::read_to_string(thread.unwrap().path().join("status")).unwrap();
        let field = |name: &str| {
            let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name}"));
            line.split_whitespace().collect::<Vec<_>>().join(" ")
        };
        assert_eq!(field("Uid:"), "65534 65534 65534 65534");
        assert_eq!(field("Gid:"), "65534 65534 65534 65534");
        assert_eq!(field("Groups:"), "");
        for set in ["CapInh:", "CapPrm:", "CapEff:", "CapBnd:", "CapAmb:"] {
            assert_eq!(field(set), "0000000000000000", "{set}");
        }
        assert_eq!(field("NoNewPrivs:"), "1");
        assert_eq!(field("Umask:"), "0077");
        threads += 1;
    }
    assert!(threads > 1, "the loop and a worker");
    let limits = proc(server, "limits");
    let limit = |name: &str| {
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.split_whitespace().take(2).map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(limit("Max core file size"), ["0", "0"]);
    assert_eq!(limit("Max open files"), ["830", "830"], "two for each of 400 connections, and some");
    assert_eq!(fs::read_link(format!("/proc/{server}/cwd")).unwrap().to_str(), Some("/"));
    let environment = proc(server, "environ");
    let names: Vec<&str> = environment.split_terminator('\0').filter_map(|it| Some(it.split_once('=')?.0)).collect();
    assert_eq!(names, ["MALLOC_ARENA_MAX", "MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_"]);
    // A process that can't be dumped belongs to root in /proc.
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(format!("/proc/{server}/environ")).unwrap().uid(), 0);
    assert_eq!(proc(server, "comm"), "poppet\n");
}

#[test]
fn a_keeper_with_few_capabilities_is_enough() {
    if !needs_root() || !common::needs("setpriv") {
        return;
    }
    let mut service = Service::new(NOBODY);
    let own = service.command();
    let mut command = std::process::Command::new("setpriv");
    // Owners of files aside, what a unit would leave it.
    command.arg("--bounding-set=-all,+setuid,+setgid,+net_bind_service,+dac_read_search").arg("--inh-caps=-all");
    command.arg(own.get_program()).args(own.get_args());
    service.start(command);
    service.connect(Channel::Tls).0.log_in(USER, PASSWORD);
    assert!(service.at("status").exists(), "no socket for poppet status: {}", service.log());
    let status = proc(service.server(0), "status");
    for line in ["CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Uid:\t65534\t65534"] {
        assert!(status.contains(line), "{line}\n{status}");
    }
    service.signal(service.pid(), Signal::TERM);
    assert!(service.wait(), "{}", service.log());
}

#[test]
fn a_key_that_only_root_can_read_is_used_on_all_ways() {
    let Some(service) = service() else { return };
    for channel in [Channel::Stls, Channel::Tls] {
        let (mut client, _) = service.connect(channel);
        client.log_in(USER, PASSWORD);
        client.quit();
    }
}

#[test]
fn supplementary_groups_are_those_of_the_group_file() {
    if !needs_root() {
        return;
    }
    // Somebody who is a member of something: not on every machine.
    let group = fs::read_to_string("/etc/group").unwrap();
    let passwd = fs::read_to_string("/etc/passwd").unwrap();
    let found = passwd.lines().filter_map(|line| line.split(':').next()).find_map(|name| {
        let identity = poppet::privileges::Identity::among(name, &passwd, &group).ok()?;
        (!identity.groups.is_empty()).then_some(identity)
    });
    let Some(identity) = found else {
        eprintln!("skipped: needs a user who is a member of another group");
        return;
    };
    let mut service = Service::new(identity.uid);
    let text = fs::read_to_string(service.at("poppet.toml")).unwrap();
    fs::write(service.at("poppet.toml"), text.replace("\"nobody\"", &format!("{:?}", identity.name))).unwrap();
    service.serve();
    // Whoever is served is served by a server that has given up.
    service.connect(Channel::Plain);
    let status = proc(service.server(0), "status");
    let line = status.lines().find_map(|line| line.strip_prefix("Groups:")).unwrap();
    let groups: BTreeSet<u32> = line.split_whitespace().map(|it| it.parse().unwrap()).collect();
    assert_eq!(groups, identity.groups.into_iter().collect());
}

#[test]
fn root_and_strangers_are_refused_as_the_server() {
    if !needs_root() {
        return;
    }
    let service = Service::new(NOBODY);
    for (user, told) in [("root", "does not run as root"), ("no-such-user", "there is no user")] {
        let text = fs::read_to_string(service.at("poppet.toml")).unwrap();
        let line = text.lines().find(|line| line.starts_with("user =")).unwrap();
        fs::write(service.at("poppet.toml"), text.replace(line, &format!("user = {user:?}"))).unwrap();
        let done = service.command().output().unwrap();
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert_eq!(done.status.code(), Some(78), "{said}");
        assert!(said.contains(": [process] user: ") && said.contains(told), "{said}");
    }
}

#[test]
fn a_server_that_cannot_start_ends_the_keeper_with_its_words() {
    if !needs_root() {
        return;
    }
    let service = Service::new(NOBODY);
    fs::write(service.at("users"), "nonsense\n").unwrap();
    let done = service.command().output().unwrap();
    let said = String::from_utf8_lossy(&done.stderr).into_owned();
    assert_eq!(done.status.code(), Some(78), "{said}");
    assert!(said.contains("poppet: ") && said.contains("users"), "{said}");
}

#[test]
fn nobody_is_refused_while_a_killed_server_is_replaced() {
    let Some(service) = service() else { return };
    let (mut session, _) = service.connect(Channel::Plain);
    session.log_in(USER, PASSWORD);
    session.ok("DELE 1");
    let (stop, served) = (AtomicBool::new(false), AtomicUsize::new(0));
    thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                // A greeting may be cut off by the kill itself; the connection may not be refused.
                let socket = std::net::TcpStream::connect(service.ports[0]).expect("not refused");
                let mut client = common::Client::over(socket);
                if client.line_or_end().is_some_and(|line| line.starts_with("+OK")) {
                    served.fetch_add(1, Ordering::SeqCst);
                }
            }
        });
        let mut before = 0;
        for _ in 0..3 {
            let server = service.server(before);
            let so_far = served.load(Ordering::SeqCst);
            eventually("some are served", || served.load(Ordering::SeqCst) > so_far + 20);
            service.signal(server, Signal::KILL);
            before = server;
        }
        service.server(before);
        let so_far = served.load(Ordering::SeqCst);
        eventually("some are served again", || served.load(Ordering::SeqCst) > so_far + 20);
        stop.store(true, Ordering::SeqCst);
    });
    let (mut client, _) = service.connect(Channel::Tls);
    client.log_in(USER, PASSWORD);
    assert_eq!(client.ok("STAT").split(' ').nth(1), Some("1"), "the mark died with its session");
    assert_eq!(service.logged("the server ended (signal: 9 (SIGKILL)); the next one starts in "), 3);
}

#[test]
fn sigterm_ends_both_without_an_update() {
    let Some(mut service) = service() else { return };
    let server = service.server(0);
    let (mut session, _) = service.connect(Channel::Plain);
    session.log_in(USER, PASSWORD);
    session.ok("DELE 1");
    service.signal(service.pid(), Signal::TERM);
    assert!(service.wait(), "{}", service.log());
    assert!(session.line_or_end().is_none());
    assert!(!fs::exists(format!("/proc/{server}")).unwrap());
    assert!(service.at("mail").join(USER).join("new/1.first").exists());
    assert_eq!(service.logged("stopping: "), 1);
    assert_eq!(service.logged("reason=shutdown"), 1);
}

#[test]
fn a_server_without_a_keeper_ends() {
    let Some(service) = service() else { return };
    service.connect(Channel::Plain);
    let server = service.server(0);
    service.signal(service.pid(), Signal::KILL);
    eventually("the server ends", || !fs::exists(format!("/proc/{server}")).unwrap());
    assert_eq!(service.logged("stopping: "), 1);
}

#[test]
fn files_outside_the_mail_are_closed_where_the_kernel_can_close_them() {
    let Some(service) = service() else { return };
    assert_eq!(service.logged("Landlock: "), 1, "{}", service.log());
    let told = format!("Landlock: no file outside {} can be written", service.at("mail").display());
    if service.logged(&told) == 0 {
        eprintln!("skipped: needs a kernel with Landlock");
        return;
    }
    // A Maildir that the users file names after the start, and that everybody may read.
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o755)).unwrap();
    let outside = folder.path().join("outside");
    for sub in ["new", "cur", "tmp"] {
        fs::create_dir_all(outside.join(sub)).unwrap();
    }
    fs::write(
        service.at("users"),
        format!("eve:{{PLAIN}}{PASSWORD}::::/::userdb_mail=maildir:{}\n", outside.display()),
    )
    .unwrap();
    let (mut client, _) = service.connect(Channel::Plain);
    client.ok("USER eve");
    client.err(&format!("PASS {PASSWORD}"));
    service.until_logged("LOGIN REFUSED, user=eve", 1);
    assert!(service.log().contains("Permission denied"), "{}", service.log());
}

#[test]
fn sigterm_is_heard_while_the_server_owes_an_answer() {
    let Some(mut service) = service() else { return };
    let (keeper, server) = (service.pid(), service.server(0));
    service.signal(server, Signal::STOP);
    service.renew("localhost");
    service.look();
    service.until_logged("SIGHUP: ", 1);
    service.signal(keeper, Signal::TERM);
    // It gives up the ports at once. What tells the server to stop waits for it.
    eventually("the keeper holds no port", || ports_of(keeper) == 0);
    service.signal(server, Signal::CONT);
    assert!(service.wait(), "{}", service.log());
    assert!(service.log().contains("stopping: "), "{}", service.log());
}

/// Sockets that `pid` listens at, by their inodes.
fn ports_of(pid: u32) -> usize {
    let listening: BTreeSet<String> = ["tcp", "tcp6"]
        .iter()
        .flat_map(|table| {
            let text = proc(pid, &format!("net/{table}"));
            let rows = text.lines().skip(1).map(|row| row.split_whitespace().map(String::from).collect::<Vec<_>>());
            rows.filter(|row| row[3] == "0A").map(|row| format!("socket:[{}]", row[9])).collect::<Vec<_>>()
        })
        .collect();
    let open = fs::read_dir(format!("/proc/{pid}/fd")).expect("descriptors").flatten();
    let links = open.filter_map(|entry| fs::read_link(entry.path()).ok());
    links.filter(|link| listening.contains(&*link.to_string_lossy())).count()
}

#[test]
fn a_server_that_gives_no_answer_is_ended() {
    let Some(mut service) = service() else { return };
    let keeper = service.pid();
    assert_eq!(ports_of(keeper), 2);
    // It is stopped before it has answered, which a busy machine may be too slow for.
    for _ in 0..7 {
        let (before, ready) = (service.server(0), service.logged("listening at "));
        service.signal(before, Signal::KILL);
        // Not before it runs the program: until then the keeper waits for that.
        let runs = |pid: &u32| fs::read(format!("/proc/{pid}/cmdline")).is_ok_and(|line| line.starts_with(b"poppet\0"));
        let next = std::iter::repeat_with(|| proc(keeper, &format!("task/{keeper}/children")))
            .find_map(|children| {
                children.split_whitespace().next()?.parse().ok().filter(|pid| *pid != before && runs(pid))
            })
            .expect("endless");
        service.signal(next, Signal::STOP);
        if service.logged("listening at ") == ready {
            service.signal(keeper, Signal::TERM);
            assert!(service.wait(), "{}", service.log());
            assert_eq!(service.logged("the server gives no answer: it is ended"), 1, "{}", service.log());
            assert!(!fs::exists(format!("/proc/{next}")).unwrap());
            return;
        }
        service.signal(next, Signal::CONT);
    }
    panic!("each server was ready before it could be stopped:\n{}", service.log());
}
