//! `poppet hash`: a password in, a line for the users file out.
//!
//! Owns: asking without an echo, which passwords are taken, the costs of new hashes.
//! Does not know: the users file of this machine.

use std::io::{self, BufRead, IsTerminal, Read, Write};

use argon2::PasswordHasher;
use rustix::termios::{self, LocalModes, OptionalActions, SpecialCodeIndex, Termios};
use zeroize::Zeroizing;

use crate::auth::PASSWORD_MAX_OCTETS;
use crate::auth::users::Users;
use crate::secret::Secret;

/// Makes a line for the users file from a password.
///
/// On a terminal the password is asked for twice and does not show; from a pipe it is the first line. With a USER the
/// whole line is printed, ready to be appended to the file (`poppet hash ada >> users`); without one only what belongs
/// behind `ada:`.
#[derive(Debug, clap::Args)]
pub struct Options {
    /// How to hash it; all three are checked in well under a second
    #[arg(long, value_enum, default_value_t)]
    pub scheme: Scheme,
    /// Whom the line is for; without it, only the part behind the colon is printed
    pub user: Option<String>,
}

/// What a new hash is made with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Scheme {
    /// The best there is; takes 19 MiB for each login, one after the other
    #[default]
    Argon2id,
    /// For a users file that older programs read as well
    Sha512Crypt,
    /// The same; passwords of up to 72 octets
    Bcrypt,
}

/// Why there is no line.
#[derive(Debug, thiserror::Error)]
pub enum HashError {
    /// Standard input or output failed.
    #[error("cannot {action}: {source}")]
    Io {
        /// What was tried.
        action: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// Ctrl-C, or Ctrl-D on an empty line.
    #[error("interrupted; no line was made")]
    Interrupted,
    /// The two entries differ.
    #[error("the two passwords differ; start again")]
    Different,
    /// Nothing to hash.
    #[error("the password is empty; nobody may log in without one")]
    Empty,
    /// A client couldn't send it, or crypt(3) couldn't take it.
    #[error("the password is longer than {0} octets; choose a shorter one")]
    TooLong(usize),
    /// A client couldn't send it, or nobody would type it the same way again.
    #[error("the password has control characters in it; leave them out")]
    ControlCharacters,
    /// Clients send UTF-8.
    #[error("the password is not UTF-8; set the terminal or the file to UTF-8")]
    NotUtf8,
    /// The name would break the line.
    #[error("{0:?} can't be a user name in the users file; no colon, no control characters, no `#` in front")]
    BadUser(String),
    /// No random octets, or no memory.
    #[error("cannot make the hash: {0}")]
    Failed(String),
}

/// Asks for a password and prints the line on standard output.
pub fn run(options: &Options) -> Result<(), HashError> {
    let stdin = io::stdin();
    let password = if stdin.is_terminal() { ask()? } else { first_line(&mut stdin.lock())? };
    let line = line(options, &password)?;
    writeln!(io::stdout(), "{line}").and_then(|()| io::stdout().flush()).map_err(io("write the line"))
}

/// The line for the users file, without its line end.
///
/// # Errors
/// [`HashError`] where the password or the user can't be used.
pub fn line(options: &Options, password: &Secret) -> Result<String, HashError> {
    let password = password.expose();
    let most = if options.scheme == Scheme::Bcrypt { BCRYPT_MAX_OCTETS } else { PASSWORD_MAX_OCTETS };
    let text = std::str::from_utf8(password).map_err(|_| HashError::NotUtf8)?;
    match text {
        "" => return Err(HashError::Empty),
        _ if password.len() > most => return Err(HashError::TooLong(most)),
        _ if text.chars().any(char::is_control) => return Err(HashError::ControlCharacters),
        _ => {}
    }
    let hash = hash(options.scheme, password)?;
    let Some(user) = &options.user else { return Ok(hash) };
    let line = format!("{user}:{hash}");
    // What the server would not read back as one user must not get into the file.
    let reads_back = !user.contains(['\n', ':']) && Users::parse(line.as_bytes()).is_ok_and(|users| users.len() == 1);
    if reads_back { Ok(line) } else { Err(HashError::BadUser(user.clone())) }
}

/// With the scheme in front, so that Dovecot can read the line as well.
fn hash(scheme: Scheme, password: &[u8]) -> Result<String, HashError> {
    let mut salt = [0; 16];
    getrandom::fill(&mut salt).map_err(|error| HashError::Failed(error.to_string()))?;
    let failed = |error: &dyn std::fmt::Display| HashError::Failed(error.to_string());
    match scheme {
        Scheme::Argon2id => {
            let (memory, passes, lanes) = ARGON2_COST;
            let params = argon2::Params::new(memory, passes, lanes, None).map_err(|error| failed(&error))?;
            let hasher = argon2::Argon2::new(argon2::Algorithm::Argon2id, argon2::Version::V0x13, params);
            let hash = hasher.hash_password_with_salt(password, &salt).map_err(|error| failed(&error))?;
            Ok(format!("{{ARGON2ID}}{hash}"))
        }
        Scheme::Sha512Crypt => {
            let params = sha_crypt::Params::new(SHA_CRYPT_ROUNDS).map_err(|error| failed(&error))?;
            let hasher = sha_crypt::ShaCrypt::new(sha_crypt::Algorithm::Sha512Crypt, params);
            // 12 octets are the 16 letters that crypt(3) takes; from a longer salt it makes another string.
            let hash = hasher.hash_password_with_salt(password, &salt[..12]).map_err(|error| failed(&error))?;
            Ok(format!("{{SHA512-CRYPT}}{}", hash.as_str()))
        }
        Scheme::Bcrypt => {
            let parts = bcrypt::hash_with_salt(password, BCRYPT_COST, salt).map_err(|error| failed(&error))?;
            Ok(format!("{{BLF-CRYPT}}{}", parts.format_for_version(bcrypt::Version::TwoY)))
        }
    }
}

/// The first line of a pipe, without its line end.
fn first_line(input: &mut impl BufRead) -> Result<Secret, HashError> {
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX_OCTETS));
    let mut input = input.take(LINE_MAX_OCTETS as u64);
    input.read_until(b'\n', &mut line).map_err(io("read the password"))?;
    let text = line.strip_suffix(b"\n").unwrap_or(&line);
    Ok(Secret::new(text.strip_suffix(b"\r").unwrap_or(text)))
}

fn ask() -> Result<Secret, HashError> {
    let _silence = Silence::begin().map_err(io("switch off the echo of the terminal"))?;
    let (mut input, mut prompts) = (io::stdin().lock(), io::stderr());
    let first = typed(&mut input, &mut prompts, "Password: ")?;
    let second = typed(&mut input, &mut prompts, "Once more: ")?;
    if first.expose() == second.expose() { Ok(first) } else { Err(HashError::Different) }
}

/// One line, key by key: the terminal does no editing while it is silent.
fn typed(input: &mut impl Read, prompts: &mut impl Write, prompt: &str) -> Result<Secret, HashError> {
    write!(prompts, "{prompt}").and_then(|()| prompts.flush()).map_err(io("write to the terminal"))?;
    let mut line = Zeroizing::new(Vec::with_capacity(LINE_MAX_OCTETS));
    let done = loop {
        let mut key = [0];
        match input.read(&mut key) {
            Ok(0) => break Err(HashError::Interrupted),
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => break Err(io("read the password")(error)),
        }
        match key[0] {
            b'\r' | b'\n' => break Ok(()),
            CTRL_C => break Err(HashError::Interrupted),
            CTRL_D if line.is_empty() => break Err(HashError::Interrupted),
            CTRL_U => line.clear(),
            BACKSPACE | DELETE => while line.pop().is_some_and(|octet| octet & 0xc0 == 0x80) {},
            octet if line.len() < LINE_MAX_OCTETS => line.push(octet),
            _ => {}
        }
    };
    writeln!(prompts).map_err(io("write to the terminal"))?;
    done.map(|()| Secret::new(&line))
}

/// A terminal that shows nothing and raises no signals, until this is dropped.
struct Silence(Termios);

impl Silence {
    fn begin() -> io::Result<Silence> {
        let before = termios::tcgetattr(io::stdin())?;
        let mut silent = before.clone();
        // Ctrl-C comes as a key: a signal would end the program and leave the terminal without echo.
        silent.local_modes -= LocalModes::ECHO | LocalModes::ECHONL | LocalModes::ICANON | LocalModes::ISIG;
        silent.special_codes[SpecialCodeIndex::VMIN] = 1;
        silent.special_codes[SpecialCodeIndex::VTIME] = 0;
        termios::tcsetattr(io::stdin(), OptionalActions::Flush, &silent)?;
        Ok(Silence(before))
    }
}

impl Drop for Silence {
    fn drop(&mut self) {
        // Nothing better is to be done where this fails.
        let _ = termios::tcsetattr(io::stdin(), OptionalActions::Drain, &self.0);
    }
}

fn io(action: &'static str) -> impl Fn(io::Error) -> HashError {
    move |source| HashError::Io { action, source }
}

/// KiB, passes and lanes: what OWASP recommends at least, and what fits a machine of 128 MB.
const ARGON2_COST: (u32, u32, u32) = (19 * 1024, 2, 1);
/// About as long as Argon2 takes with the above; crypt(3)'s default of 5,000 is from 2007.
const SHA_CRYPT_ROUNDS: u32 = 100_000;
/// The same: 2^10, the least that OWASP recommends.
const BCRYPT_COST: u32 = 10;
/// bcrypt looks at no more.
const BCRYPT_MAX_OCTETS: usize = 72;
/// Enough to see that a password is too long.
const LINE_MAX_OCTETS: usize = PASSWORD_MAX_OCTETS + 3;

const CTRL_C: u8 = 3;
const CTRL_D: u8 = 4;
const BACKSPACE: u8 = 8;
const CTRL_U: u8 = 21;
const DELETE: u8 = 127;

#[cfg(test)]
mod tests;
