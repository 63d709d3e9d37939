//! What only people can do: why one is needed, and what they ordered.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

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
