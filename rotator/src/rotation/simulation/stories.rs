//! One rotator in a world without faults, call by call: what a seed meets too seldom to be sure of.

mod aborting;
mod adopting;
mod applying;
mod ordering;
mod reconciling;
mod repairing;
mod resting;
mod retiring;

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use shared::journal::{Order, PhaseName, Record, Trigger};

use super::parts::{Simulated, context};
use super::random::Random;
use super::set_up::{policy, quiet};
use super::state::{Call, Reply, Shown, State, User};
use crate::rotation::drive::{End, Wish, drive};
use crate::rotation::spec::{AtDeadline, Endpoint, Grace, OnLeak, Spec, Strategy};
use crate::rotation::step::later;

/// A world and what happens in it.
struct Story {
    state: Rc<RefCell<State>>,
}

fn alternating() -> Strategy {
    Strategy::Alternating { accounts: ["app_a".into(), "app_b".into()] }
}

fn dual() -> Strategy {
    Strategy::Dual { account: "app".into() }
}

fn shown(account: &str, secret: &str) -> Shown {
    Shown { account: account.into(), secret: secret.as_bytes().to_vec() }
}

impl Story {
    /// Endpoints by name; a name that ends in `-ro` follows the others. `first` is published for the first account,
    /// and works.
    fn new(strategy: Strategy, endpoints: &[&str]) -> Self {
        let story = Self::empty(strategy, endpoints);
        let account = story.state.borrow().spec.strategy.next_slot(None).to_owned();
        story.accept(&account, &["first"]);
        story.publish(&account, "first");
        story
    }

    /// The same with nothing published.
    fn empty(strategy: Strategy, endpoints: &[&str]) -> Self {
        let endpoint = |name: &&str| Endpoint { name: (*name).to_owned(), read_only: name.ends_with("-ro") };
        let spec = Spec {
            name: "shop/orders".into(),
            uid: "uid-1".into(),
            revision_seen: 0,
            strategy,
            endpoints: endpoints.iter().map(endpoint).collect(),
            policy: policy().unwrap(),
            spread_timeout: Duration::from_mins(30),
            grace: Grace { duration: Duration::ZERO, max: Duration::from_hours(1) },
            on_leak: OnLeak { deadline: Duration::from_secs(45), at_deadline: AtDeadline::Wait },
            external: Vec::new(),
            lease: Duration::from_mins(1),
            effect_timeout: Duration::from_secs(5),
        };
        Self { state: Rc::new(RefCell::new(quiet(spec, Random::new(7)))) }
    }

    /// Changes the world.
    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.borrow_mut());
    }

    /// Makes an account accept these secrets alone, at every endpoint.
    fn accept(&self, account: &str, secrets: &[&str]) {
        let accepted: BTreeSet<Vec<u8>> = secrets.iter().map(|secret| secret.as_bytes().to_vec()).collect();
        for server in &mut self.state.borrow_mut().servers {
            server.accounts.insert(account.to_owned(), accepted.clone());
        }
    }

    /// Writes the published path by hand.
    fn publish(&self, account: &str, secret: &str) -> u64 {
        self.state.borrow_mut().store.publish(shown(account, secret))
    }

    fn pass(&self, time: Duration) {
        let mut state = self.state.borrow_mut();
        state.now = later(state.now, time);
    }

    /// Drives once; every call is answered.
    fn tell(&self, wish: Wish) -> End {
        self.tell_with(wish, |_, _| None)
    }

    /// Drives once. `answer` may answer a call in the world's place, or change the world before it does.
    fn tell_with(&self, wish: Wish, mut answer: impl FnMut(&mut State, &Call) -> Option<Reply>) -> End {
        let context = context(&self.state, 0, "rotator-0".into());
        let spec = self.state.borrow().spec.clone();
        let mut driven = Box::pin(drive::<Simulated>(&context, &spec, wish));
        loop {
            if let Poll::Ready(end) = driven.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
                let state = self.state.borrow();
                assert_eq!(state.broken, None);
                return end;
            }
            let state = &mut *self.state.borrow_mut();
            // Nothing to answer: the drive waits for time.
            let Some(request) = state.requests.pop() else {
                state.now = later(state.now, Duration::from_secs(1));
                continue;
            };
            let reply = answer(state, &request.call);
            let reply = reply.unwrap_or_else(|| state.execute(&request.call, request.actor));
            state.replies.insert(request.id, reply);
        }
    }

    fn start(&self) -> End {
        self.tell(Wish::Start(Trigger::Schedule))
    }

    fn resume(&self) -> End {
        self.tell(Wish::Resume)
    }

    fn order(&self, order: Order) -> End {
        self.tell(ordered(order))
    }

    /// Starts a run that comes to rest in a phase, because from there on nothing but the journal answers.
    fn start_until(&self, phase: PhaseName) {
        let end = self.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
            let is_there = state.phase == phase && state.store.journal.is_some();
            (is_there && !matches!(call, Call::Store(..))).then_some(Reply::Lost)
        });
        assert!(matches!(end, End::Until { class: Some(_), .. }), "{end:?}");
        assert_eq!(self.record().phase.name(), phase);
    }

    /// Starts a run that rests because one kind of call was carried out and had no answer.
    fn start_and_lose(&self, which: impl Fn(&Call) -> bool) {
        waits(self.tell_with(Wish::Start(Trigger::Schedule), |state, call| {
            which(call).then(|| {
                state.execute(call, 0);
                Reply::Lost
            })
        }));
    }

    /// Starts a run in a world where consumers hold what is published, and leaves it in `Published`.
    fn start_with_users(&self, users: usize) {
        let (version, holds) = self.published();
        self.change(|state| {
            state.users = vec![User { holds: holds.clone(), version, excused: false }; users];
            for server in &mut state.servers {
                server.sessions.insert(holds.account.clone(), users);
            }
        });
        let end = self.start();
        assert!(matches!(end, End::Until { class: None, .. }), "{end:?}");
        assert_eq!(self.record().phase.name(), PhaseName::Published);
    }

    /// Every consumer reads what is published and logs in with it.
    fn move_users(&self) {
        let (version, holds) = self.published();
        self.change(|state| {
            for user in &mut state.users {
                *user = User { holds: holds.clone(), version, excused: false };
            }
            let users = state.users.len();
            for server in &mut state.servers {
                server.sessions.clear();
                server.sessions.insert(holds.account.clone(), users);
            }
        });
    }

    fn record(&self) -> Record {
        self.state.borrow().record().unwrap()
    }

    fn published(&self) -> (u64, Shown) {
        self.state.borrow().store.published.clone().unwrap()
    }

    /// The secret that the run under way has made.
    fn pending(&self) -> Shown {
        let record = self.record();
        let (account, pending) = record.phase.pending().unwrap();
        Shown { account: account.to_owned(), secret: pending.value.0.expose(<[u8]>::to_vec) }
    }

    /// Whether a login works, by endpoint.
    fn works(&self, login: &Shown) -> Vec<bool> {
        let state = self.state.borrow();
        (0..state.servers.len()).map(|endpoint| state.works(endpoint, login)).collect()
    }
}

fn ordered(order: Order) -> Wish {
    Wish::Order { order, actor: "person".into() }
}

fn leak() -> Trigger {
    Trigger::Leak { finding_id: "f-1".into(), actor: "scanner".into() }
}

/// What a drive waits for, and until when.
fn waits(end: End) -> (Timestamp, Option<String>) {
    match end {
        End::Until { at, class } => (at, class),
        end => panic!("it does not wait: {end:?}"),
    }
}

/// Why an order was refused.
fn refusal(end: End) -> String {
    match end {
        End::Refused { why, .. } => why,
        end => panic!("not refused: {end:?}"),
    }
}

/// Why a person was called.
fn call(end: End) -> String {
    match end {
        End::NeedsPerson { why, .. } => why,
        end => panic!("nobody was called: {end:?}"),
    }
}

#[test]
fn a_run_in_a_quiet_world_ends_proven() {
    for strategy in [alternating(), dual()] {
        let story = Story::new(strategy, &["rw", "pool", "replica-ro"]);
        assert_eq!(story.start(), End::Proven { revision: 1 });
        let (version, published) = story.published();
        assert_eq!(version, 2);
        assert_eq!(story.works(&published), [true; 3]);
        assert_eq!(story.works(&shown(&published.account, "first")), [false; 3]);
        assert_eq!(story.works(&shown("app_a", "first")), [false; 3]);
    }
}
