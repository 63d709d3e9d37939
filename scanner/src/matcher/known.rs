//! Live secrets among the matches: what the known file recognises, in every haystack and in everything decoded.
//!
//! A match of this kind needs no rule; to the rest of the program it is one of the rule [`RULE`]. The proof that a
//! finding carries is bound to a digest of its target, which is known at the end of a run alone. Until then the
//! value itself is kept, once, and wiped afterwards.

use std::collections::HashMap;
use std::sync::Mutex;

use shared::finding::Confidence;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::known::proof::KnownMatch;
use shared::known::{KnownHit, KnownIndex, ValueState};
use shared::secret::{Redacted, Secret};

use super::raw::Raw;
use super::{Window, verify};
use crate::collect::lock;
use crate::rules::RuleIndex;

/// The name of the rule. No rule of a user may have it.
pub const RULE: &str = "known-secret";

/// The known file of a run, and what of it was seen.
pub struct Known {
    index: KnownIndex,
    rule: RuleIndex,
    /// By fingerprint, so that a value is kept once however often it lies in a target.
    seen: Mutex<HashMap<Fingerprint, (KnownHit, Secret)>>,
}

impl Known {
    pub(super) fn new(index: KnownIndex, rule: RuleIndex) -> Self {
        Self { index, rule, seen: Mutex::new(HashMap::new()) }
    }

    /// Finds the values that begin in the window's own part.
    ///
    /// Guarantee: a value is found by exactly one window of its haystack. The longest value is far shorter than
    /// what a window has behind its own part.
    pub(super) fn search(&self, window: &Window<'_>, key: &FingerprintKey, found: &mut Vec<Raw>) {
        let from = window.owned.start;
        let to = window.bytes.len().min(window.owned.end.saturating_add(self.index.overlap()));
        let Some(part) = window.bytes.get(from..to) else { return };
        let own = window.owned.len();
        self.index.scan(part, &mut |hit| {
            let Some(value) = part.get(hit.start..hit.end).filter(|_| hit.start < own) else { return };
            let fingerprint = key.fingerprint(Redacted::new(value));
            lock(&self.seen).entry(fingerprint).or_insert_with(|| (hit, Secret::copy_of(value)));
            let base = window.base + from as u64;
            let span = base + hit.start as u64..base + hit.end as u64;
            found.push(Raw {
                rule: self.rule,
                confidence: Confidence::Known,
                fingerprint,
                match_span: span.clone(),
                span,
                line: 0,
                column: 0,
                column_utf16: 0,
                decoded: Vec::new(),
                preview: verify::preview(value, 0),
                note: Some(sentence(hit.state).to_owned()),
                allowed: false,
            });
        });
    }

    /// What the known file says about a secret that was found.
    pub fn state(&self, fingerprint: &Fingerprint) -> Option<ValueState> {
        lock(&self.seen).get(fingerprint).map(|(hit, _)| hit.state)
    }

    /// What a finding about this secret carries for the rotator.
    pub fn prove(&self, fingerprint: &Fingerprint, target_digest: &str) -> Option<KnownMatch> {
        let seen = lock(&self.seen);
        let (hit, value) = seen.get(fingerprint)?;
        Some(value.expose(|bytes| self.index.prove(hit, Redacted::new(bytes), target_digest)))
    }
}

fn sentence(state: ValueState) -> &'static str {
    match state {
        ValueState::Current => "it equals a live secret of the store",
        ValueState::Previous => {
            "it equals a secret of the store that was replaced and not yet proven dead: it may still open something"
        }
        ValueState::Dead => "it equals an old secret of the store that the known file lists as dead",
    }
}
