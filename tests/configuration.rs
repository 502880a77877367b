//! What `serve` and `check` say of a configuration that can't work: one line, with file, line and mend; and that files of
//! earlier versions are accepted.
//!
//! Does not know: what else a configuration file may get wrong (a test beside the reader does), what `check` says besides
//! (the tests beside it do).

mod common;

use std::fs::{self, Permissions};
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use common::service::NOBODY;
use common::{PASSWORD, Server, USER};
use poppet::auth::users::Users;
use poppet::config::Config;

#[test]
fn an_unknown_key_is_told_with_its_line_and_the_nearest() {
    let house = House::new("[limits]\nconections = 5\n");
    house.all_say("poppet.toml:10: [limits] has no key \"conections\"; did you mean connections?");
}

#[test]
fn an_unknown_section_is_told_with_its_line_and_the_nearest() {
    House::new("[limit]\nconnections = 5\n")
        .all_say("poppet.toml:9: unknown section \"limit\"; did you mean [limits]?");
}

#[test]
fn a_wrong_type_is_told_with_its_line_and_how_to_write_it() {
    let house = House::new("[limits]\nconnections = \"5\"\n");
    house.all_say("poppet.toml:10: [limits] connections: expected a number, found the text \"5\"; write it in digits");
}

#[test]
fn a_port_in_use_is_told_with_its_line_and_what_shows_who_has_it() {
    let house = House::new("");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap();
    house.write("poppet.toml", &house.text("").replace("127.0.0.1:0", &port.to_string()));
    house.serve_says(&format!("poppet.toml:2: [listen] pop3: cannot listen at {port}: Address already in use"));
    house.serve_says("; another program has that port (ss -ltnp shows which): stop it, or choose another port");
    // It may be poppet itself, so nothing is wrong yet.
    house.check_says(
        "warning: ",
        &format!("poppet.toml:2: [listen] pop3: {port} is in use; if that is not poppet itself"),
    );
}

#[test]
fn a_users_file_that_is_missing_is_told_with_its_line_and_the_command_that_makes_it() {
    let house = House::new("");
    fs::remove_file(house.path("users")).unwrap();
    house.all_say("poppet.toml:6: [users] file: cannot read the users file ");
    house.all_say(&format!("; make it: poppet hash NAME > {}", house.path("users").display()));
}

#[test]
fn a_users_file_that_is_closed_is_told_with_its_line_and_who_must_read_it() {
    let house = House::new("");
    fs::set_permissions(house.path("users"), Permissions::from_mode(0o000)).unwrap();
    house.serve_says("poppet.toml:6: [users] file: cannot read the users file ");
    house.serve_says("; let the server's user, uid ");
    house.check_says("error: ", "poppet.toml:6: [users] file: ");
}

#[test]
fn a_broken_line_of_the_users_file_is_told_with_its_number_and_the_mend() {
    let house = House::new("");
    house.write("users", "ada:{PLAIN}secret\nbob\n");
    house.all_say("line 2: there is no `:` in it; write user:password, or `#` before a comment");
    house.serve_says("poppet.toml:6: [users] file: the users file ");
    house.check_says("error: ", &format!("{}: line 2", house.path("users").display()));
}

#[test]
fn a_certificate_or_key_that_is_missing_is_told_with_the_line_that_names_it() {
    let pairs = "[tls]\ncertificate = \"c.pem\"\nprivate-key = \"k.pem\"\n[[tls.also]]\ncertificate = \"c.pem\"\n\
                 private-key = \"other.pem\"\n";
    let house = House::new(pairs);
    house.write("poppet.toml", &house.text(pairs).replace("pop3 =", "pop3s = []\npop3 ="));
    house.serve_says("poppet.toml:11: [tls] certificate: cannot read ");
    house.serve_says("; put the file there, or write its path below [tls]");
    let (authority, name) = (common::Authority::new(), "localhost");
    let pair = authority.certify(&[name]);
    house.write("c.pem", &pair.cert.pem());
    house.serve_says("poppet.toml:12: [tls] private-key: cannot read ");
    house.write("k.pem", &pair.signing_key.serialize_pem());
    house.all_say("poppet.toml:13: [tls] also: cannot read ");
    house.write("other.pem", &authority.certify(&[name]).signing_key.serialize_pem());
    house.all_say("other.pem does not belong to the certificate in ");
}

#[test]
fn a_maildir_of_somebody_else_is_told_at_the_check_and_at_each_login() {
    let house = House::new("");
    let maildir = house.path("mail/ada");
    fs::set_permissions(&maildir, Permissions::from_mode(0o000)).unwrap();
    house.check_says("error: ", "poppet.toml:4: [mail] maildir: ada: the server, as ");
    house.check_says("error: ", &format!("; open it to its owner: chmod -R u+rwX {}", maildir.display()));
    if rustix::process::geteuid().is_root() {
        chown(&maildir, Some(0), Some(0)).unwrap();
        house.check_says("error: ", &format!("; make it the owner: chown -R nobody {}", maildir.display()));
    }
    fs::set_permissions(&maildir, Permissions::from_mode(0o755)).unwrap();

    if !common::ours() {
        return;
    }
    let server = Server::start();
    let maildir = server.folder.join("mail").join(USER);
    fs::set_permissions(&maildir, Permissions::from_mode(0o000)).unwrap();
    let mut client = server.connect();
    client.ok(&format!("USER {USER}"));
    assert!(client.err(&format!("PASS {PASSWORD}")).starts_with("-ERR [SYS/PERM] "));
    fs::set_permissions(&maildir, Permissions::from_mode(0o700)).unwrap();
    let told = format!("LOGIN REFUSED, user={USER}, ip=[127.0.0.1]: cannot open {maildir:?}: Permission denied");
    let log = server.log();
    let line = log.lines().find(|line| line.contains(&told)).unwrap_or_else(|| panic!("{log}"));
    assert!(line.ends_with("; `poppet check` says how to mend it"), "{line}");
}

#[test]
fn a_user_of_a_domain_has_the_maildir_that_the_template_names() {
    if !common::ours() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    fs::set_permissions(folder.path(), Permissions::from_mode(0o755)).unwrap();
    let maildir = folder.path().join("example.org/ada");
    for sub in ["", "new", "cur", "tmp"] {
        fs::create_dir_all(maildir.join(sub)).unwrap();
        give(&maildir.join(sub));
    }
    fs::write(maildir.join("new/1.a"), "Subject: one\n\nbody\n").unwrap();
    give(&maildir.join("new/1.a"));
    let template = folder.path().join("{domain}/{local}");
    let server = Server::builder().user("ada@example.org", PASSWORD).config("mail.maildir", &format!("{template:?}"));
    let server = server.start();
    let mut client = server.connect();
    client.ok("USER Ada@Example.org");
    assert!(client.ok(&format!("PASS {PASSWORD}")).starts_with("+OK 1 message"));
}

#[test]
fn a_users_file_that_changes_is_read_anew_and_a_broken_one_is_not() {
    if !common::ours() {
        return;
    }
    let server = Server::builder().user(USER, PASSWORD).user("bob", PASSWORD).start();
    let users = server.folder.join("users");
    let log_in = |user: &str, password: &str| {
        let mut client = server.connect();
        client.ok(&format!("USER {user}"));
        client.cmd(&format!("PASS {password}")).starts_with("+OK")
    };
    assert!(log_in("bob", PASSWORD));
    fs::write(&users, format!("{USER}:{{PLAIN}}{PASSWORD}\nbob:{{PLAIN}}another\n")).unwrap();
    assert!(!log_in("bob", PASSWORD) && log_in("bob", "another"));
    fs::write(&users, "bob\n").unwrap();
    assert!(log_in("bob", "another"), "those known before stay");
    let log = server.log();
    assert!(log.contains(": read again, 2 users\n"), "{log}");
    assert!(
        log.contains("line 1: there is no `:` in it; ") && log.contains("; until that is mended, the users "),
        "{log}"
    );
}

/// Every later version must accept what an earlier one did: a folder of samples stays as it is for good.
#[test]
fn samples_of_every_version_are_accepted() {
    let all = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples");
    assert!(all.join(env!("CARGO_PKG_VERSION")).is_dir(), "this version has no samples: copy those of the last one");
    let mut counts = [0, 0];
    for version in files(&all) {
        for file in files(&version) {
            if file.extension().is_some_and(|it| it == "toml") {
                Config::load(&file).unwrap_or_else(|error| panic!("{error}"));
                counts[0] += 1;
                continue;
            }
            let text = fs::read(&file).unwrap();
            let users = Users::parse(&text).unwrap_or_else(|bad| panic!("{}: {bad:?}", file.display()));
            for user in users.iter() {
                assert!(user.hash.verify(b"correct horse"), "{}: {:?}", file.display(), user.name);
            }
            counts[1] += users.len();
        }
    }
    assert!(counts[0] >= 7 && counts[1] >= 7, "{counts:?} files and users are fewer than there must be");
}

#[test]
fn the_full_sample_of_this_version_has_every_key() {
    let file = format!("{}/tests/samples/{}/full.toml", env!("CARGO_MANIFEST_DIR"), env!("CARGO_PKG_VERSION"));
    let config = Config::load(Path::new(&file)).unwrap();
    for (section, keys) in poppet::config::SECTIONS {
        for key in *keys {
            assert!(config.says(section, key), "{file} lacks [{section}] {key}");
        }
    }
}

#[test]
fn the_full_sample_means_what_it_meant() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/0.1.0/full.toml");
    let config = Config::load(&file).unwrap();
    let folder = file.parent().unwrap();
    let tls = config.tls.unwrap();
    assert_eq!(tls.pairs[0].certificate, folder.join("mail.example.org/fullchain.pem"));
    assert_eq!(tls.pairs[1].private_key, Path::new("/etc/poppet/example.net/privkey.pem"));
    assert_eq!((config.listen.pop3.len(), config.listen.pop3s[0].port()), (2, 1995));
    assert!(config.listen.proxy_from.contains("2001:db8::7".parse().unwrap()));
    assert!(config.login.plaintext_from.contains("198.51.100.9".parse().unwrap()));
    assert!(config.login.penalty_free.contains("10.9.8.7".parse().unwrap()));
    assert_eq!(
        (config.mail.maildir.to_string().as_str(), config.mail.mark_seen),
        ("/srv/mail/{domain}/{local}", false)
    );
    assert_eq!((config.users.file, config.process.user.as_str()), (folder.join("passwd"), "vmail"));
    let limits = config.limits;
    assert_eq!((limits.connections, limits.connections_per_address), (500, 20));
    let times = [limits.login_time, limits.idle_time, limits.takeover_after].map(|time| time.as_secs());
    assert_eq!(times, [90, 3600, 120]);
}

fn files(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
}

/// A folder with the program, a configuration, a users file and a Maildir, all of `nobody` where the tests run as root.
struct House(tempfile::TempDir);

impl House {
    fn new(more: &str) -> House {
        let house = House(tempfile::tempdir().unwrap());
        fs::set_permissions(house.0.path(), Permissions::from_mode(0o755)).unwrap();
        for folder in ["mail/ada/new", "mail/ada/cur", "mail/ada/tmp"] {
            fs::create_dir_all(house.path(folder)).unwrap();
        }
        for folder in ["mail", "mail/ada", "mail/ada/new", "mail/ada/cur", "mail/ada/tmp"] {
            give(&house.path(folder));
        }
        house.write("poppet.toml", &house.text(more));
        house.write("users", "ada:{PLAIN}secret\n");
        // By another process: one that another thread starts meanwhile would hold our copy open, and so busy.
        let copied = Command::new("cp").arg(env!("CARGO_BIN_EXE_poppet")).arg(house.path("poppet")).status().unwrap();
        assert!(copied.success());
        house
    }

    fn text(&self, more: &str) -> String {
        let mail = self.path("mail/{user}");
        format!(
            "[listen]\npop3 = [\"127.0.0.1:0\"]\n[mail]\nmaildir = {mail:?}\n[users]\nfile = \"users\"\n[process]\n\
             user = \"nobody\"\n{more}"
        )
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
        fs::set_permissions(self.path(name), Permissions::from_mode(0o600)).unwrap();
        give(&self.path(name));
    }

    /// What `poppet COMMAND` says, as whoever runs the tests and, where that is root, as `nobody`. It must end with 78, or
    /// with `code`.
    fn said(&self, command: &str, code: i32) -> Vec<String> {
        let mut all = Vec::new();
        let root = rustix::process::geteuid().is_root();
        for as_nobody in if root { vec![false, true] } else { vec![false] } {
            // One that serves after all must not keep the test.
            let mut poppet = Command::new("timeout");
            poppet.arg("20").arg(self.path("poppet")).arg(command).arg("--config").arg(self.path("poppet.toml"));
            if as_nobody {
                poppet.uid(NOBODY).gid(NOBODY);
            }
            let done = poppet.current_dir("/").output().unwrap();
            let said = String::from_utf8([done.stdout, done.stderr].concat()).unwrap();
            assert_eq!(done.status.code(), Some(code), "{command}: {said}");
            all.push(said);
        }
        all
    }

    /// `serve` ends, and the one line that says why has `part` in it.
    fn serve_says(&self, part: &str) {
        for said in self.said("serve", 78) {
            let lines: Vec<&str> = said.lines().filter(|line| line.starts_with("poppet: ")).collect();
            assert!(lines.len() == 1 && lines[0].contains(part) && !said.contains("ERROR"), "{part}\n{said}");
        }
    }

    /// One line of `check` begins with `verdict` and has `part` in it.
    fn check_says(&self, verdict: &str, part: &str) {
        for said in self.said("check", if verdict == "error: " { 78 } else { 0 }) {
            let mut lines = said.lines().filter(|line| line.starts_with(verdict) && line.contains(part));
            assert!(lines.next().is_some() && lines.next().is_none(), "{part}\n{said}");
            let errors = said.lines().filter(|line| line.starts_with("error: ")).count();
            assert_eq!(errors, usize::from(verdict == "error: "), "{said}");
        }
    }

    fn all_say(&self, part: &str) {
        self.serve_says(part);
        self.check_says("error: ", part);
    }
}

fn give(path: &Path) {
    if rustix::process::geteuid().is_root() {
        chown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    }
}
