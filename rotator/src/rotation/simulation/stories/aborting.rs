//! The way back.

use std::time::Duration;

use shared::journal::{Order, PhaseName, Trigger};

use super::{Story, alternating, call, dual, leak, ordered, shown, waits};
use crate::rotation::context::Answer;
use crate::rotation::drive::{End, Wish};
use crate::rotation::simulation::state::{Call, Reply};
use crate::rotation::spec::REVOKES_MAX;
use crate::rotation::step::later;

#[test]
fn the_path_is_written_once_more_so_that_no_late_write_publishes() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Tested);
    assert_eq!(story.order(Order::Abort), End::Aborted { revision: 1 });
    assert_eq!(story.published(), (2, shown("app_a", "first")));
    assert_eq!(story.record().current.unwrap().kv_version, 2);
}

#[test]
fn a_path_that_is_empty_and_was_not_is_a_matter_for_a_person() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    story.change(|state| state.store.published = None);
    assert!(call(story.order(Order::Abort)).starts_with("the published path no longer holds"));
}

#[test]
fn what_was_published_after_all_goes_forward() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_and_lose(|call| matches!(call, Call::Publish(..)));
    assert_eq!(story.record().phase.name(), PhaseName::Tested);
    assert_eq!(story.order(Order::Abort), End::Proven { revision: 1 });
    assert!(!story.record().reached.contains_key(&PhaseName::Aborting));
    assert_eq!(story.works(&shown("app_a", "first")), [false]);
}

#[test]
fn an_account_with_two_secrets_keeps_the_old_one() {
    let story = Story::new(dual(), &["rw", "pool"]);
    story.start_until(PhaseName::Applied);
    let new = story.pending();
    assert_eq!(story.works(&new), [true, true]);
    assert_eq!(story.order(Order::Abort), End::Aborted { revision: 1 });
    assert_eq!(story.works(&new), [false, false]);
    assert_eq!(story.works(&shown("app", "first")), [true, true]);
}

#[test]
fn what_a_first_run_never_changed_is_left_as_it_is() {
    let story = Story::empty(dual(), &["rw", "pool"]);
    story.accept("app", &["before us"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| {
        matches!(call, Call::Set(1, ..)).then_some(Reply::Lost)
    });
    waits(end);
    let lease = story.state.borrow().spec.lease;
    waits(story.order(Order::Abort));
    story.pass(lease);
    assert_eq!(story.resume(), End::Aborted { revision: 1 });
    assert_eq!(story.works(&shown("app", "before us")), [false, true]);
    assert!(story.state.borrow().store.published.is_none());
}

#[test]
fn what_a_first_run_set_without_an_answer_is_taken_away() {
    let story = Story::empty(dual(), &["rw"]);
    story.start_and_lose(|call| matches!(call, Call::Set(..)));
    let new = story.pending();
    assert_eq!(story.works(&new), [true]);
    let lease = story.state.borrow().spec.lease;
    waits(story.order(Order::Abort));
    assert_eq!(story.works(&new), [false]);
    story.pass(lease);
    assert_eq!(story.resume(), End::Aborted { revision: 1 });
}

#[test]
fn late_writes_of_an_aborted_run_are_waited_for() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    story.change(|state| state.locks = false);
    story.start_until(PhaseName::Applied);
    let (begun, lease) = (story.state.borrow().now, story.state.borrow().spec.lease);
    assert_eq!(waits(story.order(Order::Abort)), (later(begun, lease), None));
    story.pass(lease - Duration::from_secs(1));
    assert_eq!(waits(story.resume()), (later(begun, lease), None));
    // One arrives, and is taken away again.
    story.change(|state| {
        let record = state.record().unwrap();
        let secret = record.phase.pending().unwrap().1.value.0.expose(<[u8]>::to_vec);
        state.servers[1].accounts.get_mut("app_b").unwrap().insert(secret);
    });
    story.pass(Duration::from_secs(1));
    let again = later(later(begun, lease), lease);
    assert_eq!(waits(story.resume()), (again, None));
    story.pass(lease);
    assert_eq!(story.resume(), End::Aborted { revision: 1 });
    assert!(story.state.borrow().servers.iter().all(|server| server.accounts["app_b"].is_empty()));
}

#[test]
fn an_endpoint_that_keeps_the_new_secret_is_a_matter_for_a_person() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let end = story.tell_with(ordered(Order::Abort), |state, call| {
        let ours = matches!(call, Call::Test(_, account, _) if account == "app_b");
        (ours && state.phase == PhaseName::Aborting).then_some(Reply::Login(Answer::Accepted))
    });
    let why = format!("rw: the new secret was taken away and is still accepted, {REVOKES_MAX} times");
    assert_eq!(call(end), why);
    assert_eq!(story.order(Order::Retry), End::Aborted { revision: 1 });
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let end = story.tell_with(ordered(Order::Abort), |_, call| {
        matches!(call, Call::Revoke(..)).then_some(Reply::Rejected)
    });
    assert_eq!(call(end), "rw does not let go of the new secret of app_b (too simple)");
}

#[test]
fn a_replica_that_does_not_follow_is_waited_for_and_not_for_ever() {
    let story = Story::new(alternating(), &["rw", "replica-ro"]);
    story.start_until(PhaseName::Tested);
    let resume = |wish: Wish| {
        story.tell_with(wish, |state, call| {
            let ours = matches!(call, Call::Test(1, account, _) if account == "app_b");
            (ours && state.phase == PhaseName::Aborting).then_some(Reply::Login(Answer::Accepted))
        })
    };
    assert_eq!(waits(resume(ordered(Order::Abort))).1.as_deref(), Some("replica behind"));
    let timeout = story.state.borrow().spec.spread_timeout;
    story.pass(timeout - Duration::from_secs(1));
    assert_eq!(waits(resume(Wish::Resume)).1.as_deref(), Some("replica behind"));
    story.pass(Duration::from_secs(1));
    let why = "replica-ro does not follow: it still accepts the new secret";
    assert_eq!(call(resume(Wish::Resume)), why);
    // An order makes it patient again.
    assert_eq!(waits(resume(ordered(Order::Retry))).1.as_deref(), Some("replica behind"));
    assert_eq!(story.resume(), End::Aborted { revision: 1 });
}

#[test]
fn a_server_that_a_replica_follows_is_looked_at_before_the_replica_is_blamed() {
    let story = Story::new(alternating(), &["rw", "replica-ro"]);
    story.start_until(PhaseName::Tested);
    let new = story.pending();
    let mut restored = false;
    let end = story.tell_with(ordered(Order::Abort), |state, call| {
        // Both are restored after the first was looked at.
        if matches!(call, Call::Test(1, ..)) && state.phase == PhaseName::Aborting && !restored {
            restored = true;
            for server in &mut state.servers {
                server.accounts.get_mut("app_b").unwrap().insert(new.secret.clone());
            }
        }
        None
    });
    assert!(restored);
    assert_eq!(end, End::Aborted { revision: 1 });
    assert_eq!(story.works(&new), [false, false]);
}

#[test]
fn what_a_person_published_for_the_account_is_not_taken_away() {
    let story = Story::new(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let new = story.pending();
    story.change(|state| {
        state.servers[0].accounts.get_mut("app").unwrap().insert(b"by hand".to_vec());
    });
    story.publish("app", "by hand");
    let why = "a person published another secret of app: to take ours away at rw would take theirs too";
    assert_eq!(call(story.order(Order::Abort)), why);
    assert_eq!(story.works(&new), [true]);
    // They changed the password: ours is gone, and nothing is in the way.
    story.accept("app", &["by hand"]);
    assert_eq!(story.order(Order::Retry), End::Aborted { revision: 1 });
    assert_eq!(story.works(&shown("app", "by hand")), [true]);
    assert_eq!(story.published(), (2, shown("app", "by hand")));
}

#[test]
fn a_first_value_that_leaked_is_taken_away_with_the_one_that_replaced_it() {
    let story = Story::empty(dual(), &["rw"]);
    story.start_and_lose(|call| matches!(call, Call::Set(..)));
    let (leaked, name) = (story.pending(), story.record().phase.pending().unwrap().1.fingerprint);
    let end = story.tell_with(Wish::Replace { trigger: leak(), current: name }, |_, call| {
        matches!(call, Call::Set(..) | Call::Test(..)).then_some(Reply::Lost)
    });
    waits(end);
    assert_eq!(story.record().phase.name(), PhaseName::Staged);
    assert_ne!(story.pending(), leaked);
    waits(story.order(Order::Abort));
    assert_eq!(story.works(&leaked), [false]);
    let lease = story.state.borrow().spec.lease;
    story.pass(lease);
    assert_eq!(story.resume(), End::Aborted { revision: 1 });
    assert!(story.record().discarded.is_empty());
}
