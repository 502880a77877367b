//! Users files, line by line: what is read, and what each bad line is told.

use std::path::Path;

use proptest::prelude::*;

use super::*;

fn users(file: &[u8]) -> Users {
    Users::parse(file).unwrap_or_else(|bad| panic!("{bad:?}"))
}

fn named(name: &str) -> UserName {
    UserName::parse(name.as_bytes()).unwrap()
}

/// The one fault of a file of one line.
fn fault(line: &str) -> Fault {
    let mut bad = Users::parse(line.as_bytes()).expect_err(line);
    assert_eq!((bad.len(), bad[0].line), (1, 1), "{line}");
    bad.remove(0).what
}

#[test]
fn a_line_may_end_after_the_password() {
    let users = users(b"ada:{PLAIN}one\nGrace@Example.org:{PLAIN}two::::::\n");
    assert_eq!(users.len(), 2);
    let ada = users.get(&named("ADA")).unwrap();
    assert!(ada.hash.verify(b"one") && ada.home.is_none() && ada.mail.is_none());
    assert!(users.get(&named("grace@example.org")).unwrap().hash.verify(b"two"));
    assert!(users.get(&named("eve")).is_none());
}

#[test]
fn comments_empty_lines_crlf_and_a_byte_order_mark_are_read_over() {
    let file = b"\xef\xbb\xbf# users\r\n\r\n\nada:{PLAIN}one\r\n#eve:{PLAIN}x\ngrace:{PLAIN}two:";
    let users = users(file);
    assert_eq!(users.iter().map(|user| user.name.as_str()).collect::<Vec<_>>(), ["ada", "grace"]);
    assert!(users.get(&named("ada")).unwrap().hash.verify(b"one"));
    assert!(self::users(b"").is_empty() && self::users(b"# nobody").is_empty());
}

#[test]
fn the_number_of_a_line_counts_comments_and_empty_lines() {
    let bad = Users::parse(b"# one\r\n\r\nada\r\n").unwrap_err();
    assert_eq!(bad[0].line, 3);
}

#[test]
fn names_and_passwords_that_are_no_utf8_are_read() {
    let users = users(b"J\xd6RG:{PLAIN}gr\xfcn:1:1:J\xf6rg:/home/j\xf6rg\n");
    let user = users.get(&named("j\u{f6}rg")).unwrap();
    assert!(user.hash.verify(b"gr\xfcn"));
    assert_eq!(user.home.as_deref(), Some(Path::new(OsStr::from_bytes(b"/home/j\xf6rg"))));
}

#[test]
fn the_home_is_the_sixth_field_unless_an_extra_one_names_it() {
    for (line, home) in [
        ("ada:{PLAIN}x:1000:100:Ada, of London:/home/ada:/bin/sh", Some("/home/ada")),
        ("ada:{PLAIN}x::::/home/ada", Some("/home/ada")),
        ("ada:{PLAIN}x::::/home/ada::userdb_home=/srv/ada", Some("/srv/ada")),
        ("ada:{PLAIN}x::::/home/ada::quota=1G userdb_uid=5 proxy", Some("/home/ada")),
        ("ada:{PLAIN}x::::::quota=1G", None),
        ("ada:{PLAIN}x:/home/ada", None),
    ] {
        assert_eq!(users(line.as_bytes()).pick(0).unwrap().home.as_deref(), home.map(Path::new), "{line}");
    }
}

#[test]
fn userdb_mail_names_the_maildir() {
    for (extra, mail) in [
        ("userdb_mail=maildir:/var/mail/ada", "/var/mail/ada"),
        ("userdb_mail=maildir:~/Maildir", "/home/ada/Maildir"),
        ("userdb_mail=maildir:~//Maildir", "/home/ada/Maildir"),
        ("userdb_mail=maildir:~", "/home/ada"),
        ("userdb_mail=maildir:%h/Mail", "/home/ada/Mail"),
        ("userdb_mail=maildir:%h", "/home/ada"),
        ("userdb_mail=maildir:~/Mail:INDEX=/var/i/%u:LAYOUT=fs", "/home/ada/Mail"),
        ("userdb_uid=5 userdb_mail=maildir:~/M userdb_gid=5", "/home/ada/M"),
        // The home counts wherever it stands.
        ("userdb_mail=maildir:~/M userdb_home=/srv/ada", "/srv/ada/M"),
    ] {
        let line = format!("ada:{{PLAIN}}x::::/home/ada::{extra}");
        assert_eq!(users(line.as_bytes()).pick(0).unwrap().mail.as_deref(), Some(Path::new(mail)), "{extra}");
    }
}

#[test]
fn every_other_place_of_mail_or_home_is_refused() {
    for (rest, expected) in [
        (":::/home/ada::userdb_mail=mbox:~/mail", Fault::NotMaildir),
        (":::/home/ada::userdb_mail=~/Maildir", Fault::NotMaildir),
        (":::/home/ada::userdb_mail", Fault::NotMaildir),
        (":::/home/ada::userdb_mail=maildir:", Fault::BadMail),
        (":::/home/ada::userdb_mail=maildir:Maildir", Fault::BadMail),
        (":::/home/ada::userdb_mail=maildir:~eve/Maildir", Fault::BadMail),
        (":::/home/ada::userdb_mail=maildir:%home", Fault::BadMail),
        (":::/home/ada::userdb_mail=maildir:~/%d/%n", Fault::BadMail),
        (":::/home/ada::userdb_mail=maildir:/srv/%u", Fault::BadMail),
        (":::/home/ada::userdb_mail=maildir:/srv/a\0b", Fault::BadMail),
        ("::::::userdb_mail=maildir:~/Maildir", Fault::NoHome),
        ("::::::userdb_mail=maildir:%h", Fault::NoHome),
        (":::home/ada", Fault::BadHome),
        ("::::::userdb_home=~", Fault::BadHome),
        ("::::::userdb_home=/srv/%d", Fault::BadHome),
        (":::/home/%u", Fault::BadHome),
    ] {
        let rest = if rest.starts_with("::::::") { rest.to_owned() } else { format!(":{rest}") };
        assert_eq!(fault(&format!("ada:{{PLAIN}}x{rest}")), expected, "{rest:?}");
    }
}

#[test]
fn a_field_that_keeps_somebody_out_elsewhere_is_not_read_over() {
    assert_eq!(fault("ada:{PLAIN}x::::::allow_nets=192.0.2.0/24"), Fault::Restriction("allow_nets"));
    assert_eq!(fault("ada:{PLAIN}x::::::quota=1 nologin"), Fault::Restriction("nologin"));
    assert_eq!(fault("ada:{PLAIN}x::::::nologin=y"), Fault::Restriction("nologin"));
}

#[test]
fn a_bad_name_or_none_is_refused() {
    assert_eq!(fault("ada"), Fault::NoColon);
    for line in
        [":{PLAIN}x", " ada:{PLAIN}x", "ada :{PLAIN}x", "a\tda:{PLAIN}x", &format!("{}:{{PLAIN}}x", "a".repeat(256))]
    {
        assert_eq!(fault(line), Fault::BadName, "{line:?}");
    }
}

#[test]
fn all_bad_lines_come_back_each_with_its_number_its_user_and_the_way_to_mend_it() {
    let file = b"ada:\neve\ngood:{PLAIN}x\nGOOD:{PLAIN}y\nmd5:{MD5-CRYPT}$1$a$b\n:x\nada:{PLAIN}x\n\
        dear:$2b$15$abcdefghijklmnopqrstuupWDwJQeCHYIBQy8WvkVB6ImhZ476YYy\n";
    let told: Vec<String> = Users::parse(file).unwrap_err().iter().map(ToString::to_string).collect();
    let expected = [
        "line 1 (ada): the password is empty, and nobody may log in without one; `poppet hash` makes a new line",
        "line 2: there is no `:` in it; write user:password, or `#` before a comment",
        "line 4 (good): this user has line 3 already (names compare without case); remove one of the two",
        "line 5 (md5): the password has the scheme {MD5-CRYPT}, which poppet does not check; \
            `poppet hash` makes a new line",
        "line 6: a user name is 1 to 255 octets, without control characters and without spaces around it; correct it",
        "line 7 (ada): this user has line 1 already (names compare without case); remove one of the two",
        "line 8 (dear): the password costs too much: cost of bcrypt is 15, and at most 14 is accepted; \
            `poppet hash` makes a new line",
    ];
    assert_eq!(told, expected);
}

#[test]
fn a_number_picks_some_user_always_the_same() {
    let users = users(b"a:{PLAIN}x\nb:{PLAIN}x\nc:{PLAIN}x\n");
    let picked: Vec<&str> = (0..6).map(|n| users.pick(n).unwrap().name.as_str()).collect();
    assert_eq!(picked, ["a", "b", "c", "a", "b", "c"]);
    assert!(users.pick(u64::MAX).is_some());
    assert!(self::users(b"").pick(7).is_none());
}

#[test]
fn debug_of_a_user_shows_no_password() {
    let users = users(b"ada:{PLAIN}swordfish\n");
    assert!(!format!("{users:?}").contains("swordfish"));
    let bad = Users::parse(b"ada:swordfish\nswordfish\n").unwrap_err();
    assert!(!format!("{bad:?}").contains("swordfish"));
}

proptest! {
    #[test]
    fn no_file_makes_the_parser_panic(
        octets in proptest::collection::vec(any::<u8>(), 0..300),
        near in "([a-c]{0,2}:?(\\{PLAIN\\}|\\$6\\$)?[a-z%~:= /\r]{0,20}:?(:::::userdb_(mail|home)=(maildir:)?[~%h/:a]{0,9})?\n){0,8}",
    ) {
        for file in [&octets[..], near.as_bytes()] {
            let lines = file.split(|&b| b == b'\n').count();
            match Users::parse(file) {
                Ok(users) => prop_assert!(users.len() <= lines),
                Err(bad) => {
                    prop_assert!(!bad.is_empty());
                    prop_assert!(bad.windows(2).all(|two| two[0].line < two[1].line));
                    prop_assert!(bad.iter().all(|bad| bad.line <= lines && !bad.to_string().is_empty()));
                }
            }
        }
    }
}
