//! Takes the journal's lease, and goes step by step until there is nothing to do now.

use jiff::Timestamp;
use shared::fingerprint::Fingerprint;
use shared::journal::{Order, Phase, Plaintext, Record, Trigger};

use crate::rotation::apply::{StepError, apply};
use crate::rotation::begin::{begin, check_age, check_freeze};
use crate::rotation::context::{Backend, CasError, Clock, Context, Freeze, Journal, LoadError, Maker, World};
use crate::rotation::leak::hurry;
use crate::rotation::order::obey;
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
    /// Do what a person ordered, then go on.
    Order {
        /// What.
        order: Order,
        /// Who.
        actor: String,
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
    /// The last run was ended by a person; what was published before it still is.
    Aborted {
        /// The run.
        revision: u64,
    },
    /// What is published was tried and taken over.
    Adopted {
        /// The entry in the journal.
        revision: u64,
    },
    /// There never was a run.
    Nothing,
    /// A person has frozen everything: nothing starts, and nothing is revoked.
    Frozen(Freeze),
    /// The order cannot be followed here; nothing was changed.
    Refused {
        /// Why.
        why: String,
        /// What to do instead.
        next: String,
    },
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

/// How a run that is not under way ended.
pub(super) fn over(record: &Record) -> End {
    let revision = record.revision;
    match &record.phase {
        Phase::Aborted { .. } => End::Aborted { revision },
        Phase::Adopted { .. } => End::Adopted { revision },
        _ => End::Proven { revision },
    }
}

pub(super) fn until<W: World>(context: &Context<W>, spec: &Spec, class: &str) -> End {
    End::Until { at: later(context.clock.now(), spec.effect_timeout), class: Some(class.to_owned()) }
}

/// Loads the journal, begins a run if one is wished, and becomes the holder.
async fn take<W: World>(context: &Context<W>, spec: &Spec, wish: Wish) -> Result<(u64, Record), End> {
    let loaded = load(context, spec).await?;
    let late_writes = late_writes(context);
    let start = match wish {
        Wish::Resume => None,
        Wish::Start(trigger) => Some((trigger, None)),
        Wish::Replace { trigger, current } => Some((trigger, Some(current))),
        Wish::Order { order, actor } => return obey(context, spec, loaded, order, actor).await,
    };
    check_age(loaded.as_ref().map(|(_, record)| record), spec)?;
    let now = context.clock.now();
    let (version, mut record) = match (loaded, start) {
        (None, None) => return Err(End::Nothing),
        (None, Some(start)) => (0, begin(context, spec, None, start).await?),
        (Some((version, record)), Some(start)) if record.phase.is_over() => {
            held(context, &record, now)?;
            match begin(context, spec, Some(&record), start).await {
                Ok(begun) => (version, begun),
                Err(End::NeedsPerson { why, next }) => {
                    return Err(tell(context, spec, (version, record), why, next).await);
                }
                Err(end) => return Err(end),
            }
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
    if record.phase.is_over() {
        return Err(over(&record));
    }
    held(context, &record, now)?;
    if planted::is(Bug::RegenerateOnResume) {
        regenerate(context, spec, &mut record);
    }
    own(context, spec, version, record).await
}

/// No run could begin: the journal says so to whoever reads it later.
async fn tell<W: World>(
    context: &Context<W>,
    spec: &Spec,
    (version, mut record): (u64, Record),
    why: String,
    next: String,
) -> End {
    let told = record.needs_person.as_ref().is_some_and(|told| told.why == why && told.next == next);
    if !told {
        let now = context.clock.now();
        need_person(&mut record, why.clone(), next.clone(), now);
        record.epoch += 1;
        record.holder.clone_from(&context.holder);
        record.deadline = now;
        if let Err(end) = store(context, spec, &record, version).await {
            return end;
        }
    }
    End::NeedsPerson { why, next }
}

/// The journal, as it is.
async fn load<W: World>(context: &Context<W>, spec: &Spec) -> Result<Option<(u64, Record)>, End> {
    match context.journal.load().await {
        Ok(loaded) => Ok(loaded),
        Err(LoadError::NoAnswer(lost)) => Err(until(context, spec, &lost.class)),
        Err(LoadError::Unusable(error)) => Err(End::NeedsPerson {
            why: error.to_string(),
            next: format!("put back an earlier version of the journal of {}", spec.name),
        }),
    }
}

/// Becomes the holder, under a new epoch.
pub(super) async fn own<W: World>(
    context: &Context<W>,
    spec: &Spec,
    version: u64,
    mut record: Record,
) -> Result<(u64, Record), End> {
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

pub(super) fn held<W: World>(context: &Context<W>, record: &Record, now: Timestamp) -> Result<(), End> {
    let alive = || !(context.is_gone)(&record.holder);
    if record.holder != context.holder && now < record.deadline && alive() {
        return Err(End::Held { until: record.deadline });
    }
    Ok(())
}

pub(super) async fn store<W: World>(
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
        let end = match plan(&record, spec, late_writes, context.clock.now()) {
            Step::Rest(rest) => Some(resting(&rest, &record)),
            step => match one(context, spec, &step, &mut record).await {
                Go::On => None,
                Go::Rest(end) => Some(end),
            },
        };
        let now = context.clock.now();
        // Resting gives the journal back, so that whoever comes next need not wait for the lease.
        record.deadline = if end.is_some() { now } else { later(now, spec.lease) };
        version = match store(context, spec, &record, version).await {
            Ok(version) => version,
            Err(end) => return end,
        };
        if let Some(end) = end {
            return end;
        }
    }
    until(context, spec, "long run")
}

fn resting(rest: &Rest, record: &Record) -> End {
    match rest {
        Rest::Done => over(record),
        Rest::Until(at) => End::Until { at: *at, class: None },
        Rest::NeedsPerson => {
            let needs = record.needs_person.as_ref();
            End::NeedsPerson {
                why: needs.map(|n| n.why.clone()).unwrap_or_default(),
                next: needs.map(|n| n.next.clone()).unwrap_or_default(),
            }
        }
    }
}

enum Go {
    On,
    Rest(End),
}

/// One step, bounded in time, written into the record in memory.
async fn one<W: World>(context: &Context<W>, spec: &Spec, step: &Step, record: &mut Record) -> Go {
    if matches!(step, Step::Revoke(_) | Step::Prove(_))
        && let Err(end) = check_freeze(context, spec).await
    {
        return Go::Rest(end);
    }
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
            if observing && record.phase.name() == before {
                Go::Rest(End::Until { at: retry_at, class: None })
            } else {
                Go::On
            }
        }
        Some(Err(StepError::LeaseEnds)) => Go::On,
        Some(Err(StepError::NoAnswer(lost))) => {
            tracing::warn!(rotation = %spec.name, ?step, what = %lost.what, class = %lost.class, "no answer");
            note_failure(record, &lost.class, now);
            Go::Rest(End::Until { at: retry_at, class: Some(lost.class) })
        }
        Some(Err(StepError::NeedsPerson { why, next })) => {
            need_person(record, why, next, now);
            Go::On
        }
        Some(Err(error @ StepError::WrongPhase(_))) => {
            need_person(
                record,
                error.to_string(),
                format!("report this, then `rotator retry {}`", spec.name),
                now,
            );
            Go::On
        }
        None => {
            note_failure(record, "timeout", now);
            Go::Rest(End::Until { at: retry_at, class: Some("timeout".to_owned()) })
        }
    }
}
