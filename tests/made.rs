//! What is made from the program's own definitions is current: synopsis and options of poppet(1), the completions.
//!
//! `POPPET_WRITE=1 cargo test --test made` writes them anew. The shells themselves then try the completions.

#[path = "made/manual.rs"]
mod manual;
#[path = "made/shells.rs"]
mod shells;

mod common;

use std::fs;
use std::path::{Path, PathBuf};

/// The file at `path` of this repository must be `due`, or becomes it where it is to be written.
fn is_current(path: &str, due: &str) {
    let file = ours(path);
    if std::env::var("POPPET_WRITE").as_deref() == Ok("1") {
        fs::write(&file, due).unwrap_or_else(|error| panic!("{path}: {error}"));
    }
    let found = fs::read_to_string(&file).unwrap_or_else(|error| panic!("{path}: {error}"));
    assert!(found == due, "{path} is out of date: POPPET_WRITE=1 cargo test --test made\nIt should be:\n{due}");
}

/// A file of this repository.
fn ours(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
