//! Where messages are that are not, or not only, where they were at login.
//!
//! Owns: finding a message again by its base name after another program renamed it.
//! Does not know: what is done with it then.

use super::FileError;
use super::root::{Pass, Root};
use crate::maildrop::{Folder, Maildrop, MessageNumber};

/// Names under which messages were seen, by message-number. Empty in most sessions.
#[derive(Default, Debug)]
pub(super) struct Places {
    /// In the order of message-numbers.
    places: Vec<Place>,
    arena: Vec<u8>,
    /// The pass that found them; `None` where they come from login.
    pass: Option<Pass>,
}

#[derive(Clone, Copy, Debug)]
struct Place {
    number: u32,
    name_at: usize,
    name_len: u8,
    folder: Folder,
    same_inode: bool,
}

/// A name under which a message was seen.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Found<'a> {
    pub(super) folder: Folder,
    pub(super) name: &'a [u8],
    /// It is the very file of login, not one that replaced it.
    pub(super) same_inode: bool,
}

impl Places {
    /// Whether no message has another name.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// Adds a name; message-numbers must not fall.
    pub(super) fn add(&mut self, number: u32, folder: Folder, name: &[u8], same_inode: bool) {
        let name_at = self.arena.len();
        self.places.push(Place { number, name_at, name_len: name.len() as u8, folder, same_inode });
        self.arena.extend_from_slice(name);
    }

    /// One pass over both directories. Keeps, of the names whose base name a message has, those that `wanted`
    /// says yes to; it is told also whether the name is the one of login.
    pub(super) fn locate(
        root: &Root,
        maildrop: &Maildrop,
        wanted: impl Fn(MessageNumber, bool) -> bool,
    ) -> Result<Places, FileError> {
        let by_base = by_base(maildrop);
        let mut found = Places::default();
        let pass = root.read_folders(|folder, name, inode| {
            let base = super::name::base(name);
            let from = by_base.partition_point(|&message| maildrop.base(message) < base);
            let namesakes = by_base[from..].iter().take_while(|&&message| maildrop.base(message) == base).count();
            for &message in &by_base[from..from + namesakes] {
                let same_inode = maildrop.inode(message) == inode;
                let at_login = folder == maildrop.folder(message) && name == maildrop.name(message);
                // Of two messages with one base name, only the inode tells which it is.
                if (same_inode || namesakes == 1) && wanted(message, at_login) {
                    found.add(message.get(), folder, name, same_inode);
                }
            }
        })?;
        found.pass = Some(pass);
        found.places.sort_by_key(|place| (place.number, !place.same_inode));
        Ok(found)
    }

    /// The names of a message. A file that replaced it counts only where the message itself was not seen.
    pub(super) fn of(&self, message: MessageNumber) -> impl Iterator<Item = Found<'_>> {
        let from = self.places.partition_point(|place| place.number < message.get());
        let same_inode = self.places.get(from).is_some_and(|place| place.same_inode);
        self.places[from..]
            .iter()
            .take_while(move |place| place.number == message.get() && place.same_inode == same_inode)
            .map(|place| Found {
                folder: place.folder,
                name: &self.arena[place.name_at..][..place.name_len.into()],
                same_inode: place.same_inode,
            })
    }

    /// Whether a name that is not here is nowhere: the pass saw everything, and nothing changed since.
    pub(super) fn are_all(&self, root: &Root) -> bool {
        self.pass.as_ref().is_some_and(|pass| pass.quiet && root.is_unchanged_since(pass))
    }

    /// Whether the pass itself saw everything.
    pub(super) fn saw_all(&self) -> bool {
        self.pass.as_ref().is_none_or(|pass| pass.quiet)
    }
}

fn by_base(maildrop: &Maildrop) -> Vec<MessageNumber> {
    let mut messages: Vec<_> = maildrop.numbers().collect();
    messages.sort_unstable_by_key(|&message| maildrop.base(message));
    messages
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::maildir::fixture::{Fixture, number};

    fn found(places: &Places, n: u32) -> Vec<(&'static str, String)> {
        let text = |name: &[u8]| String::from_utf8(name.to_vec()).unwrap();
        places.of(number(n)).map(|found| (found.folder.name(), text(found.name))).collect()
    }

    fn elsewhere(fixture: &Fixture, maildrop: &Maildrop) -> Places {
        Places::locate(&Root::open(fixture.path()).unwrap(), maildrop, |_, at_login| !at_login).unwrap()
    }

    #[test]
    fn only_what_moved_takes_room() {
        let fixture = Fixture::new();
        fixture.put_all(["new/1.a", "new/2.b", "cur/3.c:2,"], "x");
        let store = fixture.open();
        fixture.rename("new/2.b", "cur/2.b:2,S");
        fixture.put("new/4.later", "x");
        let places = elsewhere(&fixture, store.maildrop());
        assert_eq!(places.places.len(), 1);
        assert_eq!(found(&places, 2), [("cur", "2.b:2,S".to_owned())]);
        assert!(found(&places, 1).is_empty() && found(&places, 3).is_empty());
    }

    #[test]
    fn a_pass_that_was_not_quiet_proves_nothing() {
        let fixture = Fixture::new();
        fixture.put("new/1.a", "x");
        let store = fixture.open();
        fixture.settle();
        let root = Root::open(fixture.path()).unwrap();
        let mut places = elsewhere(&fixture, store.maildrop());
        assert!(places.saw_all() && places.are_all(&root));
        places.pass.as_mut().unwrap().quiet = false;
        assert!(!places.saw_all() && !places.are_all(&root));
        assert!(!Places::default().are_all(&root), "nor does no pass");
    }

    #[test]
    fn a_namesake_of_another_inode_counts_only_where_the_message_itself_is_gone() {
        let fixture = Fixture::new();
        fixture.put("new/1.a", "x");
        let store = fixture.open();
        fixture.put("cur/1.a:2,S", "rewritten");
        fixture.rename("new/1.a", "cur/1.a:2,F");
        assert_eq!(found(&elsewhere(&fixture, store.maildrop()), 1), [("cur", "1.a:2,F".to_owned())]);
        fixture.remove("cur/1.a:2,F");
        assert_eq!(found(&elsewhere(&fixture, store.maildrop()), 1), [("cur", "1.a:2,S".to_owned())]);
    }

    #[test]
    fn of_two_messages_with_one_base_name_the_inode_tells_which_it_is() {
        let fixture = Fixture::new();
        fixture.put("new/1.a", "x");
        fixture.put("cur/1.a:2,", "y");
        let store = fixture.open();
        let moved = store.maildrop().numbers().find(|&n| store.maildrop().name(n) == b"1.a").unwrap();
        fixture.rename("new/1.a", "cur/1.a:2,F");
        fixture.remove("cur/1.a:2,");
        let places = elsewhere(&fixture, store.maildrop());
        assert_eq!(places.places.len(), 1);
        assert_eq!(found(&places, moved.get()), [("cur", "1.a:2,F".to_owned())]);
    }
}
