//! What a Rotation asks for, parsed and valid.

use std::time::Duration;

use crate::rotation::generate::Policy;

/// How two secrets live side by side while consumers move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Strategy {
    /// Two accounts of the same role; consumers read user name and password.
    Alternating {
        /// The two accounts.
        accounts: [String; 2],
    },
    /// One account that accepts two secrets for a while.
    Dual {
        /// The account.
        account: String,
    },
    /// One account with one secret: consumers are locked out until they have moved. Only with `allowOutage`.
    Single {
        /// The account.
        account: String,
    },
}

impl Strategy {
    /// The account that gets the next secret, when `current` is published.
    pub fn next_slot(&self, current: Option<&str>) -> &str {
        match self {
            Self::Alternating { accounts: [first, second] } => {
                if current == Some(first.as_str()) {
                    second
                } else {
                    first
                }
            }
            Self::Dual { account } | Self::Single { account } => account,
        }
    }

    /// Whether the account belongs to this Rotation.
    pub fn owns(&self, account: &str) -> bool {
        match self {
            Self::Alternating { accounts } => accounts.iter().any(|a| a == account),
            Self::Dual { account: own } | Self::Single { account: own } => own == account,
        }
    }
}

/// What happens at the deadline of a leak, when consumers have not all moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AtDeadline {
    /// The old secret stays alive until they have.
    Wait,
    /// The old secret is revoked all the same.
    Revoke,
}

/// How a leak hurries a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OnLeak {
    /// From publishing.
    pub deadline: Duration,
    /// What happens then.
    pub at_deadline: AtDeadline,
}

/// How long the old secret outlives the move of the last consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grace {
    /// At least this long.
    pub duration: Duration,
    /// At most this long, when old sessions still live; then they are ended.
    pub max: Duration,
}

/// An address of the target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Endpoint {
    /// Its name in the manifest and in the journal.
    pub name: String,
    /// Follows another endpoint: secrets are tested here, never set.
    pub read_only: bool,
}

/// One Rotation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// `namespace/name`, for people.
    pub name: String,
    /// The object's uid.
    pub uid: String,
    /// The highest revision that the object's status has seen: a journal behind it was restored.
    pub revision_seen: u64,
    /// How secrets overlap.
    pub strategy: Strategy,
    /// Where the account lives.
    pub endpoints: Vec<Endpoint>,
    /// How secrets are made.
    pub policy: Policy,
    /// When a person is needed because consumers do not move.
    pub spread_timeout: Duration,
    /// How long the old one lives on.
    pub grace: Grace,
    /// How a leak hurries.
    pub on_leak: OnLeak,
    /// Consumers that a person releases by hand.
    pub external: Vec<String>,
    /// How long a holder owns the journal without renewing.
    pub lease: Duration,
    /// How long one effect may take; less than half of the lease.
    pub effect_timeout: Duration,
}

/// How many values a target may reject before a person is needed.
pub const ATTEMPTS_MAX: u32 = 5;
/// How often an old secret that is still accepted is revoked again before a person is needed.
pub const REVOKES_MAX: u32 = 5;
