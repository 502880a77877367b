//! A certificate for this machine alone (RFC 5280), and its key, made anew for each demo.
//!
//! Owns: what stands in it. Written out with `der`, since the demo needs one form of the many that a library knows,
//! and those would be a fiftieth of the program.
//! Does not know: where it is kept.

use std::{
    net::{Ipv4Addr, Ipv6Addr},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use base64ct::{Base64, Encoding as _};
use der::{
    AnyRef, Encode, Tag,
    asn1::{GeneralizedTime, ObjectIdentifier, UtcTime},
};
use ring::{
    error::Unspecified,
    rand::{SecureRandom as _, SystemRandom},
    signature::{ECDSA_P256_SHA256_ASN1_SIGNING, EcdsaKeyPair, KeyPair as _},
};

use crate::net::tls::x509::{DNS_NAME, EC, EXTENSIONS, IP_ADDRESS, P256, SUBJECT_ALT_NAME, VERSION};

/// Both in PEM: a certificate for `localhost`, 127.0.0.1 and ::1, good for [`DAYS`] days from `now`, and its key.
///
/// # Errors
/// The system has no randomness.
pub(super) fn make(now: SystemTime) -> Result<(String, String), Unspecified> {
    let random = SystemRandom::new();
    let kind = &ECDSA_P256_SHA256_ASN1_SIGNING;
    let private = EcdsaKeyPair::generate_pkcs8(kind, &random)?;
    let key = EcdsaKeyPair::from_pkcs8(kind, private.as_ref(), &random).map_err(|_| Unspecified)?;
    let mut serial = [0; 16];
    random.fill(&mut serial)?;
    serial[0] = serial[0] & 0x3f | 0x40; // positive, and no octet too many
    let signed = signed_part(&serial, now, key.public_key().as_ref());
    let signature = key.sign(&random, &signed)?;
    let certificate = sequence(&[&signed, &sequence(&[&der(&ECDSA_WITH_SHA256)]), &bits(signature.as_ref())]);
    Ok((pem("CERTIFICATE", &certificate), pem("PRIVATE KEY", private.as_ref())))
}

fn signed_part(serial: &[u8], now: SystemTime, public_key: &[u8]) -> Vec<u8> {
    let name = sequence(&[&tlv(Tag::Set, &[&sequence(&[&der(&COMMON_NAME), &tlv(Tag::Utf8String, &[b"localhost"])])])]);
    let key = sequence(&[&sequence(&[&der(&EC), &der(&P256)]), &bits(public_key)]);
    let (v4, v6) = (Ipv4Addr::LOCALHOST.octets(), Ipv6Addr::LOCALHOST.octets());
    let names = sequence(&[&tlv(DNS_NAME, &[b"localhost"]), &tlv(IP_ADDRESS, &[&v4]), &tlv(IP_ADDRESS, &[&v6])]);
    let extension = |kind: &ObjectIdentifier, value: &[u8]| sequence(&[&der(kind), &tlv(Tag::OctetString, &[value])]);
    sequence(&[
        &tlv(VERSION, &[&tlv(Tag::Integer, &[&[2]])]), // version 3
        &tlv(Tag::Integer, &[serial]),
        &sequence(&[&der(&ECDSA_WITH_SHA256)]),
        &name,
        &sequence(&[&time(now - DAY), &time(now.max(UNIX_EPOCH) + DAY * DAYS)]),
        &name,
        &key,
        &tlv(
            EXTENSIONS,
            &[&sequence(&[
                &extension(&SUBJECT_ALT_NAME, &names),
                &extension(&EXTENDED_KEY_USAGE, &sequence(&[&der(&SERVER_AUTH)])),
            ])],
        ),
    ])
}

/// Section 4.1.2.5: two digits of the year until 2049, then four. A machine whose clock was never set is in 1970.
fn time(at: SystemTime) -> Vec<u8> {
    let at = at.max(UNIX_EPOCH);
    match UtcTime::from_system_time(at) {
        Ok(time) => der(&time),
        Err(_) => der(&GeneralizedTime::from_system_time(at).expect("before the year 10,000")),
    }
}

fn der(value: &impl Encode) -> Vec<u8> {
    value.to_der().expect("a short one")
}

fn tlv(tag: Tag, parts: &[&[u8]]) -> Vec<u8> {
    der(&AnyRef::new(tag, &parts.concat()).expect("a short one"))
}

fn sequence(parts: &[&[u8]]) -> Vec<u8> {
    tlv(Tag::Sequence, parts)
}

/// A bit string of whole octets.
fn bits(octets: &[u8]) -> Vec<u8> {
    tlv(Tag::BitString, &[&[0], octets])
}

/// RFC 7468: 64 characters a line.
fn pem(label: &str, octets: &[u8]) -> String {
    let mut pem = format!("-----BEGIN {label}-----\n");
    let mut rest = Base64::encode_string(octets);
    while !rest.is_empty() {
        let after = rest.split_off(rest.len().min(64));
        pem.extend([&rest, "\n"]);
        rest = after;
    }
    pem + &format!("-----END {label}-----\n")
}

/// Some programs take no certificate that is good for years.
const DAYS: u32 = 30;
/// Clocks differ.
const DAY: Duration = Duration::from_secs(24 * 3600);

const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");
const ECDSA_WITH_SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.4.3.2");
const EXTENDED_KEY_USAGE: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.29.37");
const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");

#[cfg(test)]
mod tests {
    use super::*;
    use crate::net::tls::{self, CertificateFiles, KeyKind};

    #[test]
    fn it_is_a_certificate_for_this_machine_whatever_its_clock_says() {
        let folder = tempfile::tempdir().unwrap();
        let year = |years: u32| UNIX_EPOCH + DAY * 365 * years;
        for now in [UNIX_EPOCH - DAY, UNIX_EPOCH + DAY / 2, year(56), year(80), year(81), year(900)] {
            let (certificate, key) = make(now).unwrap();
            let pair = CertificateFiles {
                certificate: folder.path().join("certificate"),
                private_key: folder.path().join("key"),
            };
            std::fs::write(&pair.certificate, certificate).unwrap();
            std::fs::write(&pair.private_key, key).unwrap();
            let facts = tls::load(&[pair]).unwrap().facts.remove(0);
            assert_eq!(facts.names, ["localhost", "127.0.0.1", "::1"]);
            assert_eq!((facts.key, facts.self_signed, facts.chain_complete), (KeyKind::EcdsaP256, true, true));
            let now = now.max(UNIX_EPOCH);
            assert!(
                facts.not_before <= now && facts.days_left(now).is_some_and(|days| days >= 29),
                "{now:?}: {facts:?}"
            );
        }
    }
}
