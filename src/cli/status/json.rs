//! The answer as JSON (RFC 8259).
//!
//! Owns: how it is written. `docs/STATUS.md` tells the names, which stay.
//! Does not know: what they mean.

use std::fmt::Write as _;

use super::report::{Line, Report, Value};

/// Kinds of which there may be any number, each a list of objects. Of the others there is one.
const LISTS: [&str; 3] = ["listeners", "certificates", "sessions"];

/// One object, with a line for each thing in it.
pub fn of(report: &Report<'_>) -> String {
    let ones = report.lines().iter().filter(|line| !LISTS.contains(&line.kind));
    let mut parts: Vec<String> = ones.map(|line| format!("  {}: {}", quoted(line.kind), object(line))).collect();
    for kind in LISTS {
        let all: Vec<String> = report.all(kind).map(|line| format!("\n    {}", object(line))).collect();
        let end = if all.is_empty() { "" } else { "\n  " };
        parts.push(format!("  {}: [{}{end}]", quoted(kind), all.join(",")));
    }
    format!("{{\n{}\n}}\n", parts.join(",\n"))
}

fn object(line: &Line<'_>) -> String {
    let field = |(name, value): &(&str, Value<'_>)| {
        let value = match value {
            Value::Number(number) => number.to_string(),
            Value::Text(text) => quoted(text),
        };
        // A name that needs no quotation marks in the languages that read it.
        format!("{}: {value}", quoted(&name.replace('-', "_")))
    };
    format!("{{{}}}", line.fields.iter().map(field).collect::<Vec<_>>().join(", "))
}

fn quoted(text: &str) -> String {
    let mut out = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            c if c < ' ' => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_a_use_for_is_escaped() {
        assert_eq!(quoted("a\"b\\c\nd\u{1f}e\u{7f}\u{e4}/"), "\"a\\\"b\\\\c\\u000ad\\u001fe\u{7f}\u{e4}/\"");
    }
}
