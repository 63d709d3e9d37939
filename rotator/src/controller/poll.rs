//! Changes in Vault between refreshes: metadata is asked for, never values.
//!
//! At most fifty requests a second go to each store. Where metadata may not be read, or there is none (KV version 1),
//! the interval of each ExternalSecret is what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::world::{Watched, World};
use crate::manifest::external_secret::StoreRef;
use crate::metrics::Metrics;
use crate::provider::ReadError;
use crate::sync::stores::Stores;

/// From one request to a store to the next.
const APART: Duration = Duration::from_millis(20);
/// From the start of one look at all paths to the next.
const LOOKS_EVERY: Duration = Duration::from_secs(5);
/// After a refusal a store is left alone for this long.
const RESTS: Duration = Duration::from_secs(300);

type StoreKey = (StoreRef, String);

/// Looks again and again; tells the names of ExternalSecrets whose values have changed, and since when.
pub(super) async fn poll(
    world: &World,
    stores: &Stores<'_>,
    metrics: &Metrics,
    found: &UnboundedSender<(String, Timestamp)>,
) {
    let mut seen: BTreeMap<(StoreKey, String), u64> = BTreeMap::new();
    let mut resting: BTreeMap<StoreKey, Instant> = BTreeMap::new();
    loop {
        let start = Instant::now();
        resting.retain(|_, until| *until > start);
        let mut watched: BTreeMap<StoreKey, BTreeMap<String, Vec<Watched>>> = BTreeMap::new();
        for watch in world.watched() {
            let key = (watch.store.clone(), watch.namespace.clone());
            watched.entry(key).or_default().entry(watch.path.clone()).or_default().push(watch);
        }
        let known: BTreeSet<(StoreKey, String)> = watched
            .iter()
            .flat_map(|(store, paths)| paths.keys().map(|path| (store.clone(), path.clone())))
            .collect();
        seen.retain(|path, _| known.contains(path));
        let mut looks: FuturesUnordered<_> = watched
            .into_iter()
            .filter(|(store, _)| !resting.contains_key(store))
            .map(|(store, paths)| look(stores, metrics, store, paths, &seen, found))
            .collect();
        let mut fresh = Vec::new();
        let mut refused = Vec::new();
        while let Some((store, versions, serves)) = looks.next().await {
            fresh.extend(versions);
            if !serves {
                refused.push(store);
            }
        }
        drop(looks);
        seen.extend(fresh);
        resting.extend(refused.into_iter().map(|store| (store, Instant::now() + RESTS)));
        tokio::time::sleep_until(start + LOOKS_EVERY).await;
    }
}

type Look = (StoreKey, Vec<((StoreKey, String), u64)>, bool);

/// One look at the paths of one store: what was seen, and whether the store answers at all.
async fn look(
    stores: &Stores<'_>,
    metrics: &Metrics,
    key: StoreKey,
    paths: BTreeMap<String, Vec<Watched>>,
    seen: &BTreeMap<(StoreKey, String), u64>,
    found: &UnboundedSender<(String, Timestamp)>,
) -> Look {
    let mut versions = Vec::new();
    let Ok(store) = stores.open(&key.0, &key.1).await else { return (key, versions, false) };
    for (path, readers) in paths {
        tokio::time::sleep(APART).await;
        metrics.metadata_read();
        let metadata = match store.metadata(&path).await {
            Ok(metadata) => metadata,
            // What is gone is a change too, which the refresh by interval judges.
            Err(ReadError::NotFound { .. }) => continue,
            Err(_) => return (key, versions, false),
        };
        let since: Option<Timestamp> = metadata.updated_time.parse().ok();
        let id = (key.clone(), path);
        let before = seen.get(&id).copied();
        for reader in readers {
            let changed = match before {
                Some(before) => before != metadata.current_version,
                // The first look: what was written after the last refresh was missed.
                None => since.zip(reader.refreshed).is_some_and(|(since, refreshed)| since > refreshed),
            };
            if changed {
                // Who listens ends only together with this.
                let _ = found.send((reader.name, since.unwrap_or_else(Timestamp::now)));
            }
        }
        versions.push((id, metadata.current_version));
    }
    (key, versions, true)
}
