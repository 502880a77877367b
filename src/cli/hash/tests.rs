//! Passwords in, lines for the users file out, and what is refused.

use clap::{CommandFactory, Parser};

use super::*;
use crate::auth::password::Hash;

#[derive(Parser)]
struct Line {
    #[command(flatten)]
    options: Options,
}

fn options(scheme: Scheme, user: Option<&str>) -> Options {
    Options { scheme, user: user.map(Into::into) }
}

fn made(scheme: Scheme, user: Option<&str>, password: &[u8]) -> Result<String, HashError> {
    line(&options(scheme, user), &Secret::new(password))
}

fn keys(keys: &[u8]) -> Result<Vec<u8>, HashError> {
    typed(&mut &keys[..], &mut Vec::new(), "Password: ").map(|secret| secret.expose().to_vec())
}

#[test]
fn every_scheme_makes_a_hash_that_the_server_takes() {
    for (scheme, front) in [
        (Scheme::Argon2id, "{ARGON2ID}$argon2id$v=19$m=19456,t=2,p=1$"),
        (Scheme::Sha512Crypt, "{SHA512-CRYPT}$6$rounds=100000$"),
        (Scheme::Bcrypt, "{BLF-CRYPT}$2y$10$"),
    ] {
        let text = made(scheme, None, "gr\u{fc}n sword".as_bytes()).unwrap();
        assert!(text.starts_with(front), "{text}");
        let hash = Hash::parse(text.as_bytes()).unwrap();
        assert!(hash.verify("gr\u{fc}n sword".as_bytes()), "{text}");
        assert!(!hash.verify(b"wrong"), "{text}");
    }
}

#[test]
fn two_hashes_of_one_password_differ() {
    let (one, two) = (made(Scheme::Bcrypt, None, b"same").unwrap(), made(Scheme::Bcrypt, None, b"same").unwrap());
    assert_ne!(one[..36], two[..36]);
}

#[test]
fn with_a_user_the_line_is_whole() {
    let line = made(Scheme::Bcrypt, Some("Ada@example.org"), b"swordfish").unwrap();
    assert!(line.starts_with("Ada@example.org:{BLF-CRYPT}$2y$"));
    let users = Users::parse(line.as_bytes()).unwrap();
    assert!(users.pick(0).unwrap().hash.verify(b"swordfish"));
}

#[test]
fn a_user_that_would_break_the_line_is_refused() {
    for user in ["", "#ada", "a:b", "ada:{PLAIN}x:", "ada\neve", " ada", "a\tb", "x\n#"] {
        let error = made(Scheme::Bcrypt, Some(user), b"swordfish").unwrap_err();
        assert!(matches!(error, HashError::BadUser(_)), "{user:?}");
    }
}

#[test]
fn passwords_that_no_one_could_log_in_with_are_refused() {
    let refused = |scheme, password: &[u8]| made(scheme, None, password).unwrap_err();
    assert!(matches!(refused(Scheme::Bcrypt, b""), HashError::Empty));
    for bad in ["a\nb", "a\0b", "\u{7f}", "tab\there", "\u{85}"] {
        assert!(matches!(refused(Scheme::Bcrypt, bad.as_bytes()), HashError::ControlCharacters), "{bad:?}");
    }
    assert!(matches!(refused(Scheme::Bcrypt, b"gr\xfcn"), HashError::NotUtf8));
    assert!(matches!(refused(Scheme::Bcrypt, &[b'x'; 73]), HashError::TooLong(72)));
    assert!(matches!(refused(Scheme::Sha512Crypt, &[b'x'; 512]), HashError::TooLong(511)));
    assert!(made(Scheme::Bcrypt, None, &[b'x'; 72]).is_ok());
}

#[test]
fn a_pipe_gives_its_first_line() {
    for (input, password) in [
        (&b"sword fish\n"[..], &b"sword fish"[..]),
        (b"swordfish\r\n", b"swordfish"),
        (b"swordfish", b"swordfish"),
        (b" two \nmore\n", b" two "),
        (b"\n", b""),
        (b"", b""),
    ] {
        assert_eq!(first_line(&mut &input[..]).unwrap().expose(), password);
    }
    let endless = first_line(&mut io::BufReader::new(io::repeat(b'x'))).unwrap();
    assert!(matches!(line(&options(Scheme::Argon2id, None), &endless), Err(HashError::TooLong(511))));
    let longest = [&[b'x'; 511][..], b"\r\n"].concat();
    assert_eq!(first_line(&mut &longest[..]).unwrap().expose().len(), 511);
}

#[test]
fn keys_edit_the_line_as_a_terminal_would() {
    assert_eq!(keys(b"swordfish\r").unwrap(), b"swordfish");
    assert_eq!(keys(b"swordx\x7ffish\nrest").unwrap(), b"swordfish");
    assert_eq!(keys("gr\u{fc}\u{20ac}\u{8}n\n".as_bytes()).unwrap(), "gr\u{fc}n".as_bytes());
    assert_eq!(keys(b"\x7f\x08a\n").unwrap(), b"a");
    assert_eq!(keys(b"wrong\x15right\n").unwrap(), b"right");
    assert_eq!(keys(b"a\x04b\n").unwrap(), b"a\x04b");
    assert_eq!(keys(&[&[b'x'; 600][..], b"\n"].concat()).unwrap().len(), LINE_MAX_OCTETS);
}

#[test]
fn ctrl_c_and_the_end_of_input_make_no_line() {
    for input in [&b"sword\x03fish\n"[..], b"\x04", b"", b"sword"] {
        assert!(matches!(keys(input), Err(HashError::Interrupted)), "{input:?}");
    }
}

#[test]
fn the_prompt_is_shown_and_the_password_is_not() {
    let mut shown = Vec::new();
    typed(&mut &b"swordfish\n"[..], &mut shown, "Password: ").unwrap();
    assert_eq!(shown, b"Password: \n");
}

#[test]
fn schemes_have_the_names_of_the_manual_and_argon2id_is_the_default() {
    let parse =
        |arguments: &[&str]| Line::try_parse_from(arguments).map(|line| (line.options.scheme, line.options.user));
    assert_eq!(parse(&["hash"]).unwrap(), (Scheme::Argon2id, None));
    assert_eq!(parse(&["hash", "--scheme", "sha512-crypt", "ada"]).unwrap(), (Scheme::Sha512Crypt, Some("ada".into())));
    assert_eq!(parse(&["hash", "--scheme", "bcrypt"]).unwrap().0, Scheme::Bcrypt);
    assert_eq!(parse(&["hash", "--scheme", "argon2id"]).unwrap().0, Scheme::Argon2id);
    assert!(parse(&["hash", "--scheme", "md5"]).is_err());
    Line::command().debug_assert();
}
