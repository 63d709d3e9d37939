//! Every value that ExternalSecrets, Rotations and the administrators of targets name, with what is known about each.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use shared::fingerprint::FingerprintKey;
use shared::journal::{Phase, Record};
use shared::known::{Strength, ValueState};
use shared::receipt::Folder;
use shared::secret::{Redacted, Secret};

use super::place::Place;
use crate::json_text;
use crate::manifest::Manifests;
use crate::manifest::external_secret::{DecodingStrategy, ExternalSecretSpec, StoreRef};
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::provider::{Document, Key, ReadError, VersionState};
use crate::rotation::context::{Journal as _, LoadError};
use crate::rotation::discovered::secret_name;
use crate::rotation::generate::Policy;
use crate::rotation::stored::StoredJournal;
use crate::sync::gather::{GatherError, found_paths, store_of};
use crate::sync::stores::{Store, StoreError, Stores};
use crate::sync::value;

/// The most versions before the current one that are read; the default of KV version 2 keeps ten in all.
pub const PREVIOUS_MAX: usize = 64;
/// How many documents are read at once.
const CONCURRENCY: usize = 16;

/// Why there is no inventory. Names places only.
#[derive(Debug, thiserror::Error)]
pub enum InventoryError {
    /// A store cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A store was asked and did not answer.
    #[error(transparent)]
    Read(#[from] ReadError),
    /// An ExternalSecret asks for what cannot be.
    #[error("ExternalSecret {name}: {error}")]
    Gather {
        /// The ExternalSecret.
        name: String,
        /// Why.
        error: Box<GatherError>,
    },
    /// A journal cannot be read.
    #[error("Rotation {name}: {error}")]
    Journal {
        /// The Rotation.
        name: String,
        /// Why.
        error: LoadError,
    },
    /// What a store holds is no document.
    #[error("{store}: {path}: this is not a JSON object; write it anew")]
    NotAnObject {
        /// The store.
        store: String,
        /// The path.
        path: String,
    },
}

/// What receipts prove dead.
pub struct Graves {
    /// Names secrets in receipts.
    pub key: FingerprintKey,
    /// The receipts that count.
    pub receipts: Folder,
}

impl Graves {
    fn hold(&self, secret: &Secret) -> bool {
        let fingerprint = secret.expose(|bytes| self.key.fingerprint(Redacted::new(bytes)));
        self.receipts.proof_of_death(self.key.key_id(), &fingerprint).is_some()
    }
}

/// One value.
#[derive(Debug)]
pub struct Value {
    /// The value.
    pub secret: Secret,
    /// Its document.
    pub place: Arc<Place>,
    /// Its property in it.
    pub property: String,
    /// Its version; 0 where the store keeps none, or where it is in a journal alone.
    pub version: u64,
    /// What it is now.
    pub state: ValueState,
    /// How hard it is to guess.
    pub strength: Strength,
}

/// All values.
#[derive(Debug, Default)]
pub struct Inventory {
    /// Each with its place; equal ones may be there several times.
    pub values: Vec<Value>,
    /// Places that are named and hold nothing.
    pub absent: Vec<String>,
    users: Vec<(Arc<Place>, Vec<String>)>,
}

impl Inventory {
    /// The Secrets that are made from a document, each `namespace/name`.
    pub fn users_of(&self, place: &Place) -> BTreeSet<&str> {
        let same = self.users.iter().filter(|(other, _)| other.is_same_as(place));
        same.flat_map(|(_, names)| names.iter().map(String::as_str)).collect()
    }
}

/// What manifests say about one document.
#[derive(Default)]
struct Named<'m> {
    rotations: Vec<&'m Object<RotationSpec>>,
    users: Vec<String>,
    versions: BTreeSet<u64>,
    decodings: Vec<DecodingStrategy>,
}

/// Reads everything: of each named document every property (what one Secret does not use, another way out of the
/// store does), of the current version, of those that are named, and of the `previous` ones before it.
///
/// # Errors
/// When anything but an absent path cannot be read: whoever acts on what is missing would act on a guess.
pub async fn collect(
    manifests: &Manifests,
    stores: &Stores<'_>,
    previous: usize,
    graves: Option<&Graves>,
) -> Result<Inventory, InventoryError> {
    let mut named: BTreeMap<Place, Named<'_>> = BTreeMap::new();
    for object in &manifests.rotations {
        named.entry(Place::of_rotation(object)).or_default().rotations.push(object);
    }
    // Who has an administrator's password needs no other.
    for admin in manifests.rotation_targets.iter().filter_map(|target| target.spec.admin_ref.as_ref()) {
        named.entry(Place::of_admin(admin)).or_default();
    }
    for object in &manifests.external_secrets {
        name(object, stores, &mut named)
            .await
            .map_err(|error| InventoryError::Gather { name: object.full_name(), error: Box::new(error) })?;
    }
    let parts: Vec<Inventory> = stream::iter(named)
        .map(|(place, named)| document(Arc::new(place), named, stores, previous, graves))
        .buffered(CONCURRENCY)
        .try_collect()
        .await?;
    let mut all = Inventory::default();
    for mut part in parts {
        all.values.append(&mut part.values);
        all.absent.append(&mut part.absent);
        all.users.append(&mut part.users);
    }
    Ok(all)
}

/// The documents that one ExternalSecret names.
async fn name(
    object: &Object<ExternalSecretSpec>,
    stores: &Stores<'_>,
    named: &mut BTreeMap<Place, Named<'_>>,
) -> Result<(), GatherError> {
    let place = |store: &StoreRef, path: &str| Place {
        store: store.clone(),
        namespace: object.namespace().to_owned(),
        path: path.to_owned(),
    };
    let data = object.spec.data.iter().map(|entry| (&entry.remote_ref, entry.source_ref.as_ref()));
    let extracts = object.spec.data_from.iter();
    let extracts = extracts.filter_map(|from| Some((from.extract.as_ref()?, from.source_ref.as_ref())));
    for (remote, source) in data.chain(extracts) {
        let entry = named.entry(place(store_of(object, source, "spec")?, &remote.key)).or_default();
        entry.users.push(secret_name(object));
        entry.versions.extend(remote.version.as_deref().and_then(|text| text.parse::<u64>().ok()));
        entry.decodings.extend(remote.decoding_strategy);
    }
    for from in &object.spec.data_from {
        let Some(find) = &from.find else { continue };
        let store = store_of(object, from.source_ref.as_ref(), "spec.dataFrom")?;
        for path in found_paths(object, find, store, stores).await? {
            let entry = named.entry(place(store, &path)).or_default();
            entry.users.push(secret_name(object));
            entry.decodings.extend(find.decoding_strategy);
        }
    }
    Ok(())
}

/// What the journal of a Rotation tells about the versions of its path.
struct Told {
    property: String,
    policy: Option<Policy>,
    generated: BTreeSet<u64>,
    dead: BTreeSet<u64>,
    record: Option<Record>,
}

async fn told(object: &Object<RotationSpec>, store: &Store) -> Result<Told, InventoryError> {
    let journal = StoredJournal::new(store.provider().clone(), object.namespace(), object.name());
    let record = journal
        .load()
        .await
        .map_err(|error| InventoryError::Journal { name: object.full_name(), error })?
        .map(|(_, record)| record);
    let (mut generated, mut dead) = (BTreeSet::new(), BTreeSet::new());
    if let Some(record) = &record {
        match &record.phase {
            Phase::Planned
            | Phase::Staged { .. }
            | Phase::Applied { .. }
            | Phase::Tested { .. }
            | Phase::Aborting { .. }
            | Phase::Aborted { .. }
            // What was adopted may be anybody's.
            | Phase::Adopted { .. } => {}
            Phase::Published { kv_version, .. }
            | Phase::Spread { kv_version, .. }
            | Phase::Revoked { kv_version, .. } => {
                generated.insert(*kv_version);
            }
            Phase::Proven { kv_version, receipt, .. } => {
                generated.insert(*kv_version);
                dead.extend(record.current.as_ref().filter(|_| receipt.is_some()).map(|old| old.kv_version));
            }
        }
        // A run replaces only what the run before it left there; what the first one found may be anybody's.
        generated.extend(record.current.as_ref().filter(|_| record.revision > 1).map(|old| old.kv_version));
    }
    let generate = &object.spec.generate;
    let policy = Policy::alphabet(&generate.alphabet)
        .and_then(|alphabet| Policy::new(generate.length, alphabet, &generate.forbidden).ok());
    let property = object.spec.publish.properties.password.clone();
    Ok(Told { property, policy, generated, dead, record })
}

impl Told {
    /// A policy counts only for what a run made, and only if it still is the policy.
    fn strength(&self, secret: &Secret, made_by_a_run: bool) -> Strength {
        match &self.policy {
            Some(policy) if made_by_a_run && secret.expose(|bytes| policy.fits(bytes)) => {
                Strength::Generated { bits: policy.bits() }
            }
            _ => Strength::Unknown,
        }
    }
}

async fn document(
    place: Arc<Place>,
    named: Named<'_>,
    stores: &Stores<'_>,
    previous: usize,
    graves: Option<&Graves>,
) -> Result<Inventory, InventoryError> {
    let store = match place.namespace.as_str() {
        "" => stores.open_for_targets(&place.store).await?,
        namespace => stores.open(&place.store, namespace).await?,
    };
    let mut tellers = Vec::with_capacity(named.rotations.len());
    for object in &named.rotations {
        tellers.push(told(object, &store).await?);
    }
    let users = vec![(Arc::clone(&place), named.users)];
    let mut inventory = Inventory { users, ..Inventory::default() };
    let mut wanted: BTreeMap<Option<u64>, ValueState> = BTreeMap::from([(None, ValueState::Current)]);
    wanted.extend(
        named.versions.iter().filter(|version| **version > 0).map(|v| (Some(*v), ValueState::Current)),
    );
    for version in older(&store, &place.path, previous).await? {
        wanted.entry(Some(version)).or_insert(ValueState::Previous);
    }
    for (version, state) in wanted {
        match store.read(&Key { path: place.path.clone(), version }).await {
            Ok(document) => take(&document, &place, state, &tellers, &named.decodings, &mut inventory)?,
            Err(ReadError::NotFound { .. }) if version.is_none() => inventory.absent.push(place.to_string()),
            // Deleted between two requests.
            Err(ReadError::NotFound { .. }) => {}
            Err(error) => return Err(error.into()),
        }
    }
    for teller in &tellers {
        under_way(teller, &place, &mut inventory);
    }
    bury(&mut inventory, &tellers, graves);
    Ok(inventory)
}

/// The newest versions before the current one that can still be read.
async fn older(store: &Store, path: &str, count: usize) -> Result<Vec<u64>, InventoryError> {
    if count == 0 {
        return Ok(Vec::new());
    }
    match store.metadata(path).await {
        Ok(metadata) => {
            let live = metadata.versions.iter().rev().filter(|(number, state)| {
                **number != metadata.current_version && matches!(state, VersionState::Live { .. })
            });
            Ok(live.map(|(number, _)| *number).take(count.min(PREVIOUS_MAX)).collect())
        }
        // KV version 1 keeps one version, and no metadata.
        Err(ReadError::NotFound { .. } | ReadError::Unsupported { .. }) => Ok(Vec::new()),
        Err(error) => Err(error.into()),
    }
}

/// Every property of one version.
fn take(
    document: &Document,
    place: &Arc<Place>,
    state: ValueState,
    tellers: &[Told],
    decodings: &[DecodingStrategy],
    inventory: &mut Inventory,
) -> Result<(), InventoryError> {
    let version = document.version.unwrap_or(0);
    document.json().expose(|bytes| {
        let properties = json_text::properties(bytes).ok_or_else(|| InventoryError::NotAnObject {
            store: place.store.name.clone(),
            path: place.path.clone(),
        })?;
        for (property, raw) in properties {
            let secret = match json_text::string(raw) {
                Some(text) => text,
                None if raw.get().starts_with(['{', '[']) => Secret::copy_of(raw.get().as_bytes()),
                // Numbers and words of JSON are no secrets of any length that counts.
                None => continue,
            };
            let teller = tellers.iter().find(|teller| teller.property == property);
            let strength = teller.map_or(Strength::Unknown, |teller| {
                teller.strength(&secret, teller.generated.contains(&version))
            });
            let value = |secret, strength| Value {
                secret,
                place: Arc::clone(place),
                property: property.clone(),
                version,
                state,
                strength,
            };
            for strategy in decodings {
                // What does not decode is not what the Secret holds.
                if let Ok(decoded) = value::decode(*strategy, secret.duplicate(), None)
                    && !decoded.same_as(&secret)
                {
                    inventory.values.push(value(decoded, Strength::Unknown));
                }
            }
            inventory.values.push(value(secret, strength));
        }
        Ok(())
    })
}

/// The values that a run has in its hands: they are alive at the target, whatever is published.
fn under_way(teller: &Told, place: &Arc<Place>, inventory: &mut Inventory) {
    let Some(record) = &teller.record else { return };
    let mut add = |secret: &Secret, state, strength| {
        let value = Value {
            secret: secret.duplicate(),
            place: Arc::clone(place),
            property: teller.property.clone(),
            version: 0,
            state,
            strength,
        };
        inventory.values.push(value);
    };
    if let Some((_, pending)) = record.phase.pending() {
        let secret = &pending.value.0;
        add(secret, ValueState::Current, teller.strength(secret, true));
    }
    for discarded in &record.discarded {
        let secret = &discarded.value.0;
        add(secret, ValueState::Previous, teller.strength(secret, true));
    }
    if let Some(outgoing) = record.current.as_ref().and_then(|current| current.value.as_ref()) {
        add(&outgoing.0, ValueState::Previous, teller.strength(&outgoing.0, record.revision > 1));
    }
}

/// Marks what was proven dead: the same value may stand in several versions. One that is current is not dead,
/// whatever was proven before.
fn bury(inventory: &mut Inventory, tellers: &[Told], graves: Option<&Graves>) {
    let values = &inventory.values;
    let is_dead = |value: &Value| {
        let journalled = || {
            let teller = tellers.iter().find(|teller| teller.property == value.property)?;
            let mut dead = values.iter().filter(|other| {
                other.property == value.property && other.version > 0 && teller.dead.contains(&other.version)
            });
            dead.find(|other| other.secret.same_as(&value.secret))
        };
        value.state == ValueState::Previous
            && (journalled().is_some() || graves.is_some_and(|graves| graves.hold(&value.secret)))
    };
    let dead: Vec<usize> =
        values.iter().enumerate().filter(|(_, value)| is_dead(value)).map(|(index, _)| index).collect();
    for index in dead {
        inventory.values[index].state = ValueState::Dead;
    }
}
