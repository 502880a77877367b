//! `maildirsize`, the running total of a Maildir++ quota, as far as this server has a part in it.
//!
//! Owns: telling it of what was removed; removing it when it has grown too long, so that it is made anew.
//! Does not know: quotas. Nothing here is ever an error: whoever keeps a quota can count again.

use std::os::fd::OwnedFd;

use rustix::fs::{AtFlags, Mode, OFlags};
use rustix::io::{Errno, retry_on_intr};

use super::root::{Root, kind};

/// The file, open, and what was removed so far.
pub(super) struct MaildirSize {
    file: OwnedFd,
    octets: u64,
    messages: u64,
}

impl MaildirSize {
    /// `None` where there is none, or nothing that can be written to.
    pub(super) fn open(root: &Root) -> Option<MaildirSize> {
        let flags = OFlags::WRONLY | OFlags::APPEND | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        match retry_on_intr(|| rustix::fs::openat(root.directory(), NAME, flags, Mode::empty())) {
            Ok(file) => Some(MaildirSize { file, octets: 0, messages: 0 }),
            Err(Errno::NOENT) => None,
            Err(errno) => {
                complain(root, "open", errno);
                None
            }
        }
    }

    /// One message of so many octets is gone.
    pub(super) fn removed(&mut self, octets: u64) {
        self.octets = self.octets.saturating_add(octets);
        self.messages += 1;
    }

    /// Appends one line, in one write.
    pub(super) fn append(self, root: &Root) {
        if self.messages == 0 {
            return;
        }
        if let Err(errno) = self.try_append(root) {
            complain(root, "append to", errno);
        }
    }

    fn try_append(&self, root: &Root) -> Result<(), Errno> {
        let line = format!("-{} -{}\n", self.octets, self.messages);
        let stat = rustix::fs::fstat(&self.file)?;
        if !kind(&stat).is_file() {
            return Err(Errno::INVAL);
        }
        if stat.st_size as u64 + line.len() as u64 > LONGEST {
            return rustix::fs::unlinkat(root.directory(), NAME, AtFlags::empty());
        }
        retry_on_intr(|| rustix::io::write(&self.file, line.as_bytes())).map(|_| ())
    }
}

fn complain(root: &Root, action: &str, errno: Errno) {
    log::warn!("cannot {action} {:?}: {errno}", root.path().join(NAME));
}

const NAME: &str = "maildirsize";

/// Maildir++ has a file of more than 5,120 octets counted anew.
const LONGEST: u64 = 5120;

#[cfg(test)]
mod tests {
    use std::fs;

    use rustix::fs::{Mode, OFlags};

    use crate::maildir::fixture::{Fixture, deleted};

    fn delete_first_two(fixture: &Fixture) {
        let store = fixture.open();
        let marks = deleted(&store, [1, 2]);
        store.update(&marks, true).unwrap();
    }

    fn three_messages() -> Fixture {
        let fixture = Fixture::new();
        fixture.put("new/1.a,S=1000", "x");
        fixture.put("cur/2.b:2,", "12345");
        fixture.put("cur/3.c:2,", "x");
        fixture
    }

    #[test]
    fn one_line_tells_of_all_that_was_removed() {
        let fixture = three_messages();
        fixture.put("maildirsize", "0S,0C\n1006 3\n");
        delete_first_two(&fixture);
        assert_eq!(fs::read_to_string(fixture.at("maildirsize")).unwrap(), "0S,0C\n1006 3\n-1005 -2\n");
    }

    #[test]
    fn a_size_that_was_hearsay_is_looked_up_before_the_file_is_gone() {
        let fixture = Fixture::new();
        fixture.put("new/1.a,W=9", "1234567");
        fixture.put("new/2.b,W=9", "12");
        fixture.put("maildirsize", "0S,0C\n");
        let store = fixture.open();
        fixture.rename("new/1.a,W=9", "cur/1.a,W=9:2,S");
        let marks = deleted(&store, [1, 2]);
        store.update(&marks, true).unwrap();
        assert_eq!(fs::read_to_string(fixture.at("maildirsize")).unwrap(), "0S,0C\n-9 -2\n");
    }

    #[test]
    fn it_is_neither_made_nor_told_of_what_another_removed() {
        let fixture = three_messages();
        delete_first_two(&fixture);
        assert!(!fixture.at("maildirsize").exists());
        fixture.put("maildirsize", "0S,0C\n");
        let store = fixture.open();
        fixture.remove("cur/3.c:2,");
        let marks = deleted(&store, [1]);
        assert_eq!(store.update(&marks, true).unwrap().removed, 1);
        assert_eq!(fs::read_to_string(fixture.at("maildirsize")).unwrap(), "0S,0C\n");
    }

    #[test]
    fn one_that_would_grow_past_5120_octets_is_removed() {
        for (before, stays) in [(5120 - 9, true), (5120 - 8, false)] {
            let fixture = three_messages();
            fixture.put("maildirsize", &"x".repeat(before));
            delete_first_two(&fixture);
            assert_eq!(fixture.at("maildirsize").exists(), stays);
        }
    }

    #[test]
    fn one_that_is_a_link_or_a_fifo_is_left_alone() {
        let fixture = three_messages();
        fixture.put("victim", "precious");
        fixture.link("victim", "maildirsize");
        delete_first_two(&fixture);
        assert_eq!(fs::read_to_string(fixture.at("victim")).unwrap(), "precious");
        let fixture = three_messages();
        fixture.fifo("maildirsize");
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let reader = rustix::fs::open(fixture.at("maildirsize"), flags, Mode::empty()).unwrap();
        delete_first_two(&fixture);
        assert_eq!(rustix::io::read(&reader, &mut [0; 9]), Ok(0));
        drop(reader);
        // Without a reader, it must not be waited for.
        fixture.put("new/4.d", "x");
        delete_first_two(&fixture);
        assert!(fixture.names("cur").is_empty() && fixture.names("new").is_empty());
    }
}
