//! The Maildir of each user: is it there, is it one, may the server use it.
//!
//! Owns: the sentences about Maildirs.
//! Does not know: messages; opens none.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use rustix::fs::Access;

use super::serving::{Refused, Serving, name_of};
use super::{Account, Finding};
use crate::config::{Config, TemplateError};
use crate::user::UserName;

/// Says what is the matter with the Maildir of `account`, or that it is well.
pub(super) fn look(account: &Account, config: &Config, serving: &Serving, findings: &mut Vec<Finding>) {
    let path = match path_of(account, config) {
        Ok(path) => path,
        Err(error) => return findings.push(Finding::error(format!("{}: {error}", config.place("mail", "maildir")))),
    };
    let mut wrong = Vec::new();
    if exists(account, &path, serving, &mut wrong) {
        usable(account, &path, serving, &mut wrong);
    }
    if wrong.is_empty() {
        findings.push(Finding::ok(format!("{}: has the Maildir {}", account.name, path.display())));
    }
    let place = match account.mail {
        Some(_) => config.place("users", "file"),
        None => config.place("mail", "maildir"),
    };
    findings.extend(wrong.into_iter().map(|it| Finding { text: format!("{place}: {}", it.text), ..it }));
}

/// Warns of each Maildir that several accounts have: they would read and remove each other's mail.
pub(super) fn shared(accounts: &[Account], config: &Config, findings: &mut Vec<Finding>) {
    let mut owners: BTreeMap<(u64, u64), (PathBuf, Vec<&Account>)> = BTreeMap::new();
    for account in accounts {
        let Ok(path) = path_of(account, config) else { continue };
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        let (_, sharing) = owners.entry((metadata.dev(), metadata.ino())).or_insert((path, Vec::new()));
        sharing.push(account);
    }
    for (path, sharing) in owners.values() {
        let names: Vec<&str> = sharing.iter().map(|account| account.name.as_str()).collect();
        let Some((last, first)) = names.split_last().filter(|(_, first)| !first.is_empty()) else { continue };
        let in_users_file = sharing.iter().any(|account| account.mail.is_some());
        findings.push(Finding::warning(format!(
            "{} and {last} share the Maildir {}; {}",
            first.join(", "),
            path.display(),
            if in_users_file { "name another for each in the users file" } else { "put {user} into [mail] maildir" },
        )));
    }
}

fn path_of(account: &Account, config: &Config) -> Result<PathBuf, TemplateError> {
    match &account.mail {
        Some(path) => Ok(path.clone()),
        None => config.mail.maildir.path(&account.name, account.home.as_deref()),
    }
}

/// Whether there is enough of it to go on. What cannot be looked at may be there: [`usable`] says what closes it.
fn exists(account: &Account, path: &Path, serving: &Serving, findings: &mut Vec<Finding>) -> bool {
    let mut missing = Vec::new();
    for folder in ["", "new", "cur", "tmp"] {
        let at = path.join(folder);
        let text = match std::fs::metadata(&at) {
            Ok(metadata) if metadata.is_dir() => continue,
            Ok(_) => "is no directory; move it away".to_owned(),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                missing.push(folder);
                continue;
            }
            Err(error) if error.kind() == ErrorKind::PermissionDenied => continue,
            Err(error) => format!("cannot be looked at: {error}"),
        };
        findings.push(Finding::error(format!("{}: {} {text}", account.name, at.display())));
        return false;
    }
    let enough = missing.iter().all(|&folder| folder == "tmp");
    if !missing.is_empty() {
        let text = how_to_make(&account.name, path, &missing, &serving.name);
        findings.push(if enough { Finding::warning(text) } else { Finding::error(text) });
    }
    enough
}

/// `missing` are folders of the Maildir; an empty one is itself.
fn how_to_make(user: &UserName, path: &Path, missing: &[&str], server: &str) -> String {
    let shown = path.display();
    let lacks = |what: &str| missing.iter().map(|folder| format!("{what}{folder}")).collect::<Vec<_>>();
    if missing[0].is_empty() {
        return format!(
            "{user}: there is no Maildir {shown}; make it: \
             install -d -o {server} -m 700 {shown} {shown}/new {shown}/cur {shown}/tmp"
        );
    }
    format!(
        "{user}: there is no Maildir {shown} with {} in it; make what lacks: install -d -o {server} -m 700 {}",
        lacks("a directory ").join(" and "),
        lacks(&format!("{shown}/")).join(" "),
    )
}

fn usable(account: &Account, path: &Path, serving: &Serving, findings: &mut Vec<Finding>) {
    let user = &account.name;
    let mut folders = vec![path.to_owned(), path.join("new"), path.join("cur"), path.join("tmp")];
    // One that can't be seen stays: it is there, behind something closed.
    folders.retain(|folder| folder.try_exists().unwrap_or(true));
    let first_refused = |need| folders.iter().find_map(|folder| serving.may(folder, need).err());
    if let Some(refused) = first_refused(Access::READ_OK | Access::EXEC_OK) {
        return findings.push(Finding::error(format!(
            "{user}: the server, as {}, may not read {} ({}); {}",
            serving.name,
            refused.path.display(),
            refused.why,
            mend(&refused, path, serving),
        )));
    }
    if let Some(refused) = first_refused(Access::READ_OK | Access::WRITE_OK | Access::EXEC_OK) {
        return findings.push(Finding::warning(format!(
            "{user}: the server, as {}, may not write to {} ({}), so mail can be read and not removed; {}",
            serving.name,
            refused.path.display(),
            refused.why,
            mend(&refused, path, serving),
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

/// What to do about a refusal: in the Maildir its owner or its mode is wrong, above it a way is closed.
fn mend(refused: &Refused, path: &Path, serving: &Serving) -> String {
    let at = refused.path.display();
    if !refused.path.starts_with(path) {
        format!("let it through: chmod a+x {at}")
    } else if std::fs::metadata(&refused.path).is_ok_and(|it| it.uid() == serving.uid) {
        format!("open it to its owner: chmod -R u+rwX {}", path.display())
    } else {
        format!("make it the owner: chown -R {} {}", serving.name, path.display())
    }
}
