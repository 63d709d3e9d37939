//! What people order.

use std::time::Duration;

use shared::journal::{Order, PhaseName};

use super::{Story, alternating, call, dual, leak, refusal, shown, waits};
use crate::rotation::drive::{End, Wish};

fn force() -> Order {
    Order::ForceRevoke { reason: "because".into() }
}

fn release(consumer: &str) -> Order {
    Order::Release { consumer: consumer.into() }
}

#[test]
fn an_order_needs_a_run() {
    let story = Story::new(alternating(), &["rw"]);
    for order in [Order::Retry, Order::Abort, force(), release("cron")] {
        assert_eq!(refusal(story.order(order)), "there never was a run");
    }
    assert_eq!(story.start(), End::Proven { revision: 1 });
    for order in [Order::Retry, Order::Abort, force(), release("cron")] {
        let why = refusal(story.order(order));
        assert_eq!(why, "no run is under way; the last one is Proven");
    }
}

#[test]
fn the_old_secret_can_be_forced_out_once_the_new_one_is_published() {
    for phase in [PhaseName::Staged, PhaseName::Applied, PhaseName::Tested] {
        let story = Story::new(dual(), &["rw"]);
        story.start_until(phase);
        let why = refusal(story.order(force()));
        assert_eq!(why, "the new secret is not published: the old one is the only one that consumers have");
    }
    let story = Story::new(dual(), &["rw"]);
    story.start_with_users(1);
    assert_eq!(story.order(force()), End::Proven { revision: 1 });
    assert_eq!(story.works(&shown("app", "first")), [false]);
    // Whoever cannot be asked does not keep it alive either.
    let story = Story::new(dual(), &["rw"]);
    story.start_with_users(1);
    let end = story.tell_with(super::ordered(force()), |_, call| {
        matches!(call, super::Call::Observe(_)).then_some(super::Reply::Lost)
    });
    assert_eq!(end, End::Proven { revision: 1 });
    // In its grace.
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.spec.grace.duration = Duration::from_mins(10));
    waits(story.start());
    assert_eq!(story.record().phase.name(), PhaseName::Spread);
    assert_eq!(story.order(force()), End::Proven { revision: 1 });
    let story = Story::new(dual(), &["rw"]);
    story.start_until(PhaseName::Revoked);
    assert_eq!(refusal(story.order(force())), "the old secret is revoked already");
}

#[test]
fn only_external_consumers_are_released_and_only_while_they_are_waited_for() {
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.spec.external = vec!["cron".into(), "batch".into()]);
    story.start_until(PhaseName::Applied);
    let why = refusal(story.order(release("user-0")));
    assert_eq!(why, "`user-0` is not an external consumer of shop/orders");
    let why = refusal(story.order(release("cron")));
    assert_eq!(why, "in the phase Applied no consumer is waited for");
    assert_eq!(waits(story.resume()).1, None);
    assert_eq!(waits(story.order(release("cron"))).1, None);
    let record = story.record();
    assert_eq!(record.spread.keys().collect::<Vec<_>>(), ["cron"]);
    assert_eq!(record.spread["cron"].version, 2);
    assert_eq!(story.order(release("batch")), End::Proven { revision: 1 });
}

#[test]
fn a_run_is_aborted_before_anything_is_published_and_not_after() {
    for phase in [PhaseName::Planned, PhaseName::Staged, PhaseName::Applied, PhaseName::Tested] {
        let story = Story::new(alternating(), &["rw", "pool"]);
        story.start_until(phase);
        assert_eq!(story.order(Order::Abort), End::Aborted { revision: 1 }, "in {phase}");
        let (_, published) = story.published();
        assert_eq!(published, shown("app_a", "first"));
        assert_eq!(story.works(&published), [true, true]);
        assert!(
            story.state.borrow().servers.iter().all(|server| {
                server.accounts.get("app_b").is_none_or(std::collections::BTreeSet::is_empty)
            })
        );
        assert!(story.record().current.is_none_or(|current| current.value.is_none()));
        assert_eq!(story.start(), End::Proven { revision: 2 });
    }
    let forward = "the new secret is published and consumers use it: to take it away would lock them out";
    let back = "the old secret is revoked: there is nothing to go back to";
    for (phase, why) in
        [(PhaseName::Published, forward), (PhaseName::Spread, forward), (PhaseName::Revoked, back)]
    {
        let story = Story::new(alternating(), &["rw"]);
        story.start_until(phase);
        assert_eq!(refusal(story.order(Order::Abort)), why);
        assert_eq!(story.record().phase.name(), phase);
        assert_eq!(story.resume(), End::Proven { revision: 1 });
    }
}

#[test]
fn a_first_secret_that_is_about_to_be_published_is_not_taken_back() {
    let story = Story::empty(dual(), &["rw"]);
    story.start_until(PhaseName::Tested);
    let why = refusal(story.order(Order::Abort));
    assert_eq!(why, "the first secret is about to be published, and there is none to go back to");
    let story = Story::empty(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    let leaked = story.record().phase.pending().unwrap().1.fingerprint;
    let end = story.tell_with(Wish::Replace { trigger: leak(), current: leaked }, |state, call| {
        let stages = state.phase == PhaseName::Planned && matches!(call, super::Call::Ready(..));
        stages.then_some(super::Reply::Lost)
    });
    waits(end);
    assert_eq!(story.record().phase.name(), PhaseName::Planned);
    let why = refusal(story.order(Order::Abort));
    assert_eq!(why, "its first new secret leaked and may be set; the next one takes its place");
    assert_eq!(story.resume(), End::Proven { revision: 1 });
}

#[test]
fn the_journal_keeps_the_last_orders_and_the_one_that_revoked() {
    let story = Story::new(dual(), &["rw"]);
    story.start_with_users(1);
    story.change(|state| state.spec.external = vec!["cron".into()]);
    // The order to revoke stands first, and the run cannot end.
    let stay = |story: &Story, order: Order| {
        let end = story.tell_with(super::ordered(order), |_, call| match call {
            super::Call::Observe(_) | super::Call::Test(..) => Some(super::Reply::Lost),
            _ => None,
        });
        waits(end);
    };
    stay(&story, force());
    for _ in 0..70 {
        stay(&story, Order::Retry);
    }
    let orders = story.record().orders;
    assert_eq!(orders.len(), 64);
    assert_eq!(orders[0].order, force());
    assert!(orders[1..].iter().all(|ordered| ordered.order == Order::Retry));
}

#[test]
fn an_order_to_a_journal_that_was_restored_is_not_followed() {
    let story = Story::new(dual(), &["rw"]);
    story.start_until(PhaseName::Applied);
    story.change(|state| state.spec.revision_seen = 3);
    let why = call(story.order(Order::Retry));
    assert_eq!(why, "the journal is at revision 1, the status has seen 3: its store was restored");
    assert!(story.record().orders.is_empty());
}
