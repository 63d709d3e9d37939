//! One ExternalSecret of the cluster, and what matters of it between two syncs.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;
use serde_json::Value;

use crate::manifest::cluster::live_from;
use crate::manifest::external_secret::{CreationPolicy, ExternalSecretSpec, RefreshPolicy, StoreRef};
use crate::manifest::object::Object;
use crate::manifest::status::ExternalSecretStatus;
use crate::sync::gather::store_of;
use crate::sync::{due, mark};

/// An ExternalSecret and what was found out about it once.
pub(super) struct Entry {
    pub(super) value: Value,
    /// Changes when it is to be looked at again: not with our own reports.
    pub(super) stamp: String,
    pub(super) target: String,
    pub(super) namespace: String,
    pub(super) paths: Vec<(StoreRef, String)>,
    pub(super) refreshed: Option<Timestamp>,
    pub(super) next: Option<Timestamp>,
    pub(super) ready: Option<bool>,
}

/// What is found out about an object.
pub(super) fn entry(value: Value) -> Entry {
    let live = live_from(value.clone());
    let object = live.object.as_ref().ok();
    let deleting = if live.deleting { "deleting" } else { "" };
    let stamp = match object {
        Some(object) => format!("{}{deleting}", due::resource_version(object)),
        None => format!("{}{deleting}", value["metadata"]["generation"]),
    };
    let refreshed = live.status.refresh_time.as_deref().and_then(|time| time.parse().ok());
    let condition = live.status.conditions.iter().find(|condition| condition.kind == "Ready");
    Entry {
        stamp,
        target: object.map(|object| object.spec.target_name(object.name()).to_owned()).unwrap_or_default(),
        namespace: live.namespace.clone(),
        paths: object.map(paths).unwrap_or_default(),
        refreshed,
        next: object.and_then(|object| next(object, &live.status, refreshed)),
        ready: condition.map(|condition| condition.status == "True"),
        value,
    }
}

/// When its interval is over; none if it has none. Those of one hour do not all come in the same minute.
fn next(
    object: &Object<ExternalSecretSpec>,
    status: &ExternalSecretStatus,
    refreshed: Option<Timestamp>,
) -> Option<Timestamp> {
    let last = refreshed.filter(|_| status.synced_resource_version.is_some())?;
    let interval = due::interval(object)?;
    // Up to a twentieth later, by the name: the same each time, and below a minute.
    let share = mark::owner_hash(object.namespace(), object.name());
    let share = u8::from_str_radix(share.get(..2).unwrap_or("0"), 16).unwrap_or(0);
    let jitter = (interval / 20).min(Duration::from_secs(60)).mul_f64(f64::from(share) / 255.0);
    last.checked_add(interval + jitter).ok()
}

/// The paths of which a new version matters.
fn paths(object: &Object<ExternalSecretSpec>) -> Vec<(StoreRef, String)> {
    let spec = &object.spec;
    let follows = matches!(spec.refresh_policy, None | Some(RefreshPolicy::Periodic));
    if !follows || due::interval(object).is_none() || spec.target.creation_policy == CreationPolicy::None {
        return Vec::new();
    }
    let entries = spec.data.iter().map(|entry| (entry.source_ref.as_ref(), &entry.remote_ref));
    let extracts =
        spec.data_from.iter().filter_map(|from| Some((from.source_ref.as_ref(), from.extract.as_ref()?)));
    let mut found = BTreeSet::new();
    for (source, remote) in entries.chain(extracts) {
        // A version that is named does not change.
        let latest = matches!(remote.version.as_deref(), None | Some("" | "0"));
        if latest && let Ok(store) = store_of(object, source, "") {
            found.insert((store.clone(), remote.key.clone()));
        }
    }
    found.into_iter().collect()
}
