//! The session beside a model of it, over random lines.
//!
//! The model is told what a line means and never reads it: messages in a `Vec`, states in a plain `enum`.
//! A failure names its seed; `POPPET_SEED=7` runs that one alone.

use super::{maildrop, wire};
use crate::{
    maildrop::MessageNumber,
    proto::{
        line::{COMMAND_LIMIT, LineError, SASL_LIMIT},
        session::{Effect, NotRemoved, Refusal, Session, Terms, Unsent},
    },
};

mod generator;

#[test]
fn the_session_does_what_the_model_does() {
    let seeds = match std::env::var("POPPET_SEED") {
        Ok(seed) => vec![seed.parse().expect("a number")],
        Err(_) => (0..3_000).collect(),
    };
    let mut ends = [0; 5];
    for &seed in &seeds {
        let mut run = Run::new(seed);
        while run.model.stage != Stage::Over && run.transcript.len() < 400 {
            run.step();
        }
        run.replay = None;
        ends[run.model.end as usize] += 1;
    }
    assert!(seeds.len() == 1 || ends.iter().all(|&runs| runs > 20), "the generator tries too little: {ends:?}");
}

/// SplitMix64.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: u64) -> u64 {
        self.next() % n
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[self.below(choices.len() as u64) as usize]
    }
}

#[derive(Clone, PartialEq, Debug)]
enum Stage {
    Authorization(Option<&'static str>),
    Plain,
    LoginName,
    LoginPassword(&'static str),
    Transaction,
    Over,
}

/// How a run ended; each must happen often enough, or the generator tests nothing.
#[derive(Clone, Copy)]
enum End {
    Otherwise,
    BadCommands,
    WrongPasswords,
    Update,
    UpdateOverTls,
}

#[derive(Clone)]
struct Message {
    size: u64,
    uid: String,
    deleted: bool,
    retrieved: bool,
}

/// What the session must say or want.
#[derive(Debug)]
enum Expect {
    /// A status line that begins so, perhaps more behind it.
    Begins(&'static str),
    Whole(String),
    Listing(Vec<String>),
    Send(u32, Option<u32>),
    LogIn(&'static str, &'static str),
    Update,
    StartTls,
    Close(&'static str),
    Hangup,
}

/// What a line means.
#[derive(Clone, Copy, Debug)]
enum Means {
    User(Option<&'static str>),
    Pass(&'static str),
    AuthList,
    AuthUnknown,
    /// Whether the mechanism is LOGIN, and its initial response.
    Auth(bool, Option<Response>),
    Response(Response),
    Stat,
    List(Option<u32>),
    Uidl(Option<u32>),
    Retr(u32),
    Top(u32, u32),
    Dele(u32),
    Noop,
    Rset,
    Quit,
    Capa,
    Stls,
    Utf8,
    Lang(bool),
    Malformed,
    TooLong,
    Endless,
}

#[derive(Clone, Copy, Debug)]
enum Response {
    Cancel,
    /// Not what any mechanism asks for.
    Rubbish,
    /// A name, or a password of the same octets.
    Word(&'static str),
    /// What PLAIN asks for.
    Both(&'static str, &'static str),
}

struct Model {
    stage: Stage,
    messages: Vec<Message>,
    terms: Terms,
    utf8: bool,
    wrong: u32,
    bad: u32,
    end: End,
}

impl Model {
    fn expect(&mut self, means: Means) -> Expect {
        if let Means::Endless = means {
            return self.over(End::Otherwise, Expect::Hangup);
        }
        if let (Means::TooLong, Stage::Plain | Stage::LoginName | Stage::LoginPassword(_)) = (means, &self.stage) {
            return self.over(End::Otherwise, Expect::Close("-ERR "));
        }
        if let Some(expected) = self.understood(means) {
            self.bad = 0;
            return expected;
        }
        self.bad += 1;
        match self.bad >= if self.stage == Stage::Transaction { 20 } else { 5 } {
            true => self.over(End::BadCommands, Expect::Close("-ERR ")),
            false => Expect::Begins("-ERR "),
        }
    }

    fn over(&mut self, end: End, expected: Expect) -> Expect {
        (self.stage, self.end) = (Stage::Over, end);
        expected
    }

    /// `None` is a bad command.
    fn understood(&mut self, means: Means) -> Option<Expect> {
        match (means, self.stage.clone()) {
            (Means::Response(response), stage) => self.response(stage, response),
            (Means::Malformed | Means::TooLong, _) => None,
            (Means::Capa | Means::Lang(true), _) => Some(Expect::Begins("+OK ")),
            (Means::Lang(false), _) => Some(Expect::Begins("-ERR ")),
            (Means::Utf8, _) => {
                self.utf8 = true;
                Some(Expect::Begins("+OK "))
            }
            (Means::Quit, Stage::Transaction) => {
                let end = if self.terms.tls_active { End::UpdateOverTls } else { End::Update };
                Some(self.over(end, Expect::Update))
            }
            (Means::Quit, _) => Some(self.over(End::Otherwise, Expect::Close("+OK "))),
            (means, Stage::Transaction) => self.transaction(means),
            (means, Stage::Authorization(user)) => self.authorization(means, user),
            (means, stage) => panic!("the generator sends {means:?} in {stage:?}"),
        }
    }

    fn authorization(&mut self, means: Means, user: Option<&'static str>) -> Option<Expect> {
        let may_log_in = self.terms.tls_active || self.terms.plaintext_login;
        match means {
            Means::User(_) | Means::Pass(_) | Means::AuthList | Means::AuthUnknown | Means::Auth(..) if !may_log_in => {
                Some(Expect::Begins("-ERR "))
            }
            Means::User(Some(user)) => {
                self.stage = Stage::Authorization(Some(user));
                Some(Expect::Begins("+OK "))
            }
            Means::User(None) | Means::AuthUnknown => Some(Expect::Begins("-ERR ")),
            Means::Pass(password) => {
                self.stage = Stage::Authorization(None);
                user.map(|user| Expect::LogIn(user, password))
            }
            Means::AuthList => Some(Expect::Whole("+OK mechanisms\r\nPLAIN\r\nLOGIN\r\n.\r\n".into())),
            Means::Auth(login, initial) => {
                self.stage = if login { Stage::LoginName } else { Stage::Plain };
                match initial {
                    Some(response) => self.response(self.stage.clone(), response),
                    None => Some(Expect::Whole(if login { "+ VXNlcm5hbWU6\r\n" } else { "+ \r\n" }.into())),
                }
            }
            Means::Stls if !self.terms.tls_offered || self.terms.tls_active || self.utf8 => {
                Some(Expect::Begins("-ERR "))
            }
            Means::Stls => {
                self.terms.tls_active = true;
                self.stage = Stage::Authorization(None);
                Some(Expect::StartTls)
            }
            _ => None,
        }
    }

    fn response(&mut self, stage: Stage, response: Response) -> Option<Expect> {
        self.stage = Stage::Authorization(None);
        match (stage, response) {
            (_, Response::Cancel) => Some(Expect::Begins("-ERR ")),
            (Stage::Plain, Response::Both(user, password)) => Some(Expect::LogIn(user, password)),
            (Stage::LoginName, Response::Word(user)) => {
                self.stage = Stage::LoginPassword(user);
                Some(Expect::Whole("+ UGFzc3dvcmQ6\r\n".into()))
            }
            (Stage::LoginPassword(user), Response::Word(password)) => Some(Expect::LogIn(user, password)),
            _ => None,
        }
    }

    fn transaction(&mut self, means: Means) -> Option<Expect> {
        let named = match means {
            Means::List(n) | Means::Uidl(n) => n,
            Means::Retr(n) | Means::Top(n, _) | Means::Dele(n) => Some(n),
            _ => None,
        };
        let message = named.map(|n| self.messages.get(n as usize - 1).filter(|message| !message.deleted).cloned());
        if let Some(None) = message {
            return Some(Expect::Begins("-ERR "));
        }
        let message = message.flatten();
        Some(match (means, message) {
            (Means::Stat, _) => {
                let left = self.messages.iter().filter(|message| !message.deleted);
                let (count, octets) = left.fold((0, 0), |(n, octets), message| (n + 1, octets + message.size));
                Expect::Whole(format!("+OK {count} {octets}\r\n"))
            }
            (Means::List(Some(n)), Some(message)) => Expect::Whole(format!("+OK {n} {}\r\n", message.size)),
            (Means::Uidl(Some(n)), Some(message)) => Expect::Whole(format!("+OK {n} {}\r\n", message.uid)),
            (Means::List(None), _) => Expect::Listing(self.lines(|message| message.size.to_string())),
            (Means::Uidl(None), _) => Expect::Listing(self.lines(|message| message.uid.clone())),
            (Means::Retr(n), _) => Expect::Send(n, None),
            (Means::Top(n, lines), _) => Expect::Send(n, Some(lines)),
            (Means::Dele(n), _) => {
                self.messages[n as usize - 1].deleted = true;
                Expect::Begins("+OK ")
            }
            (Means::Rset, _) => {
                self.messages.iter_mut().for_each(|message| message.deleted = false);
                Expect::Begins("+OK ")
            }
            (Means::Noop, _) => Expect::Begins("+OK "),
            _ => return None,
        })
    }

    fn lines(&self, column: impl Fn(&Message) -> String) -> Vec<String> {
        let left = (1..).zip(&self.messages).filter(|(_, message)| !message.deleted);
        left.map(|(n, message): (u32, _)| format!("{n} {}", column(message))).collect()
    }
}

struct Run {
    random: Random,
    model: Model,
    session: Session,
    transcript: Vec<String>,
    /// The seed of a run that has not come to its end.
    replay: Option<u64>,
}

impl Drop for Run {
    fn drop(&mut self) {
        if let Some(seed) = self.replay {
            eprintln!("{}\nPOPPET_SEED={seed} replays this", self.transcript.join("\n"));
        }
    }
}

impl Run {
    fn new(seed: u64) -> Run {
        let mut random = Random(seed);
        let tls_offered = !random.one_in(4);
        let terms = Terms { tls_offered, tls_active: random.one_in(4), plaintext_login: !random.one_in(3) };
        let stage = Stage::Authorization(None);
        let model = Model { stage, messages: vec![], terms, utf8: false, wrong: 0, bad: 0, end: End::Otherwise };
        Run { random, model, session: Session::new(terms), transcript: vec![], replay: Some(seed) }
    }

    fn step(&mut self) {
        let in_sasl = matches!(self.model.stage, Stage::Plain | Stage::LoginName | Stage::LoginPassword(_));
        assert_eq!(self.session.line_limit(), if in_sasl { SASL_LIMIT } else { COMMAND_LIMIT });
        assert_eq!(self.session.is_in_transaction(), self.model.stage == Stage::Transaction);
        let (line, means) = if in_sasl { self.sasl_line() } else { self.command_line() };
        self.transcript.push(format!("C {:?} ({means:?})", String::from_utf8_lossy(&line)));
        let effect = self.session.line(match means {
            Means::TooLong => Err(LineError::TooLong),
            Means::Endless => Err(LineError::Endless),
            _ => Ok(&line),
        });
        let expected = self.model.expect(means);
        self.compare(effect, expected);
    }

    fn compare(&mut self, effect: Effect, expected: Expect) {
        self.transcript.push(format!("S {effect:?}, expected {expected:?}"));
        match (effect, expected) {
            (Effect::Reply(reply), Expect::Begins(start)) => assert!(wire(&reply).starts_with(start)),
            (Effect::Reply(reply), Expect::Whole(text)) => assert_eq!(wire(&reply), text),
            (Effect::Close(reply), Expect::Close(start)) => assert!(wire(&reply).starts_with(start)),
            (Effect::Hangup, Expect::Hangup) => {}
            (Effect::StartTls(reply), Expect::StartTls) => {
                assert!(wire(&reply).starts_with("+OK "));
                self.session.tls_began();
            }
            (Effect::List(mut listing), Expect::Listing(lines)) => {
                let (mut text, mark) = (vec![], self.random.below(30) as usize);
                loop {
                    let mut out = vec![];
                    let done = self.session.list(&mut listing, &mut out, mark);
                    assert!(!out.is_empty());
                    text.append(&mut out);
                    if done {
                        break;
                    }
                }
                let text = String::from_utf8(text).unwrap();
                let whole: String = lines.iter().map(|line| format!("{line}\r\n")).collect();
                assert_eq!(text, format!("+OK {} messages\r\n{whole}.\r\n", lines.len()));
            }
            (Effect::Send { message, body_lines }, Expect::Send(n, lines)) => {
                assert_eq!((message.get(), body_lines), (n, lines));
                self.send(message, lines.is_none());
            }
            (Effect::LogIn { user, password, .. }, Expect::LogIn(name, secret)) => {
                assert_eq!((user.as_str(), password.expose()), (name, secret.as_bytes()));
                self.log_in();
            }
            (Effect::Update { marks }, Expect::Update) => {
                for (n, message) in (1..).zip(&self.model.messages) {
                    let number = MessageNumber::new(n).unwrap();
                    assert_eq!(marks.is_deleted(number), message.deleted, "{n}");
                    assert_eq!(marks.is_retrieved(number), message.retrieved, "{n}");
                }
                let count = self.model.messages.iter().filter(|message| message.deleted).count();
                assert_eq!(marks.deleted_count() as usize, count);
                let failed = Err(NotRemoved { failed: 1, uncertain: 0, of: 2, temporary: false });
                assert!(wire(&self.session.updated(failed)).starts_with("-ERR [SYS/PERM] 1 of 2 "));
                assert!(wire(&self.session.updated(Ok(()))).starts_with("+OK "));
            }
            (effect, expected) => panic!("{effect:?} is not {expected:?}"),
        }
    }

    fn send(&mut self, message: MessageNumber, by_retr: bool) {
        if self.random.one_in(4) {
            let (unsent, start) = self.random.of(&[
                (Unsent::Gone, "-ERR "),
                (Unsent::Temporary, "-ERR [SYS/TEMP] "),
                (Unsent::Permanent, "-ERR [SYS/PERM] "),
            ]);
            assert!(wire(&self.session.not_sent(unsent)).starts_with(start));
        } else {
            self.session.sent(message, by_retr);
            self.model.messages[message.get() as usize - 1].retrieved |= by_retr;
        }
    }

    fn log_in(&mut self) {
        let refusals = [
            (Refusal::Credentials, "-ERR [AUTH] "),
            (Refusal::InUse, "-ERR [IN-USE] "),
            (Refusal::Temporary, "-ERR [SYS/TEMP] "),
            (Refusal::Permanent, "-ERR [SYS/PERM] "),
        ];
        if self.random.one_in(3) {
            let count = self.random.below(9) as u32;
            let message = |n| Message { size: n * 100, uid: format!("{n}.base"), deleted: false, retrieved: false };
            self.model.messages = (1..=u64::from(count)).map(message).collect();
            self.model.stage = Stage::Transaction;
            let effect = self.session.logged_in(Ok(maildrop(count)));
            return self.compare(effect, Expect::Whole(format!("+OK {count} messages\r\n")));
        }
        let (refusal, start) = if self.random.one_in(2) { refusals[0] } else { self.random.of(&refusals) };
        self.model.wrong += u32::from(refusal == Refusal::Credentials);
        self.model.stage = Stage::Authorization(None);
        let expected = match refusal {
            Refusal::Credentials if self.model.wrong == 3 => self.model.over(End::WrongPasswords, Expect::Close(start)),
            _ => Expect::Begins(start),
        };
        let effect = self.session.logged_in(Err(refusal));
        self.compare(effect, expected);
    }
}
