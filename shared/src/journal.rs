//! The journal of a rotation: what has been done, what comes next, and who holds the pen.
//!
//! One record per Rotation, written with check-and-set. A record that has reached [`Phase::Proven`] holds no
//! plaintext; until then it holds the pending and the outgoing secret, because no password is ever set that is
//! not written down first. The shape in the store is flat JSON with the contract's camel-case names; the phase
//! tells which fields must be there, so that a record edited by hand into an impossible state is refused.

use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;

mod person;
mod phase;
mod plaintext;
mod progress;

pub use person::{NeedsPerson, Order, Ordered};
pub use phase::{Phase, PhaseName};
pub use plaintext::Plaintext;
pub use progress::{Current, Failure, Moved, Pending, Progress, Proof, ProofKind, Trigger};

/// The version that this code writes. It reads this one and the one before, and refuses newer ones.
pub const JOURNAL_VERSION: u32 = 1;

/// The journal of one Rotation.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Record {
    /// [`JOURNAL_VERSION`].
    pub version: u32,
    /// The Rotation's uid: a Rotation that was deleted and made again does not continue an old journal.
    pub rotation_uid: String,
    /// Counts runs, from 1.
    pub revision: u64,
    /// Counts holders: every take-over adds one, and a write under an older epoch is refused.
    pub epoch: u64,
    /// Who writes.
    pub holder: String,
    /// When the holder's lease ends; each effect ends before it.
    #[schemars(with = "String")]
    pub deadline: Timestamp,
    /// When this run began.
    #[schemars(with = "String")]
    pub started_at: Timestamp,
    /// Why this run began.
    pub trigger: Trigger,
    /// When each phase of this run was reached.
    #[serde(default)]
    #[schemars(with = "BTreeMap<PhaseName, String>")]
    pub reached: BTreeMap<PhaseName, Timestamp>,
    /// The credential that was published before this run; absent in the first run of a new one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    /// What was done at each endpoint.
    #[serde(default)]
    pub endpoints: BTreeMap<String, Progress>,
    /// New secrets of this run that another one took the place of, oldest first. Kept only in a first run: with
    /// nothing to set in their place, an account may accept one of them until it is taken away.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub discarded: Vec<Pending>,
    /// Which consumer has moved to the new credential.
    #[serde(default)]
    pub spread: BTreeMap<String, Moved>,
    /// The last failure, for people; cleared by the next success.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Set when only a person can go on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub needs_person: Option<NeedsPerson>,
    /// What people ordered in this run, oldest first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub orders: Vec<Ordered>,
    /// The phase, with exactly its data.
    #[serde(flatten)]
    pub phase: Phase,
}

/// Why a journal cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// Not a record, or one in an impossible state. The parser's own text may quote a value, so it is not kept.
    #[error(
        "the journal is not a record of this program (line {line}, column {column}); it was edited by hand"
    )]
    Malformed {
        /// From 1.
        line: usize,
        /// From 1.
        column: usize,
    },
    /// Written by a newer program.
    #[error("the journal has version {found}; this program reads up to {JOURNAL_VERSION}: update it")]
    Newer {
        /// The version in the journal.
        found: u32,
    },
    /// Fields that contradict each other.
    #[error("the journal contradicts itself: {0}; it was edited by hand")]
    Contradiction(&'static str),
}

impl Record {
    /// Reads a record from the JSON of the store.
    ///
    /// # Errors
    /// When it is not a record, is newer than this program, or contradicts itself.
    pub fn parse(json: &Secret) -> Result<Self, JournalError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let malformed = |error: &serde_json::Error| JournalError::Malformed {
            line: error.line().max(1),
            column: error.column().max(1),
        };
        let version: Version =
            json.expose(|bytes| serde_json::from_slice(bytes)).map_err(|e| malformed(&e))?;
        if version.version > JOURNAL_VERSION {
            return Err(JournalError::Newer { found: version.version });
        }
        // Version 1 is the first; the next one will read it here and turn it into its own.
        if version.version == 0 {
            return Err(JournalError::Contradiction("versions count from 1"));
        }
        let record: Self = json.expose(|bytes| serde_json::from_slice(bytes)).map_err(|e| malformed(&e))?;
        record.validate()?;
        Ok(record)
    }

    /// The JSON for the store. The only place where plaintext leaves memory.
    ///
    /// # Errors
    /// Never in practice: every field has a JSON form.
    pub fn to_store(&self) -> Result<Secret, serde_json::Error> {
        // Larger than any record of a few endpoints, so that the buffer does not grow and leave copies behind.
        let mut json = Zeroizing::new(Vec::with_capacity(16 * 1024));
        serde_json::to_writer(&mut *json, self)?;
        Ok(Secret::new(std::mem::take(&mut *json)))
    }

    /// When what is published now was published, if a run did it.
    pub fn published_at(&self) -> Option<Timestamp> {
        match &self.phase {
            Phase::Published { .. } | Phase::Spread { .. } | Phase::Revoked { .. } | Phase::Proven { .. } => {
                self.reached.get(&PhaseName::Published).copied()
            }
            Phase::Adopted { .. } => None,
            Phase::Planned
            | Phase::Staged { .. }
            | Phase::Applied { .. }
            | Phase::Tested { .. }
            | Phase::Aborting { .. }
            | Phase::Aborted { .. } => self.current.as_ref().and_then(|current| current.since),
        }
    }

    /// The order by which a person had the old secret of this run revoked, if one did.
    pub fn forced(&self) -> Option<&Ordered> {
        self.orders.iter().find(|ordered| matches!(ordered.order, Order::ForceRevoke { .. }))
    }

    fn validate(&self) -> Result<(), JournalError> {
        let wrong = |why| Err(JournalError::Contradiction(why));
        if self.revision == 0 || self.epoch == 0 {
            return wrong("revision and epoch count from 1");
        }
        let after = |phase: PhaseName| self.phase.name() >= phase;
        for progress in self.endpoints.values() {
            if progress.applied.is_some() && !after(PhaseName::Staged) {
                return wrong("a secret was set before it was written down");
            }
            if progress.revoked.is_some() && !after(PhaseName::Spread) {
                return wrong("the old secret was revoked before its consumers moved");
            }
            if progress.proven.is_some() && !after(PhaseName::Revoked) {
                return wrong("the old secret was proven dead before it was revoked");
            }
        }
        if self.phase.is_over() && self.current.as_ref().is_some_and(|current| current.value.is_some()) {
            return wrong("a finished record holds plaintext");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
