//! poppet, a minimal POP3 server for Maildirs.
//!
//! ```text
//! socket -> Transport -> LineBuffer -> Command -> Session::command -> Effect
//! socket <- Transport <- Outbox <- Reply, a pump (listing, message) while there is room, or the outcome of a job
//! ```
//!
//! Arrows run one way: `main` -> [`cli`] -> [`server`] -> {[`proto`], [`maildir`], [`auth`], [`net`]} -> leaves.
//! `docs/DESIGN.md` tells why.

pub mod auth;
pub mod cli;
pub mod config;
mod confine;
mod keeper;
pub mod log;
pub mod maildir;
pub mod maildrop;
pub mod net;
pub mod privileges;
mod processors;
pub mod proto;
pub mod secret;
pub mod server;
pub mod systemd;
pub mod user;
