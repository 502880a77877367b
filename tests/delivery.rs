//! Mail that a real Postfix delivers is fetched through poppet, set up as docs/DELIVERY.md says, on a copy of this machine.
//!
//! Owns: nothing; `contrib/delivery/try.sh` does it, and is run by hand for other MTAs.
//! Does not know: Postfix.

mod common;

use std::path::Path;
use std::process::Command;

use common::{needs, needs_root};

#[test]
fn postfix_delivers_to_virtual_mailboxes_of_the_one_mail_user() {
    let Some(said) = delivered("postfix") else { return };
    assert!(said.contains(" 600 poppet\n"), "a message belongs to the mail user: {said}");
}

#[test]
fn postfix_delivers_to_the_home_of_one_user_and_nobody_elses_is_served() {
    let Some(said) = delivered("home") else { return };
    assert!(said.contains("-ERR [SYS/PERM] "), "bob is refused: {said}");
}

/// What the script said; `None` where something is missing.
fn delivered(way: &str) -> Option<String> {
    if !needs_root() || !["postfix", "curl", "python3", "ip", "unshare"].into_iter().all(needs) {
        return None;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("contrib/delivery/try.sh");
    let done = Command::new(script).arg(way).arg(env!("CARGO_BIN_EXE_poppet")).output().expect("the script");
    let said = String::from_utf8_lossy(&[done.stdout, done.stderr].concat()).into_owned();
    assert!(done.status.success(), "{said}");
    assert!(said.contains("51 messages in ") && said.contains("== all is well\n"), "{said}");
    Some(said)
}
