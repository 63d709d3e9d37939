//! What people order: each order is checked against the journal, written into it, and then the machine goes on.
//!
//! An order takes the journal's lease like every other holder, so that no order meets a rotator in the middle of an
//! effect. One that does not fit the phase is refused with the reason, and changes nothing.

use jiff::Timestamp;
use shared::journal::{Moved, Order, Ordered, Phase, PhaseName, Record};

use crate::rotation::adopt::adopt;
use crate::rotation::begin::{check_age, check_freeze};
use crate::rotation::context::{Clock, Context, World};
use crate::rotation::drive::{End, held, own};
use crate::rotation::reconcile::reconcile;
use crate::rotation::spec::{ATTEMPTS_MAX, Spec};
use crate::rotation::step::{drop_plaintext, reset_tries};

/// More orders than a run ever gets; the oldest go first, but never the one that revoked.
const ORDERS_MAX: usize = 64;

/// Does what was ordered, as far as it is a matter of the journal, and becomes the holder.
pub(super) async fn obey<W: World>(
    context: &Context<W>,
    spec: &Spec,
    loaded: Option<(u64, Record)>,
    order: Order,
    actor: String,
) -> Result<(u64, Record), End> {
    match order {
        Order::Adopt => return adopt(context, spec, loaded, actor).await,
        Order::Reconcile => return reconcile(context, spec, loaded, actor).await,
        Order::Retry | Order::Abort | Order::ForceRevoke { .. } | Order::Release { .. } => {}
    }
    check_age(loaded.as_ref().map(|(_, record)| record), spec)?;
    let Some((version, mut record)) = loaded else {
        return Err(refused(
            "there never was a run",
            format!("`rotator rotate {} --now` starts one", spec.name),
        ));
    };
    let now = context.clock.now();
    held(context, &record, now)?;
    if matches!(order, Order::ForceRevoke { .. }) {
        check_freeze(context, spec).await?;
    }
    write_in(&mut record, spec, Ordered { order, actor, at: now })?;
    own(context, spec, version, record).await
}

pub(super) fn refused(why: impl Into<String>, next: impl Into<String>) -> End {
    End::Refused { why: why.into(), next: next.into() }
}

/// Writes an order into the record, if the phase allows it.
fn write_in(record: &mut Record, spec: &Spec, ordered: Ordered) -> Result<(), End> {
    if record.phase.is_over() {
        return Err(refused(
            format!("no run is under way; the last one is {}", record.phase.name()),
            format!("`rotator rotate {} --now` starts one", spec.name),
        ));
    }
    match &ordered.order {
        Order::Abort => abort(record, spec, ordered.at)?,
        Order::ForceRevoke { .. } => force(record, ordered.at)?,
        Order::Release { consumer } => release(record, spec, consumer, ordered.at)?,
        Order::Retry | Order::Reconcile | Order::Adopt => {}
    }
    go_on(record);
    note(record, ordered);
    Ok(())
}

/// Keeps the order in the journal.
pub(super) fn note(record: &mut Record, ordered: Ordered) {
    record.orders.push(ordered);
    if record.orders.len() > ORDERS_MAX
        && let Some(oldest) = record.orders.iter().position(|o| !matches!(o.order, Order::ForceRevoke { .. }))
    {
        record.orders.remove(oldest);
    }
}

/// The cause is said to be gone: everything that counts failures begins anew.
pub(super) fn go_on(record: &mut Record) {
    record.needs_person = None;
    record.error = None;
    reset_tries(record);
    if let Phase::Staged { pending, .. } = &mut record.phase
        && pending.attempt >= ATTEMPTS_MAX
    {
        // The value that was rejected last is tried once more, and the next ones follow the policy of today.
        pending.attempt = 1;
    }
}

/// Whether the run has made a secret, also one that it no longer holds.
pub(super) fn made_a_secret(record: &Record) -> bool {
    record.reached.contains_key(&PhaseName::Staged)
}

fn abort(record: &mut Record, spec: &Spec, now: Timestamp) -> Result<(), End> {
    let name = &spec.name;
    let forward = |why: &str| {
        Err(refused(
            why,
            format!("`rotator rotate {name} --resume` goes forward, after a repair `rotator retry {name}`"),
        ))
    };
    if matches!(record.phase, Phase::Tested { .. }) && record.current.is_none() {
        return forward("the first secret is about to be published, and there is none to go back to");
    }
    if made_a_secret(record) && matches!(record.phase, Phase::Planned) {
        return forward("its first new secret leaked and may be set; the next one takes its place");
    }
    // The phase is taken out to be moved into its successor; `Planned` stands in for the time of this call.
    match std::mem::replace(&mut record.phase, Phase::Planned) {
        Phase::Planned => {
            drop_plaintext(record);
            record.phase = Phase::Aborted { aborted_at: now };
        }
        Phase::Staged { slot, pending }
        | Phase::Applied { slot, pending }
        | Phase::Tested { slot, pending } => {
            record.phase = Phase::Aborting { slot, pending, fenced_at: None, acted_at: now };
        }
        phase @ Phase::Aborting { .. } => record.phase = phase,
        phase => {
            let why = match phase.name() {
                PhaseName::Published | PhaseName::Spread => {
                    "the new secret is published and consumers use it: to take it away would lock them out"
                }
                _ => "the old secret is revoked: there is nothing to go back to",
            };
            record.phase = phase;
            return forward(why);
        }
    }
    record.reached.insert(record.phase.name(), now);
    Ok(())
}

fn force(record: &mut Record, now: Timestamp) -> Result<(), End> {
    match &mut record.phase {
        Phase::Published { .. } => Ok(()),
        Phase::Spread { grace_until, .. } => {
            *grace_until = now;
            Ok(())
        }
        phase => {
            let why = match phase.name() {
                PhaseName::Revoked => "the old secret is revoked already",
                _ => "the new secret is not published: the old one is the only one that consumers have",
            };
            Err(refused(why, "wait until it is published; `rotator status` says where the run stands"))
        }
    }
}

fn release(record: &mut Record, spec: &Spec, consumer: &str, now: Timestamp) -> Result<(), End> {
    if !spec.external.iter().any(|name| name == consumer) {
        let known = if spec.external.is_empty() { "none".to_owned() } else { spec.external.join(", ") };
        return Err(refused(
            format!("`{consumer}` is not an external consumer of {}", spec.name),
            format!("name one of consumers.external: {known}"),
        ));
    }
    let Phase::Published { kv_version, .. } = &record.phase else {
        return Err(refused(
            format!("in the phase {} no consumer is waited for", record.phase.name()),
            "release it once the new secret is published and it uses that",
        ));
    };
    let version = *kv_version;
    record.spread.entry(consumer.to_owned()).or_insert(Moved { version, at: now });
    Ok(())
}
