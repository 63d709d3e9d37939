//! Whether an ExternalSecret is to be read again now. Pure.

use std::time::Duration;

use jiff::Timestamp;

use super::{mark, windows};
use crate::manifest::external_secret::{ExternalSecretSpec, REFRESH_INTERVAL_DEFAULT, RefreshPolicy};
use crate::manifest::object::Object;
use crate::manifest::status::ExternalSecretStatus;

/// The hash by which a change of the ExternalSecret itself is seen.
pub fn resource_version(object: &Object<ExternalSecretSpec>) -> String {
    let empty = std::collections::BTreeMap::new();
    mark::resource_version(
        object.meta.generation.unwrap_or_default(),
        object.meta.labels.as_ref().unwrap_or(&empty),
        object.meta.annotations.as_ref().unwrap_or(&empty),
    )
}

/// After how long it is read again; none if it is read once or with its manifest only.
pub fn interval(object: &Object<ExternalSecretSpec>) -> Option<Duration> {
    match object.spec.refresh_policy {
        Some(RefreshPolicy::CreatedOnce | RefreshPolicy::OnChange) => None,
        Some(RefreshPolicy::Periodic) | None => {
            let interval =
                object.spec.refresh_interval.map_or(REFRESH_INTERVAL_DEFAULT, |interval| interval.0);
            Some(interval).filter(|interval| !interval.is_zero())
        }
    }
}

/// Whether its values are to be read now, if its Secret is as we left it. The rules are the operator's: interval 0
/// and CreatedOnce read once, OnChange reads when the manifest changed, everything else by the interval too.
pub fn is_due(object: &Object<ExternalSecretSpec>, status: &ExternalSecretStatus, now: Timestamp) -> bool {
    let refreshed: Option<Timestamp> = status.refresh_time.as_deref().and_then(|time| time.parse().ok());
    let synced = status.synced_resource_version.as_deref().filter(|version| !version.is_empty());
    let (Some(refreshed), Some(synced)) = (refreshed, synced) else { return true };
    let changed = || synced != resource_version(object);
    match object.spec.refresh_policy {
        Some(RefreshPolicy::CreatedOnce) => false,
        Some(RefreshPolicy::OnChange) => changed(),
        Some(RefreshPolicy::Periodic) | None => {
            let interval =
                object.spec.refresh_interval.map_or(REFRESH_INTERVAL_DEFAULT, |interval| interval.0);
            if interval == Duration::ZERO {
                return false;
            }
            let age = now.duration_since(refreshed);
            // A refresh in the future means that a clock was wrong: read again.
            let is_over = age.unsigned_abs() >= interval;
            changed()
                || age.is_negative()
                || (is_over && windows::allow(object.spec.sync_windows.as_ref(), now))
        }
    }
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan};

    use super::{is_due, resource_version};
    use crate::manifest::external_secret::{ExternalSecretSpec, RefreshPolicy};
    use crate::manifest::object::{Object, Origin};
    use crate::manifest::status::ExternalSecretStatus;

    fn object(policy: Option<RefreshPolicy>, interval: Option<&str>) -> Object<ExternalSecretSpec> {
        let spec = ExternalSecretSpec {
            refresh_policy: policy,
            refresh_interval: interval.map(|text| text.parse().unwrap()),
            ..ExternalSecretSpec::default()
        };
        Object { meta: Default::default(), spec, origin: Origin::Cluster }
    }

    #[test]
    fn each_policy_reads_when_it_should() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let (created_once, on_change) = (Some(RefreshPolicy::CreatedOnce), Some(RefreshPolicy::OnChange));
        for (policy, interval, minutes_ago, changed, due) in [
            (None, None, 59, false, false),
            (None, None, 60, false, true),
            (None, None, -1, false, true),
            (None, None, 1, true, true),
            (None, Some("0"), 1000, true, false),
            (None, Some("10m"), 10, false, true),
            (created_once, Some("1m"), 1000, true, false),
            (on_change, Some("1m"), 1000, false, false),
            (on_change, Some("1h"), 1, true, true),
        ] {
            let object = object(policy, interval);
            let version = if changed { "0-other".to_owned() } else { resource_version(&object) };
            let mut status = ExternalSecretStatus {
                refresh_time: Some((now - minutes_ago.minutes()).to_string()),
                synced_resource_version: Some(version),
                ..ExternalSecretStatus::default()
            };
            assert_eq!(is_due(&object, &status, now), due, "{policy:?} {interval:?} {minutes_ago} {changed}");
            status.refresh_time = None;
            assert!(is_due(&object, &status, now), "never read before");
        }
    }
}
