//! Who may come in at all.
//!
//! Owns: how many connections there are, in all and of each address.
//! Does not know: what they do.

use std::{
    collections::HashMap,
    net::{IpAddr, Ipv6Addr},
};

/// Counts connections.
#[derive(Debug)]
pub struct Admission {
    limit: usize,
    limit_per_address: usize,
    all: usize,
    of_address: HashMap<IpAddr, usize>,
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
    pub fn enter(&mut self, address: Option<IpAddr>) -> Result<(), Full> {
        if self.all >= self.limit {
            return Err(Full::House);
        }
        address.map_or(Ok(()), |address| self.name(address))?;
        self.all += 1;
        Ok(())
    }

    /// A connection that came in without an address has one now.
    ///
    /// # Errors
    /// [`Full::Address`]; then it goes on without one.
    pub fn name(&mut self, address: IpAddr) -> Result<(), Full> {
        let count = self.of_address.entry(household(address)).or_default();
        if *count >= self.limit_per_address {
            return Err(Full::Address);
        }
        *count += 1;
        Ok(())
    }

    /// A connection that was let in has gone, and the address that it had.
    pub fn leave(&mut self, address: Option<IpAddr>) {
        self.all -= 1;
        let Some(address) = address.map(household) else { return };
        if let Some(count) = self.of_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.of_address.remove(&address);
            }
        }
    }
}

/// Whoever has one IPv6 address has 2^64 of them: they count as one.
fn household(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(v4) => IpAddr::V4(v4),
        IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> Option<IpAddr> {
        Some(text.parse().unwrap())
    }

    #[test]
    fn an_address_has_a_limit_and_the_house_has_one() {
        let mut admission = Admission::new(3, 2);
        assert_eq!(admission.enter(ip("192.0.2.1")), Ok(()));
        assert_eq!(admission.enter(ip("::ffff:192.0.2.1")), Ok(()));
        assert_eq!(admission.enter(ip("192.0.2.1")), Err(Full::Address));
        assert_eq!(admission.enter(ip("192.0.2.2")), Ok(()));
        assert_eq!(admission.enter(ip("192.0.2.3")), Err(Full::House));
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
        let client: IpAddr = "192.0.2.1".parse().unwrap();
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
