//! What must be true after every event, and at the end.

use shared::journal::{Phase, PhaseName};

use crate::rotation::simulation::state::{Shown, State};
use crate::rotation::spec::{AtDeadline, Strategy};

/// The invariant that is broken now, if one is.
pub fn broken(state: &State) -> Option<String> {
    if let Some(broken) = &state.broken {
        return Some(broken.clone());
    }
    let single = matches!(state.spec.strategy, Strategy::Single { .. });
    if single || state.restored {
        return None;
    }
    if let Some((_, published)) = &state.store.published {
        for (index, endpoint) in state.spec.endpoints.iter().enumerate() {
            if !state.works(index, published) {
                return Some(format!("the published credential does not work at {}", endpoint.name));
            }
        }
    }
    // A leak whose policy says so revokes at its deadline, whoever still uses the old secret.
    if state.leaked && state.spec.on_leak.at_deadline == AtDeadline::Revoke {
        return None;
    }
    for (number, user) in state.users.iter().enumerate() {
        for (index, endpoint) in state.spec.endpoints.iter().enumerate() {
            if !state.works(index, &user.holds) {
                return Some(format!("user-{number} is locked out at {}", endpoint.name));
            }
        }
    }
    None
}

/// What is wrong when faults have stopped and the rotators have come to rest.
pub fn broken_at_end(state: &State) -> Option<String> {
    if let Some(broken) = broken(state) {
        return Some(broken);
    }
    let Some(record) = state.record() else {
        // A store restored to before the first run: the status has seen more, so a person is called.
        return (state.spec.revision_seen == 0 || !state.restored)
            .then(|| "there is no journal after a run".to_owned());
    };
    if record.needs_person.is_some() || record.revision < state.spec.revision_seen {
        return None;
    }
    let Phase::Proven { slot, receipt, .. } = &record.phase else {
        return Some(format!("the run rests in {} and calls nobody", record.phase.name()));
    };
    let Some((_, published)) = &state.store.published else {
        return Some("proven, and nothing is published".into());
    };
    if &published.account != slot {
        return Some("proven, and another account is published".into());
    }
    for (index, endpoint) in state.spec.endpoints.iter().enumerate() {
        if !state.works(index, published) {
            return Some(format!("proven, and the new secret does not work at {}", endpoint.name));
        }
        for (account, accepts) in &state.servers[index].accounts {
            for secret in accepts {
                let shown = Shown { account: account.clone(), secret: secret.clone() };
                if &shown != published {
                    return Some(format!("proven, and another secret works at {}", endpoint.name));
                }
            }
        }
    }
    if record.current.is_some() && receipt.is_none() {
        return Some("proven without a receipt".into());
    }
    debug_assert_eq!(record.phase.name(), PhaseName::Proven);
    None
}
