//! What a server is to be like: its users, its configuration file, its certificate.

use std::collections::{BTreeMap, HashMap};
use std::fmt::Write as _;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::{PermissionsExt, chown};
use std::{env, fs};

use super::{Authority, Channel, PASSWORD, Server, USER, unprivileged};

/// What a server is to be like, before it is started.
#[derive(Default)]
pub struct Builder {
    settings: BTreeMap<String, String>,
    pub(super) users: Vec<(String, String)>,
    pub(super) without_tls: bool,
    also: Vec<IpAddr>,
    environment: Vec<(String, String)>,
    runner: Vec<String>,
    certificates: Vec<(String, rcgen::CertifiedKey<rcgen::KeyPair>)>,
}

impl Builder {
    /// Sets `section.key` of the configuration file to `value`, which is TOML: `("limits.login-time", "\"2s\"")`.
    pub fn config(mut self, key: &str, value: &str) -> Builder {
        self.settings.insert(key.to_owned(), value.to_owned());
        self
    }

    /// A user, who has an empty Maildir.
    pub fn user(mut self, name: &str, password: &str) -> Builder {
        self.users.push((name.to_owned(), password.to_owned()));
        self
    }

    /// Whether there is a certificate. There is unless this says no.
    pub fn tls(mut self, wanted: bool) -> Builder {
        self.without_tls = !wanted;
        self
    }

    /// A further certificate, for `name`.
    pub fn certificate_also(mut self, name: &str, authority: &Authority) -> Builder {
        self.certificates.push((name.to_owned(), authority.certify(&[name])));
        self
    }

    /// Listens at `address` as well, clear text and TLS, at ports of its own; they come to be [`Server::also`].
    pub fn listen_also(mut self, address: IpAddr) -> Builder {
        self.also.push(address);
        self
    }

    /// Sets a variable of the process's environment.
    pub fn env(mut self, name: &str, value: &str) -> Builder {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// How many files the process may have open.
    pub fn open_files(mut self, limit: u32) -> Builder {
        self.runner = vec!["prlimit".into(), format!("--nofile={limit}:{limit}")];
        self
    }

    /// Runs it under strace with these `options`; [`Server::trace`] is what that writes.
    pub fn strace(mut self, options: &[&str]) -> Builder {
        // -D: our child is the server itself, and strace its shadow.
        let always = ["strace", "-D", "-f", "-qq", "-y", "-s", "200", "-o", "trace"];
        self.runner = always.iter().chain(options).map(|&option| option.to_owned()).collect();
        self
    }

    /// Starts it, and comes back when it answers.
    pub fn start(mut self) -> Server {
        if self.users.is_empty() {
            self.users.push((USER.into(), PASSWORD.into()));
        }
        if let Ok(address) = env::var("POPPET_UNDER_TEST") {
            return Server::foreign(&self, &address);
        }
        for _ in 0..5 {
            let mut server = self.launch();
            if server.greets(1) {
                return server;
            }
            // Another process may have taken a port between our look and the server's bind.
            assert!(server.log().contains("in use"), "the server does not start:\n{}", server.log());
        }
        panic!("no free port in five tries");
    }

    fn launch(&self) -> Server {
        let folder = tempfile::Builder::new().prefix("poppet-test-").tempdir().expect("a temporary folder");
        let path = folder.path().to_owned();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("open the folder");
        if let Some(owner) = unprivileged() {
            chown(&path, Some(owner), Some(owner)).expect("hand the folder over");
        }
        let [plain, tls] = free_ports(Ipv4Addr::LOCALHOST.into());
        let authority = Authority::new();
        let mut server = Server {
            plain,
            tls,
            ca_file: path.join("ca.pem"),
            mail_template: path.join("mail/{user}").display().to_string(),
            folder: path,
            speaks_tls: !self.without_tls,
            real_names: HashMap::new(),
            maildirs: HashMap::new(),
            child: None,
            also: self.also.iter().map(|&address| free_ports(address)).collect(),
            environment: self.environment.clone(),
            runner: self.runner.clone(),
            _folder: Some(folder),
        };
        let mail = server.folder.join("mail");
        fs::create_dir(&mail).expect("a folder for mail");
        if let Some(owner) = unprivileged() {
            chown(&mail, Some(owner), Some(owner)).expect("hand the folder over");
        }
        self.write_files(&server, &authority);
        server.lay_maildirs(self);
        server.child = Some(server.spawn());
        server
    }

    fn write_files(&self, server: &Server, authority: &Authority) {
        let write = |name: &str, text: &str| {
            let file = server.folder.join(name);
            fs::write(&file, text).unwrap_or_else(|error| panic!("write {}: {error}", file.display()));
            if let Some(owner) = unprivileged() {
                chown(&file, Some(owner), Some(owner)).expect("hand the file over");
            }
            file.display().to_string()
        };
        let mut settings = BTreeMap::from([
            ("listen.pop3".to_owned(), listed(server.ports(Channel::Plain))),
            ("mail.maildir".to_owned(), format!("\"{}\"", server.mail_template)),
            // A test that guesses wrong must not slow the next one down.
            ("login.penalty-free".to_owned(), "[\"127.0.0.0/8\", \"::1\"]".to_owned()),
            ("limits.connections-per-address".to_owned(), "1000".to_owned()),
            // The default is one place for all of them.
            ("process.status".to_owned(), "\"\"".to_owned()),
        ]);
        write("ca.pem", &authority.pem());
        if !self.without_tls {
            let pair = authority.certify(&["localhost", "127.0.0.1"]);
            settings.insert("listen.pop3s".into(), listed(server.ports(Channel::Tls)));
            settings.insert("tls.certificate".into(), format!("\"{}\"", write("cert.pem", &pair.cert.pem())));
            settings.insert(
                "tls.private-key".into(),
                format!("\"{}\"", write("key.pem", &pair.signing_key.serialize_pem())),
            );
        } else {
            settings.insert("listen.pop3s".into(), "[]".into());
        }
        let mut also = Vec::new();
        for (name, pair) in &self.certificates {
            let certificate = write(&format!("{name}.pem"), &pair.cert.pem());
            let key = write(&format!("{name}.key"), &pair.signing_key.serialize_pem());
            also.push(format!("{{ certificate = \"{certificate}\", private-key = \"{key}\" }}"));
        }
        if !also.is_empty() {
            settings.insert("tls.also".into(), format!("[{}]", also.join(", ")));
        }
        let users: String =
            self.users.iter().map(|(name, password)| format!("{name}:{{PLAIN}}{password}::::::\n")).collect();
        settings.insert("users.file".into(), format!("\"{}\"", write("users", &users)));
        settings.extend(self.settings.clone());
        write("poppet.toml", &toml(&settings));
    }
}

fn free_ports(address: IpAddr) -> [SocketAddr; 2] {
    let found = [(); 2].map(|()| TcpListener::bind((address, 0)).expect("a free port"));
    found.map(|listener| listener.local_addr().expect("its address"))
}

/// As TOML writes a list of strings.
fn listed(ports: Vec<SocketAddr>) -> String {
    format!("{:?}", ports.iter().map(SocketAddr::to_string).collect::<Vec<_>>())
}

fn toml(settings: &BTreeMap<String, String>) -> String {
    let mut text = String::new();
    let mut open = "";
    for (key, value) in settings {
        let (section, key) = key.split_once('.').expect("section.key");
        if section != open {
            writeln!(text, "[{section}]").expect("a string");
            open = section;
        }
        writeln!(text, "{key} = {value}").expect("a string");
    }
    text
}
