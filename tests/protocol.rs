//! What the server says and does, case by case, over real sockets.

mod common;

#[path = "protocol/authorization.rs"]
mod authorization;
#[path = "protocol/capabilities.rs"]
mod capabilities;
#[path = "protocol/limits.rs"]
mod limits;
#[path = "protocol/lines.rs"]
mod lines;
#[path = "protocol/listeners.rs"]
mod listeners;
#[path = "protocol/lock.rs"]
mod lock;
#[path = "protocol/logs.rs"]
mod logs;
#[path = "protocol/maildir.rs"]
mod maildir;
#[path = "protocol/octets.rs"]
mod octets;
#[path = "protocol/proxy.rs"]
mod proxy;
#[path = "protocol/sasl.rs"]
mod sasl;
#[path = "protocol/seen.rs"]
mod seen;
#[path = "protocol/throttle.rs"]
mod throttle;
#[path = "protocol/tls.rs"]
mod tls;
#[path = "protocol/transaction.rs"]
mod transaction;
#[path = "protocol/unique_id.rs"]
mod unique_id;
