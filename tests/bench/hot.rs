//! The hot functions, counted in instructions: figures that another program on the machine can't move.
//!
//! Owns: which functions count as hot, what they are fed, what a figure is divided by.
//! Does not know: callgrind's ways, which `counter` knows.
//!
//! `cargo bench` counts each case and shows it beside `tests/bench/baseline.txt`; `cargo bench -- stuffing` those with
//! that word in their names. `cargo test` only sees that each case runs.

mod cases;
mod counter;

use std::env;
use std::process::ExitCode;

use cases::{CASES, Input};

/// Messages, lines or blocks in a case that is counted.
const SIZE: usize = 100_000;
/// In a case that only has to run.
const SMALL: usize = 100;

fn main() -> ExitCode {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [flag, name, path] = &arguments[..] {
        if flag == "--case" {
            let case = CASES.iter().find(|case| case.name == name).expect("a case of that name");
            (case.run)(&Input { size: SIZE, maildir: path.into() });
            return ExitCode::SUCCESS;
        }
    }
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let chosen = CASES.iter().filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(*word)));
    if arguments.iter().any(|word| word == "--bench") {
        return counter::count(chosen, SIZE);
    }
    for case in chosen {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = Input { size: SMALL, maildir: folder.path().into() };
        (case.prepare)(&input);
        assert!((case.run)(&input) > 0, "{} did nothing", case.name);
        println!("bench case {} runs", case.name);
    }
    ExitCode::SUCCESS
}
