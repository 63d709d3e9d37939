//! Reads every value that an ExternalSecret asks for.

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::secret::Secret;

use super::stores::{Store, StoreError, Stores};
use super::value::{self, ValueError, Values};
use super::{find, rewrite};
use crate::audit;
use crate::manifest::external_secret::{
    ConversionStrategy, DataEntry, DataFrom, DecodingStrategy, DeletionPolicy, ExternalSecretSpec, Find,
    MetadataPolicy, NullBytePolicy, RemoteRef, Rewrite, SourceRef, StoreRef,
};
use crate::manifest::object::Object;
use crate::provider::{Document, Key, Metadata, ReadError};

/// Why the values could not be read. The path says which entry of the manifest.
#[derive(Clone, Debug, thiserror::Error)]
pub enum GatherError {
    /// The store cannot be used.
    #[error("{path}: {error}")]
    Store {
        /// The field.
        path: String,
        /// Why.
        error: StoreError,
    },
    /// The store was asked and did not give it.
    #[error("{path}: {error}")]
    Read {
        /// The field.
        path: String,
        /// Why.
        error: Box<ReadError>,
    },
    /// What the store gave does not fit.
    #[error("{path}: {store}: {key}: {error}")]
    Value {
        /// The field.
        path: String,
        /// The store.
        store: String,
        /// The secret's path in it.
        key: String,
        /// Why.
        error: ValueError,
    },
    /// The manifest asks for what cannot be.
    #[error("{path}: {what}")]
    Manifest {
        /// The field.
        path: String,
        /// What is wrong.
        what: String,
    },
}

impl GatherError {
    /// Whether the store answers, and nothing is there.
    fn is_absence(&self) -> bool {
        matches!(self, Self::Read { error, .. } if matches!(**error, ReadError::NotFound { .. }))
    }
}

/// The values of one ExternalSecret, in the order of the operator: `dataFrom` first, then `data`, later ones win.
///
/// Secrets that do not exist are left out when the deletion policy is not Retain.
///
/// # Errors
/// At the first entry that cannot be read.
pub async fn gather(object: &Object<ExternalSecretSpec>, stores: &Stores<'_>) -> Result<Values, GatherError> {
    let mut values = Values::new();
    let skips_absent = object.spec.target.deletion_policy != DeletionPolicy::Retain;
    for (index, from) in object.spec.data_from.iter().enumerate() {
        let path = format!("spec.dataFrom[{index}]");
        match read_from(object, from, &path, stores).await {
            Ok(mut found) => values.append(&mut found),
            Err(error) if skips_absent && error.is_absence() => {}
            Err(error) => return Err(error),
        }
    }
    for (index, entry) in object.spec.data.iter().enumerate() {
        let path = format!("spec.data[{index}]");
        match read_entry(object, entry, &path, stores).await {
            Ok(value) => {
                values.insert(entry.secret_key.clone(), value);
            }
            Err(error) if skips_absent && error.is_absence() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(values)
}

/// The paths that a `find` of an ExternalSecret names now.
///
/// # Errors
/// When the store cannot be opened or listed.
pub async fn found_paths(
    object: &Object<ExternalSecretSpec>,
    find: &Find,
    store: &StoreRef,
    stores: &Stores<'_>,
) -> Result<Vec<String>, GatherError> {
    let asked = Asked { object, store, path: "spec.dataFrom.find", stores };
    let opened = asked.open().await?;
    let found = find::paths(&asked, &opened, find).await?;
    Ok(found.into_iter().map(|(path, _)| path).collect())
}

/// The store of an entry: its own, or the ExternalSecret's.
pub(crate) fn store_of<'a>(
    object: &'a Object<ExternalSecretSpec>,
    source: Option<&'a SourceRef>,
    path: &str,
) -> Result<&'a StoreRef, GatherError> {
    source
        .and_then(|source| source.store_ref.as_ref())
        .or(object.spec.secret_store_ref.as_ref())
        .filter(|store| !store.name.is_empty())
        .ok_or_else(|| GatherError::Manifest {
            path: path.to_owned(),
            what: "no store is named; add secretStoreRef".to_owned(),
        })
}

async fn read_entry(
    object: &Object<ExternalSecretSpec>,
    entry: &DataEntry,
    path: &str,
    stores: &Stores<'_>,
) -> Result<Secret, GatherError> {
    let remote = &entry.remote_ref;
    let store = store_of(object, entry.source_ref.as_ref(), path)?;
    let property = remote.property.as_deref();
    read(object, store, remote, path, stores, |document| {
        let found = value::property(document, property)?;
        let found = value::decode(remote.decoding_strategy.unwrap_or_default(), found, None)?;
        value::check_null_bytes(remote.null_byte_policy.unwrap_or_default(), &found, None)?;
        Ok(found)
    })
    .await
}

async fn read_from(
    object: &Object<ExternalSecretSpec>,
    from: &DataFrom,
    path: &str,
    stores: &Stores<'_>,
) -> Result<Values, GatherError> {
    let store = store_of(object, from.source_ref.as_ref(), path)?;
    if let Some(find) = &from.find {
        // The operator looks at find first.
        let path = format!("{path}.find");
        let context = Asked { object, store, path: &path, stores };
        let found = find::find(&context, find).await?;
        let policies = (find.conversion_strategy, find.decoding_strategy, find.null_byte_policy);
        return finish(found, &from.rewrite, policies).map_err(|error| context.misfit("*", error));
    }
    let Some(remote) = &from.extract else {
        let what = "generators of values are not supported; put the value into the store".to_owned();
        return Err(GatherError::Manifest { path: path.to_owned(), what });
    };
    let property = remote.property.as_deref().filter(|property| !property.is_empty());
    read(object, store, remote, &format!("{path}.extract"), stores, |document| {
        let found = value::extract(document, property)?;
        finish(
            found,
            &from.rewrite,
            (remote.conversion_strategy, remote.decoding_strategy, remote.null_byte_policy),
        )
    })
    .await
}

/// What is done with many values: renamed or made to fit, decoded, checked.
fn finish(
    found: Values,
    steps: &[Rewrite],
    (conversion, decoding, null_bytes): Policies,
) -> Result<Values, ValueError> {
    let found = if steps.is_empty() {
        value::convert_keys(conversion.unwrap_or_default(), found)?
    } else {
        rewrite::rewrite(steps, found)?
    };
    value::check_keys(&found)?;
    let found = value::decode_all(decoding.unwrap_or_default(), found)?;
    for (key, found) in &found {
        value::check_null_bytes(null_bytes.unwrap_or_default(), found, Some(key))?;
    }
    Ok(found)
}

type Policies = (Option<ConversionStrategy>, Option<DecodingStrategy>, Option<NullBytePolicy>);

/// What is asked, of whom, for whom.
pub(super) struct Asked<'a> {
    object: &'a Object<ExternalSecretSpec>,
    store: &'a StoreRef,
    path: &'a str,
    stores: &'a Stores<'a>,
}

impl Asked<'_> {
    pub(super) async fn open(&self) -> Result<Arc<Store>, GatherError> {
        let opened = self.stores.open(self.store, self.object.namespace()).await;
        opened.map_err(|error| GatherError::Store { path: self.path.to_owned(), error })
    }

    /// Puts an access on record.
    pub(super) fn record(&self, store: &Store, key: &Key, read: &Result<Arc<Document>, ReadError>) {
        record(self.object, self.stores, store, key, read);
    }

    pub(super) fn read_error(&self, error: ReadError) -> GatherError {
        GatherError::Read { path: self.path.to_owned(), error: Box::new(error) }
    }

    pub(super) fn misfit(&self, key: &str, error: ValueError) -> GatherError {
        GatherError::Value {
            path: self.path.to_owned(),
            store: self.store.name.clone(),
            key: key.to_owned(),
            error,
        }
    }

    pub(super) fn wrong(&self, field: &str, what: &str) -> GatherError {
        GatherError::Manifest { path: format!("{}.{field}", self.path), what: what.to_owned() }
    }
}

/// Reads one document and hands it to `take`.
async fn read<T>(
    object: &Object<ExternalSecretSpec>,
    store: &StoreRef,
    remote: &RemoteRef,
    path: &str,
    stores: &Stores<'_>,
    take: impl FnOnce(&[u8]) -> Result<T, ValueError>,
) -> Result<T, GatherError> {
    let store = stores
        .open(store, object.namespace())
        .await
        .map_err(|error| GatherError::Store { path: path.to_owned(), error })?;
    let read_error = |error| GatherError::Read { path: path.to_owned(), error: Box::new(error) };
    let misfit = |error| GatherError::Value {
        path: path.to_owned(),
        store: store.name().to_owned(),
        key: remote.key.clone(),
        error,
    };
    if remote.metadata_policy == Some(MetadataPolicy::Fetch) {
        // A path without metadata is an error even where absent values are not.
        let metadata = store.metadata(&remote.key).await.map_err(|error| match error {
            ReadError::NotFound { .. } => GatherError::Manifest {
                path: path.to_owned(),
                what: format!("{}: {}: there is no metadata", store.name(), remote.key),
            },
            error => read_error(error),
        })?;
        let json =
            metadata_json(&metadata).map_err(|_| misfit(ValueError::NotAnObject { what: "the metadata" }))?;
        return take(&json).map_err(misfit);
    }
    let key = Key { path: remote.key.clone(), version: version(remote, path)? };
    let read = store.read(&key).await;
    record(object, stores, &store, &key, &read);
    let document = read.map_err(read_error)?;
    expose(&document, take).map_err(misfit)
}

/// Puts an access on record.
pub(super) fn record(
    object: &Object<ExternalSecretSpec>,
    stores: &Stores<'_>,
    store: &Store,
    key: &Key,
    read: &Result<Arc<Document>, ReadError>,
) {
    let Some(audit) = stores.audit() else { return };
    let document = read.as_ref().ok();
    let (accessor, request_id) = document.map_or((None, None), |document| audit::accessor(&document.access));
    audit.record(&audit::Record {
        object: &format!("ExternalSecret {}", object.full_name()),
        store: store.name(),
        path: &key.path,
        version: document.and_then(|document| document.version).or(key.version),
        outcome: audit::outcome(read.as_ref().err()),
        identity: store.identity(),
        accessor,
        request_id,
    });
}

/// Metadata as the operator gives it: custom metadata and three fields of the server's own, all text.
fn metadata_json(metadata: &Metadata) -> serde_json::Result<Vec<u8>> {
    let mut map = BTreeMap::from([
        ("created_time", metadata.created_time.clone()),
        ("current_version", metadata.current_version.to_string()),
        ("delete_version_after", metadata.delete_version_after.clone()),
    ]);
    map.extend(metadata.custom_metadata.iter().map(|(key, value)| (key.as_str(), value.clone())));
    serde_json::to_vec(&map)
}

fn expose<T>(
    document: &Document,
    take: impl FnOnce(&[u8]) -> Result<T, ValueError>,
) -> Result<T, ValueError> {
    document.json().expose(take)
}

/// The version that is asked for; "0" is the latest, as the server has it.
fn version(remote: &RemoteRef, path: &str) -> Result<Option<u64>, GatherError> {
    match remote.version.as_deref() {
        None | Some("" | "0") => Ok(None),
        Some(text) => text.parse().map(Some).map_err(|_| GatherError::Manifest {
            path: format!("{path}.version"),
            what: "not a version; write a number in quotes, or leave it out".to_owned(),
        }),
    }
}
