//! One answer in its three forms.

use super::*;

const ANSWER: &str = "poppet-status 1
server version:0.1.0 pid=7 started=1800000000 uptime=93784
memory resident=8388608 anonymous=4194304
listeners kind:pop3 address:[::]:110
listeners kind:pop3s address:[::]:995
now connections=3 sessions=2 slowed=1
totals connections=20 logins=8 failed=2 refused=1 retr-messages=14 retr-octets=1500 top-messages=0 top-octets=0 deleted=18 left=19
closed quit=15 disconnected=2 timeout=0 taken-over=1
index whole=6 part=1 nothing=1
certificates path:/etc/poppet/a\"b.pem names:mail.example.org,localhost ends=1805187605 days=60
certificates path:/etc/poppet/old.pem names:old.example.org ends=1799999999 days=0
sessions user:ada address:192.0.2.7 tls:1.3 since=1800093724 seconds=60 idle=7 messages=14 retr-messages=1 retr-octets=931 top-messages=0 top-octets=0 marked=1
sessions user:o\"brien\\x2c address:2001:db8::1 tls:no since=1800086584 seconds=7200 idle=0 messages=0 retr-messages=0 retr-octets=0 top-messages=0 top-octets=0 marked=0
end
";

fn report() -> Report<'static> {
    Report::parse(ANSWER).unwrap()
}

#[test]
fn people_get_a_summary_and_a_table() {
    let due = r#"poppet 0.1.0, process 7, for 1d2h, 8192 KiB of memory
listening at [::]:110 (clear text until STLS)
listening at [::]:995 (TLS)
certificate /etc/poppet/a"b.pem for mail.example.org,localhost: 60 days left
certificate /etc/poppet/old.pem for old.example.org: expired
connections: 3 now, 20 since the start
ended: 15 quit, 2 disconnected, 1 taken-over
logins: 8, with a wrong password 2, refused 1; networks that are slowed down: 1
messages: sent by RETR 14 (1500 octets), by TOP 0 (0 octets); deleted 18, left 19
index: told all at 6 logins (75 %), a part at 1, nothing at 1

USER         ADDRESS      TLS  FOR   IDLE  MESSAGES  RETR   TOP  DELE
ada          192.0.2.7    1.3  1m0s  7s    14        1/931  0/0  1
o"brien\x2c  2001:db8::1  no   2h0m  0s    0         0/0    0/0  0
"#;
    assert_eq!(for_people(&report()), due);
}

#[test]
fn nobody_is_said_in_words() {
    let text = format!("{}\n{}\n", crate::server::status::FIRST, crate::server::status::LAST);
    let told = for_people(&Report::parse(&text).unwrap());
    assert!(told.ends_with("nobody is logged in\n"), "{told}");
}

#[test]
fn json_has_each_thing_under_its_name() {
    let due = r#"{
  "server": {"version": "0.1.0", "pid": 7, "started": 1800000000, "uptime": 93784},
  "memory": {"resident": 8388608, "anonymous": 4194304},
  "now": {"connections": 3, "sessions": 2, "slowed": 1},
  "totals": {"connections": 20, "logins": 8, "failed": 2, "refused": 1, "retr_messages": 14, "retr_octets": 1500, "top_messages": 0, "top_octets": 0, "deleted": 18, "left": 19},
  "closed": {"quit": 15, "disconnected": 2, "timeout": 0, "taken_over": 1},
  "index": {"whole": 6, "part": 1, "nothing": 1},
  "listeners": [
    {"kind": "pop3", "address": "[::]:110"},
    {"kind": "pop3s", "address": "[::]:995"}
  ],
  "certificates": [
    {"path": "/etc/poppet/a\"b.pem", "names": "mail.example.org,localhost", "ends": 1805187605, "days": 60},
    {"path": "/etc/poppet/old.pem", "names": "old.example.org", "ends": 1799999999, "days": 0}
  ],
  "sessions": [
    {"user": "ada", "address": "192.0.2.7", "tls": "1.3", "since": 1800093724, "seconds": 60, "idle": 7, "messages": 14, "retr_messages": 1, "retr_octets": 931, "top_messages": 0, "top_octets": 0, "marked": 1},
    {"user": "o\"brien\\x2c", "address": "2001:db8::1", "tls": "no", "since": 1800086584, "seconds": 7200, "idle": 0, "messages": 0, "retr_messages": 0, "retr_octets": 0, "top_messages": 0, "top_octets": 0, "marked": 0}
  ]
}
"#;
    assert_eq!(json::of(&report()), due);
}

#[test]
fn prometheus_gets_no_user_and_no_figure_that_was_not_told() {
    let told = prometheus::of(&report());
    for line in [
        "# HELP poppet_sessions Clients that have logged in.\n# TYPE poppet_sessions gauge\npoppet_sessions 2\n",
        "# TYPE poppet_messages_sent_total counter\npoppet_messages_sent_total{command=\"retr\"} 14\n",
        "poppet_index_logins_total{told=\"whole\"} 6\n",
        "poppet_closed_total{reason=\"taken-over\"} 1\n",
        "poppet_certificate_end_timestamp_seconds{path=\"/etc/poppet/a\\\"b.pem\"} 1805187605\n",
        "poppet_build_info{version=\"0.1.0\"} 1\n",
    ] {
        assert!(told.contains(line), "{line}\n{told}");
    }
    assert!(!told.contains("ada") && !told.contains("brien"), "{told}");
    let text = ANSWER.replace("memory resident=8388608 anonymous=4194304\n", "");
    assert!(!prometheus::of(&Report::parse(&text).unwrap()).contains("memory"));
}

#[test]
fn spans_have_two_units() {
    assert_eq!(
        [0, 59, 60, 3599, 3600, 86399, 86400].map(span),
        ["0s", "59s", "1m0s", "59m59s", "1h0m", "23h59m", "1d0h"]
    );
}
