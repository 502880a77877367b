//! The documents are true where a machine can tell: what README says to type works, samples are understood, links lead
//! somewhere.
//!
//! Does not know: TOML samples, which a test beside the configuration reads; the demo, which `.ci/run` starts as README
//! says; what is made from the program (`tests/made.rs`).

mod common;

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::SystemTime;

use common::needs;
use poppet::net::tls::{self, CertificateFiles, KeyKind};

#[test]
fn set_up_of_readme_works_as_it_is_written() {
    if !needs("curl") {
        return;
    }
    let readme = read("README.md");
    let section = between(&readme, "\n## Set up in a minute\n", "\n## ");
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port().to_string();
    // A port of its own; a loaded machine may take longer than a second; and nothing goes on where a command fails.
    let knock = format!("curl --silent --output {} --user 'ada:correct horse' pop3://127.0.0.1:{port}/", "/dev/null");
    let script = between(section, "```sh\n", "\n```")
        .replace("11000", &port)
        .replace("sleep 1", &format!("for i in $(seq 200); do {knock} && break; sleep 0.1; done"));
    let script = format!("set -eu\ntrap 'kill $! 2>/dev/null || true' EXIT\n{script}");
    let folder = tempfile::tempdir().unwrap();
    let binary = tempfile::tempdir().unwrap();
    // By another process: one that another thread starts meanwhile would hold our copy open, and so busy.
    assert!(Command::new("cp").arg(env!("CARGO_BIN_EXE_poppet")).arg(binary.path()).status().unwrap().success());
    let path = format!("{}:{}", binary.path().display(), std::env::var("PATH").unwrap());
    let mut sh = Command::new("sh");
    sh.args(["-c", &script]).current_dir(&folder).env("PATH", path);
    if rustix::process::geteuid().is_root() {
        // README is written for those who are not.
        fs::set_permissions(&binary, fs::Permissions::from_mode(0o755)).unwrap();
        chown(&folder, Some(65534), Some(65534)).unwrap();
        sh.uid(65534).gid(65534);
    }
    let done = sh.output().unwrap();
    let (said, logged) = texts(&done);
    assert!(done.status.success(), "{said}\n{logged}");
    let message = "From: bob@example.org\nSubject: It works\n\nHello, Ada.\n";
    assert!(said.replace('\r', "").ends_with(message), "{said}\n{logged}");
    let shown = between(section, "```text\n", "```").replace("/home/you", &folder.path().display().to_string());
    assert!(said.contains(&shown), "poppet check says something else than README shows:\n{shown}\n{said}");
}

#[test]
fn users_file_of_the_manual_page_is_understood() {
    let page = roff("docs/man/poppet-users.5");
    let blocks: Vec<&str> = page.split(".Bd -literal -offset indent\n").skip(1).collect();
    assert_eq!(blocks.len(), 1);
    for block in blocks {
        let folder = tempfile::tempdir().unwrap();
        let users = block.split(".Ed").next().unwrap();
        let count = users.lines().filter(|line| !line.starts_with('#')).count();
        fs::write(folder.path().join("users"), users).unwrap();
        fs::write(folder.path().join("poppet.toml"), "[users]\nfile = \"users\"\n").unwrap();
        let config = folder.path().join("poppet.toml");
        let (said, _) = texts(&poppet(&["check", "--config", config.to_str().unwrap()]));
        assert!(said.contains(&format!("every line is understood, users: {count}\n")), "{said}");
    }
}

#[test]
fn password_of_the_manual_page_is_the_one_that_it_says() {
    let page = roff("docs/man/poppet-users.5");
    assert!(page.contains("The password is\n.Dq correct horse\nin the first line"));
    let hash = page.lines().find_map(|line| line.strip_prefix("ada:")).unwrap();
    let hash = poppet::auth::password::Hash::parse(hash.as_bytes()).unwrap();
    assert!(hash.verify(b"correct horse") && !hash.verify(b"correct horses"));
}

#[test]
fn authority_of_ones_own_makes_a_certificate_that_is_taken() {
    if !needs("openssl") {
        return;
    }
    let page = read("docs/CERTIFICATES.md");
    let script = between(between(&page, "An authority of your own", "\n## "), "```sh\n", "```");
    let folder = tempfile::tempdir().unwrap();
    let done = Command::new("sh").args(["-euc", script]).current_dir(&folder).output().unwrap();
    assert!(done.status.success(), "{:?}", texts(&done));
    let at = |name: &str| folder.path().join(name);
    let pair = CertificateFiles { certificate: at("fullchain.pem"), private_key: at("privkey.pem") };
    let facts = tls::load(&[pair]).unwrap_or_else(|error| panic!("{error}")).facts.remove(0);
    assert_eq!((facts.names.join(" ").as_str(), facts.key), ("mail.example.org", KeyKind::EcdsaP256));
    let told = facts.warnings(SystemTime::now());
    assert!(told.is_empty() && facts.hints().is_empty(), "{told:?}");
    assert_eq!(fs::metadata(at("privkey.pem")).unwrap().permissions().mode() & 0o077, 0, "the key is nobody else's");
}

#[test]
fn links_lead_to_files() {
    let mut links = 0;
    for document in documents() {
        let text = read(&document);
        for target in text.split("](").skip(1).map(|rest| rest.split(')').next().unwrap()) {
            let file = target.split('#').next().unwrap();
            if target.starts_with("https://") || file.is_empty() {
                continue;
            }
            links += 1;
            let at = root().join(&document).parent().unwrap().join(file);
            assert!(at.exists(), "{document}: {target} leads nowhere");
        }
    }
    assert!(links >= 8, "{links} links are fewer than there must be");
}

#[test]
fn paths_of_this_repository_exist() {
    let mut paths = 0;
    for document in documents() {
        let text = read(&document);
        for path in text.split('`').skip(1).step_by(2) {
            let ours = ["src/", "tests/", "docs/", "contrib/"].iter().any(|folder| path.starts_with(folder));
            if ours && !path.contains(['*', '{', ' ', '\n']) {
                paths += 1;
                assert!(root().join(path).exists(), "{document}: there is no {path}");
            }
        }
    }
    assert!(paths >= 8, "{paths} paths are fewer than there must be");
}

#[test]
fn every_line_that_the_source_can_log_is_in_the_document_of_the_log() {
    // What is written, and what else becomes the end of such a line.
    const WRITTEN: [&str; 3] = ["log::error!(", "log::warn!(", "log::info!("];
    const PASSED_ON: [&str; 3] = [".trouble(", ".failed(", ".refused("];
    let page: String = read("docs/LOG.md").split_whitespace().collect::<Vec<_>>().join(" ");
    let (mut pieces, mut missing) = (0, Vec::new());
    for file in sources(&root().join("src")) {
        let text = fs::read_to_string(&file).unwrap();
        let calls = WRITTEN.iter().chain(&PASSED_ON).flat_map(|call| text.split(call).skip(1));
        for piece in calls.flat_map(fixed_pieces) {
            pieces += 1;
            if !page.contains(&piece) {
                missing.push(format!("{}: {piece:?}", file.display()));
            }
        }
    }
    assert!(pieces >= 70, "{pieces} are fewer than there must be");
    assert!(missing.is_empty(), "not in docs/LOG.md:\n{}", missing.join("\n"));
}

/// Of the text that a call begins with, what stands between placeholders, where it is a word at least; of each the
/// beginning, for the document shortens. A call that begins with something else passes on what others made.
fn fixed_pieces(call: &str) -> Vec<String> {
    let call = call.trim_start().trim_start_matches("format_args!(").trim_start();
    let Some(literal) = call.strip_prefix('"') else { return Vec::new() };
    let literal = literal.replace("\\\"", "\u{1}");
    let text = literal.split('"').next().unwrap_or_default().replace('\u{1}', "\"");
    let text = text.replace("{{", "").replace("}}", "").replace("\\\n", " ");
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    let pieces = text.split('{').map(|piece| piece.split_once('}').map_or(piece, |(_, behind)| behind));
    let words = pieces.filter(|piece| piece.chars().filter(|it| it.is_alphabetic()).count() >= 3);
    words.map(|piece| piece.trim().chars().take(20).collect::<String>().trim_end().to_owned()).collect()
}

#[test]
fn fixed_pieces_are_found() {
    assert_eq!(fixed_pieces("\n    \"{a}: read again, {n} users\", 1)"), [": read again,", "users"]);
    assert_eq!(fixed_pieces("format_args!(\"a \\\"b\\\" \\\n   and more\")"), ["a \"b\" and more"]);
    assert!(fixed_pieces("\"{line}\")").is_empty() && fixed_pieces("error)").is_empty());
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let below = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(below).filter(|path| !path.ends_with("tests.rs")).collect()
}

fn poppet(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_poppet")).args(arguments).output().unwrap()
}

fn texts(output: &Output) -> (String, String) {
    let text = |octets: &[u8]| String::from_utf8(octets.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    let (_, behind) = text.split_once(begin).unwrap_or_else(|| panic!("there is no {begin:?}"));
    behind.split(end).next().unwrap()
}

/// README, the change log, and all of `docs`.
fn documents() -> Vec<String> {
    let entries =
        fs::read_dir(root().join("docs")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let docs = entries.filter(|name| name.ends_with(".md")).map(|name| format!("docs/{name}"));
    ["README.md".to_owned(), "CHANGELOG.md".to_owned()].into_iter().chain(docs).collect()
}

/// A manual page, with its hyphens as they are shown.
fn roff(path: &str) -> String {
    read(path).replace("\\-", "-")
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn root() -> PathBuf {
    env!("CARGO_MANIFEST_DIR").into()
}
