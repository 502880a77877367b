//! The manual pages: poppet(1) has the commands and options of the program, poppet.toml(5) the keys of the reader, and
//! mandoc finds nothing wrong with any.

use std::collections::BTreeSet;
use std::fs;
use std::process::Command;

use clap::builder::StyledStr;
use clap::{Arg, ArgAction};
use poppet::config::SECTIONS;

use crate::common::needs;
use crate::{is_current, ours};

#[test]
fn synopsis_and_options_of_the_manual_page_are_those_of_the_program() {
    let page = fs::read_to_string(ours("docs/man/poppet.1")).unwrap();
    let mut program = poppet::cli::definition();
    program.build();
    let pieces: Vec<&str> = page.split(BEGIN).collect();
    let [head, synopsis, options] = pieces[..] else { panic!("{} made parts, not 2", pieces.len() - 1) };
    let behind = |part: &str| part.split_once(END).expect("an end of the made part").1.to_owned();
    let due = [
        head.to_owned(),
        synopsis_of(&program) + END + &behind(synopsis),
        options_of(&program) + END + &behind(options),
    ];
    is_current("docs/man/poppet.1", &due.join(BEGIN));
}

#[test]
fn every_command_is_told_about() {
    let page = fs::read_to_string(ours("docs/man/poppet.1")).unwrap();
    let told = between(&page, ".Ss Commands\n", ".Ss ");
    let told: BTreeSet<&str> = told.lines().filter_map(|line| line.strip_prefix(".It Cm ")).collect();
    let program = poppet::cli::definition();
    assert_eq!(told, program.get_subcommands().map(clap::Command::get_name).collect());
}

#[test]
fn configuration_page_has_every_key_that_the_reader_knows_and_no_other() {
    let page = fs::read_to_string(ours("docs/man/poppet.toml.5")).unwrap().replace("\\-", "-");
    let mut told = Vec::new();
    for part in page.split(".Ss [").skip(1) {
        let (section, text) = part.split_once("]\n").unwrap();
        for key in text.split(".Sh ").next().unwrap().lines().filter_map(|line| line.strip_prefix(".It Cm ")) {
            let also = format!("[[{section}.");
            told.push((section, key.strip_prefix(&also).map_or(key, |key| key.trim_end_matches("]]"))));
        }
    }
    let known = SECTIONS.iter().flat_map(|(section, keys)| keys.iter().map(move |key| (*section, *key)));
    assert_eq!(told, known.collect::<Vec<_>>());
}

#[test]
fn pages_are_sound() {
    if !needs("mandoc") {
        return;
    }
    for page in ["poppet.1", "poppet.toml.5", "poppet-users.5"] {
        // STYLE, the level below, would have lines of at most 80 octets.
        let lint = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).arg(ours("docs/man").join(page)).output();
        let lint = lint.unwrap();
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
    }
}

const BEGIN: &str = ".\\\" made\n";
const END: &str = ".\\\" /made\n";

fn synopsis_of(program: &clap::Command) -> String {
    let mut text = String::new();
    for command in program.get_subcommands() {
        text += &format!(".Nm\n.Cm {}\n", command.get_name());
        for argument in command.get_arguments().filter(|it| !is_about_the_program(it)) {
            let optional = if argument.is_required_set() { "" } else { "Op " };
            text += &format!(".{optional}{}\n", name_of(argument));
        }
    }
    let flags: Vec<String> = program.get_arguments().filter_map(Arg::get_long).map(flag).collect();
    text + &format!(".Nm\n.{}\n", flags.join(" | "))
}

fn options_of(program: &clap::Command) -> String {
    let own = program.get_subcommands().flat_map(clap::Command::get_arguments);
    let own = own.filter(|argument| !is_about_the_program(argument) && !argument.is_positional());
    let mut names = BTreeSet::new();
    let mut text = ".Bl -tag -width Ds\n".to_owned();
    for argument in own.chain(program.get_arguments()) {
        if !names.insert(argument.get_id()) {
            continue;
        }
        let short = argument.get_short().map(|short| format!("Fl {short} , ")).unwrap_or_default();
        text += &format!(".It {short}{}\n", name_of(argument));
        text += &sentence(argument.get_long_help().or(argument.get_help()));
        let default: Vec<_> = argument.get_default_values().iter().map(|it| escaped(&it.to_string_lossy())).collect();
        // A flag that is not there is not there.
        if !default.is_empty() && argument.get_action().takes_values() {
            text += &format!("Without it:\n.Li {} .\n", default.join(" "));
        }
        let values: Vec<_> = argument.get_possible_values().into_iter().filter(|it| it.get_help().is_some()).collect();
        if values.is_empty() {
            continue;
        }
        text += ".Bl -tag -width Ds\n";
        for value in values {
            text += &format!(".It Cm {}\n{}", escaped(value.get_name()), sentence(value.get_help()));
        }
        text += ".El\n";
    }
    text + ".El\n"
}

/// `--help` and `--version`, which every command has.
fn is_about_the_program(argument: &Arg) -> bool {
    matches!(argument.get_action(), ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong | ArgAction::Version)
}

/// Macros for an argument and its value.
fn name_of(argument: &Arg) -> String {
    let takes_value = argument.get_action().takes_values();
    let value = argument.get_value_names().filter(|_| takes_value).and_then(|names| names.first());
    let value = value.map(|name| format!("Ar {}", escaped(&name.to_lowercase())));
    let parts = [argument.get_long().map(flag), value];
    parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

fn flag(long: &str) -> String {
    format!("Fl \\-{}", escaped(long))
}

/// Help says sentences without their last stop.
fn sentence(help: Option<&StyledStr>) -> String {
    let text = escaped(&help.map(StyledStr::to_string).unwrap_or_default());
    format!("{}.\n", text.trim_end_matches('.'))
}

fn escaped(text: &str) -> String {
    text.replace('\\', "\\e").replace('-', "\\-")
}

fn between<'t>(text: &'t str, begin: &str, end: &str) -> &'t str {
    text.split_once(begin).expect(begin).1.split(end).next().unwrap()
}
