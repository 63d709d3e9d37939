//! What is reported on a Rotation in a cluster.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use crate::manifest::object::Object;
use crate::manifest::rotation::{Rotation, RotationSpec};
use crate::manifest::status::{Condition, RotationStatus, seconds, set_condition};
use crate::rotate_command::Standing;
use crate::rotation::drive::End;
use crate::rotation::schedule::Schedule;
use crate::target::cluster::words;

/// The longest message of a condition: it is read in a terminal.
const MESSAGE_CHARS_MAX: usize = 1024;

/// One condition, before it has a time.
struct Told {
    kind: &'static str,
    is: bool,
    reason: String,
    message: String,
}

/// The status after a drive; none where it is what was reported before.
pub fn next(
    before: &RotationStatus,
    object: &Object<RotationSpec>,
    standing: &Standing,
    schedule: Option<&Schedule>,
    now: Timestamp,
) -> Option<RotationStatus> {
    let mut status = before.clone();
    status.observed_generation = object.meta.generation;
    if let Some(record) = &standing.record {
        // It never falls: a journal that is older than this was restored, and that is how it shows.
        status.revision = status.revision.max(record.revision);
        status.phase = Some(record.phase.name().to_string());
    }
    let started = standing.record.as_ref().map_or(Timestamp::MIN, |record| record.started_at);
    let due =
        schedule.filter(|_| !object.spec.suspend).and_then(|schedule| schedule.next_start(started, now));
    status.next_run = due.map(seconds);
    for told in told(standing) {
        let Told { kind, is, reason, message } = told;
        let message = message.chars().take(MESSAGE_CHARS_MAX).collect();
        let condition = Condition {
            kind: kind.to_owned(),
            status: if is { "True" } else { "False" }.to_owned(),
            reason,
            message,
            last_transition_time: None,
        };
        set_condition(&mut status.conditions, condition, now);
    }
    (status != *before).then_some(status)
}

fn told(standing: &Standing) -> [Told; 3] {
    let record = standing.record.as_ref();
    let phase = record.map_or_else(|| "NeverRan".to_owned(), |record| record.phase.name().to_string());
    let under_way = record.is_some_and(|record| !record.phase.is_over());
    let (ready, reason, message) = match &standing.end {
        Ok(End::Proven { .. } | End::Aborted { .. } | End::Adopted { .. }) => {
            (true, phase.clone(), "what is published works".to_owned())
        }
        Ok(End::Nothing) => (false, phase.clone(), "no run has made a secret yet".to_owned()),
        Ok(End::Until { class: None, at }) => {
            (true, phase.clone(), format!("the run under way goes on after {}", seconds(*at)))
        }
        Ok(End::Until { class: Some(class), .. }) => {
            (false, "NoAnswer".to_owned(), format!("{class}; it is tried again, and the old secret works"))
        }
        Ok(End::Held { .. }) => (true, phase.clone(), "another rotator works on it".to_owned()),
        Ok(End::Frozen(freeze)) => (false, "Frozen".to_owned(), freeze.to_string()),
        Ok(End::Refused { why, next }) => (false, "Refused".to_owned(), format!("{why}; next: {next}")),
        Ok(End::NeedsPerson { why, next }) => {
            (false, "NeedsPerson".to_owned(), format!("{why}; next: {next}"))
        }
        Err(why) => (false, "Invalid".to_owned(), why.clone()),
    };
    let person = match &standing.end {
        Ok(End::NeedsPerson { why, next }) => Some(format!("{why}; next: {next}")),
        _ => None,
    };
    [
        Told { kind: "Ready", is: ready, reason, message },
        Told { kind: "Progressing", is: under_way, reason: phase.clone(), message: String::new() },
        Told {
            kind: "NeedsPerson",
            is: person.is_some(),
            reason: phase,
            message: person.unwrap_or_default(),
        },
    ]
}

/// Writes a status.
///
/// # Errors
/// Why not, in our words.
pub async fn write(
    client: &Client,
    object: &Object<RotationSpec>,
    status: &RotationStatus,
) -> Result<(), String> {
    let api: Api<Rotation> = Api::namespaced(client.clone(), object.namespace());
    let patch = Patch::Merge(json!({ "status": status }));
    match api.patch_status(object.name(), &PatchParams::default(), &patch).await {
        Ok(_) => Ok(()),
        // It was deleted meanwhile: nobody is left to be told.
        Err(kube::Error::Api(answer)) if answer.code == 404 => Ok(()),
        Err(error) => Err(words(&error)),
    }
}
