//! POP3 itself (RFC 1939, 2449, 2595, 3206, 5034, 6856), pure.
//!
//! Owns: every octet that is said to a client, and every one that is understood from it.
//! Does not know: sockets, files, clocks, mio, rustls. It is told what happened and says what to do.

pub mod command;
pub mod line;
pub mod listing;
pub mod reply;
pub mod sasl;
pub mod session;
pub mod stuffing;
