//! Certificates and private keys out of PEM files.
//!
//! Owns: telling the ways in which such a file is the wrong one.
//! Does not know: what is in a certificate.

use std::path::Path;

use rustls::pki_types::pem::{self, PemObject, SectionKind};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;

const CERTIFICATE: &str = "certificate";
const KEY: &str = "private key";

/// The certificates in `text`, which came from `path`; at least one.
pub(super) fn chain(path: &Path, text: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    not_empty(path, text, CERTIFICATE)?;
    let (certificates, keys) = sections(path, text)?;
    if !certificates.is_empty() {
        return Ok(certificates);
    }
    if !keys.is_empty() || is_encrypted(text) {
        return Err(TlsError::Swapped { path: path.to_owned(), found: KEY, what: CERTIFICATE });
    }
    let mend = "a binary one is turned into it by: openssl x509 -inform der -in FILE -out NEWFILE";
    Err(TlsError::Missing { path: path.to_owned(), what: CERTIFICATE, mend })
}

/// The first private key in `text`, which came from `path`.
pub(super) fn key(path: &Path, text: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    not_empty(path, text, KEY)?;
    if is_encrypted(text) {
        return Err(TlsError::EncryptedKey { path: path.to_owned() });
    }
    let (certificates, keys) = sections(path, text)?;
    if let Some(key) = keys.into_iter().next() {
        return Ok(key);
    }
    if !certificates.is_empty() {
        return Err(TlsError::Swapped { path: path.to_owned(), found: CERTIFICATE, what: KEY });
    }
    let mend = "a binary one is turned into it by: openssl pkey -inform der -in FILE -out NEWFILE";
    Err(TlsError::Missing { path: path.to_owned(), what: KEY, mend })
}

type Sections = (Vec<CertificateDer<'static>>, Vec<PrivateKeyDer<'static>>);

fn sections(path: &Path, text: &[u8]) -> Result<Sections, TlsError> {
    let (mut certificates, mut keys) = (Vec::new(), Vec::new());
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(text) {
        let (kind, der) = section.map_err(|error| TlsError::Pem { path: path.to_owned(), cause: cause(&error) })?;
        match kind {
            SectionKind::Certificate => certificates.push(CertificateDer::from(der)),
            kind => keys.extend(PrivateKeyDer::from_pem(kind, der)),
        }
    }
    Ok((certificates, keys))
}

/// The file's octets; they may be a key, so they are wiped.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, TlsError> {
    std::fs::read(path).map(Zeroizing::new).map_err(|source| TlsError::Read { path: path.to_owned(), source })
}

fn not_empty(path: &Path, text: &[u8], what: &'static str) -> Result<(), TlsError> {
    if text.trim_ascii().is_empty() {
        return Err(TlsError::Empty { path: path.to_owned(), what });
    }
    Ok(())
}

/// PKCS#8's way, and OpenSSL's old one.
fn is_encrypted(text: &[u8]) -> bool {
    [&b"-----BEGIN ENCRYPTED PRIVATE KEY-----"[..], b"Proc-Type: 4,ENCRYPTED"]
        .iter()
        .any(|mark| memchr::memmem::find(text, mark).is_some())
}

fn cause(error: &pem::Error) -> String {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end, it was cut off".to_owned(),
        pem::Error::IllegalSectionStart { .. } => "a line -----BEGIN ...----- is malformed".to_owned(),
        pem::Error::Base64Decode(_) => "a section is no base64".to_owned(),
        other => other.to_string(),
    }
}
