//! The command line.
//!
//! Owns: the commands, their options, exit codes, how an error is shown.
//! Does not know: how any of them does its work.

mod allocator;
pub mod check;
#[cfg(feature = "demo")]
mod demo;
pub mod hash;
mod serve;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::{config::defaults::CONFIG_PATH, log::Style};

/// A minimal POP3 server for Maildirs.
#[derive(Parser, Debug)]
#[command(name = "poppet", version, about, disable_help_subcommand = true)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve sample mail from a temporary folder, on 127.0.0.1 ports 1110 and 1995
    #[cfg(feature = "demo")]
    Demo,
    /// Serve mail
    Serve {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
        config: PathBuf,
    },
    /// Read everything that serve would, and say in words what is wrong and how to mend it
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
        config: PathBuf,
    },
    /// Make a line for the users file from a password
    Hash(hash::Options),
}

impl Command {
    /// Whether it runs until it is told to end.
    fn serves(&self) -> bool {
        match self {
            #[cfg(feature = "demo")]
            Command::Demo => true,
            Command::Serve { .. } => true,
            Command::Check { .. } | Command::Hash(_) => false,
        }
    }
}

/// The configuration is wrong (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// The commands and options, as a definition that manual page and completions are made from.
pub fn definition() -> clap::Command {
    Arguments::command()
}

/// Runs the program: reads its arguments, does what they say.
pub fn run() -> ExitCode {
    let command = Arguments::parse().command;
    if command.serves() {
        allocator::settle();
        // One event, one line: what panicked is told like everything else.
        std::panic::set_hook(Box::new(|panic| log::error!("a fault in poppet, please report it: {panic}")));
    }
    match command {
        #[cfg(feature = "demo")]
        Command::Demo => {
            crate::log::init(Style::Demo);
            shown(demo::run(), 1)
        }
        Command::Serve { config } => {
            crate::log::init(Style::of_stderr());
            match serve::prepare(&config) {
                Ok(settings) => shown(crate::server::serve(settings), 1),
                Err(error) => shown(Err::<(), _>(error), EX_CONFIG),
            }
        }
        Command::Check { config } => check::run(&config),
        Command::Hash(options) => shown(hash::run(&options), 1),
    }
}

fn shown(done: Result<(), impl std::fmt::Display>, code: u8) -> ExitCode {
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("poppet: {error}");
            ExitCode::from(code)
        }
    }
}
