//! A poppet that is started as root, or by systemd, and what it says to systemd.
//!
//! Owns: its folder, how it is started and ended, certificates that are swapped as certbot does.
//! Does not know: what it ought to do.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown, symlink};
use std::os::unix::net::UnixDatagram;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use std::{fs, thread};

use rustix::process::{Pid, Signal, kill_process};

use super::client::{Channel, Client};
use super::{Authority, DEADLINE, PASSWORD, USER, certificates, eventually};

/// Whom a keeper's server runs as. Certificates are root's then; another owner has its own.
pub const NOBODY: u32 = 65534;

/// A service, whoever it runs as. Dropping it ends it.
pub struct Service {
    /// Everything that it has.
    pub folder: tempfile::TempDir,
    /// Clear text, and TLS from the first octet.
    pub ports: [SocketAddr; 2],
    owner: u32,
    authority: Authority,
    serial: u32,
    child: Option<Child>,
    systemd: Option<UnixDatagram>,
}

impl Service {
    /// The files of one: a Maildir and a users file of `owner`; a certificate and a key of root's, behind links.
    pub fn new(owner: u32) -> Service {
        let folder = tempfile::Builder::new().prefix("poppet-service-").tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        mode(folder.path(), 0o755);
        let mail = at("mail").join(USER);
        for sub in ["new", "cur", "tmp"] {
            fs::create_dir_all(mail.join(sub)).expect("a Maildir");
            give(&mail.join(sub), owner);
        }
        give(&mail, owner);
        fs::write(mail.join("new/1.first"), "Subject: one\n\nbody\n").expect("a message");
        give(&mail.join("new/1.first"), owner);
        fs::write(at("users"), format!("{USER}:{{PLAIN}}{PASSWORD}\n")).expect("a users file");
        mode(&at("users"), 0o600);
        give(&at("users"), owner);
        // By another process: one that another thread starts meanwhile would hold our copy open, and so busy.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_poppet")).arg(at("poppet")).status().expect("cp");
        assert!(copied.success(), "copy the program");
        let ports = [(); 2].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port"));
        let ports = ports.map(|port| port.local_addr().expect("its address"));
        let (authority, child, systemd) = (Authority::new(), None, None);
        let mut service = Service { folder, ports, owner, authority, serial: 0, child, systemd };
        fs::write(service.at("ca.pem"), service.authority.pem()).expect("an authority");
        for sub in ["live", "archive"] {
            fs::create_dir(service.at(sub)).expect("a folder");
            mode(&service.at(sub), if owner == NOBODY { 0o700 } else { 0o755 });
        }
        service.renew("localhost");
        service.configure("");
        service
    }

    /// A path in its folder.
    pub fn at(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Writes the configuration, with `more` at its end.
    pub fn configure(&self, more: &str) {
        let text = format!(
            "[listen]\npop3 = [\"{}\"]\npop3s = [\"{}\"]\n[tls]\ncertificate = \"live/fullchain.pem\"\nprivate-key = \
             \"live/privkey.pem\"\n[mail]\nmaildir = \"{}/{{user}}\"\n[users]\nfile = \"users\"\n[limits]\n\
             connections-per-address = 1000\nconnections = 400\n[process]\nuser = \"nobody\"\nstatus = \"status\"\n{more}",
            self.ports[0],
            self.ports[1],
            self.at("mail").display()
        );
        fs::write(self.at("poppet.toml"), text).expect("a configuration");
    }

    /// A new pair for `name` in `archive`, of mode 0600, and links in `live` that lead to it, as certbot does it.
    pub fn renew(&mut self, name: &str) {
        let pair = self.authority.certify(&[name, "localhost"]);
        self.install(&pair.cert.pem(), &pair.signing_key.serialize_pem());
    }

    /// A pair that has expired.
    pub fn expire(&mut self) {
        let pair = self.authority.certify_until(&["localhost"], 2020);
        self.install(&pair.cert.pem(), &pair.signing_key.serialize_pem());
    }

    /// These texts, in that way.
    pub fn install(&mut self, certificate: &str, key: &str) {
        self.serial += 1;
        for (name, text) in [("fullchain", certificate), ("privkey", key)] {
            let file = format!("archive/{name}{}.pem", self.serial);
            fs::write(self.at(&file), text).expect("a file");
            mode(&self.at(&file), 0o600);
            if self.owner != NOBODY {
                give(&self.at(&file), self.owner);
            }
            let link = self.at(&format!("live/{name}.pem"));
            symlink(format!("../{file}"), self.at("live/next")).expect("a link");
            fs::rename(self.at("live/next"), link).expect("swap a link");
        }
    }

    /// Its socket for what is said to systemd, in an abstract name or in a file; before the start.
    pub fn systemd(&mut self, is_abstract: bool) -> String {
        use std::os::linux::net::SocketAddrExt;
        let (socket, name) = if is_abstract {
            let name = format!("poppet-test-{}", self.folder.path().file_name().expect("a name").to_string_lossy());
            let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).expect("an address");
            (UnixDatagram::bind_addr(&address).expect("a socket"), format!("@{name}"))
        } else {
            let path = self.at("notify");
            let socket = UnixDatagram::bind(&path).expect("a socket");
            mode(&path, 0o777);
            (socket, path.display().to_string())
        };
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        self.systemd = Some(socket);
        name
    }

    /// The next message to systemd that has `what` in it.
    pub fn told(&self, what: &str) -> String {
        let socket = self.systemd.as_ref().expect("a socket");
        let mut space = [0; 1024];
        for _ in 0..200 {
            let length = socket.recv(&mut space).unwrap_or_else(|error| panic!("no {what}: {error}\n{}", self.log()));
            let text = String::from_utf8_lossy(&space[..length]).into_owned();
            if text.contains(what) {
                return text;
            }
        }
        panic!("200 messages, and none with {what}");
    }

    /// Whether a message to systemd with `what` in it comes within a second.
    pub fn is_told(&self, what: &str) -> bool {
        let socket = self.systemd.as_ref().expect("a socket");
        socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a deadline");
        let mut space = [0; 1024];
        let mut found = false;
        while let (false, Ok(length)) = (found, socket.recv(&mut space)) {
            found = String::from_utf8_lossy(&space[..length]).contains(what);
        }
        socket.set_read_timeout(Some(DEADLINE)).expect("a deadline");
        found
    }

    /// The command that starts it.
    pub fn command(&self) -> Command {
        let mut command = Command::new(self.at("poppet"));
        command.arg("serve").arg("--config").arg(self.at("poppet.toml"));
        command
    }

    /// Starts it by `command`, and waits until it listens.
    pub fn start(&mut self, command: Command) {
        self.spawn(command);
        let port = self.ports[1];
        self.until_logged(&format!("listening at {port} "), 1);
    }

    /// Starts `command`, as the service's first process.
    pub fn spawn(&mut self, mut command: Command) {
        let log = fs::File::create(self.at("log")).expect("a log");
        command.stdin(Stdio::null()).stdout(log.try_clone().expect("the log")).stderr(log).current_dir("/");
        self.child = Some(command.spawn().expect("start it"));
    }

    /// Starts it as it is.
    pub fn serve(&mut self) {
        self.start(self.command());
    }

    /// Starts it as the owner of the mail, whom the certificates are given to as well: one process.
    pub fn alone(&mut self) {
        self.start(self.as_owner(self.command()));
    }

    /// `command`, as the owner of the mail.
    pub fn as_owner(&self, mut command: Command) -> Command {
        if rustix::process::geteuid().is_root() {
            command.uid(self.owner).gid(self.owner);
        }
        command
    }

    /// What it wrote to standard error.
    pub fn log(&self) -> String {
        fs::read_to_string(self.at("log")).unwrap_or_default()
    }

    /// How often the log has `text`.
    pub fn logged(&self, text: &str) -> usize {
        self.log().matches(text).count()
    }

    /// Waits until the log has `text` so often.
    pub fn until_logged(&self, text: &str, times: usize) {
        eventually(&format!("{times} times {text:?} in\n{}", self.log()), || self.logged(text) >= times);
    }

    /// The first process: the keeper, where it runs as root.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a process").id()
    }

    /// The keeper's server, once it is another than `before`.
    pub fn server(&self, before: u32) -> u32 {
        let children = format!("/proc/{0}/task/{0}/children", self.pid());
        let mut found = 0;
        eventually(&format!("a server in\n{}", self.log()), || {
            let text = fs::read_to_string(&children).expect("children of the keeper");
            found = text.split_whitespace().next().and_then(|pid| pid.parse().ok()).unwrap_or(0);
            found != 0 && found != before
        });
        found
    }

    /// Sends `signal` to `pid`.
    pub fn signal(&self, pid: u32, signal: Signal) {
        let pid = Pid::from_raw(pid.try_into().expect("a pid")).expect("a pid");
        kill_process(pid, signal).expect("a signal");
    }

    /// Waits for it to end; whether it said success.
    pub fn wait(&mut self) -> bool {
        let child = self.child.as_mut().expect("a process");
        for _ in 0..2000 {
            if let Some(status) = child.try_wait().expect("wait") {
                return status.success();
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("it does not end:\n{}", self.log());
    }

    /// A client that has read the greeting and shaken hands; which certificate it was shown.
    pub fn connect(&self, channel: Channel) -> (Client, Vec<u8>) {
        let port = self.ports[usize::from(channel == Channel::Tls)];
        let socket = std::net::TcpStream::connect_timeout(&port, DEADLINE).expect("connect");
        let mut client = Client::over(socket);
        if channel != Channel::Tls {
            assert!(client.line().starts_with("+OK"));
        }
        if channel == Channel::Stls {
            client.ok("STLS");
        }
        if channel != Channel::Plain {
            let config = certificates::client_config(&self.at("ca.pem"), &["pop3"], rustls::ALL_VERSIONS);
            client.handshake(config, "localhost").expect("shake hands");
        }
        if channel == Channel::Tls {
            assert!(client.line().starts_with("+OK"));
        }
        let shown = client.tls().and_then(|tls| tls.peer_certificates()).map(|chain| chain[0].to_vec());
        (client, shown.unwrap_or_default())
    }

    /// Asks for a look at the certificates.
    pub fn look(&self) {
        self.signal(self.pid(), Signal::HUP);
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            // The keeper's server ends with it.
            let _ = child.kill();
            let _ = child.wait();
            if thread::panicking() {
                eprintln!("---- log ----\n{}---- end of the log ----", self.log());
            }
        }
    }
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a mode");
}

fn give(path: &Path, owner: u32) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(owner), Some(owner)).expect("an owner");
    }
}
