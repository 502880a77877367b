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

    /// Lets a connection in. A proxy's has no address to be counted for, until its client is named.
    ///
    /// # Errors
    /// [`Full`] where it is to be turned away.
    pub fn enter(&mut self, household: Option<Household>) -> Result<(), Full> {
        // First, since in a full house somebody else may have to go.
        if household.is_some_and(|household| self.has_all(household)) {
            return Err(Full::Address);
        }
        if self.all >= self.limit {
            return Err(Full::House);
        }
        household.map_or(Ok(()), |household| self.name(household))?;
        self.all += 1;
        Ok(())
    }

    /// A connection that came in without an address has one now.
    ///
    /// # Errors
    /// [`Full::Address`]; then it goes on without one.
    pub fn name(&mut self, household: Household) -> Result<(), Full> {
        if self.has_all(household) {
            return Err(Full::Address);
        }
        *self.of_address.entry(household).or_default() += 1;
        Ok(())
    }

    fn has_all(&self, household: Household) -> bool {
        self.of_address.get(&household).copied().unwrap_or_default() >= self.limit_per_address
    }

    /// A connection that was let in has gone, and the address that it had.
    pub fn leave(&mut self, household: Option<Household>) {
        self.all -= 1;
        let Some(household) = household else { return };
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

    fn ip(text: &str) -> Option<Household> {
        Some(Household::of(text.parse().unwrap()))
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

    #[test]
    fn a_proxy_is_not_held_to_the_limit_of_an_address_and_its_client_is() {
        let mut admission = Admission::new(4, 1);
        let client = Household::of("192.0.2.1".parse().unwrap());
        assert_eq!([(); 3].map(|()| admission.enter(None)), [Ok(()); 3]);
        assert_eq!(admission.name(client), Ok(()));
        assert_eq!(admission.name(client), Err(Full::Address));
        assert_eq!(admission.enter(Some(client)), Err(Full::Address));
        // The one that was turned away, and then the one that was let in.
        admission.leave(None);
        assert_eq!(admission.name(client), Err(Full::Address));
        admission.leave(Some(client));
        assert_eq!(admission.name(client), Ok(()));
        assert_eq!([(); 3].map(|()| admission.enter(None)), [Ok(()); 3]);
        assert_eq!(admission.enter(None), Err(Full::House));
    }
}
