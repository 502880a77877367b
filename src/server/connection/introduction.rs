//! A client that comes through a proxy: who it is, told before anything else.
//!
//! Owns: the time from accept to the greeting where a PROXY header is due.
//! Does not know: the header's form, or how many connections the client has.

use std::{io::ErrorKind, net::IpAddr};

use super::{Activity, Connection, Full, READ, Reason, Step, Stream, Tools};
use crate::{
    net::{
        outbox::Outbox,
        proxy::{self, Header},
        transport::Transport,
    },
    proto::{
        reply::{Code, Reply},
        session::{Session, Terms},
    },
};

/// What a connection has while its proxy's header is read.
#[derive(Debug)]
pub(super) struct Introduction {
    /// The header so far.
    octets: Vec<u8>,
    /// How octets go behind it. Before that all is clear text, the closing too.
    transport: Transport,
    terms: Terms,
}

impl<S: Stream> Connection<S> {
    /// It is a proxy's: a header is due, and nothing is said before it. For a connection that had no turn yet.
    pub fn await_header(&mut self, terms: Terms) {
        self.outbox = Outbox::default();
        let transport = std::mem::replace(&mut self.transport, Transport::Plain);
        self.activity = Activity::Header(Box::new(Introduction { octets: Vec::new(), transport, terms }));
    }

    /// Who the client is, or that it has too many connections; after [`super::Next::Named`]. `None` is the proxy itself.
    pub fn introduce(&mut self, client: Option<IpAddr>, admitted: Result<(), Full>, tools: &Tools) {
        let Activity::Header(introduction) = std::mem::replace(&mut self.activity, Activity::Commands) else { return };
        let Introduction { transport, mut terms, .. } = *introduction;
        if let Some(client) = client {
            self.record.is_of(client);
        }
        if let Err(full) = admitted {
            if matches!(transport, Transport::Plain) {
                Reply::coded(Code::SysTemp, "too many connections").encode(self.outbox.end());
            }
            self.activity = Activity::Draining(Reason::Full(full));
            return;
        }
        terms.plaintext_login = tools.plaintext_from.contains(self.record.ip());
        self.session = Session::new(terms);
        self.session.greeting().encode(self.outbox.end());
        self.transport = transport;
    }

    /// Reads what the header still lacks, and never an octet behind it: that is TLS's, or a command.
    pub(super) fn hear_header(&mut self, tools: &mut Tools) -> Step {
        let Activity::Header(introduction) = &mut self.activity else { return Step::Waits };
        let wanted = match proxy::parse(&introduction.octets) {
            Ok(Header::More(count)) => count.min(READ),
            Ok(Header::Client(client)) => return Step::Names(Some(client)),
            Ok(Header::Nobody) => return Step::Names(None),
            Err(error) => {
                self.record.trouble(error);
                self.activity = Activity::Draining(Reason::Refused);
                return Step::Done;
            }
        };
        if !self.readable {
            return Step::Waits;
        }
        match self.stream.read(&mut tools.block[..wanted]) {
            Ok(0) => self.activity = Activity::Draining(Reason::Disconnected),
            Ok(count) => introduction.octets.extend(&tools.block[..count]),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => {
                self.readable = false;
                return Step::Waits;
            }
            Err(_) => self.activity = Activity::Draining(Reason::Disconnected),
        }
        Step::Done
    }
}
