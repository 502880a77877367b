//! The socket at which `poppet status` asks.
//!
//! Owns: how it comes to be at its path: whose it is, what is done about one that is there already.
//! Does not know: what is told there.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io::{self, ErrorKind};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt as _, FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType};

/// Why there is no socket. Nothing but `poppet status` needs it.
#[derive(Debug, thiserror::Error)]
pub enum NoSocket {
    /// Somebody answers there.
    #[error("another server has {0:?}; give each a path of its own in [process] status, or none: \"\"")]
    Taken(PathBuf),
    /// A file that is none of ours.
    #[error("{0:?} is there and is no socket; name another path in [process] status, or none: \"\"")]
    Foreign(PathBuf),
    /// A call.
    #[error("cannot {action} {path:?}: {source}")]
    Call {
        /// What was tried, as `make`.
        action: &'static str,
        /// On what.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// Who but the owner may open the socket; who may ask is another question, and asked there.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    /// Nobody.
    Owner,
    /// The group that the process has: the keeper makes the socket, and its server's user is to get in.
    Group,
}

/// Makes the socket, and its folder where only that is missing. One that is left over is replaced.
///
/// # Errors
/// [`NoSocket`].
pub fn open(path: &Path, access: Access) -> Result<UnixListener, NoSocket> {
    let call = |action, path: &Path| {
        let path = path.to_owned();
        move |source| NoSocket::Call { action, path, source }
    };
    let folder = path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !folder.exists() {
        DirBuilder::new().mode(0o755).create(folder).map_err(call("make", folder))?;
        // The user must get through, whatever the umask says.
        fs::set_permissions(folder, Permissions::from_mode(0o755)).map_err(call("open", folder))?;
    }
    // Between a look at what is there and our own socket nobody else may do the same.
    let lock = File::open(folder).map_err(call("open", folder))?;
    let locked = rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive);
    locked.map_err(io::Error::from).map_err(call("lock", folder))?;
    clear(path)?;
    listen(path, access).map_err(call("make", path))
}

fn listen(path: &Path, access: Access) -> io::Result<UnixListener> {
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::CLOEXEC, None)?;
    rustix::net::bind(&socket, &SocketAddrUnix::new(path)?)?;
    // Before it listens: till then nobody gets in.
    let mode = if access == Access::Group { 0o660 } else { 0o600 };
    fs::set_permissions(path, Permissions::from_mode(mode))?;
    rustix::net::listen(&socket, BACKLOG)?;
    Ok(OwnedFd::into(socket))
}

/// Takes away the socket of a server that has gone.
fn clear(path: &Path) -> Result<(), NoSocket> {
    let call = |action| move |source| NoSocket::Call { action, path: path.to_owned(), source };
    match fs::symlink_metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(call("look at")(error)),
        Ok(found) if !found.file_type().is_socket() => return Err(NoSocket::Foreign(path.to_owned())),
        Ok(_) => {}
    }
    match knock(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path).map_err(call("remove")),
        // Its row of those who wait is full: somebody is there.
        Err(error) if error.kind() != ErrorKind::WouldBlock => Err(call("ask at")(error)),
        _ => Err(NoSocket::Taken(path.to_owned())),
    }
}

fn knock(path: &Path) -> io::Result<()> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
    Ok(rustix::net::connect(&socket, &SocketAddrUnix::new(path)?)?)
}

/// Askers that may wait.
const BACKLOG: i32 = 16;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::MetadataExt as _;
    use std::os::unix::net::UnixStream;

    use super::*;

    #[test]
    fn a_socket_that_is_left_over_is_replaced_and_one_that_lives_is_not() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made/status");
        let first = open(&path, Access::Owner).unwrap();
        let inode = || fs::metadata(&path).unwrap().ino();
        let of_first = inode();
        assert!(matches!(open(&path, Access::Owner), Err(NoSocket::Taken(taken)) if taken == path));
        assert_eq!(inode(), of_first);
        UnixStream::connect(&path).unwrap();
        drop(first);
        assert!(UnixStream::connect(&path).is_err());
        let _second = open(&path, Access::Owner).unwrap();
        UnixStream::connect(&path).unwrap();
    }

    #[test]
    fn only_the_owner_or_the_group_can_open_it() {
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| fs::metadata(folder.path().join(name)).unwrap().mode() & 0o7777;
        let _owner = open(&folder.path().join("owner"), Access::Owner).unwrap();
        let _group = open(&folder.path().join("group"), Access::Group).unwrap();
        assert_eq!((mode("owner"), mode("group")), (0o600, 0o660));
    }

    #[test]
    fn a_file_that_is_no_socket_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("mine");
        fs::write(&path, "precious").unwrap();
        assert!(matches!(open(&path, Access::Owner), Err(NoSocket::Foreign(_))));
        assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    }

    #[test]
    fn a_folder_is_made_and_its_parents_are_not() {
        let folder = tempfile::tempdir().unwrap();
        let told = open(&folder.path().join("not/made/status"), Access::Owner).unwrap_err();
        assert!(told.to_string().starts_with("cannot make "), "{told}");
        let long = folder.path().join("x".repeat(120));
        assert!(open(&long, Access::Owner).is_err());
    }
}
