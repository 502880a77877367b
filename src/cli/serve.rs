//! `poppet serve`: from the configuration file to a server that is ready to run.
//!
//! Owns: the order in which things are read and bound, and what the log says of them at the start.
//! Does not know: what the server does with them.

use std::{io, path::Path, sync::Arc, time::SystemTime};

use crate::{
    auth::{Authenticator, UsersError},
    config::{Config, ConfigError},
    net::tls::{self, Loaded, TlsError},
    server::{self, Kind, Listener, Office, Rules, Settings},
};

/// Why serve can't begin. Each says where, and how to mend it.
#[derive(Debug, thiserror::Error)]
pub enum PrepareError {
    /// The configuration file.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// The users file.
    #[error("{0}")]
    Users(#[from] UsersError),
    /// A certificate or its key.
    #[error("{0}")]
    Tls(#[from] TlsError),
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

/// Reads all that is needed and binds the ports.
///
/// # Errors
/// The first thing that is wrong; `poppet check` tells them all.
pub fn prepare(path: &Path) -> Result<Settings, PrepareError> {
    let config = Config::load(path)?;
    for sentence in config.not_in_force() {
        log::warn!("{sentence}");
    }
    if rustix::process::geteuid().is_root() {
        log::warn!(
            "running as root, and this version drops no rights: run it as the owner of the mail \
             (for ports below 1024 give it the capability CAP_NET_BIND_SERVICE)"
        );
    }
    let authenticator = Authenticator::open(&config.users.file)?;
    let loaded = config.tls.as_ref().map(|tls| tls::load(&tls.pairs)).transpose()?;
    match &loaded {
        None => log::warn!(
            "no [tls] section: no STLS, nothing at port 995, and only these networks may log in: {}",
            config.place("login", "plaintext-from")
        ),
        Some(loaded) => tell(&config, loaded),
    }
    let mut listeners = bind(&config, Kind::Pop3)?;
    listeners.extend(bind(&config, Kind::Pop3s)?);
    let mut settings = settings(&config, loaded, authenticator, listeners);
    settings.rules.connections = affordable(settings.rules.connections);
    Ok(settings)
}

/// All that the server needs, from parts that are ready.
pub fn settings(
    config: &Config,
    tls: Option<Loaded>,
    authenticator: Authenticator,
    listeners: Vec<Listener>,
) -> Settings {
    let limits = &config.limits;
    Settings {
        listeners,
        tls: tls.map(|loaded| Arc::clone(&loaded.config)),
        office: Office { authenticator, maildir: config.mail.maildir.clone(), mark_seen: config.mail.mark_seen },
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
    for listener in &listeners {
        let address =
            listener.socket.local_addr().map_or_else(|error| error.to_string(), |address| address.to_string());
        log::info!("listening at {address} ({})", if kind == Kind::Pop3 { "clear text until STLS" } else { "TLS" });
    }
    Ok(listeners)
}

fn tell(config: &Config, loaded: &Loaded) {
    let now = SystemTime::now();
    let pairs = config.tls.iter().flat_map(|tls| &tls.pairs);
    for (pair, facts) in pairs.zip(&loaded.facts) {
        let path = pair.certificate.display();
        if let Some(days) = facts.days_left(now) {
            log::info!("certificate {path}: for {}, expires in {days} days", facts.names.join(", "));
        }
        facts.expiry(now).iter().for_each(|expiry| log::warn!("certificate {path} {expiry}"));
        facts.warnings(now).iter().for_each(|warning| log::warn!("certificate {path} {warning}"));
        facts.hints().iter().for_each(|hint| log::info!("certificate {path} {hint}"));
    }
}

/// As many of `connections` as there are file descriptors for, when all are allowed that may be.
///
/// A session has two: its socket and its Maildir, whose lock it holds. More would fail in the middle of a session.
fn affordable(connections: usize) -> usize {
    use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
    let wanted = connections as u64 * 2 + SPARE_DESCRIPTORS;
    let limit = getrlimit(Resource::Nofile);
    let Some(current) = limit.current.filter(|&current| current < wanted) else { return connections };
    // Root may raise the maximum too.
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

/// For ports, logs, jobs, and files that are being sent.
const SPARE_DESCRIPTORS: u64 = 30;
