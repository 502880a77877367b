//! Whether the files of certificates and keys are still what they were.
//!
//! Owns: what was in them at the last look.
//! Does not know: when to look, whether what is in them is of any use.

use super::{CertificateFiles, PairOctets, TlsError, read};

/// Files that are looked at now and then.
///
/// Their octets are compared, and not their times: links that lead elsewhere, copies that keep the time and file
/// systems with coarse clocks make no difference then, and a few KiB a minute cost nothing.
#[derive(Debug)]
pub struct Watch {
    pairs: Vec<CertificateFiles>,
    last: Result<Vec<PairOctets>, String>,
}

impl Watch {
    /// Of files that held `octets` when they were read first.
    pub fn new(pairs: Vec<CertificateFiles>, octets: Vec<PairOctets>) -> Watch {
        Watch { pairs, last: Ok(octets) }
    }

    /// Which files.
    pub fn pairs(&self) -> &[CertificateFiles] {
        &self.pairs
    }

    /// Reads them again. `None` where nothing is new: neither what they hold, nor why they can't be read.
    pub fn look(&mut self) -> Option<Result<Vec<PairOctets>, TlsError>> {
        let found = read(&self.pairs);
        let now = found.as_ref().map(Clone::clone).map_err(TlsError::to_string);
        if now == self.last {
            return None;
        }
        self.last = now;
        Some(found)
    }
}
