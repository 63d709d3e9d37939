//! Journal and world disagree in the middle of a run.

use std::time::Duration;

use shared::journal::{Order, PhaseName, Trigger};

use super::{Story, alternating, call, dual, leak, ordered, shown, waits};
use crate::rotation::drive::{End, Wish};
use crate::rotation::simulation::state::{Call, Reply};

/// A run that rests in a phase, whose path was then changed by hand to what works nowhere.
fn changed_in(story: Story, phase: PhaseName) -> Story {
    story.start_until(phase);
    story.publish("app_a", "by mistake");
    story
}

#[test]
fn what_is_out_and_works_is_published_again() {
    for phase in [PhaseName::Published, PhaseName::Spread, PhaseName::Revoked] {
        let story = changed_in(Story::new(alternating(), &["rw", "pool"]), phase);
        let new = story.pending();
        assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 }, "in {phase}");
        assert_eq!(story.published(), (4, new));
        let record = story.record();
        let shared::journal::Phase::Proven { kv_version, .. } = record.phase else { panic!() };
        assert_eq!(kv_version, 4);
    }
}

#[test]
fn what_is_out_and_in_place_is_not_written_again() {
    for phase in [PhaseName::Published, PhaseName::Spread, PhaseName::Revoked] {
        let story = Story::new(alternating(), &["rw", "pool"]);
        story.start_until(phase);
        assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 }, "in {phase}");
        assert_eq!(story.published().0, 2);
    }
}

#[test]
fn consumers_of_a_path_that_was_written_again_move_once_more() {
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.spec.grace.duration = Duration::from_mins(10));
    story.change(|state| state.spec.external = vec!["cron".into()]);
    story.start_with_users(1);
    waits(story.order(Order::Release { consumer: "cron".into() }));
    // In place, those who have moved are not asked again.
    waits(story.order(Order::Reconcile));
    assert_eq!(story.record().spread.keys().collect::<Vec<_>>(), ["cron"]);
    story.move_users();
    waits(story.resume());
    assert_eq!(story.record().phase.name(), PhaseName::Spread);
    assert_eq!(story.record().spread.len(), 2);
    waits(story.order(Order::Reconcile));
    assert_eq!(story.record().phase.name(), PhaseName::Spread);
    story.publish("app", "by mistake");
    waits(story.order(Order::Reconcile));
    let record = story.record();
    assert_eq!((record.phase.name(), record.spread.len()), (PhaseName::Published, 0));
    story.move_users();
    waits(story.order(Order::Release { consumer: "cron".into() }));
    story.pass(Duration::from_mins(10));
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn a_revocation_that_has_begun_is_not_begun_again() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| {
        matches!(call, Call::Revoke(1, ..)).then_some(Reply::Lost)
    });
    waits(end);
    story.publish("app_a", "by mistake");
    let end = story.tell_with(ordered(Order::Reconcile), |_, call| {
        matches!(call, Call::Observe(_) | Call::Revoke(..)).then_some(Reply::Lost)
    });
    waits(end);
    // Its consumers are not asked again: one half of the old secret is gone.
    assert_eq!(story.record().phase.name(), PhaseName::Spread);
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn before_that_the_old_one_is_put_back_where_it_works() {
    for phase in [PhaseName::Staged, PhaseName::Applied, PhaseName::Tested] {
        let story = changed_in(Story::new(alternating(), &["rw", "pool"]), phase);
        let mut seen = Vec::new();
        let end = story.tell_with(ordered(Order::Reconcile), |_, call| {
            if let Call::Publish(shown, version) = call {
                seen.push((shown.clone(), *version));
            }
            None
        });
        assert_eq!(end, End::Proven { revision: 1 }, "in {phase}");
        // First the old one over the mistake, then the new one over the old one.
        assert_eq!(seen.len(), 2, "in {phase}");
        assert_eq!(seen[0], (shown("app_a", "first"), 2));
        assert_eq!(seen[1].1, 3);
        assert_eq!(story.record().current.unwrap().kv_version, 3);
    }
}

#[test]
fn a_tested_one_is_published_when_the_old_one_is_dead() {
    let story = changed_in(Story::new(alternating(), &["rw", "pool"]), PhaseName::Tested);
    let new = story.pending();
    story.accept("app_a", &[]);
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
    assert_eq!(story.published(), (3, new));
}

#[test]
fn one_that_was_not_tested_is_tested_first() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    story.start_until(PhaseName::Applied);
    story.accept("app_a", &[]);
    let mut tested = false;
    let end = story.tell_with(ordered(Order::Reconcile), |state, call| {
        tested |= state.phase == PhaseName::Tested;
        assert!(tested || !matches!(call, Call::Publish(..)));
        None
    });
    assert_eq!(end, End::Proven { revision: 1 });
    // With a path that nobody can make sense of, a person decides.
    let story = changed_in(Story::new(alternating(), &["rw", "pool"]), PhaseName::Applied);
    story.accept("app_a", &[]);
    assert_eq!(call(story.order(Order::Reconcile)), "no endpoint accepts a secret of the journal");
    assert_eq!(story.published(), (2, shown("app_a", "by mistake")));
}

#[test]
fn an_aborted_run_is_not_brought_forward() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Tested);
    let end = story.tell_with(ordered(Order::Abort), |state, call| {
        (state.phase == PhaseName::Aborting && !matches!(call, Call::Store(..))).then_some(Reply::Lost)
    });
    waits(end);
    let new = story.pending();
    assert_eq!(story.works(&new), [true]);
    assert_eq!(story.order(Order::Reconcile), End::Aborted { revision: 1 });
    assert_eq!(story.works(&new), [false]);
    assert_eq!(story.published().1, shown("app_a", "first"));
    // Not either where the old one is dead.
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Tested);
    let end = story.tell_with(ordered(Order::Abort), |state, call| {
        (state.phase == PhaseName::Aborting && !matches!(call, Call::Store(..))).then_some(Reply::Lost)
    });
    waits(end);
    story.accept("app_a", &[]);
    call(story.order(Order::Reconcile));
    assert_eq!(story.published(), (1, shown("app_a", "first")));
}

#[test]
fn what_a_person_published_for_the_account_is_not_overwritten() {
    let person = "a person published another secret of app, and it works";
    for phase in [PhaseName::Staged, PhaseName::Applied, PhaseName::Tested] {
        let story = Story::new(dual(), &["rw"]);
        story.start_until(phase);
        story.change(|state| {
            state.servers[0].accounts.get_mut("app").unwrap().insert(b"by hand".to_vec());
        });
        story.publish("app", "by hand");
        assert_eq!(call(story.order(Order::Reconcile)), person, "in {phase}");
        assert_eq!(story.published(), (2, shown("app", "by hand")));
    }
    // What does not work is no reason to stop.
    let story = Story::new(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    story.publish("app", "by mistake");
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
    assert_eq!(story.published().0, 4);
    // Nor is what works for another account, or what was there all along.
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    story.accept("app_a", &["first", "by hand"]);
    story.publish("app_a", "by hand");
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
    let story = Story::new(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
    assert_eq!(story.published().0, 2);
}

#[test]
fn a_server_from_before_the_run_is_set_once_more_with_the_same_secret() {
    for phase in [PhaseName::Published, PhaseName::Spread, PhaseName::Revoked] {
        let story = Story::new(alternating(), &["rw", "pool"]);
        story.start_until(phase);
        let new = story.pending();
        story.accept("app_a", &["first"]);
        story.accept("app_b", &[]);
        let mut seen = Vec::new();
        let end = story.tell_with(ordered(Order::Reconcile), |state, call| {
            if let Call::Publish(shown, _) = call {
                seen.push(shown.clone());
                // The second time it is a run that has just been tested.
                let again = state.record().filter(|_| seen.len() == 2);
                if let Some(record) = again {
                    assert!(record.endpoints.values().all(|p| p.revoked.is_none() && p.tested.is_some()));
                    assert!(record.reached.contains_key(&PhaseName::Planned));
                    assert!(!record.reached.contains_key(&PhaseName::Published));
                }
            }
            None
        });
        assert_eq!(end, End::Proven { revision: 1 }, "in {phase}");
        assert_eq!(seen, [shown("app_a", "first"), new.clone()]);
        assert_eq!(story.works(&new), [true, true]);
        assert_eq!(story.works(&shown("app_a", "first")), [false, false]);
    }
}

#[test]
fn what_is_missing_is_said() {
    let case = |rw: &str, pool: &str| {
        let story = Story::new(alternating(), &["rw", "pool"]);
        story.start_until(PhaseName::Published);
        let new = String::from_utf8(story.pending().secret).unwrap();
        for (endpoint, works) in [rw, pool].into_iter().enumerate() {
            story.change(|state| {
                let accounts = &mut state.servers[endpoint].accounts;
                let set = |there: bool, secret: &str| {
                    there.then(|| secret.as_bytes().to_vec()).into_iter().collect()
                };
                accounts.insert("app_a".into(), set(works == "old", "first"));
                accounts.insert("app_b".into(), set(works == "new", &new));
            });
        }
        let why = call(story.order(Order::Reconcile));
        assert_eq!(story.published().0, 2);
        why
    };
    assert_eq!(case("", ""), "no endpoint accepts a secret of the journal");
    assert_eq!(case("new", ""), "pool refuses the new secret, and others accept it");
    assert_eq!(case("", "old"), "rw refuses the old secret, and others accept it");
}

#[test]
fn a_first_run_that_published_nothing_goes_on() {
    for phase in [PhaseName::Staged, PhaseName::Applied] {
        let story = Story::empty(dual(), &["rw"]);
        story.start_until(phase);
        story.accept("app", &[]);
        assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 }, "in {phase}");
    }
    // One that published goes on only with what works.
    let story = Story::empty(dual(), &["rw"]);
    story.start_until(PhaseName::Published);
    story.accept("app", &[]);
    story.change(|state| state.store.published = None);
    assert_eq!(call(story.order(Order::Reconcile)), "no endpoint accepts a secret of the journal");
    // Nor does a run whose path had something, and has nothing now.
    let story = Story::new(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    story.accept("app", &[]);
    story.change(|state| state.store.published = None);
    assert_eq!(call(story.order(Order::Reconcile)), "no endpoint accepts a secret of the journal");
}

#[test]
fn one_whose_publishing_had_no_answer_is_set_again_where_it_is_missing() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    story.start_and_lose(|call| matches!(call, Call::Publish(..)));
    let new = story.pending();
    story.accept("app_a", &[]);
    story.change(|state| _ = state.servers[1].accounts.insert("app_b".into(), [].into()));
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
    assert_eq!(story.published(), (2, new.clone()));
    assert_eq!(story.works(&new), [true, true]);
}

#[test]
fn a_run_that_has_lost_its_first_secret_to_a_leak_is_not_given_up() {
    let story = Story::empty(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let leaked = story.record().phase.pending().unwrap().1.fingerprint;
    let end = story.tell_with(Wish::Replace { trigger: leak(), current: leaked }, |state, call| {
        let stages = state.phase == PhaseName::Planned && matches!(call, Call::Ready(..));
        stages.then_some(Reply::Lost)
    });
    waits(end);
    assert_eq!(story.record().phase.name(), PhaseName::Planned);
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
}
