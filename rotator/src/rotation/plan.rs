//! What comes next, from the journal alone. Pure: no clock, no server.

use jiff::Timestamp;
use shared::journal::{Phase, Progress, Record};

use crate::rotation::spec::Spec;
use crate::rotation::step::{Rest, Step, later};

/// Whether the target refuses effects of a holder whose lease is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LateWrites {
    /// It does.
    Refused,
    /// It cannot: the proof waits for one lease.
    Possible,
}

/// The next step of the run in `record`.
pub fn plan(record: &Record, spec: &Spec, late_writes: LateWrites, now: Timestamp) -> Step {
    if record.needs_person.is_some() {
        return Step::Rest(Rest::NeedsPerson);
    }
    match &record.phase {
        Phase::Planned => Step::Stage,
        Phase::Staged { .. } => {
            next(record, spec, true, |p| p.applied.is_some()).map_or(Step::Rest(Rest::Done), Step::Apply)
        }
        Phase::Applied { pending, .. } => {
            // A write of the secret before this one that arrives after the test would undo what was tested.
            if pending.successor && late_writes == LateWrites::Possible {
                let applied = record.endpoints.values().filter_map(|progress| progress.applied).max();
                let from = applied.map_or(now, |applied| later(applied, spec.lease));
                if now < from {
                    return Step::Rest(Rest::Until(from));
                }
            }
            next(record, spec, false, |p| p.tested.is_some()).map_or(Step::Rest(Rest::Done), Step::Test)
        }
        Phase::Tested { .. } => Step::Publish,
        Phase::Published { .. } => Step::Observe,
        Phase::Spread { grace_until, .. } => {
            if now < *grace_until {
                return Step::Rest(Rest::Until(*grace_until));
            }
            next(record, spec, true, |p| p.revoked.is_some()).map_or(Step::Rest(Rest::Done), Step::Revoke)
        }
        Phase::Revoked { revoked_at, .. } => {
            let from = match late_writes {
                LateWrites::Refused => *revoked_at,
                LateWrites::Possible => later(*revoked_at, spec.lease),
            };
            if now < from {
                return Step::Rest(Rest::Until(from));
            }
            first(record, spec, false, |p| p.proven.as_ref().is_some_and(|proof| proof.at >= from))
                .map_or(Step::Conclude, Step::Prove)
        }
        Phase::Aborting { fenced_at: None, .. } => Step::Fence,
        Phase::Aborting { fenced_at: Some(_), acted_at, .. } => {
            if let Some(endpoint) = first(record, spec, true, |p| p.withdrawn.is_some()) {
                return Step::Withdraw(endpoint);
            }
            // Where nothing is known of what the account accepted before, late writes are waited for too: what
            // did not have the new secret was left as it is.
            let from = match (late_writes, &record.current) {
                (LateWrites::Refused, Some(_)) => *acted_at,
                (LateWrites::Possible, _) | (LateWrites::Refused, None) => later(*acted_at, spec.lease),
            };
            if now < from {
                return Step::Rest(Rest::Until(from));
            }
            first(record, spec, false, |p| p.gone.is_some_and(|at| at >= from))
                .map_or(Step::Close, Step::Look)
        }
        Phase::Proven { .. } | Phase::Aborted { .. } | Phase::Adopted { .. } => Step::Rest(Rest::Done),
    }
}

/// The first endpoint where something is not done yet. Where all is done and the phase still stands, the manifest
/// lost an endpoint in the middle of the run: the last one is asked again, which completes the phase.
fn next(
    record: &Record,
    spec: &Spec,
    writable_only: bool,
    done: impl Fn(&Progress) -> bool,
) -> Option<String> {
    first(record, spec, writable_only, done)
        .or_else(|| spec.endpoints.iter().rfind(|e| !(writable_only && e.read_only)).map(|e| e.name.clone()))
}

/// The first endpoint, in the manifest's order, where something is not done yet.
fn first(
    record: &Record,
    spec: &Spec,
    writable_only: bool,
    done: impl Fn(&Progress) -> bool,
) -> Option<String> {
    spec.endpoints
        .iter()
        .filter(|e| !(writable_only && e.read_only))
        .find(|e| !record.endpoints.get(&e.name).is_some_and(&done))
        .map(|e| e.name.clone())
}
