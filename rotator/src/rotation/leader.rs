//! Who leads, among rotators that stay: a lease in a store, so that only one of them does the work.
//!
//! It spares work and guards nothing: each Rotation's own journal does that, whoever believes to lead.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::secret::Secret;

use crate::provider::{Key, Provider, ReadError, WriteError};
use crate::rotation::step::later;

/// Where it lies in the store.
pub const PATH: &str = "keyturn/leader";
const LEADER_VERSION: u32 = 1;

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stored {
    version: u32,
    holder: String,
    until: Timestamp,
}

/// Takes or renews the lease for `length` from `now`; false while somebody else leads who is not known to be dead.
///
/// # Errors
/// When the store does not answer, in one line.
pub async fn take(
    provider: &Provider,
    holder: &str,
    is_gone: fn(&str) -> bool,
    now: Timestamp,
    length: Duration,
) -> Result<bool, String> {
    let (version, stored) = load(provider).await?;
    if stored.is_some_and(|stored| stored.holder != holder && now < stored.until && !is_gone(&stored.holder))
    {
        return Ok(false);
    }
    write(provider, version, holder, later(now, length)).await
}

/// Ends the lease, so that the next one need not wait for its end.
///
/// # Errors
/// When the store does not answer, in one line.
pub async fn give_back(provider: &Provider, holder: &str, now: Timestamp) -> Result<(), String> {
    let (version, stored) = load(provider).await?;
    if stored.is_some_and(|stored| stored.holder == holder) {
        write(provider, version, holder, now).await?;
    }
    Ok(())
}

async fn load(provider: &Provider) -> Result<(u64, Option<Stored>), String> {
    match provider.read(&Key::latest(PATH)).await {
        // What cannot be read is nobody's lease.
        Ok(document) => {
            let stored = document.json().expose(|bytes| serde_json::from_slice::<Stored>(bytes)).ok();
            Ok((document.version.unwrap_or(0), stored))
        }
        Err(ReadError::NotFound { .. }) => Ok((0, None)),
        Err(error) => Err(error.to_string()),
    }
}

async fn write(provider: &Provider, version: u64, holder: &str, until: Timestamp) -> Result<bool, String> {
    let stored = Stored { version: LEADER_VERSION, holder: holder.to_owned(), until };
    let json = serde_json::to_vec(&stored).map_err(|error| error.to_string())?;
    match provider.write(PATH, Secret::new(json), Some(version)).await {
        Ok(_) => Ok(true),
        Err(WriteError::Cas { .. }) => Ok(false),
        Err(error) => Err(error.to_string()),
    }
}
