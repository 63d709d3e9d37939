//! Windows cover their strings, and sets cover their windows.

use super::{SETS, Text, WINDOW, deal, entries};
use crate::rules::RuleSet;

#[test]
fn every_string_has_a_window_that_some_set_takes() {
    let rules = RuleSet::embedded().unwrap();
    let entries = entries(rules.iter().map(|(_, rule)| &rule.anchors));
    let deal = deal(&entries);
    assert_eq!((deal.offsets.len(), deal.classes.len()), (entries.len(), WINDOW * 256));
    for (entry, offset) in entries.iter().zip(&deal.offsets) {
        let taken = entry.taken(usize::from(*offset));
        let sets = |place: usize, byte: u8| deal.classes[place * 256 + usize::from(byte)];
        let all =
            |place: usize| taken[place].iter().fold(u32::MAX, |sets_of, byte| sets_of & sets(place, byte));
        assert!((0..WINDOW).map(all).fold(u32::MAX, |one, two| one & two) != 0, "{entry:?}");
    }
    const { assert!(SETS <= 32, "one bit each") };
}

#[test]
fn the_table_that_is_carried_is_this_one() {
    let rules = RuleSet::embedded().unwrap();
    let now = deal(&entries(rules.iter().map(|(_, rule)| &rule.anchors)));
    let carried = rules.deal().unwrap();
    assert_eq!((carried.offsets, carried.classes), (now.offsets, now.classes));
}

#[test]
fn text_knows_what_is_common() {
    let text = Text::new();
    let chance = |window: &str| {
        let rule = format!("version = 1\n[[rule]]\nid = 'x'\ndescription = 'x'\nregex = '{window}[0-9]'\n");
        let rules = RuleSet::from_text("x", &rule).unwrap();
        text.chance(&entries(rules.iter().map(|(_, rule)| &rule.anchors))[0].taken(0))
    };
    assert!(chance("ting") > 100.0 * chance("AKIA"));
    assert!(chance("ret ") < 1e-3);
}
