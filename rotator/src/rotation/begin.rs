//! The first record of a run, and what must be true before there is one.

use std::collections::BTreeMap;

use shared::fingerprint::Fingerprint;
use shared::journal::{Current, JOURNAL_VERSION, Phase, PhaseName, Plaintext, Record, Trigger};

use crate::rotation::context::{
    Clock, Context, Journal, Maker, Publication, PublicationError, Published, World,
};
use crate::rotation::drive::{End, over, until};
use crate::rotation::spec::Spec;

/// A journal that is missing or behind what the object's status has seen was lost or restored.
pub(super) fn check_age(record: Option<&Record>, spec: &Spec) -> Result<(), End> {
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

/// Ends the drive while a person has frozen everything.
pub(super) async fn check_freeze<W: World>(context: &Context<W>, spec: &Spec) -> Result<(), End> {
    match context.journal.frozen().await {
        Ok(None) => Ok(()),
        Ok(Some(freeze)) => Err(End::Frozen(freeze)),
        Err(lost) => Err(until(context, spec, &lost.class)),
    }
}

/// What is published now.
pub(super) async fn published<W: World>(context: &Context<W>, spec: &Spec) -> Result<Option<Published>, End> {
    match context.publication.read().await {
        Ok(published) => Ok(published),
        Err(PublicationError::NoAnswer(lost)) => Err(until(context, spec, &lost.class)),
        Err(PublicationError::Incomplete(property)) => Err(End::NeedsPerson {
            why: format!("the published path lacks the property `{property}`"),
            next: format!("write it, then `rotator adopt {}`", spec.name),
        }),
    }
}

/// The first record of a new run.
pub(super) async fn begin<W: World>(
    context: &Context<W>,
    spec: &Spec,
    last: Option<&Record>,
    (trigger, must_go): (Trigger, Option<Fingerprint>),
) -> Result<Record, End> {
    let current = published(context, spec).await?.map(|published| current_of(context, last, published));
    if must_go.is_some() && current.as_ref().map(|current| current.fingerprint) != must_go {
        return Err(last.map_or(End::Nothing, over));
    }
    check_current(spec, last, current.as_ref())?;
    check_freeze(context, spec).await?;
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
        reached: BTreeMap::from([(PhaseName::Planned, now)]),
        current,
        endpoints: BTreeMap::new(),
        discarded: Vec::new(),
        spread: BTreeMap::new(),
        error: None,
        needs_person: None,
        orders: Vec::new(),
        phase: Phase::Planned,
    })
}

fn current_of<W: World>(context: &Context<W>, last: Option<&Record>, published: Published) -> Current {
    let fingerprint = context.maker.name(&published.credential.secret);
    Current {
        kv_version: published.version,
        slot: published.credential.account,
        fingerprint,
        since: last.and_then(Record::published_at),
        value: Some(Plaintext(published.credential.secret)),
    }
}

/// The keyed name of what a finished run left published, where it left anything, and in which version.
pub(super) fn left_behind(last: &Record) -> Option<(Fingerprint, u64)> {
    match &last.phase {
        Phase::Proven { fingerprint, kv_version, .. } | Phase::Adopted { fingerprint, kv_version, .. } => {
            Some((*fingerprint, *kv_version))
        }
        Phase::Aborted { .. } => {
            last.current.as_ref().map(|current| (current.fingerprint, current.kv_version))
        }
        Phase::Planned
        | Phase::Staged { .. }
        | Phase::Applied { .. }
        | Phase::Tested { .. }
        | Phase::Published { .. }
        | Phase::Spread { .. }
        | Phase::Revoked { .. }
        | Phase::Aborting { .. } => None,
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
    if let Some(last) = last
        && current.map(|c| c.fingerprint) != left_behind(last).map(|(fingerprint, _)| fingerprint)
    {
        return Err(End::NeedsPerson {
            why: "the published path no longer holds what the last run left there".into(),
            next: format!(
                "`rotator reconcile {name}` puts back what works, `rotator adopt {name}` takes over what is there",
                name = spec.name
            ),
        });
    }
    Ok(())
}
