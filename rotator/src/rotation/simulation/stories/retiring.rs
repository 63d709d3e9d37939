//! The end of the old secret.

use shared::journal::{Order, PhaseName, ProofKind, Trigger};

use super::{Story, alternating, call, dual, shown, waits};
use crate::rotation::context::Answer;
use crate::rotation::drive::{End, Wish};
use crate::rotation::simulation::state::{Call, Reply};
use crate::rotation::spec::REVOKES_MAX;

#[test]
fn an_endpoint_that_lost_the_new_secret_gets_it_back_before_the_old_one_goes() {
    for phase in [PhaseName::Spread, PhaseName::Revoked] {
        let story = Story::new(dual(), &["rw", "pool"]);
        let mut restored = false;
        let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
            if matches!(call, Call::Test(1, ..)) && state.phase == phase && !restored {
                restored = true;
                let accounts = &mut state.servers[1].accounts;
                accounts.get_mut("app").unwrap().retain(|secret| secret == b"first");
            }
            None
        });
        assert_eq!(end, End::Proven { revision: 1 });
        assert!(restored);
        let published = story.published().1;
        assert_eq!(story.works(&published), [true, true]);
        assert_eq!(story.works(&shown("app", "first")), [false, false]);
    }
}

#[test]
fn an_endpoint_that_loses_the_new_secret_again_and_again_is_a_matter_for_a_person() {
    for endpoint in [1, 2] {
        let story = Story::new(alternating(), &["rw", "pool", "replica-ro"]);
        story.start_until(PhaseName::Spread);
        let mut sets = 0;
        let end = story.tell_with(Wish::Resume, |_, call| match call {
            Call::Test(at, ..) if *at == endpoint => Some(Reply::Login(Answer::Refused)),
            Call::Set(at, ..) => {
                assert_eq!(*at, 1, "a replica is never set");
                sets += 1;
                None
            }
            _ => None,
        });
        let name = ["rw", "pool", "replica-ro"][endpoint];
        assert_eq!(call(end), format!("{name}: the published secret is refused, {REVOKES_MAX} times"));
        assert_eq!(sets, if endpoint == 1 { REVOKES_MAX + 1 } else { 0 });
        assert_eq!(story.order(Order::Retry), End::Proven { revision: 1 });
    }
}

#[test]
fn an_endpoint_that_does_not_take_the_new_secret_back_is_a_matter_for_a_person() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Spread);
    let end = story.tell_with(Wish::Resume, |_, call| match call {
        Call::Test(..) => Some(Reply::Login(Answer::Refused)),
        Call::Set(..) => Some(Reply::Rejected),
        _ => None,
    });
    assert_eq!(call(end), "rw lost the published secret and does not take it back (too simple)");
}

#[test]
fn an_old_secret_that_still_works_is_revoked_again_and_not_for_ever() {
    let story = Story::new(alternating(), &["rw"]);
    let mut revokes = 0;
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| match call {
        Call::Test(_, account, _) if account == "app_a" => Some(Reply::Login(Answer::Accepted)),
        Call::Revoke(..) => {
            revokes += 1;
            None
        }
        _ => None,
    });
    assert_eq!(
        call(end),
        format!("rw: the old secret was revoked and is still accepted, {REVOKES_MAX} times")
    );
    assert_eq!(revokes, 1 + REVOKES_MAX + 1);
    assert_eq!(story.order(Order::Retry), End::Proven { revision: 1 });
}

#[test]
fn a_replica_that_still_takes_the_old_secret_is_looked_at_again() {
    let story = Story::new(alternating(), &["rw", "replica-ro"]);
    let mut looks = 0;
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| match call {
        Call::Test(1, account, _) if account == "app_a" => {
            looks += 1;
            (looks < 3).then_some(Reply::Login(Answer::Accepted))
        }
        Call::Revoke(1, ..) => panic!("a replica is never changed"),
        _ => None,
    });
    assert_eq!((end, looks), (End::Proven { revision: 1 }, 3));
}

#[test]
fn a_server_that_does_not_let_go_is_a_matter_for_a_person() {
    let story = Story::new(dual(), &["rw"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| match call {
        Call::Revoke(..) => Some(Reply::Rejected),
        _ => None,
    });
    assert_eq!(call(end), "rw does not let go of the old secret of app (too simple)");
    assert_eq!(story.record().phase.name(), PhaseName::Spread);
    assert_eq!(story.order(Order::Retry), End::Proven { revision: 1 });
}

#[test]
fn nothing_is_taken_away_when_something_else_is_published() {
    for phase in [PhaseName::Spread, PhaseName::Revoked] {
        let story = Story::new(alternating(), &["rw"]);
        story.start_until(phase);
        let works = story.works(&shown("app_a", "first"));
        story.publish("app_a", "by hand");
        let changed = "the published path no longer holds what this run left there";
        assert!(call(story.resume()).starts_with(changed), "{phase}");
        assert_eq!(story.works(&shown("app_a", "first")), works);
    }
    // Also right before the receipt.
    let story = Story::new(alternating(), &["rw"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
        let proven = state.record().is_some_and(|r| r.endpoints.values().any(|p| p.proven.is_some()));
        if proven && matches!(call, Call::Read) {
            state.store.publish(shown("app_a", "by hand"));
        }
        None
    });
    assert!(call(end).starts_with("the published path"));
    assert!(story.state.borrow().receipts.is_empty());
}

#[test]
fn the_proof_says_what_was_seen() {
    let proof = |story: &Story| {
        let record = story.record();
        let proof = record.endpoints["rw"].proven.clone().unwrap();
        (proof.kind, proof.sessions_left)
    };
    // A server may keep sessions that it was asked to end.
    let story = Story::new(alternating(), &["rw"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |state, call| match call {
        Call::Sessions(..) if state.phase == PhaseName::Revoked => Some(Reply::Open(2)),
        _ => None,
    });
    assert_eq!((end, proof(&story)), (End::Proven { revision: 1 }, (ProofKind::Refused, Some(2))));
    // With one account old and new sessions look alike.
    let story = Story::new(dual(), &["rw"]);
    assert_eq!((story.start(), proof(&story)), (End::Proven { revision: 1 }, (ProofKind::Refused, None)));
    let story = Story::empty(dual(), &["rw"]);
    assert_eq!((story.start(), proof(&story)), (End::Proven { revision: 1 }, (ProofKind::Absent, Some(0))));
}

#[test]
fn a_receipt_without_an_answer_is_asked_for_again() {
    let story = Story::new(dual(), &["rw"]);
    let end = story.tell_with(Wish::Start(Trigger::Schedule), |_, call| match call {
        Call::Issue(_) => Some(Reply::Lost),
        _ => None,
    });
    assert_eq!(waits(end).1.as_deref(), Some("unreachable"));
    assert_eq!(story.record().error.unwrap().class, "unreachable");
    assert_eq!(story.resume(), End::Proven { revision: 1 });
    let record = story.record();
    assert!(record.error.is_none() && record.current.unwrap().value.is_none());
}
