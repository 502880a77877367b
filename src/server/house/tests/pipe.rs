//! A socket without a system: two queues of octets with limited room, and the edges that a poll would tell of.
//!
//! An edge comes once: when octets arrive where none were, or when room comes back that was missed. Whoever
//! forgets one waits for ever.

use std::{
    cell::{Cell, RefCell},
    collections::VecDeque,
    io::{self, ErrorKind, Read, Write},
    rc::Rc,
    time::Instant,
};

/// The time, as everybody in a test is told it.
pub(super) type Clock = Rc<Cell<Instant>>;

/// The client's end.
#[derive(Clone)]
pub(super) struct Pipe(Rc<RefCell<Wire>>);

/// The server's end.
#[derive(Debug)]
pub(in crate::server) struct Stream(Rc<RefCell<Wire>>);

/// What a poll would tell.
#[derive(Clone, Copy, Default, PartialEq, Debug)]
pub(super) struct Edge {
    pub(super) readable: bool,
    pub(super) read_closed: bool,
    pub(super) writable: bool,
}

#[derive(Debug)]
struct Wire {
    to_server: VecDeque<u8>,
    to_client: VecDeque<u8>,
    room: usize,
    ended: bool,
    reset: bool,
    panics: bool,
    /// The server was refused room; it must be told when there is some.
    missed: bool,
    touched: bool,
    edge: Edge,
    clock: Clock,
    closed: Option<Instant>,
}

/// Both ends of a pipe with so much room in either direction.
pub(super) fn pipe(room: usize, clock: &Clock) -> (Pipe, Stream) {
    let wire = Rc::new(RefCell::new(Wire {
        to_server: VecDeque::new(),
        to_client: VecDeque::new(),
        room,
        ended: false,
        reset: false,
        panics: false,
        missed: false,
        touched: false,
        edge: Edge::default(),
        clock: clock.clone(),
        closed: None,
    }));
    (Pipe(wire.clone()), Stream(wire))
}

impl Pipe {
    /// Sends as much as there is room for; how much that was.
    pub(super) fn say(&self, octets: &[u8]) -> usize {
        let mut wire = self.0.borrow_mut();
        let count = octets.len().min(wire.room - wire.to_server.len());
        wire.edge.readable |= wire.to_server.is_empty() && count > 0;
        wire.to_server.extend(&octets[..count]);
        count
    }

    /// Takes at most `count` octets.
    pub(super) fn take(&self, count: usize) -> Vec<u8> {
        let mut wire = self.0.borrow_mut();
        let count = count.min(wire.to_client.len());
        let taken = wire.to_client.drain(..count).collect();
        // As Linux has it: a third must be free before it says so.
        if wire.missed && wire.to_client.len() * 3 <= wire.room * 2 {
            (wire.missed, wire.edge.writable) = (false, true);
        }
        taken
    }

    /// FIN: no octet will follow.
    pub(super) fn end(&self) {
        let mut wire = self.0.borrow_mut();
        (wire.ended, wire.edge.readable, wire.edge.read_closed) = (true, true, true);
    }

    /// RST: nothing is read or written any more.
    pub(super) fn reset(&self) {
        let mut wire = self.0.borrow_mut();
        wire.reset = true;
        wire.edge = Edge { readable: true, read_closed: true, writable: true };
    }

    /// The next read panics.
    pub(super) fn panic(&self) {
        self.0.borrow_mut().panics = true;
    }

    /// When the server closed its end.
    pub(super) fn closed(&self) -> Option<Instant> {
        self.0.borrow().closed
    }

    pub(super) fn has_octets(&self) -> bool {
        !self.0.borrow().to_client.is_empty()
    }

    /// Octets lie there that the server did not read, though nothing kept it from doing so.
    pub(super) fn is_neglected(&self) -> bool {
        let mut wire = self.0.borrow_mut();
        let touched = std::mem::take(&mut wire.touched);
        !touched && !wire.missed && !wire.to_server.is_empty() && wire.closed.is_none()
    }

    pub(super) fn has_edge(&self) -> bool {
        let wire = self.0.borrow();
        wire.edge != Edge::default() && wire.closed.is_none()
    }

    /// What the poll tells now, once.
    pub(super) fn edge(&self) -> Option<Edge> {
        let mut wire = self.0.borrow_mut();
        let edge = std::mem::take(&mut wire.edge);
        (edge != Edge::default() && wire.closed.is_none()).then_some(edge)
    }
}

impl Read for Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.touched = true;
        if wire.panics {
            drop(wire);
            // Without the message of a panic, which would look like a failure.
            std::panic::resume_unwind(Box::new("the stream panics"));
        }
        if wire.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        match wire.to_server.is_empty() {
            true if wire.ended => Ok(0),
            true => Err(ErrorKind::WouldBlock.into()),
            false => wire.to_server.read(into),
        }
    }
}

impl Write for Stream {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        let mut wire = self.0.borrow_mut();
        wire.touched = true;
        if wire.reset {
            return Err(ErrorKind::ConnectionReset.into());
        }
        let count = octets.len().min(wire.room - wire.to_client.len());
        wire.missed |= count < octets.len();
        if count == 0 {
            return Err(ErrorKind::WouldBlock.into());
        }
        wire.to_client.extend(&octets[..count]);
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl crate::net::transport::Stream for Stream {}

impl Drop for Stream {
    fn drop(&mut self) {
        let mut wire = self.0.borrow_mut();
        wire.closed = Some(wire.clock.get());
    }
}
