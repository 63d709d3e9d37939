//! Changes in Vault between refreshes: metadata is asked for, never values.
//!
//! All stores of a server together ask it at most fifty times a second. Where many secrets of one folder are followed,
//! and the server lists a folder with its metadata (OpenBao does, HashiCorp's server does not), one request tells
//! hundreds. Where metadata may not be read, or there is none (KV version 1), the interval of each ExternalSecret is
//! what counts.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use futures::StreamExt as _;
use futures::stream::FuturesUnordered;
use jiff::Timestamp;
use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;
use tokio::time::Instant;

use super::world::{Watched, World};
use crate::manifest::external_secret::StoreRef;
use crate::metrics::Metrics;
use crate::provider::{Metadata, ReadError};
use crate::sync::stores::{Store, Stores};

/// From the start of one look at all paths to the next.
const LOOKS_EVERY: Duration = Duration::from_secs(3);
/// What may not be read, or is not offered, is asked for again after this long.
const REFUSED_RESTS: Duration = Duration::from_secs(300);
/// A server that does not answer is left alone for this long; its syncs look after it meanwhile.
const SILENT_RESTS: Duration = Duration::from_secs(5);
/// A folder with fewer followed secrets is not listed: it may hold many others.
const LISTED_MIN: usize = 4;
/// Secrets in one answer: a few hundred KiB.
const PAGE: usize = 200;

type StoreKey = (StoreRef, String);
type PathKey = (StoreKey, String);

/// What is remembered between two looks, and over stores that are opened anew.
#[derive(Default)]
pub(super) struct Memory {
    /// The stores that all of this is about.
    about: Vec<Value>,
    /// The version of each path that was seen last.
    seen: BTreeMap<PathKey, u64>,
    /// Stores that are left alone until then.
    stores: BTreeMap<StoreKey, Instant>,
    /// Paths that are left alone until then.
    paths: BTreeMap<PathKey, Instant>,
    /// Folders that are not listed until then.
    folders: BTreeMap<PathKey, Instant>,
}

impl Memory {
    /// Forgets everything if the stores are others than before. A look without memory compares the store's clock with
    /// ours, and misses a change where one of them is wrong: opening the same stores again must not lead to that.
    pub(super) fn keep_for(&mut self, stores: &[&Value]) {
        let about = |store: &Value| json!([store["metadata"]["uid"], store["metadata"]["generation"]]);
        let about: Vec<Value> = stores.iter().map(|store| about(store)).collect();
        if self.about != about {
            *self = Self { about, ..Self::default() };
        }
    }

    fn forget(&mut self, now: Instant, known: &BTreeSet<PathKey>) {
        self.seen.retain(|path, _| known.contains(path));
        self.stores.retain(|_, until| *until > now);
        self.paths.retain(|_, until| *until > now);
        self.folders.retain(|_, until| *until > now);
    }
}

/// What one look at a store learnt.
struct Look {
    store: StoreKey,
    versions: Vec<(PathKey, u64)>,
    /// For how long the store as a whole is left alone.
    rests: Option<Duration>,
    refused_paths: Vec<String>,
    refused_folders: Vec<String>,
}

/// Looks again and again; tells the names of ExternalSecrets whose values have changed, and since when.
pub(super) async fn poll(
    world: &World,
    stores: &Stores<'_>,
    metrics: &Metrics,
    found: &UnboundedSender<(String, Timestamp)>,
    memory: &mut Memory,
) {
    loop {
        let start = Instant::now();
        let mut watched: BTreeMap<StoreKey, BTreeMap<String, Vec<Watched>>> = BTreeMap::new();
        for watch in world.watched() {
            let key = (watch.store.clone(), watch.namespace.clone());
            watched.entry(key).or_default().entry(watch.path.clone()).or_default().push(watch);
        }
        let known: BTreeSet<PathKey> = watched
            .iter()
            .flat_map(|(store, paths)| paths.keys().map(|path| (store.clone(), path.clone())))
            .collect();
        memory.forget(start, &known);
        let mut looks: FuturesUnordered<_> = watched
            .into_iter()
            .filter(|(store, _)| !memory.stores.contains_key(store))
            .map(|(store, paths)| look(stores, store, paths, memory, found))
            .collect();
        let mut done = Vec::new();
        while let Some(look) = looks.next().await {
            done.push(look);
        }
        drop(looks);
        let now = Instant::now();
        for look in done {
            memory.seen.extend(look.versions);
            let keys = |paths: Vec<String>| {
                let store = look.store.clone();
                paths.into_iter().map(move |path| ((store.clone(), path), now + REFUSED_RESTS))
            };
            memory.paths.extend(keys(look.refused_paths));
            memory.folders.extend(keys(look.refused_folders));
            memory.stores.extend(look.rests.map(|rest| (look.store.clone(), now + rest)));
        }
        metrics.polled(now.duration_since(start).max(LOOKS_EVERY));
        tokio::time::sleep_until(start + LOOKS_EVERY).await;
    }
}

/// One look at the paths of one store.
async fn look(
    stores: &Stores<'_>,
    key: StoreKey,
    paths: BTreeMap<String, Vec<Watched>>,
    memory: &Memory,
    found: &UnboundedSender<(String, Timestamp)>,
) -> Look {
    let mut look = Look {
        store: key.clone(),
        versions: Vec::new(),
        rests: None,
        refused_paths: Vec::new(),
        refused_folders: Vec::new(),
    };
    let Ok(store) = stores.open(&key.0, &key.1).await else {
        look.rests = Some(SILENT_RESTS);
        return look;
    };
    let mut listed = BTreeMap::new();
    for (folder, names) in folders(&store, paths.keys()) {
        if names.len() < LISTED_MIN || memory.folders.contains_key(&(key.clone(), folder.clone())) {
            continue;
        }
        match list(&store, &folder, &names).await {
            Ok(Some(found)) => listed.extend(found),
            Ok(None) => look.refused_folders.push(folder),
            Err(_) => {
                look.rests = Some(SILENT_RESTS);
                return look;
            }
        }
    }
    for (path, readers) in paths {
        if memory.paths.contains_key(&(key.clone(), path.clone())) {
            continue;
        }
        let metadata = match listed.remove(&path) {
            Some(metadata) => Ok(metadata),
            None => {
                store.turn().await;
                store.metadata(&path).await
            }
        };
        match metadata {
            Ok(metadata) => {
                let id = (key.clone(), path);
                tell(&metadata, memory.seen.get(&id).copied(), readers, found);
                look.versions.push((id, metadata.current_version));
            }
            // What is gone is a change too, which the refresh by interval judges.
            Err(ReadError::NotFound { .. }) => {}
            Err(ReadError::Denied { .. }) => look.refused_paths.push(path),
            Err(ReadError::Unsupported { .. }) => {
                look.rests = Some(REFUSED_RESTS);
                return look;
            }
            Err(_) => {
                look.rests = Some(SILENT_RESTS);
                return look;
            }
        }
    }
    look
}

/// The followed paths of each folder, by their names in it.
fn folders<'a>(
    store: &Store,
    paths: impl Iterator<Item = &'a String>,
) -> BTreeMap<String, BTreeMap<String, Vec<String>>> {
    let mut folders: BTreeMap<String, BTreeMap<String, Vec<String>>> = BTreeMap::new();
    for path in paths {
        if let Some((folder, name)) = store.provider().split(path) {
            // Two ways to write a key may mean one secret.
            folders.entry(folder).or_default().entry(name).or_default().push(path.clone());
        }
    }
    folders
}

/// The metadata of followed paths of a folder, by path, from a listing; none if the store gives none. A folder in which
/// our secrets are few among many is read to its end only if that is cheaper than to ask for each.
async fn list(
    store: &Store,
    folder: &str,
    names: &BTreeMap<String, Vec<String>>,
) -> Result<Option<BTreeMap<String, Metadata>>, ReadError> {
    let mut found = BTreeMap::new();
    let mut after = String::new();
    for _ in 0..names.len().div_ceil(2) {
        store.turn().await;
        let Some(page) = store.provider().page(folder, &after, PAGE).await? else { return Ok(None) };
        for (name, metadata) in page.entries {
            for path in names.get(&name).into_iter().flatten() {
                found.insert(path.clone(), metadata.clone());
            }
        }
        match page.next {
            Some(next) if next > after => after = next,
            Some(_) | None => return Ok(Some(found)),
        }
    }
    Ok(None)
}

fn tell(
    metadata: &Metadata,
    before: Option<u64>,
    readers: Vec<Watched>,
    found: &UnboundedSender<(String, Timestamp)>,
) {
    let since: Option<Timestamp> = metadata.updated_time.parse().ok();
    for reader in readers {
        let changed = match before {
            Some(before) => before != metadata.current_version,
            // The first look: what was written after the last refresh was missed (it is told in whole seconds), and
            // what was never refreshed may be so now.
            None => reader.refreshed.is_none_or(|refreshed| since.is_some_and(|since| since > refreshed)),
        };
        if changed {
            // Who listens ends only together with this.
            let _ = found.send((reader.name, since.unwrap_or_else(Timestamp::now)));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::Memory;

    fn store(uid: &str, generation: u64) -> Value {
        json!({ "metadata": { "uid": uid, "generation": generation, "resourceVersion": uid.len() + 7 } })
    }

    #[test]
    fn the_same_stores_are_remembered_and_others_are_not() {
        let key =
            ((crate::manifest::external_secret::StoreRef::default(), "shop".to_owned()), "app".to_owned());
        let mut memory = Memory::default();
        memory.keep_for(&[&store("a", 1)]);
        memory.seen.insert(key, 3);
        memory.keep_for(&[&store("a", 1)]);
        assert_eq!(memory.seen.len(), 1);
        for others in [vec![store("a", 2)], vec![store("b", 2)], vec![store("b", 2), store("a", 2)], vec![]] {
            memory.keep_for(&others.iter().collect::<Vec<_>>());
            assert!(memory.seen.is_empty(), "{others:?}");
        }
    }
}
