//! Certificates that are renewed while the server runs, as root's keeper hands them down and as one process reads them.
//!
//! Does not know: who else is told (tests/systemd.rs does).

mod common;

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;

use common::client::Channel;
use common::service::{NOBODY, Service};
use common::{PASSWORD, USER};

const KEPT: &str = "the certificate files have changed and can't be used, the certificates before stay: ";
const TAKEN: &str = "the certificate files have changed: new connections get the new certificates";

/// One service of each kind that this machine can have: the keeper with its server, one process alone.
fn services() -> Vec<Service> {
    let root = rustix::process::geteuid().is_root();
    let me = rustix::process::geteuid().as_raw();
    let mut services = vec![];
    if common::needs_root() {
        let mut kept = Service::new(NOBODY);
        kept.serve();
        services.push(kept);
    }
    let mut alone = Service::new(if root { NOBODY + 1 } else { me });
    alone.alone();
    services.push(alone);
    services
}

fn shown(service: &Service) -> Vec<u8> {
    let (_, stls) = service.connect(Channel::Stls);
    let (_, tls) = service.connect(Channel::Tls);
    assert_eq!(stls, tls, "both ways get the same");
    tls
}

#[test]
fn a_pair_renewed_by_links_is_shown_on_both_ways_and_sessions_keep_theirs() {
    for mut service in services() {
        let before = shown(&service);
        let (mut session, _) = service.connect(Channel::Tls);
        session.log_in(USER, PASSWORD);
        service.renew("new.example.org");
        service.look();
        service.until_logged(TAKEN, 1);
        service.until_logged("for new.example.org, localhost, expires in ", 1);
        let after = shown(&service);
        assert_ne!(before, after);
        session.ok("STAT");
        session.quit();
    }
}

#[test]
fn what_cannot_be_used_changes_nothing_and_is_said_once() {
    for mut service in services() {
        let before = shown(&service);
        let (cert, key) = (service.at("live/fullchain.pem"), service.at("live/privkey.pem"));
        let (good, good_key) = (fs::read_to_string(&cert).unwrap(), fs::read_to_string(&key).unwrap());
        let mut refused = 0;
        let mut refuses = |service: &Service, why: &str| {
            refused += 1;
            service.look();
            service.until_logged(KEPT, refused);
            let log = service.log();
            let line = log.lines().rfind(|line| line.contains(KEPT)).unwrap();
            assert!(line.contains(why), "{why}: {line}");
            // Nothing new: nothing is said.
            let looks = service.logged("SIGHUP: ");
            service.look();
            service.until_logged("SIGHUP: ", looks + 1);
            assert_eq!(shown(service), before);
            assert_eq!(service.logged(KEPT), refused, "{}", service.log());
        };
        service.install(&good[..good.len() / 2], &good_key);
        refuses(&service, "is damaged PEM: a section has no end, it was cut off");
        service.install(&good, "");
        refuses(&service, "privkey.pem is empty");
        service.renew("localhost");
        let other_key = fs::read_to_string(&key).unwrap();
        service.install(&good, &other_key);
        refuses(&service, "does not belong to the certificate");
        service.expire();
        refuses(&service, "fullchain.pem has expired; renew it");
        fs::remove_file(&key).unwrap();
        refuses(&service, "privkey.pem: No such file or directory (os error 2) (as uid ");
        service.renew("localhost");
        service.look();
        service.until_logged(TAKEN, 1);
        assert_ne!(shown(&service), before);
    }
}

#[test]
fn a_key_that_is_not_for_the_server_is_named_with_who_could_not_read_it() {
    if !common::needs_root() {
        return;
    }
    let mut service = Service::new(NOBODY + 1);
    service.alone();
    let before = shown(&service);
    service.renew("localhost");
    let key = service.at("live/privkey.pem").canonicalize().unwrap();
    std::os::unix::fs::chown(&key, Some(0), Some(0)).unwrap();
    fs::set_permissions(&key, fs::Permissions::from_mode(0o600)).unwrap();
    service.look();
    service.until_logged("live/privkey.pem: Permission denied (os error 13) (as uid 65535); let the user that runs", 1);
    assert_eq!(shown(&service), before);
}

#[test]
fn a_server_that_is_replaced_gets_the_last_good_pair() {
    if !common::needs_root() {
        return;
    }
    let mut service = Service::new(NOBODY);
    service.serve();
    service.renew("localhost");
    service.look();
    service.until_logged(TAKEN, 1);
    let good = shown(&service);
    service.install("half of it", "and nothing");
    service.look();
    service.until_logged(KEPT, 1);
    let server = service.server(0);
    service.signal(server, rustix::process::Signal::KILL);
    service.server(server);
    assert_eq!(shown(&service), good);
}

#[test]
fn no_login_fails_while_certificates_are_renewed() {
    for mut service in services() {
        let (stop, logins) = (AtomicBool::new(false), AtomicUsize::new(0));
        let ca = service.at("ca.pem");
        thread::scope(|scope| {
            let ports = service.ports;
            for number in 0..4 {
                let (stop, logins, ca) = (&stop, &logins, &ca);
                scope.spawn(move || {
                    let config = common::certificates::client_config(ca, &["pop3"], rustls::ALL_VERSIONS);
                    while !stop.load(Ordering::SeqCst) {
                        let tls = number % 2 == 0;
                        let socket = std::net::TcpStream::connect(ports[usize::from(tls)]).expect("connect");
                        let mut client = common::Client::over(socket);
                        if !tls {
                            client.line();
                            client.ok("STLS");
                        }
                        // The same settings each time: tickets of the pair before are used.
                        client.handshake(config.clone(), "localhost").expect("shake hands");
                        if tls {
                            client.line();
                        }
                        client.ok(&format!("USER {USER}"));
                        // Somebody else may have the maildrop; the password was right then.
                        let reply = client.cmd(&format!("PASS {PASSWORD}"));
                        assert!(reply.starts_with("+OK") || reply.starts_with("-ERR [IN-USE]"), "{reply}");
                        logins.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for turn in 1..=20 {
                let so_far = logins.load(Ordering::SeqCst);
                if turn % 2 == 0 {
                    service.renew("localhost");
                    service.look();
                    service.until_logged(TAKEN, turn / 2);
                } else {
                    service.install("half", "written");
                    service.look();
                    service.until_logged(KEPT, turn.div_ceil(2));
                }
                common::eventually("logins go on", || logins.load(Ordering::SeqCst) >= so_far + 10);
            }
            stop.store(true, Ordering::SeqCst);
        });
        assert!(logins.load(Ordering::SeqCst) >= 200);
    }
}

#[test]
fn a_ticket_of_the_pair_before_is_good_with_the_next() {
    for mut service in services() {
        let config = common::certificates::client_config(&service.at("ca.pem"), &["pop3"], &[&rustls::version::TLS13]);
        let resumed = |service: &Service| {
            let mut client = common::Client::over(std::net::TcpStream::connect(service.ports[1]).unwrap());
            client.handshake(config.clone(), "localhost").unwrap();
            client.line();
            client.ok("QUIT");
            client.tls().unwrap().handshake_kind() == Some(rustls::HandshakeKind::Resumed)
        };
        assert_eq!([resumed(&service), resumed(&service)], [false, true]);
        service.renew("localhost");
        service.look();
        service.until_logged(TAKEN, 1);
        assert!(resumed(&service));
    }
}
