//! Clients that vanish without a FIN: server, phone and desk in network namespaces of their own, and the phone's line cut.

mod common;

use std::fs::File;
use std::net::{IpAddr, Ipv4Addr, TcpStream};
use std::os::fd::AsFd;
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, DEADLINE, PASSWORD, Server, USER, eventually, needs, needs_root};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

/// A server's machine, with a line to a phone and one to a desk. Dropping it takes all away.
struct Lines {
    name: String,
}

/// The server's addresses, towards the phone and towards the desk.
const SERVER: [Ipv4Addr; 2] = [Ipv4Addr::new(10, 77, 1, 1), Ipv4Addr::new(10, 77, 2, 1)];
const PHONE: usize = 0;
const DESK: usize = 1;
const NAMES: [&str; 2] = ["phone", "desk"];

impl Lines {
    fn lay() -> Lines {
        static RUN: AtomicU32 = AtomicU32::new(0);
        let run = RUN.fetch_add(1, Ordering::Relaxed);
        let lines = Lines { name: format!("poppet-test-{}-{run}", std::process::id()) };
        let server = lines.space("server");
        ip(&format!("netns add {server}"));
        ip(&format!("-n {server} link set lo up"));
        for (name, ours) in NAMES.into_iter().zip(SERVER) {
            let (space, [a, b, c, _]) = (lines.space(name), ours.octets());
            let theirs = Ipv4Addr::new(a, b, c, 2);
            ip(&format!("netns add {space}"));
            ip(&format!("-n {server} link add {name} type veth peer name line netns {space}"));
            ip(&format!("-n {server} addr add {ours}/24 dev {name}"));
            ip(&format!("-n {space} addr add {theirs}/24 dev line"));
            ip(&format!("-n {server} link set {name} up"));
            ip(&format!("-n {space} link set line up"));
        }
        lines
    }

    fn space(&self, name: &str) -> String {
        format!("{}-{name}", self.name)
    }

    /// Does something there; sockets and programs that it makes stay there.
    fn within<T: Send>(&self, name: &str, work: impl FnOnce() -> T + Send) -> T {
        let space = File::open(format!("/run/netns/{}", self.space(name))).expect("the namespace");
        let work = || {
            move_into_link_name_space(space.as_fd(), Some(LinkNameSpaceType::Network)).expect("move there");
            work()
        };
        thread::scope(|scope| scope.spawn(work).join()).unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }

    /// A server that listens at both addresses.
    fn serve(&self, takeover_after: &str) -> Server {
        let builder = SERVER.iter().fold(Server::builder(), |builder, &address| builder.listen_also(address.into()));
        let builder = builder.config("login.plaintext-from", "[\"10.77.0.0/16\"]");
        self.within("server", || builder.config("limits.takeover-after", takeover_after).start())
    }

    /// A client at the phone or at the desk that has read the greeting.
    fn connect(&self, server: &Server, from: usize) -> Client {
        let [port, _] = server.also[from];
        assert_eq!(port.ip(), IpAddr::V4(SERVER[from]));
        let socket = self.within(NAMES[from], || TcpStream::connect_timeout(&port, DEADLINE).expect("connect"));
        let mut client = Client::over(socket);
        client.greeting = client.line();
        client
    }

    /// Nothing goes to the phone or comes from it, and nobody is told.
    fn cut(&self) {
        ip(&format!("-n {} link set line down", self.space("phone")));
    }

    fn mend(&self) {
        ip(&format!("-n {} link set line up", self.space("phone")));
    }
}

impl Drop for Lines {
    fn drop(&mut self) {
        for name in ["server", "phone", "desk"] {
            let _ = Command::new("ip").args(["netns", "del", &self.space(name)]).status();
        }
    }
}

fn ip(arguments: &str) {
    let done = Command::new("ip").args(arguments.split(' ')).output().expect("run ip");
    assert!(done.status.success(), "ip {arguments}: {}", String::from_utf8_lossy(&done.stderr));
}

fn can_lay_lines() -> bool {
    needs("ip") && needs_root()
}

/// Logs in from the desk, as soon as that is granted.
fn log_in_at_desk(lines: &Lines, server: &Server) -> Client {
    let mut granted = None;
    eventually("the desk gets the maildrop", || {
        let mut desk = lines.connect(server, DESK);
        desk.ok(&format!("USER {USER}"));
        let reply = desk.cmd(&format!("PASS {PASSWORD}"));
        assert!(reply.starts_with("+OK 2 ") || reply.starts_with("-ERR [IN-USE]"), "{reply}");
        granted = reply.starts_with("+OK").then_some(desk);
        granted.is_some()
    });
    granted.expect("the session at the desk")
}

#[test]
fn maildrop_of_a_client_that_vanished_goes_to_its_next_login_without_an_update() {
    if !can_lay_lines() {
        return;
    }
    let lines = Lines::lay();
    let server = lines.serve("\"1s\"");
    let maildir = server.maildir(USER);
    maildir.deliver(b"Subject: 1\n\n");
    maildir.deliver(b"Subject: 2\n\n");
    let before = maildir.files();
    let mut phone = lines.connect(&server, PHONE);
    phone.log_in(USER, PASSWORD);
    phone.body("RETR 1");
    phone.ok("DELE 1");
    lines.cut();
    // What it says now reaches nobody before it is too late.
    phone.send(b"QUIT\r\n");
    let mut desk = log_in_at_desk(&lines, &server);
    lines.mend();
    let heard = phone.rest();
    assert!(!heard.contains(&b'\n'), "{}", heard.escape_ascii());
    desk.quit();
    assert_eq!(maildir.files(), before);
    assert!(server.log().contains("ip=[10.77.1.2], tls=no, retr=1/14, top=0/0, dele=0, left=2, reason=taken-over"));
}

#[test]
fn maildrop_of_a_client_that_vanished_in_the_middle_of_a_download_goes_to_its_next_login() {
    if !can_lay_lines() {
        return;
    }
    let lines = Lines::lay();
    let server = lines.serve("\"1s\"");
    let maildir = server.maildir(USER);
    for n in 0..2 {
        let mut large = format!("Subject: {n}\n\n").into_bytes();
        large.resize(90_000_000, b'x');
        maildir.deliver(&large);
    }
    let before = maildir.files();
    let mut phone = lines.connect(&server, PHONE);
    phone.log_in(USER, PASSWORD);
    phone.ok("DELE 2");
    phone.ok("RETR 1");
    let mut read = 0;
    while read < 1_000_000 {
        read += phone.one_read().len();
    }
    lines.cut();
    let mut desk = log_in_at_desk(&lines, &server);
    lines.mend();
    phone.try_send(b"QUIT\r\n").ok();
    let heard = phone.rest();
    assert!(read + heard.len() < 90_000_000 && !heard.ends_with(b".\r\n"), "{} octets", read + heard.len());
    desk.quit();
    assert_eq!(maildir.files(), before);
    assert!(server.log().contains("dele=0, left=2, reason=taken-over"), "{}", server.log());
}

/// Takes two minutes, so it runs where it is asked for: `cargo test --test vanish -- --ignored`.
#[test]
#[ignore = "takes two minutes"]
fn session_of_a_client_that_vanished_ends_by_itself() {
    if !can_lay_lines() {
        return;
    }
    let lines = Lines::lay();
    let server = lines.serve("\"10m\"");
    let mut phone = lines.connect(&server, PHONE);
    phone.log_in(USER, PASSWORD);
    // The phone's system acknowledges the reply in its own time. Were it still on its way, the server's would send it
    // again and again and ask nothing.
    thread::sleep(Duration::from_secs(1));
    lines.cut();
    let until = Instant::now() + Duration::from_secs(200);
    while !server.log().contains("LOGOUT, ") {
        assert!(Instant::now() < until, "{}", server.log());
        thread::sleep(Duration::from_secs(1));
    }
    assert!(server.log().contains("ip=[10.77.1.2], "), "{}", server.log());
    assert!(server.log().contains("reason=disconnected, "), "{}", server.log());
    lines.connect(&server, DESK).log_in(USER, PASSWORD);
}
