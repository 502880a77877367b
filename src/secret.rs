//! A secret that does not print and is wiped when it is dropped.
//!
//! Owns: the octets of a password on their way from the wire to the check.
//! Does not know: where they come from, or what they are compared with.

use std::fmt;

use zeroize::Zeroizing;

/// The octets of a password. `Debug` does not show them; memory is wiped on drop.
#[derive(Clone)]
pub struct Secret(Zeroizing<Vec<u8>>);

impl Secret {
    /// Takes a copy of `octets`; the caller wipes its own.
    pub fn new(octets: &[u8]) -> Secret {
        Secret(Zeroizing::new(octets.to_vec()))
    }

    /// The octets. The one way to read them, so that a search for it finds every reader.
    pub fn expose(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_does_not_print() {
        assert_eq!(format!("{:?}", Secret::new(b"swordfish")), "Secret(..)");
    }
}
