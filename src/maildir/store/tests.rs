//! Opening a message while other programs go on using the Maildir.

use std::io::Read;

use super::*;
use crate::maildir::fixture::{CrLf, Fixture, number};

fn text(store: &Store, n: u32) -> String {
    let mut text = String::new();
    store.open_message(number(n)).unwrap().file.read_to_string(&mut text).unwrap();
    text
}

#[test]
fn a_message_opens_with_the_size_that_was_counted() {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "a\nb\n");
    let store = fixture.open();
    let message = store.open_message(number(1)).unwrap();
    assert_eq!((message.file_octets, message.wire_octets), (4, Some(6)));
    assert_eq!(text(&store, 1), "a\nb\n");
}

#[test]
fn a_size_that_is_hearsay_or_out_of_date_is_not_announced() {
    let fixture = Fixture::new();
    fixture.put_all(["new/1.a,W=6", "new/2.grows", "new/3.replaced", "new/4.stays"], "a\nb\n");
    let store = fixture.open();
    fixture.put("new/2.grows", "a\nb\nc\n");
    fixture.put("tmp/other", "....");
    fixture.rename("tmp/other", "new/3.replaced");
    let wire = |n| store.open_message(number(n)).unwrap().wire_octets;
    assert_eq!([wire(1), wire(2), wire(3), wire(4)], [None, None, None, Some(6)]);
}

#[test]
fn a_message_that_was_renamed_is_found_by_its_base_name() {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "one");
    fixture.put("cur/2.b:2,", "two");
    let mut store = fixture.open();
    fixture.rename("new/1.a", "cur/1.a:2,S");
    fixture.rename("cur/2.b:2,", "cur/2.b:2,F");
    assert!(matches!(store.open_message(number(1)), Err(MessageError::Moved)));
    store.locate().unwrap();
    assert_eq!((text(&store, 1), text(&store, 2)), ("one".into(), "two".into()));
    fixture.rename("cur/1.a:2,S", "cur/1.a:2,RS");
    assert!(matches!(store.open_message(number(1)), Err(MessageError::Moved)));
    store.locate().unwrap();
    assert_eq!(text(&store, 1), "one");
    fixture.rename("cur/1.a:2,RS", "new/1.a");
    assert_eq!(text(&store, 1), "one");
}

#[test]
fn a_thousand_renamed_at_once_cost_one_pass() {
    let fixture = Fixture::new();
    for n in 1000..2000 {
        fixture.put(&format!("new/{n}.a"), &n.to_string());
    }
    let mut store = fixture.open();
    for n in 1000..2000 {
        fixture.rename(&format!("new/{n}.a"), &format!("cur/{n}.a:2,S"));
    }
    store.locate().unwrap();
    for n in 1..=1000 {
        assert_eq!(text(&store, n), (999 + n).to_string());
    }
}

#[test]
fn a_message_is_gone_once_a_quiet_pass_did_not_see_it() {
    let fixture = Fixture::new();
    fixture.put_all(["new/1.a", "new/2.b"], "x");
    let mut store = fixture.open();
    fixture.remove("new/1.a");
    assert!(matches!(store.open_message(number(1)), Err(MessageError::Moved)), "no pass was made");
    fixture.settle();
    store.locate().unwrap();
    assert!(matches!(store.open_message(number(1)), Err(MessageError::Gone)));
    fixture.rename("new/2.b", "cur/2.b:2,S");
    assert!(matches!(store.open_message(number(1)), Err(MessageError::Moved)), "the directories changed");
    assert_eq!(fixture.names("cur"), ["2.b:2,S"]);
}

#[test]
fn what_takes_the_name_of_a_message_is_never_followed_and_never_blocked_on() {
    let fixture = Fixture::new();
    fixture.put_all(["new/1.a", "new/2.b", "new/3.c", "new/4.d"], "x");
    let store = fixture.open();
    for name in ["new/1.a", "new/2.b", "new/3.c", "new/4.d"] {
        fixture.remove(name);
    }
    fixture.link("/etc/passwd", "new/1.a");
    fixture.fifo("new/2.b");
    fixture.directory("new/3.c");
    let _socket = std::os::unix::net::UnixListener::bind(fixture.at("new/4.d")).unwrap();
    for n in 1..=4 {
        let error = store.open_message(number(n)).unwrap_err();
        assert!(matches!(error, MessageError::NotRegular), "{n}: {error}");
    }
}

#[test]
fn a_folder_that_became_a_link_leads_nowhere() {
    let fixture = Fixture::new();
    fixture.put("cur/passwd", "mine");
    let mut store = fixture.open();
    fixture.rename("cur", "old");
    fixture.link("/etc", "cur");
    assert!(store.open_message(number(1)).is_err());
    assert!(store.locate().unwrap_err().to_string().contains("Not a directory"));
}

#[test]
fn the_lock_is_given_back_when_a_store_is_dropped_updated_or_never_came_to_be() {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "x");
    let store = fixture.open();
    assert!(matches!(fixture.try_open(), Err(OpenError::Busy(id)) if id == store.id()));
    drop(store);
    let mut marks = Marks::default();
    let store = fixture.open();
    marks.delete(store.maildrop(), number(1));
    store.update(&marks, true).unwrap();
    fixture.open();
    fixture.rename("cur", "old");
    fixture.link("old", "cur");
    assert!(matches!(fixture.try_open(), Err(OpenError::Permanent(_))));
    assert!(matches!(fixture.try_open(), Err(OpenError::Permanent(_))), "and not Busy");
}

#[test]
fn a_session_holds_one_descriptor() {
    let fixture = Fixture::new();
    let of_ours = || {
        let links = std::fs::read_dir("/proc/self/fd").unwrap().flatten();
        let targets = links.filter_map(|link| std::fs::read_link(link.path()).ok());
        targets.filter(|target| target.starts_with(fixture.path())).count()
    };
    fixture.put("new/1.a", "x");
    let store = fixture.open();
    assert_eq!(of_ours(), 1);
    drop(store);
    assert_eq!(of_ours(), 0);
}

#[test]
fn a_message_delivered_during_a_session_is_in_the_next() {
    let fixture = Fixture::new();
    let maildir = maildir::Maildir::from(fixture.path().to_owned());
    maildir.store_new(b"first\n").unwrap();
    let store = fixture.open();
    maildir.store_new(b"second\n").unwrap();
    let mut marks = Marks::default();
    marks.delete(store.maildrop(), number(1));
    assert_eq!(store.maildrop().count(), 1);
    store.update(&marks, true).unwrap();
    let store = Store::open::<CrLf>(fixture.path()).unwrap();
    assert_eq!(text(&store, 1), "second\n");
}
