use std::collections::BTreeMap;
use std::time::Duration;

use jiff::Timestamp;
use shared::fingerprint::{Fingerprint, FingerprintKey};
use shared::journal::{Current, JOURNAL_VERSION, Pending, Phase, PhaseName, Plaintext, Record, Trigger};
use shared::secret::{Redacted, Secret};

use super::hurry;
use crate::rotation::plan::LateWrites;
use crate::rotation::step::later;

const START: Timestamp = Timestamp::UNIX_EPOCH;

fn name(secret: &str) -> Fingerprint {
    FingerprintKey::from_bytes([7; 32]).fingerprint(Redacted::new(secret.as_bytes()))
}

fn leak() -> Trigger {
    Trigger::Leak { finding_id: "f-1".into(), actor: "scanner".into() }
}

fn pending() -> Pending {
    Pending {
        value: Plaintext(Secret::copy_of(b"new")),
        fingerprint: name("new"),
        attempt: 1,
        successor: false,
    }
}

/// A scheduled run of one endpoint that replaces `old` with `new`.
fn run(phase: Phase) -> Record {
    Record {
        version: JOURNAL_VERSION,
        rotation_uid: "uid-1".into(),
        revision: 2,
        epoch: 3,
        holder: "somebody".into(),
        deadline: START,
        started_at: START,
        trigger: Trigger::Schedule,
        reached: BTreeMap::new(),
        current: Some(Current {
            kv_version: 4,
            slot: "app_a".into(),
            fingerprint: name("old"),
            since: None,
            value: Some(Plaintext(Secret::copy_of(b"old"))),
        }),
        endpoints: BTreeMap::from([("rw".to_owned(), shared::journal::Progress::default())]),
        discarded: Vec::new(),
        spread: BTreeMap::new(),
        error: None,
        orders: Vec::new(),
        needs_person: None,
        phase,
    }
}

fn staged() -> Phase {
    Phase::Staged { slot: "app_b".into(), pending: pending() }
}

fn applied() -> Phase {
    Phase::Applied { slot: "app_b".into(), pending: pending() }
}

fn tested() -> Phase {
    Phase::Tested { slot: "app_b".into(), pending: pending() }
}

fn in_grace() -> Phase {
    Phase::Spread {
        slot: "app_b".into(),
        pending: pending(),
        kv_version: 5,
        spread_at: START,
        grace_until: later(START, Duration::from_hours(1)),
    }
}

#[test]
fn a_leak_of_the_outgoing_secret_ends_its_grace_and_is_named() {
    let now = later(START, Duration::from_mins(5));
    for leaked in [Some(name("old")), None] {
        let mut record = run(in_grace());
        hurry(&mut record, &leak(), leaked, LateWrites::Possible, now);
        assert_eq!(record.trigger, leak());
        assert!(matches!(record.phase, Phase::Spread { grace_until, .. } if grace_until == now));
    }
}

#[test]
fn a_grace_that_is_over_is_not_made_longer() {
    let now = later(START, Duration::from_hours(2));
    let mut record = run(in_grace());
    hurry(&mut record, &leak(), Some(name("old")), LateWrites::Refused, now);
    let over = later(START, Duration::from_hours(1));
    assert!(matches!(record.phase, Phase::Spread { grace_until, .. } if grace_until == over));
}

#[test]
fn a_leaked_new_secret_that_nobody_can_read_yet_is_made_anew() {
    for phase in [staged(), applied()] {
        let mut record = run(phase);
        hurry(&mut record, &leak(), Some(name("new")), LateWrites::Refused, START);
        assert_eq!(record.phase.name(), PhaseName::Planned);
        assert!(record.endpoints.is_empty(), "what endpoints had of it does not count");
        assert_eq!(record.trigger, leak());
    }
}

#[test]
fn a_leaked_new_secret_stays_where_a_late_write_could_bring_it_back() {
    for (phase, late_writes) in
        [(staged(), LateWrites::Possible), (tested(), LateWrites::Refused), (tested(), LateWrites::Possible)]
    {
        let before = phase.name();
        let mut record = run(phase);
        hurry(&mut record, &leak(), Some(name("new")), late_writes, START);
        assert_eq!(record.phase.name(), before);
        assert_eq!(record.trigger, leak(), "the run is hurried, and the next one replaces it");
    }
}

#[test]
fn what_the_run_has_not_in_its_hands_changes_nothing() {
    let mut record = run(in_grace());
    hurry(&mut record, &leak(), Some(name("another")), LateWrites::Refused, START);
    assert_eq!(record.trigger, Trigger::Schedule);
    let manual = Trigger::Manual { actor: "somebody".into() };
    hurry(&mut record, &manual, Some(name("old")), LateWrites::Refused, START);
    assert_eq!(record.trigger, Trigger::Schedule);
    let end = later(START, Duration::from_hours(1));
    assert!(matches!(record.phase, Phase::Spread { grace_until, .. } if grace_until == end));
}

#[test]
fn the_first_leak_stays_named() {
    let mut record = run(applied());
    let second = Trigger::Leak { finding_id: "f-2".into(), actor: "scanner".into() };
    hurry(&mut record, &leak(), Some(name("old")), LateWrites::Refused, START);
    hurry(&mut record, &second, Some(name("old")), LateWrites::Refused, START);
    assert_eq!(record.trigger, leak());
}
