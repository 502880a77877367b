//! `poppet check`: looks at everything that `serve` would, and says in sentences what is wrong and how to mend it.
//!
//! Owns: which things are looked at, in which order, and the sentences about ports, certificates, users.
//! Does not know: how any of these is read; changes nothing.

use std::fmt;
use std::io::{self, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;
use std::process::ExitCode;
use std::time::SystemTime;

use rustix::fs::Access;

use crate::auth::{Account, Authenticator, UsersError};
use crate::config::Config;
use crate::net::tls::{self, CertificateFiles, Facts};

mod maildirs;
mod serving;

use serving::Serving;

/// Prints a line for each finding and one that sums up. 0 when `serve` would do its work, else 78 (`EX_CONFIG`).
pub fn run(config_path: &Path) -> ExitCode {
    let findings = examine(config_path, users_of, serving::of);
    let mut out = io::stdout().lock();
    for finding in &findings {
        // Whoever closed the pipe has read enough.
        let _ = writeln!(out, "{finding}");
    }
    let _ = writeln!(out, "{}", sum(&findings));
    if count(&findings, Verdict::Error) == 0 { ExitCode::SUCCESS } else { ExitCode::from(EX_CONFIG) }
}

/// One line of the answer.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Finding {
    /// How bad it is.
    pub verdict: Verdict,
    /// A sentence that names the file, the line where there is one, and the mend.
    pub text: String,
}

/// How bad a finding is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// Works, and somebody should know.
    Warning,
    /// `serve` would not start, or somebody could not use it.
    Error,
}

fn users_of(path: &Path) -> Result<Vec<Account>, UsersError> {
    Authenticator::open(path).map(|authenticator| authenticator.accounts())
}

/// Looks at everything. `users` reads the users file, `who` says whom the server would run as. A configuration file with
/// problems is all that is looked at: what it leaves unsaid would have to be guessed.
fn examine(
    config_path: &Path,
    users: impl FnOnce(&Path) -> Result<Vec<Account>, UsersError>,
    who: impl FnOnce(&Config) -> Result<Serving, Finding>,
) -> Vec<Finding> {
    let config = match Config::load(config_path) {
        Ok(config) => config,
        Err(error) => return error.problems.iter().map(|problem| Finding::error(problem.to_string())).collect(),
    };
    let mut findings = vec![Finding::ok(format!("{}: every line is understood", config_path.display()))];
    ports(&config, &mut findings);
    certificates(&config, SystemTime::now(), &mut findings);
    let serving = who(&config).unwrap_or_else(|finding| {
        findings.push(finding);
        Serving::unknown(&config.process.user)
    });
    findings.extend(serving.introduce(&config));
    let accounts = accounts(&config, users, &serving, &mut findings);
    for account in &accounts {
        maildirs::look(account, &config, &serving, &mut findings);
    }
    maildirs::shared(&accounts, &config, &mut findings);
    findings
}

impl Finding {
    fn ok(text: String) -> Finding {
        Finding { verdict: Verdict::Ok, text }
    }

    fn warning(text: String) -> Finding {
        Finding { verdict: Verdict::Warning, text }
    }

    fn error(text: String) -> Finding {
        Finding { verdict: Verdict::Error, text }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warning => "warning",
            Verdict::Error => "error",
        };
        write!(f, "{verdict}: {}", self.text)
    }
}

fn sum(findings: &[Finding]) -> String {
    let plural = |count: usize, what: &str| format!("{count} {what}{}", if count == 1 { "" } else { "s" });
    let errors = count(findings, Verdict::Error);
    let warnings = count(findings, Verdict::Warning);
    match (errors, warnings) {
        (0, 0) => "All is well.".to_owned(),
        (0, _) => format!("poppet can serve; {} to look at.", plural(warnings, "warning")),
        _ => format!("{} to mend, {}.", plural(errors, "error"), plural(warnings, "warning")),
    }
}

fn count(findings: &[Finding], verdict: Verdict) -> usize {
    findings.iter().filter(|finding| finding.verdict == verdict).count()
}

fn ports(config: &Config, findings: &mut Vec<Finding>) {
    for (key, addresses) in [("pop3", &config.listen.pop3), ("pop3s", &config.listen.pop3s)] {
        let place = config.place("listen", key);
        findings.extend(addresses.iter().map(|&address| port(&place, address, TcpListener::bind(address).map(drop))));
    }
}

/// What `bound` says of the port; the listener itself is gone already.
fn port(place: &str, address: SocketAddr, bound: io::Result<()>) -> Finding {
    let Err(error) = bound else { return Finding::ok(format!("{place}: {address} is free")) };
    let v4 = format!("0.0.0.0:{}", address.port());
    match rustix::io::Errno::from_io_error(&error) {
        // `check` beside a running server is the common case, and no reason to fail.
        Some(rustix::io::Errno::ADDRINUSE) => Finding::warning(format!(
            "{place}: {address} is in use; if that is not poppet itself, end the other program or choose another port"
        )),
        Some(rustix::io::Errno::ACCESS) => Finding::error(format!(
            "{place}: {address} is not for this user to take: ports below 1024 need the capability \
             CAP_NET_BIND_SERVICE, which systemd can give to serve (AmbientCapabilities=) and this check does not have"
        )),
        Some(rustix::io::Errno::ADDRNOTAVAIL) => Finding::error(format!(
            "{place}: {address} is no address of this machine; write one that `ip address` shows, or {v4:?} for all"
        )),
        Some(rustix::io::Errno::AFNOSUPPORT) => {
            Finding::error(format!("{place}: {address} needs IPv6, which this machine lacks; write {v4:?}"))
        }
        _ => Finding::error(format!("{place}: {address} can't be taken: {error}")),
    }
}

fn certificates(config: &Config, now: SystemTime, findings: &mut Vec<Finding>) {
    let Some(tls) = &config.tls else {
        findings.push(Finding::warning(
            "there is no section [tls]: no STLS and no port 995, and whoever is not in [login] plaintext-from \
             can't log in; add certificate and private-key below [tls]"
                .to_owned(),
        ));
        return;
    };
    for pair in &tls.pairs {
        let place = config.place_of_pair_file(Some(&pair.certificate));
        match tls::load(std::slice::from_ref(pair)) {
            Ok(loaded) => {
                loaded.facts.iter().for_each(|facts| certificate(&place, pair, facts, now, findings));
                let mend = format!("chmod 600 {}", pair.private_key.display());
                findings.extend(readable_by_all(&pair.private_key, "the private key", &mend));
            }
            Err(error) => {
                findings.push(Finding::error(format!("{}: {error}", config.place_of_pair_file(error.path()))))
            }
        }
    }
}

fn certificate(place: &str, pair: &CertificateFiles, facts: &Facts, now: SystemTime, findings: &mut Vec<Finding>) {
    let path = pair.certificate.display();
    let names = if facts.names.is_empty() { "no name".to_owned() } else { facts.names.join(", ") };
    let days = facts.days_left(now);
    if let Some(days) = days {
        findings.push(Finding::ok(format!(
            "{place}: {path} belongs to its private key ({}), is for {names}, and has {days} days left",
            facts.key
        )));
    }
    let expiry = facts.expiry(now).map(|told| format!("{place}: {path} {told}"));
    findings.extend(expiry.map(if days.is_some() { Finding::warning } else { Finding::error }));
    findings.extend(facts.warnings(now).iter().map(|told| Finding::warning(format!("{place}: {path} {told}"))));
    findings.extend(facts.hints().into_iter().map(|hint| Finding::ok(format!("{place}: {path} {hint}"))));
}

fn accounts(
    config: &Config,
    users: impl FnOnce(&Path) -> Result<Vec<Account>, UsersError>,
    serving: &Serving,
    findings: &mut Vec<Finding>,
) -> Vec<Account> {
    let path = &config.users.file;
    match users(path) {
        Ok(accounts) if accounts.is_empty() => {
            let text = format!(
                "{}: {} names nobody, so nobody can log in; add a line that `poppet hash` prints",
                config.place("users", "file"),
                path.display()
            );
            findings.push(Finding::warning(text));
            accounts
        }
        Ok(accounts) => {
            findings.push(Finding::ok(format!(
                "{}: every line is understood, users: {}",
                path.display(),
                accounts.len()
            )));
            findings.extend(readable_by_all(path, "the password hashes", &serving.alone_with_root(path)));
            findings.extend(users_file_closed(path, serving, config));
            accounts
        }
        Err(UsersError::Lines { path, lines }) => {
            findings.extend(lines.iter().map(|line| Finding::error(format!("{}: {line}", path.display()))));
            Vec::new()
        }
        Err(error) => {
            findings.push(Finding::error(format!("{}: {error}", config.place("users", "file"))));
            Vec::new()
        }
    }
}

/// Root has read it; the server would have to.
fn users_file_closed(path: &Path, serving: &Serving, config: &Config) -> Option<Finding> {
    let refused = serving.may(path, Access::READ_OK).err()?;
    let (place, name, at) = (config.place("users", "file"), &serving.name, refused.path.display());
    let mend =
        if refused.path == path { serving.alone_with_root(path) } else { format!("let it through: chmod a+x {at}") };
    Some(Finding::error(format!("{place}: the server, as {name}, may not read {at} ({}); {mend}", refused.why)))
}

fn readable_by_all(path: &Path, what: &str, mend: &str) -> Option<Finding> {
    let open = std::fs::metadata(path).is_ok_and(|it| it.mode() & 0o004 != 0);
    let path = path.display();
    open.then(|| Finding::warning(format!("{path}: every user of this machine can read {what}: {mend}")))
}

/// `EX_CONFIG` of sysexits.h: systemd and scripts know it as "the configuration is at fault".
const EX_CONFIG: u8 = 78;

#[cfg(test)]
mod tests;
