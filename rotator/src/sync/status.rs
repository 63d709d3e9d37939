//! What is reported on an ExternalSecret in a cluster.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::due::resource_version;
use super::outcome::{Outcome, SyncError};
use crate::manifest::external_secret::{ExternalSecret, ExternalSecretSpec};
use crate::manifest::object::Object;
use crate::manifest::status::{Binding, Condition, ExternalSecretStatus, seconds, set_condition};
use crate::target::cluster::words;

/// The longest message of a condition: it is read in a terminal.
const MESSAGE_CHARS_MAX: usize = 1024;

/// The status after a round; none when nothing is to be said (not due, left alone).
pub fn next(
    before: &ExternalSecretStatus,
    object: Option<&Object<ExternalSecretSpec>>,
    result: &Result<Outcome, SyncError>,
    now: Timestamp,
) -> Option<ExternalSecretStatus> {
    let (ready, reason, message) = match result {
        Ok(Outcome::NotDue | Outcome::LeftAlone { .. } | Outcome::BeingDeleted) => return None,
        Ok(Outcome::Created { .. } | Outcome::Changed { .. } | Outcome::Unchanged) => {
            (true, "SecretSynced", "secret synced".to_owned())
        }
        Ok(Outcome::Retained) => {
            (true, "SecretSynced", "secret retained due to DeletionPolicy=Retain".to_owned())
        }
        Ok(Outcome::Deleted | Outcome::Gone) => {
            (true, "SecretDeleted", "secret deleted due to DeletionPolicy=Delete".to_owned())
        }
        Ok(Outcome::TargetMissing) => {
            (true, "SecretMissing", "secret will not be created due to CreationPolicy=Merge".to_owned())
        }
        Err(error) => {
            (false, "SecretSyncedError", error.to_string().chars().take(MESSAGE_CHARS_MAX).collect())
        }
    };
    let mut status = before.clone();
    let condition = Condition {
        kind: "Ready".to_owned(),
        status: if ready { "True" } else { "False" }.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: None,
    };
    set_condition(&mut status.conditions, condition, now);
    if ready {
        status.refresh_time = Some(seconds(now));
        if let Some(object) = object {
            status.synced_resource_version = Some(resource_version(object));
            let name = object.spec.target_name(object.name()).to_owned();
            status.binding = Some(Binding { name });
        }
    }
    (status != *before).then_some(status)
}

/// Whether it was synced once.
pub fn is_synced(status: &ExternalSecretStatus) -> bool {
    status.conditions.iter().any(|condition| condition.kind == "Ready" && condition.reason == "SecretSynced")
}

/// Whether it says this manifest.
pub fn is_current(status: &ExternalSecretStatus, object: &Object<ExternalSecretSpec>) -> bool {
    status.synced_resource_version.as_deref() == Some(resource_version(object).as_str())
}

/// What the operator puts on each ExternalSecret, and takes away after it has cleaned up.
pub const FINALIZER: &str = "externalsecrets.external-secrets.io/externalsecret-cleanup";

/// Leaves only these finalizers on an ExternalSecret.
///
/// # Errors
/// Why not, in our words.
pub async fn release(
    client: &Client,
    object: &Object<ExternalSecretSpec>,
    kept: &[&String],
) -> Result<(), String> {
    let api: Api<ExternalSecret> = Api::namespaced(client.clone(), object.namespace());
    let meta = json!({ "finalizers": kept, "resourceVersion": object.meta.resource_version });
    match api.patch(object.name(), &PatchParams::default(), &Patch::Merge(json!({ "metadata": meta }))).await
    {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(error) => Err(words(&error)),
    }
}

/// Writes a status.
///
/// # Errors
/// Why not, in our words.
pub async fn write(
    client: &Client,
    namespace: &str,
    name: &str,
    status: &ExternalSecretStatus,
) -> Result<(), String> {
    let api: Api<ExternalSecret> = Api::namespaced(client.clone(), namespace);
    let patch = Patch::Merge(json!({ "status": status }));
    match api.patch_status(name, &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        // It was deleted meanwhile: nobody is left to be told.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(error) => Err(words(&error)),
    }
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;

    use super::next;
    use crate::manifest::status::ExternalSecretStatus;
    use crate::sync::outcome::{Outcome, SyncError};

    #[test]
    fn a_failure_keeps_what_was_synced_and_repeats_nothing() {
        let first: Timestamp = "2026-01-01T00:00:00.5Z".parse().unwrap();
        let later: Timestamp = "2026-01-01T01:00:00Z".parse().unwrap();
        let good = next(&ExternalSecretStatus::default(), None, &Ok(Outcome::Unchanged), first).unwrap();
        assert_eq!(good.refresh_time.as_deref(), Some("2026-01-01T00:00:00Z"));
        let failed = next(&good, None, &Err(SyncError::DeleteNeedsOwner), later).unwrap();
        assert_eq!(failed.refresh_time, good.refresh_time);
        assert_eq!(failed.conditions.len(), 1);
        assert_eq!(failed.conditions[0].status, "False");
        assert_eq!(failed.conditions[0].last_transition_time.as_deref(), Some("2026-01-01T01:00:00Z"));
        assert_eq!(next(&failed, None, &Err(SyncError::DeleteNeedsOwner), later), None);
        assert_eq!(next(&good, None, &Ok(Outcome::NotDue), later), None);
    }
}
