//! What the server said, taken apart.
//!
//! Owns: lines and fields, as `server::status` writes them. What a later version adds is kept, in its place.
//! Does not know: what any of it means.

use crate::server::status::{FIRST, LAST};

/// A whole answer.
#[derive(Debug)]
pub struct Report<'t>(Vec<Line<'t>>);

/// One thing that was told.
#[derive(Debug)]
pub struct Line<'t> {
    /// Of what.
    pub kind: &'t str,
    /// Names and values, in their order.
    pub fields: Vec<(&'t str, Value<'t>)>,
}

/// The value of a field.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Value<'t> {
    /// Of whatever.
    Number(u64),
    /// Without spaces.
    Text(&'t str),
}

impl<'t> Report<'t> {
    /// `None` where that is no answer, or not all of one.
    pub fn parse(text: &'t str) -> Option<Report<'t>> {
        let behind = text.strip_prefix(FIRST)?.strip_prefix('\n')?;
        let lines = behind.strip_suffix('\n')?.strip_suffix(LAST)?;
        lines.lines().map(Line::parse).collect::<Option<_>>().map(Report)
    }

    /// All lines of that kind.
    pub fn all(&self, kind: &str) -> impl Iterator<Item = &Line<'t>> {
        self.0.iter().filter(move |line| line.kind == kind)
    }

    /// The one line of that kind; one without fields where there is none.
    pub fn line(&self, kind: &str) -> &Line<'t> {
        const NONE: &Line<'_> = &Line { kind: "", fields: Vec::new() };
        self.all(kind).next().unwrap_or(NONE)
    }

    /// All lines.
    pub fn lines(&self) -> &[Line<'t>] {
        &self.0
    }
}

impl<'t> Line<'t> {
    fn parse(line: &'t str) -> Option<Line<'t>> {
        let mut words = line.split(' ');
        let kind = words.next()?;
        let field = |word: &'t str| {
            let at = word.find(['=', ':'])?;
            let value = &word[at + 1..];
            let is_text = word.as_bytes()[at] == b':';
            Some((&word[..at], if is_text { Value::Text(value) } else { Value::Number(value.parse().ok()?) }))
        };
        Some(Line { kind, fields: words.map(field).collect::<Option<_>>()? })
    }

    /// A number; 0 where there is none of that name.
    pub fn number(&self, name: &str) -> u64 {
        self.numbers().find(|(of, _)| *of == name).map_or(0, |(_, number)| number)
    }

    /// All numbers, with their names.
    pub fn numbers(&self) -> impl Iterator<Item = (&'t str, u64)> {
        self.fields.iter().filter_map(|(name, value)| match value {
            Value::Number(number) => Some((*name, *number)),
            Value::Text(_) => None,
        })
    }

    /// A text; nothing where there is none of that name.
    pub fn text(&self, name: &str) -> &'t str {
        let text = |(of, value): &(&str, Value<'t>)| match value {
            Value::Text(text) if *of == name => Some(*text),
            _ => None,
        };
        self.fields.iter().find_map(text).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_whole_is_no_answer() {
        let whole = format!("{FIRST}\nnow sessions=2\n{LAST}\n");
        assert_eq!(Report::parse(&whole).unwrap().line("now").number("sessions"), 2);
        for end in 0..whole.len() {
            assert!(Report::parse(&whole[..end]).is_none(), "{end}");
        }
        for torn in ["now sessions", "now sessions=x", "now  sessions=2", "now sessions=-1"] {
            assert!(Report::parse(&format!("{FIRST}\n{torn}\n{LAST}\n")).is_none(), "{torn}");
        }
    }

    #[test]
    fn a_text_may_have_marks_of_its_own() {
        let text = format!("{FIRST}\nsessions user:a=b:c address:::1\n{LAST}\n");
        let report = Report::parse(&text).unwrap();
        let session = report.all("sessions").next().unwrap();
        assert_eq!((session.text("user"), session.text("address")), ("a=b:c", "::1"));
        assert_eq!((session.number("user"), session.text("none")), (0, ""));
    }
}
