//! What the operator says by signals.
//!
//! Owns: which signals mean what.
//! Does not know: what is done about them.

use std::io;

use mio::{Registry, Token};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use signal_hook_mio::v1_0::Signals;

/// Signals as an event source.
pub struct Incoming(Signals);

/// What a signal asks for.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Wish {
    /// SIGTERM, SIGINT: end in order.
    Stop,
    /// SIGHUP, which others use to have files read again. Here they are read when they change.
    LookAgain,
}

impl Incoming {
    /// Catches the signals from here on.
    ///
    /// # Errors
    /// Where the system refuses.
    pub fn new(registry: &Registry, token: Token) -> io::Result<Incoming> {
        let mut signals = Signals::new([SIGTERM, SIGINT, SIGHUP])?;
        registry.register(&mut signals, token, mio::Interest::READABLE)?;
        Ok(Incoming(signals))
    }

    /// What has arrived.
    pub fn wishes(&mut self) -> impl Iterator<Item = Wish> + '_ {
        self.0.pending().map(|signal| if signal == SIGHUP { Wish::LookAgain } else { Wish::Stop })
    }
}
