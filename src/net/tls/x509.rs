//! The numbers of X.509 (RFC 5280) that certificates are read and written with.
//!
//! Owns: object identifiers and tags. Does not know: where they stand.

use der::asn1::ObjectIdentifier;
use der::{Tag, TagNumber};

/// The key is RSA's.
pub const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");
/// The key is an elliptic curve's, which is named behind this.
pub const EC: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// The key is EdDSA's, on Curve25519.
pub const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
/// NIST's curve P-256.
pub const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// NIST's curve P-384.
pub const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
/// NIST's curve P-521.
pub const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
/// The extension that names the hosts.
pub const SUBJECT_ALT_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.17");

/// What stands before the serial number.
pub const VERSION: Tag = explicit(0);
/// What stands behind the key.
pub const EXTENSIONS: Tag = explicit(3);
/// In the extension that names the hosts: a name.
pub const DNS_NAME: Tag = implicit(2);
/// There, too: an address.
pub const IP_ADDRESS: Tag = implicit(7);

const fn explicit(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: true, number: TagNumber(number) }
}

const fn implicit(number: u32) -> Tag {
    Tag::ContextSpecific { constructed: false, number: TagNumber(number) }
}
