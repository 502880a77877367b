//! Every default of the configuration file and every bound on its values, each with its reason.
//!
//! Owns: the figures. Does not know: how they are read, or what obeys them.

use std::time::Duration;

/// Where `serve` and `check` look when no `--config` is given.
pub const CONFIG_PATH: &str = "/etc/poppet/poppet.toml";

/// `[listen] pop3`: the port of RFC 1939, on every address. `[::]` takes IPv4 clients as well.
pub const POP3: &str = "[::]:110";

/// `[listen] pop3s`: the port that RFC 8314 section 7.3 gives to POP3 over TLS.
pub const POP3S: &str = "[::]:995";

/// `[tls] certificate`: beside the configuration; the name is certbot's.
pub const CERTIFICATE: &str = "/etc/poppet/fullchain.pem";

/// `[tls] private-key`: as [`CERTIFICATE`].
pub const PRIVATE_KEY: &str = "/etc/poppet/privkey.pem";

/// `[mail] maildir`: where delivery agents of systems without home directories put mail.
pub const MAILDIR: &str = "/var/mail/{user}";

/// `[mail] mark-seen`: webmail on the same Maildir then shows as read what a POP3 client took.
pub const MARK_SEEN: bool = true;

/// `[users] file`: beside the configuration.
pub const USERS_FILE: &str = "/etc/poppet/users";

/// `[login] plaintext-from`: what never leaves the machine can't be overheard.
pub const PLAINTEXT_FROM: [&str; 2] = ["127.0.0.0/8", "::1"];

/// `[process] user`: an account that owns the mail and nothing else.
pub const PROCESS_USER: &str = "poppet";

/// `[process] status`: a folder that systemd and init scripts make, and that is gone after a restart of the machine.
pub const STATUS: &str = "/run/poppet/status";

/// `[limits] connections`: 10,000 idle TLS sessions of at most 32 KiB each are some 300 MB, the most that a
/// small server has to spare.
pub const CONNECTIONS: u32 = 10_000;

/// `[limits] connections-per-address`: an office behind one address fits in; one stranger can hold no more
/// than a two-hundredth of [`CONNECTIONS`].
pub const CONNECTIONS_PER_ADDRESS: u32 = 50;

/// The most that either of the two may say: a descriptor each, and Linux hands out 1,048,576 to a process.
pub const CONNECTIONS_AT_MOST: u32 = 1_000_000;

/// `[limits] login-time`: greeting, TLS handshake and password in all. A person's mail program needs a second,
/// a modem ten; every second more is one that a silent stranger holds a place.
pub const LOGIN_TIME: Duration = Duration::from_secs(60);

/// The least `login-time`: below it a slow line can't finish a TLS handshake.
pub const LOGIN_TIME_AT_LEAST: Duration = Duration::from_secs(1);

/// `[limits] idle-time`: RFC 1939 section 3 allows no less, and more only keeps dead clients longer.
pub const IDLE_TIME: Duration = Duration::from_secs(600);

/// `[limits] takeover-after`: a phone that changed networks tries again after some 30 seconds, and must not
/// meet the lock of its own dead connection.
pub const TAKEOVER_AFTER: Duration = Duration::from_secs(30);

/// The longest of any duration: a week. More is a slip of the pen, and far from what a clock can add.
pub const DURATION_AT_MOST: Duration = Duration::from_secs(7 * 24 * 3600);
