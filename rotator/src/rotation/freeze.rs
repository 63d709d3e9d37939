//! The freeze: a person's word in a store that nothing starts and nothing is revoked there.
//!
//! It lies beside the journals, so that whoever reads the one reads the other: no rotator, and no answer to a leak,
//! passes it by.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::secret::Secret;

use crate::provider::{Key, Provider, ReadError, WriteError};
use crate::rotation::context::{Freeze, NoAnswer};
use crate::rotation::stored::no_answer;

/// Where it lies in the store.
pub const PATH: &str = "keyturn/freeze";
const FREEZE_VERSION: u32 = 1;
/// How often the word is written anew because another person was faster.
const CONFLICTS_MAX: usize = 8;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Stored {
    version: u32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    freeze: Option<Freeze>,
}

/// Whether the store is frozen.
///
/// # Errors
/// When the store does not answer, or what lies there is no freeze: then nobody knows, and nothing starts.
pub async fn read(provider: &Provider) -> Result<Option<Freeze>, NoAnswer> {
    load(provider).await.map(|(_, freeze)| freeze)
}

async fn load(provider: &Provider) -> Result<(u64, Option<Freeze>), NoAnswer> {
    match provider.read(&Key::latest(PATH)).await {
        Ok(document) => {
            let stored: Option<Stored> = document.json().expose(|bytes| serde_json::from_slice(bytes)).ok();
            let stored =
                stored.filter(|stored| stored.version == FREEZE_VERSION).ok_or_else(|| NoAnswer {
                    what: format!("{}: {PATH} is no freeze, or one of a newer program", provider.name()),
                    class: "freeze unreadable".into(),
                })?;
            Ok((document.version.unwrap_or(0), stored.freeze))
        }
        Err(ReadError::NotFound { .. }) => Ok((0, None)),
        Err(error) => Err(no_answer(&error)),
    }
}

/// Freezes the store, or lifts the freeze; answers what was there before.
///
/// # Errors
/// When the store does not take it, in one line.
pub async fn write(provider: &Provider, freeze: Option<&Freeze>) -> Result<Option<Freeze>, String> {
    for _ in 0..CONFLICTS_MAX {
        let (version, before) = load(provider).await.map_err(|lost| lost.to_string())?;
        if freeze.is_none() && before.is_none() {
            return Ok(None);
        }
        let stored = Stored { version: FREEZE_VERSION, freeze: freeze.cloned() };
        let json = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
        match provider.write(PATH, Secret::new(json), Some(version)).await {
            Ok(_) => return Ok(before),
            Err(WriteError::Cas { .. }) => {}
            Err(error) => return Err(error.to_string()),
        }
    }
    Err(format!("{}: {PATH}: others write all the time; try again", provider.name()))
}

/// A freeze by this person, from now on.
pub fn now(actor: String, reason: Option<String>) -> Freeze {
    Freeze { actor, reason, since: Timestamp::now() }
}
