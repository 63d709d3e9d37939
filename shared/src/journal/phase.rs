//! How far a run has come, and what each phase knows.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::progress::Pending;
use crate::fingerprint::Fingerprint;

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
