//! QUIT is true.

use std::process::Command;

use super::*;
use crate::maildir::Store;
use crate::maildir::fixture::{Fixture, deleted, number};

/// A Maildir with messages 1 to `count`, as `new/1n.a`.
fn messages(count: u32) -> (Fixture, Store) {
    let fixture = Fixture::new();
    (1..=count).for_each(|n| fixture.put(&format!("new/1{n}.a"), "x"));
    let store = fixture.open();
    (fixture, store)
}

fn retrieved(numbers: impl IntoIterator<Item = u32>) -> Marks {
    let mut marks = Marks::default();
    numbers.into_iter().for_each(|n| marks.retrieve(number(n)));
    marks
}

#[test]
fn what_is_marked_goes_and_the_rest_stays() {
    let (fixture, store) = messages(5);
    let marks = deleted(&store, [1, 4]);
    assert_eq!(store.update(&marks, true).unwrap(), Updated { removed: 2, seen: 0 });
    assert_eq!(fixture.names("new"), ["12.a", "13.a", "15.a"]);
}

#[test]
fn without_marks_nothing_changes() {
    let (fixture, store) = messages(2);
    assert_eq!(store.update(&Marks::default(), true).unwrap(), Updated { removed: 0, seen: 0 });
    assert_eq!(fixture.names("new"), ["11.a", "12.a"]);
}

#[test]
fn a_message_that_was_renamed_is_removed_all_the_same() {
    let (fixture, store) = messages(3);
    fixture.rename("new/11.a", "cur/11.a:2,S");
    fixture.rename("new/12.a", "cur/12.a:2,S");
    let marks = deleted(&store, [1]);
    assert_eq!(store.update(&marks, true).unwrap().removed, 1);
    assert_eq!((fixture.names("cur"), fixture.names("new")), (vec!["12.a:2,S".into()], vec!["13.a".into()]));
}

#[test]
fn a_message_that_is_gone_already_counts_as_removed() {
    let (fixture, store) = messages(2);
    fixture.remove("new/11.a");
    let marks = deleted(&store, [1, 2]);
    assert_eq!(store.update(&marks, true).unwrap().removed, 2);
    assert!(fixture.names("new").is_empty());
}

#[test]
fn a_message_left_under_two_names_is_removed_under_both() {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "x");
    std::fs::hard_link(fixture.at("new/1.a"), fixture.at("cur/1.a:2,S")).unwrap();
    std::fs::hard_link(fixture.at("new/1.a"), fixture.at("cur/2.copy:2,")).unwrap();
    let store = fixture.open();
    let marks = deleted(&store, [1]);
    assert_eq!(store.update(&marks, true).unwrap().removed, 1);
    assert_eq!((fixture.names("new"), fixture.names("cur")), (vec![], vec!["2.copy:2,".into()]));
}

#[test]
fn of_two_messages_with_one_base_name_only_the_marked_one_goes() {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "x");
    fixture.put("cur/1.a:2,S", "y");
    let store = fixture.open();
    let marked = store.maildrop().numbers().find(|&n| store.maildrop().name(n) == b"1.a").unwrap();
    fixture.rename("new/1.a", "cur/1.a:2,F");
    let marks = deleted(&store, [marked.get()]);
    store.update(&marks, true).unwrap();
    assert_eq!(fixture.names("cur"), ["1.a:2,S"]);
}

#[test]
fn a_namesake_that_came_later_is_not_removed_with_the_message() {
    let (fixture, mut store) = messages(1);
    fixture.put("cur/11.a:2,S", "another");
    store.locate().unwrap();
    let marks = deleted(&store, [1]);
    store.update(&marks, true).unwrap();
    assert_eq!((fixture.names("new"), fixture.names("cur")), (vec![], vec!["11.a:2,S".into()]));
}

#[test]
fn of_ten_removals_the_three_that_fail_are_told_and_the_seven_are_done() {
    let (fixture, store) = messages(9);
    for n in [2, 5, 8] {
        fixture.remove(&format!("new/1{n}.a"));
        fixture.directory(&format!("new/1{n}.a"));
    }
    let mut marks = deleted(&store, 1..=9);
    marks.retrieve(number(2));
    let error = store.update(&marks, true).unwrap_err();
    assert_eq!((error.failed, error.uncertain, error.of, error.temporary), (3, 0, 9, false));
    assert!(error.to_string().contains("cannot remove") && error.to_string().contains("new/12.a"), "{error}");
    assert_eq!(fixture.names("new"), ["12.a", "15.a", "18.a"], "what could not be removed stays as it is");
}

#[test]
fn an_immutable_message_remains_and_is_told() {
    let (fixture, store) = messages(3);
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(fixture.at("new/12.a")).output();
    if !chattr("+i").is_ok_and(|output| output.status.success()) {
        return; // Not root, or a file system without such flags: the test above stands for it.
    }
    let marks = deleted(&store, 1..=3);
    let outcome = store.update(&marks, true);
    chattr("-i").unwrap();
    let error = outcome.unwrap_err();
    assert_eq!((error.failed, error.of, error.temporary), (1, 3, false));
    assert_eq!(fixture.names("new"), ["12.a"]);
}

#[test]
fn in_a_read_only_directory_everything_remains_and_is_told() {
    use std::os::unix::fs::PermissionsExt;
    let (fixture, store) = messages(2);
    let new = fixture.at("new");
    // Root may write whatever the mode says, but not where the directory itself is immutable.
    let chattr = |flag: &str| Command::new("chattr").arg(flag).arg(&new).output();
    let chmod = |mode| std::fs::set_permissions(&new, std::fs::Permissions::from_mode(mode)).unwrap();
    chmod(0o500);
    let immutable = chattr("+i").is_ok_and(|output| output.status.success());
    let marks = deleted(&store, 1..=2);
    let outcome = store.update(&marks, true);
    let _ = chattr("-i");
    chmod(0o700);
    if immutable || !rustix::process::geteuid().is_root() {
        let error = outcome.unwrap_err();
        assert_eq!((error.failed, error.of, error.temporary), (2, 2, false));
        assert_eq!(fixture.names("new"), ["11.a", "12.a"]);
    }
}

#[test]
fn a_folder_that_became_a_link_loses_nothing() {
    let (fixture, store) = messages(2);
    fixture.rename("new", "elsewhere");
    fixture.link("elsewhere", "new");
    let marks = deleted(&store, 1..=2);
    let error = store.update(&marks, true).unwrap_err();
    assert_eq!((error.failed, error.of), (2, 2));
    assert_eq!(fixture.names("elsewhere"), ["11.a", "12.a"]);
}

#[test]
fn temporary_means_that_any_failure_was() {
    let failure = |errno: Errno| FileError { action: "remove", path: "x".into(), source: errno.into() };
    let outcome = |first, second| {
        let mut failures = Failures::default();
        failures.add(1, failure(first));
        failures.add(1, failure(second));
        failures.outcome(Updated { removed: 5, seen: 0 }, 5).unwrap_err()
    };
    let error = outcome(Errno::ACCESS, Errno::IO);
    assert!(error.temporary && error.failed == 2 && error.first.source.kind() == Errno::ACCESS.kind());
    assert!(!outcome(Errno::ACCESS, Errno::ROFS).temporary);
}

#[test]
fn what_was_retrieved_and_kept_moves_to_cur_with_its_flag() {
    let (fixture, store) = messages(3);
    let mut marks = retrieved([1, 2]);
    marks.delete(store.maildrop(), number(2));
    assert_eq!(store.update(&marks, true).unwrap(), Updated { removed: 1, seen: 1 });
    assert_eq!((fixture.names("new"), fixture.names("cur")), (vec!["13.a".into()], vec!["11.a:2,S".into()]));
}

#[test]
fn without_mark_seen_nothing_moves() {
    let (fixture, store) = messages(2);
    assert_eq!(store.update(&retrieved([1]), false).unwrap(), Updated { removed: 0, seen: 0 });
    assert_eq!(fixture.names("new"), ["11.a", "12.a"]);
}

#[test]
fn flags_of_others_stay_and_a_message_that_is_seen_is_left_where_it_is() {
    let fixture = Fixture::new();
    fixture.put_all(["cur/1.a:2,F", "cur/2.b:2,RS", "cur/3.c:1,x"], "x");
    let store = fixture.open();
    assert_eq!(store.update(&retrieved(1..=3), true).unwrap().seen, 1);
    assert_eq!(fixture.names("cur"), ["1.a:2,FS", "2.b:2,RS", "3.c:1,x"]);
}

#[test]
fn a_message_that_was_opened_where_it_went_gets_its_flag_there() {
    let (fixture, mut store) = messages(1);
    fixture.rename("new/11.a", "cur/11.a:2,F");
    store.locate().unwrap();
    assert_eq!(store.update(&retrieved([1]), true).unwrap().seen, 1);
    assert_eq!(fixture.names("cur"), ["11.a:2,FS"]);
}

#[test]
fn the_flag_replaces_no_other_message() {
    for rename in ["renameat2", "fallback"] {
        let (fixture, store) = messages(1);
        fixture.put("cur/11.a:2,S", "another");
        if rename == "fallback" {
            let [new, cur] = FOLDERS.map(|folder| Root::open(fixture.path()).unwrap().open_directory(folder.name()));
            let (new, cur) = (new.unwrap().unwrap(), cur.unwrap().unwrap());
            assert_eq!(rename_where_free(&new, b"11.a", &cur, b"11.a:2,S"), Err(Errno::EXIST));
            assert_eq!(rename_where_free(&new, b"11.a", &cur, b"11.a:2,FS"), Ok(()));
            assert_eq!(fixture.names("cur"), ["11.a:2,FS", "11.a:2,S"]);
        } else {
            assert_eq!(store.update(&retrieved([1]), true).unwrap().seen, 0);
            assert_eq!(fixture.names("new"), ["11.a"]);
        }
        assert_eq!(std::fs::read_to_string(fixture.at("cur/11.a:2,S")).unwrap(), "another");
    }
}

#[test]
fn where_there_is_no_cur_none_is_made() {
    let (fixture, store) = messages(2);
    std::fs::remove_dir(fixture.at("cur")).unwrap();
    let mut marks = retrieved([1]);
    marks.delete(store.maildrop(), number(2));
    assert_eq!(store.update(&marks, true).unwrap(), Updated { removed: 1, seen: 0 });
    assert!(!fixture.at("cur").exists());
}
