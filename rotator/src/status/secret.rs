//! One ExternalSecret's line: which Secret, from where, how old, and whether all is well. From facts alone.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;

use crate::manifest::external_secret::{ExternalSecretSpec, StoreRef};
use crate::manifest::object::{Object, full_name};
use crate::manifest::problem::Problem;
use crate::manifest::status::ExternalSecretStatus;
use crate::sync::due;
use crate::sync::gather::store_of;

/// A refresh comes with the next turn of a loop, or of a CronJob; only later than this it is overdue.
const LATE: SignedDuration = SignedDuration::from_mins(15);
/// The longest message that is shown: controllers write them, ours among others.
const MESSAGE_CHARACTERS_MAX: usize = 500;

/// What is known of one.
#[derive(Debug)]
pub enum Facts {
    /// What is reported on the object in its cluster.
    Reported(ExternalSecretStatus),
    /// What lies where its Secret should.
    Found {
        /// Whether the Secret is as it was left; none if there is no Secret.
        intact: Option<bool>,
        /// When it was last written, where that is kept.
        written_at: Option<Timestamp>,
    },
    /// Nobody looked: manifests of files, and no target.
    Nothing,
    /// It could not be looked at.
    Unknown(String),
}

/// How one stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum State {
    /// The Secret is up to date.
    Synced,
    /// It was, but its refresh has not come.
    Overdue,
    /// The last sync failed; the Secret is as it was before.
    Failed,
    /// Every value is gone from the store, and so is the Secret (deletionPolicy Delete).
    Deleted,
    /// There is no Secret to merge into (creationPolicy Merge).
    Waiting,
    /// No sync has ended yet.
    NeverSynced,
    /// The object itself is wrong.
    Unreadable,
    /// At the target, as it was left.
    InPlace,
    /// At the target, and changed by somebody else.
    Edited,
    /// Not at the target.
    Absent,
    /// Nobody looked.
    NotLookedAt,
}

impl State {
    /// For people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::Overdue => "OVERDUE",
            Self::Failed => "FAILED",
            Self::Deleted => "deleted",
            Self::Waiting => "waiting",
            Self::NeverSynced => "NEVER SYNCED",
            Self::Unreadable => "UNREADABLE",
            Self::InPlace => "in place",
            Self::Edited => "EDITED",
            Self::Absent => "ABSENT",
            Self::NotLookedAt => "not looked at",
        }
    }

    /// Whether somebody should look.
    pub fn is_bad(self) -> bool {
        match self {
            Self::Overdue
            | Self::Failed
            | Self::NeverSynced
            | Self::Unreadable
            | Self::Edited
            | Self::Absent => true,
            Self::Synced | Self::Deleted | Self::Waiting | Self::InPlace | Self::NotLookedAt => false,
        }
    }
}

/// One Secret.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretLine {
    /// `namespace/name` of the ExternalSecret.
    pub external_secret: String,
    /// `namespace/name` of the Secret.
    pub secret: String,
    /// Stores and paths, such as `SecretStore vault: app/db`; a search names its folder with `/*`.
    pub source: Vec<String>,
    /// How it stands.
    pub state: State,
    /// One word of the condition.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// One line about what is not well.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
    /// When the Secret was last brought up to date.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refreshed_at: Option<Timestamp>,
    /// How long ago that was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub age_seconds: Option<i64>,
    /// When it is read again; absent if only a change makes it so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_refresh: Option<Timestamp>,
}

impl SecretLine {
    /// One whose object is wrong.
    pub fn unreadable(external_secret: String, problems: &[Problem]) -> Self {
        let lines: Vec<String> = problems.iter().map(|p| format!("{}: {}", p.path, p.what)).collect();
        Self {
            secret: external_secret.clone(),
            external_secret,
            source: Vec::new(),
            state: State::Unreadable,
            reason: None,
            message: Some(one_line(&lines.join("; "))),
            refreshed_at: None,
            age_seconds: None,
            next_refresh: None,
        }
    }

    /// The line of one.
    pub fn of(object: &Object<ExternalSecretSpec>, facts: &Facts, now: Timestamp) -> Self {
        let mut line = Self {
            external_secret: object.full_name(),
            secret: full_name(object.namespace(), object.spec.target_name(object.name())),
            source: sources(object),
            state: State::NotLookedAt,
            reason: None,
            message: None,
            refreshed_at: None,
            age_seconds: None,
            next_refresh: None,
        };
        match facts {
            Facts::Reported(status) => line.reported(object, status, now),
            Facts::Found { intact, written_at } => {
                line.state = match intact {
                    None => State::Absent,
                    Some(true) => State::InPlace,
                    Some(false) => State::Edited,
                };
                line.refreshed_at = *written_at;
            }
            Facts::Nothing => {}
            Facts::Unknown(why) => {
                line.state = State::Unreadable;
                line.message = Some(one_line(why));
            }
        }
        line.age_seconds = line.refreshed_at.map(|at| now.duration_since(at).as_secs().max(0));
        line
    }

    fn reported(
        &mut self,
        object: &Object<ExternalSecretSpec>,
        status: &ExternalSecretStatus,
        now: Timestamp,
    ) {
        if let Some(binding) = status.binding.as_ref().filter(|binding| !binding.name.is_empty()) {
            self.secret = full_name(object.namespace(), &binding.name);
        }
        self.refreshed_at = status.refresh_time.as_deref().and_then(|time| time.parse().ok());
        self.next_refresh = self
            .refreshed_at
            .zip(due::interval(object))
            .and_then(|(refreshed, interval)| refreshed.checked_add(interval).ok());
        let ready = status.conditions.iter().find(|condition| condition.kind == "Ready");
        let late = || {
            let latest = now.checked_sub(LATE).unwrap_or(Timestamp::MIN);
            self.next_refresh.is_some_and(|next| next <= latest)
        };
        self.state = match ready.map(|ready| (ready.status.as_str(), ready.reason.as_str())) {
            None => State::NeverSynced,
            Some(("True", "SecretDeleted")) => State::Deleted,
            Some(("True", "SecretMissing")) => State::Waiting,
            Some(("True", _)) if late() => State::Overdue,
            Some(("True", _)) => State::Synced,
            Some(_) => State::Failed,
        };
        self.reason = ready.map(|ready| ready.reason.clone()).filter(|reason| !reason.is_empty());
        self.message = ready
            .filter(|_| self.state.is_bad())
            .map(|ready| one_line(&ready.message))
            .filter(|m| !m.is_empty());
        if self.state == State::Overdue {
            self.message = Some("no rotator has refreshed it; see that one runs and leads".to_owned());
        }
    }
}

/// What a server or another controller wrote, fit for a terminal.
fn one_line(text: &str) -> String {
    text.chars().take(MESSAGE_CHARACTERS_MAX).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn sources(object: &Object<ExternalSecretSpec>) -> Vec<String> {
    let spec = &object.spec;
    let mut sources = Vec::new();
    let mut add = |store: Option<&StoreRef>, what: &str| {
        let store = store
            .map_or_else(|| "no store".to_owned(), |store| format!("{} {}", store.kind.name(), store.name));
        let source = one_line(&format!("{store}: {what}"));
        if !sources.contains(&source) {
            sources.push(source);
        }
    };
    for entry in &spec.data {
        add(store_of(object, entry.source_ref.as_ref(), "").ok(), &entry.remote_ref.key);
    }
    for from in &spec.data_from {
        let store = store_of(object, from.source_ref.as_ref(), "").ok();
        if let Some(extract) = &from.extract {
            add(store, &extract.key);
        } else if let Some(find) = &from.find {
            let folder = find.path.as_deref().unwrap_or_default().trim_matches('/');
            add(store, if folder.is_empty() { "*".to_owned() } else { format!("{folder}/*") }.as_str());
        } else {
            add(store, "a generator");
        }
    }
    sources
}

#[cfg(test)]
mod tests {
    use jiff::{Timestamp, ToSpan};
    use serde_json::json;

    use super::{Facts, SecretLine, State};
    use crate::manifest::external_secret::ExternalSecretSpec;
    use crate::manifest::object::{Object, Origin};
    use crate::manifest::status::ExternalSecretStatus;

    fn object(spec: serde_json::Value) -> Object<ExternalSecretSpec> {
        let mut meta = k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta::default();
        (meta.name, meta.namespace) = (Some("db".to_owned()), Some("shop".to_owned()));
        Object { meta, spec: serde_json::from_value(spec).unwrap(), origin: Origin::Cluster }
    }

    fn status(ready: Option<(&str, &str)>, refreshed: &str) -> ExternalSecretStatus {
        let conditions = ready.map(|(status, reason)| {
            json!({ "type": "Ready", "status": status, "reason": reason, "message": "why\n\u{1b}[31m" })
        });
        let conditions: Vec<_> = conditions.into_iter().collect();
        serde_json::from_value(json!({ "conditions": conditions, "refreshTime": refreshed })).unwrap()
    }

    #[test]
    fn a_report_says_the_state_and_what_comes_next() {
        let now: Timestamp = "2026-01-01T12:00:00Z".parse().unwrap();
        let store = json!({ "name": "vault" });
        let hourly = object(json!({ "secretStoreRef": store, "refreshInterval": "1h" }));
        let once = object(json!({ "secretStoreRef": store, "refreshInterval": "0" }));
        for (object, ready, minutes_ago, state) in [
            (&hourly, Some(("True", "SecretSynced")), 59, State::Synced),
            (&hourly, Some(("True", "SecretSynced")), 70, State::Synced),
            (&hourly, Some(("True", "SecretSynced")), 76, State::Overdue),
            (&once, Some(("True", "SecretSynced")), 9000, State::Synced),
            (&hourly, Some(("True", "SecretDeleted")), 9000, State::Deleted),
            (&hourly, Some(("True", "SecretMissing")), 9000, State::Waiting),
            (&hourly, Some(("False", "SecretSyncedError")), 9000, State::Failed),
            (&hourly, None, 9000, State::NeverSynced),
        ] {
            let refreshed = now - minutes_ago.minutes();
            let facts = Facts::Reported(status(ready, &refreshed.to_string()));
            let line = SecretLine::of(object, &facts, now);
            assert_eq!(line.state, state, "{ready:?} {minutes_ago}");
            assert_eq!(line.age_seconds, Some(minutes_ago * 60));
            assert_eq!(line.next_refresh, (object.spec == hourly.spec).then(|| refreshed + 1.hours()));
            if state == State::Failed {
                assert_eq!(line.message.as_deref(), Some("why  [31m"), "no control characters");
            }
        }
    }

    #[test]
    fn every_source_is_named_once() {
        let object = object(json!({ "secretStoreRef": { "name": "vault" }, "data": [
                { "secretKey": "a", "remoteRef": { "key": "app/db", "property": "a" } },
                { "secretKey": "b", "remoteRef": { "key": "app/db", "property": "b" } }],
            "dataFrom": [{ "find": { "path": "/more/", "name": { "regexp": "x" } } },
                { "extract": { "key": "z" }, "sourceRef": { "storeRef": { "name": "other",
                    "kind": "ClusterSecretStore" } } }] }));
        let line = SecretLine::of(&object, &Facts::Nothing, Timestamp::UNIX_EPOCH);
        assert_eq!(
            line.source,
            ["SecretStore vault: app/db", "SecretStore vault: more/*", "ClusterSecretStore other: z"]
        );
        assert_eq!((line.secret.as_str(), line.state), ("shop/db", State::NotLookedAt));
    }
}
