//! The shell: where protocol, files and octets meet.
//!
//! Owns: connections, their turns, their time, their jobs.
//! Does not know: what POP3 says (`proto`), how mail lies on disk (`maildir`), how TLS works (`net`).

mod admission;
mod certificates;
mod connection;
mod deadlines;
mod event_loop;
mod herald;
mod house;
mod listeners;
mod pump;
mod quota;
mod record;
mod signals;
mod socket;
pub mod status;
mod wait;
mod worker;

pub use certificates::{Arrival, Certificates, Files, Source, tell};
pub use event_loop::{ServeError, Settings, serve};
pub use house::Rules;
pub use listeners::{Kind, Listener, bind};
pub use worker::Office;

/// Names a connection for as long as the program runs: an id is never used again.
///
/// An outcome may come for a connection that has gone, and must not meet its successor.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub(crate) struct Id {
    serial: u64,
    /// Where it is in the house, which is used again.
    place: usize,
}

#[cfg(test)]
impl Id {
    fn for_test(serial: u64) -> Id {
        Id { serial, place: serial as usize }
    }
}
