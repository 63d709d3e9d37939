//! What would be done for one Rotation, and on what that is founded.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::journal::{Phase, PhaseName, Record};

use crate::manifest::Manifests;
use crate::manifest::object::Object;
use crate::manifest::rotation::{ClusterRotationTargetSpec, RotationSpec};
use crate::provider::ReadError;
use crate::rotation::context::Journal as _;
use crate::rotation::discovered;
use crate::rotation::resolve::{Resolved, resolve, uid};
use crate::rotation::rollout::Rollout;
use crate::rotation::spec::Strategy;
use crate::rotation::stored::StoredJournal;
use crate::rotation::workloads::Mark;
use crate::sync::stores::Stores;

const PLAN_VERSION: u32 = 1;

/// What would be done.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Plan {
    version: u32,
    /// When it was made.
    pub created_at: Timestamp,
    /// One for each Rotation.
    pub rotations: Vec<Entry>,
}

impl Plan {
    /// A plan of these entries.
    pub fn new(created_at: Timestamp, rotations: Vec<Entry>) -> Self {
        Self { version: PLAN_VERSION, created_at, rotations }
    }

    /// Whether this program knows its form.
    pub fn is_readable(&self) -> bool {
        self.version == PLAN_VERSION
    }
}

/// What is done about a Rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Action {
    /// A run begins.
    Start,
    /// The run under way goes on.
    Resume,
    /// It is not due, or only a person can go on.
    Nothing,
}

/// What is done for one Rotation.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Entry {
    /// `namespace/name`.
    pub rotation: String,
    /// What is done.
    pub action: Action,
    /// Why nothing is done, or where a run rests.
    pub why: String,
    /// On what this is founded.
    pub ground: Ground,
    /// The account that gets a new secret.
    pub account: String,
    /// The account whose secret dies: the same one, or the other of two.
    pub old_account: Option<String>,
    /// The path that consumers read, in which store.
    pub path: String,
    /// Secrets that are made from it.
    pub secrets: Vec<String>,
    /// Workloads that use these Secrets, as far as the cluster was asked: each is restarted, or waited for.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub restarts: Vec<String>,
    /// Other clusters, which acknowledge.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub clusters: Vec<String>,
    /// Consumers that a person must release.
    pub released_by_hand: Vec<String>,
    /// What is done at the target, without values, in order.
    pub statements: Vec<String>,
}

/// On what an entry is founded: if any of this changes, the plan is stale.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Ground {
    /// A hash of the Rotation, its target and the Secrets made from its path.
    pub manifests: String,
    /// The journal's version in its store; 0 before the first run.
    pub journal: u64,
    /// Where it stands.
    pub phase: Option<PhaseName>,
    /// The last run.
    pub revision: u64,
    /// The published path's version; 0 while nothing is published.
    pub published: u64,
}

impl Entry {
    /// What has changed between this plan and `found`, if anything has.
    pub fn moved(&self, found: &Self) -> Option<String> {
        let (was, is) = (&self.ground, &found.ground);
        if was.manifests != is.manifests {
            Some("its manifests were changed".to_owned())
        } else if was.journal != is.journal {
            let phase = is.phase.map_or_else(|| "gone".to_owned(), |phase| phase.to_string());
            Some(format!("its journal went on from version {} to {} ({phase})", was.journal, is.journal))
        } else if was.published != is.published {
            Some(format!("its path was written: version {} then, {} now", was.published, is.published))
        } else if was != is || self.account != found.account || self.old_account != found.old_account {
            Some("it would do something else now".to_owned())
        } else {
            None
        }
    }
}

/// What would be done for one Rotation now; `now` starts one that is not due too. `cluster`, if it is given, is asked
/// which workloads use its Secrets.
///
/// # Errors
/// When the Rotation, its store or its journal cannot be read, in one line.
pub async fn entry(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    stores: &Stores<'_>,
    cluster: Option<&kube::Client>,
    now: bool,
) -> Result<Entry, String> {
    let name = object.full_name();
    let told = |error: &dyn std::fmt::Display| format!("{name}: {error}");
    let Resolved { spec, schedule, .. } = resolve(object, manifests)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let publish = &object.spec.publish;
    let store = stores.open(&publish.store_ref, object.namespace()).await.map_err(|error| told(&error))?;
    let journal = StoredJournal::new(store.provider().clone(), object.namespace(), object.name());
    let loaded = journal.load().await.map_err(|error| told(&error))?;
    let published = match store.metadata(&publish.key).await {
        Ok(metadata) => metadata.current_version,
        Err(ReadError::NotFound { .. }) => 0,
        Err(error) => return Err(told(&error)),
    };
    let (version, record) = loaded.map_or((0, None), |(version, record)| (version, Some(record)));
    let started = record.as_ref().map(|record| record.started_at);
    let at = Timestamp::now();
    let is_due = !object.spec.suspend
        && started.map_or(schedule.frozen_until(at).is_none(), |started| schedule.is_due(started, at));
    let (action, why) = action(record.as_ref(), now || is_due);
    let (account, old_account) = accounts(record.as_ref(), &spec.strategy);
    Ok(Entry {
        action,
        why,
        ground: Ground {
            manifests: hash(object, manifests)?,
            journal: version,
            phase: record.as_ref().map(|record| record.phase.name()),
            revision: record.as_ref().map_or(0, |record| record.revision),
            published,
        },
        statements: statements(object, manifests, &account, old_account.as_deref()),
        account,
        old_account,
        path: format!("{} in {}", publish.key, store.name()),
        restarts: match cluster {
            Some(client) => restarts(object, manifests, client).await?,
            None => Vec::new(),
        },
        clusters: object.spec.consumers.clusters.clone(),
        secrets: discovered::names(object, manifests),
        released_by_hand: spec.external,
        rotation: name,
    })
}

async fn restarts(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    client: &kube::Client,
) -> Result<Vec<String>, String> {
    let nothing = std::collections::BTreeMap::new();
    // No workload bears the mark of a version that is not there yet.
    let mark = Mark::new(&uid(object), u64::MAX);
    let rollout = Rollout { client, mark, restart: false, changed: &nothing };
    let found = rollout.observe(&discovered::names(object, manifests)).await;
    found
        .map(|all| all.into_iter().map(|consumer| consumer.name).collect())
        .map_err(|lost| format!("{}: {lost}", object.full_name()))
}

fn action(record: Option<&Record>, start: bool) -> (Action, String) {
    match record {
        Some(Record { needs_person: Some(needs), .. }) => {
            (Action::Nothing, format!("needs a person: {}; next: {}", needs.why, needs.next))
        }
        Some(record) if !record.phase.is_over() => {
            (Action::Resume, format!("run {} rests in {}", record.revision, record.phase.name()))
        }
        _ if start => (Action::Start, "a new run begins".to_owned()),
        Some(_) | None => (Action::Nothing, "not due".to_owned()),
    }
}

/// Who gets the new secret and whose old one dies, as far as the journal tells: the last run left its slot published.
fn accounts(record: Option<&Record>, strategy: &Strategy) -> (String, Option<String>) {
    let published = record.and_then(|record| match &record.phase {
        Phase::Proven { slot, .. } | Phase::Adopted { slot, .. } => Some(slot.as_str()),
        _ => record.current.as_ref().map(|current| current.slot.as_str()),
    });
    let under_way = record.and_then(|record| record.phase.pending().map(|(slot, _)| slot));
    let account = under_way.unwrap_or_else(|| strategy.next_slot(published)).to_owned();
    (account, published.map(str::to_owned))
}

fn target<'m>(
    object: &Object<RotationSpec>,
    manifests: &'m Manifests,
) -> Option<&'m ClusterRotationTargetSpec> {
    let name = &object.spec.target_ref.name;
    manifests.rotation_targets.iter().find(|target| target.name() == name).map(|target| &target.spec)
}

/// The same for the same manifests, whatever file they stand in.
fn hash(object: &Object<RotationSpec>, manifests: &Manifests) -> Result<String, String> {
    let users: Vec<_> =
        discovered::users(object, manifests).map(|user| (user.full_name(), &user.spec)).collect();
    let all = (object.full_name(), &object.meta.uid, &object.spec, target(object, manifests), users);
    let json = serde_json::to_vec(&all).map_err(|error| error.to_string())?;
    Ok(blake3::hash(&json).to_hex().to_string())
}

/// What is done at the target, in the order of the phases. Values stand as three dots.
fn statements(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    account: &str,
    old: Option<&str>,
) -> Vec<String> {
    let Some(target) = target(object, manifests) else { return Vec::new() };
    let other = old.filter(|old| *old != account);
    if let Some(htpasswd) = &target.htpasswd {
        let path = &htpasswd.path;
        let mut all = vec![format!("{path}: {account}:$2b$… (bcrypt)")];
        all.extend(other.map(|old| format!("{path}: {old}: no password fits any more")));
        return all;
    }
    let Some(postgresql) = &target.postgresql else { return Vec::new() };
    let mut all = Vec::new();
    let writable: Vec<&str> =
        postgresql.endpoints.iter().filter(|e| !e.read_only).map(|e| e.name.as_str()).collect();
    for endpoint in &writable {
        all.push(format!("{endpoint}: ALTER ROLE \"{account}\" WITH LOGIN PASSWORD 'SCRAM-SHA-256$…'"));
    }
    for endpoint in &postgresql.endpoints {
        all.push(format!(
            "{}: log in as {account}: with a random password (refused), with the new one",
            endpoint.name
        ));
    }
    for endpoint in &writable {
        if let Some(old) = other {
            all.push(format!(
                "{endpoint}: ALTER ROLE \"{old}\" WITH NOLOGIN PASSWORD NULL, its sessions are ended"
            ));
        }
    }
    all
}
