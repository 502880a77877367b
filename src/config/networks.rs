//! Networks that the configuration names.
//!
//! Owns: CIDR notation, and which address is in which network.
//! Does not know: what a network is allowed.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

/// Networks and single addresses. An IPv4-mapped IPv6 address (`::ffff:192.0.2.1`) is that IPv4 address.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct Networks(Vec<Network>);

impl Networks {
    /// Whether `address` is in one of them.
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Networks {
        Networks(networks.into_iter().collect())
    }
}

/// One network, or one address, which is a network of one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Network {
    base: IpAddr,
    prefix: u8,
}

impl Network {
    /// Whether `address` is in it. `::/0` is all of IPv6 and nothing of IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let address = address.to_canonical();
        address.is_ipv4() == self.base.is_ipv4() && masked(address, self.prefix) == self.base
    }
}

/// What is wrong with the text of a network, with the mend.
#[derive(thiserror::Error, Clone, PartialEq, Eq, Debug)]
pub enum NotANetwork {
    /// Neither an address nor a network.
    #[error("\"{0}\" is no network; write an address such as \"192.0.2.7\" or a network such as \"192.0.2.0/24\"")]
    Malformed(String),
    /// A prefix longer than the address.
    #[error("\"{text}\" has a prefix longer than {at_most}, the length of its address")]
    Prefix {
        /// As written.
        text: String,
        /// Bits in the address.
        at_most: u8,
    },
    /// Bits behind the prefix. In a list of who may do what, a guess at what was meant would be unsafe.
    #[error("\"{text}\" has bits set behind its prefix; write \"{network}\" for the network, or the address alone")]
    HostBits {
        /// As written.
        text: String,
        /// The network that it lies in.
        network: Network,
    },
}

impl FromStr for Network {
    type Err = NotANetwork;

    fn from_str(text: &str) -> Result<Network, NotANetwork> {
        let malformed = || NotANetwork::Malformed(text.to_owned());
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let written: IpAddr = address.parse().map_err(|_| malformed())?;
        let bits = bits(written);
        let prefix = match prefix {
            Some(digits) if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) => {
                return Err(malformed());
            }
            // More digits than a u8 holds are too long as well.
            Some(digits) => digits.parse().unwrap_or(u8::MAX),
            None => bits,
        };
        if prefix > bits {
            return Err(NotANetwork::Prefix { text: text.to_owned(), at_most: bits });
        }
        let network = canonical(masked(written, prefix), prefix);
        if masked(written, prefix) != written {
            return Err(NotANetwork::HostBits { text: text.to_owned(), network });
        }
        Ok(network)
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.base, self.prefix)
    }
}

/// `::ffff:192.0.2.0/120` is 192.0.2.0/24; a shorter prefix spans more than IPv4 and stays as it is.
fn canonical(base: IpAddr, prefix: u8) -> Network {
    match base.to_canonical() {
        v4 if base.is_ipv6() && v4.is_ipv4() && prefix >= 96 => Network { base: v4, prefix: prefix - 96 },
        _ => Network { base, prefix },
    }
}

fn bits(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn masked(address: IpAddr, prefix: u8) -> IpAddr {
    match address {
        IpAddr::V4(v4) => IpAddr::V4((v4.to_bits() & u32::MAX.checked_shl(32 - u32::from(prefix)).unwrap_or(0)).into()),
        IpAddr::V6(v6) => {
            IpAddr::V6((v6.to_bits() & u128::MAX.checked_shl(128 - u32::from(prefix)).unwrap_or(0)).into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Networks {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_network_holds_its_addresses_and_no_other() {
        let some = networks(&["192.0.2.0/25", "2001:db8::/32", "198.51.100.7"]);
        for inside in ["192.0.2.0", "192.0.2.127", "2001:db8::1", "2001:db8:ffff::", "198.51.100.7"] {
            assert!(some.contains(ip(inside)), "{inside}");
        }
        for outside in ["192.0.2.128", "192.0.1.255", "2001:db9::", "198.51.100.6", "198.51.100.8"] {
            assert!(!some.contains(ip(outside)), "{outside}");
        }
        assert!(!Networks::default().contains(ip("127.0.0.1")));
    }

    #[test]
    fn a_mapped_address_is_the_ipv4_address() {
        assert!(networks(&["192.0.2.0/24"]).contains(ip("::ffff:192.0.2.9")));
        assert!(networks(&["::ffff:192.0.2.0/120"]).contains(ip("192.0.2.9")));
        assert!(networks(&["::ffff:192.0.2.9"]).contains(ip("192.0.2.9")));
        assert!(!networks(&["::ffff:192.0.2.9"]).contains(ip("192.0.2.8")));
    }

    #[test]
    fn all_of_one_family_is_nothing_of_the_other() {
        assert!(networks(&["0.0.0.0/0"]).contains(ip("203.0.113.1")));
        assert!(!networks(&["0.0.0.0/0"]).contains(ip("2001:db8::1")));
        assert!(networks(&["::/0"]).contains(ip("2001:db8::1")));
        assert!(!networks(&["::/0"]).contains(ip("203.0.113.1")));
        assert!(!networks(&["::/0"]).contains(ip("::ffff:203.0.113.1")));
    }

    #[test]
    fn what_is_no_network_is_refused() {
        for text in ["", "localhost", "192.0.2", "192.0.2.0/", "192.0.2.0/+8", "192.0.2.0/24/24", "::1/x", "[::1]"] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork::Malformed(text.to_owned())), "{text}");
        }
        for (text, at_most) in [("192.0.2.0/33", 32), ("192.0.2.0/999", 32), ("::/129", 128)] {
            assert_eq!(text.parse::<Network>(), Err(NotANetwork::Prefix { text: text.to_owned(), at_most }), "{text}");
        }
    }

    #[test]
    fn bits_behind_the_prefix_are_refused_with_the_network() {
        let told = "192.0.2.5/24".parse::<Network>().unwrap_err().to_string();
        assert!(told.contains("write \"192.0.2.0/24\""), "{told}");
        assert!("2001:db8::1/64".parse::<Network>().is_err());
    }
}
