//! The configuration file.
//!
//! Owns: what the file may say, its defaults and bounds, what it says wrongly and on which line.
//! Does not know: whether the ports, files and directories that it names are there (`poppet check` does).
//!
//! Files of today's form keep working in later versions: keys may come, none may change its meaning.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::net::tls::CertificateFiles;

pub mod defaults;
mod networks;
mod reader;
mod template;
mod value;

pub use networks::{Network, Networks, NotANetwork};
pub use reader::SECTIONS;
pub use template::{MaildirTemplate, NotATemplate, TemplateError};

use reader::{Lines, Reader};

/// All that the configuration file says, with the defaults for what it leaves out.
///
/// `Config::default()` is what an empty file means: no TLS, so no port for it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where clients come in.
    pub listen: Listen,
    /// `None` without a section `[tls]`: then there is no STLS, and `listen.pop3s` is empty.
    pub tls: Option<Tls>,
    /// Where the mail is.
    pub mail: Mail,
    /// Who there is.
    pub users: Users,
    /// Who may log in how.
    pub login: Login,
    /// How the process runs.
    pub process: Process,
    /// What a client may use up.
    pub limits: Limits,
    path: PathBuf,
    lines: Lines,
}

/// `[listen]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Listen {
    /// Clear text until STLS.
    pub pop3: Vec<SocketAddr>,
    /// TLS from the first octet.
    pub pop3s: Vec<SocketAddr>,
    /// Networks of proxies, whose PROXY header is demanded and believed.
    pub proxy_from: Networks,
}

/// `[tls]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Tls {
    /// The pairs of certificate and private key, never none; the first is for clients that name no other.
    pub pairs: Vec<CertificateFiles>,
}

/// `[mail]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Mail {
    /// The Maildir of a user.
    pub maildir: MaildirTemplate,
    /// Whether a message that was retrieved and kept is marked as seen at QUIT.
    pub mark_seen: bool,
}

/// `[users]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Users {
    /// The users file.
    pub file: PathBuf,
}

/// `[login]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// Networks that may log in without TLS.
    pub plaintext_from: Networks,
    /// Networks whose failed logins slow nobody down.
    pub penalty_free: Networks,
}

/// `[process]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Process {
    /// Whom the server runs as when started as root: a name, or a number.
    pub user: String,
    /// The socket at which `poppet status` asks; `None` for no such socket.
    pub status: Option<PathBuf>,
}

/// `[limits]`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Limits {
    /// Clients at once, 1 or more.
    pub connections: u32,
    /// Clients at once from one address, 1 or more.
    pub connections_per_address: u32,
    /// From the greeting to the password, in all.
    pub login_time: Duration,
    /// Without an octet in either direction, after login; at least ten minutes (RFC 1939 section 3).
    pub idle_time: Duration,
    /// How long a session must have been silent before a new login of its user may end it.
    pub takeover_after: Duration,
}

/// One thing that is wrong with the file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Problem {
    /// The file.
    pub path: PathBuf,
    /// The line, from 1; `None` where the file as a whole is meant.
    pub line: Option<usize>,
    /// What is wrong, and how to mend it.
    pub text: String,
}

/// Everything that is wrong with the file, in the order of its lines. `Display` is one line each.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
#[error("{}", .problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n"))]
pub struct ConfigError {
    /// Never none.
    pub problems: Vec<Problem>,
}

impl Config {
    /// Reads the file at `path`. Relative paths in it are relative to its folder.
    pub fn load(path: &Path) -> Result<Config, ConfigError> {
        Config::parse(path, &Config::text(path)?)
    }

    /// What is in the file at `path`.
    pub fn text(path: &Path) -> Result<String, ConfigError> {
        let octets = std::fs::read(path).map_err(|error| unreadable(path, &error))?;
        String::from_utf8(octets).map_err(|error| {
            let before = &error.as_bytes()[..error.utf8_error().valid_up_to()];
            let line = 1 + before.iter().filter(|&&b| b == b'\n').count();
            one_problem(path, Some(line), "this is no UTF-8; save the file as UTF-8 text".to_owned())
        })
    }

    /// [`Config::load`] for a `text` that is at hand; `path` is its name in messages, and where it lies.
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigError> {
        let mut reader = Reader::new(path, text).map_err(|problems| ConfigError { problems })?;
        let base = path.parent().unwrap_or(Path::new(""));
        let tls = tls(&mut reader, base);
        let config = Config {
            listen: listen(&mut reader, tls.is_some()),
            tls,
            mail: Mail {
                maildir: reader.read("mail", "maildir", default(defaults::MAILDIR)),
                mark_seen: reader.read("mail", "mark-seen", defaults::MARK_SEEN),
            },
            users: Users { file: base.join(reader.read("users", "file", defaults::USERS_FILE.to_owned())) },
            login: Login {
                plaintext_from: reader.read("login", "plaintext-from", plaintext_from()),
                penalty_free: reader.read("login", "penalty-free", Networks::default()),
            },
            process: Process {
                user: reader.read("process", "user", defaults::PROCESS_USER.to_owned()),
                status: reader
                    .read("process", "status", Some(PathBuf::from(defaults::STATUS)))
                    .map(|path| base.join(path)),
            },
            limits: limits(&mut reader),
            path: path.to_owned(),
            lines: Lines::new(),
        };
        let lines = reader.finish().map_err(|problems| ConfigError { problems })?;
        Ok(Config { lines, ..config })
    }

    /// Whether the file has `key` in `[section]`, or leaves it to the default.
    pub fn says(&self, section: &'static str, key: &'static str) -> bool {
        self.lines.contains_key(&(section, key))
    }

    /// Where `key` of `[section]` stands, for a message: `FILE:LINE: [section] key`. What the file leaves out
    /// stands at no line.
    pub fn place(&self, section: &'static str, key: &'static str) -> String {
        let path = self.path.display();
        match self.lines.get(&(section, key)) {
            Some(line) => format!("{path}:{line}: [{section}] {key}"),
            None => format!("{path}: [{section}] {key} (the default)"),
        }
    }

    /// Where `file` of a pair is named, as [`Config::place`] says it; without one, or for a stranger, the first pair.
    pub fn place_of_pair_file(&self, file: Option<&Path>) -> String {
        let pairs = self.tls.as_ref().map_or(&[][..], |tls| &tls.pairs);
        let has = |pair: &CertificateFiles| file.is_some_and(|it| it == pair.certificate || it == pair.private_key);
        let key = match pairs.iter().position(has) {
            Some(0) if file != Some(&pairs[0].certificate) => "private-key",
            None | Some(0) => "certificate",
            Some(_) => "also",
        };
        self.place("tls", key)
    }
}

impl Default for Config {
    fn default() -> Config {
        Config::parse(Path::new(defaults::CONFIG_PATH), "").expect("an empty file is a configuration")
    }
}

impl std::fmt::Display for Problem {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "{}:{line}: {}", self.path.display(), self.text),
            None => write!(f, "{}: {}", self.path.display(), self.text),
        }
    }
}

fn listen(reader: &mut Reader<'_>, has_tls: bool) -> Listen {
    let listen = Listen {
        pop3: reader.read("listen", "pop3", vec![default(defaults::POP3)]),
        pop3s: reader.read("listen", "pop3s", if has_tls { vec![default(defaults::POP3S)] } else { Vec::new() }),
        proxy_from: reader.read("listen", "proxy-from", Networks::default()),
    };
    let pop3s_line = reader.line("listen", "pop3s");
    if let Some(line) = pop3s_line.filter(|_| !has_tls && !listen.pop3s.is_empty()) {
        let text = "[listen] pop3s needs a certificate: add a section [tls] with certificate and private-key, \
                    or write pop3s = []";
        reader.problem_at(line, text.to_owned());
    }
    if let Some(line) = reader.line("listen", "pop3").filter(|_| listen.pop3.is_empty() && listen.pop3s.is_empty()) {
        let text = "[listen] pop3 is empty and there is no pop3s, so nobody could come in; \
                    write pop3 = [\"[::]:110\"], or add a section [tls]";
        reader.problem_at(line, text.to_owned());
    }
    let line = pop3s_line.or(reader.line("listen", "pop3")).unwrap_or(1);
    let mut taken: Vec<SocketAddr> = Vec::new();
    for &address in listen.pop3.iter().chain(&listen.pop3s) {
        if address.port() != 0 && taken.contains(&address) {
            reader.problem_at(line, format!("[listen] names {address} twice; a port can be taken once"));
        }
        taken.push(address);
    }
    listen
}

fn tls(reader: &mut Reader<'_>, base: &Path) -> Option<Tls> {
    if !reader.has_section("tls") {
        return None;
    }
    let files = |certificate: String, private_key: String| CertificateFiles {
        certificate: base.join(certificate),
        private_key: base.join(private_key),
    };
    let certificate = reader.read("tls", "certificate", defaults::CERTIFICATE.to_owned());
    let private_key = reader.read("tls", "private-key", defaults::PRIVATE_KEY.to_owned());
    let also = reader.tables("tls", "also", ["certificate", "private-key"]);
    let mut pairs = vec![files(certificate, private_key)];
    pairs.extend(also.into_iter().map(|[certificate, private_key]| files(certificate, private_key)));
    Some(Tls { pairs })
}

fn limits(reader: &mut Reader<'_>) -> Limits {
    use defaults::*;
    let second = Duration::from_secs(1);
    Limits {
        connections: reader.read_checked("limits", "connections", CONNECTIONS, count),
        connections_per_address: reader.read_checked(
            "limits",
            "connections-per-address",
            CONNECTIONS_PER_ADDRESS,
            count,
        ),
        login_time: reader.read_checked("limits", "login-time", LOGIN_TIME, |it| {
            between(*it, LOGIN_TIME_AT_LEAST, "a slow line can't finish a TLS handshake in less")
        }),
        idle_time: reader.read_checked("limits", "idle-time", IDLE_TIME, |it| {
            between(*it, IDLE_TIME, "RFC 1939 section 3 allows no less")
        }),
        takeover_after: reader.read_checked("limits", "takeover-after", TAKEOVER_AFTER, |it| {
            between(*it, second, "two mail programs would throw each other out without end")
        }),
    }
}

fn count(count: &u32) -> Result<(), String> {
    match *count {
        0 => Err("must be at least 1; leave the line out for the default".to_owned()),
        1..=defaults::CONNECTIONS_AT_MOST => Ok(()),
        _ => Err(format!("can be at most {}", defaults::CONNECTIONS_AT_MOST)),
    }
}

fn between(duration: Duration, least: Duration, why: &str) -> Result<(), String> {
    if duration < least {
        return Err(format!("must be at least \"{}s\": {why}", least.as_secs()));
    }
    if duration > defaults::DURATION_AT_MOST {
        return Err(format!("can be at most \"{}h\"", defaults::DURATION_AT_MOST.as_secs() / 3600));
    }
    Ok(())
}

fn plaintext_from() -> Networks {
    defaults::PLAINTEXT_FROM.iter().map(|text| default::<Network>(text)).collect()
}

/// A default from its text; a test reads them all.
fn default<T: std::str::FromStr<Err: std::fmt::Debug>>(text: &str) -> T {
    text.parse().expect("a default of ours")
}

fn unreadable(path: &Path, error: &std::io::Error) -> ConfigError {
    let text = match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file; --config FILE names another. Every key has a default, so an empty one will do to begin with \
         (clear text on port 110, no TLS); add [tls] with certificate and private-key for TLS. \
         The sample contrib/poppet.toml shows every key"
            .to_owned(),
        std::io::ErrorKind::PermissionDenied => {
            let uid = rustix::process::geteuid().as_raw();
            format!("cannot be read: {error}; let uid {uid} read it, or begin as root")
        }
        _ => format!("cannot be read: {error}"),
    };
    one_problem(path, None, text)
}

fn one_problem(path: &Path, line: Option<usize>, text: String) -> ConfigError {
    ConfigError { problems: vec![Problem { path: path.to_owned(), line, text }] }
}

#[cfg(test)]
mod tests;
