//! Instructions of a case, and the baseline beside them.
//!
//! Owns: callgrind, the form of `baseline.txt`. Does not know: what a case does.

use std::env;
use std::fs;
use std::path::Path;
use std::process::{Command, ExitCode};

use crate::cases::{Case, Input};

/// Counts each case and prints it beside its baseline. Fails where a case can't be counted, never for a figure.
pub fn count<'a>(cases: impl Iterator<Item = &'a Case>, size: usize) -> ExitCode {
    if Command::new("valgrind").arg("--version").output().is_err() {
        println!("skipped: needs valgrind");
        return ExitCode::SUCCESS;
    }
    let baseline = baseline();
    println!("{:<22} {:>14} {:>14} {:>7}", "instructions", "now", "baseline", "ratio");
    for case in cases {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let input = Input { size, maildir: folder.path().into() };
        (case.prepare)(&input);
        // Once without callgrind, for the number of units.
        let units = (case.run)(&input);
        let Some(instructions) = instructions(case.name, folder.path()) else {
            println!("{:<22} callgrind says no figure", case.name);
            return ExitCode::FAILURE;
        };
        let now = instructions as f64 / units as f64;
        let before = baseline.iter().find(|(name, _)| name == case.name).map(|(_, figure)| *figure);
        let (old, ratio) =
            before.map_or_else(Default::default, |old| (format!("{old:.3}"), format!("{:.3}", now / old)));
        println!("{:<22} {now:>14.3} {old:>14} {ratio:>7}  a {}", case.name, case.unit);
    }
    ExitCode::SUCCESS
}

fn instructions(case: &str, folder: &Path) -> Option<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*measured*"])
        .arg(env::current_exe().expect("this program"))
        .args(["--case", case])
        .arg(folder)
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text.lines().find_map(|line| line.split_once("Collected : ")).map(|(_, figure)| figure.trim());
    collected.and_then(|figure| figure.parse().ok()).filter(|&figure| figure > 0)
}

/// `name figure` lines; `#` begins a comment.
fn baseline() -> Vec<(String, f64)> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bench/baseline.txt");
    let text = fs::read_to_string(path).unwrap_or_default();
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let figure = |line: &str| {
        let mut words = line.split_whitespace();
        Some((words.next()?.to_owned(), words.next()?.parse().ok()?))
    };
    lines.filter_map(figure).collect()
}
