//! From TOML to values, with the line of each and every problem on the way.
//!
//! Owns: the sections and keys that there are, what a wrong one is told, lines.
//! Does not know: what the values are for.

use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;

use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::Problem;
use super::value::Value;

/// Reads one file; collects what is wrong instead of stopping at it.
pub(super) struct Reader<'a> {
    path: &'a Path,
    text: &'a str,
    root: DeTable<'a>,
    problems: Vec<Problem>,
    lines: Lines,
}

/// The line of each key that was written, by section and key.
pub(super) type Lines = BTreeMap<(&'static str, &'static str), usize>;

impl<'a> Reader<'a> {
    /// Reads `text`, which came from `path`. Broken TOML is all that is told then: what a section without its
    /// end means is anyone's guess.
    pub(super) fn new(path: &'a Path, text: &'a str) -> Result<Reader<'a>, Vec<Problem>> {
        let (root, errors) = DeTable::parse_recoverable(text);
        let mut reader = Reader { path, text, root: root.into_inner(), problems: Vec::new(), lines: Lines::new() };
        for error in &errors {
            let at = error.span().unwrap_or(0..0);
            let message = match error.message().trim() {
                // Which one is in the span only.
                "duplicate key" => format!("duplicate key {:?}", text.get(at.clone()).unwrap_or_default()),
                message => message.to_owned(),
            };
            reader.problem(at, format!("this is no TOML: {message}"));
        }
        match reader.in_order() {
            Some(problems) => Err(problems),
            None => {
                reader.refuse_unknown();
                Ok(reader)
            }
        }
    }

    /// The value of `key` in `[section]`, or `default` where the file has none or a wrong one.
    pub(super) fn read<T: Value>(&mut self, section: &'static str, key: &'static str, default: T) -> T {
        self.read_checked(section, key, default, |_| Ok(()))
    }

    /// [`Reader::read`], and the value must please `check`, which says what is wrong with it.
    pub(super) fn read_checked<T: Value>(
        &mut self,
        section: &'static str,
        key: &'static str,
        default: T,
        check: impl FnOnce(&T) -> Result<(), String>,
    ) -> T {
        let Some(value) = self.take(section, key) else { return default };
        let at = value.span();
        let mut wrong = Vec::new();
        let read = T::read(value, &mut wrong);
        if let Some(Err(text)) = read.as_ref().map(check) {
            wrong.push((at.clone(), text));
        }
        self.lines.insert((section, key), line_of(self.text, at.start));
        for (span, text) in wrong {
            self.problem(span, format!("[{section}] {key}: {text}"));
        }
        read.unwrap_or(default)
    }

    /// Whether the file has `[section]`, with or without keys.
    pub(super) fn has_section(&self, section: &str) -> bool {
        self.root.contains_key(section)
    }

    /// Whether the file has `key` in `[section]`.
    pub(super) fn line(&self, section: &'static str, key: &'static str) -> Option<usize> {
        self.lines.get(&(section, key)).copied()
    }

    /// The tables of `[[section.key]]`, each as the values of `keys`, all of which it must have.
    pub(super) fn tables<const N: usize>(
        &mut self,
        section: &'static str,
        key: &'static str,
        keys: [&'static str; N],
    ) -> Vec<[String; N]> {
        let Some(value) = self.take(section, key) else { return Vec::new() };
        let at = value.span();
        self.lines.insert((section, key), line_of(self.text, at.start));
        let shape = format!("write [[{section}.{key}]], and below it {}", keys.join(" and "));
        let DeValue::Array(tables) = value.into_inner() else {
            self.problem(at, format!("[{section}] {key} is no list of tables; {shape}"));
            return Vec::new();
        };
        tables.into_iter().filter_map(|table| self.table(section, key, &keys, table, &shape)).collect()
    }

    /// Something is wrong at `span`.
    pub(super) fn problem(&mut self, span: Range<usize>, text: String) {
        let line = line_of(self.text, span.start);
        self.problem_at(line, text);
    }

    /// Something is wrong on `line`.
    pub(super) fn problem_at(&mut self, line: usize, text: String) {
        self.problems.push(Problem { path: self.path.to_owned(), line: Some(line), text });
    }

    /// The line of every key, if nothing was wrong.
    pub(super) fn finish(mut self) -> Result<Lines, Vec<Problem>> {
        self.in_order().map_or(Ok(self.lines), Err)
    }

    fn in_order(&mut self) -> Option<Vec<Problem>> {
        let mut problems = std::mem::take(&mut self.problems);
        problems.sort_by_key(|problem| problem.line);
        (!problems.is_empty()).then_some(problems)
    }

    fn take(&mut self, section: &str, key: &str) -> Option<Spanned<DeValue<'a>>> {
        match self.root.get_mut(section)?.get_mut() {
            DeValue::Table(table) => table.remove(key),
            _ => None,
        }
    }

    fn table<const N: usize>(
        &mut self,
        section: &str,
        key: &str,
        keys: &[&'static str; N],
        table: Spanned<DeValue<'a>>,
        shape: &str,
    ) -> Option<[String; N]> {
        let at = table.span();
        let DeValue::Table(mut table) = table.into_inner() else {
            self.problem(at, format!("[{section}] {key} is no list of tables; {shape}"));
            return None;
        };
        for unknown in table.keys().filter(|name| !keys.contains(&name.get_ref().as_ref())) {
            let text = unknown_key(&format!("[{section}.{key}]"), unknown.get_ref(), keys);
            self.problem(unknown.span(), text);
        }
        let mut values = [const { String::new() }; N];
        for (name, place) in keys.iter().zip(&mut values) {
            let mut wrong = Vec::new();
            match table.remove(*name) {
                Some(value) => *place = String::read(value, &mut wrong).unwrap_or_default(),
                None => wrong.push((at.clone(), format!("is missing; {shape}"))),
            }
            for (span, text) in wrong {
                self.problem(span, format!("[[{section}.{key}]] {name}: {text}"));
            }
        }
        Some(values)
    }

    fn refuse_unknown(&mut self) {
        let mut wrong = Vec::new();
        for (name, value) in &self.root {
            let Some((section, keys)) = SECTIONS.iter().find(|(section, _)| section == name.get_ref()) else {
                wrong.push((name.span(), unknown_section(name.get_ref(), value.get_ref())));
                continue;
            };
            match value.get_ref() {
                DeValue::Table(table) => {
                    let unknown = table.keys().filter(|key| !keys.contains(&key.get_ref().as_ref()));
                    wrong.extend(
                        unknown.map(|key| (key.span(), unknown_key(&format!("[{section}]"), key.get_ref(), keys))),
                    );
                }
                DeValue::Array(_) => {
                    wrong.push((name.span(), format!("there is one section {section}; write [{section}]")));
                }
                _ => {
                    wrong.push((name.span(), format!("{section} is a section; write [{section}] in a line of its own")))
                }
            }
        }
        for (span, text) in wrong {
            self.problem(span, text);
        }
    }
}

/// Every section with its keys.
pub const SECTIONS: &[(&str, &[&str])] = &[
    ("listen", &["pop3", "pop3s", "proxy-from"]),
    ("tls", &["certificate", "private-key", "also"]),
    ("mail", &["maildir", "mark-seen"]),
    ("users", &["file"]),
    ("login", &["plaintext-from", "penalty-free"]),
    ("process", &["user", "status"]),
    ("limits", &["connections", "connections-per-address", "login-time", "idle-time", "takeover-after"]),
];

fn unknown_section(name: &str, value: &DeValue<'_>) -> String {
    let is_section = match value {
        DeValue::Table(_) => true,
        DeValue::Array(values) => values.iter().any(|value| matches!(value.get_ref(), DeValue::Table(_))),
        _ => false,
    };
    let of_this_name = SECTIONS.iter().find(|(_, keys)| keys.contains(&name));
    if let Some((section, _)) = of_this_name.filter(|_| !is_section) {
        return format!("{name} stands in no section; write it below [{section}]");
    }
    let names: Vec<&str> = SECTIONS.iter().map(|(section, _)| *section).collect();
    let what = if is_section { "section" } else { "key" };
    match nearest(name, &names) {
        Some(near) => format!("unknown {what} {name:?}; did you mean [{near}]?"),
        None => format!("unknown {what} {name:?}; the sections are [{}]", names.join("], [")),
    }
}

fn unknown_key(section: &str, key: &str, known: &[&str]) -> String {
    if let Some(near) = nearest(key, known) {
        return format!("{section} has no key {key:?}; did you mean {near}?");
    }
    match SECTIONS.iter().find(|(_, keys)| keys.contains(&key)) {
        Some((other, _)) => format!("{section} has no key {key:?}; it belongs below [{other}]"),
        None => format!("{section} has no key {key:?}; its keys are {}", known.join(", ")),
    }
}

/// The one of `known` that `name` was most likely meant to be, if it is near enough to be a slip.
fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    let plain = |text: &str| text.to_lowercase().replace('_', "-");
    let (distance, near) =
        known.iter().map(|&candidate| (edits(&plain(name), candidate), candidate)).min_by_key(|(edits, _)| *edits)?;
    (distance <= 1 + near.len() / 4).then_some(near)
}

/// How many letters must be put in, taken out, or changed to make `b` of `a` (Levenshtein's distance).
fn edits(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, &y) in b.iter().enumerate() {
            let change = diagonal + usize::from(x != y);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(row[j + 1] + 1);
        }
    }
    row[b.len()]
}

fn line_of(text: &str, offset: usize) -> usize {
    1 + text.as_bytes()[..offset.min(text.len())].iter().filter(|&&b| b == b'\n').count()
}
