//! A real HAProxy in front: it says for whom it speaks, and looks whether the server is there.
//!
//! What is tried is the configuration that `docs/HAPROXY.md` shows, with ports and paths of its own.

mod common;

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4, TcpListener, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use common::certificates::client_config;
use common::{Client, PASSWORD, Server, USER, eventually, needs};
use rustix::net::{AddressFamily, SocketType, bind, connect, socket};

/// Where the clients of these tests are; HAProxy itself is at 127.0.0.1.
const CLIENT: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 9);

/// HAProxy with the configuration of the page. Dropping it ends it.
struct Proxy {
    child: Child,
    folder: tempfile::TempDir,
    /// For clear text and for TLS.
    ports: [SocketAddr; 2],
}

impl Proxy {
    /// In front of `server`, with `send-proxy` or `send-proxy-v2`.
    fn start(server: &Server, sends: &str) -> Proxy {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let free = [(); 2].map(|()| TcpListener::bind("127.0.0.1:0").expect("a free port"));
        let ports = free.each_ref().map(|listener| listener.local_addr().expect("its address"));
        drop(free);
        let text = configuration()
            .replace("bind :110", &format!("bind {}", ports[0]))
            .replace("bind :995", &format!("bind {}", ports[1]))
            .replace("192.0.2.10:110 ", &format!("{} ", server.plain))
            .replace("192.0.2.10:995 ", &format!("{} ", server.tls))
            .replace("send-proxy-v2", sends);
        // Often, and with a way to ask for the outcome.
        let text = text.replace(" check", " check inter 100ms");
        let text = format!("global\n    stats socket {}\n{text}", folder.path().join("socket").display());
        let file = folder.path().join("haproxy.cfg");
        fs::write(&file, text).expect("write the configuration");
        let log = fs::File::create(folder.path().join("log")).expect("a log");
        let mut command = Command::new("haproxy");
        command.arg("-db").arg("-f").arg(&file).stdin(Stdio::null());
        command.stdout(log.try_clone().expect("the log")).stderr(log);
        let proxy = Proxy { child: command.spawn().expect("start haproxy"), folder, ports };
        for port in ports {
            eventually("haproxy listens", || TcpStream::connect(port).is_ok());
        }
        proxy
    }

    /// What its last check of each server came to: `L7OK`, `L4OK`, or something else.
    fn checks(&self) -> Vec<String> {
        let Ok(mut socket) = UnixStream::connect(self.folder.path().join("socket")) else { return Vec::new() };
        socket.write_all(b"show stat\n").expect("ask haproxy");
        let mut table = String::new();
        socket.read_to_string(&mut table).expect("haproxy's answer");
        let mut rows = table.lines().map(|line| line.split(',').collect::<Vec<_>>());
        let head = rows.next().expect("a head");
        let at = head.iter().position(|name| *name == "check_status").expect("the column");
        rows.filter(|row| row.get(1) == Some(&"poppet")).map(|row| row[at].to_owned()).collect()
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if std::thread::panicking() {
            eprintln!("{}", fs::read_to_string(self.folder.path().join("log")).unwrap_or_default());
        }
    }
}

/// What the page shows of haproxy.cfg.
fn configuration() -> String {
    let page: PathBuf = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/HAPROXY.md");
    let page = fs::read_to_string(page).expect("the page");
    page.split_once("```haproxy\n").and_then(|(_, rest)| rest.split_once("```")).expect("a block").0.to_owned()
}

/// A connection from [`CLIENT`] to `port`.
fn come_to(port: SocketAddr) -> Client {
    let client = socket(AddressFamily::INET, SocketType::STREAM, None).expect("a socket");
    bind(&client, &SocketAddrV4::new(CLIENT, 0)).expect("bind");
    connect(&client, &port).expect("connect");
    Client::over(client.into())
}

#[test]
fn client_behind_haproxy_has_its_own_address_in_the_log() {
    if !needs("haproxy") {
        return;
    }
    for sends in ["send-proxy", "send-proxy-v2", "send-proxy-v2 proxy-v2-options crc32c,unique-id"] {
        let server = Server::builder()
            .config("listen.proxy-from", "[\"127.0.0.1\"]")
            .config("login.plaintext-from", &format!("[\"{CLIENT}\"]"))
            .start();
        server.maildir(USER).deliver(b"Subject: x\n\n");
        let proxy = Proxy::start(&server, sends);
        for (port, is_tls) in [(proxy.ports[0], false), (proxy.ports[1], true)] {
            let mut client = come_to(port);
            if is_tls {
                let config = client_config(&server.ca_file, &["pop3"], rustls::ALL_VERSIONS);
                client.handshake(config, "localhost").expect("shake hands");
            }
            assert!(client.line().starts_with("+OK"), "{sends}");
            client.log_in(USER, PASSWORD);
            assert_eq!(client.body("RETR 1"), b"Subject: x\r\n\r\n", "{sends}");
            client.quit();
            let tls = if is_tls { "1.3" } else { "no" };
            let said = format!("LOGIN, user={USER}, ip=[{CLIENT}], tls={tls}, ");
            eventually("the log has the client's address", || server.log().contains(&said));
        }
        assert!(!server.log().contains("ip=[127.0.0.1]"), "{sends}: {}", server.log());
    }
}

#[test]
fn health_checks_of_haproxy_find_the_server_and_leave_no_trace_in_the_log() {
    if !needs("haproxy") {
        return;
    }
    for sends in ["send-proxy", "send-proxy-v2"] {
        let server = Server::builder()
            .config("listen.proxy-from", "[\"127.0.0.1\"]")
            .config("limits.connections-per-address", "1")
            .env("POPPET_LOG", "debug")
            .start();
        let before = server.log();
        let proxy = Proxy::start(&server, sends);
        let is_ours = |line: &str| line.contains("CLOSED, ip=[127.0.0.1], ");
        eventually("checks came to both ports", || {
            let checks = server.log().lines().filter(|line| is_ours(line)).count();
            checks >= 20 && proxy.checks() == ["L7OK", "L4OK"]
        });
        let log = server.log();
        let unexpected: Vec<&str> =
            log[before.len()..].lines().filter(|line| !line.contains("DEBUG") || line.contains("refused")).collect();
        assert!(unexpected.is_empty(), "{sends}: {unexpected:?}");
    }
}

#[test]
fn haproxy_that_sends_no_header_is_closed_and_the_log_says_why() {
    if !needs("haproxy") {
        return;
    }
    let server = Server::builder().config("listen.proxy-from", "[\"127.0.0.1\"]").start();
    let proxy = Proxy::start(&server, "");
    let mut client = come_to(proxy.ports[0]);
    client.try_send(b"CAPA\r\n").ok();
    assert_eq!(client.rest(), b"");
    let said = "ip=[127.0.0.1]: no PROXY header, and [listen] proxy-from has this address";
    eventually("the log says why", || server.log().contains(said));
}
