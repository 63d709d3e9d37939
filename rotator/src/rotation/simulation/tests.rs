//! Many seeds. `KEYTURN_SEEDS=200000 cargo test --release -p rotator simulation` runs more of them;
//! `KEYTURN_SEED=17` runs one.

use std::collections::BTreeMap;

use shared::journal::PhaseName;

use super::event::FAULTS;
use super::{Outcome, simulate};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn seeds() -> Vec<Outcome> {
    match number("KEYTURN_SEED") {
        Some(seed) => vec![simulate(seed).unwrap()],
        None => (0..number("KEYTURN_SEEDS").unwrap_or(5_000)).map(|seed| simulate(seed).unwrap()).collect(),
    }
}

#[test]
fn no_seed_breaks_an_invariant_and_every_phase_meets_every_fault() {
    let outcomes = seeds();
    let broken: Vec<_> = outcomes.iter().filter(|o| o.broken.is_some()).collect();
    let first: Vec<_> = broken.iter().take(5).map(|o| (o.seed, o.broken.as_deref())).collect();
    assert!(broken.is_empty(), "{} of {} seeds broke: {first:?}", broken.len(), outcomes.len());
    // A machine that never gets anywhere breaks nothing.
    let ended = |phase| outcomes.iter().filter(|o| o.ended == phase).count();
    if outcomes.len() >= 500 {
        for phase in [Some(PhaseName::Proven), Some(PhaseName::Aborted), Some(PhaseName::Adopted), None] {
            assert!(ended(phase) > 0, "no seed ended in {phase:?}");
        }
    }
    if outcomes.len() < 5_000 {
        return;
    }
    let mut hits: BTreeMap<(PhaseName, &str), usize> = BTreeMap::new();
    for pair in outcomes.iter().flat_map(|o| &o.pairs) {
        *hits.entry(*pair).or_default() += 1;
    }
    for phase in PhaseName::ALL.into_iter().chain([PhaseName::Aborting]) {
        for fault in FAULTS {
            assert!(hits.contains_key(&(phase, fault)), "no seed met `{fault}` in {phase}");
        }
    }
    let events: usize = outcomes.iter().map(|o| o.events).sum();
    println!(
        "{} seeds, {events} events, {} pairs hit (least often {}), {} proven, {} aborted, {} adopted, {} called a person",
        outcomes.len(),
        hits.len(),
        hits.values().min().unwrap(),
        ended(Some(PhaseName::Proven)),
        ended(Some(PhaseName::Aborted)),
        ended(Some(PhaseName::Adopted)),
        ended(None),
    );
    assert!(ended(Some(PhaseName::Proven)) * 10 > outcomes.len() * 5, "most runs end proven");
}

#[test]
fn a_seed_gives_the_same_run_again() {
    for seed in [1, 99, 4_242] {
        assert_eq!(format!("{:?}", simulate(seed)), format!("{:?}", simulate(seed)));
    }
}

#[cfg(feature = "planted-bugs")]
#[test]
fn planted_bugs_are_found() {
    use crate::rotation::planted::{Bug, plant};
    for bug in [Bug::PublishBeforeTest, Bug::SkipConsumer, Bug::RegenerateOnResume] {
        plant(Some(bug));
        let found = (0..1_000).map(|seed| simulate(seed).unwrap()).find(|outcome| outcome.broken.is_some());
        plant(None);
        let found = found.unwrap_or_else(|| panic!("{bug:?} was not found"));
        println!("{bug:?}: seed {}: {}", found.seed, found.broken.unwrap());
        assert_eq!(simulate(found.seed).unwrap().broken, None, "the seed passes without the bug");
    }
}
