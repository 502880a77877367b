//! The house as `docs/DESIGN.md` draws it: which module may name which.
//!
//! Reads `src/` as text. A `use` that runs against the arrows compiles, so nothing else would notice.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules that any other may name; they name each other only.
const LEAVES: [&str; 7] = ["confine", "maildrop", "privileges", "processors", "secret", "systemd", "user"];

/// Whom a module may name, beside itself and the leaves.
const ARROWS: [(&str, &[&str]); 12] = [
    ("main", &["cli"]),
    ("cli", &["keeper", "config", "log", "server", "auth", "maildir", "net"]),
    // It holds the server's ports and hands them over; it runs none of it.
    ("keeper", &["server", "net"]),
    ("server", &["proto", "maildir", "auth", "net", "config"]),
    ("proto", &[]),
    ("maildir", &[]),
    ("auth", &[]),
    ("net", &[]),
    // Which files a certificate is in is a word of the TLS layer.
    ("config", &["net"]),
    ("log", &[]),
    ("maildrop", &[]),
    ("secret", &[]),
];

/// The files that may name the event loop's crates.
const LOOP: [&str; 4] = ["server/event_loop.rs", "server/signals.rs", "server/socket.rs", "server/wait.rs"];

/// The file that catches signals without a loop.
const SIGNALS: &str = "keeper/signals.rs";

/// What the protocol's state machine must not name: it knows no socket, no file, no clock, no thread and no process. A
/// `Duration` is no clock. Its tests may ask the environment.
const IMPURE: [&str; 12] = [
    "std::net",
    "std::fs",
    "std::io",
    "std::os",
    "std::env",
    "std::thread",
    "std::process",
    "Instant",
    "SystemTime",
    "mio",
    "rustls",
    "rustix",
];

const LONGEST_FILE: usize = 450;

#[test]
fn arrows_run_one_way() {
    let faults: Vec<String> = sources("src").iter().flat_map(|(path, text)| faults_of(path, text)).collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn every_file_says_what_it_owns_and_is_short() {
    let mut faults = Vec::new();
    for folder in ["src", "tests"] {
        for (path, text) in sources(folder) {
            if !text.starts_with("//!") {
                faults.push(format!("{folder}/{path}: does not begin with //!"));
            }
            let lines = text.lines().count();
            if lines > LONGEST_FILE {
                faults.push(format!("{folder}/{path}: {lines} lines"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn arrow_that_runs_elsewhere_is_found() {
    let bad = [
        ("proto/session.rs", "use crate::maildir::Store;"),
        ("proto/session.rs", "use crate::{maildrop::Marks, auth};"),
        ("proto/session.rs", "use crate::{\n    maildrop::{Marks, Maildrop},\n    net::outbox,\n};"),
        ("proto/mod.rs", "fn f(s: crate::server::Connection) {}"),
        ("proto/line.rs", "use super::super::auth::Users;"),
        ("proto/mod.rs", "use super::auth;"),
        ("maildir/scan.rs", "use crate::proto::Reply;"),
        ("auth/users.rs", "use crate::config::Config;"),
        ("net/tls.rs", "use crate::auth::Users;"),
        ("config.rs", "use crate::server;"),
        ("server/mod.rs", "use crate::cli::Arguments;"),
        ("server/mod.rs", "use crate::log::start;"),
        ("maildrop.rs", "use crate::proto::Reply;"),
        ("main.rs", "use poppet::server::run;"),
        ("keeper/mod.rs", "use crate::config::Config;"),
        ("keeper/mod.rs", "use crate::maildir::Store;"),
        ("keeper/signals.rs", "use signal_hook_mio::v1_0::Signals;"),
        ("keeper/mod.rs", "use signal_hook::flag;"),
        ("privileges.rs", "use crate::config::Config;"),
        ("server/mod.rs", "use crate::keeper::Keeper;"),
        ("newcomer.rs", "fn f() {}"),
        ("server/connection.rs", "use mio::Token;"),
        ("net/transport.rs", "fn f(r: &mio::Registry) {}"),
        ("server/worker.rs", "use signal_hook::consts::SIGTERM;"),
        ("server/worker.rs", "use signal_hook_mio::v1_0::Signals;"),
        ("proto/session.rs", "use std::time::Instant;"),
        ("proto/session.rs", "use std::time::{Duration, Instant};"),
        ("proto/session.rs", "use std::{fs, fmt};"),
        ("proto/session.rs", "use std::net::IpAddr;"),
        ("proto/session.rs", "fn f() { std::fs::read(\"x\"); }"),
        ("proto/session.rs", "use rustls::ServerConnection;"),
        ("proto/session.rs", "use std::{io::Write, fmt};"),
        ("proto/session.rs", "fn f() { std::thread::yield_now(); }"),
        ("proto/line.rs", "fn f() { std::env::var(\"X\"); }"),
        ("proto/line.rs", "use std::process::id;"),
        ("proto/line.rs", "use std::os::fd::OwnedFd;"),
        ("proto/line.rs", "use rustix::fd::OwnedFd;"),
    ];
    for (path, text) in bad {
        assert!(!faults_of(path, text).is_empty(), "{path}: {text}");
    }
}

#[test]
fn arrow_that_runs_right_is_let_through() {
    let good = [
        ("proto/session.rs", "use crate::maildrop::Marks;\nuse super::reply::Reply;\nuse crate::proto::line::Line;"),
        (
            "proto/session.rs",
            "//! See [`crate::server`].\n/// As [`crate::auth::Users`] does.\nfn f() {} // crate::net",
        ),
        ("proto/session.rs", "/* crate::net /* std::fs */ mio */ fn f() -> &'static str { \"crate::net \\\" mio\" }"),
        (
            "proto/session.rs",
            "use std::time::Duration;\nuse std::fmt;\nconst QUOTE: char = '\"'; // mio\nfn maximio() {}",
        ),
        ("proto/session.rs", "#[cfg(test)]\nmod tests {\n    use super::super::reply::Reply;\n    use super::*;\n}"),
        ("proto/mod.rs", "const RAW: &str = r#\"use crate::net; \"mio\"\"#;\nuse crate::secret::Secret;"),
        ("server/event_loop.rs", "use mio::Poll;\nuse crate::{proto, net::transport, auth, maildir::Store, config};"),
        ("server/signals.rs", "use signal_hook_mio::v1_0::Signals;"),
        ("cli/check.rs", "use crate::{config, log, server, auth, maildir, net, user::UserName};"),
        ("main.rs", "fn main() { poppet::cli::run(); }"),
        ("proto/session/tests/model.rs", "fn f() { std::env::var(\"X\"); }"),
        ("lib.rs", "pub mod auth;\npub mod server;"),
    ];
    for (path, text) in good {
        assert_eq!(faults_of(path, text), Vec::<String>::new(), "{path}: {text}");
    }
}

/// What is wrong with `text`, which lies at `path` below `src/`.
fn faults_of(path: &str, text: &str) -> Vec<String> {
    let code = bare_code(text);
    let module = path.split('/').next().expect("a name").trim_end_matches(".rs");
    let mut faults = Vec::new();
    if module != "lib" && !LEAVES.contains(&module) && !ARROWS.iter().any(|(name, _)| *name == module) {
        faults.push(format!("src/{path}: {module} has no row in the table of arrows"));
    }
    if module != "lib" {
        for named in crate_modules(&code, path) {
            if !may_name(module, &named) {
                faults.push(format!("src/{path}: names {named}"));
            }
        }
    }
    if !LOOP.contains(&path) {
        for word in ["mio", "signal_hook", "signal_hook_mio"].into_iter().filter(|word| has_word(&code, word)) {
            if path != SIGNALS || word != "signal_hook" {
                faults.push(format!("src/{path}: names {word}, which only {LOOP:?} may"));
            }
        }
    }
    if module == "proto" && !path.contains("/tests") {
        let spelled_out: Vec<String> = paths_below(&code, "std").map(|rest| format!("std::{rest}")).collect();
        for word in IMPURE.iter().filter(|word| has_word(&code, word) || spelled_out.iter().any(|path| path == *word)) {
            faults.push(format!("src/{path}: names {word}"));
        }
    }
    faults
}

fn may_name(module: &str, named: &str) -> bool {
    let arrows: BTreeMap<&str, &[&str]> = ARROWS.into_iter().collect();
    let is_there = arrows.contains_key(named) || LEAVES.contains(&named);
    // What `crate::` names in `lib.rs` itself (a re-export) is no module.
    named == module
        || LEAVES.contains(&named)
        || !is_there
        || arrows.get(module).is_some_and(|may| may.contains(&named))
}

/// The top modules that `code` names: through `crate::`, the library's own name, or enough of `super::`.
fn crate_modules(code: &str, path: &str) -> Vec<String> {
    let mut found: Vec<String> = paths_below(code, "crate").chain(paths_below(code, "poppet")).collect();
    let depth = path.split('/').filter(|part| *part != "mod.rs").count();
    // A module inside the file (`mod tests`) stands one deeper, so one `super` more is no fault there.
    let allowed = depth + usize::from(code.contains("mod tests {"));
    let chain = vec!["super"; allowed].join("::");
    found.extend(paths_below(code, &chain).filter(|name| name != "super" && name != "*"));
    found
}

/// The names that follow `root::` in `code`, those inside braces too.
fn paths_below<'a>(code: &'a str, root: &'a str) -> impl Iterator<Item = String> + 'a {
    let starts =
        code.match_indices(root).filter(move |&(at, _)| !code[..at].ends_with(|c: char| is_name(c) || c == ':'));
    starts.flat_map(move |(at, _)| match code[at + root.len()..].trim_start().strip_prefix("::") {
        None => Vec::new(),
        Some(rest) => match rest.trim_start().strip_prefix('{') {
            None => vec![first_name(rest)],
            Some(group) => first_of_each(group),
        },
    })
}

/// The first name of each path of a `{a, b::c, d::{e, f}}`, which begins behind its brace.
fn first_of_each(group: &str) -> Vec<String> {
    let mut depth = 1;
    let mut names = vec![first_name(group)];
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 1 => names.push(first_name(&group[at + 1..])),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    names.retain(|name| !name.is_empty());
    names
}

fn first_name(text: &str) -> String {
    text.trim_start().chars().take_while(|&c| is_name(c)).collect()
}

fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let before = code[..at].chars().next_back().is_some_and(is_name);
        let behind = code[at + word.len()..].chars().next().is_some_and(is_name);
        !before && !behind
    })
}

fn is_name(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// `text` without comments and without what stands in strings.
fn bare_code(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let skipped = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if rest.starts_with("/*") {
            block_comment(rest)
        } else if let Some(length) = raw_string(rest).filter(|_| !code.ends_with(is_name)) {
            length
        } else if c == '"' {
            quoted(rest, '"')
        } else if c == '\'' && is_character(rest) {
            quoted(rest, '\'')
        } else {
            0
        };
        if skipped == 0 {
            code.push(c);
            rest = &rest[c.len_utf8()..];
        } else {
            code.push(' ');
            rest = &rest[skipped..];
        }
    }
    code
}

fn block_comment(text: &str) -> usize {
    let (mut depth, mut at) = (0, 0);
    while at < text.len() {
        match text.as_bytes()[at..] {
            [b'/', b'*', ..] => (depth, at) = (depth + 1, at + 2),
            [b'*', b'/', ..] => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            break;
        }
    }
    at
}

fn raw_string(text: &str) -> Option<usize> {
    let marks = text.strip_prefix('b').unwrap_or(text).strip_prefix('r')?;
    let hashes = marks.chars().take_while(|&c| c == '#').count();
    let body = marks[hashes..].strip_prefix('"')?;
    let end = format!("\"{}", "#".repeat(hashes));
    body.find(&end).map(|at| text.len() - body.len() + at + end.len())
}

/// The length of what `mark` opens and closes, escapes looked through.
fn quoted(text: &str, mark: char) -> usize {
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            c if c == mark => return at + 1,
            _ => {}
        }
    }
    text.len()
}

/// Whether a `'` opens a character and not a lifetime.
fn is_character(text: &str) -> bool {
    let mut behind = text.chars().skip(1);
    behind.next() == Some('\\') || behind.next() == Some('\'')
}

/// The Rust files below `folder` of the package, each with its path below it and its text.
fn sources(folder: &str) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = Vec::new();
    let mut folders: Vec<PathBuf> = vec![root.clone()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())).flatten() {
            let path = entry.path();
            let hidden = ["target", "corpus"].iter().any(|name| path.ends_with(name));
            if path.is_dir() && !hidden {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(&root).expect("below the root").display().to_string();
                found.push((name, fs::read_to_string(&path).expect("a text")));
            }
        }
    }
    assert!(!found.is_empty(), "no sources in {}", root.display());
    found
}
