//! A Maildir as a delivery agent and a mail program see it.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

/// One user's Maildir. Clones are the same one.
#[derive(Clone)]
pub struct Maildir {
    /// The folder with `new`, `cur` and `tmp`.
    pub path: PathBuf,
    delivered: Arc<AtomicU32>,
}

impl Maildir {
    /// Lays an empty one at `path`; it belongs to whom the folder above belongs to.
    pub fn lay(path: &Path) -> Maildir {
        let maildir = Maildir { path: path.to_owned(), delivered: Arc::default() };
        for folder in ["", "new", "cur", "tmp"] {
            let folder = path.join(folder);
            fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("make {}: {error}", folder.display()));
            maildir.hand_over(&folder);
        }
        maildir
    }

    /// Delivers to `new/` under a name of its own, later than all before; the name.
    pub fn deliver(&self, octets: &[u8]) -> String {
        let count = self.delivered.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}.M{count:06}P1.example", 1_700_000_000 + count);
        self.deliver_named("new", &name, octets);
        name
    }

    /// Delivers to `folder` under `name`.
    pub fn deliver_named(&self, folder: &str, name: impl AsRef<OsStr>, octets: &[u8]) -> PathBuf {
        static TEMPORARY: AtomicU32 = AtomicU32::new(0);
        let temporary = self.path.join(format!("tmp/{}", TEMPORARY.fetch_add(1, Ordering::Relaxed)));
        let file = self.path.join(folder).join(name.as_ref());
        fs::write(&temporary, octets).unwrap_or_else(|error| panic!("write {}: {error}", temporary.display()));
        self.hand_over(&temporary);
        fs::rename(&temporary, &file).unwrap_or_else(|error| panic!("deliver {}: {error}", file.display()));
        file
    }

    /// All that lies in `new/` and `cur/`, by `folder/name`. What is no file is there with no octets.
    pub fn files(&self) -> BTreeMap<String, Vec<u8>> {
        let mut found = BTreeMap::new();
        for folder in ["new", "cur"] {
            for entry in fs::read_dir(self.path.join(folder)).expect("read the Maildir") {
                let entry = entry.expect("an entry");
                let name = entry.file_name().as_bytes().escape_ascii().to_string();
                let is_file = entry.file_type().expect("a type").is_file();
                let octets = if is_file { fs::read(entry.path()).unwrap_or_default() } else { Vec::new() };
                found.insert(format!("{folder}/{name}"), octets);
            }
        }
        found
    }

    /// The keys of [`Maildir::files`].
    pub fn names(&self) -> Vec<String> {
        self.files().into_keys().collect()
    }

    /// Gives what a test made to the owner of the folder around it.
    pub fn hand_over(&self, file: &Path) {
        let above = fs::metadata(file.parent().expect("a folder above")).expect("the folder above");
        if rustix::process::geteuid().is_root() {
            chown(file, Some(above.uid()), Some(above.gid())).expect("hand over");
        }
    }

    /// Removes all of it.
    pub fn remove(&self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}
