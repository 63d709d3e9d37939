//! The chain of receipts: what was removed, replaced or forked shows.

use std::collections::{HashMap, HashSet};
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

/// What is wrong with chains, each with the number of the receipt at which it shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ChainError {
    /// The one before a receipt is not there.
    #[error("receipt {seq} is missing")]
    Missing {
        /// The missing number.
        seq: u64,
    },
    /// Two receipts follow from the same one.
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
    /// A chain ends before its head.
    #[error("a chain ends at receipt {last}; its store knows {head}: the newest were taken away")]
    Truncated {
        /// The last receipt that is there; 0 when there is none.
        last: u64,
        /// The last receipt that was written.
        head: u64,
    },
    /// A chain ends with a receipt that no store knows as its last.
    #[error("receipt {seq} ends a chain, and no store knows it as its last")]
    Replaced {
        /// Its number.
        seq: u64,
    },
}

/// Checks that each receipt follows from the one before it, back to the first of its chain, and that the chains end
/// at the heads that the stores know. Each store has a chain of its own; a folder may hold several. `first` is the
/// number of the oldest receipts, 1 unless older ones were moved to an archive. Without `heads` nothing is known about
/// the ends. Answers the last receipt of each chain.
///
/// # Errors
/// The first thing that is wrong, by number.
pub fn verify<'r>(
    receipts: &'r [Signed],
    first: u64,
    heads: Option<&[Head]>,
) -> Result<Vec<&'r Signed>, ChainError> {
    let mut ordered: Vec<&Signed> = receipts.iter().collect();
    ordered.sort_by_key(|signed| signed.receipt().seq);
    // The ends of the chains so far, by hash; a receipt that is followed is an end no more.
    let mut ends: HashMap<Link, &Signed> = HashMap::new();
    let mut followed: HashSet<Link> = HashSet::new();
    for signed in ordered {
        let seq = signed.receipt().seq;
        if seq > first {
            let before = signed.receipt().previous_hash.ok_or(ChainError::Broken { seq })?;
            match ends.remove(&before) {
                Some(end) if end.receipt().seq == seq - 1 => {}
                Some(_) => return Err(ChainError::Broken { seq }),
                None if followed.contains(&before) => return Err(ChainError::Forked { seq }),
                None if ends.values().any(|end| end.receipt().seq == seq - 1) => {
                    return Err(ChainError::Broken { seq });
                }
                None => return Err(ChainError::Missing { seq: seq - 1 }),
            }
            followed.insert(before);
        } else if seq < first {
            return Err(ChainError::Forked { seq });
        }
        ends.insert(signed.link(), signed);
    }
    let mut last: Vec<&Signed> = ends.into_values().collect();
    last.sort_by_key(|signed| (signed.receipt().seq, signed.receipt().id.to_string()));
    if let Some(heads) = heads {
        compare(&last, heads)?;
    }
    Ok(last)
}

/// Each chain must end at the head of a store, and each head must end a chain.
fn compare(last: &[&Signed], heads: &[Head]) -> Result<(), ChainError> {
    let unknown = last.iter().find(|signed| !heads.contains(&signed.head()));
    let missing = heads.iter().find(|head| !last.iter().any(|signed| signed.head() == **head));
    match (unknown, missing) {
        (None, None) => Ok(()),
        (Some(signed), Some(head)) if signed.head().seq < head.seq => {
            Err(ChainError::Truncated { last: signed.head().seq, head: head.seq })
        }
        (Some(signed), _) => Err(ChainError::Replaced { seq: signed.head().seq }),
        (None, Some(head)) => Err(ChainError::Truncated { last: 0, head: head.seq }),
    }
}
