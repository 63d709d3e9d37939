//! Journal and world disagree.

use std::time::Duration;

use shared::journal::{Order, Phase, PhaseName};

use super::{Story, alternating, call, dual, ordered, refusal, shown};
use crate::rotation::drive::{End, Wish};
use crate::rotation::simulation::state::Call;
use crate::rotation::step::later;

#[test]
fn the_path_gets_back_what_the_last_run_left_there() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    let (_, left) = story.published();
    story.publish("app_a", "by mistake");
    assert_eq!(story.order(Order::Reconcile), End::Adopted { revision: 2 });
    assert_eq!(story.published(), (4, left));
    let record = story.record();
    let Phase::Adopted { kv_version, .. } = record.phase else { panic!("{}", record.phase.name()) };
    assert_eq!(kv_version, 4);
    // The next run finds everything as it should be.
    assert_eq!(story.start(), End::Proven { revision: 3 });
}

#[test]
fn what_the_last_run_left_must_still_work() {
    let story = Story::new(alternating(), &["rw", "pool"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    story.publish("app_a", "by hand");
    story.accept("app_a", &["by hand"]);
    // One endpoint alone accepts what was left: that is not enough.
    story.change(|state| {
        state.servers[1].accounts.insert("app_b".into(), std::collections::BTreeSet::new());
    });
    assert_eq!(story.order(Order::Reconcile), End::Adopted { revision: 2 });
    assert_eq!(story.published(), (3, shown("app_a", "by hand")));
}

#[test]
fn nothing_is_written_where_all_agree() {
    let story = Story::new(alternating(), &["rw"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    let journal = story.state.borrow().store.journal.clone();
    assert_eq!(story.order(Order::Reconcile), End::Proven { revision: 1 });
    assert_eq!(story.state.borrow().store.journal, journal);
    assert_eq!(story.published().0, 2);
}

#[test]
fn a_journal_that_was_lost_is_made_from_what_works() {
    let story = Story::new(dual(), &["rw"]);
    story.change(|state| state.spec.revision_seen = 5);
    let why = call(story.tell(Wish::Resume));
    assert_eq!(why, "the journal is at revision 0, the status has seen 5: its store was restored");
    assert_eq!(story.order(Order::Reconcile), End::Adopted { revision: 6 });
    assert_eq!(story.start(), End::Proven { revision: 7 });
}

#[test]
fn a_journal_of_an_earlier_object_is_made_ours() {
    let story = Story::new(dual(), &["rw"]);
    assert_eq!(story.start(), End::Proven { revision: 1 });
    story.change(|state| state.spec.uid = "uid-2".into());
    assert_eq!(call(story.start()), "the journal belongs to an earlier Rotation of this name");
    assert_eq!(story.order(Order::Reconcile), End::Adopted { revision: 2 });
    assert_eq!(story.record().rotation_uid, "uid-2");
    assert_eq!(story.start(), End::Proven { revision: 3 });
}

#[test]
fn a_path_that_is_not_ours_to_write_any_more_stays_as_it_is() {
    // What is left of the lease, in seconds, when the path may be written; a write takes five at most.
    for (left, written) in [(6, true), (5, true), (4, false)] {
        let story = Story::new(alternating(), &["rw"]);
        assert_eq!(story.start(), End::Proven { revision: 1 });
        story.publish("app_a", "by mistake");
        let epoch = story.record().epoch;
        let end = story.tell_with(ordered(Order::Reconcile), |state, call| {
            if let Call::Store(..) = call
                && state.record().is_some_and(|record| record.epoch == epoch)
            {
                // The answer takes as long.
                state.now = later(state.now, state.spec.lease - Duration::from_secs(left));
            }
            None
        });
        if written {
            assert_eq!(end, End::Adopted { revision: 2 }, "{left} seconds");
            assert_eq!(story.published().0, 4);
        } else {
            assert!(
                matches!(&end, End::Until { class: Some(class), .. } if class == "slow answers"),
                "{end:?}"
            );
            assert_eq!(story.published(), (3, shown("app_a", "by mistake")));
        }
    }
}

#[test]
fn a_run_that_has_made_nothing_is_given_up() {
    let story = Story::new(alternating(), &["rw"]);
    story.start_until(PhaseName::Planned);
    story.publish("app_a", "by hand");
    story.accept("app_a", &["by hand"]);
    assert_eq!(story.order(Order::Reconcile), End::Adopted { revision: 2 });
    assert_eq!(story.published(), (2, shown("app_a", "by hand")));
}

#[test]
fn nothing_that_works_is_a_matter_for_a_person() {
    let story = Story::new(alternating(), &["rw"]);
    story.publish("app_a", "wrong");
    assert_eq!(
        refusal(story.order(Order::Reconcile)),
        "every endpoint refuses the published secret of app_a"
    );
}
