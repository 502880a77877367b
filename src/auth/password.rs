//! One entry of the users file: what a password is compared with.
//!
//! Owns: which schemes there are, what a well-formed hash of each is, how much one check may cost.
//! Does not know: users, files, clients.

use std::fmt;

use argon2::Argon2;
use argon2::password_hash::phc::PasswordHash;
use base64ct::{Base64, Base64ShaCrypt, Encoding};
use sha_crypt::{PasswordHashRef, PasswordVerifier, ShaCrypt};
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// What a password is compared with. `Debug` shows the scheme and nothing else.
pub struct Hash(Kind);

impl Hash {
    /// Reads the second field of a users file: `{SCHEME}text`, or a bare string as crypt(3) writes it.
    ///
    /// Whatever comes back can be checked within the caps of this file.
    pub fn parse(field: &[u8]) -> Result<Hash, BadHash> {
        if field.is_empty() {
            return Err(BadHash::Empty);
        }
        let Some((scheme, text)) = split_scheme(field) else {
            return crypt(field, None).map(Hash);
        };
        let (name, encoding) = scheme.split_once('.').unwrap_or((&scheme, ""));
        let text = decode(text, encoding).ok_or_else(|| BadHash::malformed(&scheme, "it can't be decoded"))?;
        if text.expose().is_empty() {
            return Err(BadHash::Empty);
        }
        match name {
            "PLAIN" | "CLEAR" | "CLEARTEXT" => Ok(Hash(Kind::Plain(text))),
            "CRYPT" => crypt(text.expose(), None).map(Hash),
            "ARGON2ID" | "ARGON2I" | "SHA512-CRYPT" | "SHA256-CRYPT" | "BLF-CRYPT" => {
                crypt(text.expose(), Some(name)).map(Hash)
            }
            _ => Err(BadHash::Unsupported(format!("{{{name}}}"))),
        }
    }

    /// Whether `password` is the one. Blocks for as long as the hash is meant to cost.
    pub fn verify(&self, password: &[u8]) -> bool {
        #[cfg(test)]
        tests::CHECKED.with_borrow_mut(|checked| checked.push(self.scheme()));
        // crypt(3) takes C strings: it made no hash of a password with a NUL, and bcrypt would stop at it.
        let c_string = !password.contains(&0);
        match &self.0 {
            Kind::Plain(secret) => secret.expose().ct_eq(password).into(),
            Kind::Argon2 { hasher, salt, expected, .. } => {
                let mut actual = vec![0; expected.len()];
                hasher.hash_password_into(password, salt, &mut actual).is_ok() && actual.ct_eq(expected).into()
            }
            Kind::ShaCrypt { text, .. } => c_string && ShaCrypt::SHA512.verify_password(password, &**text).is_ok(),
            Kind::Bcrypt(text) => c_string && bcrypt::verify(password, text).unwrap_or(false),
            Kind::Yescrypt { params, salt, expected } => {
                let mut actual = [0; YESCRYPT_OCTETS];
                c_string
                    && yescrypt::yescrypt(password, salt, params, &mut actual).is_ok()
                    && actual.ct_eq(expected).into()
            }
        }
    }

    /// The name of the scheme, for messages.
    pub fn scheme(&self) -> &'static str {
        match &self.0 {
            Kind::Plain(_) => "PLAIN",
            Kind::Argon2 { scheme, .. } | Kind::ShaCrypt { scheme, .. } => scheme,
            Kind::Bcrypt(_) => "BLF-CRYPT",
            Kind::Yescrypt { .. } => "yescrypt",
        }
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({}, ..)", self.scheme())
    }
}

/// Why a password field can't be used. No variant holds the hash or the password.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BadHash {
    /// Nothing there, or nothing behind the scheme.
    #[error("is empty, and nobody may log in without one; {MEND}")]
    Empty,
    /// A scheme that exists elsewhere, or a misspelt one.
    #[error("has the scheme {0}, which poppet does not check; {MEND}")]
    Unsupported(String),
    /// No scheme in front, and no shape of crypt(3).
    #[error("is no hash that poppet knows (a password that is meant as it stands needs {{PLAIN}} before it); {MEND}")]
    Unknown,
    /// The right scheme, the wrong text.
    #[error("is a malformed {scheme} hash: {what}; {MEND}")]
    Malformed {
        /// The scheme as the file names it.
        scheme: String,
        /// What is wrong with the text.
        what: &'static str,
    },
    /// One login would take too much memory or time.
    #[error("costs too much: {cost} is {value}, and at most {cap} is accepted; {MEND}")]
    TooCostly {
        /// The scheme, the cost and its unit.
        cost: &'static str,
        /// What the hash asks for.
        value: u64,
        /// What is accepted.
        cap: u64,
    },
}

impl BadHash {
    fn malformed(scheme: &str, what: &'static str) -> BadHash {
        BadHash::Malformed { scheme: scheme.into(), what }
    }
}

/// Everything is taken apart at parsing, so that a check can fail for no other reason than the password.
enum Kind {
    Plain(Secret),
    Argon2 { scheme: &'static str, hasher: Argon2<'static>, salt: Box<[u8]>, expected: Box<[u8]> },
    ShaCrypt { scheme: &'static str, text: Box<str> },
    Bcrypt(Box<str>),
    Yescrypt { params: yescrypt::Params, salt: Box<[u8]>, expected: [u8; YESCRYPT_OCTETS] },
}

/// Parts `{SCHEME}text`; the scheme comes back in upper case. `None`: there is no scheme in front.
fn split_scheme(field: &[u8]) -> Option<(String, &[u8])> {
    let field = field.strip_prefix(b"{")?;
    let end = memchr::memchr(b'}', field)?;
    let scheme = std::str::from_utf8(&field[..end]).ok()?;
    // What looks like no scheme may be a password that somebody wrote down as it is: it must not get into a message.
    let looks_right = scheme.len() <= 32 && scheme.bytes().all(|b| b.is_ascii_alphanumeric() || b"-._".contains(&b));
    looks_right.then(|| (scheme.to_ascii_uppercase(), &field[end + 1..]))
}

fn decode(text: &[u8], encoding: &str) -> Option<Secret> {
    let mut octets = zeroize::Zeroizing::new(vec![0; text.len()]);
    match encoding {
        "" => Some(Secret::new(text)),
        "B64" | "BASE64" => Base64::decode(text, &mut octets).ok().map(Secret::new),
        "HEX" => {
            let digit = |b: u8| char::from(b).to_digit(16);
            let mut pairs = text.chunks_exact(2);
            let mut length = 0;
            for (octet, pair) in octets.iter_mut().zip(&mut pairs) {
                *octet = u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).ok()?;
                length += 1;
            }
            pairs.remainder().is_empty().then(|| Secret::new(&octets[..length]))
        }
        _ => None,
    }
}

/// Reads a string as crypt(3) writes it, and holds it to the scheme that stood before it, if one did.
fn crypt(text: &[u8], named: Option<&str>) -> Result<Kind, BadHash> {
    let text = std::str::from_utf8(text).map_err(|_| BadHash::Unknown)?;
    let id = text.strip_prefix('$').and_then(|rest| rest.split_once('$')).map_or("", |(id, _)| id);
    let scheme = match id {
        "argon2id" => "ARGON2ID",
        "argon2i" => "ARGON2I",
        "6" => "SHA512-CRYPT",
        "5" => "SHA256-CRYPT",
        "2a" | "2b" | "2y" => "BLF-CRYPT",
        "y" => "yescrypt",
        "1" | "2" | "2x" | "7" | "gy" | "md5" | "sha1" | "argon2d" | "scrypt" | "apr1" => {
            return Err(BadHash::Unsupported(format!("${id}$")));
        }
        _ => return Err(named.map_or(BadHash::Unknown, |named| BadHash::malformed(named, "it does not begin as one"))),
    };
    if named.is_some_and(|named| named != scheme) {
        return Err(BadHash::malformed(named.unwrap_or(scheme), "it is one of another scheme"));
    }
    match scheme {
        "SHA512-CRYPT" => sha_crypt(text, scheme, 64),
        "SHA256-CRYPT" => sha_crypt(text, scheme, 32),
        "BLF-CRYPT" => bcrypt(text),
        "yescrypt" => yescrypt(text),
        _ => argon2(text, scheme),
    }
}

fn argon2(text: &str, scheme: &'static str) -> Result<Kind, BadHash> {
    let malformed = |what| BadHash::malformed(scheme, what);
    let parsed = PasswordHash::new(text).map_err(|_| malformed("it is cut off or mistyped"))?;
    let params = argon2::Params::try_from(&parsed).map_err(|_| malformed("m, t and p do not fit together"))?;
    let (memory, passes) = (u64::from(params.m_cost()), u64::from(params.t_cost()));
    cap("m of Argon2 (KiB)", memory, ARGON2_MEMORY_KIB)?;
    cap("m times t of Argon2 (KiB)", memory * passes, ARGON2_WORK_KIB)?;
    cap("p of Argon2", u64::from(params.p_cost()), ARGON2_LANES)?;
    let algorithm = if scheme == "ARGON2ID" { argon2::Algorithm::Argon2id } else { argon2::Algorithm::Argon2i };
    // Without `v=` the reference means 1.0 and others 1.3: rather ask than guess.
    let version = parsed.version.and_then(|version| argon2::Version::try_from(version).ok());
    let version = version.ok_or_else(|| malformed("v=19 or v=16 is missing"))?;
    let (Some(salt), Some(expected)) = (parsed.salt, parsed.hash) else {
        return Err(malformed("the salt or the hash is missing"));
    };
    let hasher = Argon2::new(algorithm, version, params);
    Ok(Kind::Argon2 { scheme, hasher, salt: (*salt).into(), expected: expected.as_bytes().into() })
}

fn sha_crypt(text: &str, scheme: &'static str, octets: usize) -> Result<Kind, BadHash> {
    let malformed = |what| Err(BadHash::malformed(scheme, what));
    let fields: Vec<&str> = text.split('$').skip(2).collect();
    let (rounds, salt, hash) = match fields[..] {
        [salt, hash] => (None, salt, hash),
        [rounds, salt, hash] => (Some(rounds), salt, hash),
        _ => return malformed("it has too few or too many `$`"),
    };
    if let Some(rounds) = rounds {
        let digits = rounds.strip_prefix("rounds=").filter(|n| n.bytes().all(|b| b.is_ascii_digit()));
        match digits.and_then(|n| n.parse().ok()) {
            Some(rounds) => cap("rounds of SHA-crypt", rounds, SHA_CRYPT_ROUNDS)?,
            None => return malformed("rounds= is no number"),
        }
        if digits.is_some_and(|n| n.starts_with('0') || n.len() < 4) {
            return malformed("crypt(3) makes none with fewer than 1000 rounds");
        }
    }
    let mut decoded = [0; 64];
    if Base64ShaCrypt::decode(hash, &mut decoded).map_or(0, <[u8]>::len) != octets {
        return malformed("the hash is cut off or mistyped");
    }
    if salt.is_empty() || salt.len() > 16 || PasswordHashRef::new(text).is_err() {
        return malformed("the salt is not 1 to 16 letters and digits");
    }
    Ok(Kind::ShaCrypt { scheme, text: text.into() })
}

fn bcrypt(text: &str) -> Result<Kind, BadHash> {
    let digits = text.get(4..6).filter(|cost| cost.bytes().all(|b| b.is_ascii_digit()));
    let parts = text.parse::<bcrypt::HashParts>().ok().filter(|parts| digits.is_some() && parts.get_cost() >= 4);
    let parts = parts.ok_or_else(|| BadHash::malformed("BLF-CRYPT", "it is cut off or mistyped"))?;
    cap("cost of bcrypt", parts.get_cost().into(), BCRYPT_COST)?;
    Ok(Kind::Bcrypt(text.into()))
}

fn yescrypt(text: &str) -> Result<Kind, BadHash> {
    let malformed = |what| BadHash::malformed("yescrypt", what);
    let mut fields = text.split('$').skip(2);
    let (Some(params), Some(salt), Some(hash), None) = (fields.next(), fields.next(), fields.next(), fields.next())
    else {
        return Err(malformed("it has too few or too many `$`"));
    };
    let parsed: yescrypt::Params = params.parse().map_err(|_| malformed("the parameters are mistyped"))?;
    let memory = parsed.n().saturating_mul(128).saturating_mul(parsed.r().into());
    cap("memory of yescrypt (octets)", memory, YESCRYPT_MEMORY)?;
    // Only what crypt(3) makes: one lane and no extra time, which the cap on memory would not see.
    let plain = yescrypt::Params::new(yescrypt::Mode::Rw, parsed.n(), parsed.r(), 1);
    let parsed = plain.ok().filter(|plain| plain.to_string() == params);
    let params = parsed.ok_or_else(|| malformed("its parameters are none that crypt(3) writes"))?;
    let salt = Base64ShaCrypt::decode_vec(salt).map_err(|_| malformed("the salt is mistyped"))?.into();
    // An empty hash would be equal to any other of no octets.
    let expected = Base64ShaCrypt::decode_vec(hash).ok().and_then(|octets| octets.try_into().ok());
    let expected = expected.ok_or_else(|| malformed("the hash is cut off or mistyped"))?;
    Ok(Kind::Yescrypt { params, salt, expected })
}

fn cap(cost: &'static str, value: u64, cap: u64) -> Result<(), BadHash> {
    if value > cap { Err(BadHash::TooCostly { cost, value, cap }) } else { Ok(()) }
}

const MEND: &str = "`poppet hash` makes a new line";

/// 128 MiB in KiB: one login at a time then fits where mail servers of this size live. RFC 9106 asks for 64 MiB.
const ARGON2_MEMORY_KIB: u64 = 128 * 1024;
/// 1 GiB of memory filled, over all passes: about a second on a small machine, and all logins wait in one line.
const ARGON2_WORK_KIB: u64 = 1024 * 1024;
/// Lanes are filled one after the other here; more than this is no one's intention.
const ARGON2_LANES: u64 = 16;
/// About a second; crypt(3) itself takes a thousand times as many.
const SHA_CRYPT_ROUNDS: u64 = 1_000_000;
/// About a second; each step doubles it.
const BCRYPT_COST: u64 = 14;
/// As for Argon2, in octets: crypt(3)'s cost 8, where 5 is its default.
const YESCRYPT_MEMORY: u64 = 128 * 1024 * 1024;
/// What crypt(3) writes.
const YESCRYPT_OCTETS: usize = 32;

#[cfg(test)]
pub(crate) mod tests;
