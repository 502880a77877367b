//! What is said to a client.
//!
//! Owns: the form of a status line, response codes, short multi-line replies.
//! Does not know: when which is said.
//!
//! No octet of a client's is ever part of a reply.

use std::borrow::Cow;

/// The machine-readable part of an `-ERR` (RFC 2449 section 8, RFC 3206).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Code {
    /// Another session has the maildrop.
    InUse,
    /// The name or the password is wrong.
    Auth,
    /// Not now; it may work later.
    SysTemp,
    /// It will not work until somebody mends something.
    SysPerm,
}

impl Code {
    fn text(self) -> &'static str {
        match self {
            Code::InUse => "[IN-USE] ",
            Code::Auth => "[AUTH] ",
            Code::SysTemp => "[SYS/TEMP] ",
            Code::SysPerm => "[SYS/PERM] ",
        }
    }
}

/// One reply: a status line, perhaps with lines behind it, or the `+` of a SASL exchange.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Reply(Form);

#[derive(Clone, PartialEq, Eq, Debug)]
enum Form {
    Ok(Cow<'static, str>),
    Lines(&'static str, Vec<&'static str>),
    Err(Option<Code>, Cow<'static, str>),
    Continue(&'static str),
}

impl Reply {
    /// `+OK text`
    pub fn ok(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply(Form::Ok(text.into()))
    }

    /// `+OK text`, the lines, and the final dot. No line may begin with a dot.
    pub fn lines(text: &'static str, lines: Vec<&'static str>) -> Reply {
        Reply(Form::Lines(text, lines))
    }

    /// `-ERR text`
    pub fn err(text: impl Into<Cow<'static, str>>) -> Reply {
        Reply(Form::Err(None, text.into()))
    }

    /// `-ERR [CODE] text`
    pub fn coded(code: Code, text: impl Into<Cow<'static, str>>) -> Reply {
        Reply(Form::Err(Some(code), text.into()))
    }

    /// `+ challenge`, the challenge in Base64 (RFC 5034 section 4: the space stands there even before nothing).
    pub fn challenge(base64: &'static str) -> Reply {
        Reply(Form::Continue(base64))
    }

    /// Whether it begins with `-ERR`.
    pub fn is_err(&self) -> bool {
        matches!(self.0, Form::Err(..))
    }

    /// Appends the reply as it goes over the wire.
    pub fn encode(&self, out: &mut Vec<u8>) {
        let mut put = |parts: &[&str]| parts.iter().for_each(|part| out.extend_from_slice(part.as_bytes()));
        match &self.0 {
            Form::Ok(text) => put(&["+OK ", text, "\r\n"]),
            Form::Err(code, text) => put(&["-ERR ", code.map_or("", Code::text), text, "\r\n"]),
            Form::Continue(base64) => put(&["+ ", base64, "\r\n"]),
            Form::Lines(text, lines) => {
                put(&["+OK ", text, "\r\n"]);
                lines.iter().for_each(|line| put(&[line, "\r\n"]));
                put(&[".\r\n"]);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_have_the_forms_of_the_rfcs() {
        let cases = [
            (Reply::ok("2 320"), "+OK 2 320\r\n"),
            (Reply::err("no such message"), "-ERR no such message\r\n"),
            (Reply::coded(Code::InUse, "busy"), "-ERR [IN-USE] busy\r\n"),
            (Reply::coded(Code::SysTemp, "later"), "-ERR [SYS/TEMP] later\r\n"),
            (Reply::challenge(""), "+ \r\n"),
            (Reply::lines("these", vec!["A", "B"]), "+OK these\r\nA\r\nB\r\n.\r\n"),
        ];
        for (reply, wire) in cases {
            let mut out = vec![];
            reply.encode(&mut out);
            assert_eq!(String::from_utf8(out).unwrap(), wire);
        }
    }
}
