//! Receipts: the signed proof that an old secret is dead.
//!
//! A receipt is JSON in a DSSE [`envelope`](Signed), signed with Ed25519, and names the receipt before it by
//! hash, so that the [`chain`] shows what was taken away. It holds fingerprints and never a secret. Only proof
//! of kind `refused` from every endpoint, with no session left, lets the gate pass ([`Receipt::proves_dead`]).

use std::fmt;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::fingerprint::{Fingerprint, KeyId};
use crate::journal::{PhaseName, ProofKind, Trigger};

pub mod chain;
mod envelope;
mod folder;

pub use chain::{ChainError, Head, Link};
pub use envelope::{PAYLOAD_TYPE, RECEIPT_BYTES_MAX, ReceiptError, Signed};
pub use folder::{Folder, Refused};

/// The version that this code writes. It reads this one and the one before, and refuses newer ones.
pub const RECEIPT_VERSION: u32 = 1;

/// What happened to one credential, from plan to proof.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Receipt {
    /// [`RECEIPT_VERSION`].
    pub version: u32,
    /// The name of the receipt.
    pub id: ReceiptId,
    /// Its place in the chain of this rotator, from 1.
    pub seq: u64,
    /// The hash of the receipt before; the first has none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub previous_hash: Option<Link>,
    /// The Rotation.
    pub rotation: RotationRef,
    /// The run of the Rotation, from 1.
    pub revision: u64,
    /// Why the run began.
    pub trigger: Trigger,
    /// The person's order by which the old secret was revoked before every consumer had moved, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub forced: Option<Forced>,
    /// The key under which the fingerprints were made.
    pub key_id: KeyId,
    /// The parts of the credential that is dead.
    pub old: Vec<Part>,
    /// The parts of the one that took its place.
    pub new: Vec<Part>,
    /// When each phase was reached, in order.
    pub phases: Vec<PhaseAt>,
    /// How the old one was shown to be dead.
    pub proof: Proof,
    /// When the receipt was signed.
    #[schemars(with = "String")]
    pub issued_at: Timestamp,
}

/// The name of a receipt: 1 to 64 lower-case letters, digits and hyphens, so that it can be part of a file name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, JsonSchema)]
#[serde(transparent)]
pub struct ReceiptId(#[schemars(regex(pattern = "^[a-z0-9-]{1,64}$"))] String);

impl ReceiptId {
    /// A name, if it is one.
    pub fn new(name: impl Into<String>) -> Option<Self> {
        let name = name.into();
        let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
        ((1..=64).contains(&name.len()) && name.bytes().all(plain)).then_some(Self(name))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for ReceiptId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ReceiptId {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(String::deserialize(deserializer)?).ok_or_else(|| {
            serde::de::Error::custom("a receipt's id is lower-case letters, digits and hyphens")
        })
    }
}

/// The Rotation that a receipt is about.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RotationRef {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its uid: a Rotation made again under the same name is another one.
    pub uid: String,
}

/// A revocation that did not wait for every consumer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Forced {
    /// Who ordered it.
    pub actor: String,
    /// Why, in their words.
    pub reason: String,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// One secret part of a credential.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The property, as the Rotation publishes it: `password`.
    pub part: String,
    /// The keyed name of its value.
    pub fingerprint: Fingerprint,
}

/// A phase and when it was reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PhaseAt {
    /// The phase.
    pub phase: PhaseName,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// How the old credential was shown to be dead.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Proof {
    /// The weakest kind among the endpoints.
    pub kind: ProofKind,
    /// What each endpoint answered.
    pub endpoints: Vec<EndpointProof>,
    /// Sessions of the old login that still lived; absent where the target cannot tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sessions_left: Option<u64>,
}

/// The answers of one endpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EndpointProof {
    /// The endpoint's name in the target.
    pub name: String,
    /// To the old login.
    pub old: Answer,
    /// To the new login, before and after the old one was tried.
    pub new: Answer,
    /// To a random password: an endpoint that accepts it checks nothing.
    pub control: Answer,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

/// What an endpoint said to a login.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Answer {
    /// Let in.
    Accepted,
    /// Turned away for the wrong credential, in the server's own words for that.
    Refused,
    /// Not tried: a lockout policy shares the account, or the kind of proof needs no login.
    NotAsked,
}

impl Receipt {
    /// Whether this receipt shows that the secret of the fingerprint is dead, strongly enough for the gate: every
    /// endpoint refused the old login while it accepted the new one and refused a random one, and no session of
    /// the old login was left.
    pub fn proves_dead(&self, key_id: KeyId, fingerprint: &Fingerprint) -> bool {
        let Proof { kind, endpoints, sessions_left } = &self.proof;
        let shown = |endpoint: &EndpointProof| {
            endpoint.old == Answer::Refused
                && endpoint.new == Answer::Accepted
                && endpoint.control == Answer::Refused
        };
        *kind == ProofKind::Refused
            && self.key_id == key_id
            && !endpoints.is_empty()
            && endpoints.iter().all(shown)
            && sessions_left.is_none_or(|sessions| sessions == 0)
            && self.old.iter().any(|part| part.fingerprint == *fingerprint)
            && !self.new.iter().any(|part| part.fingerprint == *fingerprint)
    }

    /// What contradicts itself, if anything does.
    fn contradiction(&self) -> Option<&'static str> {
        let in_order =
            self.phases.windows(2).all(|two| two[0].phase < two[1].phase && two[0].at <= two[1].at);
        let refused = |endpoint: &EndpointProof| endpoint.old == Answer::Refused;
        if self.seq == 0 || self.revision == 0 {
            Some("seq and revision count from 1")
        } else if (self.seq == 1) != self.previous_hash.is_none() {
            Some("the first receipt alone has no receipt before it")
        } else if self.old.is_empty() {
            Some("it names no old secret")
        } else if !in_order {
            Some("its phases are not in order")
        } else if self
            .phases
            .last()
            .is_none_or(|last| last.phase != PhaseName::Proven || last.at > self.issued_at)
        {
            Some("it was signed before its run was proven")
        } else if self.proof.kind == ProofKind::Refused && !self.proof.endpoints.iter().all(refused) {
            Some("its proof says refused and an endpoint does not")
        } else {
            None
        }
    }
}

#[cfg(test)]
mod tests;
