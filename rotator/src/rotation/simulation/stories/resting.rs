//! What is waited for, for how long, and who may go on meanwhile.

use std::time::Duration;

use jiff::Timestamp;
use shared::journal::{Order, PhaseName, Trigger};

use super::{Story, alternating, call, dual, leak, ordered, shown, waits};
use crate::rotation::drive::{End, Wish};
use crate::rotation::simulation::state::{Call, Reply};
use crate::rotation::spec::AtDeadline;
use crate::rotation::step::later;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn consumers_that_do_not_move_are_a_matter_for_a_person_after_the_timeout() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_with_users(2);
    let timeout = story.state.borrow().spec.spread_timeout;
    story.pass(timeout - SECOND);
    assert_eq!(waits(story.resume()).1, None);
    story.pass(SECOND);
    assert_eq!(call(story.resume()), "consumers still use the old secret: user-0, user-1; it stays alive");
    assert_eq!(story.works(&shown("app_a", "first")), [true]);
    // Told once, it waits for the person.
    assert_eq!(call(story.resume()), "consumers still use the old secret: user-0, user-1; it stays alive");
    // An order makes it patient again.
    assert_eq!(waits(story.order(Order::Retry)).1, None);
    story.pass(timeout - SECOND);
    assert_eq!(waits(story.resume()).1, None);
    story.move_users();
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn what_to_do_names_those_who_only_a_person_can_speak_for() {
    let advice = |users: usize, external: &[&str]| {
        let story = Story::new(dual(), &["rw"]);
        story.change(|state| state.spec.external = external.iter().map(|name| (*name).to_owned()).collect());
        story.start_with_users(users);
        let timeout = story.state.borrow().spec.spread_timeout;
        story.pass(timeout);
        match story.resume() {
            End::NeedsPerson { next, .. } => next,
            end => panic!("{end:?}"),
        }
    };
    assert_eq!(advice(1, &[]), "bring them up, then `rotator retry shop/orders`");
    assert_eq!(
        advice(0, &["cron", "batch"]),
        "give them the new secret, then `rotator release shop/orders cron` and `rotator release shop/orders batch`"
    );
    assert_eq!(
        advice(1, &["cron"]),
        "bring them up, then `rotator release shop/orders cron` and `rotator retry shop/orders`"
    );
}

#[test]
fn at_the_deadline_of_a_leak_the_policy_decides() {
    for (at_deadline, revoked) in [(AtDeadline::Wait, false), (AtDeadline::Revoke, true)] {
        let story = Story::new(dual(), &["rw"]);
        story.change(|state| state.spec.on_leak.at_deadline = at_deadline);
        story.start_with_users(1);
        let old = story.published().1;
        let first = crate::rotation::simulation::parts::fingerprint(b"first");
        let wish = Wish::Replace { trigger: leak(), current: first };
        assert_eq!(waits(story.tell(wish)).1, None, "{at_deadline:?}");
        let published = story.record().published_at().unwrap();
        let deadline = later(published, story.state.borrow().spec.on_leak.deadline);
        let now = story.state.borrow().now;
        story.pass(Duration::try_from(deadline.duration_since(now)).unwrap() - SECOND);
        assert_eq!(waits(story.resume()).1, None);
        story.pass(SECOND);
        let end = story.resume();
        if revoked {
            assert_eq!(end, End::Proven { revision: 1 });
        } else {
            assert_eq!(waits(end).1, None);
        }
        assert_eq!(story.works(&shown("app", "first")), [!revoked]);
        assert_eq!(story.works(&old), [true]);
    }
}

#[test]
fn the_deadline_of_a_leak_is_none_of_a_scheduled_run() {
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.spec.on_leak.at_deadline = AtDeadline::Revoke);
    story.start_with_users(1);
    story.pass(Duration::from_mins(10));
    assert_eq!(waits(story.resume()).1, None);
    assert_eq!(story.record().phase.name(), PhaseName::Published);
}

#[test]
fn the_old_secret_stays_for_its_grace() {
    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| state.spec.grace.duration = Duration::from_mins(10));
    let begun = story.state.borrow().now;
    assert_eq!(waits(story.start()), (later(begun, Duration::from_mins(10)), None));
    story.pass(Duration::from_mins(10) - SECOND);
    assert_eq!(waits(story.resume()).1, None);
    assert_eq!(story.works(&shown("app_a", "first")), [true]);
    story.pass(SECOND);
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn a_session_that_nobody_declared_gets_more_time_up_to_the_maximum() {
    let story = Story::new(alternating(), &["rw", "replica-ro"]);
    story.change(|state| _ = state.servers[1].sessions.insert("app_a".into(), 1));
    let begun = story.state.borrow().now;
    let max = story.state.borrow().spec.grace.max;
    let mut at = waits(story.start()).0;
    assert_eq!(at, later(begun, max / 16));
    let mut looks = 0;
    let end = loop {
        story.change(|state| state.now = at);
        match story.resume() {
            End::Until { at: next, class: None } => at = next,
            end => break end,
        }
        looks += 1;
        assert!(at <= later(begun, max) && looks < 32);
    };
    assert_eq!(end, End::Proven { revision: 1 });
    assert_eq!((at, looks), (later(begun, max), 15));
}

#[test]
fn sessions_do_not_hold_what_leaked_or_what_a_person_wants_gone() {
    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| _ = state.servers[0].sessions.insert("app_a".into(), 1));
    assert_eq!(story.tell(Wish::Start(leak())), End::Proven { revision: 1 });
    // Nor does a grace.
    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| state.spec.grace.duration = Duration::from_mins(10));
    assert_eq!(story.tell(Wish::Start(leak())), End::Proven { revision: 1 });

    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| _ = state.servers[0].sessions.insert("app_a".into(), 1));
    assert_eq!(waits(story.start()).1, None);
    assert_eq!(story.order(Order::ForceRevoke { reason: "now".into() }), End::Proven { revision: 1 });
}

#[test]
fn a_target_that_takes_late_writes_is_looked_at_a_lease_later() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    story.change(|state| state.locks = false);
    let begun = story.state.borrow().now;
    let lease = story.state.borrow().spec.lease;
    assert_eq!(waits(story.start()), (later(begun, lease), None));
    assert_eq!(story.record().phase.name(), PhaseName::Revoked);
    story.pass(lease - SECOND);
    assert_eq!(waits(story.resume()), (later(begun, lease), None));
    story.pass(SECOND);
    assert_eq!(story.resume(), End::Proven { revision: 1 });
    let record = story.record();
    assert!(record.endpoints.values().all(|p| p.proven.as_ref().unwrap().at == later(begun, lease)));
}

#[test]
fn a_second_value_waits_for_late_writes_of_the_first() {
    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| (state.locks, state.rejects) = (false, 1));
    let lease = story.state.borrow().spec.lease;
    let begun = story.state.borrow().now;
    assert_eq!(waits(story.start()), (later(begun, lease), None));
    assert_eq!(story.record().phase.name(), PhaseName::Applied);
    story.pass(lease - SECOND);
    assert_eq!(waits(story.resume()), (later(begun, lease), None));
    story.pass(SECOND);
    assert_eq!(story.record().phase.name(), PhaseName::Applied);
    story.resume();
    assert_eq!(story.record().phase.name(), PhaseName::Revoked);
}

#[test]
fn who_holds_the_journal_is_waited_for_until_the_lease_is_over() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let held = |story: &Story, left: Duration| {
        // Somebody else took the lease.
        story.change(|state| {
            let (version, json) = state.store.journal.clone().unwrap();
            let mut value: serde_json::Value = serde_json::from_slice(&json).unwrap();
            value["holder"] = "somebody".into();
            value["deadline"] = later(state.now, left).to_string().into();
            state.store.journal = Some((version, value.to_string().into_bytes()));
        });
        later(story.state.borrow().now, left)
    };
    let until = held(&story, SECOND);
    assert_eq!(story.resume(), End::Held { until });
    assert_eq!(story.order(Order::Retry), End::Held { until });
    assert_eq!(story.order(Order::Adopt), End::Held { until });
    assert_eq!(story.order(Order::Reconcile), End::Held { until });
    held(&story, Duration::ZERO);
    let epoch = story.record().epoch;
    assert_eq!(story.resume(), End::Proven { revision: 1 });
    assert_eq!(story.record().epoch, epoch + 1);
    // A finished run that somebody still holds: the next one does not begin under them.
    let until = held(&story, SECOND);
    assert_eq!(story.start(), End::Held { until });
}

#[test]
fn nothing_begins_and_nothing_is_taken_away_while_all_is_frozen() {
    let story = Story::new(alternating(), &["rw"]);
    story.change(|state| state.store.frozen = true);
    assert!(matches!(story.start(), End::Frozen(_)));
    assert!(story.state.borrow().store.journal.is_none());
    story.change(|state| state.store.frozen = false);
    story.start_until(PhaseName::Published);
    story.change(|state| state.store.frozen = true);
    assert!(matches!(story.resume(), End::Frozen(_)));
    assert_eq!(story.record().phase.name(), PhaseName::Spread);
    assert_eq!(story.works(&shown("app_a", "first")), [true]);
    let force = Order::ForceRevoke { reason: "now".into() };
    assert!(matches!(story.order(force), End::Frozen(_)));
    assert!(story.record().orders.is_empty());
    story.change(|state| state.store.frozen = false);
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn resting_gives_the_journal_back() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_with_users(1);
    let record = story.record();
    assert_eq!(record.deadline, story.state.borrow().now);
    // At work it is held for a lease.
    let story = Story::new(alternating(), &["rw"]);
    let mut seen = Timestamp::MIN;
    story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
        if matches!(call, Call::Publish(..)) {
            seen = state.record().unwrap().deadline;
            assert_eq!(seen, later(state.now, state.spec.lease));
        }
        None
    });
    assert!(seen > Timestamp::MIN);
}

#[test]
fn without_a_run_there_is_nothing_to_resume() {
    let story = Story::new(alternating(), &["rw"]);
    assert_eq!(story.resume(), End::Nothing);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    assert_eq!(story.resume(), End::Proven { revision: 1 });
    let first = crate::rotation::simulation::parts::fingerprint(b"first");
    // What is asked to go is gone already: nothing is replaced twice.
    let again = Wish::Replace { trigger: leak(), current: first };
    assert_eq!(story.tell(again), End::Proven { revision: 1 });
    assert_eq!(story.published().0, 2);
}

#[test]
fn a_leaked_secret_is_replaced_once() {
    let story = Story::new(dual(), &["rw"]);
    let wish = || {
        let first = crate::rotation::simulation::parts::fingerprint(b"first");
        Wish::Replace { trigger: leak(), current: first }
    };
    let other = crate::rotation::simulation::parts::fingerprint(b"something else");
    assert_eq!(story.tell(Wish::Replace { trigger: leak(), current: other }), End::Nothing);
    assert_eq!(story.tell(wish()), End::Proven { revision: 1 });
    assert_eq!(story.tell(wish()), End::Proven { revision: 1 });
    assert_eq!(story.works(&shown("app", "first")), [false]);
}

#[test]
fn a_person_is_told_once_why_no_run_can_begin() {
    let story = Story::new(dual(), &["rw"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    story.publish("app", "by hand");
    let why = "the published path no longer holds what the last run left there";
    let epoch = story.record().epoch;
    assert_eq!(call(story.start()), why);
    assert_eq!(story.record().epoch, epoch + 1);
    let journal = story.state.borrow().store.journal.clone();
    assert_eq!(story.record().needs_person.unwrap().why, why);
    assert_eq!(call(story.start()), why);
    assert_eq!(story.state.borrow().store.journal, journal);
    // Other advice is written down, and another reason.
    story.change(|state| state.spec.name = "shop/other".into());
    assert_eq!(call(story.start()), why);
    assert_ne!(story.state.borrow().store.journal, journal);
    let told = story.record().needs_person.unwrap();
    assert!(told.next.contains("`rotator adopt shop/other`"), "{}", told.next);
    story.publish("other", "theirs");
    let why = "the published account `other` is not one of this Rotation";
    assert_eq!(call(story.start()), why);
    assert_eq!(story.record().needs_person.unwrap().why, why);
}

#[test]
fn a_lost_answer_of_the_journal_is_waited_out() {
    let story = Story::new(dual(), &["rw"]);
    let end = story.tell_with(Wish::Resume, |_, call| matches!(call, Call::Load).then_some(Reply::Lost));
    assert_eq!(
        waits(end),
        (later(Timestamp::UNIX_EPOCH, Duration::from_secs(5)), Some("unreachable".into()))
    );
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| match call {
        Call::Store(..) => Some(Reply::Conflict),
        _ => None,
    });
    assert_eq!(end, End::Held { until: later(Timestamp::UNIX_EPOCH, story.state.borrow().spec.lease) });
    let end = story.tell_with(ordered(Order::Adopt), |_, call| match call {
        Call::Test(..) => Some(Reply::Lost),
        _ => None,
    });
    assert_eq!(waits(end).1.as_deref(), Some("unreachable"));
}
