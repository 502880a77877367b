//! What the server's process must be able to reach, for the kernel to close all else.
//!
//! Owns: which folders those are.
//! Does not know: how they are closed.

use std::path::{Path, PathBuf};

use crate::auth::Account;
use crate::config::Config;
use crate::confine::Reach;
use crate::net::tls::CertificateFiles;

/// The mail, the users file's folder, and the folders of `pairs`, for a server that watches these itself.
///
/// Mail is below what stands before the first placeholder of `[mail] maildir`. Where that is `{home}`, mail may be
/// anywhere, and the users of tomorrow are not known: then no folder is closed, and only the rest is.
/// What links of the accounts that are there lead to is reached as well.
pub(super) fn of(config: &Config, accounts: &[Account], pairs: &[CertificateFiles]) -> Reach {
    let mut read = vec![];
    let files = pairs.iter().flat_map(|pair| [&pair.certificate, &pair.private_key]);
    for folder in files.chain([&config.users.file]).flat_map(|file| folders(file)) {
        if !read.contains(&folder) {
            read.push(folder);
        }
    }
    let Some(root) = config.mail.maildir.root() else { return Reach { mail: vec!["/".into()], read } };
    let mut mail = vec![real(root)];
    for account in accounts {
        let of_template = || config.mail.maildir.path(&account.name, account.home.as_deref()).ok();
        let Some(path) = account.mail.clone().or_else(of_template) else { continue };
        let path = real(&path);
        if !mail.iter().any(|folder| path.starts_with(folder)) {
            mail.push(path);
        }
    }
    Reach { mail, read }
}

/// The folder that has `file`, and the one that has what it leads to.
fn folders(file: &Path) -> [PathBuf; 2] {
    let parent = |path: &Path| path.parent().filter(|it| !it.as_os_str().is_empty()).map_or(".".into(), Path::to_owned);
    [real(&parent(file)), parent(&real(file))]
}

/// Without links, where that can be told.
fn real(path: &Path) -> PathBuf {
    path.canonicalize().unwrap_or_else(|_| path.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(Path::new("/etc/poppet/poppet.toml"), text).unwrap()
    }

    fn account(name: &str, mail: Option<PathBuf>) -> Account {
        let name = crate::user::UserName::parse(name.as_bytes()).unwrap();
        Account { name, mail, home: None }
    }

    #[test]
    fn mail_is_below_the_literal_head_of_the_template_and_where_links_lead() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["mail/ada", "elsewhere/bob"] {
            std::fs::create_dir_all(at(name)).unwrap();
        }
        std::os::unix::fs::symlink(at("elsewhere/bob"), at("mail/bob")).unwrap();
        let config = config(&format!("[mail]\nmaildir = \"{}/{{user}}\"", at("mail").display()));
        let accounts = [account("ada", None), account("bob", None), account("eve", Some(at("of-eve")))];
        assert_eq!(of(&config, &accounts, &[]).mail, [at("mail"), at("elsewhere/bob"), at("of-eve")]);
    }

    #[test]
    fn mail_in_homes_may_be_anywhere() {
        assert_eq!(of(&config("[mail]\nmaildir = \"{home}/Maildir\""), &[], &[]).mail, [Path::new("/")]);
    }

    #[test]
    fn a_certificate_is_read_from_its_folder_and_from_where_its_link_leads() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().canonicalize().unwrap().join(name);
        for name in ["live", "archive"] {
            std::fs::create_dir(at(name)).unwrap();
        }
        std::fs::write(at("archive/c1.pem"), "").unwrap();
        std::os::unix::fs::symlink("../archive/c1.pem", at("live/c.pem")).unwrap();
        let pair = CertificateFiles { certificate: at("live/c.pem"), private_key: at("live/c.pem") };
        let read = of(&config(""), &[], &[pair]).read;
        assert!(read.contains(&at("live")) && read.contains(&at("archive")), "{read:?}");
        assert!(read.contains(&PathBuf::from("/etc/poppet")), "{read:?}");
    }
}
