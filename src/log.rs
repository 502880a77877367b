//! How log lines look, and which are written.
//!
//! Owns: the form of a line on standard error: one event, one line, whatever a stranger put into it.
//! Does not know: what there is to say.

use std::fmt::{Display, Write as _};
use std::io::Write as _;

use ::log::{Level, LevelFilter};

/// The environment variable with the level: error, warn, info, debug or trace.
pub const LEVEL_VARIABLE: &str = "POPPET_LOG";

/// The target of what sessions say and hear. Passwords are no part of it.
pub const SESSION: &str = "poppet::session";

/// What stands before the message.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Style {
    /// The priority as `<6>`, for journald, which knows the time itself.
    Journal,
    /// Time (RFC 3339, UTC) and level.
    Stamped,
    /// Nothing but `warning:` or `error:`, for `poppet demo`, where a person reads along.
    Demo,
}

impl Style {
    /// [`Style::Journal`] where standard error leads to journald, else [`Style::Stamped`].
    pub fn of_stderr() -> Style {
        let here = rustix::fs::fstat(std::io::stderr()).ok().map(|stat| (stat.st_dev, stat.st_ino));
        let journal = std::env::var("JOURNAL_STREAM").ok();
        if leads_to_journal(journal.as_deref(), here) { Style::Journal } else { Style::Stamped }
    }
}

/// Begins to log to standard error, at the level that [`LEVEL_VARIABLE`] says, or info.
///
/// # Panics
/// When called twice.
pub fn init(style: Style) {
    let written = std::env::var(LEVEL_VARIABLE).ok();
    let wanted = written.as_deref().map(level);
    let mut builder = env_logger::Builder::new();
    builder.target(env_logger::Target::Stderr).filter_level(LevelFilter::Off);
    for (target, level) in levels(style, wanted.flatten()) {
        builder.filter(target, level);
    }
    builder.format(move |out, record| {
        let time = (style == Style::Stamped).then(|| out.timestamp_seconds());
        let time = time.as_ref().map(|time| time as &dyn Display);
        out.write_all(line(style, time, record.level(), &record.args().to_string()).as_bytes())
    });
    builder.init();
    if let (Some(None), Some(text)) = (wanted, written) {
        ::log::warn!("{LEVEL_VARIABLE}={text:?} is no level; write error, warn, info, debug or trace");
    }
}

/// The level of each target; `None` is every other library.
fn levels(style: Style, wanted: Option<LevelFilter>) -> [(Option<&'static str>, LevelFilter); 3] {
    let ours = wanted.unwrap_or(LevelFilter::Info);
    let session = if style == Style::Demo { wanted.unwrap_or(LevelFilter::Debug) } else { ours };
    // rustls warns of what any stranger can do to it at will; whoever debugs wants to know.
    let theirs = if ours < LevelFilter::Debug { LevelFilter::Error } else { ours };
    [(None, theirs), (Some("poppet"), ours), (Some(SESSION), session)]
}

fn level(text: &str) -> Option<LevelFilter> {
    Some(match text {
        "error" => LevelFilter::Error,
        "warn" => LevelFilter::Warn,
        "info" => LevelFilter::Info,
        "debug" => LevelFilter::Debug,
        "trace" => LevelFilter::Trace,
        _ => return None,
    })
}

/// One line with its end.
fn line(style: Style, time: Option<&dyn Display>, level: Level, message: &str) -> String {
    let mut line = String::with_capacity(message.len() + 32);
    if let Some(time) = time {
        let _ = write!(line, "{time} ");
    }
    match style {
        Style::Journal => line.push_str(priority(level)),
        Style::Stamped => {
            let _ = write!(line, "{level:<5} ");
        }
        Style::Demo => line.push_str(match level {
            Level::Error => "error: ",
            Level::Warn => "warning: ",
            _ => "",
        }),
    }
    if message.bytes().all(|octet| matches!(octet, b' '..=b'~')) {
        line.push_str(message);
    } else {
        for c in message.chars() {
            if c.is_control() { line.extend(c.escape_default()) } else { line.push(c) }
        }
    }
    line.push('\n');
    line
}

/// As in syslog(3); systemd reads it at the beginning of a line.
fn priority(level: Level) -> &'static str {
    match level {
        Level::Error => "<3>",
        Level::Warn => "<4>",
        Level::Info => "<6>",
        Level::Debug | Level::Trace => "<7>",
    }
}

/// `JOURNAL_STREAM` is `device:inode` of journald's stream. A redirection leaves the variable as it was, so it
/// counts only where standard error is that very stream.
fn leads_to_journal(variable: Option<&str>, stderr: Option<(u64, u64)>) -> bool {
    let named = || {
        let (device, inode) = variable?.split_once(':')?;
        Some((device.parse::<u64>().ok()?, inode.parse::<u64>().ok()?))
    };
    stderr.is_some() && named() == stderr
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(style: Style, level: Level, message: &str) -> String {
        let time = (style == Style::Stamped).then_some(&"2026-01-02T03:04:05Z" as &dyn Display);
        line(style, time, level, message)
    }

    #[test]
    fn a_line_begins_as_its_reader_expects() {
        assert_eq!(plain(Style::Stamped, Level::Info, "ready"), "2026-01-02T03:04:05Z INFO  ready\n");
        assert_eq!(plain(Style::Stamped, Level::Error, "gone"), "2026-01-02T03:04:05Z ERROR gone\n");
        assert_eq!(plain(Style::Demo, Level::Debug, "C: STAT"), "C: STAT\n");
        assert_eq!(plain(Style::Demo, Level::Warn, "look"), "warning: look\n");
        let journal = [Level::Error, Level::Warn, Level::Info, Level::Debug, Level::Trace]
            .map(|level| plain(Style::Journal, level, "x"));
        assert_eq!(journal, ["<3>x\n", "<4>x\n", "<6>x\n", "<7>x\n", "<7>x\n"]);
    }

    #[test]
    fn one_event_is_one_line() {
        let forged = "user=a\r\n<3>LOGIN, user=b\n\u{1b}[2J\u{85}\0 J\u{f6}rg";
        let shown = plain(Style::Journal, Level::Info, forged);
        assert_eq!(shown, "<6>user=a\\r\\n<3>LOGIN, user=b\\n\\u{1b}[2J\\u{85}\\u{0} J\u{f6}rg\n");
    }

    #[test]
    fn standard_error_is_the_journal_only_if_it_is_that_stream() {
        assert!(leads_to_journal(Some("8:4711"), Some((8, 4711))));
        for (variable, here) in [
            (Some("8:4711"), Some((8, 4712))),
            (Some("8:4711"), None),
            (Some("8"), Some((8, 0))),
            (Some("x:y"), None),
            (None, Some((8, 4711))),
            (None, None),
        ] {
            assert!(!leads_to_journal(variable, here), "{variable:?} {here:?}");
        }
    }

    #[test]
    fn libraries_are_quiet_until_somebody_debugs() {
        use LevelFilter::*;
        let of = |style, wanted| levels(style, wanted).map(|(_, level)| level);
        assert_eq!(of(Style::Stamped, None), [Error, Info, Info]);
        assert_eq!(of(Style::Demo, None), [Error, Info, Debug]);
        assert_eq!(of(Style::Journal, Some(Warn)), [Error, Warn, Warn]);
        assert_eq!(of(Style::Demo, Some(Trace)), [Trace, Trace, Trace]);
        assert_eq!(
            ["error", "warn", "info", "debug", "trace", "off", "INFO", ""].map(level),
            [Some(Error), Some(Warn), Some(Info), Some(Debug), Some(Trace), None, None, None]
        );
    }
}
