//! The command line.
//!
//! Owns: the commands, their options, exit codes, how an error is shown.
//! Does not know: how any of them does its work.

mod allocator;
pub mod check;
#[cfg(feature = "demo")]
mod demo;
pub mod hash;
mod reach;
mod serve;
mod status;

use std::{path::PathBuf, process::ExitCode};

use clap::{CommandFactory as _, Parser, Subcommand};

use serve::Way;

use crate::{
    config::defaults::CONFIG_PATH,
    keeper::{Keeper, KeeperError},
    log::Style,
    privileges::{self, Identity},
};

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
    /// The server of a keeper, which alone starts it
    #[command(hide = true)]
    Server(ServerOptions),
    /// Read everything that serve would, and say in words what is wrong and how to mend it
    Check {
        /// The configuration file
        #[arg(long, value_name = "FILE", default_value = CONFIG_PATH)]
        config: PathBuf,
    },
    /// Tell how a server that runs stands: who is logged in, what it has done so far
    Status(status::Options),
    /// Make a line for the users file from a password
    Hash(hash::Options),
}

/// How the keeper starts its server. Texts, for each type that clap parses costs some KiB of program.
#[derive(clap::Args, Debug)]
struct ServerOptions {
    #[arg(long)]
    config: PathBuf,
    /// UID:GID:FURTHER,GROUPS
    #[arg(long = "as")]
    identity: String,
    #[arg(long)]
    open_files: String,
}

impl ServerOptions {
    /// Nothing is read before this is done.
    fn give_up(&self) -> Result<(), privileges::NotGivenUp> {
        // It was started as /proc/self/exe; where the name can't be set, that one stays.
        let _ = rustix::thread::set_name(c"poppet");
        let numbers = Identity::of_numbers(&self.identity).zip(self.open_files.parse().ok());
        let (identity, open_files) = numbers.ok_or(privileges::NotGivenUp::Nobody)?;
        privileges::give_up(&identity, open_files)
    }
}

impl Command {
    /// Whether it runs until it is told to end.
    fn serves(&self) -> bool {
        match self {
            #[cfg(feature = "demo")]
            Command::Demo => true,
            Command::Serve { .. } | Command::Server(_) => true,
            Command::Check { .. } | Command::Status(_) | Command::Hash(_) => false,
        }
    }
}

/// The configuration is wrong (EX_CONFIG of sysexits.h).
const EX_CONFIG: u8 = 78;

/// The commands and options that `--help` shows, as a definition that manual page and completions are made from.
pub fn definition() -> clap::Command {
    let whole = Arguments::command();
    // Completions would offer what is hidden.
    let shown: Vec<clap::Command> = whole.get_subcommands().filter(|it| !it.is_hide_set()).cloned().collect();
    let about = whole.get_about().cloned().unwrap_or_default();
    clap::Command::new("poppet")
        .version(env!("CARGO_PKG_VERSION"))
        .about(about)
        .disable_help_subcommand(true)
        .subcommands(shown)
}

/// Runs the program: reads its arguments, does what they say.
pub fn run() -> ExitCode {
    let command = Arguments::parse().command;
    if command.serves() {
        // The keeper has seen to it.
        if !matches!(command, Command::Server(_)) {
            allocator::settle();
        }
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
                Ok(Way::Server(settings)) => shown(crate::server::serve(*settings), 1),
                Ok(Way::Keeper(keeper)) => kept(keeper),
                Err(error) => shown(Err::<(), _>(error), EX_CONFIG),
            }
        }
        Command::Server(options) => {
            let given_up = options.give_up();
            crate::log::init(Style::of_stderr());
            match given_up.map_err(Into::into).and_then(|()| serve::prepare_server(&options.config)) {
                Ok(settings) => shown(crate::server::serve(settings), 1),
                Err(error) => shown(Err::<(), _>(error), EX_CONFIG),
            }
        }
        Command::Check { config } => check::run(&config),
        Command::Status(options) => shown(status::run(&options), 1),
        Command::Hash(options) => shown(hash::run(&options), 1),
    }
}

fn kept(keeper: Keeper) -> ExitCode {
    match keeper.run() {
        // Its server has said why.
        Err(error @ KeeperError::NotStarted(_)) => ExitCode::from(error.code()),
        done => {
            let code = done.as_ref().map_or_else(KeeperError::code, |()| 0);
            shown(done, code)
        }
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
