//! Octets over `Read` and `Write`, in clear text or TLS.
//!
//! Owns: what waits to be sent, how TLS is spoken, which certificates there are, how a proxy names a client.
//! Does not know: mio, what the octets mean, who the client is.

pub mod outbox;
pub mod proxy;
pub mod tls;
pub mod transport;
