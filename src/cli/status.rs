//! `poppet status`: asks a server that runs how it stands, and shows that.
//!
//! Owns: the way to the server, what is said where there is none, the form for people.
//! Does not know: how the server comes to its figures, and what the lines are on the wire (`report` does).

use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use crate::config::defaults::CONFIG_PATH;
use crate::config::{Config, ConfigError};
use crate::server::status::PATIENCE;

mod json;
mod prometheus;
mod report;

use report::{Line, Report};

/// Tells how a server that runs stands: who is logged in, what it has done so far.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// The configuration file
    #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
    pub config: PathBuf,
    /// For programs, as JSON
    #[arg(long)]
    pub json: bool,
    /// For Prometheus, in its text form
    #[arg(long, conflicts_with = "json")]
    pub prometheus: bool,
}

/// Why nothing can be told.
#[derive(Debug, thiserror::Error)]
pub enum StatusError {
    /// The configuration file, which names the socket.
    #[error("{0}")]
    Config(#[from] ConfigError),
    /// There is no socket.
    #[error("{0} is \"\", so the server can't be asked; name a path there and restart it")]
    Off(String),
    /// Nobody listens.
    #[error(
        "no server answers at {0:?}; start it (poppet serve), name its configuration file by --config, or look in its \
         log for why it has no such socket"
    )]
    NoServer(PathBuf),
    /// The socket, or the server, is closed to this user.
    #[error("only root, and the user that the server runs as, may ask at {0:?}")]
    Forbidden(PathBuf),
    /// It came to something else.
    #[error("the server at {path:?} can't be asked: {source}")]
    Io {
        /// The socket.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The answer has no end, or is none.
    #[error("the answer from {0:?} is not whole, or of another version: has poppet been upgraded and not restarted?")]
    Torn(PathBuf),
}

/// Asks, and prints the answer.
///
/// # Errors
/// [`StatusError`].
pub fn run(options: &Options) -> Result<(), StatusError> {
    let config = Config::load(&options.config)?;
    let Some(path) = &config.process.status else { return Err(StatusError::Off(config.place("process", "status"))) };
    let answer = ask(path)?;
    let report = Report::parse(&answer).ok_or_else(|| StatusError::Torn(path.clone()))?;
    let text = match options {
        Options { json: true, .. } => json::of(&report),
        Options { prometheus: true, .. } => prometheus::of(&report),
        _ => for_people(&report),
    };
    // Whoever closed the pipe has read enough.
    let _ = io::stdout().lock().write_all(text.as_bytes());
    Ok(())
}

fn ask(path: &Path) -> Result<String, StatusError> {
    let failed = |source: io::Error| match source.kind() {
        ErrorKind::NotFound | ErrorKind::ConnectionRefused => StatusError::NoServer(path.to_owned()),
        ErrorKind::PermissionDenied => StatusError::Forbidden(path.to_owned()),
        _ => StatusError::Io { path: path.to_owned(), source },
    };
    let mut stream = UnixStream::connect(path).map_err(failed)?;
    // Others may be told first.
    stream.set_read_timeout(Some(PATIENCE * 3)).map_err(failed)?;
    let mut answer = String::new();
    match stream.read_to_string(&mut answer) {
        Ok(0) => Err(StatusError::Forbidden(path.to_owned())),
        Ok(_) => Ok(answer),
        Err(error) => Err(failed(error)),
    }
}

fn for_people(report: &Report<'_>) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let _ = summary(report, &mut text).and_then(|()| sessions(report, &mut text));
    text
}

fn summary(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    let [server, memory, now, totals] = ["server", "memory", "now", "totals"].map(|kind| report.line(kind));
    let (version, pid) = (server.text("version"), server.number("pid"));
    write!(out, "poppet {version}, process {pid}, for {}", span(server.number("uptime")))?;
    match memory.number("resident") {
        0 => writeln!(out)?,
        octets => writeln!(out, ", {} KiB of memory", octets / 1024)?,
    }
    for listener in report.all("listeners") {
        let kind = if listener.text("kind") == "pop3" { "clear text until STLS" } else { "TLS" };
        writeln!(out, "listening at {} ({kind})", listener.text("address"))?;
    }
    for certificate in report.all("certificates") {
        let (path, names) = (certificate.text("path"), certificate.text("names"));
        let left = match (certificate.number("days"), certificate.number("ends")) {
            (0, ends) if ends <= server.number("started") + server.number("uptime") => "expired".to_owned(),
            (days, _) => format!("{days} days left"),
        };
        writeln!(out, "certificate {path} for {names}: {left}")?;
    }
    let figure = |name| totals.number(name);
    writeln!(out, "connections: {} now, {} since the start", now.number("connections"), figure("connections"))?;
    let ends = report.line("closed").numbers().filter(|(_, count)| *count > 0);
    let ends: Vec<String> = ends.map(|(reason, count)| format!("{count} {reason}")).collect();
    if !ends.is_empty() {
        writeln!(out, "ended: {}", ends.join(", "))?;
    }
    let (logins, failed, refused) = (figure("logins"), figure("failed"), figure("refused"));
    write!(out, "logins: {logins}, with a wrong password {failed}, refused {refused}")?;
    writeln!(out, "; networks that are slowed down: {}", now.number("slowed"))?;
    let [retr, top] =
        ["retr", "top"].map(|by| sent(totals, by)).map(|(count, octets)| format!("{count} ({octets} octets)"));
    writeln!(
        out,
        "messages: sent by RETR {retr}, by TOP {top}; deleted {}, left {}",
        figure("deleted"),
        figure("left")
    )?;
    let index = report.line("index");
    let [whole, part, nothing] = ["whole", "part", "nothing"].map(|name| index.number(name));
    let rate = (whole * 100).checked_div(logins).map_or(String::new(), |rate| format!(" ({rate} %)"));
    writeln!(out, "index: told all at {whole} logins{rate}, a part at {part}, nothing at {nothing}")
}

/// A table; each column is as wide as it must be.
fn sessions(report: &Report<'_>, out: &mut String) -> std::fmt::Result {
    let row = |session: &Line<'_>| {
        let by = |verb| {
            let (count, octets) = sent(session, verb);
            format!("{count}/{octets}")
        };
        [
            session.text("user").to_owned(),
            session.text("address").to_owned(),
            session.text("tls").to_owned(),
            span(session.number("seconds")),
            span(session.number("idle")),
            session.number("messages").to_string(),
            by("retr"),
            by("top"),
            session.number("marked").to_string(),
        ]
    };
    let head = ["USER", "ADDRESS", "TLS", "FOR", "IDLE", "MESSAGES", "RETR", "TOP", "DELE"].map(str::to_owned);
    let rows: Vec<_> = std::iter::once(head).chain(report.all("sessions").map(row)).collect();
    if rows.len() == 1 {
        return writeln!(out, "nobody is logged in");
    }
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or_default();
    let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
    writeln!(out)?;
    for row in &rows {
        let cells = row.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        writeln!(out, "{}", cells.collect::<Vec<_>>().join("  ").trim_end())?;
    }
    Ok(())
}

/// Messages and octets that were sent by that command.
fn sent(line: &Line<'_>, by: &str) -> (u64, u64) {
    (line.number(&format!("{by}-messages")), line.number(&format!("{by}-octets")))
}

/// Seconds, in the two largest units that they fill.
fn span(seconds: u64) -> String {
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{minutes}m{}s", seconds % 60),
        (0, _, _) => format!("{hours}h{}m", minutes % 60),
        _ => format!("{days}d{}h", hours % 24),
    }
}

#[cfg(test)]
mod tests;
