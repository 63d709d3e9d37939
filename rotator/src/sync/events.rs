//! Events on ExternalSecrets: what `kubectl describe` shows. With the operator's reasons.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::Client;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};

use super::Wanted;
use super::outcome::{Outcome, SyncError};
use crate::manifest::status::ExternalSecretStatus;

/// The API server cuts longer notes off by refusing them.
const NOTE_CHARS_MAX: usize = 1000;

/// Tells events.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
}

impl Events {
    /// Events of this program in a cluster.
    pub fn new(client: Client) -> Self {
        let reporter = Reporter { controller: "keyturn".to_owned(), instance: None };
        Self { recorder: Recorder::new(client, reporter) }
    }

    /// Tells how a sync ended, if that is news. One that cannot be told stops nothing.
    pub async fn tell(
        &self,
        wanted: &Wanted,
        before: &ExternalSecretStatus,
        result: &Result<Outcome, SyncError>,
    ) {
        let Some(event) = news(before, result) else { return };
        let (namespace, name) = wanted.name.split_once('/').unwrap_or_default();
        let about = ObjectReference {
            api_version: Some("external-secrets.io/v1".to_owned()),
            kind: Some("ExternalSecret".to_owned()),
            name: Some(name.to_owned()),
            namespace: Some(namespace.to_owned()),
            uid: wanted.object.as_ref().ok().and_then(|object| object.meta.uid.clone()),
            ..ObjectReference::default()
        };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            let why = crate::target::cluster::words(&error);
            tracing::debug!(object = %wanted.name, %why, "an event was not told");
        }
    }
}

fn news(before: &ExternalSecretStatus, result: &Result<Outcome, SyncError>) -> Option<Event> {
    let (kind, reason, note) = match result {
        Ok(Outcome::Created { .. }) => (EventType::Normal, "Created", "secret created".to_owned()),
        Ok(Outcome::Changed { .. }) => (EventType::Normal, "Updated", "secret updated".to_owned()),
        Ok(Outcome::Deleted) => {
            (EventType::Normal, "Deleted", "secret deleted due to DeletionPolicy=Delete".to_owned())
        }
        Ok(
            Outcome::Unchanged
            | Outcome::NotDue
            | Outcome::Gone
            | Outcome::Retained
            | Outcome::TargetMissing
            | Outcome::BeingDeleted
            | Outcome::LeftAlone { .. },
        ) => return None,
        Err(error) => {
            let note: String = error.to_string().chars().take(NOTE_CHARS_MAX).collect();
            // The same failure each minute would bury the others.
            let known = before.conditions.iter().any(|condition| {
                condition.kind == "Ready"
                    && condition.status == "False"
                    && note.starts_with(&condition.message)
            });
            if known {
                return None;
            }
            (EventType::Warning, "UpdateFailed", note)
        }
    };
    Some(Event {
        type_: kind,
        reason: reason.to_owned(),
        note: Some(note),
        action: "Sync".to_owned(),
        secondary: None,
    })
}
