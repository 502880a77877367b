//! Attempts to log in, unknown users, and a users file that changes under the server.

use std::fs::FileTimes;

use tempfile::TempDir;

use super::password::tests::CHECKED;
use super::*;

/// `swordfish`, as cheap as it gets.
const BCRYPT: &str = "$2y$04$abcdefghijklmnopqrstuugIEnm3ZbWF6xb2GcoE3L1CoGJFMKtu.";
const ARGON2: &str = "$argon2id$v=19$m=1024,t=3,p=2$c29tZXNhbHQxMjM0$QQr4XoYIPbib3Qe8cNFRmqmV27DB9i6VRCGXnxTBE6s";

/// A users file in a directory of its own.
struct File {
    directory: TempDir,
    path: PathBuf,
}

impl File {
    fn new(text: &str) -> File {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("users");
        fs::write(&path, text).unwrap();
        File { directory, path }
    }

    fn open(&self) -> Authenticator {
        Authenticator::open(&self.path).unwrap()
    }
}

fn name(text: &str) -> UserName {
    UserName::parse(text.as_bytes()).unwrap()
}

fn try_login(authenticator: &Authenticator, user: &str, password: &[u8]) -> Result<Account, Denied> {
    authenticator.authenticate(&name(user), &Secret::new(password))
}

/// The schemes that one attempt computes, in order.
fn checks(authenticator: &Authenticator, user: &str, password: &[u8]) -> Vec<&'static str> {
    CHECKED.take();
    let _ = try_login(authenticator, user, password);
    CHECKED.take()
}

/// What a look at the file tells the log: `+n` users read, or the error.
fn told(authenticator: &Authenticator) -> Option<String> {
    authenticator.users().1.map(|notice| match notice {
        Notice::Read(count) => format!("+{count}"),
        Notice::Kept(error) => error.to_string(),
        Notice::Emptied(_) => "emptied".into(),
    })
}

/// As if the file had last been looked at long after it was written.
fn settle(authenticator: &Authenticator) {
    authenticator.current.lock().unwrap().settled = true;
}

#[test]
fn the_right_password_gives_the_account() {
    let file = File::new("Ada:{PLAIN}one::::/home/ada::userdb_mail=maildir:~/Maildir\neve:{PLAIN}two\n");
    let authenticator = file.open();
    let account = try_login(&authenticator, "ADA", b"one").unwrap();
    let expected =
        Account { name: name("ada"), home: Some("/home/ada".into()), mail: Some("/home/ada/Maildir".into()) };
    assert_eq!(account, expected);
    assert_eq!(try_login(&authenticator, "eve", b"two").unwrap().mail, None);
}

#[test]
fn a_wrong_password_and_an_unknown_user_are_the_same_denial() {
    let authenticator = File::new("ada:{PLAIN}one\n").open();
    assert_eq!(try_login(&authenticator, "ada", b"two"), Err(Denied));
    // The decoy of `eve` can be no other than ada's entry.
    assert_eq!(try_login(&authenticator, "eve", b"one"), Err(Denied));
    assert_eq!(Denied.to_string(), "wrong user or password");
}

#[test]
fn an_unknown_user_costs_one_hash_of_the_scheme_that_the_file_uses() {
    let authenticator = File::new(&format!("ada:{BCRYPT}\n")).open();
    assert_eq!(checks(&authenticator, "ada", b"wrong"), ["BLF-CRYPT"]);
    assert_eq!(checks(&authenticator, "eve", b"wrong"), ["BLF-CRYPT"]);
    assert_eq!(checks(&authenticator, "eve", b"swordfish"), ["BLF-CRYPT"]);
}

#[test]
fn a_name_keeps_its_decoy_and_names_share_them_out() {
    let authenticator = File::new(&format!("ada:{BCRYPT}\nbob:{ARGON2}\n")).open();
    let (users, _) = authenticator.users();
    let decoy = |user: &str| {
        let (hash, known) = authenticator.entry(&users, &name(user));
        assert!(known.is_none());
        hash.scheme()
    };
    let decoys: Vec<_> = (0..64).map(|n| decoy(&format!("x{n}"))).collect();
    assert!(decoys.contains(&"BLF-CRYPT") && decoys.contains(&"ARGON2ID"));
    assert_eq!(decoys, (0..64).map(|n| decoy(&format!("x{n}"))).collect::<Vec<_>>());
}

#[test]
fn with_no_users_at_all_an_attempt_still_costs_a_hash() {
    let authenticator = File::new("# nobody yet\n").open();
    assert_eq!(checks(&authenticator, "eve", b"wrong"), ["ARGON2ID"]);
}

#[test]
fn a_password_in_latin1_is_tried_once_more_as_utf8() {
    let authenticator = File::new("ada:{PLAIN}gr\u{fc}n\nraw:{PLAIN.hex}6772fc6e\n").open();
    assert!(try_login(&authenticator, "ada", b"gr\xfcn").is_ok());
    assert!(try_login(&authenticator, "ada", "gr\u{fc}n".as_bytes()).is_ok());
    assert!(try_login(&authenticator, "raw", b"gr\xfcn").is_ok());
    assert!(try_login(&authenticator, "raw", "gr\u{fc}n".as_bytes()).is_err());
    assert!(try_login(&authenticator, "ada", b"gr\xfcN").is_err());
}

#[test]
fn the_second_try_is_made_for_unknown_users_too() {
    let authenticator = File::new(&format!("ada:{BCRYPT}\nraw:{{PLAIN.hex}}6772fc6e\n")).open();
    assert_eq!(checks(&authenticator, "ada", b"gr\xfcn"), ["BLF-CRYPT"; 2]);
    for n in 0..16 {
        // Two checks even where the first one meets the password of the decoy.
        assert_eq!(checks(&authenticator, &format!("x{n}"), b"gr\xfcn").len(), 2);
        assert_eq!(checks(&authenticator, &format!("x{n}"), b"ascii").len(), 1);
    }
}

#[test]
fn an_empty_or_overlong_password_or_one_with_nul_is_denied_unhashed_whoever_asks() {
    let long = "x".repeat(PASSWORD_MAX_OCTETS);
    let authenticator =
        File::new(&format!("ada:{{PLAIN}}{long}\nbob:{{PLAIN}}{long}x\nnul:{{PLAIN.hex}}610062\n")).open();
    assert!(try_login(&authenticator, "ada", long.as_bytes()).is_ok());
    for user in ["ada", "bob", "nul", "eve"] {
        for password in [&b""[..], format!("{long}x").as_bytes(), b"a\0b"] {
            assert_eq!(try_login(&authenticator, user, password), Err(Denied));
            assert!(checks(&authenticator, user, password).is_empty());
        }
    }
}

#[test]
fn a_broken_file_at_the_start_is_an_error_that_names_it_and_every_bad_line() {
    let file = File::new("ada\neve:\ngood:{PLAIN}x\n");
    let error = Authenticator::open(&file.path).err().unwrap();
    let text = error.to_string();
    assert!(text.contains(&*file.path.to_string_lossy()) && text.contains("line 1:") && text.contains("line 2 (eve):"));
    assert!(matches!(error, UsersError::Lines { lines, .. } if lines.len() == 2));
}

#[test]
fn an_endless_list_of_bad_lines_is_cut_in_words_and_whole_in_the_error() {
    let file = File::new(&"x\n".repeat(1000));
    let error = Authenticator::open(&file.path).err().unwrap();
    assert!(error.to_string().ends_with("; and 980 more") && error.to_string().contains("line 20:"));
    assert!(matches!(error, UsersError::Lines { lines, .. } if lines.len() == 1000));
}

#[test]
fn what_is_no_file_is_an_error_at_once() {
    let file = File::new("");
    let missing = file.directory.path().join("missing");
    assert!(Authenticator::open(&missing).err().unwrap().to_string().contains("missing: No such file"));
    let directory = Authenticator::open(file.directory.path()).err().unwrap();
    assert!(directory.to_string().contains("not a regular file"), "{directory}");
}

#[test]
fn a_changed_file_counts_from_the_next_attempt_on() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    settle(&authenticator);
    assert_eq!(told(&authenticator), None);
    fs::write(&file.path, "eve:{PLAIN}two!\nada:{PLAIN}two!\n").unwrap();
    assert!(try_login(&authenticator, "eve", b"two!").is_ok());
    assert!(try_login(&authenticator, "ada", b"one").is_err());
    assert_eq!(told(&authenticator), None);
}

#[test]
fn a_good_change_is_told_once() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    fs::write(&file.path, "ada:{PLAIN}one\neve:{PLAIN}two\n").unwrap();
    assert_eq!(told(&authenticator).as_deref(), Some("+2"));
    assert_eq!(told(&authenticator), None);
}

#[test]
fn an_edit_that_shows_in_no_time_and_no_size_is_seen() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    fs::write(&file.path, "ada:{PLAIN}two\n").unwrap();
    // As if the clock of the file system had stood still between the two.
    authenticator.current.lock().unwrap().sight = Sight::of(&file.path);
    assert!(try_login(&authenticator, "ada", b"two").is_ok());
}

#[test]
fn a_file_that_takes_the_place_of_another_is_seen_though_size_and_time_are_the_same() {
    let file = File::new("ada:{PLAIN}one\n");
    let time = FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000));
    fs::File::options().write(true).open(&file.path).unwrap().set_times(time).unwrap();
    let authenticator = file.open();
    settle(&authenticator);
    let new = file.directory.path().join("new");
    fs::write(&new, "ada:{PLAIN}two\n").unwrap();
    fs::File::options().write(true).open(&new).unwrap().set_times(time).unwrap();
    fs::rename(&new, &file.path).unwrap();
    assert!(try_login(&authenticator, "ada", b"two").is_ok());
}

#[test]
fn a_file_is_settled_when_its_last_change_is_some_seconds_ago() {
    let file = File::new("");
    let sight = Sight::of(&file.path);
    let now = SystemTime::now();
    assert!(!sight.is_settled(now));
    assert!(sight.is_settled(now + Duration::from_secs(5)));
    // A clock that went back.
    assert!(!sight.is_settled(now - Duration::from_secs(3600)));
}

#[test]
fn a_settled_file_is_not_read_again() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    let (before, _) = authenticator.users();
    settle(&authenticator);
    assert!(Arc::ptr_eq(&before, &authenticator.users().0));
}

#[test]
fn a_file_that_was_emptied_keeps_the_users_until_somebody_is_in_it_again() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    fs::write(&file.path, "# nobody\n").unwrap();
    assert_eq!(told(&authenticator).as_deref(), Some("emptied"));
    assert_eq!(told(&authenticator), None);
    assert!(try_login(&authenticator, "ada", b"one").is_ok());
    fs::write(&file.path, "eve:{PLAIN}two\n").unwrap();
    assert!(try_login(&authenticator, "eve", b"two").is_ok() && try_login(&authenticator, "ada", b"one").is_err());
}

#[test]
fn a_broken_change_keeps_the_users_and_is_told_once_a_version() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    fs::write(&file.path, "ada:{PLAIN}one\neve\n").unwrap();
    let text = told(&authenticator).unwrap();
    assert!(text.contains("users") && text.contains("line 2: there is no `:`"), "{text}");
    assert!(try_login(&authenticator, "ada", b"one").is_ok());
    assert_eq!(told(&authenticator), None);
    settle(&authenticator);
    assert_eq!(told(&authenticator), None);
    fs::write(&file.path, "ada:{PLAIN}one\n\neve\n").unwrap();
    assert!(told(&authenticator).unwrap().contains("line 3:"));
    fs::write(&file.path, "ada:{PLAIN}two\n").unwrap();
    assert_eq!(told(&authenticator).as_deref(), Some("+1"));
    assert!(try_login(&authenticator, "ada", b"two").is_ok());
}

#[test]
fn a_vanished_file_keeps_the_users_is_told_once_and_read_when_it_returns() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    let away = file.directory.path().join("away");
    fs::rename(&file.path, &away).unwrap();
    assert!(told(&authenticator).unwrap().contains("No such file"));
    assert_eq!(told(&authenticator), None);
    assert!(try_login(&authenticator, "ada", b"one").is_ok());
    fs::rename(&away, &file.path).unwrap();
    assert_eq!(told(&authenticator).as_deref(), Some("+1"));
}

#[test]
fn a_file_that_could_not_be_read_is_tried_again_though_it_did_not_change() {
    let file = File::new("ada:{PLAIN}one\n");
    let authenticator = file.open();
    // Long unchanged, and refused for a reason that is not in the file.
    fs::remove_file(&file.path).unwrap();
    fs::create_dir(&file.path).unwrap();
    assert!(told(&authenticator).unwrap().contains("not a regular file"));
    assert_eq!(told(&authenticator), None);
    assert!(!authenticator.current.lock().unwrap().settled);
}

#[test]
fn the_decoy_of_no_users_is_a_hash_of_the_default_cost() {
    assert!(NOBODY.contains("$m=19456,t=2,p=1$"));
    assert_eq!(Hash::parse(NOBODY.as_bytes()).unwrap().scheme(), "ARGON2ID");
}

#[test]
fn threads_share_an_authenticator() {
    fn shared<T: Send + Sync>(_: &T) {}
    shared(&File::new("ada:{PLAIN}one\n").open());
}
