//! What systemd hands over, and what it is told.
//!
//! Does not know: units; `systemctl` needs a systemd that runs.

mod common;

use std::process::Command;

use common::client::Channel;
use common::service::{NOBODY, Service};
use common::{PASSWORD, USER, needs};
use rustix::process::Signal;

/// One service of each kind that this machine can have, not started: the keeper with its server, one process alone.
/// Whether it is the keeper stands beside it.
fn services() -> Vec<(Service, bool)> {
    let me = rustix::process::geteuid();
    let mut services = vec![];
    if common::needs_root() {
        services.push((Service::new(NOBODY), true));
    }
    services.push((Service::new(if me.is_root() { NOBODY + 1 } else { me.as_raw() }), false));
    services
}

fn started(service: &mut Service, is_keeper: bool, more: &[(&str, &str)]) {
    let socket = service.systemd(is_keeper);
    let mut command = service.command();
    command.env("NOTIFY_SOCKET", socket).envs(more.iter().copied());
    if !is_keeper {
        command = service.as_owner(command);
    }
    service.start(command);
}

#[test]
fn systemd_is_told_of_the_start_of_sessions_of_a_reload_and_of_the_end() {
    for (mut service, is_keeper) in services() {
        started(&mut service, is_keeper, &[]);
        let ready = service.told("READY=1");
        assert!(ready.contains("\nSTATUS=connections: 0, sessions: 0, certificate: "), "{ready}");
        let days: u32 = ready.rsplit(' ').nth(2).unwrap().parse().unwrap();
        assert!(days > 365_000 && ready.ends_with(" days left"), "{ready}");
        let (mut client, _) = service.connect(Channel::Tls);
        client.log_in(USER, PASSWORD);
        service.told("STATUS=connections: 1, sessions: 1, ");
        client.quit();
        service.told("STATUS=connections: 0, sessions: 0, certificate: ");
        let before = micros();
        service.look();
        let reloading = service.told("RELOADING=1");
        let said = reloading.split_once("MONOTONIC_USEC=").unwrap().1.parse().unwrap();
        assert!((before..=micros()).contains(&said), "{reloading}");
        service.told("READY=1");
        service.signal(service.pid(), Signal::TERM);
        service.told("STOPPING=1");
        assert!(service.wait(), "{}", service.log());
    }
}

/// As systemd counts.
fn micros() -> i64 {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Monotonic);
    now.tv_sec * 1_000_000 + now.tv_nsec / 1_000
}

#[test]
fn a_loop_that_stands_still_misses_the_watchdog() {
    for (mut service, is_keeper) in services() {
        started(&mut service, is_keeper, &[("WATCHDOG_USEC", "200000")]);
        service.told("WATCHDOG=1");
        service.told("WATCHDOG=1");
        let of_the_loop = if is_keeper { service.server(0) } else { service.pid() };
        service.signal(of_the_loop, Signal::STOP);
        // What was said before it stood still is read here.
        let heard = (0..50).take_while(|_| service.is_told("WATCHDOG=1")).count();
        assert!(heard < 50, "it goes on");
        service.signal(of_the_loop, Signal::CONT);
        service.told("WATCHDOG=1");
    }
}

#[test]
fn a_watchdog_for_another_process_is_left_alone() {
    for (mut service, is_keeper) in services() {
        started(&mut service, is_keeper, &[("WATCHDOG_USEC", "200000"), ("WATCHDOG_PID", "1")]);
        service.told("READY=1");
        assert!(!service.is_told("WATCHDOG=1"));
    }
}

/// `systemd-socket-activate` with sockets of these names, in the order of the ports.
fn activated(service: &Service, names: &str) -> Command {
    let mut command = Command::new("systemd-socket-activate");
    for port in service.ports {
        command.arg("-l").arg(port.to_string());
    }
    command.arg(format!("--fdname={names}")).arg(service.at("poppet"));
    command.arg("serve").arg("--config").arg(service.at("poppet.toml"));
    command
}

/// It listens before it starts anything, and starts when somebody comes.
fn knock(service: &Service) {
    common::eventually("the port is open", || std::net::TcpStream::connect(service.ports[0]).is_ok());
}

#[test]
fn named_sockets_are_served_by_what_their_names_say() {
    if !needs("systemd-socket-activate") {
        return;
    }
    for (mut service, is_keeper) in services() {
        let mut command = activated(&service, "pop3:pop3s");
        if !is_keeper {
            command = service.as_owner(command);
        }
        service.spawn(command);
        knock(&service);
        service.until_logged(&format!("listening at {} (TLS)", service.ports[1]), 1);
        for channel in [Channel::Plain, Channel::Stls, Channel::Tls] {
            let (mut client, _) = service.connect(channel);
            client.log_in(USER, PASSWORD);
            client.quit();
        }
        assert_eq!(service.logged("systemd has opened the ports"), 1, "{}", service.log());
    }
}

#[test]
fn a_socket_of_another_name_is_refused_with_the_mend() {
    if !needs("systemd-socket-activate") {
        return;
    }
    for (mut service, is_keeper) in services() {
        let mut command = activated(&service, "pop3:imap");
        if !is_keeper {
            command = service.as_owner(command);
        }
        service.spawn(command);
        knock(&service);
        service.until_logged("a socket named \"imap\"; write FileDescriptorName=pop3 or =pop3s", 1);
        assert!(!service.wait());
    }
}
