//! What a leak means for a run that is under way, and how that is said.

use shared::fingerprint::Fingerprint;
use shared::journal::{Phase, Record};

use super::Plan;
use crate::manifest::rotation::{LeakAction, StrategySpec};

/// A run is under way: it replaces the value, or has it ready, or has nothing to do with it any more.
pub(super) fn under_way(record: &Record, prints: &[Fingerprint], action: LeakAction) -> Plan {
    let pending = record.phase.pending().map(|(_, pending)| pending.fingerprint);
    let outgoing = record.current.as_ref().map(|current| current.fingerprint);
    match (pending, outgoing, action) {
        (Some(pending), _, LeakAction::Rotate) if prints.contains(&pending) => {
            let published = matches!(
                record.phase,
                Phase::Tested { .. }
                    | Phase::Published { .. }
                    | Phase::Spread { .. }
                    | Phase::Revoked { .. }
                    | Phase::Proven { .. }
            );
            if published {
                Plan::Start(pending)
            } else {
                Plan::Hurry(pending, "the run under way would make another value")
            }
        }
        (Some(pending), _, LeakAction::Approve | LeakAction::Alert) if prints.contains(&pending) => {
            Plan::Ask(
                "the new value of a run under way leaked; rotate once more when it has ended".to_owned(),
            )
        }
        (_, Some(outgoing), LeakAction::Rotate) if prints.contains(&outgoing) => {
            Plan::Hurry(outgoing, "the run under way would be hurried")
        }
        (_, Some(outgoing), LeakAction::Approve | LeakAction::Alert) if prints.contains(&outgoing) => {
            Plan::GoOn
        }
        _ => Plan::Settled("already replaced".to_owned()),
    }
}

/// The accounts of a strategy.
pub(super) fn accounts(strategy: &StrategySpec) -> String {
    let StrategySpec { alternating, dual, single } = strategy;
    let mut all: Vec<&str> = Vec::new();
    all.extend(alternating.iter().flat_map(|two| two.accounts.iter().map(String::as_str)));
    all.extend(dual.iter().map(|one| one.account.as_str()));
    all.extend(single.iter().map(|one| one.account.as_str()));
    all.join(", ")
}

/// The first few, and how many more.
pub(super) fn few(ids: &[String]) -> String {
    const SHOWN: usize = 5;
    let shown = ids.iter().take(SHOWN).map(String::as_str).collect::<Vec<_>>().join(", ");
    match ids.len().checked_sub(SHOWN) {
        None | Some(0) => shown,
        Some(more) => format!("{shown} and {more} more"),
    }
}
