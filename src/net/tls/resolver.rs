//! Which certificate a client gets: the one with the name that it asks for, else the first.
//!
//! Owns: names, and wildcards for one label (RFC 6125 section 6.4.3).
//! Does not know: files.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

/// Certificates by name; one of them for everybody else.
pub(super) struct ByName<T = Arc<CertifiedKey>> {
    first: T,
    /// Lower case; a wildcard begins with `*.`.
    by_name: HashMap<String, T>,
}

impl<T: Clone> ByName<T> {
    /// Of two with the same name the first has it. `None` if there are none.
    pub(super) fn new(pairs: Vec<(Vec<String>, T)>) -> Option<ByName<T>> {
        let first = pairs.first()?.1.clone();
        let mut by_name = HashMap::new();
        for (names, key) in pairs {
            for name in names {
                by_name.entry(name.to_ascii_lowercase()).or_insert_with(|| key.clone());
            }
        }
        Some(ByName { first, by_name })
    }

    fn find(&self, name: Option<&str>) -> &T {
        name.and_then(|name| self.named(&name.to_ascii_lowercase())).unwrap_or(&self.first)
    }

    fn named(&self, name: &str) -> Option<&T> {
        let wildcard = || self.by_name.get(&format!("*.{}", name.split_once('.')?.1));
        self.by_name.get(name).or_else(wildcard)
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.find(hello.server_name()).clone())
    }
}

impl fmt::Debug for ByName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.by_name.keys()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn three() -> ByName<u8> {
        let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
        ByName::new(vec![
            (names(&["mail.example.org"]), 1),
            (names(&["*.example.net", "Example.NET"]), 2),
            (names(&["pop.example.net", "mail.example.org"]), 3),
        ])
        .unwrap()
    }

    #[test]
    fn a_client_gets_the_certificate_of_the_name_it_asks_for() {
        let three = three();
        assert_eq!(*three.find(Some("pop.example.net")), 3);
        assert_eq!(*three.find(Some("example.net")), 2);
        assert_eq!(*three.find(Some("mail.example.org")), 1, "the first of two that have it");
    }

    #[test]
    fn a_wildcard_stands_for_one_label() {
        let three = three();
        assert_eq!(*three.find(Some("any.example.net")), 2);
        assert_eq!(*three.find(Some("ANY.Example.net")), 2);
        assert_eq!(*three.find(Some("a.b.example.net")), 1, "two labels");
    }

    #[test]
    fn no_name_and_an_unknown_one_get_the_first() {
        assert_eq!(*three().find(None), 1);
        assert_eq!(*three().find(Some("example.com")), 1);
        assert_eq!(*three().find(Some("localhost")), 1);
        assert!(ByName::<u8>::new(Vec::new()).is_none());
    }
}
