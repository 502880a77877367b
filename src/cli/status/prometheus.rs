//! The answer in the text form of Prometheus, for the textfile collector of node_exporter.
//!
//! Owns: which figures there are, their names, kinds and words.
//! Does not know: users. A name in a label would be a series of its own for each, and in everybody's sight.

use std::fmt::Write as _;

use super::report::Report;

/// Figures with one name.
struct Family {
    name: &'static str,
    help: &'static str,
    /// Line and field of each, and its label.
    from: &'static [(&'static str, &'static str, &'static str)],
}

/// A name that ends with `_total` is that of a counter, all others are gauges.
const FAMILIES: [Family; 15] = [
    family("poppet_start_time_seconds", "When the server began, in seconds since 1970.", &[("server", "started", "")]),
    family("poppet_resident_memory_bytes", "Resident memory.", &[("memory", "resident", "")]),
    family("poppet_connections", "Clients.", &[("now", "connections", "")]),
    family("poppet_sessions", "Clients that have logged in.", &[("now", "sessions", "")]),
    family("poppet_slowed_networks", "Networks slowed down for wrong passwords.", &[("now", "slowed", "")]),
    family("poppet_connections_total", "Clients since the start.", &[("totals", "connections", "")]),
    family("poppet_logins_total", "Maildrops that were opened.", &[("totals", "logins", "")]),
    family("poppet_logins_failed_total", "Wrong names or passwords.", &[("totals", "failed", "")]),
    family("poppet_logins_refused_total", "Logins refused for other reasons.", &[("totals", "refused", "")]),
    family(
        "poppet_messages_sent_total",
        "Messages sent, by command.",
        &[("totals", "retr-messages", "command=\"retr\""), ("totals", "top-messages", "command=\"top\"")],
    ),
    family(
        "poppet_sent_bytes_total",
        "Octets of messages sent, by command.",
        &[("totals", "retr-octets", "command=\"retr\""), ("totals", "top-octets", "command=\"top\"")],
    ),
    family("poppet_messages_deleted_total", "Messages removed at QUIT.", &[("totals", "deleted", "")]),
    family("poppet_messages_left_total", "Messages left when their sessions ended.", &[("totals", "left", "")]),
    family(
        "poppet_index_logins_total",
        "Logins by how much of the maildrop the index told.",
        &[
            ("index", "whole", "told=\"whole\""),
            ("index", "part", "told=\"part\""),
            ("index", "nothing", "told=\"nothing\""),
        ],
    ),
    // Its labels are the fields themselves.
    family("poppet_closed_total", "Connections that ended, by reason.", &[]),
];

const fn family(
    name: &'static str,
    help: &'static str,
    from: &'static [(&'static str, &'static str, &'static str)],
) -> Family {
    Family { name, help, from }
}

/// All families, each with its help and type.
pub fn of(report: &Report<'_>) -> String {
    let mut out = String::new();
    for Family { name, help, from } in FAMILIES {
        let told: Vec<_> = match from {
            [] => report.line("closed").numbers().map(|(reason, count)| (label("reason", reason), count)).collect(),
            from => from.iter().filter_map(|(line, field, label)| figure(report, line, field, label)).collect(),
        };
        add(&mut out, name, help, told);
    }
    let ends = report.all("certificates").map(|it| (label("path", it.text("path")), it.number("ends")));
    let help = "When a certificate ends, in seconds since 1970.";
    add(&mut out, "poppet_certificate_end_timestamp_seconds", help, ends.collect());
    let version = label("version", report.line("server").text("version"));
    add(&mut out, "poppet_build_info", "Which version runs.", vec![(version, 1)]);
    out
}

/// What the server did not tell is no figure; 0 would be one.
fn figure(report: &Report<'_>, line: &str, field: &str, label: &str) -> Option<(String, u64)> {
    let (_, number) = report.line(line).numbers().find(|(name, _)| *name == field)?;
    Some((label.to_owned(), number))
}

fn add(out: &mut String, name: &str, help: &str, figures: Vec<(String, u64)>) {
    if figures.is_empty() {
        return;
    }
    let kind = if name.ends_with("_total") { "counter" } else { "gauge" };
    // Writing to a string does not fail.
    let _ = writeln!(out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    for (label, number) in figures {
        let _ = match label.as_str() {
            "" => writeln!(out, "{name} {number}"),
            label => writeln!(out, "{name}{{{label}}} {number}"),
        };
    }
}

/// Only `\` and `"` have a meaning there, beside the line's end, which no text has.
fn label(name: &str, value: &str) -> String {
    format!("{name}=\"{}\"", value.replace('\\', "\\\\").replace('"', "\\\""))
}
