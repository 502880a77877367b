//! No QUIT, no loss: sessions that are cut at every octet, in every way a connection can end.

mod common;

use std::thread;

use common::client::{Channel, Client};
use common::{Maildir, PASSWORD, Server, eventually};

/// How the client ends it.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Ending {
    /// The socket is closed: FIN, over TLS without close_notify.
    Fin,
    /// RST.
    Reset,
    /// Nothing more is sent, and what comes is read: FIN one way, over TLS behind close_notify.
    HalfClose,
}

/// Whether the replies are awaited on the way.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Way {
    /// Each command's reply is read before the next is sent.
    InStep,
    /// All in one write, and the end right behind it.
    AtOnce,
}

const WAYS_TO_GO: [(Channel, Ending, Way); 9] = [
    (Channel::Plain, Ending::Fin, Way::InStep),
    (Channel::Plain, Ending::Reset, Way::InStep),
    (Channel::Plain, Ending::HalfClose, Way::InStep),
    (Channel::Plain, Ending::Fin, Way::AtOnce),
    (Channel::Plain, Ending::HalfClose, Way::AtOnce),
    (Channel::Tls, Ending::Fin, Way::InStep),
    (Channel::Tls, Ending::Reset, Way::InStep),
    (Channel::Tls, Ending::HalfClose, Way::AtOnce),
    (Channel::Stls, Ending::Fin, Way::InStep),
];

/// What is said: the command, and whether its reply has many lines.
const SESSION: [(&str, bool); 9] = [
    ("USER {user}", false),
    ("PASS secret", false),
    ("LIST", true),
    ("RETR 1", true),
    ("RETR 3", true),
    ("DELE 1", false),
    ("DELE 2", false),
    ("NOOP", false),
    ("QUIT", false),
];

#[test]
fn session_cut_at_any_octet_changes_no_file() {
    let mut builder = Server::builder();
    for at in 0..WAYS_TO_GO.len() {
        builder = builder.user(&format!("user{at}"), PASSWORD);
    }
    let server = &builder.start();
    thread::scope(|scope| {
        let ways = WAYS_TO_GO.iter().enumerate().filter(|(_, (channel, ..))| server.channels().contains(channel));
        for (at, &(channel, ending, way)) in ways {
            scope.spawn(move || cut_everywhere(server, &format!("user{at}"), channel, ending, way));
        }
    });
}

/// Cuts `user`'s session behind each of its octets but the last, then lets one run to its end.
fn cut_everywhere(server: &Server, user: &str, channel: Channel, ending: Ending, way: Way) {
    let maildir = server.maildir(user);
    lay(&maildir);
    let before = maildir.files();
    let commands =
        SESSION.map(|(command, many)| (format!("{command}\r\n").replace("{user}", server.name_of(user)), many));
    let length: usize = commands.iter().map(|(command, _)| command.len()).sum();
    for cut in 0..length {
        eventually("the maildrop is free", || {
            let mut client = server.connect_over(channel);
            let let_in = say(&mut client, &commands, cut, way);
            if let_in {
                end(client, ending);
            }
            let_in
        });
        assert_eq!(maildir.files(), before, "cut behind octet {cut} of {length}: {channel:?}, {ending:?}, {way:?}");
    }
    // Who logs in now comes behind the end of the last session, and sees all that it did.
    eventually("the maildrop is free", || say(&mut server.connect_over(channel), &commands[..3], length, Way::InStep));
    assert_eq!(maildir.files(), before, "{channel:?}, {ending:?}, {way:?}");
    eventually("the maildrop is free", || say(&mut server.connect_over(channel), &commands, length, Way::InStep));
    let left: Vec<Vec<u8>> = maildir.files().into_values().collect();
    assert_eq!(left, [body(3)], "the whole session, {channel:?}, {ending:?}, {way:?}");
}

/// Says the first `cut` octets of `commands`. `false` where another session still has the maildrop.
fn say(client: &mut Client, commands: &[(String, bool)], cut: usize, way: Way) -> bool {
    if way == Way::AtOnce {
        let all: String = commands.iter().map(|(command, _)| command.as_str()).collect();
        client.send(&all.as_bytes()[..cut]);
        return true;
    }
    let mut left = cut;
    for (command, many) in commands {
        let now = command.len().min(left);
        left -= now;
        client.send(&command.as_bytes()[..now]);
        if now < command.len() {
            return true;
        }
        let status = client.line();
        if status.starts_with("-ERR [IN-USE]") {
            return false;
        }
        assert!(status.starts_with("+OK"), "{command}: {status}");
        if *many {
            client.multiline();
        }
    }
    true
}

fn end(mut client: Client, ending: Ending) {
    match ending {
        Ending::Fin => drop(client),
        Ending::Reset => client.reset(),
        Ending::HalfClose => {
            client.half_close();
            client.rest();
        }
    }
}

fn lay(maildir: &Maildir) {
    maildir.deliver_named("new", "1700000001.M1.example", &body(1));
    maildir.deliver_named("cur", "1700000002.M2.example:2,F", &body(2));
    maildir.deliver_named("new", "1700000003.M3.example", &body(3));
}

fn body(number: u8) -> Vec<u8> {
    format!("Subject: message {number}\n\nbody\n").into_bytes()
}
