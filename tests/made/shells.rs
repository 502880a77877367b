//! The completions for bash, zsh and fish, and what each shell then offers.

use std::process::Command;

use clap_complete::{Shell, generate};

use crate::common::needs;
use crate::{is_current, ours};

/// Each shell and its file, by the name under which the shell looks for it.
const FILES: [(Shell, &str); 3] = [
    (Shell::Bash, "contrib/completions/poppet.bash"),
    (Shell::Zsh, "contrib/completions/_poppet"),
    (Shell::Fish, "contrib/completions/poppet.fish"),
];

/// What is typed, and a word that must be among what is offered.
const OFFERS: [(&str, &str); 4] = [
    ("poppet se", "serve"),
    ("poppet check --con", "--config"),
    ("poppet hash --scheme b", "bcrypt"),
    ("poppet --v", "--version"),
];

#[test]
fn completions_are_those_of_the_program() {
    for (shell, path) in FILES {
        let mut due = Vec::new();
        generate(shell, &mut poppet::cli::definition(), "poppet", &mut due);
        is_current(path, &String::from_utf8(due).unwrap());
    }
}

#[test]
fn bash_completes() {
    if !needs("bash") {
        return;
    }
    let script = r#"
        source "$1"
        COMP_WORDS=($2) COMP_CWORD=$((${#COMP_WORDS[@]} - 1)) COMP_LINE=$2 COMP_POINT=${#2}
        complete=$(complete -p poppet)
        [[ $complete =~ -F\ ([^ ]+) ]]
        "${BASH_REMATCH[1]}" poppet "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    offers(|typed| Command::new("bash").args(["-ec", script, "bash"]).arg(ours(FILES[0].1)).arg(typed).output());
}

#[test]
fn zsh_completes() {
    if !(needs("zsh") && needs("python3")) {
        return;
    }
    // Completion in zsh works at a terminal only: the script types the line, a tab or two, and reads the screen.
    offers(|typed| {
        let script = ours("tests/made/zsh.py");
        Command::new("python3").arg(script).arg(ours("contrib/completions")).arg(typed).output()
    });
}

#[test]
fn fish_completes() {
    if !needs("fish") {
        return;
    }
    let script = "source $argv[1]; complete --do-complete $argv[2]";
    offers(|typed| Command::new("fish").args(["--no-config", "-c", script]).arg(ours(FILES[2].1)).arg(typed).output());
}

fn offers(ask: impl Fn(&str) -> std::io::Result<std::process::Output>) {
    for (typed, due) in OFFERS {
        let output = ask(typed).unwrap();
        let offered = String::from_utf8_lossy(&output.stdout);
        let found = offered.split(|it: char| it.is_whitespace() || "=,".contains(it)).any(|word| word == due);
        assert!(found, "{typed:?} offers no {due:?}: {offered}{}", String::from_utf8_lossy(&output.stderr));
    }
}
