//! What a run holds and has done: its cause, its two secrets, each endpoint, each consumer.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plaintext::Plaintext;
use crate::fingerprint::Fingerprint;

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
