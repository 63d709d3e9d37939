//! What must be true after every event, and at the end.

use shared::journal::{Phase, PhaseName};

use crate::rotation::simulation::state::{Shown, State};
use crate::rotation::spec::Strategy;

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
    for (number, user) in state.users.iter().enumerate().filter(|(_, user)| !user.excused) {
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
    let (slot, receipt) = match &record.phase {
        Phase::Proven { slot, receipt, .. } => (slot, receipt),
        // What a person or an old backup put into the path is left there, whether it works or not.
        Phase::Aborted { .. } if state.restored => return None,
        Phase::Aborted { .. } => return broken_after_abort(state),
        // What was there before us, and may have others beside it.
        Phase::Adopted { .. } => return published_everywhere(state),
        phase => return Some(format!("the run rests in {} and calls nobody", phase.name())),
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

fn published_everywhere(state: &State) -> Option<String> {
    let (_, published) = state.store.published.as_ref()?;
    let works = (0..state.servers.len()).all(|server| state.works(server, published));
    (!works).then(|| "over, and what is published does not work".to_owned())
}

/// Aborted: nothing that the run made works any more, and what was published still does.
fn broken_after_abort(state: &State) -> Option<String> {
    if let Some(broken) = published_everywhere(state) {
        return Some(broken);
    }
    let published = state.store.published.as_ref().map(|(_, shown)| shown);
    for (server, endpoint) in state.servers.iter().zip(&state.spec.endpoints) {
        for (account, accepts) in &server.accounts {
            for secret in accepts {
                let shown = Shown { account: account.clone(), secret: secret.clone() };
                if Some(&shown) != published {
                    return Some(format!("aborted, and another secret works at {}", endpoint.name));
                }
            }
        }
    }
    None
}
