//! Five real mail clients fetch 200 odd messages, byte for byte.
//!
//! Owns: what a maildrop looks like before and after a client's visit.
//! Does not know: how a client is set up (`clients/`), what the messages are (`common/odd.rs`).

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::os::unix::ffi::OsStrExt;
use std::{env, thread};

use clients::{Client, Errand, Transport};
use common::{PASSWORD, Server, needs};
use odd::Odd;

#[path = "clients/mod.rs"]
mod clients;
mod common;
#[path = "common/odd.rs"]
mod odd;

#[test]
fn curl_fetches_every_message_byte_for_byte() {
    visit(&clients::curl::Curl);
}

#[test]
fn fetchmail_fetches_every_message_byte_for_byte() {
    visit(&clients::fetchmail::Fetchmail);
}

#[test]
fn getmail_fetches_every_message_byte_for_byte() {
    visit(&clients::getmail::Getmail);
}

#[test]
fn mpop_fetches_every_message_byte_for_byte() {
    visit(&clients::mpop::Mpop);
}

#[test]
fn poplib_fetches_every_message_byte_for_byte() {
    visit(&clients::poplib::Poplib);
}

#[test]
fn the_corpus_has_200_messages() {
    assert_eq!(odd::corpus().len(), 200);
}

#[test]
fn decoding_ends_every_line_with_crlf() {
    for (file, wire) in [
        ("a\nb\r\nc\rd", "a\r\nb\r\nc\rd\r\n"),
        ("\n\r\n", "\r\n\r\n"),
        ("a\r", "a\r\r\n"),
        (".\n..", ".\r\n..\r\n"),
        ("", ""),
        ("\r\r\n\n", "\r\r\n\r\n"),
    ] {
        assert_eq!(odd::decoded(file.as_bytes()), wire.as_bytes(), "{file:?}");
    }
}

/// Each transport, keeping and deleting, all at once.
fn visit(client: &dyn Client) {
    if !needs(client.program()) {
        return;
    }
    let corpus: Vec<Odd> = odd::corpus().into_iter().filter(|message| is_fair(client, message)).collect();
    let visits: Vec<(Transport, bool, String)> = client
        .transports()
        .iter()
        .flat_map(|&transport| [(transport, false), (transport, true)])
        .map(|(transport, delete)| (transport, delete, user(client, transport, delete)))
        .collect();
    let server = visits.iter().fold(Server::builder(), |builder, (.., user)| builder.user(user, PASSWORD)).start();
    thread::scope(|scope| {
        for (transport, delete, user) in &visits {
            let (server, corpus) = (&server, &corpus);
            scope.spawn(move || fetch(client, server, user, *transport, *delete, corpus));
        }
    });
}

fn user(client: &dyn Client, transport: Transport, delete: bool) -> String {
    let after = if delete { "deletes" } else { "keeps" };
    format!("{}-{transport:?}-{after}", client.program()).to_lowercase()
}

fn fetch(client: &dyn Client, server: &Server, user: &str, transport: Transport, delete: bool, corpus: &[Odd]) {
    let scratch = tempfile::tempdir().expect("a temporary folder");
    let maildir = server.maildir(user);
    for message in corpus {
        maildir.deliver_named(message.folder.name(), OsStr::from_bytes(&message.name), &message.octets);
    }
    let errand = Errand {
        transport,
        port: if transport == Transport::Tls { server.tls } else { server.plain }.port(),
        ca_file: server.ca_file.clone(),
        user: server.name_of(user).to_owned(),
        password: PASSWORD.to_owned(),
        delete,
        scratch: scratch.path().to_owned(),
    };

    let fetched = client.fetch(&errand, corpus.len());
    assert_fetched(user, client, corpus, fetched);
    let files = maildir.files();
    if delete {
        assert!(files.is_empty(), "{user}: left behind: {:?}", files.keys());
        return;
    }
    assert_kept(user, client, corpus, &files);
    if client.remembers() {
        let again = client.fetch(&errand, corpus.len());
        assert!(again.is_empty(), "{user}: {} messages were fetched once more", again.len());
    }
}

/// Compares without order: most clients don't tell which number a message had.
fn assert_fetched(user: &str, client: &dyn Client, corpus: &[Odd], fetched: Vec<Vec<u8>>) {
    let mut balance = BTreeMap::<Vec<u8>, i32>::new();
    for octets in fetched {
        *balance.entry(octets).or_default() += 1;
    }
    let mut missing = Vec::new();
    let wanted = client.turned(corpus.iter().map(|message| odd::decoded(&message.octets)).collect());
    for (message, octets) in corpus.iter().zip(wanted) {
        let left = balance.entry(octets).or_default();
        *left -= 1;
        if *left < 0 {
            missing.push(&*message.what);
        }
    }
    let strange: Vec<String> = balance.iter().filter(|(_, left)| **left > 0).map(|(octets, _)| show(octets)).collect();
    assert!(missing.is_empty() && strange.is_empty(), "{user}: did not come whole: {missing:#?}\ncame: {strange:#?}");
}

/// Every file has the octets it had. Where RETR sent it, it lies in `cur/` with the flag `S`; where TOP did, it was not
/// touched at all.
fn assert_kept(user: &str, client: &dyn Client, corpus: &[Odd], files: &BTreeMap<String, Vec<u8>>) {
    let path = |message: &Odd| format!("{}/{}", message.folder.name(), message.name.escape_ascii());
    let delivered: BTreeMap<_, _> = corpus.iter().map(|message| (path(message), message.octets.clone())).collect();
    let by_base = |files: &BTreeMap<String, Vec<u8>>| -> BTreeMap<_, _> {
        files.iter().map(|(path, octets)| (base(path).to_owned(), octets.clone())).collect()
    };
    assert!(by_base(&delivered) == by_base(files), "{user}: a file was changed, lost or doubled");
    if client.marks_as_read() {
        let unread: BTreeSet<&String> = files.keys().filter(|path| !is_read(path)).collect();
        assert!(unread.is_empty(), "{user}: not marked as read: {unread:#?}");
    } else if !others() {
        assert!(delivered == *files, "{user}: TOP moved or marked a file");
    }
}

/// What stands between the folder and the flags.
fn base(path: &str) -> &str {
    path.split(['/', ':']).nth(1).unwrap_or_default()
}

fn is_read(path: &str) -> bool {
    // A name of 255 octets has no room for a flag.
    let named = path.starts_with("cur/") && path.split_once(":2,").is_some_and(|(_, flags)| flags.contains('S'));
    named || path.len() > 250
}

fn show(octets: &[u8]) -> String {
    format!("{} octets: {:.60}", octets.len(), octets.escape_ascii().to_string())
}

/// Whether a client can be expected to get the message from this server.
fn is_fair(client: &dyn Client, message: &Odd) -> bool {
    // Dovecot lets nobody in to a maildrop with a wrong `,S=` or a name of 255 octets, and forgets to stuff the dot
    // that is a message's first octet; what is empty gets a line from it.
    let others_fail = message.octets.starts_with(b".") || OTHERS_FAIL.iter().any(|name| message.what.contains(name));
    client.cannot_fetch(message).is_none() && !(others() && others_fail)
}

fn others() -> bool {
    env::var_os("POPPET_UNDER_TEST").is_some()
}

const OTHERS_FAIL: [&str; 3] = ["wrong size", "name of 255 octets", "empty file"];
