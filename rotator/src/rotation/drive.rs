//! Takes the journal's lease, and goes step by step until there is nothing to do now.

use jiff::Timestamp;
use shared::fingerprint::Fingerprint;
use shared::journal::{Current, JOURNAL_VERSION, Phase, PhaseName, Plaintext, Record, Trigger};

use crate::rotation::apply::{StepError, apply};
use crate::rotation::context::{
    Backend, CasError, Clock, Context, Journal, LoadError, Maker, Publication, PublicationError, Published,
    World,
};
use crate::rotation::leak::hurry;
use crate::rotation::plan::{LateWrites, plan};
use crate::rotation::planted::{self, Bug};
use crate::rotation::spec::Spec;
use crate::rotation::step::{Rest, Step, commit, later, need_person, note_failure};

/// What the caller wants.
#[derive(Clone, Debug)]
pub enum Wish {
    /// Go on with a run that rests; start none.
    Resume,
    /// Start a run if none is under way, else go on with that one.
    Start(Trigger),
    /// The same, but start only while this secret is what is published: one value is replaced once, however often
    /// and by however many it is asked for. A run under way is hurried if this secret is one of its two.
    Replace {
        /// Why.
        trigger: Trigger,
        /// The keyed name of the secret that must go.
        current: Fingerprint,
    },
}

/// How a drive ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The last run is finished and proven.
    Proven {
        /// The run.
        revision: u64,
    },
    /// There never was a run.
    Nothing,
    /// Nothing to do before this time.
    Until {
        /// When to come again.
        at: Timestamp,
        /// The class of the failure that is waited for, if it is one.
        class: Option<String>,
    },
    /// Somebody else holds the journal.
    Held {
        /// Until when, as far as is known.
        until: Timestamp,
    },
    /// Only a person can go on.
    NeedsPerson {
        /// What is wrong.
        why: String,
        /// What to do.
        next: String,
    },
}

/// How many journal entries one drive writes at most: a run of `n` endpoints needs `4n + 8`, and every repeated
/// step is bounded. A run that needs more goes on in the next drive.
const COMMITS_MAX: usize = 1024;

/// Drives one Rotation as far as it goes now.
///
/// Guarantees: each effect is planned from a journal that this holder owned less than one lease ago, and its
/// result is written down before the next one. Dropping the future at any point, or killing the process, loses
/// nothing.
pub async fn drive<W: World>(context: &Context<W>, spec: &Spec, wish: Wish) -> End {
    match take(context, spec, wish).await {
        Ok((version, record)) => run(context, spec, version, record).await,
        Err(end) => end,
    }
}

fn until<W: World>(context: &Context<W>, spec: &Spec, class: &str) -> End {
    End::Until { at: later(context.clock.now(), spec.effect_timeout), class: Some(class.to_owned()) }
}

/// Loads the journal, begins a run if one is wished, and becomes the holder.
async fn take<W: World>(context: &Context<W>, spec: &Spec, wish: Wish) -> Result<(u64, Record), End> {
    let loaded = match context.journal.load().await {
        Ok(loaded) => loaded,
        Err(LoadError::NoAnswer(lost)) => return Err(until(context, spec, &lost.class)),
        Err(LoadError::Unusable(error)) => {
            return Err(End::NeedsPerson {
                why: error.to_string(),
                next: format!("put back an earlier version of the journal of {}", spec.name),
            });
        }
    };
    check_age(loaded.as_ref().map(|(_, record)| record), spec)?;
    let now = context.clock.now();
    let late_writes = late_writes(context);
    let start = match wish {
        Wish::Resume => None,
        Wish::Start(trigger) => Some((trigger, None)),
        Wish::Replace { trigger, current } => Some((trigger, Some(current))),
    };
    let (version, mut record) = match (loaded, start) {
        (None, None) => return Err(End::Nothing),
        (None, Some(start)) => (0, begin(context, spec, None, start).await?),
        (Some((version, record)), Some(start)) if matches!(record.phase, Phase::Proven { .. }) => {
            held(context, &record, now)?;
            (version, begin(context, spec, Some(&record), start).await?)
        }
        (Some((version, mut record)), Some((trigger, leaked))) => {
            hurry(&mut record, &trigger, leaked, late_writes, now);
            (version, record)
        }
        (Some(loaded), None) => loaded,
    };
    if let Some(needs) = &record.needs_person {
        return Err(End::NeedsPerson { why: needs.why.clone(), next: needs.next.clone() });
    }
    if matches!(record.phase, Phase::Proven { .. }) {
        return Err(End::Proven { revision: record.revision });
    }
    held(context, &record, now)?;
    if planted::is(Bug::RegenerateOnResume) {
        regenerate(context, spec, &mut record);
    }
    record.epoch += 1;
    record.holder.clone_from(&context.holder);
    record.deadline = later(context.clock.now(), spec.lease);
    let version = store(context, spec, &record, version).await?;
    Ok((version, record))
}

/// The planted bug: see [`Bug::RegenerateOnResume`].
fn regenerate<W: World>(context: &Context<W>, spec: &Spec, record: &mut Record) {
    let (Phase::Staged { pending, .. } | Phase::Applied { pending, .. } | Phase::Tested { pending, .. }) =
        &mut record.phase
    else {
        return;
    };
    if let Ok(secret) = context.maker.make(&spec.policy) {
        pending.fingerprint = context.maker.name(&secret);
        pending.value = Plaintext(secret);
    }
}

fn held<W: World>(context: &Context<W>, record: &Record, now: Timestamp) -> Result<(), End> {
    let alive = || !(context.is_gone)(&record.holder);
    if record.holder != context.holder && now < record.deadline && alive() {
        return Err(End::Held { until: record.deadline });
    }
    Ok(())
}

/// A journal that is missing or behind what the object's status has seen was lost or restored.
fn check_age(record: Option<&Record>, spec: &Spec) -> Result<(), End> {
    let revision = record.map_or(0, |r| r.revision);
    let why = if revision < spec.revision_seen {
        format!(
            "the journal is at revision {revision}, the status has seen {}: its store was restored",
            spec.revision_seen
        )
    } else if record.is_some_and(|r| r.rotation_uid != spec.uid) {
        "the journal belongs to an earlier Rotation of this name".to_owned()
    } else {
        return Ok(());
    };
    Err(End::NeedsPerson {
        why,
        next: format!(
            "`rotator reconcile {}` publishes the journalled value that the server accepts",
            spec.name
        ),
    })
}

/// The first record of a new run.
async fn begin<W: World>(
    context: &Context<W>,
    spec: &Spec,
    last: Option<&Record>,
    (trigger, must_go): (Trigger, Option<Fingerprint>),
) -> Result<Record, End> {
    let published = match context.publication.read().await {
        Ok(published) => published,
        Err(PublicationError::NoAnswer(lost)) => return Err(until(context, spec, &lost.class)),
        Err(PublicationError::Incomplete(property)) => {
            return Err(End::NeedsPerson {
                why: format!("the published path lacks the property `{property}`"),
                next: format!("write it, then `rotator adopt {}`", spec.name),
            });
        }
    };
    let current = published.map(|published| current_of(context, published));
    if must_go.is_some() && current.as_ref().map(|current| current.fingerprint) != must_go {
        return Err(last.map_or(End::Nothing, |last| End::Proven { revision: last.revision }));
    }
    check_current(spec, last, current.as_ref())?;
    let now = context.clock.now();
    Ok(Record {
        version: JOURNAL_VERSION,
        rotation_uid: spec.uid.clone(),
        revision: last.map_or(0, |r| r.revision) + 1,
        epoch: last.map_or(0, |r| r.epoch),
        holder: context.holder.clone(),
        deadline: now,
        started_at: now,
        trigger,
        reached: std::collections::BTreeMap::from([(PhaseName::Planned, now)]),
        current,
        endpoints: std::collections::BTreeMap::new(),
        spread: std::collections::BTreeMap::new(),
        error: None,
        needs_person: None,
        phase: Phase::Planned,
    })
}

fn current_of<W: World>(context: &Context<W>, published: Published) -> Current {
    let fingerprint = context.maker.name(&published.credential.secret);
    Current {
        kv_version: published.version,
        slot: published.credential.account,
        fingerprint,
        value: Some(Plaintext(published.credential.secret)),
    }
}

/// What is published must be ours, and what the last run left there.
fn check_current(spec: &Spec, last: Option<&Record>, current: Option<&Current>) -> Result<(), End> {
    if let Some(current) = current
        && !spec.strategy.owns(&current.slot)
    {
        return Err(End::NeedsPerson {
            why: format!("the published account `{}` is not one of this Rotation", current.slot),
            next: format!("name it in the strategy of {}, or publish to another key", spec.name),
        });
    }
    if let Some(Record { phase: Phase::Proven { fingerprint, .. }, .. }) = last
        && current.map(|c| c.fingerprint) != Some(*fingerprint)
    {
        return Err(End::NeedsPerson {
            why: "the published path no longer holds what the last run left there".into(),
            next: format!("`rotator adopt {}` tests what is there and takes it over", spec.name),
        });
    }
    Ok(())
}

async fn store<W: World>(
    context: &Context<W>,
    spec: &Spec,
    record: &Record,
    version: u64,
) -> Result<u64, End> {
    match context.journal.store(record, version).await {
        Ok(version) => Ok(version),
        Err(CasError::Conflict(_)) => Err(End::Held { until: later(context.clock.now(), spec.lease) }),
        // Whether it was written is not known: what is in memory is worth nothing, the next drive loads again.
        Err(CasError::NoAnswer(lost)) => Err(until(context, spec, &lost.class)),
    }
}

fn late_writes<W: World>(context: &Context<W>) -> LateWrites {
    if context.backend.locks() { LateWrites::Refused } else { LateWrites::Possible }
}

async fn run<W: World>(context: &Context<W>, spec: &Spec, mut version: u64, mut record: Record) -> End {
    let late_writes = late_writes(context);
    for _ in 0..COMMITS_MAX {
        let step = plan(&record, spec, late_writes, context.clock.now());
        let rest = match step {
            Step::Rest(rest) => Some((rest, None)),
            step => match one(context, spec, &step, &mut record).await {
                Ok(Go::On) => None,
                Ok(Go::Rest(at, class)) => Some((Rest::Until(at), class)),
                Err(end) => return end,
            },
        };
        let now = context.clock.now();
        // Resting gives the journal back, so that whoever comes next need not wait for the lease.
        record.deadline = if rest.is_some() { now } else { later(now, spec.lease) };
        version = match store(context, spec, &record, version).await {
            Ok(version) => version,
            Err(end) => return end,
        };
        match rest {
            None => {}
            Some((Rest::Done, _)) => return End::Proven { revision: record.revision },
            Some((Rest::Until(at), class)) => return End::Until { at, class },
            Some((Rest::NeedsPerson, _)) => {
                let needs = record.needs_person.as_ref();
                return End::NeedsPerson {
                    why: needs.map(|n| n.why.clone()).unwrap_or_default(),
                    next: needs.map(|n| n.next.clone()).unwrap_or_default(),
                };
            }
        }
    }
    until(context, spec, "long run")
}

enum Go {
    On,
    Rest(Timestamp, Option<String>),
}

/// One step, bounded in time, written into the record in memory.
async fn one<W: World>(
    context: &Context<W>,
    spec: &Spec,
    step: &Step,
    record: &mut Record,
) -> Result<Go, End> {
    // A step is a few calls; each of them has the effect's timeout, all together half of the lease.
    let done = context.clock.within(spec.lease / 2, apply(step, record, spec, context)).await;
    let now = context.clock.now();
    let retry_at = later(now, spec.effect_timeout);
    match done {
        Some(Ok(change)) => {
            let observing = matches!(step, Step::Observe);
            let before = record.phase.name();
            if let Err(illegal) = commit(record, change, spec, now) {
                need_person(
                    record,
                    illegal.to_string(),
                    format!("report this, then `rotator retry {}`", spec.name),
                    now,
                );
            }
            // Consumers need time: asking again at once would only be load.
            Ok(if observing && record.phase.name() == before { Go::Rest(retry_at, None) } else { Go::On })
        }
        Some(Err(StepError::LeaseEnds)) => Ok(Go::On),
        Some(Err(StepError::NoAnswer(lost))) => {
            tracing::warn!(rotation = %spec.name, ?step, what = %lost.what, class = %lost.class, "no answer");
            note_failure(record, &lost.class, now);
            Ok(Go::Rest(retry_at, Some(lost.class)))
        }
        Some(Err(StepError::NeedsPerson { why, next })) => {
            need_person(record, why, next, now);
            Ok(Go::On)
        }
        Some(Err(error @ StepError::WrongPhase(_))) => {
            need_person(
                record,
                error.to_string(),
                format!("report this, then `rotator retry {}`", spec.name),
                now,
            );
            Ok(Go::On)
        }
        None => {
            note_failure(record, "timeout", now);
            Ok(Go::Rest(retry_at, Some("timeout".to_owned())))
        }
    }
}
