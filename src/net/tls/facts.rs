//! What can be told of a certificate without asking anybody.
//!
//! Owns: what an operator wants to hear of a certificate, and the sentences about it.
//! Does not know: where the fields stand; files, keys, who is told.

use std::fmt;
use std::time::{Duration, SystemTime};

use rustls::pki_types::CertificateDer;

use super::fields::Fields;
use super::x509::{EC, ED25519, P256, P384, P521, RSA};

/// A certificate and its chain, as far as they tell of themselves.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Facts {
    /// DNS names, lower case, wildcards included, then IP addresses.
    pub names: Vec<String>,
    /// Not to be used before.
    pub not_before: SystemTime,
    /// Not to be used after.
    pub not_after: SystemTime,
    /// Certificates in the file.
    pub chain_length: usize,
    /// The kind of the server's own key.
    pub key: KeyKind,
    /// It is its own issuer.
    pub self_signed: bool,
    /// Each certificate's issuer is the next one in the file, and the first is not alone unless it is its own
    /// issuer. Whether the last one leads to an authority that the client knows can't be told offline.
    pub chain_complete: bool,
}

impl Facts {
    /// Reads a chain, the server's own certificate first; an error comes with the index of the bad one.
    pub(super) fn read(chain: &[CertificateDer<'_>]) -> Result<Facts, (usize, String)> {
        let mut certificates = Vec::new();
        for (at, der) in chain.iter().enumerate() {
            certificates.push(Fields::read(der).map_err(|error| (at, error.to_string()))?);
        }
        let leaf = certificates.first().ok_or((0, "there is none".to_owned()))?;
        let self_signed = leaf.issuer == leaf.subject;
        let linked = certificates.windows(2).all(|two| two[0].issuer == two[1].subject);
        let dns = leaf.dns.iter().map(|name| name.to_ascii_lowercase());
        Ok(Facts {
            names: dns.chain(leaf.addresses.iter().map(ToString::to_string)).collect(),
            not_before: leaf.not_before,
            not_after: leaf.not_after,
            chain_length: chain.len(),
            key: KeyKind::of(leaf),
            self_signed,
            chain_complete: linked && (chain.len() > 1 || self_signed),
        })
    }

    /// Whole days from `now` to the end; `None` when it is over.
    pub fn days_left(&self, now: SystemTime) -> Option<u64> {
        self.not_after.duration_since(now).ok().map(|left| left.as_secs() / DAY.as_secs())
    }

    /// A sentence when the end is near or over; [`Facts::days_left`] tells which. The caller says of which file.
    pub fn expiry(&self, now: SystemTime) -> Option<String> {
        match self.days_left(now) {
            None => Some("has expired: mail programs refuse it; renew it".to_owned()),
            Some(1) => Some("expires in 1 day; renew it".to_owned()),
            Some(days) if days < WARN_DAYS => Some(format!("expires in {days} days; renew it")),
            Some(_) => None,
        }
    }

    /// A sentence for each other thing that will trouble somebody.
    pub fn warnings(&self, now: SystemTime) -> Vec<String> {
        let mut warnings = Vec::new();
        if now < self.not_before {
            warnings.push("is not valid yet; look whether the clock of this machine is right".to_owned());
        }
        if self.names.is_empty() {
            warnings.push(
                "names no host (no subjectAltName), so mail programs refuse it; have one made that does".to_owned(),
            );
        }
        if !self.chain_complete {
            let told = if self.chain_length == 1 {
                "comes without the certificates between it and its authority, so some mail programs refuse it; \
                 use the full chain (fullchain.pem of certbot)"
            } else {
                "is followed by certificates that don't lead to its issuer one by one; \
                 put them into the order server, intermediate, next intermediate"
            };
            warnings.push(told.to_owned());
        }
        warnings
    }

    /// A sentence for each choice that shuts somebody out, without being wrong.
    pub fn hints(&self) -> Vec<String> {
        let hint = match self.key {
            KeyKind::Rsa => {
                "has an RSA key: mail programs that use the TLS of Windows 7, 8 or 8.1 can't connect with it; \
                 with an ECDSA key (certbot: --key-type ecdsa) they can"
            }
            KeyKind::Ed25519 => {
                "has an Ed25519 key, which many mail programs can't use; ECDSA P-256 (certbot: --key-type ecdsa) all can"
            }
            _ => return Vec::new(),
        };
        vec![hint.to_owned()]
    }
}

/// The kind of a public key.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum KeyKind {
    /// RSA of any length.
    Rsa,
    /// ECDSA on NIST's P-256, which every client of today can use.
    EcdsaP256,
    /// ECDSA on NIST's P-384.
    EcdsaP384,
    /// ECDSA on NIST's P-521.
    EcdsaP521,
    /// EdDSA on Curve25519.
    Ed25519,
    /// Something else.
    Other,
}

impl KeyKind {
    fn of(leaf: &Fields<'_>) -> KeyKind {
        match (leaf.algorithm, leaf.curve) {
            (RSA, _) => KeyKind::Rsa,
            (ED25519, _) => KeyKind::Ed25519,
            (EC, Some(P256)) => KeyKind::EcdsaP256,
            (EC, Some(P384)) => KeyKind::EcdsaP384,
            (EC, Some(P521)) => KeyKind::EcdsaP521,
            _ => KeyKind::Other,
        }
    }
}

impl fmt::Display for KeyKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyKind::Rsa => "RSA",
            KeyKind::EcdsaP256 => "ECDSA P-256",
            KeyKind::EcdsaP384 => "ECDSA P-384",
            KeyKind::EcdsaP521 => "ECDSA P-521",
            KeyKind::Ed25519 => "Ed25519",
            KeyKind::Other => "another kind of key",
        })
    }
}

/// From here on an expiry is worth a warning: certbot renews at 30 days, so at 14 something has failed.
pub const WARN_DAYS: u64 = 14;

const DAY: Duration = Duration::from_secs(24 * 3600);
