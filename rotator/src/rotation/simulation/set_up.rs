//! The world as a seed begins it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use jiff::Timestamp;
use shared::journal::PhaseName;

use crate::rotation::generate::Policy;
use crate::rotation::simulation::random::Random;
use crate::rotation::simulation::state::{Server, Shown, State, Store, User};
use crate::rotation::spec::{AtDeadline, Endpoint, Grace, OnLeak, Spec, Strategy};

/// `None` only if the policy below is none.
pub fn set_up(random: &mut Random) -> Option<State> {
    let strategy = match random.below(10) {
        0..6 => Strategy::Alternating { accounts: ["app_a".into(), "app_b".into()] },
        6..9 => Strategy::Dual { account: "app".into() },
        _ => Strategy::Single { account: "app".into() },
    };
    let mut endpoints = vec![Endpoint { name: "rw".into(), read_only: false }];
    if random.percent(40) {
        endpoints.push(Endpoint { name: "pool".into(), read_only: false });
    }
    if random.percent(40) {
        endpoints.push(Endpoint { name: "ro".into(), read_only: true });
    }
    let grace = if random.percent(50) { Duration::ZERO } else { Duration::from_mins(10) };
    let at_deadline = if random.percent(50) { AtDeadline::Wait } else { AtDeadline::Revoke };
    let spec = Spec {
        name: "shop/orders".into(),
        uid: "uid-1".into(),
        revision_seen: 0,
        endpoints,
        policy: policy()?,
        spread_timeout: Duration::from_mins(30),
        grace: Grace { duration: grace, max: Duration::from_hours(1) },
        on_leak: OnLeak { deadline: Duration::from_secs(45), at_deadline },
        lease: Duration::from_mins(1),
        effect_timeout: Duration::from_secs(5),
        external: if random.percent(20) { vec!["elsewhere".into()] } else { Vec::new() },
        strategy,
    };
    let first = Shown { account: spec.strategy.next_slot(None).to_owned(), secret: b"first".to_vec() };
    let fresh = random.percent(15);
    let accounts: BTreeMap<_, BTreeSet<_>> = if fresh {
        BTreeMap::new()
    } else {
        BTreeMap::from([(first.account.clone(), BTreeSet::from([first.secret.clone()]))])
    };
    let users = if fresh { 0 } else { random.below(4) };
    let mut store = Store::default();
    if !fresh {
        store.publish(first.clone());
    }
    let server = Server { accounts, sessions: BTreeMap::from([(first.account.clone(), users)]), effects: 0 };
    let locks = random.percent(50);
    let mut state = quiet(spec, random.clone());
    state.locks = locks;
    state.servers.fill(server);
    state.store = store;
    state.users = vec![User { holds: first, version: 1, excused: false }; users];
    state.rejects = if random.percent(20) { random.below(3) } else { 0 };
    Some(state)
}

/// A world in which there is nothing yet.
pub fn quiet(spec: Spec, random: Random) -> State {
    State {
        locks: true,
        random,
        now: Timestamp::UNIX_EPOCH,
        servers: vec![Server::default(); spec.endpoints.len()],
        store: Store::default(),
        users: Vec::new(),
        neighbours: Vec::new(),
        requests: Vec::new(),
        replies: BTreeMap::new(),
        ghosts: Vec::new(),
        next_id: 0,
        rejects: 0,
        journalled: BTreeSet::new(),
        receipts: BTreeMap::new(),
        pairs: BTreeSet::new(),
        restored: false,
        committed: None,
        phase: PhaseName::Planned,
        may_lock_out: false,
        advice: None,
        broken: None,
        spec,
    }
}

/// The test of [`Policy`] holds these numbers to 128 bits.
pub fn policy() -> Option<Policy> {
    Policy::new(22, Policy::alphabet("alphanumeric")?, "").ok()
}
