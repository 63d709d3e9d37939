//! What is inside the store, and the rules of KV version 2 that it follows.
//!
//! Pure: nothing here reads a clock or touches the disk. Versions count from 1 and are never reused; the oldest
//! values beyond `max_versions` go away; a deleted version keeps its value until it is destroyed.

use std::collections::BTreeMap;
use std::io::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use serde_json::value::RawValue;
use shared::secret::Secret;
use zeroize::Zeroizing;

use crate::provider::{Absence, Metadata, VersionState};
use crate::wiped::WipedBuffer;

/// What Vault keeps when nobody says otherwise.
const VERSIONS_KEPT: u64 = 10;

/// Everything in a store, by path.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Contents {
    entries: BTreeMap<String, Entry>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    current_version: u64,
    created_time: Timestamp,
    updated_time: Timestamp,
    /// 0: the default.
    max_versions: u64,
    cas_required: bool,
    custom_metadata: BTreeMap<String, String>,
    versions: BTreeMap<u64, Version>,
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Version {
    created_time: Timestamp,
    deletion_time: Option<Timestamp>,
    /// `None` once destroyed.
    json: Option<RawJson>,
}

/// A JSON object, whose text is kept as it came.
struct RawJson(Secret);

/// One version, for a reader.
pub(super) struct Found<'a> {
    pub(super) json: &'a Secret,
    pub(super) version: u64,
    pub(super) created_time: Timestamp,
    pub(super) custom_metadata: &'a BTreeMap<String, String>,
}

/// Settings of a path; what is `None` stays as it is.
#[derive(Debug, Default, Clone)]
pub struct MetadataChange {
    /// How many versions to keep; 0 for the default of 10.
    pub max_versions: Option<u64>,
    /// Whether each write must name the version that it replaces.
    pub cas_required: Option<bool>,
    /// Custom metadata, as a whole. Not secret.
    pub custom_metadata: Option<BTreeMap<String, String>>,
}

/// Why a version was not written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NotWritten {
    OtherVersion { found: u64 },
    CasRequired,
}

impl Contents {
    pub(super) fn parse(plaintext: &[u8]) -> Option<Self> {
        serde_json::from_slice(plaintext).ok()
    }

    /// The plaintext of the file, at most `bytes_max` long.
    pub(super) fn to_plaintext(&self, bytes_max: usize) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let mut buffer = WipedBuffer::new(bytes_max);
        serde_json::to_writer(&mut buffer, self)?;
        buffer.flush()?;
        Ok(buffer.into_inner())
    }

    /// Version `None` or 0 is the latest.
    pub(super) fn read(&self, path: &str, version: Option<u64>) -> Result<Found<'_>, Absence> {
        let entry = self.entries.get(path).ok_or(Absence::Missing)?;
        let number = version.filter(|number| *number != 0).unwrap_or(entry.current_version);
        let version = entry.versions.get(&number).ok_or(Absence::Missing)?;
        let json = version.json.as_ref().ok_or(Absence::Destroyed)?;
        if version.deletion_time.is_some() {
            return Err(Absence::Deleted);
        }
        Ok(Found {
            json: &json.0,
            version: number,
            created_time: version.created_time,
            custom_metadata: &entry.custom_metadata,
        })
    }

    pub(super) fn metadata(&self, path: &str) -> Option<Metadata> {
        let entry = self.entries.get(path)?;
        let states = entry.versions.iter().map(|(number, version)| (*number, version.state()));
        Some(Metadata {
            current_version: entry.current_version,
            created_time: entry.created_time.to_string(),
            updated_time: entry.updated_time.to_string(),
            delete_version_after: "0s".to_owned(),
            max_versions: entry.max_versions,
            cas_required: entry.cas_required,
            custom_metadata: entry.custom_metadata.clone(),
            versions: states.collect(),
        })
    }

    /// The names right below `folder` (empty, or ending in `/`), sorted.
    pub(super) fn list(&self, folder: &str) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        let below = self.entries.range(folder.to_owned()..);
        for (path, _) in below.take_while(|(path, _)| path.starts_with(folder)) {
            let rest = &path[folder.len()..];
            let name = rest.find('/').map_or(rest, |end| &rest[..=end]);
            if names.last().is_none_or(|last| last != name) {
                names.push(name.to_owned());
            }
        }
        // `a/x` and `a/y` need not be neighbours: `a` and `a.b` sort around them.
        names.sort_unstable();
        names.dedup();
        names
    }

    /// Writes a version and returns its number.
    pub(super) fn write(
        &mut self,
        path: &str,
        json: Secret,
        cas: Option<u64>,
        now: Timestamp,
    ) -> Result<u64, NotWritten> {
        let entry = self.entries.get(path);
        let found = entry.map_or(0, |entry| entry.current_version);
        match cas {
            Some(expected) if expected != found => return Err(NotWritten::OtherVersion { found }),
            None if entry.is_some_and(|entry| entry.cas_required) => return Err(NotWritten::CasRequired),
            _ => {}
        }
        let entry = self.entries.entry(path.to_owned()).or_insert_with(|| Entry::new(now));
        entry.current_version += 1;
        entry.updated_time = now;
        let version = Version { created_time: now, deletion_time: None, json: Some(RawJson(json)) };
        entry.versions.insert(entry.current_version, version);
        entry.forget_oldest();
        Ok(entry.current_version)
    }

    /// Changes a path's settings, and makes the path (without a version) if it is not there.
    pub(super) fn change_metadata(&mut self, path: &str, change: MetadataChange, now: Timestamp) {
        let entry = self.entries.entry(path.to_owned()).or_insert_with(|| Entry::new(now));
        entry.max_versions = change.max_versions.unwrap_or(entry.max_versions);
        entry.cas_required = change.cas_required.unwrap_or(entry.cas_required);
        if let Some(custom_metadata) = change.custom_metadata {
            entry.custom_metadata = custom_metadata;
        }
        entry.updated_time = now;
        entry.forget_oldest();
    }

    /// Hides the latest version; false if there is nothing to hide.
    pub(super) fn delete_latest(&mut self, path: &str, now: Timestamp) -> bool {
        let Some(entry) = self.entries.get_mut(path) else { return false };
        let latest = entry.versions.get_mut(&entry.current_version);
        match latest {
            Some(version) if version.deletion_time.is_none() && version.json.is_some() => {
                version.deletion_time = Some(now);
                true
            }
            _ => false,
        }
    }

    /// Removes a path with all its versions; false if it is not there.
    pub(super) fn destroy(&mut self, path: &str) -> bool {
        self.entries.remove(path).is_some()
    }
}

impl Entry {
    fn new(now: Timestamp) -> Self {
        Self {
            current_version: 0,
            created_time: now,
            updated_time: now,
            max_versions: 0,
            cas_required: false,
            custom_metadata: BTreeMap::new(),
            versions: BTreeMap::new(),
        }
    }

    fn forget_oldest(&mut self) {
        let kept = if self.max_versions == 0 { VERSIONS_KEPT } else { self.max_versions };
        let oldest = (self.current_version + 1).saturating_sub(kept);
        self.versions.retain(|number, _| *number >= oldest);
    }
}

impl Version {
    fn state(&self) -> VersionState {
        match (&self.json, self.deletion_time) {
            (None, _) => VersionState::Destroyed,
            (Some(_), Some(time)) => VersionState::Deleted { deletion_time: time.to_string() },
            (Some(_), None) => VersionState::Live { created_time: self.created_time.to_string() },
        }
    }
}

/// Whether bytes are one JSON object and nothing else.
pub(super) fn is_object(json: &Secret) -> bool {
    json.expose(|bytes| {
        serde_json::from_slice::<&RawValue>(bytes).is_ok_and(|raw| raw.get().starts_with('{'))
    })
}

impl std::fmt::Debug for RawJson {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for RawJson {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        // The one place that writes plaintext, into the buffer that is encrypted next.
        self.0.expose(|bytes| {
            let raw: &RawValue = serde_json::from_slice(bytes)
                .map_err(|_| serde::ser::Error::custom("a stored value is not JSON"))?;
            raw.serialize(serializer)
        })
    }
}

impl<'de> Deserialize<'de> for RawJson {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = <&RawValue>::deserialize(deserializer)?;
        Ok(Self(Secret::copy_of(raw.get().as_bytes())))
    }
}
