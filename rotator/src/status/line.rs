//! One Rotation's line, from facts alone.

use jiff::Timestamp;
use serde::Serialize;
use shared::exit::Exit;
use shared::journal::{Failure, NeedsPerson, Phase, PhaseName, Record, Trigger};

use super::secret::SecretLine;
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::rotation::context::Freeze;
use crate::rotation::schedule::Schedule;

/// The version of the JSON.
const REPORT_VERSION: u32 = 1;
/// A run that is due starts with the next call of `rotator rotate`; only later than this it is overdue.
const LATE: jiff::SignedDuration = jiff::SignedDuration::from_hours(1);
/// The longest name of a client that is shown: servers tell it, and clients may choose it.
const CLIENT_CHARACTERS_MAX: usize = 80;

/// What was read about one Rotation.
pub struct Facts {
    /// The journal, if there ever was a run.
    pub record: Option<Record>,
    /// When it is due.
    pub schedule: Schedule,
    /// Whether its store is frozen.
    pub frozen: Option<Freeze>,
    /// When the published path was last written.
    pub path_written_at: Option<Timestamp>,
    /// Consumers that are discovered.
    pub consumers: Vec<String>,
    /// Consumers that a person releases.
    pub external: Vec<String>,
    /// Sessions of the login that is to go, or to be idle.
    pub sessions: Vec<OldSession>,
    /// Why the sessions are not all known.
    pub sessions_unknown: Option<String>,
}

/// Everything.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    /// The version of this form.
    pub version: u32,
    /// When it was made.
    pub generated_at: Timestamp,
    /// One for each Rotation, in the order of the manifests.
    pub rotations: Vec<Line>,
    /// One for each ExternalSecret.
    pub external_secrets: Vec<SecretLine>,
}

/// One credential.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Line {
    /// `namespace/name`.
    pub rotation: String,
    /// Why nothing else is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unreadable: Option<String>,
    /// Where the last run stands; absent before the first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<PhaseName>,
    /// The last run.
    pub revision: u64,
    /// Why it began.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub trigger: Option<Trigger>,
    /// When the phase was reached.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase_since: Option<Timestamp>,
    /// When what is published was published.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub published_at: Option<Timestamp>,
    /// How old that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// Five fields.
    pub schedule: String,
    /// Its zone.
    pub time_zone: String,
    /// No scheduled run starts.
    pub suspended: bool,
    /// The next scheduled run; absent while suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<Timestamp>,
    /// Since when a run has been due and none has started.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overdue_since: Option<Timestamp>,
    /// A person has frozen its store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub frozen: Option<Freeze>,
    /// When the run goes on by itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub goes_on_at: Option<Timestamp>,
    /// Consumers of a run under way.
    pub consumers: Vec<ConsumerLine>,
    /// Sessions of the login that is to go, or to be idle.
    pub sessions: Vec<OldSession>,
    /// Why they are not all known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sessions_unknown: Option<String>,
    /// The last failure.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<Failure>,
    /// Why and how a person must go on.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub needs_person: Option<NeedsPerson>,
}

/// One consumer.
#[derive(Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ConsumerLine {
    /// Its name.
    pub name: String,
    /// Since when it uses the new secret; absent while it does not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub moved_at: Option<Timestamp>,
    /// Whether a person must release it.
    pub external: bool,
}

/// One open login.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OldSession {
    /// Where.
    pub endpoint: String,
    /// Whose.
    pub account: String,
    /// From where.
    pub client: String,
}

/// What a server says of a client, fit for a terminal.
pub fn printable(client: &str) -> String {
    client
        .chars()
        .take(CLIENT_CHARACTERS_MAX)
        .map(|c| if c.is_ascii_graphic() || c == ' ' { c } else { '?' })
        .collect()
}

impl Report {
    /// The lines of all.
    pub fn new(generated_at: Timestamp, rotations: Vec<Line>, external_secrets: Vec<SecretLine>) -> Self {
        Self { version: REPORT_VERSION, generated_at, rotations, external_secrets }
    }

    /// 3 if a person is needed, 1 if one is overdue, failed or unreadable, else 0.
    pub fn exit(&self) -> Exit {
        let lines = &self.rotations;
        if lines.iter().any(|line| line.needs_person.is_some()) {
            Exit::Incomplete
        } else if lines.iter().any(|line| line.overdue_since.is_some() || line.unreadable.is_some())
            || self.external_secrets.iter().any(|line| line.state.is_bad())
        {
            Exit::Blocked
        } else {
            Exit::Done
        }
    }
}

impl Line {
    /// One about which nothing could be read.
    pub fn unreadable(object: &Object<RotationSpec>, why: String) -> Self {
        Self { unreadable: Some(why), ..Self::begin(object) }
    }

    fn begin(object: &Object<RotationSpec>) -> Self {
        Self {
            rotation: object.full_name(),
            schedule: object.spec.schedule.clone(),
            time_zone: object.spec.time_zone.clone(),
            suspended: object.spec.suspend,
            ..Self::default()
        }
    }

    /// The line of one Rotation.
    pub fn of(object: &Object<RotationSpec>, facts: &Facts, now: Timestamp) -> Self {
        let record = facts.record.as_ref();
        let last = record.map(|record| record.started_at);
        let under_way = record.is_some_and(|record| !record.phase.is_over());
        let due = last.and_then(|last| facts.schedule.after(last));
        let overdue_since = due.filter(|due| {
            !object.spec.suspend
                && !under_way
                && facts.schedule.frozen_until(now).is_none()
                && *due <= now.checked_sub(LATE).unwrap_or(Timestamp::MIN)
        });
        let next_run = match last {
            None => Some(facts.schedule.frozen_until(now).unwrap_or(now)),
            Some(_) if under_way => facts.schedule.next_start(now, now),
            Some(last) => facts.schedule.next_start(last, now),
        };
        let published_at = record.and_then(Record::published_at).or(facts.path_written_at);
        Self {
            phase: record.map(|record| record.phase.name()),
            revision: record.map_or(0, |record| record.revision),
            trigger: record.map(|record| record.trigger.clone()),
            phase_since: record.and_then(|record| record.reached.get(&record.phase.name()).copied()),
            published_at,
            age_seconds: published_at.map(|at| now.duration_since(at).as_secs().max(0)),
            next_run: next_run.filter(|_| !object.spec.suspend),
            overdue_since,
            frozen: facts.frozen.clone(),
            goes_on_at: record.and_then(|record| match &record.phase {
                Phase::Spread { grace_until, .. } => Some(*grace_until).filter(|at| *at > now),
                _ => None,
            }),
            consumers: record.map(|record| consumers(record, facts)).unwrap_or_default(),
            sessions: facts.sessions.clone(),
            sessions_unknown: facts.sessions_unknown.clone(),
            error: record.and_then(|record| record.error.clone()),
            needs_person: record.and_then(|record| record.needs_person.clone()),
            ..Self::begin(object)
        }
    }
}

/// In a run that has published: who has moved. Else nobody is waited for.
fn consumers(record: &Record, facts: &Facts) -> Vec<ConsumerLine> {
    if !matches!(record.phase, Phase::Published { .. } | Phase::Spread { .. } | Phase::Revoked { .. }) {
        return Vec::new();
    }
    let mut names: Vec<(&str, bool)> = facts.consumers.iter().map(|name| (name.as_str(), false)).collect();
    names.extend(facts.external.iter().map(|name| (name.as_str(), true)));
    let known: Vec<&str> = names.iter().map(|(name, _)| *name).collect();
    let others = record.spread.keys().map(String::as_str).filter(|name| !known.contains(name));
    let others: Vec<(&str, bool)> = others.map(|name| (name, false)).collect();
    names.extend(others);
    names
        .into_iter()
        .map(|(name, external)| ConsumerLine {
            name: name.to_owned(),
            moved_at: record.spread.get(name).map(|moved| moved.at),
            external,
        })
        .collect()
}
