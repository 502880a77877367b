//! A device without TLS, as `docs/PRINTERS.md` sets it up. Python's poplib plays the device.

mod common;

use std::fs;
use std::path::Path;
use std::process::Command;

use common::{Server, eventually, needs};

/// What many devices do: no CAPA, no UIDL, each message fetched and deleted. It comes from 127.0.0.9.
const DEVICE: &str = r#"
import poplib, socket, sys

class Device(poplib.POP3):
    def _create_socket(self, timeout):
        return socket.create_connection((self.host, self.port), 20, source_address=("127.0.0.9", 0))

device = Device("127.0.0.1", int(sys.argv[1]))
device.user("printer")
device.pass_(sys.argv[2])
count, octets = device.stat()
for number in range(1, count + 1):
    _, lines, _ = device.retr(number)
    sys.stdout.write("".join(line.decode() + "\n" for line in lines))
    device.dele(number)
device.quit()
"#;

/// The value of `key` in the page's sample, with the device at 127.0.0.9.
fn of_the_page(key: &str) -> String {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/PRINTERS.md")).expect("the page");
    let sample = page.split_once("```toml\n").and_then(|(_, rest)| rest.split_once("```")).expect("a sample").0;
    let line = sample.lines().find_map(|line| line.strip_prefix(key)).expect("the key");
    let value = line.trim_start_matches(" = ").split('#').next().expect("a value");
    value.trim().replace("192.0.2.17", "127.0.0.9")
}

#[test]
fn device_without_tls_prints_its_mail_and_nobody_else_gets_in_without() {
    if !needs("python3") {
        return;
    }
    let password = "0123456789abcdefWXYZ";
    assert_eq!(password.len(), 20, "as long as devices take");
    let server = Server::builder()
        .user("printer", password)
        .config("login.plaintext-from", &of_the_page("plaintext-from"))
        .config("limits.connections-per-address", &of_the_page("connections-per-address"))
        .start();
    let maildir = server.maildir("printer");
    maildir.deliver(b"Subject: 1\n\none\n");
    maildir.deliver(b"Subject: 2\n\ntwo\n");
    let mut stranger = server.connect();
    assert!(stranger.err("USER printer").contains("TLS"));
    for printed in ["Subject: 1\n\none\nSubject: 2\n\ntwo\n", ""] {
        let port = server.plain.port().to_string();
        let done = Command::new("python3").args(["-c", DEVICE, &port, password]).output().expect("run python3");
        let said = String::from_utf8_lossy(&done.stderr);
        assert_eq!((String::from_utf8_lossy(&done.stdout).as_ref(), done.status.success()), (printed, true), "{said}");
    }
    assert!(maildir.names().is_empty(), "what was printed is removed");
    let said = "LOGOUT, user=printer, ip=[127.0.0.9], tls=no, retr=2/";
    eventually("the log has the device", || server.log().contains(said));
    let mut over_tls = server.connect_stls();
    over_tls.log_in("printer", password);
    over_tls.quit();
}
