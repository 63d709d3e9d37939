//! What a leak changes in a run that is already under way. Pure.
//!
//! A leak of the outgoing secret hurries the run: its consumers have until the leak's deadline, and no grace follows.
//! A leak of the new secret before it is published has another one made in its place. Once it may be published it is
//! what consumers read: the run is hurried too, and the next one replaces it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shared::fingerprint::Fingerprint;
use shared::journal::{Phase, Record, Trigger};

use crate::rotation::plan::LateWrites;
use crate::rotation::step::discard;

/// Changes `record` as the leak of a secret asks; `leaked` is `None` where nobody said which one, which is then the
/// outgoing one.
pub fn hurry(
    record: &mut Record,
    trigger: &Trigger,
    leaked: Option<Fingerprint>,
    late_writes: LateWrites,
    now: Timestamp,
) {
    let Trigger::Leak { .. } = trigger else { return };
    let is_outgoing = leaked.is_none() || leaked == record.current.as_ref().map(|old| old.fingerprint);
    let is_pending = leaked.is_some() && leaked == record.phase.pending().map(|(_, new)| new.fingerprint);
    if !is_outgoing && !is_pending {
        return;
    }
    if let Phase::Spread { grace_until, .. } = &mut record.phase {
        *grace_until = now.min(*grace_until);
    }
    // A write of the leaked value that arrives late would undo what replaces it; where such a write is possible the
    // run goes on instead. From `Tested` on the same holds for the write that publishes it.
    let can_be_replaced = matches!(record.phase, Phase::Staged { .. } | Phase::Applied { .. });
    if is_pending && can_be_replaced && late_writes == LateWrites::Refused {
        let replaced = std::mem::replace(&mut record.phase, Phase::Planned);
        discard(record, replaced);
        record.endpoints = BTreeMap::new();
    }
    // A run that a person or the calendar began is one that a leak hurries from here on; the first leak stays named.
    if !matches!(record.trigger, Trigger::Leak { .. }) {
        record.trigger = trigger.clone();
    }
}

#[cfg(test)]
mod tests;
