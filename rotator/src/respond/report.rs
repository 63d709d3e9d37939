//! The part of a scanner's report that is acted on, checked before anything in it is believed.

use std::collections::BTreeSet;
use std::io::Read as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use jiff::Timestamp;
use serde::Deserialize;
use sha2::{Digest as _, Sha256};
use shared::finding::REPORT_VERSION;
use shared::known::KnownKey;
use shared::known::proof::{KnownMatch, ProofOfValue};
use shared::secret::Redacted;

use crate::known::ledger::Ledger;

/// A report of 100,000 findings with a few places each takes about so much.
const REPORT_BYTES_MAX: u64 = 64 << 20;
/// More live values than this in one report are not answered one by one.
const KNOWN_MAX: usize = 10_000;

/// Why a report is refused, whole: nothing in it is acted on.
#[derive(Debug, thiserror::Error)]
pub enum ReportError {
    /// The file could not be read.
    #[error("it cannot be read: {0}")]
    Io(#[from] std::io::Error),
    /// Not a plain file.
    #[error("this is not a plain file")]
    NotAFile,
    /// Too large.
    #[error("it is larger than {} MiB; scan fewer targets at once", REPORT_BYTES_MAX >> 20)]
    TooLarge,
    /// Not a report. The parser's own text may quote what it read, so it is not kept.
    #[error(
        "line {line}, column {column}: this is not a report of the scanner (`scanner scan --format json`)"
    )]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Another version.
    #[error("it has version {0}; this program reads version {REPORT_VERSION}")]
    Version(u32),
    /// Too many findings of known values.
    #[error("more than {KNOWN_MAX} findings of known values; a person should look at this")]
    TooMany,
    /// An id that no scanner of ours writes.
    #[error("finding {ordinal}: its id is not one of the scanner's")]
    Id {
        /// From 1, among those of known values.
        ordinal: usize,
    },
    /// Made under another key.
    #[error("finding {id}: made with the known key {found}; the key at hand is {given}")]
    OtherKey {
        /// The finding.
        id: String,
        /// Its key.
        found: String,
        /// Ours.
        given: String,
    },
    /// Made with a known file that is no longer believed, or that was never issued here.
    #[error(
        "finding {id}: made with known file {generation}, which has expired or was never issued here; scan again"
    )]
    Stale {
        /// The finding.
        id: String,
        /// The generation that it names.
        generation: u64,
    },
    /// The proof is not that of the value.
    #[error("finding {id}: its proof is wrong: forged, or moved from another finding")]
    Forged {
        /// The finding.
        id: String,
    },
}

#[derive(Deserialize)]
struct Report {
    #[serde(default)]
    findings: Vec<Finding>,
}

#[derive(Deserialize)]
struct Finding {
    #[serde(default)]
    id: String,
    #[serde(default)]
    locations: Vec<Location>,
    #[serde(default)]
    known: Option<KnownMatch>,
}

#[derive(Deserialize)]
struct Location {
    target: String,
    #[serde(default)]
    image: Option<Image>,
    path: String,
    #[serde(default)]
    entries: Vec<String>,
    byte_start: u64,
    byte_end: u64,
}

#[derive(Deserialize)]
struct Image {
    digest: String,
}

/// A finding of a known value.
#[derive(Clone, Debug)]
pub struct Known {
    /// The finding's id; plain characters alone.
    pub id: String,
    /// What it says about the value.
    pub found: KnownMatch,
    target_digest: String,
}

/// Reads a report and keeps the findings of known values.
///
/// # Errors
/// When it is no report of the one version, or too large.
pub fn read(path: &Path) -> Result<Vec<Known>, ReportError> {
    // A FIFO or a device must not hang the reader.
    let nonblocking = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file = std::fs::OpenOptions::new().read(true).custom_flags(nonblocking).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(ReportError::NotAFile);
    }
    let mut bytes = Vec::new();
    file.take(REPORT_BYTES_MAX + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > REPORT_BYTES_MAX {
        return Err(ReportError::TooLarge);
    }
    parse(&bytes)
}

fn parse(bytes: &[u8]) -> Result<Vec<Known>, ReportError> {
    #[derive(Deserialize)]
    struct Version {
        version: u32,
    }
    let malformed = |error: &serde_json::Error| ReportError::Malformed {
        line: error.line().max(1),
        column: error.column().max(1),
    };
    let Version { version } = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    if version != REPORT_VERSION {
        return Err(ReportError::Version(version));
    }
    let report: Report = serde_json::from_slice(bytes).map_err(|error| malformed(&error))?;
    let mut known = Vec::new();
    for finding in report.findings {
        let target_digest = target_digest(&finding.locations);
        let Finding { id, known: Some(found), .. } = finding else { continue };
        if known.len() >= KNOWN_MAX {
            return Err(ReportError::TooMany);
        }
        if !is_id(&id) {
            return Err(ReportError::Id { ordinal: known.len() + 1 });
        }
        known.push(Known { id, found, target_digest });
    }
    Ok(known)
}

/// The id goes to terminals, logs and journals.
fn is_id(id: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte);
    (1..=128).contains(&id.len()) && id.bytes().all(plain)
}

/// What the proof is bound to, as the scanner defines it: the digests of the images, and for places elsewhere
/// `place:` and a hash of the place; each once, sorted, with commas between them.
fn target_digest(locations: &[Location]) -> String {
    let digests: BTreeSet<String> = locations
        .iter()
        .map(|location| match &location.image {
            Some(image) => image.digest.clone(),
            None => place_digest(location),
        })
        .collect();
    digests.into_iter().collect::<Vec<_>>().join(",")
}

fn place_digest(location: &Location) -> String {
    let mut hasher = Sha256::new();
    for text in [&location.target, &location.path].into_iter().chain(&location.entries) {
        hasher.update((text.len() as u64).to_le_bytes());
        hasher.update(text.as_bytes());
    }
    hasher.update(location.byte_start.to_le_bytes());
    hasher.update(location.byte_end.to_le_bytes());
    format!("place:{}", data_encoding::HEXLOWER.encode(&hasher.finalize()))
}

impl Known {
    /// Checks what needs no value: the key, and that its known file is still believed.
    ///
    /// # Errors
    /// When either is not so.
    pub fn check(&self, key: &KnownKey, ledger: &Ledger, now: Timestamp) -> Result<(), ReportError> {
        let (id, given) = (self.id.clone(), key.key_id());
        if self.found.key_id != given {
            let found = self.found.key_id.to_string();
            return Err(ReportError::OtherKey { id, found, given: given.to_string() });
        }
        let generation = self.found.generation;
        match ledger.issued(generation) {
            Some(issued) if issued.expires > now => Ok(()),
            Some(_) | None => Err(ReportError::Stale { id, generation }),
        }
    }

    /// Recomputes the proof from the value.
    ///
    /// # Errors
    /// When it is another one, or its known file is unknown.
    pub fn verify(&self, key: &KnownKey, ledger: &Ledger, value: &[u8]) -> Result<(), ReportError> {
        let id = self.id.clone();
        let generation = self.found.generation;
        let Some(issued) = ledger.issued(generation) else {
            return Err(ReportError::Stale { id, generation });
        };
        let proof = ProofOfValue::of(key, Redacted::new(value), &issued.nonce, &self.target_digest);
        if proof == self.found.proof { Ok(()) } else { Err(ReportError::Forged { id }) }
    }
}
