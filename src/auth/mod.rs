//! Who may log in.
//!
//! Owns: the users that are in force, when their file is read anew, and what one attempt gives away (nothing).
//! Does not know: sockets, protocols, how many attempts somebody may make.

pub mod household;
pub mod password;
pub mod throttle;
pub mod users;

use std::fmt;
use std::fs;
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

use crate::secret::Secret;
use crate::user::UserName;
use password::Hash;
use users::{LineError, User, Users};

/// Checks names and passwords against the users file, which it reads again whenever it has changed.
///
/// [`authenticate`](Authenticator::authenticate) is slow by design and takes up to 128 MiB while it runs. Nothing in
/// here keeps two threads from doing so at once: **one thread at a time calls it**, and that bounds the memory.
pub struct Authenticator {
    path: PathBuf,
    /// Makes the choice of a decoy one that nobody outside can foresee.
    key: RandomState,
    /// What a password is compared with when there are no users.
    nobody: Hash,
    current: Mutex<Current>,
}

impl fmt::Debug for Authenticator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Authenticator({})", self.path.display())
    }
}

/// A user whose password was right.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// The name as the users file has it, in lower case.
    pub name: UserName,
    /// The home directory, where the users file names one. Absolute.
    pub home: Option<PathBuf>,
    /// The Maildir, where the users file names one. Absolute.
    pub mail: Option<PathBuf>,
}

impl User {
    fn account(&self) -> Account {
        Account { name: self.name.clone(), home: self.home.clone(), mail: self.mail.clone() }
    }
}

/// The one answer to every failed attempt: it does not tell whether the user exists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("wrong user or password")]
pub struct Denied;

/// Why a users file can't be used.
#[derive(Debug, thiserror::Error)]
pub enum UsersError {
    /// It can't be opened or read.
    #[error("cannot read the users file {}: {source}{}", path.display(), read_mend(path, source))]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// Some lines are wrong: all of them, in their order. `Display` shows the first twenty.
    #[error("the users file {} can't be used: {}", path.display(), shown(lines))]
    Lines {
        /// The file.
        path: PathBuf,
        /// Never empty.
        lines: Vec<LineError>,
    },
}

fn read_mend(path: &Path, source: &io::Error) -> String {
    match source.kind() {
        io::ErrorKind::NotFound => format!("; make it: poppet hash NAME > {}", path.display()),
        io::ErrorKind::PermissionDenied => {
            let uid = rustix::process::geteuid().as_raw();
            format!("; let the server's user, uid {uid}, read it, and the folders on the way")
        }
        _ => String::new(),
    }
}

impl Authenticator {
    /// Reads the users file at `path`. At the start a broken one is an error; later the users known before stay.
    pub fn open(path: &Path) -> Result<Authenticator, UsersError> {
        let sight = Sight::of(path);
        let users = Arc::new(read(path)?);
        let current = Current { users, settled: sight.is_settled(SystemTime::now()), sight, broken: false };
        let nobody = Hash::parse(NOBODY.as_bytes()).expect("a constant that a test parses");
        Ok(Authenticator { path: path.into(), key: RandomState::new(), nobody, current: Mutex::new(current) })
    }

    /// Whether `user` may log in with `password`. Blocks for as long as the hash costs.
    ///
    /// An unknown user takes as long as a known one: the password is compared with the entry of some other user,
    /// always the same for that name, and the result is thrown away.
    pub fn authenticate(&self, user: &UserName, password: &Secret) -> Result<Account, Denied> {
        let (users, notice) = self.users();
        match notice {
            Some(Notice::Read(count)) => log::info!("{}: read again, {count} users", self.path.display()),
            Some(Notice::Emptied(path)) => {
                log::error!(
                    "{} has no user any more; until that is mended, the users known before stay",
                    path.display()
                );
            }
            Some(Notice::Kept(error)) => log::error!("{error}; until that is mended, the users known before stay"),
            None => {}
        }
        let password = password.expose();
        // The same for all users, so it tells nothing about one.
        if password.is_empty() || password.len() > PASSWORD_MAX_OCTETS || password.contains(&0) {
            return Err(Denied);
        }
        let (hash, known) = self.entry(&users, user);
        let mut right = hash.verify(password) & known.is_some();
        if !right && std::str::from_utf8(password).is_err() {
            // Some mail programs send Latin-1 where the hash was made from UTF-8.
            right = hash.verify(latin1_as_utf8(password).as_bytes()) & known.is_some();
        }
        match known {
            Some(user) if right => Ok(user.account()),
            _ => Err(Denied),
        }
    }

    /// All accounts of the file, in its order.
    pub fn accounts(&self) -> Vec<Account> {
        self.users().0.iter().map(User::account).collect()
    }

    /// What the password of `name` is compared with, and the user if there is one.
    fn entry<'a>(&'a self, users: &'a Users, name: &UserName) -> (&'a Hash, Option<&'a User>) {
        let known = users.get(name);
        let decoy = users.pick(self.key.hash_one(name)).map_or(&self.nobody, |user| &user.hash);
        (known.map_or(decoy, |user| &user.hash), known)
    }

    /// The users in force, after a look at the file.
    fn users(&self) -> (Arc<Users>, Option<Notice>) {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let sight = Sight::of(&self.path);
        let changed = sight != current.sight;
        if !changed && current.settled {
            return (current.users.clone(), None);
        }
        let was_broken = current.broken;
        current.settled = sight.is_settled(SystemTime::now());
        current.sight = sight;
        let notice = match read(&self.path) {
            // Whoever empties a file is about to write it. At the start nobody is a warning of `check`.
            Ok(users) if users.is_empty() && !current.users.is_empty() => {
                current.broken = true;
                changed.then(|| Notice::Emptied(self.path.clone()))
            }
            Ok(users) => {
                current.broken = false;
                current.users = Arc::new(users);
                (changed || was_broken).then(|| Notice::Read(current.users.len()))
            }
            Err(error) => {
                // No open file to be had is no fault of the file: try again at the next login.
                current.settled &= matches!(error, UsersError::Lines { .. });
                current.broken = true;
                (changed || !was_broken).then_some(Notice::Kept(error))
            }
        };
        (current.users.clone(), notice)
    }
}

/// What is in force, and the file that it came from or that was refused after it.
struct Current {
    users: Arc<Users>,
    sight: Sight,
    /// Whether any later change of the file must show in its `sight`.
    settled: bool,
    broken: bool,
}

/// What there is to tell the log, once for each version of the file.
enum Notice {
    Read(usize),
    Emptied(PathBuf),
    Kept(UsersError),
}

/// What a look at the file shows without opening it.
#[derive(PartialEq, Eq)]
enum Sight {
    File { device: u64, inode: u64, size: u64, modified: (i64, i64), changed: (i64, i64) },
    Nothing(io::ErrorKind),
}

impl Sight {
    fn of(path: &Path) -> Sight {
        match fs::metadata(path) {
            Ok(file) => Sight::File {
                device: file.dev(),
                inode: file.ino(),
                size: file.size(),
                modified: (file.mtime(), file.mtime_nsec()),
                changed: (file.ctime(), file.ctime_nsec()),
            },
            Err(error) => Sight::Nothing(error.kind()),
        }
    }

    /// Times of files move in steps, of up to two seconds on some file systems: two edits within one step look alike.
    fn is_settled(&self, now: SystemTime) -> bool {
        let &Sight::File { changed: (seconds, _), .. } = self else { return true };
        let changed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds.try_into().unwrap_or(0));
        now.duration_since(changed).is_ok_and(|age| age > Duration::from_secs(3))
    }
}

fn read(path: &Path) -> Result<Users, UsersError> {
    let octets = || -> io::Result<Zeroizing<Vec<u8>>> {
        // A FIFO would never open.
        let size = match fs::metadata(path)? {
            file if file.is_file() => file.len(),
            _ => return Err(io::Error::other("it is not a regular file")),
        };
        // With room for all of it at once, no copy stays behind where the buffer grew.
        let mut octets = Zeroizing::new(Vec::with_capacity(usize::try_from(size).unwrap_or(0).min(1 << 24) + 1));
        fs::File::open(path)?.read_to_end(&mut octets)?;
        Ok(octets)
    };
    let octets = octets().map_err(|source| UsersError::Read { path: path.into(), source })?;
    Users::parse(&octets).map_err(|lines| UsersError::Lines { path: path.into(), lines })
}

fn shown(lines: &[LineError]) -> String {
    let mut text: Vec<String> = lines.iter().take(20).map(ToString::to_string).collect();
    if lines.len() > text.len() {
        text.push(format!("and {} more", lines.len() - text.len()));
    }
    text.join("; ")
}

fn latin1_as_utf8(octets: &[u8]) -> Zeroizing<String> {
    let mut text = Zeroizing::new(String::with_capacity(2 * octets.len()));
    text.extend(octets.iter().map(|&octet| char::from(octet)));
    text
}

/// Longer passwords match nothing: crypt(3) takes none either, and the time of SHA-crypt grows with the length.
pub const PASSWORD_MAX_OCTETS: usize = 511;

/// An Argon2id hash of random octets that nobody kept, at the cost of those that `poppet hash` makes.
const NOBODY: &str =
    "$argon2id$v=19$m=19456,t=2,p=1$YkNtL2RzcjNOQk5EOExzbg$EyimV0lFXJQAGSST2dz3ok3AZuq513eOJBJJT6bhK28";

#[cfg(test)]
mod tests;
