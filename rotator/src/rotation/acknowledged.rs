//! Consumers in other clusters. Each cluster that a Rotation names says in the store how far its own consumers have
//! moved; whoever rotates only reads that, and reaches into no other cluster.
//!
//! What a cluster says lies at `keyturn/acks/NAMESPACE/NAME/CLUSTER`, so that a policy can let each cluster write
//! its own word and no other. It holds no secret.

use std::collections::BTreeMap;

use futures::future::try_join_all;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::journal::Moved;
use shared::secret::Secret;

use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::provider::{Key, Provider, ReadError, WriteError};
use crate::rotation::context::{Consumer, ConsumerState, Consumers, NoAnswer};
use crate::rotation::discovered::Discovered;
use crate::rotation::stored::no_answer;

const WORD_VERSION: u32 = 1;
const NAME_LENGTH_MAX: usize = 63;

/// What one cluster says of one Rotation.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Word {
    version: u32,
    /// The version of the published path that this is about.
    pub kv_version: u64,
    /// When every consumer of the cluster had moved to it; absent while some have not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<Timestamp>,
    /// Those that have moved.
    pub consumers: BTreeMap<String, Moved>,
}

impl Word {
    /// The beginning of what is said about a version.
    pub fn about(kv_version: u64) -> Self {
        Self { version: WORD_VERSION, kv_version, moved_at: None, consumers: BTreeMap::new() }
    }
}

/// Whether a cluster can have this name: it becomes a part of a path.
pub fn is_name(name: &str) -> bool {
    let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-';
    let ends = |byte: Option<&u8>| byte.is_some_and(|&byte| byte != b'-');
    let bytes = name.as_bytes();
    bytes.len() <= NAME_LENGTH_MAX
        && bytes.iter().all(|&byte| inner(byte))
        && ends(bytes.first())
        && ends(bytes.last())
}

/// The place of one cluster's word in a store.
pub struct Place {
    provider: Provider,
    path: String,
}

impl Place {
    /// Where `cluster` speaks of this Rotation, in the store that it publishes to.
    pub fn new(provider: Provider, rotation: &Object<RotationSpec>, cluster: &str) -> Self {
        let path = format!("keyturn/acks/{}/{}/{cluster}", rotation.namespace(), rotation.name());
        Self { provider, path }
    }

    /// The document's version and what was said last; version 0 where nothing was.
    ///
    /// # Errors
    /// When the store does not answer, or what lies there was not written by this program.
    pub async fn read(&self) -> Result<(u64, Option<Word>), NoAnswer> {
        match self.provider.read(&Key::latest(&self.path)).await {
            Ok(document) => {
                let word: Option<Word> = document.json().expose(|bytes| serde_json::from_slice(bytes)).ok();
                let word = word.filter(|word| word.version == WORD_VERSION).ok_or_else(|| NoAnswer {
                    what: format!("{} is no word of a cluster, or one of a newer program", self.path),
                    class: "acknowledgement unreadable".into(),
                })?;
                Ok((document.version.unwrap_or(0), Some(word)))
            }
            Err(ReadError::NotFound { .. }) => Ok((0, None)),
            Err(error) => Err(no_answer(&error)),
        }
    }

    /// Says it, if nobody has said something else since `version` was read.
    ///
    /// # Errors
    /// When the store does not take it.
    pub async fn write(&self, word: &Word, version: u64) -> Result<(), NoAnswer> {
        let bug = |_| NoAnswer { what: "an acknowledgement has no JSON form".into(), class: "bug".into() };
        let json = Secret::new(serde_json::to_vec(word).map_err(bug)?);
        match self.provider.write(&self.path, json, Some(version)).await {
            Ok(_) => Ok(()),
            Err(WriteError::Refused(error)) => Err(no_answer(&error)),
            Err(error) => Err(NoAnswer { what: error.to_string(), class: "conflict".into() }),
        }
    }
}

/// Every consumer that a machine can ask: those of this cluster, and what others say of theirs.
pub struct Everyone<'a> {
    discovered: Discovered<'a>,
    others: Vec<(String, Place)>,
}

impl<'a> Everyone<'a> {
    /// The consumers here, and those of the clusters that the Rotation names.
    pub fn new(discovered: Discovered<'a>, rotation: &Object<RotationSpec>, provider: &Provider) -> Self {
        let place = |cluster: &String| (cluster.clone(), Place::new(provider.clone(), rotation, cluster));
        Self { discovered, others: rotation.spec.consumers.clusters.iter().map(place).collect() }
    }
}

impl Consumers for Everyone<'_> {
    async fn observe(
        &self,
        version: u64,
        moved: &BTreeMap<String, Moved>,
    ) -> Result<Vec<Consumer>, NoAnswer> {
        let mut consumers = self.discovered.observe(version, moved).await?;
        let words = self.others.iter().map(|(cluster, place)| async move {
            let (_, word) = place.read().await?;
            let has_moved = word.is_some_and(|word| word.kv_version >= version && word.moved_at.is_some());
            let state = if has_moved { ConsumerState::Moved } else { ConsumerState::Moving };
            Ok(Consumer { name: format!("cluster {cluster}"), state })
        });
        consumers.extend(try_join_all(words).await?);
        Ok(consumers)
    }
}

#[cfg(test)]
mod tests {
    use super::is_name;

    #[test]
    fn a_cluster_has_a_name_that_is_safe_in_a_path() {
        for name in ["berlin", "eu-1", "a", &"x".repeat(63)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "-a", "a-", "A", "a/b", "..", "a.b", "a b", "ä", &"x".repeat(64)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
