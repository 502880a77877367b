//! Dialogues as text: what the client sends, what the server must answer.
//!
//! ```text
//! C: USER {user}        sent with CRLF; {user} and {b64:...} are filled in, \0 \t \r \n \xNN are octets
//! C= QU                 sent as it stands, without CRLF
//! S: +OK*               one line; * is any run of octets
//! S: <lines>            any lines up to and with the final dot
//! S: <eof>              the server closes
//! ```
//! Indentation and empty lines mean nothing; a line that begins with `#` is a comment.

use std::fmt;

use base64ct::{Base64, Encoding};

use super::client::{Channel, Client};
use super::maildir::Maildir;
use super::{Builder, PASSWORD, Server};

/// A dialogue.
pub struct Script {
    steps: Vec<Step>,
}

/// How the client's octets are cut into writes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Pace {
    /// Each run of commands up to the next reply in one write, the replies awaited.
    Lines,
    /// All that the client says in one write.
    Whole,
    /// One write an octet.
    Octets,
    /// Pieces of 1 to 40 octets, from this seed.
    Pieces(u64),
}

enum Step {
    Client(String),
    Server(String),
}

impl Script {
    /// Reads `text`.
    pub fn parse(text: &str) -> Script {
        let mut steps = Vec::new();
        for line in text.lines().map(str::trim_start).filter(|line| !line.is_empty() && !line.starts_with('#')) {
            steps.push(match (line.get(..3), line.get(3..)) {
                (Some("C: "), Some(rest)) => Step::Client(format!("{rest}\\r\\n")),
                (Some("C= "), Some(rest)) => Step::Client(rest.to_owned()),
                (Some("S: "), Some(rest)) => Step::Server(rest.trim_end().to_owned()),
                _ if line.trim_end() == "C:" => Step::Client("\\r\\n".to_owned()),
                _ => panic!("no step of a script: {line}"),
            });
        }
        Script { steps }
    }

    /// Plays it as `user` and gives all that the server said, or where it said something else than it must.
    pub fn play(&self, client: &mut Client, user: &str, pace: Pace) -> Result<Vec<String>, Mismatch> {
        let mut heard = Vec::new();
        if matches!(pace, Pace::Whole | Pace::Pieces(_)) {
            let mut all = Vec::new();
            for step in &self.steps {
                if let Step::Client(text) = step {
                    all.extend(octets(text, user));
                }
            }
            send(client, &all, pace);
        }
        for step in &self.steps {
            match step {
                Step::Client(text) if matches!(pace, Pace::Lines | Pace::Octets) => {
                    send(client, &octets(text, user), pace)
                }
                Step::Client(_) => {}
                Step::Server(pattern) => hear(client, pattern, &mut heard)?,
            }
        }
        Ok(heard)
    }
}

/// The server said something else.
#[derive(Debug)]
pub struct Mismatch {
    wanted: String,
    got: String,
    before: Vec<String>,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "wanted: {}\n   got: {}\nbefore:", self.wanted, self.got)?;
        self.before.iter().rev().take(20).rev().try_for_each(|line| writeln!(f, "        {line}"))
    }
}

/// A dialogue that must give the same transcript over every channel, at every pace.
pub struct Dialogue<'a> {
    script: &'a str,
    builder: Builder,
    lay: &'a dyn Fn(&Maildir),
    password: &'a str,
    channels: Option<&'a [Channel]>,
}

impl<'a> Dialogue<'a> {
    /// With an empty maildrop and the usual server.
    pub fn new(script: &'a str) -> Dialogue<'a> {
        Dialogue { script, builder: Server::builder(), lay: &|_| {}, password: PASSWORD, channels: None }
    }

    /// Puts mail into the Maildir before each run.
    pub fn mail(mut self, lay: &'a dyn Fn(&Maildir)) -> Dialogue<'a> {
        self.lay = lay;
        self
    }

    /// Changes the server's configuration.
    pub fn config(mut self, key: &str, value: &str) -> Dialogue<'a> {
        self.builder = self.builder.config(key, value);
        self
    }

    /// The user's password.
    pub fn password(mut self, password: &'a str) -> Dialogue<'a> {
        self.password = password;
        self
    }

    /// Only these channels.
    pub fn over(mut self, channels: &'a [Channel]) -> Dialogue<'a> {
        self.channels = Some(channels);
        self
    }

    /// Runs it: each channel at each pace, each run with a user of its own.
    pub fn run(mut self) {
        let script = Script::parse(self.script);
        let paces = [Pace::Lines, Pace::Whole, Pace::Octets, Pace::Pieces(1), Pace::Pieces(2)];
        for run in 0..paces.len() * 3 {
            self.builder = self.builder.user(&format!("user{run}"), self.password);
        }
        let server = self.builder.start();
        let mut transcript = None;
        let mut run = 0;
        for &channel in
            server.channels().iter().filter(|channel| self.channels.is_none_or(|only| only.contains(channel)))
        {
            for pace in paces {
                let user = format!("user{run}");
                run += 1;
                (self.lay)(&server.maildir(&user));
                let mut client = server.connect_over(channel);
                let heard = script.play(&mut client, server.name_of(&user), pace);
                let mut heard = heard.unwrap_or_else(|mismatch| panic!("{channel:?}, {pace:?}\n{mismatch}"));
                // CAPA's one line that depends on the channel.
                heard.retain(|line| line != "STLS");
                match &transcript {
                    None => transcript = Some(heard),
                    Some(first) => assert_eq!(first, &heard, "{channel:?}, {pace:?}: another transcript"),
                }
            }
        }
    }
}

/// Runs a dialogue with an empty maildrop.
pub fn dialogue(script: &str) {
    Dialogue::new(script).run();
}

fn send(client: &mut Client, octets: &[u8], pace: Pace) {
    let mut random = match pace {
        Pace::Pieces(seed) => seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1,
        _ => 0,
    };
    let mut rest = octets;
    while !rest.is_empty() {
        let count = match pace {
            Pace::Lines | Pace::Whole => rest.len(),
            Pace::Octets => 1,
            Pace::Pieces(_) => {
                // xorshift64
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                (random % 40 + 1) as usize
            }
        };
        let (piece, tail) = rest.split_at(count.min(rest.len()));
        // A server that has closed is found out when its replies are read.
        if client.try_send(piece).is_err() {
            return;
        }
        rest = tail;
    }
}

fn hear(client: &mut Client, pattern: &str, heard: &mut Vec<String>) -> Result<(), Mismatch> {
    loop {
        let line = client.line_or_end();
        let wrong = |got: &str| {
            let (wanted, got, before) = (pattern.to_owned(), got.to_owned(), heard.clone());
            Err(Mismatch { wanted, got, before })
        };
        match (pattern, line) {
            ("<eof>", None) => return Ok(()),
            (_, None) => return wrong("<eof>"),
            ("<lines>", Some(line)) => {
                let last = line == ".";
                heard.push(line);
                if last {
                    return Ok(());
                }
            }
            (_, Some(line)) if matches(pattern, &line) => {
                heard.push(line);
                return Ok(());
            }
            (_, Some(line)) => return wrong(&line),
        }
    }
}

fn matches(pattern: &str, line: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == line,
        Some((head, tail)) => {
            let Some(rest) = line.strip_prefix(head) else { return false };
            rest.char_indices().map(|(at, _)| at).chain([rest.len()]).any(|at| matches(tail, &rest[at..]))
        }
    }
}

/// Fills in what is in braces and undoes the escapes.
fn octets(text: &str, user: &str) -> Vec<u8> {
    let text = text.replace("{user}", user);
    match text.split_once("{b64:") {
        None => unescape(&text),
        Some((head, rest)) => {
            let (inner, tail) = rest.split_once('}').expect("a closing brace");
            let mut all = unescape(head);
            all.extend(Base64::encode_string(&unescape(inner)).into_bytes());
            all.extend(octets(tail, user));
            all
        }
    }
}

fn unescape(text: &str) -> Vec<u8> {
    let mut all = Vec::new();
    let mut rest = text.bytes();
    while let Some(octet) = rest.next() {
        all.push(match octet {
            b'\\' => match rest.next().expect("an escape") {
                b'0' => 0,
                b't' => b'\t',
                b'r' => b'\r',
                b'n' => b'\n',
                b'\\' => b'\\',
                b'x' => {
                    let digits = [rest.next().expect("a digit"), rest.next().expect("a digit")];
                    u8::from_str_radix(std::str::from_utf8(&digits).expect("digits"), 16).expect("hex")
                }
                other => panic!("no escape: {}", char::from(other)),
            },
            other => other,
        });
    }
    all
}
