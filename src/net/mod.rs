//! Octets over `Read` and `Write`, in clear text or TLS. Knows no mio and no protocol.
pub mod tls;
