//! Journal and world disagree: a store was restored, a path was changed by hand.
//!
//! Nothing is generated here and no server is changed. What is published is made a value that the server accepts,
//! if the journal has one, and the journal is made to say what is true; or a person is told what is missing.

use jiff::Timestamp;
use shared::journal::{Order, Ordered, Phase, PhaseName, Record};

use crate::rotation::adopt::{Looking, Works};
use crate::rotation::begin::published;
use crate::rotation::context::{Clock, Context, Credential, Published, World};
use crate::rotation::drive::{End, held, over, own};
use crate::rotation::order::{go_on, made_a_secret, note};
use crate::rotation::spec::Spec;
use crate::rotation::step::{drop_plaintext, later, need_person};

/// Publishes the journalled value that the server accepts, and makes the journal true again.
pub(super) async fn reconcile<W: World>(
    context: &Context<W>,
    spec: &Spec,
    loaded: Option<(u64, Record)>,
    actor: String,
) -> Result<(u64, Record), End> {
    let looking = Looking { context, spec };
    let ordered = Ordered { order: Order::Reconcile, actor, at: context.clock.now() };
    let Some((version, mut record)) = loaded else {
        let published = looking.tried().await?;
        return own(context, spec, 0, looking.settled(None, &published, ordered)).await;
    };
    held(context, &record, ordered.at)?;
    if matches!(record.phase, Phase::Planned) && !made_a_secret(&record) {
        // Nothing was made yet: the run is given up, and what is there is looked at.
        drop_plaintext(&mut record);
        record.phase = Phase::Aborted { aborted_at: ordered.at };
    }
    let current = record.rotation_uid == spec.uid
        && record.revision >= spec.revision_seen
        && record.needs_person.is_none();
    record.rotation_uid.clone_from(&spec.uid);
    record.revision = record.revision.max(spec.revision_seen);
    if record.phase.is_over() {
        return after_a_run(&looking, version, record, ordered, current).await;
    }
    go_on(&mut record);
    note(&mut record, ordered);
    let (version, mut record) = own(context, spec, version, record).await?;
    in_a_run(&looking, &mut record).await?;
    Ok((version, record))
}

/// No run is under way: what the last one left, wherever it lies, or what is published now.
async fn after_a_run<W: World>(
    looking: &Looking<'_, W>,
    version: u64,
    record: Record,
    ordered: Ordered,
    current: bool,
) -> Result<(u64, Record), End> {
    let (context, spec) = (looking.context, looking.spec);
    let (left, now_there) = (looking.left(&record).await?, published(context, spec).await?);
    let same = |left: &Published, there: &Published| {
        left.credential.account == there.credential.account
            && left.credential.secret.same_as(&there.credential.secret)
    };
    if let Some(left) = &left
        && now_there.as_ref().is_none_or(|there| !same(left, there))
        && looking.works(&left.credential.account, &left.credential.secret).await? == Works::Everywhere
    {
        // The journal is taken first: whoever else works here stops before the path changes.
        let (version, mut record) = own(context, spec, version, record).await?;
        let over_version = now_there.map_or(0, |there| there.version);
        let kv_version = looking.publish(&left.credential, over_version, record.deadline).await?;
        let left = Published {
            version: kv_version,
            credential: Credential {
                account: left.credential.account.clone(),
                secret: left.credential.secret.duplicate(),
            },
        };
        record = looking.settled(Some(record), &left, ordered);
        record.deadline = later(context.clock.now(), spec.lease);
        return Ok((version, record));
    }
    let published = looking.tried().await?;
    if current && left.is_some_and(|left| same(&left, &published)) {
        // Journal, path and server agree.
        return Err(over(&record));
    }
    own(context, spec, version, looking.settled(Some(record), &published, ordered)).await
}

/// A run is under way: its new secret where that works and may be published, else the one from before.
async fn in_a_run<W: World>(looking: &Looking<'_, W>, record: &mut Record) -> Result<(), End> {
    let (context, spec) = (looking.context, looking.spec);
    let there = published(context, spec).await?;
    let Some((slot, pending)) = record.phase.pending() else { return Ok(()) };
    let pending = Credential { account: slot.to_owned(), secret: pending.value.0.duplicate() };
    let old = record.current.as_ref().and_then(|current| {
        let secret = current.value.as_ref()?.0.duplicate();
        Some(Credential { account: current.slot.clone(), secret })
    });
    let is = |credential: &Credential| {
        there.as_ref().is_some_and(|t| {
            t.credential.account == credential.account && t.credential.secret.same_as(&credential.secret)
        })
    };
    let new_works = looking.works(&pending.account, &pending.secret).await?;
    let old_works = match &old {
        Some(old) => looking.works(&old.account, &old.secret).await?,
        None => Works::Nowhere,
    };
    let over = there.as_ref().map_or(0, |t| t.version);
    let was_tested = record.reached.contains_key(&PhaseName::Tested);
    let aborting = matches!(record.phase, Phase::Aborting { .. });
    let is_out =
        matches!(record.phase, Phase::Published { .. } | Phase::Spread { .. } | Phase::Revoked { .. });
    if new_works == Works::Everywhere && was_tested && !aborting && (is_out || old_works != Works::Everywhere)
    {
        let at = if is(&pending) { over } else { looking.publish(&pending, over, record.deadline).await? };
        forward(record, at, context.clock.now());
        return Ok(());
    }
    if let Some(there) = &there
        && !is_out
        && there.credential.account == pending.account
        && !is(&pending)
        && !old.as_ref().is_some_and(is)
        && looking.works(&there.credential.account, &there.credential.secret).await? == Works::Everywhere
    {
        // To go on would overwrite at the server what a person published.
        let name = &spec.name;
        need_person(
            record,
            format!("a person published another secret of {}, and it works", pending.account),
            format!("`rotator abort {name}` ends the run, then `rotator adopt {name}`"),
            context.clock.now(),
        );
        return Ok(());
    }
    if !is_out && !aborting && new_works == Works::Everywhere && old.as_ref().is_some_and(is) {
        // The old one died too early; the new one is tried and published as in every run.
        return Ok(());
    }
    if let Some(old) = old.filter(|_| old_works == Works::Everywhere) {
        if !is(&old) {
            let at = looking.publish(&old, over, record.deadline).await?;
            if let Some(current) = &mut record.current {
                current.kv_version = at;
            }
        }
        if is_out {
            // A server was restored from before this run: it is set and tried once more, with the same secret.
            restart(record);
        }
        return Ok(());
    }
    let nothing_out = !is_out && there.is_none() && record.current.is_none();
    if nothing_out || (!is_out && is(&pending)) {
        return Ok(());
    }
    let why = match (&new_works, &old_works) {
        (Works::NotAt(endpoint), _) => format!("{endpoint} refuses the new secret, and others accept it"),
        (_, Works::NotAt(endpoint)) => format!("{endpoint} refuses the old secret, and others accept it"),
        _ => "no endpoint accepts a secret of the journal".to_owned(),
    };
    let next =
        format!("set and publish a password by hand at every endpoint, then `rotator adopt {}`", spec.name);
    need_person(record, why, next, context.clock.now());
    Ok(())
}

/// The new secret is published in this version: consumers move to it, if the old one still lives.
fn forward(record: &mut Record, version: u64, now: Timestamp) {
    let started = record.endpoints.values().any(|progress| progress.revoked.is_some());
    record.phase = match std::mem::replace(&mut record.phase, Phase::Planned) {
        Phase::Revoked { slot, pending, revoked_at, .. } => {
            Phase::Revoked { slot, pending, kv_version: version, revoked_at }
        }
        Phase::Spread { slot, pending, spread_at, grace_until, .. } if started => {
            Phase::Spread { slot, pending, kv_version: version, spread_at, grace_until }
        }
        Phase::Published { slot, pending, kv_version, published_at } if kv_version == version => {
            Phase::Published { slot, pending, kv_version, published_at }
        }
        Phase::Spread { slot, pending, kv_version, spread_at, grace_until } if kv_version == version => {
            Phase::Spread { slot, pending, kv_version, spread_at, grace_until }
        }
        Phase::Tested { slot, pending }
        | Phase::Staged { slot, pending }
        | Phase::Applied { slot, pending }
        | Phase::Published { slot, pending, .. }
        | Phase::Spread { slot, pending, .. } => {
            record.spread.clear();
            Phase::Published { slot, pending, kv_version: version, published_at: now }
        }
        phase @ (Phase::Planned
        | Phase::Proven { .. }
        | Phase::Aborting { .. }
        | Phase::Aborted { .. }
        | Phase::Adopted { .. }) => phase,
    };
    record.reached.entry(record.phase.name()).or_insert(now);
}

/// Back to where the secret is written down and nowhere set.
fn restart(record: &mut Record) {
    let phase = std::mem::replace(&mut record.phase, Phase::Planned);
    record.phase = match phase {
        Phase::Published { slot, pending, .. }
        | Phase::Spread { slot, pending, .. }
        | Phase::Revoked { slot, pending, .. } => {
            record.endpoints.clear();
            record.spread.clear();
            record.reached.retain(|phase, _| *phase <= PhaseName::Staged);
            Phase::Staged { slot, pending }
        }
        phase => phase,
    };
}
