//! Whom the server runs as, and what a process can no longer do.
//!
//! Owns: /etc/passwd and /etc/group as far as needed, the order in which rights are given up.
//! Does not know: who asks for it, or what the process does afterwards.

use std::io;

use rustix::fs::Mode;
use rustix::process::{self, DumpableBehavior, Resource, Rlimit};
use rustix::thread::{self, CapabilitySet, CapabilitySets, Gid, Uid};

/// A user of the system, as the two files know it. No other directory of users is asked.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Identity {
    /// As in /etc/passwd, or the number.
    pub name: String,
    /// Its number.
    pub uid: u32,
    /// The group of its line.
    pub gid: u32,
    /// The further groups that name it.
    pub groups: Vec<u32>,
}

/// Why the server can't run as somebody.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum NoIdentity {
    /// Nobody is called that.
    #[error(
        "there is no user {0:?} in /etc/passwd; make it (useradd --system --shell /usr/sbin/nologin {0}), \
         or name one that there is"
    )]
    Unknown(String),
    /// That would give up nothing.
    #[error("the server does not run as root; name a user that owns the mail and nothing else")]
    Root,
}

impl Identity {
    /// The user called `name`, or the one with that number.
    ///
    /// # Errors
    /// [`NoIdentity`]: nobody is called that, or it is root.
    pub fn find(name: &str) -> Result<Identity, NoIdentity> {
        let read = |path| std::fs::read_to_string(path).unwrap_or_default();
        Identity::among(name, &read("/etc/passwd"), &read("/etc/group"))
    }

    /// [`Identity::find`] in the texts of the two files.
    ///
    /// # Errors
    /// As there.
    pub fn among(name: &str, passwd: &str, group: &str) -> Result<Identity, NoIdentity> {
        let lines = || passwd.lines().map(|line| line.split(':').collect::<Vec<_>>());
        // A name of digits is a name first, as it is for chown(1).
        let line = lines().find(|it| it[0] == name).or_else(|| {
            let number = name.parse::<u32>().ok()?.to_string();
            lines().find(|it| it.get(2) == Some(&number.as_str()))
        });
        let number = |at: usize| line.as_ref().and_then(|line| line.get(at)?.parse::<u32>().ok());
        let unknown = || NoIdentity::Unknown(name.to_owned());
        let (uid, gid) = number(2).zip(number(3)).ok_or_else(unknown)?;
        let name = line.as_ref().map_or(name, |line| line[0]);
        if uid == 0 {
            return Err(NoIdentity::Root);
        }
        let mut groups = vec![];
        for further in group.lines().filter_map(|line| of_member(line, name)) {
            if further != gid && further != 0 && !groups.contains(&further) {
                groups.push(further);
            }
        }
        Ok(Identity { name: name.to_owned(), uid, gid, groups })
    }
}

impl Identity {
    /// `UID:GID:GROUP,GROUP`, for [`Identity::of_numbers`].
    pub fn numbers(&self) -> String {
        let groups: Vec<String> = self.groups.iter().map(u32::to_string).collect();
        format!("{}:{}:{}", self.uid, self.gid, groups.join(","))
    }

    /// Whoever has these numbers; `None` for root and for what has another form.
    pub fn of_numbers(text: &str) -> Option<Identity> {
        let (uid, rest) = text.split_once(':')?;
        let (gid, groups) = rest.split_once(':')?;
        let groups = groups.split(',').filter(|it| !it.is_empty()).map(|it| it.parse().ok()).collect::<Option<_>>()?;
        let uid: u32 = uid.parse().ok()?;
        (uid != 0).then_some(Identity { name: uid.to_string(), uid, gid: gid.parse().ok()?, groups })
    }
}

/// The group of `line`, if that names `member`.
fn of_member(line: &str, member: &str) -> Option<u32> {
    let fields: Vec<&str> = line.split(':').collect();
    let is_member = fields.get(3)?.split(',').any(|it| it == member);
    is_member.then(|| fields[2].parse().ok())?
}

/// A right that could not be given up, or could still be had afterwards.
#[derive(thiserror::Error, Debug)]
pub enum NotGivenUp {
    /// A call failed.
    #[error("cannot {0}: {1}; the server does not run with rights that it should not have")]
    Call(&'static str, io::Error),
    /// No numbers of a user.
    #[error("`poppet server` is started by `poppet serve` and by nobody else")]
    Nobody,
    /// Other threads would keep what this one gives up.
    #[error("cannot give up root's rights: {0} threads run already; please report this")]
    Threads(usize),
}

/// Does `act`; what that makes belongs to the group of `identity`. It takes no right to change owners.
///
/// # Errors
/// Whoever has no right to be of that group.
pub fn in_group_of<T>(identity: &Identity, act: impl FnOnce() -> T) -> io::Result<T> {
    let own = process::getegid();
    thread::set_thread_res_gid(own, Gid::from_raw(identity.gid), own)?;
    let done = act();
    thread::set_thread_res_gid(own, own, own)?;
    Ok(done)
}

/// From root to `identity`, for good: groups, user, all capabilities, the way back. Then [`close`], and `/` as the
/// working directory, so that no file system is held busy.
///
/// `open_files` is how many descriptors the process may have afterwards.
///
/// # Errors
/// [`NotGivenUp`]; then the process must end, for some of it is done.
pub fn give_up(identity: &Identity, open_files: u64) -> Result<(), NotGivenUp> {
    // Each of these calls is one thread's own.
    let threads = std::fs::read_dir("/proc/self/task").map_or(1, Iterator::count);
    if threads != 1 {
        return Err(NotGivenUp::Threads(threads));
    }
    let call = |what, done: rustix::io::Result<()>| done.map_err(|error| NotGivenUp::Call(what, error.into()));
    let limit = Rlimit { current: Some(open_files), maximum: Some(open_files) };
    if let Err(error) = process::setrlimit(Resource::Nofile, limit) {
        // A container may forbid it. The server lets in as many as it has descriptors for, and says so.
        log::debug!("cannot allow {open_files} file descriptors: {error}");
    }
    call("go to /", process::chdir("/"))?;
    for bit in 0..u64::BITS {
        // The kernel's last capability is the last one that it lets be dropped. A unit or a container may have kept
        // back the right to do so: with no_new_privs nothing could come out of that set anyway.
        match thread::remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << bit)) {
            Err(rustix::io::Errno::INVAL | rustix::io::Errno::PERM) => break,
            done => call("empty the bounding set of capabilities", done)?,
        }
    }
    let groups: Vec<Gid> = identity.groups.iter().map(|&group| Gid::from_raw(group)).collect();
    let (uid, gid) = (Uid::from_raw(identity.uid), Gid::from_raw(identity.gid));
    call("set the groups", thread::set_thread_groups(&groups))?;
    call("set the group", thread::set_thread_res_gid(gid, gid, gid))?;
    call("set the user", thread::set_thread_res_uid(uid, uid, uid))?;
    call("empty the ambient capabilities", thread::clear_ambient_capability_set())?;
    let none = CapabilitySet::empty();
    let none = CapabilitySets { effective: none, permitted: none, inheritable: none };
    call("give up all capabilities", thread::set_capabilities(None, none))?;
    call("forbid core dumps", process::set_dumpable_behavior(DumpableBehavior::NotDumpable))?;
    close()
}

/// What a server gives up whoever it is: rights by way of programs that it starts, core dumps, files that others can
/// read.
///
/// # Errors
/// [`NotGivenUp`].
pub fn close() -> Result<(), NotGivenUp> {
    let call = |what, done: rustix::io::Result<()>| done.map_err(|error| NotGivenUp::Call(what, error.into()));
    process::umask(Mode::RWXG | Mode::RWXO);
    // A core would have passwords in it.
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    call("forbid core dumps", process::setrlimit(Resource::Core, none))?;
    call("set no_new_privs", thread::set_no_new_privs(true))
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\ntoor:x:0:0::/root:/bin/sh\nbroken\n\
                          mail:x:8:12::/var/mail:/bin/false\n500:x:9:13::/:/bin/false\nnew:x:500:14::/:/bin/false\n";
    const GROUP: &str =
        "root:x:0:mail\nvmail:x:501:other,mail\nown:x:12:mail\nnear:x:502:mailer\nbroken\nssl:x:40:mail\n";

    fn found(name: &str) -> Result<Identity, NoIdentity> {
        Identity::among(name, PASSWD, GROUP)
    }

    #[test]
    fn a_user_has_the_group_of_its_line_and_those_that_name_it_but_never_roots() {
        let mail = Identity { name: "mail".to_owned(), uid: 8, gid: 12, groups: vec![501, 40] };
        assert_eq!(found("mail"), Ok(mail.clone()));
        assert_eq!(found("8"), Ok(mail));
    }

    #[test]
    fn a_name_of_digits_is_a_name_first() {
        assert_eq!(found("500").map(|it| it.uid), Ok(9));
        assert_eq!(found("9").map(|it| it.name), Ok("500".to_owned()));
    }

    #[test]
    fn numbers_name_the_same_user_and_never_root() {
        let mail = found("mail").unwrap();
        assert_eq!(mail.numbers(), "8:12:501,40");
        assert_eq!(Identity::of_numbers("8:12:501,40"), Some(Identity { name: "8".to_owned(), ..mail }));
        assert_eq!(Identity::of_numbers("8:12:").map(|it| it.groups), Some(vec![]));
        for bad in ["0:12:", "8:12", "8:x:", "8:12:a", "-8:12:", ":12:", "poppet:1:"] {
            assert_eq!(Identity::of_numbers(bad), None, "{bad}");
        }
    }

    #[test]
    fn nobody_and_root_are_refused() {
        for name in ["poppet", "broken", "", "10", "-1", "00"] {
            assert_eq!(
                found(name),
                Err(if name == "00" { NoIdentity::Root } else { NoIdentity::Unknown(name.into()) })
            );
        }
        for name in ["root", "toor", "0"] {
            assert_eq!(found(name), Err(NoIdentity::Root), "{name}");
        }
    }
}
