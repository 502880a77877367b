//! What is told, word for word, and how long anybody is waited for.

use std::io::Read as _;

use super::*;
use crate::{net::tls::KeyKind, user::UserName};

/// A server that has run for an hour, with a session for each of `users`, and the time of day.
fn snapshot(users: &[&str]) -> (Snapshot, SystemTime) {
    let began = Instant::now();
    let taken = began + Duration::from_secs(3600);
    let clock = UNIX_EPOCH + Duration::from_secs(1_800_003_600);
    let row = |user: &&str| Row {
        user: UserName::parse(user.as_bytes()).unwrap(),
        ip: "2001:db8::1".parse().unwrap(),
        tls: "1.3",
        since: began + Duration::from_secs(600),
        heard: taken - Duration::from_secs(7),
        messages: 9,
        retr: Count { messages: 3, octets: 300 },
        top: Count { messages: 4, octets: 40 },
        marked: 2,
    };
    let totals = Totals {
        connections: 20,
        closed: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10],
        logins: 11,
        recalls: [5, 4, 2],
        denied: 12,
        turned_down: 13,
        retr: Count { messages: 14, octets: 15 },
        top: Count { messages: 16, octets: 17 },
        removed: 18,
        left: 19,
    };
    let facts = Facts {
        names: vec!["mail.example.org".to_owned(), "192.0.2.1".to_owned()],
        not_before: UNIX_EPOCH,
        not_after: clock + Duration::from_secs(86400 * 60 + 5),
        chain_length: 1,
        key: KeyKind::EcdsaP256,
        self_signed: false,
        chain_complete: false,
    };
    let sessions = users.iter().map(row).collect();
    let snapshot = Snapshot {
        taken,
        began,
        listeners: vec![(Kind::Pop3, "[::]:110".parse().unwrap()), (Kind::Pop3s, "192.0.2.1:995".parse().unwrap())],
        certificates: vec![("/etc/my\ncertificate\\1.pem".into(), facts)],
        census: Census { connections: 21, sessions, slowed: 22, totals },
    };
    (snapshot, clock)
}

#[test]
fn all_is_told_in_one_line_for_each_thing() {
    let (snapshot, clock) = snapshot(&["ada", "x, ip=[8.8.8.8] y"]);
    let mut told = String::new();
    tell(&snapshot, Some([2048, 1024]), clock, &mut told).unwrap();
    let (version, pid) = (env!("CARGO_PKG_VERSION"), std::process::id());
    let of_session = "address:2001:db8::1 tls:1.3 since=1800000600 seconds=3000 idle=7 messages=9 \
                      retr-messages=3 retr-octets=300 top-messages=4 top-octets=40 marked=2";
    let due = format!(
        "poppet-status 1\n\
         server version:{version} pid={pid} started=1800000000 uptime=3600\n\
         memory resident=2048 anonymous=1024\n\
         listeners kind:pop3 address:[::]:110\n\
         listeners kind:pop3s address:192.0.2.1:995\n\
         now connections=21 sessions=2 slowed=22\n\
         totals connections=20 logins=11 failed=12 refused=13 \
         retr-messages=14 retr-octets=15 top-messages=16 top-octets=17 deleted=18 left=19\n\
         closed quit=1 disconnected=2 timeout=3 refused=4 crowded-out=5 taken-over=6 message-changed=7 shutdown=8 \
         fault=9 turned-away=10\n\
         index whole=5 part=4 nothing=2\n\
         certificates path:/etc/my\\u{{a}}certificate\\x5c1.pem names:mail.example.org,192.0.2.1 ends=1805187605 days=60\n\
         sessions user:ada {of_session}\n\
         sessions user:x\\x2c\\u{{20}}ip=\\x5b8.8.8.8\\x5d\\u{{20}}y {of_session}\n\
         end\n"
    );
    assert_eq!(told, due);
}

#[test]
fn memory_is_what_the_kernel_says() {
    let folder = tempfile::tempdir().unwrap();
    let desk = Desk::new(open(&folder.path().join("status"), Access::Owner).unwrap());
    let [resident, anonymous] = desk.memory().unwrap();
    assert!(anonymous > 0 && resident > anonymous, "{resident} {anonymous}");
    let before = anonymous;
    let more = std::hint::black_box(vec![1u8; 32 << 20]);
    let [_, anonymous] = desk.memory().unwrap();
    assert!(anonymous >= before + (16 << 20), "{before} {anonymous}: it is read once and never again");
    drop(more);
}

#[test]
fn whoever_does_not_read_holds_up_nobody_for_long() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("status");
    let mut desk = Desk::new(open(&path, Access::Owner).unwrap());
    desk.patience = Duration::from_millis(50);
    // Far more than a socket takes.
    let many = vec!["ada"; 10_000];
    start(desk, move || snapshot(&many).0).unwrap();
    let mut stuck = UnixStream::connect(&path).unwrap();
    let mut told = String::new();
    // A reader that reads is told all, if the machine lets it read in time.
    for _ in 0..200 {
        told.clear();
        let mut reader = UnixStream::connect(&path).unwrap();
        reader.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        reader.read_to_string(&mut told).expect("it is held up");
        if told.ends_with("\nend\n") {
            break;
        }
    }
    assert_eq!(told.lines().filter(|line| line.starts_with("sessions ")).count(), 10_000);
    let mut part = String::new();
    stuck.read_to_string(&mut part).unwrap();
    assert!(part.starts_with(FIRST) && !part.ends_with("\nend\n"), "{} octets", part.len());
}
