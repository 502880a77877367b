//! `poppet serve`: from the configuration file to a server that is ready to run.
//!
//! Owns: the order in which things are read, opened and given up, by one process or by two; what the log says of them.
//! Does not know: what keeper and server do with them.

use std::{io, os::unix::net::UnixListener, path::Path, time::SystemTime};

use super::{allocator, reach};
use crate::{
    auth::{Authenticator, UsersError},
    config::{Config, ConfigError, Tls},
    confine,
    keeper::{Keeper, handover::Link},
    net::tls::{self, TlsError},
    privileges::{self, Identity, NoIdentity, NotGivenUp},
    server::{
        self, Certificates, Files, Kind, Listener, Office, Rules, Settings, Source as _,
        status::{self, Access, Desk, NoSocket},
    },
    systemd::{self, Notifier},
};

/// Why serve can't begin. Each says where, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The configuration file.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The users file.
    #[error("{place}: {source}")]
    Users {
        /// Where it is named.
        place: String,
        /// What is wrong with it.
        source: UsersError,
    },
    /// A certificate or its key.
    #[error("{place}: {source}")]
    Tls {
        /// Where it is named.
        place: String,
        /// What is wrong with it.
        source: TlsError,
    },
    /// Whom the server is to run as.
    #[error("{place}: {source}")]
    User {
        /// Where the name stands.
        place: String,
        /// What is wrong with it.
        source: NoIdentity,
    },
    /// A right that stays.
    #[error("{0}")]
    Privileges(#[from] NotGivenUp),
    /// A socket of systemd's.
    #[error("a socket that systemd handed over can't be used: {0}")]
    Sockets(#[source] io::Error),
    /// A socket of systemd's for nobody knows what.
    #[error("systemd handed over a socket named {0:?}; write FileDescriptorName=pop3 or =pop3s into its unit")]
    SocketName(String),
    /// A socket of systemd's for TLS, and no certificate.
    #[error(
        "systemd handed over a socket named pop3s, which needs a certificate: add a section [tls] with certificate \
         and private-key, or take that socket out of the unit"
    )]
    SocketNeedsTls,
    /// No keeper at standard input.
    #[error("nothing comes from the keeper ({0}); `poppet server` is started by `poppet serve` and by nobody else")]
    Handover(#[source] io::Error),
    /// A port can't be had.
    #[error("{place}: cannot listen at {address}: {source}{mend}")]
    Listen {
        /// Where the address stands.
        place: String,
        /// The address.
        address: std::net::SocketAddr,
        /// What the system said.
        source: io::Error,
        /// What to do, if it is known.
        mend: &'static str,
    },
}

/// What `serve` comes to.
#[derive(Debug)]
pub enum Way {
    /// Started as root: the keeper, which starts a server that is not.
    Keeper(Keeper),
    /// Started by anybody else: the server itself.
    Server(Box<Settings>),
}

/// Reads all that is needed and opens the ports.
///
/// # Errors
/// The first thing that is wrong; `poppet check` tells them all.
pub fn prepare(path: &Path) -> Result<Way, PrepareError> {
    if rustix::process::geteuid().is_root() { keeper(path).map(Way::Keeper) } else { alone(path).map(Way::Server) }
}

/// As root: no more than what only root can do.
fn keeper(path: &Path) -> Result<Keeper, PrepareError> {
    // The server has another working directory.
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    let text = Config::text(&path)?;
    let config = Config::parse(&path, &text)?;
    let place = || config.place("process", "user");
    let identity =
        Identity::find(&config.process.user).map_err(|source| PrepareError::User { place: place(), source })?;
    let status = config.process.status.as_deref().and_then(|path| {
        let opened = privileges::in_group_of(&identity, || status::open(path, Access::Group));
        let group = |source| NoSocket::Call { action: "set the group of", path: path.to_owned(), source };
        asked_at(opened.map_err(group).and_then(|opened| opened))
    });
    // Behind that: whoever waits for the line about the ports may ask at once.
    let listeners = ports(&config)?;
    let mut arguments: Vec<String> = vec!["server".into(), format!("--config={}", path.display())];
    arguments.push(format!("--as={}", identity.numbers()));
    arguments.push(format!("--open-files={}", descriptors(config.limits.connections as usize)));
    log::info!("the server runs as {} ({}:{})", identity.name, identity.uid, identity.gid);
    // Before keys are read: no core dump may have them.
    privileges::close()?;
    let octets = read(&config)?;
    Ok(Keeper {
        listeners,
        status,
        arguments,
        environment: environment(),
        pairs: config.tls.map(|tls| tls.pairs).unwrap_or_default(),
        config: text,
        octets,
    })
}

/// What the server's process finds in its environment; nothing else of the keeper's is its business.
fn environment() -> Vec<(String, String)> {
    let kept = [crate::log::LEVEL_VARIABLE, "JOURNAL_STREAM", "NOTIFY_SOCKET"];
    let mut all: Vec<(String, String)> =
        kept.iter().filter_map(|&name| Some((name.to_owned(), std::env::var(name).ok()?))).collect();
    if let Some(half) = systemd::watchdog() {
        all.push(("WATCHDOG_USEC".to_owned(), (half * 2).as_micros().to_string()));
    }
    all.extend(allocator::SETTINGS.map(|(name, value)| (name.to_owned(), std::env::var(name).unwrap_or(value.into()))));
    all
}

/// The server that a keeper has started, with no rights left: what it needs comes through standard input.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_server(path: &Path) -> Result<Settings, PrepareError> {
    let mut link = Link::of_stdin().map_err(PrepareError::Handover)?;
    let handed = link.receive().map_err(PrepareError::Handover)?;
    let config = Config::parse(path, &handed.config)?;
    tell_of_config(&config);
    let authenticator = users(&config)?;
    let pairs = config.tls.as_ref().map(|tls| tls.pairs.clone()).unwrap_or_default();
    let live = settled(&config, &handed.pairs)?;
    server::tell(&pairs, live.as_ref().map_or(&[], |live| &live.facts), SystemTime::now());
    let desk = handed.status.map(Desk::new);
    confine::confine(&reach::of(&config, &authenticator.accounts(), &[]));
    // The keeper takes it for "ready", too.
    link.answer(true);
    let certificates = Certificates { pairs, live, source: Some(Box::new(link)) };
    let mut settings = settings(&config, certificates, authenticator, handed.listeners);
    settings.desk = desk;
    settings.rules.connections = affordable(settings.rules.connections);
    Ok(settings)
}

/// One process for all.
fn alone(path: &Path) -> Result<Box<Settings>, PrepareError> {
    let config = Config::load(path)?;
    privileges::close()?;
    tell_of_config(&config);
    let authenticator = users(&config)?;
    let pairs = config.tls.as_ref().map(|tls| tls.pairs.clone()).unwrap_or_default();
    let octets = read(&config)?;
    let live = settled(&config, &octets)?;
    server::tell(&pairs, live.as_ref().map_or(&[], |live| &live.facts), SystemTime::now());
    let status = config.process.status.as_deref().and_then(|path| asked_at(status::open(path, Access::Owner)));
    let desk = status.map(Desk::new);
    // Behind that: whoever waits for the line about the ports may ask at once.
    let listeners = ports(&config)?;
    confine::confine(&reach::of(&config, &authenticator.accounts(), &pairs));
    let mut certificates = Certificates { pairs: pairs.clone(), live, source: None };
    let mut knocker = None;
    if !pairs.is_empty() {
        let (files, theirs) = Files::new(pairs, octets);
        certificates.source = Some(Box::new(files));
        knocker = Some(theirs);
    }
    let mut settings = settings(&config, certificates, authenticator, listeners);
    (settings.knocker, settings.desk) = (knocker, desk);
    settings.rules.connections = affordable(settings.rules.connections);
    Ok(Box::new(settings))
}

/// The socket for `poppet status`, if it could be made; the server goes on without one.
fn asked_at(opened: Result<UnixListener, NoSocket>) -> Option<UnixListener> {
    opened.inspect_err(|error| log::info!("poppet status can't ask this server: {error}")).ok()
}

fn tell_of_config(config: &Config) {
    if config.tls.is_none() {
        log::warn!(
            "no [tls] section: no STLS, nothing at port 995, and only these networks may log in: {}",
            config.place("login", "plaintext-from")
        );
    }
}

fn users(config: &Config) -> Result<Authenticator, PrepareError> {
    let place = || config.place("users", "file");
    Authenticator::open(&config.users.file).map_err(|source| PrepareError::Users { place: place(), source })
}

fn read(config: &Config) -> Result<Vec<tls::PairOctets>, PrepareError> {
    let pairs = config.tls.as_ref().map_or(&[][..], |tls| &tls.pairs);
    tls::read(pairs).map_err(|source| not_usable(config, source))
}

fn settled(config: &Config, octets: &[tls::PairOctets]) -> Result<Option<tls::Loaded>, PrepareError> {
    let settle = |tls: &Tls| tls::settle(&tls.pairs, octets, None).map_err(|source| not_usable(config, source));
    config.tls.as_ref().map(settle).transpose()
}

fn not_usable(config: &Config, source: TlsError) -> PrepareError {
    PrepareError::Tls { place: config.place_of_pair_file(source.path()), source }
}

/// All that the server needs, from parts that are ready.
pub fn settings(
    config: &Config,
    certificates: Certificates,
    authenticator: Authenticator,
    listeners: Vec<Listener>,
) -> Settings {
    let limits = &config.limits;
    Settings {
        listeners,
        desk: None,
        certificates,
        knocker: None,
        notifier: Notifier::from_environment(),
        office: Office {
            authenticator,
            maildir: config.mail.maildir.clone(),
            mark_seen: config.mail.mark_seen,
            hashing: Default::default(),
        },
        proxy_from: config.listen.proxy_from.clone(),
        plaintext_from: config.login.plaintext_from.clone(),
        rules: Rules {
            connections: limits.connections as usize,
            connections_per_address: limits.connections_per_address as usize,
            takeover_after: limits.takeover_after,
            penalty_free: config.login.penalty_free.clone(),
        },
        login_time: limits.login_time,
        idle_time: limits.idle_time,
    }
}

/// The sockets that systemd has opened, else those of `[listen]`.
fn ports(config: &Config) -> Result<Vec<Listener>, PrepareError> {
    let handed = systemd::sockets().map_err(PrepareError::Sockets)?;
    if handed.is_empty() {
        let mut listeners = bind(config, Kind::Pop3)?;
        listeners.extend(bind(config, Kind::Pop3s)?);
        return Ok(listeners);
    }
    log::info!("systemd has opened the ports: [listen] pop3 and pop3s are not looked at");
    let mut listeners = vec![];
    for systemd::Socket { socket, name } in handed {
        let kind = match name.as_str() {
            "pop3" => Kind::Pop3,
            "pop3s" if config.tls.is_none() => return Err(PrepareError::SocketNeedsTls),
            "pop3s" => Kind::Pop3s,
            _ => return Err(PrepareError::SocketName(name)),
        };
        listeners.push(Listener::adopt(socket, kind).map_err(PrepareError::Sockets)?);
    }
    listeners.iter().for_each(tell_of_port);
    Ok(listeners)
}

fn tell_of_port(listener: &Listener) {
    let address = listener.socket.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
    log::info!(
        "listening at {address} ({})",
        if listener.kind == Kind::Pop3 { "clear text until STLS" } else { "TLS" }
    );
}

/// Binds the ports of one kind.
///
/// # Errors
/// [`PrepareError::Listen`], with the mend where it is known.
pub fn bind(config: &Config, kind: Kind) -> Result<Vec<Listener>, PrepareError> {
    let (addresses, key) = match kind {
        Kind::Pop3 => (&config.listen.pop3, "pop3"),
        Kind::Pop3s => (&config.listen.pop3s, "pop3s"),
    };
    let listeners = server::bind(addresses, kind).map_err(|(address, source)| {
        let mend = match source.kind() {
            io::ErrorKind::AddrInUse => "; another program has that port (ss -ltnp shows which): stop it, or choose another port",
            io::ErrorKind::PermissionDenied => {
                "; ports below 1024 need the capability CAP_NET_BIND_SERVICE (systemd: AmbientCapabilities=), or choose a higher port"
            }
            io::ErrorKind::AddrNotAvailable => "; this machine has no such address",
            _ => "",
        };
        PrepareError::Listen { place: config.place("listen", key), address, source, mend }
    })?;
    listeners.iter().for_each(tell_of_port);
    Ok(listeners)
}

/// As many of `connections` as there are file descriptors for, when all are allowed that may be.
///
/// A session has two: its socket and its Maildir, whose lock it holds. More would fail in the middle of a session.
fn affordable(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = descriptors(connections);
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|&current| current < wanted) else { return connections };
    // With the capability CAP_SYS_RESOURCE the maximum may be raised, too.
    if setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: Some(wanted) }).is_ok() {
        return connections;
    }
    let most = wanted.min(limit.maximum.unwrap_or(wanted)).max(current);
    let raised = setrlimit(Resource::Nofile, Rlimit { current: Some(most), maximum: limit.maximum });
    let allowed = if raised.is_ok() { most } else { current };
    let affordable = usize::try_from(allowed.saturating_sub(SPARE_DESCRIPTORS) / 2).unwrap_or(connections);
    let affordable = affordable.clamp(1, connections);
    if affordable < connections {
        log::warn!(
            "{allowed} file descriptors are allowed (LimitNOFILE, ulimit -n), enough for {affordable} connections \
             and not for the {connections} of [limits] connections: no more than {affordable} are let in"
        );
    }
    affordable
}

/// How many file descriptors so many connections may need.
fn descriptors(connections: usize) -> u64 {
    connections as u64 * 2 + SPARE_DESCRIPTORS
}

/// For ports, logs, jobs, and files that are being sent.
const SPARE_DESCRIPTORS: u64 = 30;

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn what_the_file_says_of_networks_and_limits_reaches_the_server() {
        let folder = tempfile::tempdir().unwrap();
        let users = folder.path().join("users");
        std::fs::write(&users, "").unwrap();
        let text = "[listen]\nproxy-from = [\"192.0.2.1\"]\n[mail]\nmaildir = \"/m/{user}\"\nmark-seen = false\n[login]\n\
                    plaintext-from = [\"192.0.2.2\"]\npenalty-free = [\"192.0.2.3\"]\n[limits]\nconnections = 7\n\
                    connections-per-address = 6\nlogin-time = \"90s\"\nidle-time = \"11m\"\ntakeover-after = \"2m\"";
        let config = Config::parse(Path::new("poppet.toml"), text).unwrap();
        let none = Certificates { pairs: vec![], live: None, source: None };
        let settings = settings(&config, none, Authenticator::open(&users).unwrap(), vec![]);
        let rules = &settings.rules;
        for (networks, its) in [(&settings.proxy_from, 1), (&settings.plaintext_from, 2), (&rules.penalty_free, 3)] {
            assert_eq!([1, 2, 3].map(|it| networks.contains([192, 0, 2, it].into())), [1, 2, 3].map(|it| it == its));
        }
        assert_eq!((settings.office.maildir.to_string().as_str(), settings.office.mark_seen), ("/m/{user}", false));
        assert_eq!((rules.connections, rules.connections_per_address), (7, 6));
        let times = [settings.login_time, settings.idle_time, rules.takeover_after];
        assert_eq!(times, [90, 660, 120].map(Duration::from_secs));
    }
}
