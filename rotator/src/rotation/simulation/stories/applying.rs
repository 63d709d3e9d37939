//! From nothing to a published secret.

use std::time::Duration;

use shared::journal::{Order, PhaseName, Trigger};

use super::{Story, alternating, call, dual, leak, ordered, shown, waits};
use crate::rotation::context::Answer;
use crate::rotation::drive::{End, Wish};
use crate::rotation::simulation::state::{Call, Reply};
use crate::rotation::spec::{ATTEMPTS_MAX, REVOKES_MAX};
use crate::rotation::step::{Change, commit, later};

/// The journal of a neighbour that has made a secret.
const STAGED: &str = r#"{"version":1,"rotationUid":"u","revision":1,"epoch":1,"holder":"h",
    "deadline":"1970-01-01T00:00:00Z","startedAt":"1970-01-01T00:00:00Z","trigger":{"kind":"Schedule"},
    "phase":"Staged","slot":"b","pending":{"value":"bmV3","fingerprint":"k1:0f0e0d0c0b0a09080706050403020100",
    "attempt":1}}"#;

#[test]
fn a_paired_rotation_that_is_under_way_is_waited_for() {
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.neighbours.push(("shop/admin".into(), false, STAGED.into())));
    assert_eq!(waits(story.start()).1.as_deref(), Some("waits for shop/admin"));
    assert_eq!(story.record().phase.name(), PhaseName::Planned);
    story.change(|state| state.neighbours.clear());
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn a_leak_waits_for_nobody() {
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.neighbours.push(("shop/admin".into(), true, STAGED.into())));
    assert_eq!(story.tell(Wish::Start(leak())), End::Proven { revision: 1 });
}

#[test]
fn an_effect_begins_while_the_lease_is_long_enough_for_it() {
    for (left, taken_again) in [(6, false), (5, false), (4, true)] {
        let story = Story::new(alternating(), &["rw"]);
        let (mut slept, mut looked) = (false, false);
        story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
            match call {
                Call::Test(..) if state.phase == PhaseName::Staged && !slept => {
                    state.now = later(state.now, state.spec.lease - Duration::from_secs(left));
                    slept = true;
                }
                // The first thing that is written down afterwards: was the effect begun before?
                Call::Store(..) if slept && !looked => {
                    let begun = state.requests.iter().any(|request| matches!(request.call, Call::Set(..)));
                    assert_eq!(begun, !taken_again, "{left} seconds are left");
                    looked = true;
                }
                _ => {}
            }
            None
        });
        assert!(looked);
        // The step that took so long is over, and what it did is found.
        assert_eq!(story.resume(), End::Proven { revision: 1 });
    }
}

#[test]
fn a_rejected_secret_is_made_anew_and_not_for_ever() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    story.change(|state| state.rejects = 2);
    story.start_until(PhaseName::Applied);
    assert_eq!(story.record().phase.pending().unwrap().1.attempt, 3);

    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| state.rejects = 100);
    let mut sets = 0;
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| {
        sets += u32::from(matches!(call, Call::Set(..)));
        None
    });
    assert_eq!(call(end), "rw rejects every generated value (too simple)");
    assert_eq!(sets, ATTEMPTS_MAX);
    // Nobody repaired it: the last value is tried once more, and others after it.
    story.change(|state| state.rejects = 1);
    assert_eq!(story.order(Order::Retry), End::Proven { revision: 1 });
}

#[test]
fn the_idle_login_must_be_idle() {
    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| _ = state.servers[0].sessions.insert("app_b".into(), 1));
    assert_eq!(waits(story.start()).1.as_deref(), Some("busy"));
    story.change(|state| state.servers[0].sessions.clear());
    assert_eq!(story.resume(), End::Proven { revision: 1 });
    // One account has its consumers, always.
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| _ = state.servers[0].sessions.insert("app".into(), 1));
    assert_eq!(story.start(), End::Proven { revision: 1 });
}

#[test]
fn both_secrets_work_while_consumers_move() {
    let story = Story::new(dual(), &["rw", "pool"]);
    story.start_with_users(1);
    let new = story.pending();
    assert_eq!(story.works(&new), [true, true]);
    assert_eq!(story.works(&shown("app", "first")), [true, true]);
}

#[test]
fn an_endpoint_that_refuses_what_was_set_is_set_again_and_not_for_ever() {
    for endpoints in [&["rw"][..], &["pool", "rw"]] {
        let story = Story::new(alternating(), endpoints);
        let (mut sets, last) = (0, endpoints.len() - 1);
        let mut tell = |wish: Wish| {
            let end = story.tell_with(wish, |_, call| match call {
                Call::Set(at, ..) if *at == last => {
                    sets += 1;
                    None
                }
                Call::Test(at, ..) if *at == last => Some(Reply::Login(Answer::Refused)),
                _ => None,
            });
            assert_eq!(call(end), format!("rw: the new secret was set and is refused, {REVOKES_MAX} times"));
            sets
        };
        assert_eq!(tell(Wish::Start(Trigger::Schedule)), REVOKES_MAX + 1);
        // Nothing was repaired: as often again.
        assert_eq!(tell(ordered(Order::Retry)), 2 * REVOKES_MAX + 1);
        assert_eq!(story.published(), (1, shown("app_a", "first")));
        assert_eq!(story.order(Order::Retry), End::Proven { revision: 1 });
    }
}

#[test]
fn a_replica_is_tested_and_never_set() {
    let story = Story::new(alternating(), &["rw", "replica-ro"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| {
        assert!(!matches!(call, Call::Set(1, ..) | Call::Revoke(1, ..)), "{call:?}");
        matches!(call, Call::Test(1, ..)).then_some(Reply::Login(Answer::Refused))
    });
    assert_eq!(call(end), format!("replica-ro: the new secret was set and is refused, {REVOKES_MAX} times"));
    // What the others have is not taken from them for it.
    assert_eq!(story.record().phase.name(), PhaseName::Applied);
}

#[test]
fn an_endpoint_that_checks_nothing_gets_no_consumers() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
        let trusts = matches!(call, Call::Test(1, ..)) && state.phase == PhaseName::Applied;
        trusts.then_some(Reply::Login(Answer::Accepted))
    });
    assert_eq!(call(end), "pool accepts any password for app_b: it checks nothing");
    assert_eq!(story.published(), (1, shown("app_a", "first")));
}

#[test]
fn a_secret_whose_publishing_had_no_answer_is_not_published_twice() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_and_lose(|call| matches!(call, Call::Publish(..)));
    assert_eq!(story.published().0, 2);
    assert_eq!(story.resume(), End::Proven { revision: 1 });
    assert_eq!(story.published().0, 2);
}

#[test]
fn a_path_that_somebody_wrote_meanwhile_is_not_overwritten() {
    // Between reading and writing: the store says so, and the next look calls a person.
    let story = Story::new(alternating(), &["rw"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
        if matches!(call, Call::Publish(..)) {
            state.store.publish(shown("app_a", "by hand"));
        }
        None
    });
    assert_eq!(waits(end).1.as_deref(), Some("conflict"));
    let changed = "the published path no longer holds what this run left there: a person changed it, or its store \
                   was restored";
    assert_eq!(call(story.resume()), changed);
    assert_eq!(story.published(), (2, shown("app_a", "by hand")));
    // A path that is empty now, and was not before.
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Tested);
    story.change(|state| state.store.published = None);
    assert_eq!(call(story.resume()), changed);
}

#[test]
fn the_first_secret_of_all_is_published_where_there_was_none() {
    let story = Story::empty(dual(), &["rw", "pool"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    let (version, published) = story.published();
    assert_eq!((version, story.works(&published)), (1, vec![true, true]));
    // Nothing died, and so there is no receipt.
    assert!(story.state.borrow().receipts.is_empty());
    assert_eq!(story.start(), End::Proven { revision: 2 });
    assert_eq!(story.state.borrow().receipts.len(), 1);
    assert_eq!(story.works(&published), [false, false]);
}

#[test]
fn a_step_without_an_answer_ends_with_the_time_for_it() {
    let story = Story::new(alternating(), &["rw"]);
    let begun = story.state.borrow().now;
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
        if matches!(call, Call::Test(..)) && state.phase == PhaseName::Staged {
            // The rest of the step sees that its time is over.
            state.now = later(state.now, state.spec.lease / 2 + Duration::from_secs(1));
            state.requests.clear();
        }
        None
    });
    assert!(waits(end).0 > begun);
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn an_endpoint_that_the_manifest_lost_in_the_middle_is_not_waited_for() {
    for phase in [PhaseName::Staged, PhaseName::Applied, PhaseName::Spread] {
        let story = Story::new(alternating(), &["rw", "replica-ro", "pool"]);
        let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
            let second = match call {
                Call::Set(2, ..) | Call::Revoke(2, ..) => true,
                Call::Test(2, ..) => state.phase == PhaseName::Applied,
                _ => false,
            };
            (second && state.phase == phase).then_some(Reply::Lost)
        });
        assert_eq!(waits(end).1.as_deref(), Some("unreachable"));
        assert_eq!(story.record().phase.name(), phase);
        story.change(|state| {
            state.spec.endpoints.pop();
            state.servers.pop();
        });
        assert_eq!(story.resume(), End::Proven { revision: 1 }, "lost in {phase}");
        assert_eq!(story.record().phase.name(), PhaseName::Proven);
    }
}

#[test]
fn a_change_that_the_phase_does_not_allow_changes_nothing() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let (mut record, spec, now) =
        (story.record(), story.state.borrow().spec.clone(), story.state.borrow().now);
    for (change, said) in [
        (Change::Closed, "closing does not follow Applied"),
        (Change::Published(2), "publishing does not follow Applied"),
        (Change::Revoked("rw".into()), "revoking does not follow Applied"),
    ] {
        assert_eq!(commit(&mut record, change, &spec, now).unwrap_err().to_string(), said);
        assert_eq!(record.phase.name(), PhaseName::Applied);
    }
}
