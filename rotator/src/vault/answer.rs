//! What the server's answers say: only the fields that we need, taken out of wiped buffers into wiped buffers.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use serde::Deserialize;
use serde_json::value::RawValue;
use shared::secret::Secret;

use crate::json_text;
use crate::provider::{Absence, Metadata, Page, VersionState};

/// A sentence of the server's that decides something.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Complaint {
    OtherVersion,
    CasRequired,
    Sealed,
    BadToken,
}

/// A value as it was read.
pub(super) struct Value {
    pub(super) json: Secret,
    pub(super) version: Option<u64>,
    pub(super) created_time: Option<Timestamp>,
    pub(super) custom_metadata: BTreeMap<String, String>,
    pub(super) request_id: Option<String>,
}

/// A login, or what the server says about a token.
pub(super) struct Granted {
    /// Absent when a token is looked up.
    pub(super) token: Option<Secret>,
    pub(super) accessor: Option<String>,
    /// `None`: it does not expire.
    pub(super) lease: Option<Duration>,
    pub(super) renewable: bool,
    /// Batch tokens cannot be renewed or revoked.
    pub(super) batch: bool,
}

#[derive(Deserialize)]
struct Whole<'a> {
    request_id: Option<String>,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    #[serde(borrow)]
    auth: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct Versioned<'a> {
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    metadata: Option<VersionMetadata>,
}

#[derive(Deserialize)]
struct VersionMetadata {
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    deletion_time: String,
    #[serde(default)]
    destroyed: bool,
    version: Option<u64>,
    custom_metadata: Option<BTreeMap<String, String>>,
}

#[derive(Deserialize)]
struct PathMetadata {
    #[serde(default)]
    current_version: u64,
    #[serde(default)]
    created_time: String,
    #[serde(default)]
    updated_time: String,
    #[serde(default)]
    delete_version_after: String,
    #[serde(default)]
    max_versions: u64,
    #[serde(default)]
    cas_required: bool,
    custom_metadata: Option<BTreeMap<String, String>>,
    versions: Option<BTreeMap<u64, VersionMetadata>>,
}

impl PathMetadata {
    fn metadata(self, now: Timestamp) -> Metadata {
        let versions = self.versions.unwrap_or_default().into_iter();
        Metadata {
            current_version: self.current_version,
            created_time: self.created_time,
            updated_time: self.updated_time,
            delete_version_after: self.delete_version_after,
            max_versions: self.max_versions,
            cas_required: self.cas_required,
            custom_metadata: self.custom_metadata.unwrap_or_default(),
            versions: versions.map(|(number, version)| (number, version.state(now))).collect(),
        }
    }
}

#[derive(Deserialize)]
struct Keys {
    keys: Option<Vec<String>>,
}

#[derive(Deserialize)]
struct Detailed {
    #[serde(default)]
    keys: Vec<String>,
    #[serde(default)]
    key_info: BTreeMap<String, PathMetadata>,
}

#[derive(Deserialize)]
struct Written {
    version: Option<u64>,
}

#[derive(Deserialize)]
struct Auth<'a> {
    #[serde(borrow)]
    client_token: Option<&'a RawValue>,
    accessor: Option<String>,
    #[serde(default)]
    lease_duration: u64,
    #[serde(default)]
    renewable: bool,
    token_type: Option<String>,
}

#[derive(Deserialize)]
struct LookedUp {
    accessor: Option<String>,
    #[serde(default)]
    ttl: u64,
    #[serde(default)]
    renewable: bool,
    r#type: Option<String>,
}

#[derive(Deserialize)]
struct Errors {
    errors: Option<Vec<String>>,
}

/// What was read from KV 1: `data` is the object itself.
pub(super) fn value_v1(body: &Secret) -> Option<Result<Value, Absence>> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let Some(data) = whole.data.filter(|data| is_object(data)) else {
            return Some(Err(Absence::Missing));
        };
        Some(Ok(Value {
            json: Secret::copy_of(data.get().as_bytes()),
            version: None,
            created_time: None,
            custom_metadata: BTreeMap::new(),
            request_id: whole.request_id,
        }))
    })
}

/// What was read from KV 2: `data` holds the object and the version's metadata.
pub(super) fn value_v2(body: &Secret) -> Option<Result<Value, Absence>> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let versioned: Versioned<'_> = serde_json::from_str(whole.data?.get()).ok()?;
        let Some(data) = versioned.data.filter(|data| is_object(data)) else {
            return Some(Err(versioned.metadata.as_ref().map_or(Absence::Missing, VersionMetadata::absence)));
        };
        let metadata = versioned.metadata?;
        Some(Ok(Value {
            json: Secret::copy_of(data.get().as_bytes()),
            version: metadata.version,
            created_time: metadata.created_time.parse().ok(),
            custom_metadata: metadata.custom_metadata.unwrap_or_default(),
            request_id: whole.request_id,
        }))
    })
}

/// Why a 404 of KV 2 has nothing to give: a deleted version still has metadata.
pub(super) fn absence(body: &Secret) -> Absence {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let versioned: Versioned<'_> = serde_json::from_str(whole.data?.get()).ok()?;
        Some(versioned.metadata?.absence())
    })
    .unwrap_or_else(|| {
        if says(body, &["no handler for route"]) { Absence::NoEngine } else { Absence::Missing }
    })
}

/// A path's metadata. `now` tells versions that are deleted from those that will be.
pub(super) fn metadata(body: &Secret, now: Timestamp) -> Option<Metadata> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let path: PathMetadata = serde_json::from_str(whole.data?.get()).ok()?;
        Some(path.metadata(now))
    })
}

/// A page of a folder's secrets with their metadata; of folders below it, the names alone.
pub(super) fn detailed(body: &Secret, limit: usize, now: Timestamp) -> Option<Page> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let detailed: Detailed = serde_json::from_str(whole.data?.get()).ok()?;
        let next = detailed.keys.last().filter(|_| detailed.keys.len() >= limit).cloned();
        let entries = detailed.key_info.into_iter().map(|(name, path)| (name, path.metadata(now)));
        Some(Page { entries: entries.collect(), next })
    })
}

/// The names of a listing.
pub(super) fn keys(body: &Secret) -> Option<Vec<String>> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let keys: Keys = serde_json::from_str(whole.data?.get()).ok()?;
        keys.keys
    })
}

/// The version that a write to KV 2 made.
pub(super) fn written(body: &Secret) -> Option<u64> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let written: Written = serde_json::from_str(whole.data?.get()).ok()?;
        written.version
    })
}

/// The answer to a login or a renewal.
pub(super) fn login(body: &Secret) -> Option<Granted> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let auth: Auth<'_> = serde_json::from_str(whole.auth?.get()).ok()?;
        Some(Granted {
            token: auth.client_token.and_then(json_text::string).filter(|token| !token.is_empty()),
            accessor: auth.accessor.filter(|accessor| !accessor.is_empty()),
            lease: lease(auth.lease_duration),
            renewable: auth.renewable,
            batch: auth.token_type.as_deref() == Some("batch"),
        })
    })
}

/// The answer to looking up the token that asks.
pub(super) fn looked_up(body: &Secret) -> Option<Granted> {
    body.expose(|bytes| {
        let whole: Whole<'_> = serde_json::from_slice(bytes).ok()?;
        let found: LookedUp = serde_json::from_str(whole.data?.get()).ok()?;
        Some(Granted {
            token: None,
            accessor: found.accessor.filter(|accessor| !accessor.is_empty()),
            lease: lease(found.ttl),
            renewable: found.renewable,
            batch: found.r#type.as_deref() == Some("batch"),
        })
    })
}

/// Which of the known sentences the server's errors hold. The text goes no further than here.
pub(super) fn complaint(body: &Secret) -> Option<Complaint> {
    // The sentences of Vault and OpenBao, `vault/logical_kv` (path_data.go) and `http/handler.go`.
    if says(body, &["did not match the current version"]) {
        Some(Complaint::OtherVersion)
    } else if says(body, &["check-and-set parameter required"]) {
        Some(Complaint::CasRequired)
    } else if says(body, &["is sealed"]) {
        Some(Complaint::Sealed)
    } else if says(body, &["invalid token", "bad token"]) || says_only(body, "permission denied") {
        // A policy's refusal comes as `1 error occurred: * permission denied`, that of a token which the server does
        // not know as these two words alone; newer Vaults add `invalid token`.
        Some(Complaint::BadToken)
    } else {
        None
    }
}

fn says(body: &Secret, sentences: &[&str]) -> bool {
    any_error(body, |error| sentences.iter().any(|sentence| error.contains(sentence)))
}

fn says_only(body: &Secret, sentence: &str) -> bool {
    any_error(body, |error| error == sentence)
}

fn any_error(body: &Secret, is: impl Fn(&str) -> bool) -> bool {
    body.expose(|bytes| {
        let errors: Errors = serde_json::from_slice(bytes).unwrap_or(Errors { errors: None });
        let errors = errors.errors.unwrap_or_default();
        let found = errors.iter().any(|error| is(error));
        // An error can quote what was sent.
        errors.into_iter().for_each(|error| drop(Secret::from_string(error)));
        found
    })
}

fn is_object(raw: &RawValue) -> bool {
    raw.get().starts_with('{')
}

/// Zero seconds is for ever: a root token, or one without a limit.
fn lease(seconds: u64) -> Option<Duration> {
    (seconds > 0).then(|| Duration::from_secs(seconds))
}

impl VersionMetadata {
    fn absence(&self) -> Absence {
        match (self.destroyed, self.deletion_time.is_empty()) {
            (true, _) => Absence::Destroyed,
            (false, false) => Absence::Deleted,
            (false, true) => Absence::Missing,
        }
    }

    fn state(self, now: Timestamp) -> VersionState {
        // With `delete_version_after` the time lies ahead.
        let deleted = !self.deletion_time.is_empty()
            && self.deletion_time.parse::<Timestamp>().is_ok_and(|time| time <= now);
        match (self.destroyed, deleted) {
            (true, _) => VersionState::Destroyed,
            (false, true) => VersionState::Deleted { deletion_time: self.deletion_time },
            (false, false) => VersionState::Live { created_time: self.created_time },
        }
    }
}
