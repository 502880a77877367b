//! Who counts as one, where strangers are counted.
//!
//! Owns: which addresses are one household.
//! Does not know: what is counted.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

/// All addresses that one stranger may have at will: one of IPv4, or a /64 of IPv6.
///
/// An IPv4 address inside IPv6 is that IPv4 address.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Household(IpAddr);

impl Household {
    /// The one that `address` belongs to.
    pub fn of(address: IpAddr) -> Household {
        Household(match address.to_canonical() {
            IpAddr::V4(v4) => IpAddr::V4(v4),
            IpAddr::V6(v6) => IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() >> 64 << 64)),
        })
    }
}

/// For logs: an address of IPv4, or a network of IPv6.
impl fmt::Display for Household {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            IpAddr::V4(v4) => v4.fmt(f),
            IpAddr::V6(v6) => write!(f, "{v6}/64"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> Household {
        Household::of(text.parse().unwrap())
    }

    #[test]
    fn a_64_of_ipv6_is_one_household_and_so_is_an_address_of_ipv4_in_either_form() {
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:0:0:2"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert_eq!(of("::ffff:192.0.2.1"), of("192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!((of("2001:db8::1").to_string(), of("::ffff:192.0.2.1").to_string()).1, "192.0.2.1");
        assert_eq!(of("2001:db8::1").to_string(), "2001:db8::/64");
    }
}
