//! `poppet demo`, as somebody who tries it sees it: it delivers, tells what to type, and what it tells works.
//!
//! Its two ports are fixed: where they are taken the test says `skipped`.

mod common;

use std::fs::{self, File};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{eventually, needs};

#[test]
fn demo_does_what_it_tells_and_leaves_nothing() {
    if !needs("curl") {
        return;
    }
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let Some(mut demo) = Demo::start(scratch.path()) else { return };
    let told = demo.told();
    let messages: usize = told.split(' ').next().and_then(|word| word.parse().ok()).expect("a number of messages");
    assert!(messages >= 10, "{told}");

    let typed: Vec<&str> = told.lines().filter(|line| line.starts_with("  curl ")).collect();
    assert_eq!(typed.len(), 5, "{told}");
    let got: Vec<String> = typed.iter().map(|line| type_line(line, &demo)).collect();
    assert_eq!(got[0].lines().count(), messages, "the list: {}", got[0]);
    assert_eq!(got[3].lines().count(), messages - 1, "the list over TLS, when the second is deleted: {}", got[3]);
    for message in [&got[1], &got[4]] {
        assert!(message.contains("\r\nSubject: ") && message.len() > 200, "the first message: {message}");
    }
    assert_eq!(got[1], got[4], "the first message, over clear text and over STLS");

    for said in
        ["LOGIN, user=demo, ", "RETR, user=demo, message=1, octets=", "REMOVED, user=demo, messages=1", ", tls=1."]
    {
        assert!(demo.logged().contains(said), "the log lacks {said:?}:\n{}", demo.logged());
    }
    demo.interrupt();
    assert!(demo.told().ends_with("\nThe demo is over; its folder is gone.\n"), "{}", demo.told());
    let left: Vec<_> = fs::read_dir(&demo.temporary).expect("the folder for temporary files").collect();
    assert!(left.is_empty(), "{left:?}");
}

/// What the shell makes of a line, as it was printed.
fn type_line(line: &str, demo: &Demo) -> String {
    let typed = Command::new("sh").args(["-c", line]).stdin(Stdio::null()).output().expect("run a shell");
    let said = String::from_utf8_lossy(&typed.stderr);
    assert!(typed.status.success(), "{line}: {said}\n{}", demo.logged());
    String::from_utf8_lossy(&typed.stdout).into_owned()
}

/// A running demo; it ends when this is dropped.
struct Demo {
    child: Child,
    scratch: std::path::PathBuf,
    temporary: std::path::PathBuf,
}

impl Demo {
    /// Starts it and waits until all is told, or says `skipped`.
    fn start(scratch: &Path) -> Option<Demo> {
        let temporary = scratch.join("tmp");
        fs::create_dir(&temporary).expect("a folder for temporary files");
        let file = |name: &str| File::create(scratch.join(name)).expect("a file for what it says");
        let mut command = Command::new(env!("CARGO_BIN_EXE_poppet"));
        command.arg("demo").env("TMPDIR", &temporary).env_remove("POPPET_LOG").stdin(Stdio::null());
        let child = command.stdout(file("told")).stderr(file("logged")).spawn().expect("start the demo");
        let mut demo = Demo { child, scratch: scratch.to_owned(), temporary };
        let mut ended = false;
        eventually("the demo has told what to type", || {
            ended = demo.child.try_wait().expect("look at the demo").is_some();
            ended || demo.told().contains("\nCtrl-C ends it.")
        });
        if ended {
            let is_taken = PORTS.iter().any(|port| TcpListener::bind(port).is_err());
            assert!(is_taken && demo.logged().contains("cannot listen at"), "no demo: {}", demo.logged());
            eprintln!("skipped: needs {PORTS:?}, and somebody has them");
            return None;
        }
        Some(demo)
    }

    /// What it wrote to standard output.
    fn told(&self) -> String {
        fs::read_to_string(self.scratch.join("told")).expect("what the demo told")
    }

    /// What it wrote to standard error.
    fn logged(&self) -> String {
        fs::read_to_string(self.scratch.join("logged")).expect("what the demo logged")
    }

    /// Ctrl-C; it must end well.
    fn interrupt(&mut self) {
        let pid = rustix::process::Pid::from_child(&self.child);
        rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("SIGINT");
        eventually("the demo ends", || {
            let ended = self.child.try_wait().expect("look at the demo");
            ended.is_some_and(|status| status.success() || panic!("it ended with {status}: {}", self.logged()))
        });
    }
}

impl Drop for Demo {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

const PORTS: [&str; 2] = ["127.0.0.1:1110", "127.0.0.1:1995"];
