//! `rotator rotate`: starts what is due, goes on with what rests, and says where each Rotation stands.

use std::collections::BTreeMap;
use std::io::Write;
use std::time::Duration;

use anyhow::Context as _;
use futures::StreamExt as _;
use futures::stream;
use jiff::Timestamp;
use kube::Client;
use shared::exit::Exit;
use shared::fingerprint::Fingerprint;
use shared::journal::{Order, Phase, Record, Trigger};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::manifest::Manifests;
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::rotation::context::{Clock as _, Journal as _, LoadError};
use crate::rotation::drive::{End, Wish, drive};
use crate::rotation::pairs;
use crate::rotation::production::{Keys, Ready, ready};
use crate::rotation::resolve::resolve;
use crate::rotation::status;
use crate::rotation::stored::{StoredJournal, StoredNeighbour};
use crate::source::Source;
use crate::sync::objects::Objects;
use crate::sync::stores::Stores;
use crate::target::Target;

/// Between two looks at a Rotation that another rotator holds.
const HELD_PAUSE: Duration = Duration::from_millis(500);

/// What starts a run.
#[derive(Clone, Debug)]
pub enum Occasion {
    /// Those whose time has come.
    Due,
    /// None; those under way go on.
    None,
    /// All that are named, for this reason.
    Now(Trigger),
    /// All that are named, while this secret is what they publish.
    Replace {
        /// Why.
        trigger: Trigger,
        /// The keyed name of the secret that must go.
        current: Fingerprint,
    },
    /// All that are named get this order.
    Order {
        /// What.
        order: Order,
        /// Who gives it.
        actor: String,
    },
}

/// What Rotations are driven with.
pub struct Means<'a> {
    /// Where the Secrets of consumers go.
    pub target: &'a Target,
    /// Key files and the folder of receipts.
    pub keys: &'a Keys,
    /// How long a drive is waited for that only has to wait: consumers that restart, a grace of seconds.
    pub wait: Duration,
    /// How many Rotations are driven at once.
    pub concurrency: usize,
}

/// Where one Rotation stands after a drive.
#[derive(Debug)]
pub struct Standing {
    /// `namespace/name`.
    pub name: String,
    /// How it ended, or why it was not driven.
    pub end: Result<End, String>,
    /// The journal afterwards, where there is one.
    pub record: Option<Record>,
}

/// Drives the Rotations of these names (all, if none is named).
///
/// # Errors
/// When a name is none of a Rotation.
pub async fn rotate(
    source: &Source,
    names: &[String],
    occasion: &Occasion,
    means: &Means<'_>,
) -> anyhow::Result<Vec<Standing>> {
    let manifests = &source.manifests;
    let mut selected = select(manifests, names)?;
    // Of paired ones, those that go first are opened first.
    selected.sort_by_key(|object| pairs::depth(object, manifests));
    let limits = Limits::new(manifests);
    let client = source.client.as_ref().or(means.target.client()).cloned();
    let stores = Stores::new(manifests, Objects::new(manifests, client));
    let mut standings: Vec<(usize, Standing)> = stream::iter(selected.into_iter().enumerate())
        .map(|(index, object)| {
            let (stores, limits) = (&stores, &limits);
            async move {
                let _place = limits.place(object).await;
                let standing = one(object, manifests, stores, occasion, means).await;
                if let Some(client) = &source.client {
                    tell(client, object, manifests, &standing).await;
                }
                (index, standing)
            }
        })
        .buffer_unordered(means.concurrency)
        .collect()
        .await;
    stores.close().await;
    standings.sort_by_key(|(index, _)| *index);
    Ok(standings.into_iter().map(|(_, standing)| standing).collect())
}

/// Reports on the object in the cluster. One that cannot be told is named in the log: the journal is what counts.
async fn tell(client: &Client, object: &Object<RotationSpec>, manifests: &Manifests, standing: &Standing) {
    let before = manifests.rotation_status.get(&standing.name).cloned().unwrap_or_default();
    let schedule = resolve(object, manifests).ok().map(|resolved| resolved.schedule);
    let Some(next) = status::next(&before, object, standing, schedule.as_ref(), Timestamp::now()) else {
        return;
    };
    if let Err(why) = status::write(client, object, &next).await {
        tracing::warn!(rotation = %standing.name, %why, "its status was not written");
    }
}

/// How many Rotations of a target may be worked on at once, where the target says so.
struct Limits<'m>(BTreeMap<&'m str, Semaphore>);

impl<'m> Limits<'m> {
    fn new(manifests: &'m Manifests) -> Self {
        let limited = manifests.rotation_targets.iter().filter_map(|target| {
            let places = usize::from(target.spec.concurrency?.max(1));
            Some((target.name(), Semaphore::new(places)))
        });
        Self(limited.collect())
    }

    async fn place(&self, object: &Object<RotationSpec>) -> Option<SemaphorePermit<'_>> {
        // It is never closed.
        self.0.get(object.spec.target_ref.name.as_str())?.acquire().await.ok()
    }
}

/// The Rotations of these names: `name` where only one has it, else `namespace/name`.
pub(crate) fn select<'m>(
    manifests: &'m Manifests,
    names: &[String],
) -> anyhow::Result<Vec<&'m Object<RotationSpec>>> {
    if names.is_empty() {
        return Ok(manifests.rotations.iter().collect());
    }
    names
        .iter()
        .map(|name| {
            let mut found = manifests
                .rotations
                .iter()
                .filter(|object| object.name() == name || object.full_name() == *name);
            match (found.next(), found.next()) {
                (Some(object), None) => Ok(object),
                (Some(_), Some(_)) => {
                    anyhow::bail!("{name}: more than one Rotation has this name; write namespace/name")
                }
                (None, _) => anyhow::bail!("{name}: there is no such Rotation; correct the name"),
            }
        })
        .collect()
}

async fn one(
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    stores: &Stores<'_>,
    occasion: &Occasion,
    means: &Means<'_>,
) -> Standing {
    let name = object.full_name();
    match open(object, manifests, stores, means.target, means.keys).await {
        Ok(ready) => {
            let end = patiently(&ready, object, occasion, means.wait).await;
            let record = ready.context.journal.load().await.ok().flatten().map(|(_, record)| record);
            Standing { name, end, record }
        }
        Err(why) => Standing { name, end: Err(why), record: None },
    }
}

async fn open<'a>(
    object: &Object<RotationSpec>,
    manifests: &'a Manifests,
    stores: &Stores<'_>,
    target: &'a Target,
    keys: &Keys,
) -> Result<Ready<'a>, String> {
    let resolved = resolve(object, manifests)
        .map_err(|problems| problems.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
    let ready =
        ready(object, resolved, stores, manifests, target, keys).await.map_err(|error| error.to_string())?;
    with_neighbours(ready, object, manifests, stores).await
}

async fn with_neighbours<'a>(
    mut ready: Ready<'a>,
    object: &Object<RotationSpec>,
    manifests: &Manifests,
    stores: &Stores<'_>,
) -> Result<Ready<'a>, String> {
    let mut neighbours = Vec::new();
    for (other, goes_first) in pairs::neighbours(object, manifests) {
        let store = stores
            .open(&other.spec.publish.store_ref, other.namespace())
            .await
            .map_err(|error| format!("{}, which is paired with it: {error}", other.full_name()))?;
        let journal = StoredJournal::new(store.provider().clone(), other.namespace(), other.name());
        neighbours.push(StoredNeighbour { name: other.full_name(), goes_first, journal });
    }
    ready.context.journal = ready.context.journal.with_neighbours(neighbours);
    Ok(ready)
}

/// Drives until the end, or until what is left takes longer than anybody waits for.
async fn patiently(
    ready: &Ready<'_>,
    object: &Object<RotationSpec>,
    occasion: &Occasion,
    patience: Duration,
) -> Result<End, String> {
    let Ready { context, spec, schedule } = ready;
    let started = context.clock.now();
    let replace = || match occasion {
        Occasion::Replace { trigger, current } => {
            Some(Wish::Replace { trigger: trigger.clone(), current: *current })
        }
        Occasion::Due | Occasion::None | Occasion::Now(_) | Occasion::Order { .. } => None,
    };
    // A run under way may publish the very value that leaked: then the next one replaces it.
    let mut again = replace();
    let mut wish = match occasion {
        Occasion::Now(trigger) => Wish::Start(trigger.clone()),
        Occasion::Replace { trigger, current } => {
            Wish::Replace { trigger: trigger.clone(), current: *current }
        }
        Occasion::Order { order, actor } => Wish::Order { order: order.clone(), actor: actor.clone() },
        Occasion::None => Wish::Resume,
        Occasion::Due if object.spec.suspend => Wish::Resume,
        Occasion::Due => match context.journal.load().await {
            Ok(record) => {
                // What never ran is due: its age is not known, and may be any.
                let last = record.map_or(Timestamp::MIN, |(_, record)| record.started_at);
                let never = last == Timestamp::MIN && schedule.frozen_until(started).is_none();
                let due = never || schedule.is_due(last, started);
                if due { Wish::Start(Trigger::Schedule) } else { Wish::Resume }
            }
            Err(LoadError::NoAnswer(lost)) => return Err(lost.to_string()),
            Err(LoadError::Unusable(error)) => return Err(error.to_string()),
        },
    };
    loop {
        let end = drive(context, spec, wish).await;
        let wait = |at: Timestamp| {
            let soon = Duration::try_from(at.duration_since(started)).unwrap_or_default() < patience;
            soon.then(|| Duration::try_from(at.duration_since(context.clock.now())).unwrap_or_default())
        };
        match (end, replace()) {
            (End::Until { at, class }, _) => match wait(at) {
                Some(time) => {
                    tokio::time::sleep(time).await;
                    wish = Wish::Resume;
                }
                None => return Ok(End::Until { at, class }),
            },
            // A leak is not left to whoever works on the Rotation for another reason, who may be done any moment.
            (End::Held { .. }, Some(replace)) if wait(context.clock.now()).is_some() => {
                tokio::time::sleep(HELD_PAUSE).await;
                wish = replace;
            }
            (end @ (End::Proven { .. } | End::Aborted { .. } | End::Adopted { .. }), _) => match again.take()
            {
                Some(replace) => wish = replace,
                None => return Ok(end),
            },
            (
                end @ (End::Nothing
                | End::Held { .. }
                | End::NeedsPerson { .. }
                | End::Frozen(_)
                | End::Refused { .. }),
                _,
            ) => return Ok(end),
        }
    }
}

/// The exit code of all: the worst of them.
pub fn exit(standings: &[Standing]) -> Exit {
    standings
        .iter()
        .map(|standing| match &standing.end {
            Ok(
                End::Proven { .. }
                | End::Aborted { .. }
                | End::Adopted { .. }
                | End::Nothing
                | End::Until { class: None, .. }
                | End::Held { .. },
            ) => Exit::Done,
            Ok(End::Until { class: Some(_), .. } | End::Frozen(_) | End::Refused { .. }) | Err(_) => {
                Exit::Blocked
            }
            Ok(End::NeedsPerson { .. }) => Exit::Incomplete,
        })
        // For the rotator, unlike the scanner, a person who is needed outweighs what is merely not done yet.
        .max_by_key(|exit| match exit {
            Exit::Done => 0,
            Exit::Blocked => 1,
            Exit::Incomplete => 2,
            Exit::Usage => 3,
            Exit::Interrupted => 4,
        })
        .unwrap_or(Exit::Done)
}

/// Whether the run had no old secret to take away.
fn first_secret(standing: &Standing) -> bool {
    let phase = standing.record.as_ref().map(|record| &record.phase);
    matches!(phase, Some(Phase::Proven { receipt: None, .. }))
}

/// A line for each Rotation.
///
/// # Errors
/// When the stream cannot be written.
pub fn write(standings: &[Standing], out: &mut dyn Write) -> anyhow::Result<()> {
    for standing in standings {
        let phase = standing.record.as_ref().map(|record| record.phase.name().to_string());
        let phase = phase.as_deref().unwrap_or("never ran");
        let line = match &standing.end {
            Ok(End::Proven { revision }) if first_secret(standing) => {
                format!("proven     run {revision}: the first secret works and is published")
            }
            Ok(End::Proven { revision }) => format!("proven     run {revision}: the old secret is dead"),
            Ok(End::Aborted { revision }) => {
                format!("aborted    run {revision}: what was published before it is what works")
            }
            Ok(End::Adopted { .. }) => "adopted    what is published works; no run was made".to_owned(),
            Ok(End::Frozen(freeze)) => format!("{phase:<10} {freeze}; `rotator freeze --lift` ends that"),
            Ok(End::Refused { why, next }) => format!("{phase:<10} NOT DONE: {why}; next: {next}"),
            Ok(End::Nothing) => "idle       nothing is due and nothing is under way".to_owned(),
            Ok(End::Until { at, class: None }) => format!("{phase:<10} goes on at {at:.0}"),
            Ok(End::Until { at, class: Some(class) }) => {
                format!("{phase:<10} {class}; tried again after {at:.0}; the old secret works")
            }
            Ok(End::Held { until }) => format!("{phase:<10} another rotator works on it until {until:.0}"),
            Ok(End::NeedsPerson { why, next }) => {
                format!("{phase:<10} NEEDS A PERSON: {why}; next: {next}")
            }
            Err(why) => format!("FAILED     {why}"),
        };
        writeln!(out, "{}: {line}", standing.name).context("cannot write to standard output")?;
    }
    Ok(())
}
