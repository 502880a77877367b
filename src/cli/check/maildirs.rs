//! The Maildir of each user: is it there, is it one, may the server use it.
//!
//! Owns: the sentences about Maildirs.
//! Does not know: messages; opens none.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustix::fs::Access;

use super::serving::{Serving, name_of};
use super::{Account, Finding};
use crate::config::Config;

/// Says what is the matter with the Maildir of `account`, or that it is well.
pub(super) fn look(account: &Account, config: &Config, serving: &Serving, findings: &mut Vec<Finding>) {
    let path = match &account.mail {
        Some(path) => Ok(path.clone()),
        None => config.mail.maildir.path(&account.name, account.home.as_deref()),
    };
    let path = match path {
        Ok(path) => path,
        Err(error) => return findings.push(Finding::error(format!("{}: {error}", config.place("mail", "maildir")))),
    };
    let before = findings.len();
    if exists(account, &path, serving, findings) {
        usable(account, &path, serving, findings);
    }
    if findings.len() == before {
        findings.push(Finding::ok(format!("{}: has the Maildir {}", account.name, path.display())));
    }
}

/// Whether there is enough of it to go on.
fn exists(account: &Account, path: &Path, serving: &Serving, findings: &mut Vec<Finding>) -> bool {
    let (user, shown) = (&account.name, path.display());
    let missing = |folder: &str| match std::fs::metadata(path.join(folder)) {
        Ok(metadata) if metadata.is_dir() => None,
        Ok(_) => Some(format!("{user}: {} is no directory; move it away", path.join(folder).display())),
        Err(error) if error.kind() == ErrorKind::NotFound => Some(format!(
            "{user}: there is no Maildir {shown}{}; make it: \
             install -d -o {} -m 700 {shown} {shown}/new {shown}/cur {shown}/tmp",
            if folder.is_empty() { String::new() } else { format!(" with a directory {folder} in it") },
            serving.name,
        )),
        Err(error) => Some(format!("{user}: cannot look at {}: {error}", path.join(folder).display())),
    };
    let error = ["", "new", "cur"].into_iter().find_map(missing).map(Finding::error);
    let enough = error.is_none();
    findings.extend(error.or_else(|| missing("tmp").map(Finding::warning)));
    enough
}

fn usable(account: &Account, path: &Path, serving: &Serving, findings: &mut Vec<Finding>) {
    let user = &account.name;
    let mut folders = vec![path.to_owned(), path.join("new"), path.join("cur"), path.join("tmp")];
    folders.retain(|folder| folder.exists());
    let first_refused = |need| folders.iter().find_map(|folder| serving.may(folder, need).err());
    if let Some(refused) = first_refused(Access::READ_OK | Access::EXEC_OK) {
        return findings.push(Finding::error(format!(
            "{user}: the server, as {}, may not read {} ({}); make it the owner: chown -R {0} {}",
            serving.name,
            refused.path.display(),
            refused.why,
            path.display(),
        )));
    }
    if let Some(refused) = first_refused(Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return findings.push(Finding::warning(format!(
            "{user}: the server, as {}, may not write to {} ({}), so mail can be read and not removed; \
             make it the owner: chown -R {0} {}",
            serving.name,
            refused.path.display(),
            refused.why,
            path.display(),
        )));
    }
    let Ok(owner) = std::fs::metadata(path).map(|metadata| metadata.uid()) else { return };
    if owner != serving.uid && serving.uid != 0 {
        let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
        findings.push(Finding::warning(format!(
            "{user}: {} belongs to {} and the server runs as {}: whoever delivers must leave the files readable \
             to it; one owner for all mail is simpler: chown -R {2} {0}",
            path.display(),
            name_of(owner, &passwd),
            serving.name,
        )));
    }
}
