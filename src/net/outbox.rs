//! Octets that wait to be sent.
//!
//! Owns: the buffer between what is said and what the socket takes.
//! Does not know: what is in it, or when it is written.

/// Octets in the order in which they leave. Its memory can be taken away while it is empty.
#[derive(Default, Debug)]
pub struct Outbox {
    octets: Vec<u8>,
    sent: usize,
}

impl Outbox {
    /// Where to append.
    pub fn end(&mut self) -> &mut Vec<u8> {
        &mut self.octets
    }

    /// What leaves next.
    pub fn front(&self) -> &[u8] {
        &self.octets[self.sent..]
    }

    /// The first `count` octets of the front have left.
    pub fn consume(&mut self, count: usize) {
        self.sent += count;
        if self.sent == self.octets.len() {
            self.octets.clear();
            self.sent = 0;
        }
    }

    /// How many octets wait.
    pub fn len(&self) -> usize {
        self.octets.len() - self.sent
    }

    /// Whether none waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Uses `spare` for its memory while it has none of its own.
    pub fn borrow_memory(&mut self, spare: &mut Vec<u8>) {
        if self.octets.capacity() == 0 {
            self.octets = std::mem::take(spare);
        }
    }

    /// Gives its memory to `spare` if it is empty: an idle session keeps none.
    pub fn return_memory(&mut self, spare: &mut Vec<u8>) {
        // What has left must not stay in front of what comes: a slow reader of a long message would cost all of it.
        self.octets.drain(..self.sent);
        self.sent = 0;
        if self.is_empty() && self.octets.capacity() > spare.capacity() {
            *spare = std::mem::take(&mut self.octets);
        } else if self.is_empty() {
            self.octets = Vec::new();
        } else if self.octets.capacity() > 2 * self.octets.len() {
            self.octets.shrink_to_fit();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn octets_leave_in_order_and_memory_goes_back() {
        let (mut outbox, mut spare) = (Outbox::default(), Vec::with_capacity(100));
        outbox.borrow_memory(&mut spare);
        assert_eq!(spare.capacity(), 0);
        outbox.end().extend(b"abcdef");
        outbox.consume(2);
        outbox.end().extend(b"gh");
        assert_eq!((outbox.front(), outbox.len()), (&b"cdefgh"[..], 6));
        outbox.return_memory(&mut spare);
        assert_eq!((outbox.front(), spare.capacity()), (&b"cdefgh"[..], 0));
        assert_eq!(outbox.octets.len(), 6, "what has left is still there");
        outbox.consume(6);
        assert!(outbox.is_empty());
        outbox.return_memory(&mut spare);
        assert!(spare.capacity() > 0 && spare.is_empty());
        assert_eq!(outbox.octets.capacity(), 0);
    }
}
