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

use crate::fingerprint::Fingerprint;
use crate::secret::Secret;

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

/// How far a run has come. Each variant holds what its phase knows and no more.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "phase", rename_all_fields = "camelCase")]
pub enum Phase {
    /// A run was decided; nothing was generated yet.
    Planned,
    /// The new secret is written down, and may be set at some endpoints.
    Staged {
        /// The account that gets the new secret.
        slot: String,
        /// The new secret.
        pending: Pending,
    },
    /// Every writable endpoint has the new secret.
    Applied {
        /// The account that got the new secret.
        slot: String,
        /// The new secret.
        pending: Pending,
    },
    /// The new secret works at every endpoint, and a random one does not.
    Tested {
        /// The account that got the new secret.
        slot: String,
        /// The new secret.
        pending: Pending,
    },
    /// The new secret is what consumers read.
    Published {
        /// The account that got the new secret.
        slot: String,
        /// The new secret, kept for the tests of the later phases.
        pending: Pending,
        /// The version of the published path.
        kv_version: u64,
        /// When it was published.
        #[schemars(with = "String")]
        published_at: Timestamp,
    },
    /// Every declared consumer uses the new secret.
    Spread {
        /// The account that got the new secret.
        slot: String,
        /// The new secret.
        pending: Pending,
        /// The version of the published path.
        kv_version: u64,
        /// When the last consumer had moved.
        #[schemars(with = "String")]
        spread_at: Timestamp,
        /// When the old secret may be revoked.
        #[schemars(with = "String")]
        grace_until: Timestamp,
    },
    /// The old secret was taken away at every writable endpoint.
    Revoked {
        /// The account that got the new secret.
        slot: String,
        /// The new secret.
        pending: Pending,
        /// The version of the published path.
        kv_version: u64,
        /// When the last endpoint had let go of it.
        #[schemars(with = "String")]
        revoked_at: Timestamp,
    },
    /// The old secret was tried and refused. The record holds no plaintext any more.
    Proven {
        /// The account that is published.
        slot: String,
        /// The keyed name of the published secret.
        fingerprint: Fingerprint,
        /// The version of the published path.
        kv_version: u64,
        /// The id of the receipt; absent after a first run, which had no old secret.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        receipt: Option<String>,
        /// When.
        #[schemars(with = "String")]
        proven_at: Timestamp,
    },
    /// A person ended the run before its secret was published: the new secret is being taken away again.
    Aborting {
        /// The account that got the new secret.
        slot: String,
        /// The new secret, kept until every endpoint was seen to refuse it.
        pending: Pending,
        /// When a late write to the published path became impossible; nothing is taken away before.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(with = "Option<String>")]
        fenced_at: Option<Timestamp>,
        /// When an endpoint was last changed.
        #[schemars(with = "String")]
        acted_at: Timestamp,
    },
    /// The run was ended by a person; the credential from before it is what consumers read.
    Aborted {
        /// When.
        #[schemars(with = "String")]
        aborted_at: Timestamp,
    },
    /// An existing credential was tried and taken over; no run was made.
    Adopted {
        /// The account that is published.
        slot: String,
        /// The keyed name of the published secret.
        fingerprint: Fingerprint,
        /// The version of the published path.
        kv_version: u64,
        /// When.
        #[schemars(with = "String")]
        adopted_at: Timestamp,
    },
}

/// The name of a phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub enum PhaseName {
    /// See [`Phase::Planned`].
    Planned,
    /// See [`Phase::Staged`].
    Staged,
    /// See [`Phase::Applied`].
    Applied,
    /// See [`Phase::Tested`].
    Tested,
    /// See [`Phase::Published`].
    Published,
    /// See [`Phase::Spread`].
    Spread,
    /// See [`Phase::Revoked`].
    Revoked,
    /// See [`Phase::Proven`].
    Proven,
    /// See [`Phase::Aborting`].
    Aborting,
    /// See [`Phase::Aborted`].
    Aborted,
    /// See [`Phase::Adopted`].
    Adopted,
}

impl PhaseName {
    /// The phases of a run that succeeds, in their order.
    pub const ALL: [Self; 8] = [
        Self::Planned,
        Self::Staged,
        Self::Applied,
        Self::Tested,
        Self::Published,
        Self::Spread,
        Self::Revoked,
        Self::Proven,
    ];
}

impl Phase {
    /// The name of this phase.
    pub fn name(&self) -> PhaseName {
        match self {
            Self::Planned => PhaseName::Planned,
            Self::Staged { .. } => PhaseName::Staged,
            Self::Applied { .. } => PhaseName::Applied,
            Self::Tested { .. } => PhaseName::Tested,
            Self::Published { .. } => PhaseName::Published,
            Self::Spread { .. } => PhaseName::Spread,
            Self::Revoked { .. } => PhaseName::Revoked,
            Self::Proven { .. } => PhaseName::Proven,
            Self::Aborting { .. } => PhaseName::Aborting,
            Self::Aborted { .. } => PhaseName::Aborted,
            Self::Adopted { .. } => PhaseName::Adopted,
        }
    }

    /// Whether no run is under way: the next one may begin.
    pub fn is_over(&self) -> bool {
        match self {
            Self::Proven { .. } | Self::Aborted { .. } | Self::Adopted { .. } => true,
            Self::Planned
            | Self::Staged { .. }
            | Self::Applied { .. }
            | Self::Tested { .. }
            | Self::Published { .. }
            | Self::Spread { .. }
            | Self::Revoked { .. }
            | Self::Aborting { .. } => false,
        }
    }

    /// The new secret, while the run holds it.
    pub fn pending(&self) -> Option<(&str, &Pending)> {
        match self {
            Self::Planned | Self::Proven { .. } | Self::Aborted { .. } | Self::Adopted { .. } => None,
            Self::Staged { slot, pending }
            | Self::Applied { slot, pending }
            | Self::Tested { slot, pending }
            | Self::Published { slot, pending, .. }
            | Self::Spread { slot, pending, .. }
            | Self::Revoked { slot, pending, .. }
            | Self::Aborting { slot, pending, .. } => Some((slot, pending)),
        }
    }
}

impl std::fmt::Display for PhaseName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        std::fmt::Debug::fmt(self, f)
    }
}

/// Why a run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all_fields = "camelCase")]
pub enum Trigger {
    /// Its time had come.
    Schedule,
    /// A person asked for it.
    Manual {
        /// Who.
        actor: String,
    },
    /// A leaked value was recognised.
    Leak {
        /// The finding's id.
        finding_id: String,
        /// Who reported it.
        actor: String,
    },
}

/// A secret that was written down and is not yet published.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Pending {
    /// The plaintext.
    pub value: Plaintext,
    /// Its keyed name.
    pub fingerprint: Fingerprint,
    /// Counts from 1; a target that rejects a value gets another one under the next number.
    pub attempt: u32,
    /// Whether it took the place of another secret of this run. Where a target cannot refuse late writes, one of that
    /// other secret may still arrive.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub successor: bool,
}

/// The credential that a run replaces.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Current {
    /// The version of the published path that holds it.
    pub kv_version: u64,
    /// Its account.
    pub slot: String,
    /// Its keyed name.
    pub fingerprint: Fingerprint,
    /// When an earlier run published it; absent where it was there before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub since: Option<Timestamp>,
    /// The plaintext, for the proof; dropped when the run is finished.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub value: Option<Plaintext>,
}

/// What was done at one endpoint, and when.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Progress {
    /// The new secret was set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub applied: Option<Timestamp>,
    /// The new secret worked and a random one was refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub tested: Option<Timestamp>,
    /// The old secret was taken away.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub revoked: Option<Timestamp>,
    /// The old secret was refused while the new one worked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proven: Option<Proof>,
    /// In a run that is aborted: the new secret was taken away again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub withdrawn: Option<Timestamp>,
    /// In a run that is aborted: the new secret was seen to be refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<String>")]
    pub gone: Option<Timestamp>,
    /// How often the endpoint answered against what was done there; bounded, then a person is needed.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub tries: u32,
}

/// For fields that are left out when nothing went wrong.
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// How an endpoint showed that the old secret is dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Proof {
    /// The kind; only [`ProofKind::Refused`] opens the gate by default.
    pub kind: ProofKind,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Sessions of the old login that still live, where the target can tell.
    pub sessions_left: Option<u64>,
}

/// Kinds of proof, from the strongest.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProofKind {
    /// The server refused the old secret while it accepted the new one, before and after.
    Refused,
    /// An administrator's read says that it is gone.
    Absent,
    /// Its lifetime is over.
    Expired,
    /// The target offers no way to tell.
    Unprovable,
}

/// A consumer that uses the new secret.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Moved {
    /// The version of the published path that it uses.
    pub version: u64,
    /// Since when.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// The last failure, without any text of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Failure {
    /// A short class: `unreachable`, `rejected`, `denied`.
    pub class: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// Why only a person can go on, and what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct NeedsPerson {
    /// One sentence.
    pub why: String,
    /// The next command.
    pub next: String,
    /// Since when.
    #[schemars(with = "String")]
    pub since: Timestamp,
}

/// Something that only a person can order.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "order")]
pub enum Order {
    /// Go on: the cause was fixed.
    Retry,
    /// End the run, and take the new secret away again.
    Abort,
    /// Revoke the old secret although not every consumer has moved.
    ForceRevoke {
        /// Why, in the person's words.
        reason: String,
    },
    /// Count an external consumer as moved.
    Release {
        /// Its name in the Rotation.
        consumer: String,
    },
    /// Publish the journalled secret that the server accepts.
    Reconcile,
    /// Try what is published, and take it over.
    Adopt,
}

/// An order, who gave it, and when.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ordered {
    /// What.
    #[serde(flatten)]
    pub order: Order,
    /// Who.
    pub actor: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// A secret inside the journal. This is the one place where a [`Secret`] is serialised: as base64, into the
/// store that keeps journals, and nowhere else.
#[derive(Debug)]
pub struct Plaintext(pub Secret);

impl Serialize for Plaintext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(self.0.expose(|bytes| data_encoding::BASE64.encode(bytes)));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The text of the decoding error names a position and a symbol; the symbol is part of a secret.
        let bytes = data_encoding::BASE64
            .decode(text.as_bytes())
            .map_err(|_| serde::de::Error::custom("a journalled value is not base64"))?;
        Ok(Self(Secret::new(bytes)))
    }
}

impl JsonSchema for Plaintext {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Plaintext".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "description": "A secret, in the journal alone; finished records have none.",
        })
    }
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
