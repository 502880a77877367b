//! The users file: who there is, in the format that Dovecot calls passwd-file.
//!
//! Owns: its lines, and what is wrong with one in words that say how to mend it.
//! Does not know: when the file is read, or who asks.

use std::collections::HashMap;
use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;

use crate::auth::password::{BadHash, Hash};
use crate::user::UserName;

/// All users of one file, in its order.
#[derive(Debug, Default)]
pub struct Users {
    users: Vec<User>,
    by_name: HashMap<UserName, usize>,
}

/// One line of the file.
#[derive(Debug)]
pub struct User {
    /// The name, in lower case.
    pub name: UserName,
    /// What the password is compared with.
    pub hash: Hash,
    /// The sixth field, or `userdb_home=`. Absolute.
    pub home: Option<PathBuf>,
    /// The Maildir of `userdb_mail=maildir:...`. Absolute.
    pub mail: Option<PathBuf>,
}

impl Users {
    /// Reads a whole file. Either every line is good, or all bad ones come back, in their order.
    ///
    /// Line ends are LF or CRLF. Empty lines and those that begin with `#` are skipped.
    pub fn parse(file: &[u8]) -> Result<Users, Vec<LineError>> {
        let (mut users, mut bad, mut first_line) = (Users::default(), Vec::new(), HashMap::new());
        let file = file.strip_prefix("\u{feff}".as_bytes()).unwrap_or(file);
        for (line, text) in (1..).zip(file.split(|&b| b == b'\n')) {
            let text = text.strip_suffix(b"\r").unwrap_or(text);
            if text.is_empty() || text.starts_with(b"#") {
                continue;
            }
            let name = name(text);
            let user = name.clone().and_then(|name| match first_line.get(&name) {
                Some(&first) => Err(Fault::Duplicate(first)),
                None => {
                    first_line.insert(name.clone(), line);
                    user(name, text)
                }
            });
            match user {
                Ok(user) => {
                    users.by_name.insert(user.name.clone(), users.users.len());
                    users.users.push(user);
                }
                Err(what) => bad.push(LineError { line, user: name.ok(), what }),
            }
        }
        if bad.is_empty() { Ok(users) } else { Err(bad) }
    }

    /// The user of that name.
    pub fn get(&self, name: &UserName) -> Option<&User> {
        self.by_name.get(name).map(|&index| &self.users[index])
    }

    /// Some user, always the same one for the same number; `None` when there is nobody.
    pub fn pick(&self, number: u64) -> Option<&User> {
        let index = number.checked_rem(self.users.len() as u64)?;
        self.users.get(index as usize)
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, User> {
        self.users.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.users.len()
    }

    /// Whether nobody can log in.
    pub fn is_empty(&self) -> bool {
        self.users.is_empty()
    }
}

/// A line that can't be used.
#[derive(Debug, PartialEq, Eq)]
pub struct LineError {
    /// Counted from 1.
    pub line: usize,
    /// Whose line it is, where that can be told.
    pub user: Option<UserName>,
    /// What is wrong, and how to mend it.
    pub what: Fault,
}

impl fmt::Display for LineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.user {
            Some(user) => write!(f, "line {} ({user}): {}", self.line, self.what),
            None => write!(f, "line {}: {}", self.line, self.what),
        }
    }
}

impl std::error::Error for LineError {}

/// What is wrong with a line, and how to mend it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// No password field at all.
    #[error("there is no `:` in it; write user:password, or `#` before a comment")]
    NoColon,
    /// Not what a client could log in with.
    #[error("a user name is 1 to 255 octets, without control characters and without spaces around it; correct it")]
    BadName,
    /// The user has a line already, which is that one.
    #[error("this user has line {0} already (names compare without case); remove one of the two")]
    Duplicate(usize),
    /// The second field.
    #[error("the password {0}")]
    Password(#[from] BadHash),
    /// The sixth field or `userdb_home=`.
    #[error("the home directory must be an absolute path without `%`; write it out")]
    BadHome,
    /// `userdb_mail=` that is no Maildir.
    #[error("only Maildirs are served; write userdb_mail=maildir:PATH")]
    NotMaildir,
    /// `userdb_mail=` with a path that can't be made absolute.
    #[error("the path in userdb_mail must begin with `/`, `~/` or `%h/` and have no other `%`; write it out")]
    BadMail,
    /// `~` or `%h` without a home.
    #[error("userdb_mail begins at the home directory, and the user has none; give one in the sixth field")]
    NoHome,
    /// An extra field that would keep somebody out under Dovecot.
    #[error("`{0}` restricts who may log in, and poppet can't; remove it, or put `#` before the line")]
    Restriction(&'static str),
}

fn name(line: &[u8]) -> Result<UserName, Fault> {
    let colon = memchr::memchr(b':', line).ok_or(Fault::NoColon)?;
    let name = &line[..colon];
    let spaced = name.starts_with(b" ") || name.ends_with(b" ");
    UserName::parse(name).filter(|_| !spaced).ok_or(Fault::BadName)
}

/// `user:password:uid:gid:gecos:home:shell:extra fields`; the extra ones may hold colons.
fn user(name: UserName, line: &[u8]) -> Result<User, Fault> {
    let fields: Vec<&[u8]> = line.splitn(8, |&b| b == b':').collect();
    let field = |n: usize| fields.get(n).copied().unwrap_or_default();
    let hash = Hash::parse(field(1))?;
    let (mut home, mut mail) = (field(5), None);
    for extra in field(7).split(|&b| b == b' ') {
        let mut parts = extra.splitn(2, |&b| b == b'=');
        match (parts.next().unwrap_or_default(), parts.next().unwrap_or_default()) {
            (b"userdb_home", value) => home = value,
            (b"userdb_mail", value) => mail = Some(value),
            // Reading over these would let in whom Dovecot keeps out.
            (b"allow_nets", _) => return Err(Fault::Restriction("allow_nets")),
            (b"nologin", _) => return Err(Fault::Restriction("nologin")),
            _ => {}
        }
    }
    let home = (!home.is_empty()).then(|| absolute(home).ok_or(Fault::BadHome)).transpose()?;
    let mail = mail.map(|mail| maildir(mail, home.as_ref())).transpose()?;
    Ok(User { name, hash, home, mail })
}

/// `maildir:PATH[:OPTION=...]`, where a leading `~` or `%h` is the home directory.
fn maildir(location: &[u8], home: Option<&PathBuf>) -> Result<PathBuf, Fault> {
    let path = location.strip_prefix(b"maildir:").ok_or(Fault::NotMaildir)?;
    let path = path.split(|&b| b == b':').next().unwrap_or_default();
    let below = path.strip_prefix(b"~").or_else(|| path.strip_prefix(b"%h"));
    match below {
        None => absolute(path).ok_or(Fault::BadMail),
        Some(b"") => home.cloned().ok_or(Fault::NoHome),
        // `~name` is somebody else's home.
        Some(below) => match absolute(below) {
            Some(_) => {
                let home = home.ok_or(Fault::NoHome)?;
                let skip = below.iter().take_while(|&&b| b == b'/').count();
                Ok(home.join(OsStr::from_bytes(&below[skip..])))
            }
            None => Err(Fault::BadMail),
        },
    }
}

fn absolute(path: &[u8]) -> Option<PathBuf> {
    let good = path.starts_with(b"/") && !path.contains(&b'%') && !path.contains(&0);
    good.then(|| PathBuf::from(OsStr::from_bytes(path)))
}

#[cfg(test)]
mod tests;
