//! From certificate files to a rustls `ServerConfig`.
//!
//! Owns: reading certificates and keys, what can be said of them, which one a client gets, the settings of TLS.
//! Does not know: sockets and sessions (the transport does), when to read the files anew.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, GetRandomFailed, KeyProvider, SecureRandom, WebPkiSupportedAlgorithms, ring};
use rustls::pki_types::PrivateKeyDer;
use rustls::server::NoServerSessionStorage;
use rustls::sign::{CertifiedKey, SigningKey};
use rustls::{InconsistentKeys, ServerConfig};
use zeroize::Zeroizing;

mod facts;
mod fields;
mod pem;
mod resolver;
mod watch;
pub mod x509;

pub use facts::{Facts, KeyKind, WARN_DAYS};
pub use watch::Watch;

use resolver::ByName;

/// A certificate with its chain, and its private key, both PEM. They may be one file.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct CertificateFiles {
    /// The server's own certificate first, then those that lead to the authority.
    pub certificate: PathBuf,
    /// PKCS#8, PKCS#1 or SEC1, not encrypted.
    pub private_key: PathBuf,
}

/// What [`load`] makes of the files.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// For every connection alike.
    pub config: Arc<ServerConfig>,
    /// What is known of each pair, in the order given.
    pub facts: Vec<Facts>,
}

/// What the two files of a pair hold.
#[derive(Clone, PartialEq, Eq)]
pub struct PairOctets {
    /// The certificate's file.
    pub certificate: Zeroizing<Vec<u8>>,
    /// The key's file. It may be the same one.
    pub private_key: Zeroizing<Vec<u8>>,
}

impl std::fmt::Debug for PairOctets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PairOctets")
    }
}

/// Reads every pair, and makes [`settle`] out of them.
///
/// # Errors
/// As both.
pub fn load(pairs: &[CertificateFiles]) -> Result<Loaded, TlsError> {
    settle(pairs, &read(pairs)?, None)
}

/// The octets of every pair, whatever they are.
///
/// # Errors
/// [`TlsError::Read`], the first one.
pub fn read(pairs: &[CertificateFiles]) -> Result<Vec<PairOctets>, TlsError> {
    let both = |pair: &CertificateFiles| {
        Ok(PairOctets { certificate: pem::read(&pair.certificate)?, private_key: pem::read(&pair.private_key)? })
    };
    pairs.iter().map(both).collect()
}

/// The settings of TLS with every pair. The first is for clients that ask for no name or for one that nobody has.
///
/// An expired certificate is no error but a fact: a server that refuses to start helps nobody. With the settings that
/// were in force `before`, tickets that clients have stay good.
///
/// # Errors
/// [`TlsError`], of the first pair that can't be used. `pairs` says where the `octets` came from.
pub fn settle(
    pairs: &[CertificateFiles],
    octets: &[PairOctets],
    before: Option<&ServerConfig>,
) -> Result<Loaded, TlsError> {
    let provider = Arc::new(provider());
    let mut facts = Vec::new();
    let mut keys = Vec::new();
    for (pair, octets) in pairs.iter().zip(octets) {
        let (fact, key) = load_pair(pair, octets, &provider)?;
        keys.push((fact.names.clone(), Arc::new(key)));
        facts.push(fact);
    }
    let resolver = ByName::new(keys).ok_or(TlsError::NoPair)?;
    let ticketer = match before {
        Some(before) => Arc::clone(&before.ticketer),
        None => ring::Ticketer::new().map_err(TlsError::Rustls)?,
    };
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&rustls::version::TLS13, &rustls::version::TLS12])
        .map_err(TlsError::Rustls)?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(resolver));
    config.ignore_client_order = has_aes();
    config.alpn_protocols = vec![b"pop3".to_vec()];
    // Tickets keep the session with the client: ten thousand of them cost the server nothing. One will do,
    // a mail program has one connection at a time.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config.ticketer = ticketer;
    config.send_tls13_tickets = 1;
    // The first octets of a session would be open to replay, and POP3 lets the server speak first anyway.
    config.max_early_data_size = 0;
    config.send_half_rtt_data = false;
    Ok(Loaded { config: Arc::new(config), facts })
}

/// Why a pair can't be used. Each is one sentence with the path, and the mend where there is one.
#[derive(thiserror::Error, Debug)]
pub enum TlsError {
    /// No file, or not for us.
    #[error("cannot read {}: {source} (as uid {}); {}", .path.display(), rustix::process::geteuid().as_raw(), read_mend(.source))]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// Nothing in it.
    #[error("{} is empty; write the {what} into it, in PEM form", .path.display())]
    Empty {
        /// Which.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
    },
    /// Something else in it.
    #[error("{} holds no {what} in PEM form (a line -----BEGIN ...-----); {mend}", .path.display())]
    Missing {
        /// Which.
        path: PathBuf,
        /// What should be there.
        what: &'static str,
        /// What to do.
        mend: &'static str,
    },
    /// The other file of the pair.
    #[error("{} holds a {found} and no {what}: certificate and private-key seem to be swapped", .path.display())]
    Swapped {
        /// Which.
        path: PathBuf,
        /// What is there.
        found: &'static str,
        /// What should be there.
        what: &'static str,
    },
    /// A key behind a pass phrase.
    #[error(
        "the private key in {} is encrypted, and nobody is there to type its pass phrase; \
         write it in the clear: openssl pkey -in {} -out NEWFILE",
        .path.display(), .path.display()
    )]
    EncryptedKey {
        /// Which.
        path: PathBuf,
    },
    /// Torn or mangled PEM.
    #[error("{} is damaged PEM: {cause}; copy the file anew", .path.display())]
    Pem {
        /// Which.
        path: PathBuf,
        /// What the PEM reader says.
        cause: String,
    },
    /// PEM around something that is no certificate.
    #[error("certificate number {number} in {} can't be understood: {cause}; copy the file anew, or have another one made", .path.display())]
    Certificate {
        /// Which.
        path: PathBuf,
        /// From 1.
        number: usize,
        /// What the parser says.
        cause: String,
    },
    /// PEM around something that is no key, or one of a kind that ring can't sign with.
    #[error("the private key in {} can't be used: {cause}; RSA, ECDSA P-256 and P-384 and Ed25519 can", .path.display())]
    Key {
        /// Which.
        path: PathBuf,
        /// What rustls says.
        cause: String,
    },
    /// Two halves of two pairs.
    #[error("the private key in {} does not belong to the certificate in {}; \
             give the two files that were made together", .private_key.display(), .certificate.display())]
    Mismatch {
        /// The certificate.
        certificate: PathBuf,
        /// The key.
        private_key: PathBuf,
    },
    /// Called without any pair.
    #[error("no certificate is configured; write certificate and private-key below [tls]")]
    NoPair,
    /// What no file can cause: no random numbers, for one.
    #[error("TLS can't be set up: {0}")]
    Rustls(#[source] rustls::Error),
}

impl TlsError {
    /// The file that is at fault, where it is one.
    pub fn path(&self) -> Option<&Path> {
        match self {
            TlsError::Read { path, .. }
            | TlsError::Empty { path, .. }
            | TlsError::Missing { path, .. }
            | TlsError::Swapped { path, .. }
            | TlsError::EncryptedKey { path }
            | TlsError::Pem { path, .. }
            | TlsError::Certificate { path, .. }
            | TlsError::Key { path, .. }
            | TlsError::Mismatch { private_key: path, .. } => Some(path),
            TlsError::NoPair | TlsError::Rustls(_) => None,
        }
    }
}

/// ring as a server without certificates of clients needs it: what verifies theirs is not linked.
///
/// AES-128 comes first: its hash, SHA-256, has instructions of its own where SHA-384 has none, and makes a handshake a
/// fifth cheaper.
fn provider() -> CryptoProvider {
    use ring::cipher_suite::*;
    CryptoProvider {
        cipher_suites: vec![
            TLS13_AES_128_GCM_SHA256,
            TLS13_AES_256_GCM_SHA384,
            TLS13_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256,
            TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256,
            TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384,
            TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256,
        ],
        kx_groups: ring::ALL_KX_GROUPS.to_vec(),
        signature_verification_algorithms: WebPkiSupportedAlgorithms { all: &[], mapping: &[] },
        secure_random: &Ring,
        key_provider: &Ring,
    }
}

/// The parts of ring that rustls has no public name for.
#[derive(Debug)]
struct Ring;

impl SecureRandom for Ring {
    fn fill(&self, octets: &mut [u8]) -> Result<(), GetRandomFailed> {
        getrandom::fill(octets).map_err(|_| GetRandomFailed)
    }
}

impl KeyProvider for Ring {
    fn load_private_key(&self, key: PrivateKeyDer<'static>) -> Result<Arc<dyn SigningKey>, rustls::Error> {
        ring::sign::any_supported_type(&key)
    }
}

/// Whether this processor has instructions for AES; where it has none, the client knows best what is fast.
pub(super) fn has_aes() -> bool {
    #[cfg(target_arch = "x86_64")]
    return std::arch::is_x86_feature_detected!("aes");
    #[cfg(target_arch = "aarch64")]
    return std::arch::is_aarch64_feature_detected!("aes");
    #[allow(unreachable_code)]
    false
}

fn load_pair(
    pair: &CertificateFiles,
    octets: &PairOctets,
    provider: &CryptoProvider,
) -> Result<(Facts, CertifiedKey), TlsError> {
    let chain = pem::chain(&pair.certificate, &octets.certificate)?;
    let facts = Facts::read(&chain).map_err(|(at, cause)| TlsError::Certificate {
        path: pair.certificate.clone(),
        number: at + 1,
        cause,
    })?;
    let unusable = |error: rustls::Error| TlsError::Key { path: pair.private_key.clone(), cause: error.to_string() };
    let key =
        provider.key_provider.load_private_key(pem::key(&pair.private_key, &octets.private_key)?).map_err(unusable)?;
    let certified = CertifiedKey::new(chain, key);
    match certified.keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => Ok((facts, certified)),
        Err(rustls::Error::InconsistentKeys(_)) => {
            Err(TlsError::Mismatch { certificate: pair.certificate.clone(), private_key: pair.private_key.clone() })
        }
        Err(error) => {
            Err(TlsError::Certificate { path: pair.certificate.clone(), number: 1, cause: error.to_string() })
        }
    }
}

fn read_mend(error: &std::io::Error) -> &'static str {
    match error.kind() {
        std::io::ErrorKind::NotFound => "put the file there, or write its path below [tls]",
        std::io::ErrorKind::PermissionDenied => "let the user that runs poppet read it and enter its folders",
        _ => "the path below [tls] must name a file",
    }
}

#[cfg(test)]
mod tests;
