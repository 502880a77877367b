//! The fields of a certificate (RFC 5280, section 4.1), read with `der`.
//!
//! Owns: where each stands, and what is stepped over.
//! Does not know: what a field means to anybody; whether a signature is right, which rustls finds out.

use std::net::IpAddr;
use std::time::SystemTime;

use der::asn1::{GeneralizedTime, ObjectIdentifier, OctetStringRef, UtcTime};
use der::{AnyRef, Decode as _, Reader, Result, SliceReader, Tag, Tagged as _};

use super::x509::{DNS_NAME, EXTENSIONS, IP_ADDRESS, SUBJECT_ALT_NAME, VERSION};

/// What is read of a certificate.
pub(super) struct Fields<'a> {
    /// Whom it is from, encoded.
    pub(super) issuer: &'a [u8],
    /// Whom it is for, encoded.
    pub(super) subject: &'a [u8],
    pub(super) not_before: SystemTime,
    pub(super) not_after: SystemTime,
    /// The kind of its key.
    pub(super) algorithm: ObjectIdentifier,
    /// Of an elliptic curve's key: which.
    pub(super) curve: Option<ObjectIdentifier>,
    /// dNSNames of subjectAltName, as they stand there.
    pub(super) dns: Vec<String>,
    /// iPAddresses of subjectAltName.
    pub(super) addresses: Vec<IpAddr>,
}

impl<'a> Fields<'a> {
    /// # Errors
    /// What doesn't look as it must, and at which octet.
    pub(super) fn read(certificate: &'a [u8]) -> Result<Fields<'a>> {
        let mut reader = SliceReader::new(certificate)?;
        let fields = reader.sequence(|certificate| {
            let fields = certificate.sequence(Fields::signed_part)?;
            skip(certificate)?; // signatureAlgorithm
            skip(certificate)?; // signatureValue
            Ok::<_, der::Error>(fields)
        })?;
        reader.finish()?;
        Ok(fields)
    }

    fn signed_part(reader: &mut SliceReader<'a>) -> Result<Fields<'a>> {
        if Tag::peek(reader)? == VERSION {
            skip(reader)?; // version
        }
        skip(reader)?; // serialNumber
        skip(reader)?; // signature
        let issuer = reader.tlv_bytes()?;
        let (not_before, not_after) =
            reader.sequence(|validity| Ok::<_, der::Error>((time(validity)?, time(validity)?)))?;
        let subject = reader.tlv_bytes()?;
        let (algorithm, curve) = reader.sequence(key)?;
        let mut fields =
            Fields { issuer, subject, not_before, not_after, algorithm, curve, dns: Vec::new(), addresses: Vec::new() };
        while !reader.is_finished() {
            let part = AnyRef::decode(reader)?; // issuerUniqueID, subjectUniqueID, extensions
            if part.tag() == EXTENSIONS {
                each(part.value(), |extension| extension.sequence(|extension| fields.extension(extension)))?;
            }
        }
        Ok(fields)
    }

    fn extension(&mut self, reader: &mut SliceReader<'a>) -> Result<()> {
        let kind = ObjectIdentifier::decode(reader)?;
        if Tag::peek(reader)? == Tag::Boolean {
            skip(reader)?; // critical
        }
        let value = <&OctetStringRef>::decode(reader)?;
        if kind == SUBJECT_ALT_NAME {
            each(value.as_bytes(), |name| self.name(name))?;
        }
        Ok(())
    }

    /// Section 4.2.1.6: the names that programs look at; the others are stepped over.
    fn name(&mut self, reader: &mut SliceReader<'a>) -> Result<()> {
        let name = AnyRef::decode(reader)?;
        match name.tag() {
            DNS_NAME => {
                // A name that can be printed as it is, whoever made the certificate.
                let printable = Some(name.value()).filter(|octets| octets.iter().all(u8::is_ascii_graphic));
                let dns = printable.and_then(|octets| std::str::from_utf8(octets).ok());
                self.dns.push(dns.ok_or_else(|| reader.error(DNS_NAME.value_error()))?.to_owned());
            }
            IP_ADDRESS => self.addresses.extend(address(name.value())),
            _ => (),
        }
        Ok(())
    }
}

/// Does `what` with each part of the sequence that `octets` are.
fn each<'a>(octets: &'a [u8], mut what: impl FnMut(&mut SliceReader<'a>) -> Result<()>) -> Result<()> {
    SliceReader::new(octets)?.sequence(|parts| {
        while !parts.is_finished() {
            what(parts)?;
        }
        Ok(())
    })
}

fn skip(reader: &mut SliceReader<'_>) -> Result<()> {
    reader.tlv_bytes().map(drop)
}

/// Section 4.1.2.5: two digits of the year until 2049, then four.
fn time(reader: &mut SliceReader<'_>) -> Result<SystemTime> {
    match Tag::peek(reader)? {
        Tag::UtcTime => UtcTime::decode(reader).map(|time| time.to_system_time()),
        _ => GeneralizedTime::decode(reader).map(|time| time.to_system_time()),
    }
}

/// Section 4.1.2.7: the algorithm, and what it is asked for beside it: of an elliptic curve's key, which curve.
fn key(reader: &mut SliceReader<'_>) -> Result<(ObjectIdentifier, Option<ObjectIdentifier>)> {
    let kind = reader.sequence(|algorithm| {
        let kind = ObjectIdentifier::decode(algorithm)?;
        let parameters = Option::<AnyRef>::decode(algorithm)?;
        Ok::<_, der::Error>((kind, parameters.and_then(|parameters| parameters.decode_as().ok())))
    })?;
    skip(reader)?; // subjectPublicKey
    Ok(kind)
}

fn address(octets: &[u8]) -> Option<IpAddr> {
    let v4 = || <[u8; 4]>::try_from(octets).ok().map(IpAddr::from);
    v4().or_else(|| <[u8; 16]>::try_from(octets).ok().map(IpAddr::from))
}
