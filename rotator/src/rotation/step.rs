//! Steps, what they change, and which change a phase allows.

use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::journal::{Failure, Moved, NeedsPerson, Pending, Phase, PhaseName, Proof, Record, Trigger};

use crate::rotation::planted::{self, Bug};
use crate::rotation::spec::{Endpoint, Spec};

/// What to do next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// Make a secret and write it down.
    Stage,
    /// Set the pending secret at an endpoint.
    Apply(String),
    /// Try the pending secret, and a random one, at an endpoint.
    Test(String),
    /// Write the new credential to the path that consumers read.
    Publish,
    /// Ask the consumers whether they have moved.
    Observe,
    /// Take the old secret away at an endpoint.
    Revoke(String),
    /// Show at an endpoint that the old secret is refused.
    Prove(String),
    /// Issue the receipt and drop the plaintext.
    Conclude,
    /// In a run that is aborted: make a late write of the new credential to the published path impossible.
    Fence,
    /// In a run that is aborted: take the new secret away again at an endpoint.
    Withdraw(String),
    /// In a run that is aborted: see at an endpoint that the new secret is refused.
    Look(String),
    /// In a run that is aborted: drop the plaintext.
    Close,
    /// Nothing now.
    Rest(Rest),
}

/// Why there is nothing to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// The run is finished.
    Done,
    /// Go on at this time.
    Until(Timestamp),
    /// Only a person can go on; the record says why and how.
    NeedsPerson,
}

/// What one step found or did; written to the journal before the next step.
#[derive(Debug)]
pub enum Change {
    /// A secret was made: the first, or another after a rejected one.
    Staged {
        /// The account that gets it.
        slot: String,
        /// The secret.
        pending: Pending,
    },
    /// An endpoint has the pending secret.
    Applied(String),
    /// An endpoint accepts the pending secret and refuses a random one.
    Tested(String),
    /// An endpoint answered against what was done there: do it again.
    Contradicted(String),
    /// The path that consumers read has the new credential in this version.
    Published(u64),
    /// What the consumers said.
    Observed {
        /// Those that have moved.
        moved: Vec<String>,
        /// Whether the old secret may go: all have moved, or a leak's deadline says so.
        release: Release,
    },
    /// Old sessions live: the old secret stays until then.
    GraceExtended(Timestamp),
    /// An endpoint no longer has the old secret.
    Revoked(String),
    /// An endpoint was seen to refuse the old secret.
    Proven(String, Proof),
    /// The receipt is issued; the id is absent where there was no old secret.
    Concluded(Option<String>),
    /// No late write can publish the new secret any more; the published path is at this version now, if it was
    /// written again.
    Fenced(Option<u64>),
    /// The new secret had been published before it could be fenced off: the run goes forward.
    PublishedAfterAll(u64),
    /// The new secret was taken away at an endpoint.
    Withdrawn(String),
    /// An endpoint was seen to refuse the new secret.
    Gone(String),
    /// The run was ended by a person.
    Closed,
}

/// Whether the old secret may be revoked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Release {
    /// Some consumers still move.
    NotYet,
    /// All have moved: after the grace.
    AllMoved,
    /// The deadline of a leak has come, and its policy says to revoke: now.
    LeakDeadline,
    /// A person said so: now.
    Forced,
}

/// A change that the phase does not allow: an error of this program or a journal edited by hand.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{change} does not follow {phase}")]
pub struct IllegalStep {
    /// The phase.
    pub phase: PhaseName,
    /// The change.
    pub change: &'static str,
}

impl Change {
    fn word(&self) -> &'static str {
        match self {
            Self::Staged { .. } => "staging",
            Self::Applied(_) => "setting",
            Self::Tested(_) => "testing",
            Self::Contradicted(_) => "repeating",
            Self::Published(_) => "publishing",
            Self::Observed { .. } => "observing",
            Self::GraceExtended(_) => "waiting for sessions",
            Self::Revoked(_) => "revoking",
            Self::Proven(..) => "proving",
            Self::Concluded(_) => "concluding",
            Self::Fenced(_) => "fencing",
            Self::PublishedAfterAll(_) => "going forward",
            Self::Withdrawn(_) => "withdrawing",
            Self::Gone(_) => "looking",
            Self::Closed => "closing",
        }
    }
}

/// Writes a change into the record, and goes to the next phase when this one's work is complete.
///
/// # Errors
/// When the phase does not allow the change; the record is then unchanged but for its cleared error.
pub fn commit(record: &mut Record, change: Change, spec: &Spec, now: Timestamp) -> Result<(), IllegalStep> {
    let illegal = IllegalStep { phase: record.phase.name(), change: change.word() };
    record.error = None;
    // The phase is taken out to be moved into its successor; `Planned` stands in for the time of this call.
    let phase = std::mem::replace(&mut record.phase, Phase::Planned);
    record.phase = match (phase, change) {
        (replaced @ (Phase::Planned | Phase::Staged { .. }), Change::Staged { slot, pending }) => {
            discard(record, replaced);
            // Another secret: what endpoints had of the one before does not count.
            record.endpoints = BTreeMap::new();
            Phase::Staged { slot, pending }
        }
        (Phase::Staged { slot, pending }, Change::Applied(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().applied = Some(now);
            if planted::is(Bug::PublishBeforeTest) {
                Phase::Tested { slot, pending }
            } else if writable(spec).all(|e| progress(record, e, |p| p.applied.is_some())) {
                Phase::Applied { slot, pending }
            } else {
                Phase::Staged { slot, pending }
            }
        }
        (Phase::Applied { slot, pending }, Change::Tested(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().tested = Some(now);
            if spec.endpoints.iter().all(|e| progress(record, e, |p| p.tested.is_some())) {
                reset_tries(record);
                Phase::Tested { slot, pending }
            } else {
                Phase::Applied { slot, pending }
            }
        }
        (Phase::Applied { slot, pending }, Change::Contradicted(endpoint)) => {
            let writable = writable(spec).any(|e| e.name == endpoint);
            let progress = record.endpoints.entry(endpoint).or_default();
            progress.tries += 1;
            if writable {
                progress.applied = None;
                Phase::Staged { slot, pending }
            } else {
                Phase::Applied { slot, pending }
            }
        }
        (Phase::Tested { slot, pending }, Change::Published(kv_version)) => {
            Phase::Published { slot, pending, kv_version, published_at: now }
        }
        (
            Phase::Published { slot, pending, kv_version, published_at },
            Change::Observed { moved, release },
        ) => {
            for name in moved {
                record.spread.entry(name).or_insert(Moved { version: kv_version, at: now });
            }
            let grace = match release {
                Release::NotYet => None,
                // What has leaked is not kept for those whom nobody declared.
                Release::AllMoved if matches!(record.trigger, Trigger::Leak { .. }) => Some(Duration::ZERO),
                Release::AllMoved => Some(spec.grace.duration),
                Release::LeakDeadline | Release::Forced => Some(Duration::ZERO),
            };
            match grace {
                Some(grace) => Phase::Spread {
                    slot,
                    pending,
                    kv_version,
                    spread_at: now,
                    grace_until: later(now, grace),
                },
                None => Phase::Published { slot, pending, kv_version, published_at },
            }
        }
        (Phase::Spread { slot, pending, kv_version, spread_at, .. }, Change::GraceExtended(grace_until)) => {
            Phase::Spread { slot, pending, kv_version, spread_at, grace_until }
        }
        (Phase::Spread { slot, pending, kv_version, spread_at, grace_until }, Change::Revoked(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().revoked = Some(now);
            if writable(spec).all(|e| progress(record, e, |p| p.revoked.is_some())) {
                reset_tries(record);
                Phase::Revoked { slot, pending, kv_version, revoked_at: now }
            } else {
                Phase::Spread { slot, pending, kv_version, spread_at, grace_until }
            }
        }
        // The endpoint had lost the new secret, and has it again: everything else stands.
        (phase @ Phase::Spread { .. }, Change::Contradicted(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().tries += 1;
            phase
        }
        (Phase::Revoked { slot, pending, kv_version, .. }, Change::Contradicted(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().tries += 1;
            // What was proven elsewhere was proven before this effect; late writes are waited for once more.
            Phase::Revoked { slot, pending, kv_version, revoked_at: now }
        }
        (Phase::Revoked { slot, pending, kv_version, revoked_at }, Change::Proven(endpoint, proof)) => {
            record.endpoints.entry(endpoint).or_default().proven = Some(proof);
            Phase::Revoked { slot, pending, kv_version, revoked_at }
        }
        (Phase::Revoked { slot, pending, kv_version, .. }, Change::Concluded(receipt)) => {
            drop_plaintext(record);
            Phase::Proven { slot, fingerprint: pending.fingerprint, kv_version, receipt, proven_at: now }
        }
        (Phase::Aborting { slot, pending, acted_at, .. }, Change::Fenced(kv_version)) => {
            if let (Some(current), Some(kv_version)) = (&mut record.current, kv_version) {
                current.kv_version = kv_version;
            }
            Phase::Aborting { slot, pending, fenced_at: Some(now), acted_at }
        }
        (Phase::Aborting { slot, pending, fenced_at: None, .. }, Change::PublishedAfterAll(kv_version)) => {
            // The run is again what it would have been: its receipt knows no detour.
            record.reached.remove(&PhaseName::Aborting);
            Phase::Published { slot, pending, kv_version, published_at: now }
        }
        (Phase::Aborting { slot, pending, fenced_at, .. }, Change::Withdrawn(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().withdrawn = Some(now);
            Phase::Aborting { slot, pending, fenced_at, acted_at: now }
        }
        (Phase::Aborting { slot, pending, fenced_at, .. }, Change::Contradicted(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().tries += 1;
            Phase::Aborting { slot, pending, fenced_at, acted_at: now }
        }
        (phase @ Phase::Aborting { .. }, Change::Gone(endpoint)) => {
            record.endpoints.entry(endpoint).or_default().gone = Some(now);
            phase
        }
        (Phase::Aborting { .. }, Change::Closed) => {
            drop_plaintext(record);
            Phase::Aborted { aborted_at: now }
        }
        (phase, _) => {
            record.phase = phase;
            return Err(illegal);
        }
    };
    record.reached.entry(record.phase.name()).or_insert(now);
    Ok(())
}

/// More secrets than a run ever discards: a target rejects a few, and each leak of a new one adds one.
const DISCARDED_MAX: usize = 32;

/// Another secret takes the place of the one of `phase`, which an account may have by now. Where a credential was
/// published before this run, that one is set again when the run is aborted; where none was, the discarded one
/// must be known to be taken away.
pub fn discard(record: &mut Record, phase: Phase) {
    let (Phase::Staged { pending, .. } | Phase::Applied { pending, .. }) = phase else { return };
    if record.current.is_none() {
        record.discarded.push(pending);
        let surplus = record.discarded.len().saturating_sub(DISCARDED_MAX);
        record.discarded.drain(..surplus);
    }
}

/// Finished records hold no secret.
pub fn drop_plaintext(record: &mut Record) {
    record.discarded.clear();
    if let Some(current) = &mut record.current {
        current.value = None;
    }
}

/// Notes a failure that time may heal.
pub fn note_failure(record: &mut Record, class: &str, now: Timestamp) {
    record.error = Some(Failure { class: class.to_owned(), at: now });
}

/// Stops the run until a person has done something.
pub fn need_person(record: &mut Record, why: String, next: String, now: Timestamp) {
    record.needs_person = Some(NeedsPerson { why, next, since: now });
}

/// A time after `from`; far beyond any calendar it stays there.
pub fn later(from: Timestamp, by: Duration) -> Timestamp {
    from.checked_add(jiff::SignedDuration::try_from(by).unwrap_or(jiff::SignedDuration::MAX))
        .unwrap_or(Timestamp::MAX)
}

fn writable(spec: &Spec) -> impl Iterator<Item = &Endpoint> {
    spec.endpoints.iter().filter(|e| !e.read_only)
}

fn progress(record: &Record, endpoint: &Endpoint, done: impl Fn(&shared::journal::Progress) -> bool) -> bool {
    record.endpoints.get(&endpoint.name).is_some_and(done)
}

pub(super) fn reset_tries(record: &mut Record) {
    for progress in record.endpoints.values_mut() {
        progress.tries = 0;
    }
}
