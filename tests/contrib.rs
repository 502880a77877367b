//! What lies in `contrib/`, each tried with the tool that it is for.
//!
//! Owns: how such a tool is run, and a throw-away root to run it in.
//! Does not know: what the server does; other tests do.

#[path = "contrib/debian.rs"]
mod debian;
#[path = "contrib/openrc.rs"]
mod openrc;
#[path = "contrib/recipes.rs"]
mod recipes;
#[path = "contrib/systemd.rs"]
mod systemd;

mod common;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// A file or folder of this repository.
fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}

/// The text of a file of this repository.
fn text(path: &str) -> String {
    std::fs::read_to_string(ours(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// The program that is tested.
fn poppet() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_poppet"))
}

/// Runs a script of `tests/contrib` in namespaces of its own, on a copy of this machine, in which a port is free. It
/// must come to its end; what it said.
fn on_a_copy(script: &str, arguments: &[&Path]) -> String {
    let copy = tempfile::tempdir().unwrap();
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--pid", "--fork", "sh"]).arg(ours("tests/contrib").join(script)).arg(copy.path());
    let told = done(unshare.args(arguments).arg(port.to_string()));
    assert!(told.contains("== done\n"), "{told}");
    told
}

/// All that `output` has to say, for comparing and for messages.
fn said(output: &Output) -> String {
    let text = |octets| String::from_utf8_lossy(octets).into_owned();
    text(&output.stdout) + &text(&output.stderr)
}

/// Runs `command`, which must succeed; what it said.
fn done(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, said(&output));
    said(&output)
}
