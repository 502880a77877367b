//! Who may come in at all.
//!
//! Owns: how many connections there are, in all and of each address.
//! Does not know: what they do.

use std::collections::HashMap;

use crate::auth::household::Household;

/// Counts connections.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    limit_per_address: usize,
    all: usize,
    of_address: HashMap<Household, usize>,
}

/// Why somebody is turned away.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Full {
    /// As many connections as the server takes.
    House,
    /// As many as it takes of one address.
    Address,
}

impl Admission {
    /// With `limit` connections in all and `limit_per_address` of one address.
    pub fn new(limit: usize, limit_per_address: usize) -> Admission {
        Admission { limit, limit_per_address, all: 0, of_address: HashMap::new() }
    }

    /// Lets a connection in.
    ///
    /// # Errors
    /// [`Full`] where it is to be turned away.
    pub fn enter(&mut self, household: Household) -> Result<(), Full> {
        let count = self.of_address.get(&household).copied().unwrap_or_default();
        // First, since in a full house somebody else may have to go.
        if count >= self.limit_per_address {
            return Err(Full::Address);
        }
        if self.all >= self.limit {
            return Err(Full::House);
        }
        self.of_address.insert(household, count + 1);
        self.all += 1;
        Ok(())
    }

    /// A connection that was let in has gone.
    pub fn leave(&mut self, household: Household) {
        self.all -= 1;
        if let Some(count) = self.of_address.get_mut(&household) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&household);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Household {
        Household::of(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_limit_and_the_house_has_one() {
        let mut admission = Admission::new(3, 2);
        assert_eq!(admission.enter(ip("192.0.2.1")), Ok(()));
        assert_eq!(admission.enter(ip("::ffff:192.0.2.1")), Ok(()));
        assert_eq!(admission.enter(ip("192.0.2.1")), Err(Full::Address));
        assert_eq!(admission.enter(ip("192.0.2.2")), Ok(()));
        assert_eq!(admission.enter(ip("192.0.2.3")), Err(Full::House));
        assert_eq!(admission.enter(ip("192.0.2.1")), Err(Full::Address), "nobody has to go for it");
        admission.leave(ip("192.0.2.1"));
        assert_eq!(admission.enter(ip("192.0.2.1")), Ok(()));
    }

    #[test]
    fn a_64_of_ipv6_counts_as_one_address_and_is_forgotten_when_it_has_gone() {
        let mut admission = Admission::new(9, 1);
        assert_eq!(admission.enter(ip("2001:db8::1")), Ok(()));
        assert_eq!(admission.enter(ip("2001:db8::2")), Err(Full::Address));
        assert_eq!(admission.enter(ip("2001:db8:0:1::1")), Ok(()));
        admission.leave(ip("2001:db8::1"));
        admission.leave(ip("2001:db8:0:1::1"));
        assert!(admission.of_address.is_empty());
    }
}
