//! Random lines, each with what it means.

use base64ct::{Base64, Encoding};

use super::{Means, Response, Run, Stage};

/// As written, and as compared.
const NAMES: [(&str, &str); 3] = [("ada", "ada"), ("Bob@Example.ORG", "bob@example.org"), ("x", "x")];
const PASSWORDS: [&str; 3] = ["secret", "two words ", " "];
const MALFORMED: [&[u8]; 26] = [
    b"",
    b"   ",
    b"XYZZY",
    b" STAT",
    b"GET / HTTP/1.1",
    b"APOP ada 0",
    b"STATUS",
    b"DELE",
    b"DELE 0",
    b"DELE -1",
    b"DELE 1x",
    b"DELE 4294967297",
    b"DELE 18446744073709551617",
    b"DELE 1\0 2",
    b"PASS",
    b"PASS a\0b",
    b"USER",
    b"USER a b",
    b"TOP 1",
    b"TOP 1 -1",
    b"QUIT now",
    b"NOOP 1",
    b"LIST 1 2",
    b"\xff\xfe",
    b"RETR \t1",
    b"PASS\0",
];

impl Run {
    /// A command, well-formed or not, whatever the state.
    pub(super) fn command_line(&mut self) -> (Vec<u8>, Means) {
        let often_bad = self.replay.is_some_and(|seed| seed % 5 == 0);
        if self.random.one_in(9) || often_bad && !self.random.one_in(9) {
            return self.rubbish();
        }
        // Without some order hardly anybody would ever log in.
        if let Stage::Authorization(user) = self.model.stage {
            match self.random.below(6) {
                0..=2 if user.is_some() => return self.pass(),
                0 | 1 => return self.user(),
                2 => return self.auth(),
                3 => return self.spelt("STLS", Means::Stls),
                _ => {}
            }
        }
        match self.random.below(20) {
            0 => self.user(),
            1 => self.pass(),
            2 => self.spelt("AUTH", Means::AuthList),
            3 => self.spelt("AUTH GSSAPI", Means::AuthUnknown),
            4 => self.auth(),
            5 => self.spelt("STAT", Means::Stat),
            6 => self.spelt("LIST", Means::List(None)),
            7 => self.spelt("UIDL", Means::Uidl(None)),
            8 => self.spelt("NOOP", Means::Noop),
            9 => self.spelt("CAPA", Means::Capa),
            10 => self.spelt("STLS", Means::Stls),
            11 => self.spelt("LANG", Means::Lang(true)),
            12 => self.spelt("LANG *", Means::Lang(true)),
            13 => self.spelt("LANG xx", Means::Lang(false)),
            14 => match self.random.below(4) {
                0 => self.spelt("QUIT", Means::Quit),
                1 => self.spelt("UTF8", Means::Utf8),
                _ => self.spelt("RSET", Means::Rset),
            },
            15 => {
                let (n, lines) = (self.number(), self.random.below(99) as u32);
                self.spelt(&format!("TOP {n} {lines}"), Means::Top(n, lines))
            }
            _ => self.on_one_message(),
        }
    }

    /// A line of a SASL exchange.
    pub(super) fn sasl_line(&mut self) -> (Vec<u8>, Means) {
        match self.random.below(40) {
            0 => (vec![], Means::TooLong),
            1 => (vec![], Means::Endless),
            _ => {
                let (text, response) = self.response_text();
                (text.into_bytes(), Means::Response(response))
            }
        }
    }

    fn rubbish(&mut self) -> (Vec<u8>, Means) {
        match self.random.below(60) {
            0 => (vec![], Means::Endless),
            1..=4 => (vec![], Means::TooLong),
            5 => (b"USER a\tb".to_vec(), Means::User(None)),
            _ => (self.random.of(&MALFORMED).to_vec(), Means::Malformed),
        }
    }

    fn on_one_message(&mut self) -> (Vec<u8>, Means) {
        let n = self.number();
        match self.random.below(4) {
            0 => self.spelt(&format!("LIST {n}"), Means::List(Some(n))),
            1 => self.spelt(&format!("UIDL {n}"), Means::Uidl(Some(n))),
            2 => self.spelt(&format!("RETR {n}"), Means::Retr(n)),
            _ => self.spelt(&format!("DELE {n}"), Means::Dele(n)),
        }
    }

    fn number(&mut self) -> u32 {
        1 + self.random.below(9) as u32 * if self.random.one_in(9) { 100 } else { 1 }
    }

    fn user(&mut self) -> (Vec<u8>, Means) {
        let (written, name) = self.random.of(&NAMES);
        self.spelt(&format!("USER {written}"), Means::User(Some(name)))
    }

    /// Not [`Run::spelt`]: a password keeps its case and its spaces.
    fn pass(&mut self) -> (Vec<u8>, Means) {
        let password = self.random.of(&PASSWORDS);
        let verb = self.random.of(&["PASS", "pass", "pAsS"]);
        (format!("{verb} {password}").into_bytes(), Means::Pass(password))
    }

    /// Not [`Run::spelt`] as a whole: Base64 keeps its case.
    fn auth(&mut self) -> (Vec<u8>, Means) {
        let login = self.random.one_in(2);
        let (mut line, _) = self.spelt(if login { "AUTH LOGIN" } else { "AUTH PLAIN" }, Means::Noop);
        if self.random.one_in(2) {
            return (line, Means::Auth(login, None));
        }
        let (text, response) = self.response_text();
        let text = if text.is_empty() { "=" } else { &text };
        line.extend_from_slice(format!(" {text}").as_bytes());
        (line, Means::Auth(login, Some(response)))
    }

    fn response_text(&mut self) -> (String, Response) {
        let for_password = matches!(self.model.stage, Stage::LoginPassword(_));
        let (written, name) = self.random.of(&NAMES);
        let password = self.random.of(&PASSWORDS);
        let both = Response::Both(name, password);
        let (octets, response) = match self.random.below(16) {
            0 => return ("*".into(), Response::Cancel),
            1 => return ("!!!!".into(), Response::Rubbish),
            2 => return ("AGFkYQB4=".into(), Response::Rubbish),
            3 => (String::new(), if for_password { Response::Word("") } else { Response::Rubbish }),
            _ if for_password => (password.into(), Response::Word(password)),
            4 => ("a\x01b".into(), Response::Rubbish),
            5 => ("nobody\0ada\0x".into(), Response::Rubbish),
            6 => ("\0ada\0x\0y".into(), Response::Rubbish),
            7..=10 => (written.into(), Response::Word(name)),
            11 => (format!("{name}\0{written}\0{password}"), both),
            _ => (format!("\0{written}\0{password}"), both),
        };
        (Base64::encode_string(octets.as_bytes()), response)
    }

    /// In some case and with some spaces.
    fn spelt(&mut self, command: &str, means: Means) -> (Vec<u8>, Means) {
        let mut line = vec![];
        for octet in command.bytes() {
            let spaces = if octet == b' ' && self.random.one_in(3) { 2 } else { 1 };
            let octet = if self.random.one_in(2) { octet.to_ascii_lowercase() } else { octet };
            line.extend(std::iter::repeat_n(octet, spaces));
        }
        line.extend(std::iter::repeat_n(b' ', if self.random.one_in(4) { 2 } else { 0 }));
        (line, means)
    }
}
