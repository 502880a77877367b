//! What `poppet check` says of set-ups that are right, and of each that is wrong.

use std::os::unix::fs::PermissionsExt as _;

use tempfile::TempDir;

use super::*;
use std::path::PathBuf;

use crate::privileges::Identity;
use crate::user::UserName;

/// A folder with a configuration, a users file, a certificate and Maildirs.
struct House(TempDir);

impl House {
    fn new() -> House {
        let house = House(tempfile::tempdir().unwrap());
        house.configure("");
        house.write("users", "", 0o600);
        house.certificate("localhost", 2099);
        house
    }

    fn configure(&self, more: &str) {
        let text = format!(
            "[listen]\npop3 = [\"127.0.0.1:0\"]\npop3s = [\"127.0.0.1:0\"]\n[tls]\ncertificate = \"c.pem\"\n\
             private-key = \"k.pem\"\n[users]\nfile = \"users\"\n[mail]\nmaildir = {:?}\n{more}",
            self.path("mail/{user}")
        );
        self.write("poppet.toml", &text, 0o600);
    }

    fn certificate(&self, name: &str, last_year: i32) {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        params.not_after = rcgen::date_time_ymd(last_year, 12, 31);
        let key = rcgen::KeyPair::generate().unwrap();
        self.write("c.pem", &params.self_signed(&key).unwrap().pem(), 0o600);
        self.write("k.pem", &key.serialize_pem(), 0o600);
    }

    fn maildir(&self, user: &str) {
        for folder in ["new", "cur", "tmp"] {
            std::fs::create_dir_all(self.path(&format!("mail/{user}/{folder}"))).unwrap();
        }
    }

    fn write(&self, name: &str, text: &str, mode: u32) {
        std::fs::write(self.path(name), text).unwrap();
        self.chmod(name, mode);
    }

    fn chmod(&self, name: &str, mode: u32) {
        std::fs::set_permissions(self.path(name), std::fs::Permissions::from_mode(mode)).unwrap();
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn examine(&self, users: &[&str]) -> Vec<Finding> {
        let users = |path: &Path| {
            assert_eq!(path, self.path("users"));
            Ok(users.iter().map(|name| account(name)).collect())
        };
        examine(&self.path("poppet.toml"), users, |_| Ok(Serving::me()))
    }

    /// What is wrong, with the users file read as `check` does.
    fn errors(&self) -> Vec<String> {
        let findings = examine(&self.path("poppet.toml"), users_of, |_| Ok(Serving::me()));
        findings.into_iter().filter(|it| it.verdict == Verdict::Error).map(|it| it.text).collect()
    }

    /// The one finding with `verdict`, in words.
    fn only(&self, verdict: Verdict, users: &[&str]) -> String {
        let findings = self.examine(users);
        let some: Vec<_> = findings.iter().filter(|finding| finding.verdict == verdict).collect();
        assert_eq!(some.len(), 1, "{findings:#?}");
        some[0].text.clone()
    }
}

fn account(name: &str) -> Account {
    Account { name: UserName::parse(name.as_bytes()).unwrap(), home: None, mail: None }
}

#[test]
fn a_house_in_order_is_all_ok() {
    let house = House::new();
    house.maildir("ada");
    let findings = house.examine(&["ada"]);
    assert_eq!(sum(&findings), "All is well.", "{findings:#?}");
    let words: Vec<String> = findings.iter().map(Finding::to_string).collect();
    assert_eq!(words.len(), 6, "{words:#?}");
    assert!(words.iter().all(|word| word.starts_with("ok: ")));
    assert!(
        words[3].contains("c.pem belongs to its private key (ECDSA P-256), is for localhost, and has "),
        "{words:?}"
    );
    assert_eq!(words[5], format!("ok: ada: has the Maildir {}", house.path("mail/ada").display()));
}

#[test]
fn problems_of_the_configuration_are_told_one_by_one() {
    let house = House::new();
    house.configure("[limits]\nconnections = 0\nidle-time = 3\n");
    let findings =
        examine(&house.path("poppet.toml"), |_| unreachable!(), |_| unreachable!("nothing else is looked at"));
    assert_eq!(findings.len(), 2, "{findings:#?}");
    assert!(findings.iter().all(|finding| finding.verdict == Verdict::Error));
    assert!(
        findings[0].text.starts_with(&format!("{}:12: [limits] connections: ", house.path("poppet.toml").display()))
    );
    assert_eq!(sum(&findings), "2 errors to mend, 0 warnings.");
}

#[test]
fn a_port_in_use_is_named_and_is_no_error() {
    let house = House::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let finding = port("FILE:2: [listen] pop3", address, TcpListener::bind(address).map(drop));
    assert_eq!(finding.verdict, Verdict::Warning);
    assert!(finding.text.starts_with(&format!("FILE:2: [listen] pop3: {address} is in use")), "{finding}");
    house.maildir("ada");
    house.write(
        "poppet.toml",
        &format!(
            "[listen]\npop3 = [\"{address}\"]\n[mail]\nmaildir = \"{}/{{user}}\"\n[users]\nfile = \"users\"",
            house.path("mail").display()
        ),
        0o600,
    );
    let findings = house.examine(&["ada"]);
    assert_eq!(count(&findings, Verdict::Error), 0, "{findings:#?}");
    assert!(findings[1].text.contains(":2: [listen] pop3: "), "{findings:#?}");
    assert!(findings[2].text.starts_with("there is no section [tls]"), "{findings:#?}");
}

#[test]
fn a_port_that_cannot_be_had_explains_itself() {
    use rustix::io::Errno;
    let address = "192.0.2.1:110".parse().unwrap();
    for (errno, part) in [
        (Errno::ACCESS, "ports below 1024 need the capability CAP_NET_BIND_SERVICE"),
        (Errno::ADDRNOTAVAIL, "is no address of this machine; write one that `ip address` shows, or \"0.0.0.0:110\""),
        (Errno::AFNOSUPPORT, "needs IPv6, which this machine lacks; write \"0.0.0.0:110\""),
        (Errno::NOBUFS, "can't be taken"),
    ] {
        let finding = port("FILE", address, Err(errno.into()));
        assert_eq!(finding.verdict, Verdict::Error);
        assert!(finding.text.contains(part), "{finding}");
    }
    let elsewhere: SocketAddr = "192.0.2.1:0".parse().unwrap();
    assert_eq!(port("FILE", elsewhere, TcpListener::bind(elsewhere).map(drop)).verdict, Verdict::Error);
}

#[test]
fn a_broken_pair_is_told_and_the_rest_goes_on() {
    let house = House::new();
    house.maildir("ada");
    house.write("k.pem", "", 0o600);
    let told = house.only(Verdict::Error, &["ada"]);
    assert!(told.contains("poppet.toml:6: [tls] private-key: ") && told.contains("k.pem is empty"), "{told}");
    assert!(house.examine(&["ada"]).last().unwrap().text.starts_with("ada: has the Maildir"));
}

#[test]
fn an_expired_certificate_is_an_error_and_a_short_one_a_warning() {
    let house = House::new();
    house.maildir("ada");
    house.certificate("localhost", 2020);
    let told = house.only(Verdict::Error, &["ada"]);
    assert!(told.contains("c.pem has expired"), "{told}");
    house.certificate("localhost", 2099);
    let config = Config::load(&house.path("poppet.toml")).unwrap();
    let facts = tls::load(&config.tls.as_ref().unwrap().pairs).unwrap().facts.remove(0);
    let mut findings = Vec::new();
    certificates(&config, facts.not_after - std::time::Duration::from_secs(3 * 24 * 3600), &mut findings);
    let verdicts: Vec<Verdict> = findings.iter().map(|finding| finding.verdict).collect();
    assert_eq!(verdicts, [Verdict::Ok, Verdict::Warning], "{findings:#?}");
    assert!(findings[1].text.contains("expires in 3 days"), "{findings:#?}");
}

#[test]
fn secrets_that_everybody_can_read_are_warned_of() {
    let house = House::new();
    house.maildir("ada");
    house.chmod("k.pem", 0o644);
    assert!(house.only(Verdict::Warning, &["ada"]).contains("can read the private key: chmod 600"));
    house.chmod("k.pem", 0o640);
    house.chmod("users", 0o644);
    assert!(house.only(Verdict::Warning, &["ada"]).contains("can read the password hashes: chmod 640"));
}

#[test]
fn every_line_of_a_broken_users_file_is_told() {
    let house = House::new();
    house.write("users", "ada\n# a comment\nbob:{NONE}x\n", 0o600);
    let errors = house.errors();
    let begin = |line: u32| format!("{}: line {line}", house.path("users").display());
    assert_eq!(errors.len(), 2, "{errors:#?}");
    assert!(errors[0].starts_with(&begin(1)) && errors[1].starts_with(&begin(3)), "{errors:#?}");
    house.write("users", "", 0o600);
    assert!(house.only(Verdict::Warning, &[]).contains("names nobody"));
}

#[test]
fn a_users_file_that_is_not_there_is_told_with_its_place_and_the_command_that_makes_it() {
    let house = House::new();
    let path = house.path("users");
    std::fs::remove_file(&path).unwrap();
    let told = house.errors().join("\n");
    let place = format!("{}:8: [users] file: cannot read the users file ", house.path("poppet.toml").display());
    assert!(told.starts_with(&place), "{told}");
    assert!(told.ends_with(&format!("; make it: poppet hash NAME > {}", path.display())), "{told}");
}

#[test]
fn a_user_that_is_not_there_is_an_error_and_the_rest_goes_on() {
    let house = House::new();
    house.configure("[process]\nuser = \"no-such-user\"\n");
    let find = |config: &Config| {
        let error = Identity::among(&config.process.user, "root:x:0:0", "").unwrap_err();
        Err(Finding::error(error.to_string()))
    };
    let findings = examine(&house.path("poppet.toml"), |_| Ok(vec![account("ada")]), find);
    let errors: Vec<&str> =
        findings.iter().filter(|it| it.verdict == Verdict::Error).map(|it| it.text.as_str()).collect();
    assert!(errors[0].starts_with("there is no user \"no-such-user\""), "{errors:?}");
    assert!(errors[1].contains("make it: install -d -o no-such-user -m 700 "), "{errors:?}");
}

#[test]
fn a_users_file_that_the_server_could_not_read_is_an_error() {
    let Some(folder) = serving::reachable_folder() else { return };
    let path = folder.path().join("users");
    std::fs::write(&path, "").unwrap();
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
    let stranger = Serving::for_test("mailer", std::fs::metadata(&path).unwrap().uid() + 1000);
    let config = Config::default();
    let told = |mode| {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
        users_file_closed(&path, &stranger, &config).map(|finding| finding.text)
    };
    assert_eq!(told(0o644), None);
    let closed = told(0o640).unwrap();
    assert!(closed.contains("the server, as mailer, may not read ") && closed.contains("; chgrp "), "{closed}");
}

#[test]
fn a_maildir_that_several_have_is_warned_of() {
    let house = House::new();
    house.maildir("ada");
    std::os::unix::fs::symlink(house.path("mail/ada"), house.path("mail/bob")).unwrap();
    house.maildir("eve");
    let told = house.only(Verdict::Warning, &["ada", "bob", "eve"]);
    let path = house.path("mail/ada");
    let shown = path.display();
    assert_eq!(told, format!("ada and bob share the Maildir {shown}; put {{user}} into [mail] maildir"));
    let of_the_file = |name: &str| Account { mail: Some(path.clone()), ..account(name) };
    let findings = examine(
        &house.path("poppet.toml"),
        |_| Ok(["ada", "eve", "cy"].map(of_the_file).into()),
        |_| Ok(Serving::me()),
    );
    let told = &findings.last().unwrap().text;
    assert_eq!(*told, format!("ada, eve and cy share the Maildir {shown}; name another for each in the users file"));
}

#[test]
fn a_maildir_that_is_none_is_told_with_the_command_that_makes_it() {
    let house = House::new();
    let told = house.only(Verdict::Error, &["ada"]);
    let path = house.path("mail/ada");
    let place = format!("{}:10: [mail] maildir", house.path("poppet.toml").display());
    let begin = format!("{place}: ada: there is no Maildir {}; make it: install -d -o ", path.display());
    assert!(told.starts_with(&begin), "{told}");
    house.maildir("ada");
    std::fs::remove_dir(path.join("cur")).unwrap();
    let told = house.only(Verdict::Error, &["ada"]);
    assert!(told.contains("with a directory cur in it; make what lacks: install -d -o "), "{told}");
    assert!(told.ends_with(&format!(" -m 700 {}/cur", path.display())), "only what lacks: {told}");
    std::fs::write(path.join("cur"), "").unwrap();
    assert!(house.only(Verdict::Error, &["ada"]).contains("cur is no directory"));
    house.maildir("bob");
    std::fs::remove_dir(house.path("mail/bob/tmp")).unwrap();
    let told = house.only(Verdict::Warning, &["bob"]);
    assert!(told.ends_with(&format!(" -m 700 {}", house.path("mail/bob/tmp").display())), "{told}");
    std::fs::remove_dir(house.path("mail/bob/new")).unwrap();
    let told = house.only(Verdict::Error, &["bob"]);
    let bob = house.path("mail/bob");
    assert!(told.contains("a directory new and a directory tmp in it"), "{told}");
    assert!(told.ends_with(&format!(" -m 700 {0}/new {0}/tmp", bob.display())), "{told}");
}

#[test]
fn a_user_whose_maildir_cannot_be_told_is_an_error() {
    let house = House::new();
    assert!(house.only(Verdict::Error, &[".."]).contains(":10: [mail] maildir: "));
    let mut own = account("..");
    house.maildir("own");
    own.mail = Some(house.path("mail/own"));
    let findings = examine(&house.path("poppet.toml"), |_| Ok(vec![own]), |_| Ok(Serving::me()));
    assert_eq!(count(&findings, Verdict::Error), 0, "the users file names its Maildir: {findings:#?}");
}

#[test]
fn a_maildir_that_the_server_may_not_use_is_told() {
    if serving::reachable_folder().is_none() {
        return;
    }
    let house = House::new();
    house.maildir("ada");
    let config = Config::load(&house.path("poppet.toml")).unwrap();
    let uid = std::fs::metadata(house.path("mail")).unwrap().uid() + 1000;
    let stranger = Serving::for_test("mailer", uid);
    let look = |root: u32, folder: u32| {
        for (name, mode) in [("", 0o711), ("mail", 0o711), ("mail/ada", root), ("mail/ada/new", folder)] {
            house.chmod(name, mode);
        }
        house.chmod("mail/ada/cur", 0o777);
        house.chmod("mail/ada/tmp", 0o777);
        let mut findings = Vec::new();
        maildirs::look(&account("ada"), &config, &stranger, &mut findings);
        assert_eq!(findings.len(), 1, "{findings:#?}");
        findings.remove(0)
    };
    let closed = look(0o755, 0o700);
    assert_eq!(closed.verdict, Verdict::Error);
    assert!(
        closed.text.contains("as mailer, may not read ") && closed.text.contains("mail/ada/new (owner "),
        "{closed}"
    );
    house.chmod("mail/ada/new", 0o777);
    house.chmod("mail", 0o700);
    let mut findings = Vec::new();
    maildirs::look(&account("ada"), &config, &stranger, &mut findings);
    assert!(findings[0].text.ends_with(&format!("; let it through: chmod a+x {}", house.path("mail").display())));
    let read_only = look(0o755, 0o755);
    assert_eq!(read_only.verdict, Verdict::Warning);
    assert!(read_only.text.contains("may not write to ") && read_only.text.contains("not removed"), "{read_only}");
    let foreign = look(0o777, 0o777);
    assert_eq!(foreign.verdict, Verdict::Warning);
    assert!(foreign.text.contains(" and the server runs as mailer"), "{foreign}");
    assert!(foreign.text.ends_with(&format!("chown -R mailer {}", house.path("mail/ada").display())), "{foreign}");
}

#[test]
fn the_last_line_counts() {
    let of = |verdicts: &[Verdict]| {
        sum(&verdicts.iter().map(|&verdict| Finding { verdict, text: String::new() }).collect::<Vec<_>>())
    };
    assert_eq!(of(&[Verdict::Ok]), "All is well.");
    assert_eq!(of(&[Verdict::Ok, Verdict::Warning]), "poppet can serve; 1 warning to look at.");
    assert_eq!(of(&[Verdict::Error, Verdict::Warning, Verdict::Warning]), "1 error to mend, 2 warnings.");
}
