//! What a later login takes from the index, and every way in which an index may be wrong.

use std::fs;

use proptest::prelude::*;

use super::*;
use crate::maildir::Store;
use crate::maildir::fixture::{Fixture, number};
use crate::maildrop::Marks;

/// Octets of a message without its name, and where among them its name's place stands.
const ENTRY: usize = size_of::<Record>();
const NAME_AT: usize = 32;

/// A login that ends at once, its index written. Gives sizes and unique-ids.
fn login(fixture: &Fixture) -> Vec<(u64, String)> {
    seen(&fixture.open())
}

fn seen(store: &Store) -> Vec<(u64, String)> {
    let maildrop = store.maildrop();
    let text = |n| String::from_utf8(maildrop.unique_id(n).to_vec()).unwrap();
    maildrop.numbers().map(|n| (maildrop.size(n).wire, text(n))).collect()
}

/// Three messages, and an index of them.
fn indexed() -> (Fixture, Vec<(u64, String)>) {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "one\n");
    fixture.put("cur/2.b:2,S", "two\nlines\n");
    fixture.put("cur/3.a space:2,", "3");
    fixture.settle();
    let first = login(&fixture);
    (fixture, first)
}

/// Puts other sizes into the index: whoever believes it shows them.
fn tamper(fixture: &Fixture) {
    let mut octets = fs::read(fixture.at(FILE)).unwrap();
    let count = u64::from_le_bytes(octets[COUNT_AT..STAMPS_AT].try_into().unwrap());
    for at in 0..count as usize {
        octets[HEADER + at * ENTRY + 8] = 200;
    }
    sign(&mut octets);
    fs::write(fixture.at(FILE), octets).unwrap();
}

fn decode(octets: &[u8]) -> Option<Index> {
    Index::decode(octets, octets.len() as u64)
}

fn sign(octets: &mut [u8]) {
    let body = octets.len() - 4;
    let checksum = crc32fast::hash(&octets[..body]).to_le_bytes();
    octets[body..].copy_from_slice(&checksum);
}

fn sizes(seen: &[(u64, String)]) -> Vec<u64> {
    seen.iter().map(|(wire, _)| *wire).collect()
}

#[test]
fn where_nothing_changed_a_login_believes_the_index_and_writes_nothing() {
    let (fixture, first) = indexed();
    assert_eq!(sizes(&first), [5, 12, 3]);
    tamper(&fixture);
    let inode = |name| rustix::fs::stat(fixture.at(name)).unwrap().st_ino;
    let before = inode(FILE);
    assert_eq!(sizes(&login(&fixture)), [200, 200, 200]);
    assert_eq!(inode(FILE), before, "written again");
    assert!(fixture.names("tmp").is_empty());
}

#[test]
fn what_is_new_is_counted_and_what_is_known_is_not() {
    let (fixture, _) = indexed();
    tamper(&fixture);
    fixture.put("new/4.d", "four\n");
    fixture.rename("new/1.a", "cur/1.a:2,S");
    fixture.remove("cur/2.b:2,S");
    let (after, ids): (Vec<_>, Vec<_>) = login(&fixture).into_iter().unzip();
    assert_eq!(after, [200, 200, 6]);
    assert_eq!((&ids[0][..], &ids[2][..]), ("1.a", "4.d"));
    fixture.settle();
    login(&fixture);
    tamper(&fixture);
    assert_eq!(sizes(&login(&fixture)), [200, 200, 200], "the new index has settled");
}

#[test]
fn a_delivery_in_the_instant_of_the_scan_is_in_the_next_session() {
    let fixture = Fixture::new();
    for n in 1..30 {
        fixture.put(&format!("new/{n}.a"), "x");
        assert_eq!(login(&fixture).len(), n, "no time to settle");
    }
}

#[test]
fn a_message_that_was_replaced_under_its_name_is_counted_anew() {
    let (fixture, _) = indexed();
    tamper(&fixture);
    fixture.put("tmp/other", "another length\n");
    fixture.rename("tmp/other", "new/1.a");
    assert_eq!(sizes(&login(&fixture)), [16, 200, 200]);
}

#[test]
fn what_a_session_learned_is_known_to_the_next() {
    let fixture = Fixture::new();
    fixture.put("new/1.a,W=77", "x\n");
    fixture.settle();
    assert_eq!(sizes(&login(&fixture)), [77]);
    let mut store = fixture.open();
    store.learn(number(1), Octets { wire: 3, file: 2, modified: 9 });
    store.update(&Marks::default(), true).unwrap();
    assert_eq!(sizes(&login(&fixture)), [3]);
}

#[test]
fn an_index_that_is_cut_or_flipped_anywhere_is_done_without() {
    let (fixture, first) = indexed();
    let whole = fs::read(fixture.at(FILE)).unwrap();
    for len in 0..whole.len() {
        assert!(decode(&whole[..len]).is_none(), "cut at {len}");
    }
    for at in 0..whole.len() {
        let mut flipped = whole.clone();
        flipped[at] ^= 0x20;
        assert!(decode(&flipped).is_none(), "flipped at {at}");
    }
    fs::write(fixture.at(FILE), &whole[..whole.len() / 2]).unwrap();
    assert_eq!(login(&fixture), first);
    assert_eq!(fs::read(fixture.at(FILE)).unwrap(), whole, "and made anew");
}

#[test]
fn an_index_of_another_version_or_with_names_that_lead_elsewhere_is_done_without() {
    let (fixture, _) = indexed();
    let whole = fs::read(fixture.at(FILE)).unwrap();
    let mut other = whole.clone();
    other[MAGIC.len() - 1] = 2;
    sign(&mut other);
    assert!(decode(&other).is_none());
    for octet in [b'/', 0] {
        let mut hostile = whole.clone();
        let last = whole.len() - 5;
        hostile[last] = octet;
        sign(&mut hostile);
        assert!(decode(&hostile).is_none(), "{octet}");
    }
    assert!(decode(&whole).is_some());
}

#[test]
fn a_signed_index_that_lies_about_names_or_sizes_is_done_without() {
    let (fixture, _) = indexed();
    let whole = fs::read(fixture.at(FILE)).unwrap();
    let base_len = HEADER + NAME_AT + 5;
    for (at, octet) in [(base_len, 0), (base_len, 2), (HEADER + 8 + 7, 0xff), (whole.len() - 60, b'\n')] {
        let mut lie = whole.clone();
        lie[at] = octet;
        sign(&mut lie);
        let read = decode(&lie).map(Index::into_maildrop);
        let harmless = |maildrop: Maildrop| maildrop.numbers().all(|n| unique_id::is_valid(maildrop.unique_id(n)));
        assert!(read.is_none_or(|maildrop| at > base_len + 100 && harmless(maildrop)), "{octet} at {at}");
    }
}

#[test]
fn the_index_of_another_maildir_gives_nothing_but_unique_ids() {
    let (fixture, first) = indexed();
    tamper(&fixture);
    let other = Fixture::new();
    for name in ["cur/1.a:2,F", "cur/2.b:2,S", "cur/3.a space:2,"] {
        other.put(name, "as restored\n");
    }
    fs::copy(fixture.at(FILE), other.at(FILE)).unwrap();
    let (wire, ids): (Vec<_>, Vec<_>) = login(&other).into_iter().unzip();
    assert_eq!(wire, [13, 13, 13]);
    assert_eq!(ids, first.into_iter().map(|(_, id)| id).collect::<Vec<_>>());
}

#[test]
fn a_unique_id_that_was_promised_stays_while_the_message_does() {
    let fixture = Fixture::new();
    fixture.put("new/1.a", "first");
    login(&fixture);
    fixture.put("cur/1.a:2,S", "second, with the same base name");
    let both = login(&fixture);
    assert_eq!((both[0].1 == "1.a", both[1].1 == "1.a"), (both[0].0 == 7, both[1].0 == 7));
    let of_second = both.iter().find(|(wire, _)| *wire != 7).unwrap().1.clone();
    assert!(of_second != "1.a" && of_second.len() == 32);
    fixture.remove("new/1.a");
    assert_eq!(login(&fixture)[0].1, of_second, "not that of the message which is gone");
    fixture.rename("cur/1.a:2,S", "cur/1.a:2,FS");
    assert_eq!(login(&fixture)[0].1, of_second);
}

#[test]
fn an_index_that_can_not_be_read_or_written_keeps_nobody_out() {
    let (fixture, first) = indexed();
    fixture.remove(FILE);
    fixture.link("/dev/zero", FILE);
    assert_eq!(login(&fixture), first);
    assert!(fs::symlink_metadata(fixture.at(FILE)).unwrap().is_file(), "the link has gone, not what it leads to");
    fixture.remove(FILE);
    fixture.fifo(FILE);
    assert_eq!(login(&fixture), first);
    fixture.remove(FILE);
    fixture.directory(FILE);
    assert_eq!(login(&fixture), first);
    assert!(fixture.names("tmp").is_empty(), "what could not be renamed is removed");
    fs::remove_dir(fixture.at(FILE)).unwrap();
    fs::remove_dir(fixture.at("tmp")).unwrap();
    assert_eq!(login(&fixture), first);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]
    #[test]
    fn nothing_in_a_signed_index_makes_the_reader_panic(at in 0..HEADER + 3 * ENTRY + 40, octets: [u8; 4]) {
        thread_local!(static WHOLE: Vec<u8> = fs::read(indexed().0.at(FILE)).unwrap());
        let mut index = WHOLE.with(Clone::clone);
        for (offset, octet) in octets.into_iter().enumerate() {
            if at + offset < index.len() - 4 {
                index[at + offset] = octet;
            }
        }
        sign(&mut index);
        if let Some(index) = decode(&index) {
            let maildrop = index.into_maildrop();
            maildrop.numbers().for_each(|n| _ = (maildrop.name(n), maildrop.unique_id(n), maildrop.size(n)));
        }
    }
}
