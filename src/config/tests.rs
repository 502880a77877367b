//! Configuration files: defaults, every key, every way to get one wrong.

use super::*;

const PATH: &str = "/etc/poppet/poppet.toml";

fn read(text: &str) -> Config {
    Config::parse(Path::new(PATH), text).unwrap_or_else(|error| panic!("{error}"))
}

/// What is wrong with `text`, as `LINE: TEXT` lines.
fn told(text: &str) -> String {
    let error = Config::parse(Path::new(PATH), text).expect_err(text);
    error.to_string().replace(&format!("{PATH}:"), "")
}

fn same(a: &Config, b: &Config) -> bool {
    (&a.listen, &a.tls, &a.mail, &a.users, &a.login, &a.process, &a.limits)
        == (&b.listen, &b.tls, &b.mail, &b.users, &b.login, &b.process, &b.limits)
}

#[test]
fn an_empty_file_means_the_defaults() {
    let config = Config::default();
    assert_eq!(config.listen.pop3, ["[::]:110".parse().unwrap()]);
    assert!(config.listen.pop3s.is_empty() && config.tls.is_none(), "no certificate, no TLS");
    assert!(config.listen.proxy_from.is_empty() && config.login.penalty_free.is_empty());
    assert_eq!(config.mail.maildir.to_string(), "/var/mail/{user}");
    assert!(config.mail.mark_seen);
    assert_eq!(config.users.file, Path::new("/etc/poppet/users"));
    assert!(config.login.plaintext_from.contains("127.255.0.1".parse().unwrap()));
    assert!(config.login.plaintext_from.contains("::1".parse().unwrap()));
    assert!(!config.login.plaintext_from.contains("128.0.0.1".parse().unwrap()));
    assert_eq!(config.process.user, "poppet");
    assert_eq!(config.process.status.as_deref(), Some(Path::new("/run/poppet/status")));
    let limits = &config.limits;
    assert_eq!((limits.connections, limits.connections_per_address), (10_000, 50));
    let seconds = [limits.login_time, limits.idle_time, limits.takeover_after].map(|it| it.as_secs());
    assert_eq!(seconds, [60, 600, 30]);
}

#[test]
fn a_tls_section_brings_port_995_and_the_default_files() {
    let config = read("[tls]");
    assert_eq!(config.listen.pop3s, ["[::]:995".parse().unwrap()]);
    let pair = CertificateFiles {
        certificate: "/etc/poppet/fullchain.pem".into(),
        private_key: "/etc/poppet/privkey.pem".into(),
    };
    assert_eq!(config.tls.unwrap().pairs, [pair]);
}

#[test]
fn the_sample_says_the_defaults_and_every_key() {
    let text = include_str!("../../contrib/poppet.toml");
    let sample = read(text);
    assert!(same(&sample, &read("[tls]")), "{sample:#?}");
    assert_eq!(sample.lines.len(), 17, "every key is in the sample: {:?}", sample.lines);
    let also = read(
        &text
            .replace("\n#[[tls", "\n[[tls")
            .replace("\n#certificate", "\ncertificate")
            .replace("\n#private", "\nprivate"),
    );
    assert_eq!(also.tls.unwrap().pairs.len(), 2, "the commented pair is right as well");
}

#[test]
fn every_toml_block_of_the_documents_can_be_read() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut documents = vec![root.join("README.md")];
    if let Ok(entries) = root.join("docs").read_dir() {
        documents.extend(
            entries.map(|entry| entry.unwrap().path()).filter(|path| path.extension().is_some_and(|it| it == "md")),
        );
    }
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap_or_default();
        for block in toml_blocks(&text, "```toml\n", "```") {
            assert!(Config::parse(&document, block).is_ok(), "{block}\n{:?}", Config::parse(&document, block).err());
        }
    }
    // In roff a hyphen that shall stay one is written so.
    let page = include_str!("../../docs/man/poppet.toml.5").replace("\\-", "-");
    let blocks = toml_blocks(&page, ".Bd -literal -offset indent\n", ".Ed");
    assert_eq!(blocks.len(), 2);
    assert!(same(&read(blocks[0]), &read("[tls]")), "the page shows the defaults");
    read(blocks[1]);
}

fn toml_blocks<'t>(text: &'t str, begin: &str, end: &str) -> Vec<&'t str> {
    text.split(begin).skip(1).map(|rest| rest.split(end).next().unwrap()).collect()
}

#[test]
fn toml_blocks_are_found() {
    assert_eq!(
        toml_blocks("x\n```toml\na = 1\n```\ny\n```sh\nz\n```\n```toml\nb = 2\n```\n", "```toml\n", "```"),
        ["a = 1\n", "b = 2\n"]
    );
}

#[test]
fn every_key_is_obeyed() {
    let config = read(
        r#"
        [listen]
        pop3 = ["127.0.0.1:1110", "[::ffff:192.0.2.1]:110"]
        pop3s = ["0.0.0.0:995"]
        proxy-from = ["192.0.2.0/24"]
        [tls]
        certificate = "c.pem"
        private-key = "/k.pem"
        [[tls.also]]
        certificate = "also/c.pem"
        private-key = "also/k.pem"
        [mail]
        maildir = "{home}/Maildir"
        mark-seen = false
        [users]
        file = "users"
        [login]
        plaintext-from = []
        penalty-free = ["::1"]
        [process]
        user = "mail"
        status = "status"
        [limits]
        connections = 1
        connections-per-address = 0x10
        login-time = "90s"
        idle-time = "1h"
        takeover-after = "2m"
        "#,
    );
    let addresses = |list: &[SocketAddr]| list.iter().map(SocketAddr::to_string).collect::<Vec<_>>();
    assert_eq!(addresses(&config.listen.pop3), ["127.0.0.1:1110", "192.0.2.1:110"], "mapped is IPv4");
    assert_eq!(addresses(&config.listen.pop3s), ["0.0.0.0:995"]);
    let tls = config.tls.as_ref().unwrap();
    assert_eq!(tls.pairs[0].certificate, Path::new("/etc/poppet/c.pem"), "relative to the file's folder");
    assert_eq!(tls.pairs[0].private_key, Path::new("/k.pem"));
    assert_eq!(tls.pairs[1].private_key, Path::new("/etc/poppet/also/k.pem"));
    assert_eq!(config.mail.maildir.to_string(), "{home}/Maildir");
    assert!(!config.mail.mark_seen);
    assert_eq!(config.users.file, Path::new("/etc/poppet/users"));
    assert!(config.login.plaintext_from.is_empty());
    assert!(config.login.penalty_free.contains("::1".parse().unwrap()));
    assert_eq!(config.process.user, "mail");
    assert_eq!(config.process.status.as_deref(), Some(Path::new("/etc/poppet/status")));
    assert_eq!(read("[process]\nstatus = \"\"").process.status, None);
    assert_eq!((config.limits.connections, config.limits.connections_per_address), (1, 16));
    let seconds =
        [config.limits.login_time, config.limits.idle_time, config.limits.takeover_after].map(|it| it.as_secs());
    assert_eq!(seconds, [90, 3600, 120]);
    assert!(config.listen.proxy_from.contains("192.0.2.7".parse().unwrap()));
    assert_eq!(config.place("limits", "idle-time"), "/etc/poppet/poppet.toml:27: [limits] idle-time");
    assert_eq!(
        Config::default().place("limits", "idle-time"),
        "/etc/poppet/poppet.toml: [limits] idle-time (the default)"
    );
}

#[test]
fn an_unknown_name_is_refused_with_its_line_and_the_nearest() {
    assert_eq!(
        told("\n[limits]\nidle-tiem = \"10m\""),
        "3: [limits] has no key \"idle-tiem\"; did you mean idle-time?"
    );
    assert_eq!(
        told("[limits]\nlogin_time = \"10m\""),
        "2: [limits] has no key \"login_time\"; did you mean login-time?"
    );
    assert_eq!(told("[lisen]"), "1: unknown section \"lisen\"; did you mean [listen]?");
    assert_eq!(
        told("[mail]\nplaintext-from = []"),
        "2: [mail] has no key \"plaintext-from\"; it belongs below [login]"
    );
    assert_eq!(told("maildir = \"/x\""), "1: maildir stands in no section; write it below [mail]");
    assert_eq!(told("pop3 = [\"[::]:110\"]"), "1: pop3 stands in no section; write it below [listen]");
    assert_eq!(told("[user]\nfile = \"x\""), "1: unknown section \"user\"; did you mean [users]?", "a key's name, too");
    assert_eq!(told("[[user]]"), "1: unknown section \"user\"; did you mean [users]?");
    assert!(told("[imap]").contains("the sections are [listen], [tls]"));
    assert_eq!(told("[users]\nzzzzzz = 1"), "2: [users] has no key \"zzzzzz\"; its keys are file");
    assert!(
        told("[[tls.also]]\ncertificate = \"c\"\nprivate-key = \"k\"\nkey = 1").starts_with("4: [tls.also] has no key")
    );
}

#[test]
fn a_wrong_type_is_told_how_to_write_it() {
    let cases = [
        ("[mail]\nmark-seen = \"yes\"", "2: [mail] mark-seen: expected true or false, found the text \"yes\""),
        ("[mail]\nmaildir = 3", "2: [mail] maildir: expected text, found the number 3; write it in quotation marks"),
        ("[users]\nfile = \"\"", "2: [users] file: is empty"),
        (
            "[listen]\npop3 = \"[::]:110\"",
            "2: [listen] pop3: expected a list, found the text \"[::]:110\"; write [\"[::]:110\"]",
        ),
        ("[listen]\npop3 = [\n 110 ]", "3: [listen] pop3: expected text in the list, found the number 110"),
        (
            "[login]\npenalty-free = true",
            "2: [login] penalty-free: expected a list, found true; write [\"192.0.2.0/24\"",
        ),
        ("[limits]\nconnections = \"many\"", "2: [limits] connections: expected a number, found the text \"many\""),
        ("[limits]\nlogin-time = 60", "2: [limits] login-time: 60 of what? Write \"60s\" for seconds"),
        ("[limits]\nlogin-time = 6.0", "2: [limits] login-time: expected a duration, found the number 6"),
        (
            "[limits]\nlogin-time = \"60\"",
            "2: [limits] login-time: \"60\" is no duration; write a number and s, m or h",
        ),
        ("listen = 3", "1: listen is a section; write [listen]"),
        ("[[listen]]", "1: there is one section listen; write [listen]"),
        (
            "[tls]\nalso = \"x\"",
            "2: [tls] also is no list of tables; write [[tls.also]], and below it certificate and private-key",
        ),
        (
            "[[tls.also]]\ncertificate = 3\nprivate-key = \"k\"",
            "2: [[tls.also]] certificate: expected text, found the number 3",
        ),
        ("[[tls.also]]\ncertificate = \"c\"", "1: [[tls.also]] private-key: is missing; write [[tls.also]]"),
    ];
    for (text, begin) in cases {
        assert!(told(text).starts_with(begin), "{text}\n{}", told(text));
    }
}

#[test]
fn a_wrong_value_is_told_how_to_mend_it() {
    let cases = [
        ("[listen]\npop3 = [\"127.0.0.1\"]", "has no port; write \"127.0.0.1:110\""),
        ("[listen]\npop3 = [\"::1\"]", "has no port; write \"[::1]:110\""),
        ("[listen]\npop3 = [\"[::1]\"]", "has no port; write \"[::1]:110\""),
        ("[listen]\npop3 = [\"*:110\"]", "for every one write \"[::]:110\""),
        ("[listen]\npop3 = [\"127.0.0.1:70000\"]", "has a port that is no number from 1 to 65535"),
        ("[listen]\npop3 = [\"localhost:110\"]", "is no address with a port"),
        ("[listen]\npop3 = [\"[::]:110\", \"[::]:110\"]", "names [::]:110 twice"),
        ("[listen]\npop3 = []", "nobody could come in"),
        ("[listen]\npop3s = [\"[::]:995\"]", "needs a certificate: add a section [tls]"),
        ("[login]\nplaintext-from = [\"192.0.2.5/24\"]", "write \"192.0.2.0/24\""),
        ("[limits]\nidle-time = \"599s\"", "must be at least \"600s\": RFC 1939 section 3 allows no less"),
        ("[limits]\nidle-time = \"169h\"", "can be at most \"168h\""),
        ("[limits]\nidle-time = \"99999999999999999999999h\"", "can be at most \"168h\""),
        ("[limits]\nlogin-time = \"0s\"", "must be at least \"1s\""),
        ("[limits]\ntakeover-after = \"0s\"", "must be at least \"1s\""),
        ("[limits]\nlogin-time = \"s\"", "is no duration"),
        ("[limits]\nlogin-time = \"-6s\"", "is no duration"),
        ("[limits]\nconnections = 0", "must be at least 1"),
        ("[limits]\nconnections = -1", "must be at least 1"),
        ("[limits]\nconnections-per-address = 0", "must be at least 1"),
        ("[limits]\nconnections = 1000001", "can be at most 1000000"),
        ("[limits]\nconnections = 4294967297", "can be at most 1000000"),
        ("[mail]\nmaildir = \"/var/mail/{usr}\"", "{usr} is no placeholder"),
    ];
    for (text, part) in cases {
        let told = told(text);
        assert!(told.contains(part) && told.lines().count() == 1, "{text}\n{told}");
    }
    assert!(read("[listen]\npop3s = []").listen.pop3s.is_empty(), "none is allowed without [tls]");
    assert_eq!(read("[listen]\npop3 = [\"127.0.0.1:0\"]\n[tls]").listen.pop3[0].port(), 0, "any free port");
}

#[test]
fn all_problems_are_told_at_once_in_the_order_of_lines() {
    let told = told(
        "[limits]\nidle-time = 5\nconnections = 0\n[lisen]\n[mail]\nmaildir = \"x\"\n[login]\nplaintext-from = [\"a\",\n\"b\"]",
    );
    let lines: Vec<&str> = told.lines().map(|line| line.split(':').next().unwrap()).collect();
    assert_eq!(lines, ["2", "3", "4", "6", "8", "9"], "{told}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let told = told("[limits]\nidle-time = 10m\n[mail\nmaildir = \"/x\n");
    assert!(told.starts_with("2: this is no TOML: "), "{told}");
    assert!(told.lines().all(|line| line.contains("no TOML")), "{told}");
}

#[test]
fn a_key_that_is_written_twice_is_named() {
    assert_eq!(told("[mail]\nmark-seen = true\nmark-seen = false"), "3: this is no TOML: duplicate key \"mark-seen\"");
    assert_eq!(told("[mail]\n[users]\n[mail]"), "3: this is no TOML: duplicate key \"mail\"");
    assert_eq!(told("[[tls.also]]\n[tls]\nalso = []"), "3: this is no TOML: duplicate key \"also\"");
}

#[test]
fn a_file_that_cannot_be_read_says_why() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("poppet.toml");
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(
        error.starts_with(&format!("{}: there is no such file; --config FILE names another.", path.display())),
        "{error}"
    );
    assert!(error.contains("an empty one will do"), "{error}");
    std::fs::write(&path, b"[mail]\n# \xff").unwrap();
    let error = Config::load(&path).unwrap_err().to_string();
    assert!(error.starts_with(&format!("{}:2: this is no UTF-8", path.display())), "{error}");
    std::fs::write(&path, "[tls]\ncertificate = \"c.pem\"").unwrap();
    let config = Config::load(&path).unwrap();
    assert_eq!(config.tls.unwrap().pairs[0].certificate, folder.path().join("c.pem"));
    let error = Config::load(folder.path()).unwrap_err().to_string();
    assert!(error.contains("cannot be read"), "{error}");
}
