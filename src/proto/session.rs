//! The state machine of a POP3 session.
//!
//! Owns: all of it. What is allowed when, what is said then, and what a client may do wrong how often:
//! every rule that depends on a session's state stands in this file.
//! Does not know: sockets, files, clocks. It is told a line or an outcome and gives one [`Effect`].

use std::sync::Arc;

use super::{
    command::{Command, Malformed, is_proxy_header},
    line::{self, LineError},
    listing::{self, Column, Listing},
    reply::{Code, Reply},
    sasl::{self, Exchange, Step},
};
use crate::{
    maildrop::{Maildrop, Marks, MessageNumber},
    secret::Secret,
    user::UserName,
};

/// What the connection must do now; POP3 has one answer a command, so there is never more than one.
#[derive(Debug)]
#[must_use = "the client waits for it"]
pub enum Effect {
    /// Say this.
    Reply(Reply),
    /// Send a listing, with [`Session::list`].
    List(Listing),
    /// Send a message: all of it (RETR) or its header and some lines (TOP). Then [`Session::sent`].
    Send {
        /// Which.
        message: MessageNumber,
        /// TOP's count of lines; `None` for RETR.
        body_lines: Option<u32>,
    },
    /// Check the password, then [`Session::logged_in`].
    LogIn {
        /// Who the client says it is.
        user: UserName,
        /// Its proof.
        password: Secret,
        /// How it was told, for the log.
        method: &'static str,
    },
    /// The UPDATE state: make the marks true, give the maildrop back, then [`Session::updated`], then close.
    Update {
        /// What to remove, and what was retrieved.
        marks: Marks,
    },
    /// Say this in clear text, then begin TLS, then [`Session::tls_began`].
    StartTls(Reply),
    /// Say this and close.
    Close(Reply),
    /// Close without a word.
    Hangup,
}

/// What this connection may do, told by those who know its address and its transport.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Terms {
    /// A certificate is there, so that STLS may be offered.
    pub tls_offered: bool,
    /// TLS is on.
    pub tls_active: bool,
    /// The client's network may log in without TLS.
    pub plaintext_login: bool,
}

/// Why a login came to nothing.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// Wrong name or password.
    Credentials,
    /// Too many of its network were wrong: this one was not even looked at.
    Throttled,
    /// Another session has the maildrop.
    InUse,
    /// Something that may pass by itself.
    Temporary,
    /// Something that the operator has to mend.
    Permanent,
}

/// Why a message can't be sent.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Unsent {
    /// Somebody else removed it during the session.
    Gone,
    /// It can't be read now.
    Temporary,
    /// It can't be read at all.
    Permanent,
}

/// UPDATE could not remove all that was marked.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct NotRemoved {
    /// How many are still there.
    pub failed: u32,
    /// How many may come back after a crash of the machine.
    pub uncertain: u32,
    /// How many were marked.
    pub of: u32,
    /// Whether it may work later.
    pub temporary: bool,
}

/// One client's session, from the greeting to QUIT.
#[derive(Debug)]
pub struct Session {
    state: State,
    terms: Terms,
    utf8: bool,
    failed_logins: u8,
    bad_commands: u8,
}

#[derive(Debug)]
enum State {
    /// AUTHORIZATION; the user is who USER named.
    Authorization(Option<UserName>),
    /// AUTHORIZATION, in the middle of a SASL exchange.
    Sasl(Exchange),
    /// Name and password are being checked.
    LoggingIn,
    /// TRANSACTION.
    Transaction(Arc<Maildrop>, Marks),
    /// UPDATE, or on the way out.
    Over,
}

/// A command that no client should send, and what is said of it.
struct Bad(&'static str);

/// Wrong passwords before the connection closes.
const FAILED_LOGINS: u8 = 3;
/// Bad commands in a row before the connection closes: whoever speaks HTTP at us is gone soon.
const BAD_COMMANDS_BEFORE_LOGIN: u8 = 5;
/// The same after login, where somebody is known to have a mail program.
const BAD_COMMANDS_AFTER_LOGIN: u8 = 20;

impl Session {
    /// A session in its AUTHORIZATION state.
    pub fn new(terms: Terms) -> Session {
        Session { state: State::Authorization(None), terms, utf8: false, failed_logins: 0, bad_commands: 0 }
    }

    /// The first line. Without `<` and `>`, which would announce APOP.
    pub fn greeting(&self) -> Reply {
        Reply::ok("poppet ready")
    }

    /// Octets that the next line may have, its end included.
    pub fn line_limit(&self) -> usize {
        if let State::Sasl(_) = self.state { line::SASL_LIMIT } else { line::COMMAND_LIMIT }
    }

    /// Whether the session is in its TRANSACTION state.
    pub fn is_in_transaction(&self) -> bool {
        matches!(self.state, State::Transaction(..))
    }

    /// The marks so far; `None` outside of TRANSACTION.
    pub fn marks(&self) -> Option<&Marks> {
        if let State::Transaction(_, marks) = &self.state { Some(marks) } else { None }
    }

    /// The client's next line, or that there was none.
    pub fn line(&mut self, line: Result<&[u8], LineError>) -> Effect {
        match (line, &self.state) {
            (Err(LineError::Endless), _) => Effect::Hangup,
            (Err(LineError::TooLong), State::Sasl(_)) => self.close(Reply::err("line too long")),
            (Err(LineError::TooLong), _) => self.judge(Err(Bad("line too long"))),
            (Ok(line), State::Authorization(_)) if is_proxy_header(line, self.bad_commands) => Effect::Hangup,
            (Ok(line), _) => {
                let effect = self.understand(line);
                self.judge(effect)
            }
        }
    }

    /// TLS is on now: whatever was said before is forgotten (RFC 2595 section 4).
    pub fn tls_began(&mut self) {
        self.terms.tls_active = true;
        self.state = State::Authorization(None);
        self.bad_commands = 0;
    }

    /// The outcome of [`Effect::LogIn`].
    pub fn logged_in(&mut self, outcome: Result<Arc<Maildrop>, Refusal>) -> Effect {
        debug_assert!(matches!(self.state, State::LoggingIn));
        self.state = State::Authorization(None);
        let refusal = match outcome {
            Ok(maildrop) => {
                let text = format!("{} messages", maildrop.count());
                self.state = State::Transaction(maildrop, Marks::default());
                self.bad_commands = 0;
                return Effect::Reply(Reply::ok(text));
            }
            Err(refusal) => refusal,
        };
        Effect::Reply(match refusal {
            Refusal::Throttled => Reply::coded(Code::SysTemp, "too many wrong passwords from your network, try later"),
            Refusal::InUse => Reply::coded(Code::InUse, "another session has this maildrop open"),
            Refusal::Temporary => Reply::coded(Code::SysTemp, "the maildrop cannot be opened now, try again later"),
            Refusal::Permanent => {
                Reply::coded(Code::SysPerm, "the maildrop cannot be opened, ask who runs this server")
            }
            Refusal::Credentials => {
                // Neither "lock" nor "wait" may be in it: fetchmail would take it for a busy maildrop.
                let reply = Reply::coded(Code::Auth, "user name or password is wrong");
                self.failed_logins += 1;
                if self.failed_logins >= FAILED_LOGINS {
                    return self.close(reply);
                }
                reply
            }
        })
    }

    /// A message has left as a whole: QUIT will mark it as seen if RETR sent it.
    pub fn sent(&mut self, message: MessageNumber, by_retr: bool) {
        if let (State::Transaction(_, marks), true) = (&mut self.state, by_retr) {
            marks.retrieve(message);
        }
    }

    /// A message could not be opened.
    pub fn not_sent(&self, why: Unsent) -> Reply {
        match why {
            Unsent::Gone => Reply::err("another program has removed that message"),
            Unsent::Temporary => Reply::coded(Code::SysTemp, "that message cannot be read now"),
            Unsent::Permanent => Reply::coded(Code::SysPerm, "that message cannot be read"),
        }
    }

    /// The outcome of [`Effect::Update`]: the one true reply to QUIT.
    pub fn updated(&mut self, outcome: Result<(), NotRemoved>) -> Reply {
        match outcome {
            Ok(()) => Reply::ok("bye"),
            Err(NotRemoved { failed, uncertain, of, temporary }) => {
                let code = if temporary { Code::SysTemp } else { Code::SysPerm };
                Reply::coded(
                    code,
                    match uncertain {
                        0 => format!("{failed} of {of} deleted messages not removed"),
                        _ => format!("{failed} of {of} deleted messages not removed, {uncertain} not for certain"),
                    },
                )
            }
        }
    }

    /// Appends a piece of a listing; see [`Listing::fill`].
    pub fn list(&self, listing: &mut Listing, out: &mut Vec<u8>, mark: usize) -> bool {
        match &self.state {
            State::Transaction(maildrop, marks) => listing.fill(maildrop, marks, out, mark),
            _ => true,
        }
    }

    fn understand(&mut self, line: &[u8]) -> Result<Effect, Bad> {
        if let State::Sasl(exchange) = &mut self.state {
            let step = std::mem::replace(exchange, Exchange::Plain).respond(line);
            return self.exchanged(step);
        }
        let command = Command::parse(line).map_err(|malformed| {
            Bad(match malformed {
                Malformed::Nul => "a command has no NUL in it",
                Malformed::Empty => "empty line",
                Malformed::Unknown => "unknown command",
                Malformed::Arguments => "wrong number of arguments",
                Malformed::Number => "that is not a number that can be used here",
            })
        })?;
        match command {
            Command::Capa => Ok(Effect::Reply(self.capabilities())),
            Command::Lang(tag) => Ok(Effect::Reply(language(tag))),
            Command::Quit => Ok(self.quit()),
            command if self.is_in_transaction() => self.transaction(command),
            command => self.authorization(command),
        }
    }

    /// So many bad commands in a row, and the session is over.
    fn judge(&mut self, effect: Result<Effect, Bad>) -> Effect {
        let text = match effect {
            Ok(effect) => {
                self.bad_commands = 0;
                return effect;
            }
            Err(Bad(text)) => text,
        };
        let limit = if self.is_in_transaction() { BAD_COMMANDS_AFTER_LOGIN } else { BAD_COMMANDS_BEFORE_LOGIN };
        self.bad_commands += 1;
        if self.bad_commands >= limit {
            return self.close(Reply::err("too many bad commands"));
        }
        Effect::Reply(Reply::err(text))
    }

    fn quit(&mut self) -> Effect {
        match std::mem::replace(&mut self.state, State::Over) {
            State::Transaction(_, marks) => Effect::Update { marks },
            _ => Effect::Close(Reply::ok("bye")),
        }
    }

    fn authorization(&mut self, command: Command<'_>) -> Result<Effect, Bad> {
        let may_log_in = self.terms.tls_active || self.terms.plaintext_login;
        Ok(match command {
            Command::User(_) | Command::Pass(_) | Command::Auth { .. } | Command::AuthList if !may_log_in => {
                Effect::Reply(Reply::err(if self.terms.tls_offered {
                    "log in over TLS only: STLS first, or the port for TLS"
                } else {
                    "logging in without TLS is not allowed from your network"
                }))
            }
            Command::User(name) => match UserName::parse(name) {
                Some(user) => {
                    self.state = State::Authorization(Some(user));
                    Effect::Reply(Reply::ok("and the password"))
                }
                None => Effect::Reply(Reply::err("that is not a user name")),
            },
            Command::Pass(password) => match std::mem::replace(&mut self.state, State::Authorization(None)) {
                State::Authorization(Some(user)) => self.log_in(user, Secret::new(password), "USER"),
                _ => return Err(Bad("USER comes before PASS")),
            },
            Command::AuthList => Effect::Reply(Reply::lines("mechanisms", sasl::MECHANISMS.to_vec())),
            Command::Auth { mechanism, initial } => match Exchange::begin(mechanism, initial) {
                Some(step) => return self.exchanged(step),
                None => Effect::Reply(Reply::err("unknown mechanism")),
            },
            Command::Stls if !self.terms.tls_offered => Effect::Reply(Reply::err("no TLS here")),
            Command::Stls if self.terms.tls_active => Effect::Reply(Reply::err("TLS is on already")),
            Command::Stls if self.utf8 => Effect::Reply(Reply::err("STLS comes before UTF8")),
            Command::Stls => Effect::StartTls(Reply::ok("begin TLS")),
            Command::Utf8 => self.utf8(),
            _ => return Err(Bad("log in first")),
        })
    }

    fn transaction(&mut self, command: Command<'_>) -> Result<Effect, Bad> {
        let State::Transaction(maildrop, marks) = &mut self.state else { return Err(Bad("log in first")) };
        let known = |message| maildrop.has(message) && !marks.is_deleted(message);
        Ok(Effect::Reply(match command {
            Command::Stat => Reply::ok(format!(
                "{} {}",
                maildrop.count() - marks.deleted_count(),
                maildrop.octets() - marks.deleted_octets()
            )),
            Command::List(None) => return Ok(Effect::List(Listing::new(Column::Size))),
            Command::Uidl(None) => return Ok(Effect::List(Listing::new(Column::UniqueId))),
            Command::List(Some(message)) | Command::Uidl(Some(message)) if known(message) => {
                let column = if let Command::List(_) = command { Column::Size } else { Column::UniqueId };
                let mut line = vec![];
                listing::line(column, maildrop, message, &mut line);
                Reply::ok(String::from_utf8_lossy(&line).into_owned())
            }
            Command::Retr(message) if known(message) => return Ok(Effect::Send { message, body_lines: None }),
            Command::Top(message, lines) if known(message) => {
                return Ok(Effect::Send { message, body_lines: Some(lines) });
            }
            Command::Dele(message) if known(message) => {
                marks.delete(maildrop, message);
                Reply::ok("marked as deleted")
            }
            Command::List(Some(_))
            | Command::Uidl(Some(_))
            | Command::Retr(_)
            | Command::Top(..)
            | Command::Dele(_) => Reply::err("no such message"),
            Command::Noop => Reply::ok("still here"),
            Command::Rset => {
                marks.reset();
                Reply::ok("no message is marked as deleted")
            }
            Command::Utf8 => return Ok(self.utf8()),
            _ => return Err(Bad("you are logged in already")),
        }))
    }

    fn exchanged(&mut self, step: Step) -> Result<Effect, Bad> {
        self.state = State::Authorization(None);
        Ok(match step {
            Step::Challenge(challenge, exchange) => {
                self.state = State::Sasl(exchange);
                Effect::Reply(Reply::challenge(challenge))
            }
            Step::Credentials(user, password, mechanism) => self.log_in(user, password, mechanism),
            Step::Cancelled => Effect::Reply(Reply::err("cancelled")),
            Step::Malformed => return Err(Bad("that is not what the mechanism asks for")),
        })
    }

    fn log_in(&mut self, user: UserName, password: Secret, method: &'static str) -> Effect {
        self.state = State::LoggingIn;
        Effect::LogIn { user, password, method }
    }

    fn utf8(&mut self) -> Effect {
        self.utf8 = true;
        Effect::Reply(Reply::ok("UTF-8 from here on"))
    }

    /// The same before and after login, SASL and STLS aside: JavaMail and neomutt look but once.
    fn capabilities(&self) -> Reply {
        let may_log_in = self.terms.tls_active || self.terms.plaintext_login;
        let authorization = !self.is_in_transaction();
        let mut list = vec!["TOP", "UIDL"];
        if may_log_in {
            list.push("USER");
        }
        list.extend(["RESP-CODES", "AUTH-RESP-CODE", "PIPELINING"]);
        if may_log_in && authorization {
            list.push("SASL PLAIN LOGIN");
        }
        list.extend(["UTF8", "LANG"]);
        if self.terms.tls_offered && !self.terms.tls_active && !self.utf8 && authorization {
            list.push("STLS");
        }
        list.push("IMPLEMENTATION poppet");
        Reply::lines("capabilities", list)
    }

    fn close(&mut self, reply: Reply) -> Effect {
        self.state = State::Over;
        Effect::Close(reply)
    }
}

/// LANG (RFC 6856 section 3): all that is said here is English.
fn language(tag: Option<&[u8]>) -> Reply {
    let Some(tag) = tag else {
        return Reply::lines("languages", vec!["en English", "i-default English"]);
    };
    let is = |name: &str| tag.eq_ignore_ascii_case(name.as_bytes());
    if is("en") || tag.len() > 3 && tag[..3].eq_ignore_ascii_case(b"en-") {
        Reply::ok("en English it is")
    } else if is("*") || is("i-default") {
        Reply::ok("i-default English it is")
    } else {
        Reply::err("no such language here")
    }
}

#[cfg(test)]
mod tests;
