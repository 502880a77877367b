//! The harness of the black-box tests: a server of its own for each test, and what talks to it.
//!
//! Owns: how a server is configured, started, asked and ended; what is skipped where something is missing.
//! Does not know: anything of poppet but its command line and its configuration file.
//!
//! `POPPET_UNDER_TEST=host:port` runs the cases against any other POP3 server, which proves the cases themselves:
//! `POPPET_UNDER_TEST_TLS=host:port` is its TLS port, `POPPET_UNDER_TEST_CA=FILE` the PEM that vouches for it, and
//! `POPPET_UNDER_TEST_MAILDIR=/path/{user}` where it looks for mail. Any user must get in with the password `secret`.
//! `POPPET_TEST_ALL=1` turns what would be skipped for want of a program into a failure.

// Each test crate uses a part of this.
#![allow(dead_code)]

pub mod builder;
pub mod certificates;
pub mod client;
pub mod maildir;
pub mod process;
pub mod script;
pub mod service;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};
use std::{env, fs, thread};

pub use builder::Builder;
pub use certificates::Authority;
pub use client::{Channel, Client};
pub use maildir::Maildir;

/// How long anything may take before a test calls it a hang. Generous: nothing here measures time.
pub const DEADLINE: Duration = Duration::from_secs(20);
/// The user that every server has unless the builder names others.
pub const USER: &str = "ada";
/// That user's password, and everybody's on a server that is not ours.
pub const PASSWORD: &str = "secret";

/// A running server. Dropping it ends it, and shows its log where the test failed.
pub struct Server {
    /// Where it speaks clear text until STLS.
    pub plain: SocketAddr,
    /// Where it speaks TLS from the first octet; [`Server::plain`] where it has none.
    pub tls: SocketAddr,
    /// Where else it listens: clear text and TLS at each address that the builder was told.
    pub also: Vec<[SocketAddr; 2]>,
    /// PEM of the authority that vouches for `localhost` and `127.0.0.1`.
    pub ca_file: PathBuf,
    /// The folder with everything of this server: configuration, users, mail, log.
    pub folder: PathBuf,
    speaks_tls: bool,
    mail_template: String,
    real_names: HashMap<String, String>,
    maildirs: HashMap<String, Maildir>,
    child: Option<Child>,
    environment: Vec<(String, String)>,
    runner: Vec<String>,
    _folder: Option<tempfile::TempDir>,
}

impl Server {
    /// A server with TLS and the user [`USER`].
    pub fn start() -> Server {
        Server::builder().start()
    }

    /// What to set before the start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// The Maildir of `user`, one of those named to the builder.
    pub fn maildir(&self, user: &str) -> Maildir {
        self.maildirs.get(user).unwrap_or_else(|| panic!("the test names no user {user}")).clone()
    }

    /// What `user` is called on the wire: itself, or a fresh name on a server that is not ours.
    pub fn name_of<'a>(&'a self, user: &'a str) -> &'a str {
        self.real_names.get(user).map_or(user, String::as_str)
    }

    /// What the server wrote to standard error.
    pub fn log(&self) -> String {
        fs::read(self.folder.join("log")).map_or_else(|_| String::new(), |log| String::from_utf8_lossy(&log).into())
    }

    /// What strace wrote so far, where the builder was told to run the server under it.
    pub fn trace(&self) -> String {
        fs::read(self.folder.join("trace"))
            .map_or_else(|_| String::new(), |trace| String::from_utf8_lossy(&trace).into())
    }

    /// Where it listens, for clear text or for TLS.
    fn ports(&self, channel: Channel) -> Vec<SocketAddr> {
        let tls = channel == Channel::Tls;
        let first = if tls { self.tls } else { self.plain };
        std::iter::once(first).chain(self.also.iter().map(|pair| pair[usize::from(tls)])).collect()
    }

    /// The id of the server's process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a server of our own").id()
    }

    /// Sends SIGTERM.
    pub fn terminate(&self) {
        let pid = rustix::process::Pid::from_child(self.child.as_ref().expect("a server of our own"));
        rustix::process::kill_process(pid, rustix::process::Signal::TERM).expect("SIGTERM");
    }

    /// Waits for the process to end by itself; whether it said success.
    pub fn wait(&mut self) -> bool {
        let child = self.child.as_mut().expect("a server of our own");
        let until = Instant::now() + DEADLINE;
        while Instant::now() < until {
            if let Some(status) = child.try_wait().expect("wait for the server") {
                return status.success();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("the server has not ended within {DEADLINE:?}");
    }

    /// Kills it and starts it anew.
    pub fn restart(&mut self) {
        let child = self.child.as_mut().expect("a server of our own");
        child.kill().and_then(|()| child.wait()).expect("end the server");
        self.start_again();
    }

    /// Starts one that has ended anew, on the same ports and files.
    pub fn start_again(&mut self) {
        let starts = 1 + self.log().matches(&format!("listening at {} ", self.plain)).count();
        self.child = Some(self.spawn());
        assert!(self.greets(starts), "the server does not start again:\n{}", self.log());
    }

    /// Whether the process is still there.
    pub fn is_running(&mut self) -> bool {
        self.child.as_mut().is_none_or(|child| child.try_wait().expect("look at the server").is_none())
    }

    /// A client over clear text that has read the greeting.
    pub fn connect(&self) -> Client {
        self.connect_over(Channel::Plain)
    }

    /// A client over TLS from the first octet that has read the greeting.
    pub fn connect_tls(&self) -> Client {
        self.connect_over(Channel::Tls)
    }

    /// A client that has read the greeting, said STLS and shaken hands.
    pub fn connect_stls(&self) -> Client {
        self.connect_over(Channel::Stls)
    }

    /// A client that has read the greeting, over any of the three.
    pub fn connect_over(&self, channel: Channel) -> Client {
        Client::connect(self, channel)
    }

    /// A client of `user` that has logged in.
    pub fn log_in(&self, user: &str) -> Client {
        let mut client = self.connect();
        client.log_in(self.name_of(user), PASSWORD);
        client
    }

    /// The ways to this server.
    pub fn channels(&self) -> &'static [Channel] {
        if self.speaks_tls { &[Channel::Plain, Channel::Stls, Channel::Tls] } else { &[Channel::Plain] }
    }

    /// A socket that has read nothing yet.
    pub fn socket(&self) -> TcpStream {
        let socket = TcpStream::connect_timeout(&self.plain, DEADLINE).expect("connect");
        socket.set_nodelay(true).expect("no delay");
        socket
    }

    fn foreign(builder: &Builder, address: &str) -> Server {
        let resolve = |text: &str| text.to_socket_addrs().ok().and_then(|mut all| all.next()).expect("host:port");
        let plain = resolve(address);
        let tls = env::var("POPPET_UNDER_TEST_TLS").ok().map(|text| resolve(&text));
        let mail_template = env::var("POPPET_UNDER_TEST_MAILDIR").expect("POPPET_UNDER_TEST_MAILDIR=/path/{user}");
        let mut server = Server {
            plain,
            tls: tls.unwrap_or(plain),
            also: Vec::new(),
            ca_file: env::var_os("POPPET_UNDER_TEST_CA").unwrap_or_default().into(),
            folder: PathBuf::new(),
            speaks_tls: tls.is_some() && !builder.without_tls,
            mail_template,
            real_names: HashMap::new(),
            maildirs: HashMap::new(),
            child: None,
            environment: Vec::new(),
            runner: Vec::new(),
            _folder: None,
        };
        for (user, _) in &builder.users {
            static RUN: AtomicU32 = AtomicU32::new(0);
            let fresh = format!("{user}-{}-{}", std::process::id(), RUN.fetch_add(1, Ordering::Relaxed));
            server.real_names.insert(user.clone(), fresh);
        }
        server.lay_maildirs(builder);
        server
    }

    fn lay_maildirs(&mut self, builder: &Builder) {
        for (user, _) in &builder.users {
            let path = self.mail_template.replace("{user}", self.name_of(user));
            self.maildirs.insert(user.clone(), Maildir::lay(Path::new(&path)));
        }
    }

    fn spawn(&self) -> Child {
        let log = fs::File::options().create(true).append(true).open(self.folder.join("log")).expect("a log");
        let binary = binary(&self.folder);
        let mut command = match &self.runner[..] {
            [] => Command::new(binary),
            [program, arguments @ ..] => {
                let mut command = Command::new(program);
                command.args(arguments).arg(binary);
                command
            }
        };
        command.envs(self.environment.iter().cloned());
        command.arg("serve").arg("--config").arg(self.folder.join("poppet.toml")).current_dir(&self.folder);
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log);
        if let Some(owner) = unprivileged() {
            command.uid(owner).gid(owner);
        }
        command.spawn().expect("start the server")
    }

    /// Waits until the server itself says that it has its ports. That somebody answers there proves nothing:
    /// it may be the server of another test.
    ///
    /// `starts` is how often it was started with this log.
    fn greets(&mut self, starts: usize) -> bool {
        let until = Instant::now() + DEADLINE;
        let mut ports = self.ports(Channel::Plain);
        if self.speaks_tls {
            ports.extend(self.ports(Channel::Tls));
        }
        while Instant::now() < until && self.is_running() {
            let log = self.log();
            if ports.iter().all(|port| log.matches(&format!("listening at {port} ")).count() == starts) {
                return true;
            }
            thread::sleep(Duration::from_millis(10));
        }
        false
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
            if thread::panicking() {
                eprintln!("---- log of the server ----\n{}---- end of the log ----", self.log());
            }
        } else {
            for maildir in self.maildirs.values() {
                maildir.remove();
            }
        }
    }
}

/// Whether the server under test is poppet, started by this test. Says `skipped` where it is not.
pub fn ours() -> bool {
    let ours = env::var_os("POPPET_UNDER_TEST").is_none();
    if !ours {
        eprintln!("skipped: needs its own server");
    }
    ours
}

/// Whether `program` is on the path. Says `skipped` where it is not, and fails where `POPPET_TEST_ALL=1`.
pub fn needs(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let found =
        env::split_paths(&path).chain(["/usr/sbin".into(), "/sbin".into()]).any(|at| at.join(program).is_file());
    found || skipped(program)
}

/// Whether the test runs as root. Says `skipped` where it does not, and fails where `POPPET_TEST_ALL=1`.
pub fn needs_root() -> bool {
    rustix::process::geteuid().is_root() || skipped("root")
}

/// Whether strace is there and may trace. Says `skipped` where not, and fails where `POPPET_TEST_ALL=1`.
pub fn can_trace() -> bool {
    let tries = || Command::new("strace").args(["-qq", "-o", "/dev/null", "true"]).status();
    needs("strace") && (tries().is_ok_and(|status| status.success()) || skipped("permission to trace programs"))
}

/// Whether this machine has `::1`. Says `skipped` where it has not.
pub fn has_ipv6() -> bool {
    let has = std::net::TcpListener::bind("[::1]:0").is_ok();
    if !has {
        eprintln!("skipped: needs an IPv6 loopback");
    }
    has
}

fn skipped(what: &str) -> bool {
    assert!(env::var("POPPET_TEST_ALL").as_deref() != Ok("1"), "needs {what}");
    eprintln!("skipped: needs {what}");
    false
}

/// Tries `question` until it says yes; panics with `what` at the deadline.
pub fn eventually(what: &str, mut question: impl FnMut() -> bool) {
    let until = Instant::now() + DEADLINE;
    while !question() {
        assert!(Instant::now() < until, "not within {DEADLINE:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Whom the server runs as where the tests run as root: `nobody`, so that permissions mean something.
fn unprivileged() -> Option<u32> {
    rustix::process::geteuid().is_root().then_some(65534)
}

/// The program, where an unprivileged user can reach it: a build below `/root` is copied.
fn binary(folder: &Path) -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_poppet"));
    let open = |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    if unprivileged().is_none() || built.ancestors().all(open) {
        return built.to_owned();
    }
    let copy = folder.join("poppet");
    fs::copy(built, &copy).expect("copy the program");
    copy
}
