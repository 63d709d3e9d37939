//! A credential that was there before us.

use shared::journal::{Order, Phase, PhaseName};

use super::{Story, alternating, dual, ordered, refusal, shown};
use crate::rotation::drive::End;
use crate::rotation::simulation::state::{Call, Reply};

#[test]
fn what_is_published_and_works_is_taken_over() {
    let story = Story::new(alternating(), &["rw", "replica-ro"]);
    assert_eq!(story.order(Order::Adopt), End::Adopted { revision: 1 });
    let record = story.record();
    let Phase::Adopted { slot, kv_version, .. } = &record.phase else { panic!("{:?}", record.phase.name()) };
    assert_eq!((slot.as_str(), *kv_version), ("app_a", 1));
    assert_eq!(story.published(), (1, shown("app_a", "first")));
}

#[test]
fn an_endpoint_that_checks_nothing_shows_nothing() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    let end = story.tell_with(ordered(Order::Adopt), |_, call| match call {
        Call::Test(1, ..) => Some(Reply::Login(crate::rotation::context::Answer::Accepted)),
        _ => None,
    });
    assert_eq!(refusal(end), "pool accepts any password for app_a: it checks nothing");
    assert!(story.state.borrow().store.journal.is_none());
}

#[test]
fn the_account_must_be_one_of_the_rotation() {
    let story = Story::new(alternating(), &["rw"]);
    story.accept("other", &["theirs"]);
    story.publish("other", "theirs");
    let why = refusal(story.order(Order::Adopt));
    assert_eq!(why, "the published account `other` is not one of this Rotation");
}

#[test]
fn what_works_nowhere_or_not_everywhere_is_refused() {
    let story = Story::new(dual(), &["rw", "pool"]);
    story.publish("app", "wrong");
    assert_eq!(refusal(story.order(Order::Adopt)), "every endpoint refuses the published secret of app");
    story.change(|state| {
        state.servers[0].accounts.get_mut("app").unwrap().insert(b"wrong".to_vec());
    });
    let why = refusal(story.order(Order::Adopt));
    assert_eq!(why, "pool refuses the published secret of app, and others accept it");
}

#[test]
fn a_run_whose_secret_works_is_not_adopted_over() {
    for phase in [PhaseName::Staged, PhaseName::Applied] {
        let story = Story::new(alternating(), &["rw"]);
        story.start_until(phase);
        // In `Staged` it is the old secret that works.
        let why = refusal(story.order(Order::Adopt));
        assert_eq!(why, format!("a run is under way ({phase}), and a secret of it works"));
        assert_eq!(story.record().phase.name(), phase);
    }
}

#[test]
fn a_run_whose_secrets_are_all_dead_is_adopted_over() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Applied);
    story.accept("app_a", &["by hand"]);
    story.accept("app_b", &[]);
    story.publish("app_a", "by hand");
    assert_eq!(story.order(Order::Adopt), End::Adopted { revision: 2 });
    assert_eq!(story.published(), (2, shown("app_a", "by hand")));
}

#[test]
fn what_an_ended_run_left_behind_does_not_stand_in_the_way() {
    let story = Story::new(dual(), &["rw"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    let (_, published) = story.published();
    let both: Vec<&str> = vec![std::str::from_utf8(&published.secret).unwrap(), "by hand"];
    story.accept("app", &both);
    story.publish("app", "by hand");
    assert_eq!(story.order(Order::Adopt), End::Adopted { revision: 2 });
}
