//! A corpus of 200 messages with everything odd in them, the same in each run.
//!
//! Owns: which octets, lines and file names have tripped mail programs, and what a client must end up with.
//! Does not know: servers, clients, the code under test (but for the name of a folder).

use poppet::maildrop::Folder;

/// A message as some delivery agent left it.
#[derive(Clone, Debug)]
pub struct Odd {
    /// What is odd about it; no other message of the corpus has the same.
    pub what: String,
    /// The file's name: octets, for it may be no UTF-8.
    pub name: Vec<u8>,
    /// Where it lies.
    pub folder: Folder,
    /// The file.
    pub octets: Vec<u8>,
}

/// The corpus: always the same 200 messages, some 12 MB in all.
pub fn corpus() -> Vec<Odd> {
    let mut corpus = Corpus::default();
    line_ends(&mut corpus);
    dots(&mut corpus);
    octets(&mut corpus);
    structure(&mut corpus);
    long_lines(&mut corpus);
    mime(&mut corpus);
    boundaries(&mut corpus);
    names(&mut corpus);
    corpus.add("5 MB", lines_of(&mail("5 MB", ""), 5_000_000));
    corpus.add("5 MB with CRLF", crlf(&lines_of(&mail("5 MB", ""), 5_000_000)));
    noise(&mut corpus, 200);
    corpus.0
}

/// What a client must end up with: every line ends with CRLF, the last one too, and nothing else is changed.
pub fn decoded(file: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(file.len() + file.len() / 16);
    for &octet in file {
        if octet == b'\n' && out.last() != Some(&b'\r') {
            out.push(b'\r');
        }
        out.push(octet);
    }
    if !out.is_empty() && !out.ends_with(b"\n") {
        out.extend(b"\r\n");
    }
    out
}

#[derive(Default)]
struct Corpus(Vec<Odd>);

impl Corpus {
    /// With a name that is as usual, every other one in `cur/`, four to a second.
    fn add(&mut self, what: impl Into<String>, octets: impl Into<Vec<u8>>) {
        let at = self.0.len();
        let (folder, flags) = [(Folder::New, ""), (Folder::Cur, ":2,")][at % 2];
        let name = format!("{}.M{at}P1.example.org{flags}", 1_700_000_000 + at / 4);
        self.add_named(what, folder, name, octets);
    }

    fn add_named(
        &mut self,
        what: impl Into<String>,
        folder: Folder,
        name: impl Into<Vec<u8>>,
        octets: impl Into<Vec<u8>>,
    ) {
        let odd = Odd { what: what.into(), name: name.into(), folder, octets: octets.into() };
        assert!(odd.name.len() <= 255 && self.0.iter().all(|o| o.what != odd.what && o.name != odd.name), "{odd:?}");
        self.0.push(odd);
    }
}

fn mail(subject: &str, body: &str) -> Vec<u8> {
    let header = "From: Ada <ada@example.org>\nTo: bob@example.com\nDate: Tue, 14 Nov 2023 22:13:20 +0000";
    format!("{header}\nSubject: {subject}\n\n{body}").into_bytes()
}

fn mail_of(subject: &str, body: &[u8]) -> Vec<u8> {
    [&mail(subject, "")[..], body].concat()
}

fn crlf(lf: &[u8]) -> Vec<u8> {
    lf.split_inclusive(|&b| b == b'\n')
        .flat_map(|line| match line.strip_suffix(b"\n") {
            Some(line) => [line, b"\r\n"].concat(),
            None => line.to_vec(),
        })
        .collect()
}

fn lines_of(start: &[u8], octets: usize) -> Vec<u8> {
    let mut out = start.to_vec();
    for n in 0.. {
        if out.len() >= octets {
            break;
        }
        out.extend(format!("{}line {n} of a long message\n", ["", ".", "\t"][n % 3]).into_bytes());
    }
    out
}

fn line_ends(corpus: &mut Corpus) {
    let text = mail("line ends", "one\n\ntwo\n.\nthree\n");
    corpus.add("LF", &text[..]);
    corpus.add("CRLF", crlf(&text));
    corpus.add("CR alone everywhere", String::from_utf8(text.clone()).unwrap().replace('\n', "\r"));
    corpus.add("header LF, body CRLF", mail("mixed", "one\r\n.two\r\n\r\nthree\r\n"));
    corpus.add("header CRLF, body LF", [&crlf(&mail("mixed", ""))[..], b"one\n.two\n\nthree\n"].concat());
    for (what, body) in [
        ("mixed line ends", &b"one\r\ntwo\nthree\r\n\nfour\n\r\n"[..]),
        ("a lone CR in a line", b"one\rtwo\n"),
        ("a lone CR at the start of a line", b"one\n\rtwo\n"),
        ("CR CR LF", b"one\r\r\ntwo\r\r\r\nthree\n"),
        ("LF CR", b"one\n\rtwo\n\r\n\r"),
        ("lines of only CR", b"\r\r\n\r\r\r\n\r\n"),
        ("no last line end", b"one\ntwo"),
        ("no last line end after CRLF", b"one\r\ntwo"),
        ("last octet CR", b"one\ntwo\r"),
        ("last octets CR CR", b"one\ntwo\r\r"),
        ("last octets CRLF CR", b"one\r\ntwo\r\n\r"),
        ("last octets LF LF", b"one\ntwo\n\n"),
        ("last octets CRLF CRLF CRLF", b"one\r\ntwo\r\n\r\n\r\n"),
        ("vertical tab, form feed, NEL, line separator", b"a\x0bb\x0cc\xc2\x85d\xe2\x80\xa8e\x1cf\x1dg\x1eh\n"),
    ] {
        corpus.add(what, mail_of(what, body));
    }
}

fn dots(corpus: &mut Corpus) {
    for (what, body) in [
        ("lines of dots", &b".\n..\n...\n....\n. \n.a\n..a\n"[..]),
        ("lines of dots with CRLF", b".\r\n..\r\n...\r\n. \r\n.a\r\n"),
        ("first line of the body a dot", b".\nmore\n"),
        ("last line a dot", b"more\n.\n"),
        ("last line a dot with CRLF", b"more\r\n.\r\n"),
        ("last line a dot without its end", b"more\n."),
        ("last line a dot and CR", b"more\n.\r"),
        ("last line two dots without their end", b"more\n.."),
        ("a dot behind a lone CR", b"one\r.two\r.\r.\rthree\n"),
        ("a dot behind CR CR LF", b"one\r\r\n.\r\r\n.two\n"),
        ("a dot before a lone CR", b"one\n.\rtwo\n.\r\n"),
        ("what looks like replies", b"+OK\n-ERR\n.\n+OK bye\n.\r\n-ERR no\r\n"),
    ] {
        corpus.add(what, mail_of(what, body));
    }
    corpus.add("a thousand dots", mail("a thousand dots", &".\n".repeat(1000)));
    corpus.add("a dot before each line", ".From: ada@example.org\n.Subject: dots\n.\n.body\n..\n");
    corpus.add("first octet a dot", &b".X: y\nFrom: ada@example.org\n\nbody\n"[..]);
    corpus.add("first line a dot", &b".\nFrom: ada@example.org\n\nbody\n"[..]);
    corpus.add("first line a dot with CRLF", &b".\r\nFrom: ada@example.org\r\n\r\nbody\r\n"[..]);
    corpus.add("first line two dots", &b"..\nFrom: ada@example.org\n\nbody\n"[..]);
    corpus.add("a dot and nothing else", &b"."[..]);
    corpus.add("a line of a dot and nothing else", &b".\n"[..]);
    corpus.add("a CRLF line of a dot and nothing else", &b".\r\n"[..]);
}

fn octets(corpus: &mut Corpus) {
    let all: Vec<u8> = (0..=255).collect();
    corpus.add("every octet there is", mail_of("all", &all));
    corpus.add("every octet four times", mail_of("all", &all.repeat(4)));
    for (what, body) in [
        ("a NUL in a line", &b"one\0two\n"[..]),
        ("NULs at both ends of a line", b"\0one\0\n\0\r\n"),
        ("a NUL before a dot", b"one\n\0.\n.\0\n"),
        ("last octet NUL", b"one\n\0"),
        ("Latin-1", b"Gr\xfc\xdfe aus K\xf6ln\n"),
        ("UTF-8", "Gr\u{fc}\u{df}e \u{1f4ec}\n".as_bytes()),
        ("broken UTF-8", b"\xc3\n\xe2\x82\n\xff\xfe\n\xed\xa0\x80\n\xf8\x88\x80\x80\x80\n"),
        ("control octets", b"\x1b[31mred\x1b[0m \x07\x08\x1a\x7f\n"),
        ("255s", b"\xff\xff\xff\xff\n\xff\n"),
    ] {
        corpus.add(what, mail_of(what, body));
    }
    corpus.add("a NUL in the header", &b"From: ada@example.org\nSubject: a\0b\n\nbody\n"[..]);
    corpus.add("Latin-1 in the header", &b"From: J\xf6rg <joerg@example.org>\nSubject: \xfcber\n\nbody\n"[..]);
    corpus.add("UTF-8 in the header", mail("Gr\u{fc}\u{df}e \u{1f4ec}", "body\n"));
    corpus.add("a byte order mark", [b"\xef\xbb\xbf", &mail("mark", "body\n")[..]].concat());
}

fn structure(corpus: &mut Corpus) {
    let header = "From: ada@example.org\nSubject: header only\n";
    for (what, file) in [
        ("empty file", ""),
        ("a line end and nothing else", "\n"),
        ("a CRLF and nothing else", "\r\n"),
        ("a CR and nothing else", "\r"),
        ("one letter", "a"),
        ("empty lines and nothing else", "\n\n\r\n\n"),
        ("header only", header),
        ("header and empty line only", &format!("{header}\n")),
        ("header without its last line end", header.trim_end()),
        ("no header", "This has no header at all.\nNone.\n"),
        ("no header, an empty line first", "\nThis has no header at all.\n"),
        ("a header line without a colon", "From: ada@example.org\nno colon here\nSubject: x\n\nbody\n"),
        ("a space before the colon", "From : ada@example.org\nSubject : x\n\nbody\n"),
        ("a continuation line first", " continued from nowhere\nSubject: x\n\nbody\n"),
        ("an empty continuation line", "From: ada@example.org\nSubject: x\n \n\t\n y\n\nbody\n"),
        ("an mbox line first", "From ada@example.org Tue Nov 14 22:13:20 2023\nSubject: x\n\nbody\n"),
        ("a Return-Path and a Delivered-To", "Return-Path: <>\nDelivered-To: a@example.com\nSubject: x\n\nbody\n"),
    ] {
        corpus.add(what, file);
    }
    corpus.add("mbox lines in the body", mail("mbox", "From here\n>From there\n>>From\nFrom\n"));
    corpus.add("empty lines at the end", mail("empty lines", "body\n\n\n\n\n\n"));
    corpus.add("spaces at line ends", mail("spaces", "body \n\t\n  \n. \n"));
    let many: String = (0..500).map(|n| format!("X-Line-{n}: {n}\n continued\n")).collect();
    corpus.add("a header of 1,000 lines", format!("{many}\nbody\n"));
}

fn long_lines(corpus: &mut Corpus) {
    for octets in [998, 1_000, 2_046, 2_047, 2_048, 2_049, 8_191, 10_000, 1_000_000] {
        let line = "x".repeat(octets);
        corpus.add(format!("a line of {octets} octets"), mail("long", &format!("before\n{line}\nafter\n")));
        corpus.add(format!("a CRLF line of {octets} octets"), mail("long", &format!("{line}\r\n.after\r\n")));
    }
    corpus.add("a line of 10,000 dots", mail("dots", &format!("{}\n", ".".repeat(10_000))));
    corpus.add("a line of 10,000 CRs", mail("CRs", &format!("{}\nafter\n", "\r".repeat(10_000))));
    corpus.add("a line of 10,000 octets without its end", mail("long", &"x".repeat(10_000)));
    corpus.add("a header line of 998 octets", mail(&"x".repeat(989), "body\n"));
    corpus.add("a header line of 10,000 octets", mail(&"x".repeat(9_991), "body\n"));
}

fn mime(corpus: &mut Corpus) {
    let head = "From: ada@example.org\nMIME-Version: 1.0\n";
    let part = |kind: &str, body: &str| format!("--b\nContent-Type: {kind}\n\n{body}\n");
    let coded = "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gISIjJCUmJygpKissLS4v\n".repeat(40);
    let attached = format!("--b\nContent-Type: image/png\nContent-Transfer-Encoding: base64\n\n{coded}\n");
    let text = part("text/plain", "see the attachment");
    let mixed = |body: &str| format!("{head}Content-Type: multipart/mixed; boundary=b\n\n{body}");
    let rfc822 = part("message/rfc822", "From: bob@example.com\nSubject: inner\n\n.\n..\ninner");
    for (what, message) in [
        ("an attachment", mixed(&format!("{text}{attached}--b--\n"))),
        ("an attachment with CRLF", mixed(&format!("{text}{attached}--b--\n")).replace('\n', "\r\n")),
        ("preamble and epilogue", mixed(&format!("preamble\n\n{text}--b--\nepilogue\n\n"))),
        ("no closing boundary", mixed(&text)),
        ("closing boundary without its line end", mixed(&format!("{text}--b--"))),
        ("no boundary parameter", format!("{head}Content-Type: multipart/mixed\n\n{text}--b--\n")),
        ("a message in a message", mixed(&format!("{rfc822}--b--\n"))),
        ("quoted-printable", format!("{head}Content-Transfer-Encoding: quoted-printable\n\n=2E=\n.=\n..=20\n")),
        ("encoded words", format!("{head}Subject: =?UTF-8?Q?Gr=C3=BC=C3=9Fe?= =?UTF-8?B?8J+TrA==?=\n\nbody\n")),
        ("a boundary that begins with a dot", mixed(&text).replace("=b", "=.b").replace("--b", "--.b") + "--.b--\n"),
    ] {
        corpus.add(what, message);
    }
    let binary: Vec<u8> = (0..9_000u32).map(|n| (n * n % 251) as u8).collect();
    corpus.add("9,000 octets of binary", mail_of("binary", &binary));
}

/// Line ends and dots that fall across the octets where a server's or client's buffer is likely to end.
fn boundaries(corpus: &mut Corpus) {
    for size in [4_096, 16_384, 65_536] {
        for (what, octets) in
            [("CRLF", "\r\n"), ("LF", "\n"), ("LF dot", "\n."), ("LF dot LF", "\n.\n"), ("CRLF dot CRLF", "\r\n.\r\n")]
        {
            for before in 0..=octets.len() {
                let mut file = lines_of(&mail("boundary", ""), size - 200);
                file.resize(size - before, b'x');
                file.extend(format!("{octets}after\n.\n").into_bytes());
                corpus.add(format!("{what}, {before} before octet {size}"), file);
            }
        }
    }
}

fn names(corpus: &mut Corpus) {
    let long = |name: &str, octets: usize| format!("{name}{}", "n".repeat(octets - name.len()));
    for (what, folder, name) in [
        ("name with spaces", Folder::New, "1700000100.M1 P1.a host".to_owned()),
        ("name that begins with a space", Folder::New, " 1700000101.a".to_owned()),
        ("name without a time", Folder::New, "message".to_owned()),
        ("name of one letter", Folder::Cur, "a:2,S".to_owned()),
        ("name with a time of 0", Folder::New, "0.a".to_owned()),
        ("name with a time past 64 bits", Folder::New, "99999999999999999999999.a".to_owned()),
        ("name with a time and nothing else", Folder::New, "1700000102".to_owned()),
        ("name with the same time, 1", Folder::New, "1700000103.b".to_owned()),
        ("name with the same time, 2", Folder::Cur, "1700000103.a:2,".to_owned()),
        ("name with the same time and microseconds", Folder::New, "1700000103.M7P2.a".to_owned()),
        ("name with the same microseconds once more", Folder::Cur, "1700000103.M7P1.a:2,".to_owned()),
        ("name with a size", Folder::New, format!("1700000104.a,S={NAMED_OCTETS}")),
        ("name with sizes", Folder::Cur, format!("1700000105.a,S={NAMED_OCTETS},W={}:2,S", NAMED_OCTETS + 7)),
        ("name with a wrong size", Folder::New, "1700000106.a,S=1".to_owned()),
        ("name with a wrong size on the wire", Folder::New, "1700000107.a,W=1".to_owned()),
        ("name with a size that is no number", Folder::New, "1700000108.a,S=x,W=-1".to_owned()),
        ("name with flags", Folder::Cur, "1700000109.a:2,FRST".to_owned()),
        ("name in cur without flags", Folder::Cur, "1700000110.a".to_owned()),
        ("name with foreign flags", Folder::Cur, "1700000111.a:2,Sab".to_owned()),
        ("name with a semicolon", Folder::Cur, "1700000112.a;2,S".to_owned()),
        ("name of 70 octets", Folder::New, long("1700000113.", 70)),
        ("name of 71 octets", Folder::New, long("1700000114.", 71)),
        ("name of 250 octets", Folder::New, long("1700000115.", 250)),
        ("name of 255 octets", Folder::New, long("1700000116.", 255)),
    ] {
        corpus.add_named(what, folder, name, named(what));
    }
    corpus.add_named("name in Latin-1", Folder::New, &b"1700000117.K\xf6ln"[..], named("name in Latin-1"));
    corpus.add_named("name in UTF-8", Folder::Cur, "1700000118.K\u{f6}ln:2,", named("name in UTF-8"));
}

/// A message of [`NAMED_OCTETS`] octets and 7 lines.
fn named(what: &str) -> Vec<u8> {
    let mut file = mail(what, "one\n");
    file.resize(NAMED_OCTETS - 1, b'x');
    file.push(b'\n');
    file
}

/// Fills the corpus up with octets that a generator draws from those that matter.
fn noise(corpus: &mut Corpus, count: usize) {
    let mut state = 0x2545_F491_4F6C_DD1D_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 33) as usize % below
    };
    while corpus.0.len() < count {
        let octets = 1 + draw(3_000);
        let body: Vec<u8> = (0..octets).map(|_| b"\r\n\n..a \xe9"[draw(8)]).collect();
        let what = format!("noise {}", corpus.0.len());
        corpus.add(&*what, mail_of(&what, &body));
    }
}

const NAMED_OCTETS: usize = 300;
