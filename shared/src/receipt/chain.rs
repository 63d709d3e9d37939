//! The chain of receipts: what was removed, replaced or forked shows.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::Signed;

/// The hash of a receipt's whole file: `sha256:` and 64 hexadecimal digits. A receipt holds keyed fingerprints
/// and no secret, so that a plain hash reveals nothing.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Link([u8; 32]);

impl Link {
    pub(super) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }
}

impl fmt::Display for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "sha256:{}", data_encoding::HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Why a text is not a link.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("not a receipt's hash: expected `sha256:` and 64 lower-case hexadecimal digits")]
pub struct NotALink;

impl FromStr for Link {
    type Err = NotALink;

    fn from_str(text: &str) -> Result<Self, NotALink> {
        let hex = text.strip_prefix("sha256:").ok_or(NotALink)?;
        let bytes = data_encoding::HEXLOWER.decode(hex.as_bytes()).map_err(|_| NotALink)?;
        Ok(Self(bytes.try_into().map_err(|_| NotALink)?))
    }
}

impl Serialize for Link {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Link {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Link {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Link".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "pattern": "^sha256:[0-9a-f]{64}$",
            "description": "The hash of a receipt's whole file.",
        })
    }
}

/// The end of a chain, kept in the store under check-and-set: a chain that ends before it was truncated.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Head {
    /// The number of the last receipt.
    pub seq: u64,
    /// The hash of the last receipt.
    pub hash: Link,
}

/// What is wrong with a chain, each with the number of the receipt at which it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// A number is missing between two others, or before the first.
    #[error("receipt {seq} is missing")]
    Missing {
        /// The missing number.
        seq: u64,
    },
    /// Two receipts have the same number.
    #[error("there are two receipts {seq}: the chain was forked")]
    Forked {
        /// The number of both.
        seq: u64,
    },
    /// A receipt does not name the one before it.
    #[error("receipt {seq} does not follow from the one before it: one of them was replaced")]
    Broken {
        /// The later of the two.
        seq: u64,
    },
    /// The chain ends before its head.
    #[error("the chain ends at receipt {last}; the store knows {head}: the newest were taken away")]
    Truncated {
        /// The last receipt that is there; 0 when there is none.
        last: u64,
        /// The last receipt that was written.
        head: u64,
    },
    /// The chain reaches its head's number with another receipt, or goes beyond it.
    #[error("receipt {seq} is not the one that the store knows as the last")]
    Replaced {
        /// Its number.
        seq: u64,
    },
}

/// Checks that receipts follow each other from number `first` on, and end at the head that the store knows.
/// `first` is 1 unless older receipts were moved to an archive.
///
/// # Errors
/// The first thing that is wrong, by number.
pub fn verify(receipts: &[Signed], first: u64, head: Option<&Head>) -> Result<(), ChainError> {
    let mut ordered: Vec<&Signed> = receipts.iter().collect();
    ordered.sort_by_key(|signed| signed.receipt().seq);
    let mut expected = first;
    let mut before: Option<&Signed> = None;
    for signed in ordered {
        let seq = signed.receipt().seq;
        if seq < expected {
            return Err(ChainError::Forked { seq });
        }
        if seq > expected {
            return Err(ChainError::Missing { seq: expected });
        }
        if before.is_some_and(|before| signed.receipt().previous_hash != Some(before.link())) {
            return Err(ChainError::Broken { seq });
        }
        (before, expected) = (Some(signed), seq.saturating_add(1));
    }
    let last = before.map(Signed::head);
    match (last, head) {
        (_, None) => Ok(()),
        (Some(last), Some(head)) if last == *head => Ok(()),
        (Some(last), Some(head)) if last.seq >= head.seq => Err(ChainError::Replaced { seq: last.seq }),
        (last, Some(head)) => {
            Err(ChainError::Truncated { last: last.map_or(0, |last| last.seq), head: head.seq })
        }
    }
}
