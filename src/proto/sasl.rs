//! The SASL mechanisms that carry a password: PLAIN (RFC 4616) and LOGIN (for old Outlook).
//!
//! Owns: what an exchange says and how its lines are read.
//! Does not know: whether the password is right.

use base64ct::{Base64, Encoding};
use zeroize::Zeroizing;

use crate::{secret::Secret, user::UserName};

/// The mechanisms, as CAPA and AUTH list them.
pub const MECHANISMS: [&str; 2] = ["PLAIN", "LOGIN"];

/// An exchange that waits for the client's next line.
#[derive(Debug)]
pub enum Exchange {
    /// The one message of PLAIN.
    Plain,
    /// LOGIN asked for the name.
    LoginName,
    /// LOGIN asked for the password.
    LoginPassword(UserName),
}

/// Where an exchange stands after a line.
#[derive(Debug)]
pub enum Step {
    /// Say this challenge (in Base64) and wait for a line.
    Challenge(&'static str, Exchange),
    /// Name and password are there, by this mechanism.
    Credentials(UserName, Secret, &'static str),
    /// The client sent `*`.
    Cancelled,
    /// Not Base64, or not what the mechanism asks for.
    Malformed,
}

impl Exchange {
    /// Begins an exchange; `None` where the mechanism is unknown.
    pub fn begin(mechanism: &[u8], initial: Option<&[u8]>) -> Option<Step> {
        let (exchange, challenge) = if mechanism.eq_ignore_ascii_case(b"PLAIN") {
            (Exchange::Plain, "")
        } else if mechanism.eq_ignore_ascii_case(b"LOGIN") {
            (Exchange::LoginName, USERNAME)
        } else {
            return None;
        };
        Some(match initial {
            None => Step::Challenge(challenge, exchange),
            // RFC 5034 section 4: `=` is a response of no octets.
            Some(b"=") => exchange.respond(b""),
            Some(base64) => exchange.respond(base64),
        })
    }

    /// The client's line, in Base64.
    pub fn respond(self, line: &[u8]) -> Step {
        if line == b"*" {
            return Step::Cancelled;
        }
        let mut buffer = Zeroizing::new(vec![0; line.len()]);
        let Ok(message) = Base64::decode(line, &mut buffer) else { return Step::Malformed };
        match self {
            Exchange::Plain => plain(message).unwrap_or(Step::Malformed),
            Exchange::LoginName => match UserName::parse(message) {
                Some(user) => Step::Challenge(PASSWORD, Exchange::LoginPassword(user)),
                None => Step::Malformed,
            },
            Exchange::LoginPassword(user) => Step::Credentials(user, Secret::new(message), "LOGIN"),
        }
    }
}

/// `[authzid] NUL authcid NUL passwd`. Nobody acts for somebody else here: an authzid must be the user's own name.
fn plain(message: &[u8]) -> Option<Step> {
    let mut parts = message.splitn(3, |&b| b == 0);
    let (authzid, authcid, password) = (parts.next()?, parts.next()?, parts.next()?);
    let user = UserName::parse(authcid)?;
    let own = authzid.is_empty() || UserName::parse(authzid).as_ref() == Some(&user);
    (own && !password.contains(&0)).then(|| Step::Credentials(user, Secret::new(password), "PLAIN"))
}

/// `Username:` and `Password:`.
const USERNAME: &str = "VXNlcm5hbWU6";
const PASSWORD: &str = "UGFzc3dvcmQ6";

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(octets: &[u8]) -> Vec<u8> {
        Base64::encode_string(octets).into_bytes()
    }

    #[test]
    fn plain_gives_name_and_password() {
        for message in [&b"\0ada\0s3 cret"[..], b"ada\0ada\0s3 cret", b"ADA\0ada\0s3 cret"] {
            let step = Exchange::begin(b"plain", Some(&encoded(message)));
            let Some(Step::Credentials(user, password, "PLAIN")) = step else { panic!("{message:?}: {step:?}") };
            assert_eq!((user.as_str(), password.expose()), ("ada", &b"s3 cret"[..]));
        }
    }

    #[test]
    fn plain_in_two_steps_begins_with_an_empty_challenge() {
        let Some(Step::Challenge("", exchange)) = Exchange::begin(b"PLAIN", None) else { panic!() };
        assert!(matches!(exchange.respond(&encoded(b"\0ada\0x")), Step::Credentials(..)));
    }

    #[test]
    fn login_asks_for_both() {
        let Some(Step::Challenge(USERNAME, exchange)) = Exchange::begin(b"Login", None) else { panic!() };
        let Step::Challenge(PASSWORD, exchange) = exchange.respond(&encoded(b"ada")) else { panic!() };
        let Step::Credentials(user, password, "LOGIN") = exchange.respond(&encoded(b"pw")) else { panic!() };
        assert_eq!((user.as_str(), password.expose()), ("ada", &b"pw"[..]));
        let Some(Step::Challenge(PASSWORD, _)) = Exchange::begin(b"LOGIN", Some(&encoded(b"ada"))) else { panic!() };
    }

    #[test]
    fn malformed_lines_are_told_from_cancelled_ones() {
        for line in [&b"!"[..], b"AGFkYQB4=", b"=", b"", &encoded(b"ada\0x"), &encoded(b"bob\0ada\0x")] {
            assert!(matches!(Exchange::Plain.respond(line), Step::Malformed), "{line:?}");
        }
        assert!(matches!(Exchange::Plain.respond(b"*"), Step::Cancelled));
        assert!(matches!(Exchange::LoginName.respond(b"*"), Step::Cancelled));
        assert!(matches!(Exchange::begin(b"PLAIN", Some(b"=")), Some(Step::Malformed)));
        assert!(Exchange::begin(b"GSSAPI", None).is_none());
    }
}
