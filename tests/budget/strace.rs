//! What a running server asks of the kernel, call by call.
//!
//! Owns: strace, its log, and when a server has nothing left to do.
//! Does not know: how many calls are too many.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::Duration;

use crate::common::{Server, eventually};

/// System calls by their names, and how often each was begun.
pub type Calls = BTreeMap<String, usize>;

/// An strace that is attached to all threads of a server, those to come included. Dropping it lets the server go.
pub struct Watch {
    strace: Child,
    log: PathBuf,
    /// Of the server.
    complaints: PathBuf,
    pid: u32,
}

impl Watch {
    /// Attaches to `server`, and waits until it rests.
    pub fn attach(server: &Server) -> Watch {
        let (log, pid) = (server.folder.join("strace"), server.pid());
        let mut command = Command::new("strace");
        // Octets of mail that look like a call must not count: strings are cut to nothing.
        command.args(["-f", "-qq", "-s", "0", "-p", &pid.to_string(), "-o"]).arg(&log);
        let strace = command.stdin(Stdio::null()).stdout(Stdio::null()).spawn().expect("start strace");
        let mut watch = Watch { strace, log, complaints: server.folder.join("log"), pid };
        eventually("strace is attached", || {
            assert!(watch.strace.try_wait().expect("look at strace").is_none(), "strace can't attach");
            is_traced(pid)
        });
        watch.rest();
        watch
    }

    /// The calls of the server from the beginning of `work` until it rests behind it.
    pub fn calls(&self, work: impl FnOnce()) -> Calls {
        let (before, slow) = (self.text().len(), self.slow_turns());
        work();
        self.rest();
        let mut calls = Calls::new();
        for line in self.text()[before..].lines() {
            // A debug build asks before each close whether the descriptor is one (F_GETFD).
            // `17 read(3, ""..., 4096) = 5`; what goes on behind another thread's line is `17 <... read resumed>`.
            let call = line.split_once(' ').map_or("", |(_, call)| call.trim_start());
            let name = call.split('(').next().unwrap_or_default();
            // As many looks for events that are not there as a short moment has room for.
            let looks = name == "epoll_wait" && call.contains("[], ") && call.contains(", 0) ");
            if call.contains('(') && !looks && !name.starts_with(['<', '+', '-']) && !call.contains("F_GETFD") {
                *calls.entry(common_name(name).to_owned()).or_default() += 1;
            }
        }
        // That a turn took long under strace, on a machine with other work, is no fault and is not counted.
        if let Some(writes) = calls.get_mut("write") {
            *writes -= self.slow_turns() - slow;
        }
        calls.retain(|_, count| *count > 0);
        calls
    }

    fn slow_turns(&self) -> usize {
        fs::read_to_string(&self.complaints).unwrap_or_default().matches("one turn took").count()
    }

    /// Waits until every thread is asleep inside a call whose beginning is in the log already.
    ///
    /// A thread that strace has stopped or that runs is in another state, so no pause is taken for the end of work.
    fn rest(&self) {
        let mut seen = None;
        eventually("the server rests", || {
            let now = (all_asleep(self.pid), self.text().len());
            let rests = now.0 && seen == Some(now);
            seen = Some(now);
            thread::sleep(Duration::from_millis(30));
            rests
        });
    }

    fn text(&self) -> String {
        fs::read(&self.log).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // SIGTERM lets strace detach; the server goes on.
        let pid = rustix::process::Pid::from_child(&self.strace);
        let _ = rustix::process::kill_process(pid, rustix::process::Signal::TERM);
        let _ = self.strace.wait();
    }
}

/// The same call has other names on other machines.
fn common_name(name: &str) -> &str {
    match name {
        "open" => "openat",
        "epoll_pwait" => "epoll_wait",
        "fstatat64" => "newfstatat",
        other => other,
    }
}

fn is_traced(pid: u32) -> bool {
    threads(pid).iter().all(|thread| {
        let status = fs::read_to_string(thread.join("status")).unwrap_or_default();
        status.lines().any(|line| line.strip_prefix("TracerPid:").is_some_and(|tracer| tracer.trim() != "0"))
    })
}

fn all_asleep(pid: u32) -> bool {
    threads(pid).iter().all(|thread| {
        let stat = fs::read_to_string(thread.join("stat")).unwrap_or_default();
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('S'))
    })
}

/// The folders of a process's threads in `/proc`.
pub fn threads(pid: u32) -> Vec<PathBuf> {
    let folder = Path::new("/proc").join(pid.to_string()).join("task");
    fs::read_dir(folder).expect("the server's threads").map(|entry| entry.expect("a thread").path()).collect()
}
