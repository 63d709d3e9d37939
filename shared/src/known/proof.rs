//! The proof that a finding was made by someone who saw the value.
//!
//! A `known` finding starts a rotation, so that forging one would be an attack. The scanner computes
//! HMAC-SHA-256 under a subkey over the value, the nonce of the known file and the digest of the target; the
//! rotator, which has the value, computes the same. The key alone does not make a proof, nor does a finding of
//! another target or of an older known file.

use std::fmt;

use hmac::{Hmac, Mac};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::layout::Nonce;
use super::{EntryId, KnownKey, ValueState};
use crate::fingerprint::KeyId;
use crate::secret::Redacted;

const PROOF_BYTES: usize = 32;

/// What a finding says about the known value that it found.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct KnownMatch {
    /// The value's name, for the rotator.
    pub id: EntryId,
    /// What the value was to the rotator when the known file was written.
    pub state: ValueState,
    /// The known key.
    pub key_id: KeyId,
    /// The known file.
    pub generation: u64,
    /// That the value was seen.
    pub proof: ProofOfValue,
}

/// HMAC-SHA-256, in hex: 64 digits.
#[derive(Clone, Copy)]
pub struct ProofOfValue([u8; PROOF_BYTES]);

impl ProofOfValue {
    /// Recomputes a proof, as the rotator does for each value that the finding may be about.
    pub fn of(key: &KnownKey, value: Redacted<'_>, nonce: &Nonce, target_digest: &str) -> Self {
        Self::compute(key.proof(), value, nonce, target_digest)
    }

    pub(super) fn compute(
        mut hmac: Hmac<Sha256>,
        value: Redacted<'_>,
        nonce: &Nonce,
        target_digest: &str,
    ) -> Self {
        // The length in front keeps value and nonce apart; the nonce has one length, and the digest ends it.
        hmac.update(&(value.len() as u64).to_le_bytes());
        value.expose(|bytes| hmac.update(bytes));
        hmac.update(&nonce.0);
        hmac.update(target_digest.as_bytes());
        Self(super::key::first(&hmac.finalize().into_bytes()))
    }
}

impl PartialEq for ProofOfValue {
    /// In constant time: a forger must not learn how far a proof is right.
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for ProofOfValue {}

impl fmt::Display for ProofOfValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for ProofOfValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for ProofOfValue {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ProofOfValue {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes =
            data_encoding::HEXLOWER.decode(text.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        bytes.map(Self).ok_or_else(|| serde::de::Error::custom("a proof is 64 hexadecimal digits"))
    }
}

impl JsonSchema for ProofOfValue {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProofOfValue".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^[0-9a-f]{64}$",
            "description": "That the reporter saw the value; the rotator recomputes it.",
        })
    }
}
