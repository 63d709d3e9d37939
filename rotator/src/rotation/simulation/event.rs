//! The loop: one event after the other, each drawn from the seed.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context as TaskContext, Poll, Waker};
use std::time::Duration;

use jiff::Timestamp;
use shared::journal::{Phase, PhaseName, Trigger};

use crate::rotation::drive::{End, Wish, drive};
use crate::rotation::simulation::check;
use crate::rotation::simulation::parts::{Simulated, context};
use crate::rotation::simulation::random::Random;
use crate::rotation::simulation::set_up::set_up;
use crate::rotation::simulation::state::{Call, Ghost, Reply, Request, Server, State, Store, User};
use crate::rotation::step::later;

/// Events with faults; then faults stop and the run must end.
const FAULTY_EVENTS: usize = 240;
/// Drives after faults have stopped; a run of three endpoints takes about ten.
const CALM_DRIVES: usize = 400;
/// Rotators at once.
pub(super) const ACTORS: usize = 3;

/// Kinds of faults, by the name that is counted.
pub const FAULTS: [&str; 11] = [
    "unreachable",
    "lost answer",
    "late",
    "crash",
    "pause",
    "rival",
    "store restored",
    "server restored",
    "path changed",
    "order",
    "freeze",
];
/// Orders that a person follows when faults have stopped, one after the other as they are advised.
const HELP_MAX: usize = 12;

/// What one seed gave.
#[derive(Debug)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// How many events there were.
    pub events: usize,
    /// The phase that the journal ended in, or `None` when a person was called.
    pub ended: Option<PhaseName>,
    /// Which (phase, fault) pairs happened.
    pub pairs: BTreeSet<(PhaseName, &'static str)>,
    /// The broken invariant, if one was.
    pub broken: Option<String>,
}

type Drive = Pin<Box<dyn Future<Output = End>>>;

pub(super) struct Actor {
    pub(super) drive: Option<Drive>,
    paused_until: Option<Timestamp>,
    lives: u64,
}

/// The loop's own state.
pub(super) struct Loop {
    pub(super) state: Rc<RefCell<State>>,
    pub(super) actors: Vec<Actor>,
    backups: Vec<(Store, Vec<Server>)>,
    pub(super) restored_at: Option<Timestamp>,
    events: usize,
    runs: usize,
    /// Whether people give orders at random.
    pub(super) meddling: bool,
    /// How many more pieces of advice a person follows at the end.
    pub(super) help: usize,
}

/// Runs one seed.
///
/// `None` only if the simulation's own set-up is wrong.
pub fn simulate(seed: u64) -> Option<Outcome> {
    let mut random = Random::new(seed);
    let state = Rc::new(RefCell::new(set_up(&mut random)?));
    let actors = (0..ACTORS).map(|_| Actor { drive: None, paused_until: None, lives: 0 }).collect();
    let mut this = Loop {
        state,
        actors,
        backups: Vec::new(),
        restored_at: None,
        events: 0,
        runs: 0,
        meddling: random.percent(40),
        help: if random.percent(50) { HELP_MAX } else { 0 },
    };
    let mut broken = None;
    // A tenth of the seeds ends early, so that faults stop in every phase.
    let faulty = random.below(FAULTY_EVENTS) + FAULTY_EVENTS / 10;
    for _ in 0..faulty {
        this.event(&mut random);
        broken = check::broken(&this.state.borrow());
        if broken.is_some() {
            break;
        }
    }
    if broken.is_none() {
        broken = this.calm_down();
    }
    let state = this.state.borrow();
    let ended = state.record().filter(|r| r.needs_person.is_none()).map(|r| r.phase.name());
    Some(Outcome { seed, events: this.events, ended, pairs: state.pairs.clone(), broken })
}

impl Loop {
    fn event(&mut self, random: &mut Random) {
        self.events += 1;
        match random.below(100) {
            0..54 => self.answer_one(random, true),
            54..69 => self.start_one(random),
            69..79 => self.pass_time(random),
            79..87 => self.move_user(random),
            87..91 => self.land_ghost(random),
            91..94 => self.crash(random),
            94..96 => self.pause(random),
            96..97 => self.undeclared_session(random),
            97..99 => self.person(random),
            _ => self.backup_or_restore(random),
        }
        self.poll_all();
    }

    /// Polls every rotator that is not paused until it waits for the world.
    fn poll_all(&mut self) {
        let now = self.state.borrow().now;
        for actor in &mut self.actors {
            if actor.paused_until.is_some_and(|until| now < until) {
                continue;
            }
            actor.paused_until = None;
            let Some(drive) = &mut actor.drive else { continue };
            // Wakers are not needed: everything is polled after every event.
            if let Poll::Ready(end) = drive.as_mut().poll(&mut TaskContext::from_waker(Waker::noop())) {
                actor.drive = None;
                self.state.borrow_mut().advice = match end {
                    End::NeedsPerson { next, .. } => Some(next),
                    _ => None,
                };
            }
        }
    }

    fn start_one(&mut self, random: &mut Random) {
        let index = random.below(ACTORS);
        if self.actors[index].drive.is_some() {
            return;
        }
        let leak = || Trigger::Leak { finding_id: "f-1".into(), actor: "scanner".into() };
        let wish = match random.below(20) {
            0..13 if self.runs > 0 => Wish::Resume,
            13 if self.runs > 0 => match self.state.borrow().some_secret(random) {
                Some(current) => Wish::Replace { trigger: leak(), current },
                None => Wish::Resume,
            },
            _ if self.runs >= 2 => Wish::Resume,
            0..16 => Wish::Start(Trigger::Schedule),
            _ => Wish::Start(leak()),
        };
        if matches!(wish, Wish::Start(_)) {
            self.runs += 1;
        }
        if self.actors.iter().any(|a| a.drive.is_some()) {
            self.state.borrow_mut().fault("rival");
        }
        self.spawn(index, wish);
    }

    pub(super) fn spawn(&mut self, index: usize, wish: Wish) {
        let actor = &mut self.actors[index];
        actor.lives += 1;
        let context = context(&self.state, index, format!("rotator-{index}-{}", actor.lives));
        let spec = self.state.borrow().spec.clone();
        actor.drive = Some(Box::pin(async move { drive::<Simulated>(&context, &spec, wish).await }));
    }

    /// Answers one request, or has it fail in one of the ways in which networks fail.
    fn answer_one(&mut self, random: &mut Random, faults: bool) {
        let mut state = self.state.borrow_mut();
        if state.requests.is_empty() {
            return;
        }
        let at = random.below(state.requests.len());
        let request = state.requests.swap_remove(at);
        let id = request.id;
        let reply = match if faults { random.below(100) } else { 99 } {
            0..4 => {
                state.fault("unreachable");
                Reply::Lost
            }
            4..9 => {
                state.fault("lost answer");
                state.execute(&request.call, request.actor);
                Reply::Lost
            }
            9..13 => {
                haunt(&mut state, request, "late");
                Reply::Lost
            }
            _ => state.execute(&request.call, request.actor),
        };
        state.replies.insert(id, reply);
    }

    fn pass_time(&mut self, random: &mut Random) {
        let seconds = [1, 3, 7, 20, 70, 400][random.below(6)];
        let mut state = self.state.borrow_mut();
        state.now = later(state.now, Duration::from_secs(seconds));
        let now = state.now;
        state.ghosts.retain(|ghost| ghost.until >= now);
    }

    /// A consumer reads what is published, logs in anew, and closes its old session.
    fn move_user(&mut self, random: &mut Random) {
        let mut state = self.state.borrow_mut();
        let Some((version, shown)) = state.store.published.clone() else { return };
        if state.users.is_empty() {
            return;
        }
        let at = random.below(state.users.len());
        let old =
            std::mem::replace(&mut state.users[at], User { holds: shown.clone(), version, excused: false });
        for server in &mut state.servers {
            let open = server.sessions.entry(old.holds.account.clone()).or_default();
            *open = open.saturating_sub(1);
            *server.sessions.entry(shown.account.clone()).or_default() += 1;
        }
    }

    fn land_ghost(&mut self, random: &mut Random) {
        let mut state = self.state.borrow_mut();
        if state.ghosts.is_empty() {
            return;
        }
        let at = random.below(state.ghosts.len());
        let ghost = state.ghosts.swap_remove(at);
        if state.now > ghost.until {
            return;
        }
        let server = match &ghost.call {
            Call::Set(endpoint, ..) | Call::Revoke(endpoint, ..) => Some(*endpoint),
            _ => None,
        };
        // On a target that locks, statements run in the order of the session that holds the lock.
        if let Some(endpoint) = server
            && state.locks
            && state.servers[endpoint].effects != ghost.after
        {
            return;
        }
        state.execute(&ghost.call, ghost.actor);
    }

    fn crash(&mut self, random: &mut Random) {
        let index = random.below(ACTORS);
        if self.actors[index].drive.take().is_none() {
            return;
        }
        self.actors[index].paused_until = None;
        let mut state = self.state.borrow_mut();
        state.fault("crash");
        let (mine, others) = std::mem::take(&mut state.requests).into_iter().partition(|r| r.actor == index);
        state.requests = others;
        let mine: Vec<Request> = mine;
        for request in mine {
            if random.percent(50) {
                haunt(&mut state, request, "crash");
            }
        }
    }

    fn pause(&mut self, random: &mut Random) {
        let index = random.below(ACTORS);
        if self.actors[index].drive.is_none() {
            return;
        }
        let mut state = self.state.borrow_mut();
        state.fault("pause");
        self.actors[index].paused_until = Some(later(state.now, state.spec.lease * 2));
    }

    /// Somebody whom no manifest names logs in with what is published, or leaves.
    fn undeclared_session(&mut self, random: &mut Random) {
        let mut state = self.state.borrow_mut();
        let Some((_, shown)) = state.store.published.clone() else { return };
        let declared = state.users.iter().filter(|u| u.holds.account == shown.account).count();
        let open = if random.percent(50) { declared + 1 } else { declared };
        for server in &mut state.servers {
            server.sessions.insert(shown.account.clone(), open);
        }
    }

    /// Every so often a backup is made, and seldom one is put back, in a tenth of the seeds.
    fn backup_or_restore(&mut self, random: &mut Random) {
        let mut state = self.state.borrow_mut();
        if self.backups.is_empty() || random.percent(60) {
            self.backups.push((state.store.clone(), state.servers.clone()));
            return;
        }
        let (store, servers) = self.backups[random.below(self.backups.len())].clone();
        if random.percent(50) {
            state.fault("store restored");
            state.store = store;
            state.committed = None;
            state.look_at_journal();
            // Tokens younger than the backup are gone with it: who was at work cannot go on.
            state.requests.clear();
            state.ghosts.clear();
            for actor in &mut self.actors {
                actor.drive = None;
                actor.paused_until = None;
            }
        } else {
            state.fault("server restored");
            state.servers = servers;
        }
        state.restored = true;
        self.restored_at = Some(state.now);
    }

    /// Faults stop; somebody resumes every so often, consumers move. The run must end.
    fn calm_down(&mut self) -> Option<String> {
        {
            let mut state = self.state.borrow_mut();
            state.requests.clear();
            state.rejects = 0;
            let until = later(state.now, state.spec.lease * 3);
            state.now = until;
            state.ghosts.clear();
        }
        for actor in &mut self.actors {
            actor.drive = None;
            actor.paused_until = None;
        }
        let mut random = self.state.borrow().random.clone();
        for _ in 0..CALM_DRIVES {
            let first = {
                let state = self.state.borrow();
                state.store.journal.is_none() && state.spec.revision_seen == 0
            };
            let wish = match self.advised() {
                Some(order) => Wish::Order { order, actor: "person".into() },
                None if first => Wish::Start(Trigger::Schedule),
                None => Wish::Resume,
            };
            self.spawn(0, wish);
            self.poll_all();
            while self.actors[0].drive.is_some() {
                self.events += 1;
                self.answer_one(&mut random, false);
                self.poll_all();
                if let Some(broken) = check::broken(&self.state.borrow()) {
                    return Some(broken);
                }
            }
            let users = self.state.borrow().users.len();
            for _ in 0..users * 3 {
                self.move_user(&mut random);
            }
            for server in &mut self.state.borrow_mut().servers {
                server.sessions.clear();
            }
            let mut state = self.state.borrow_mut();
            state.now = later(state.now, Duration::from_mins(2));
            let over = state.record().is_none_or(|record| {
                record.needs_person.is_some()
                    || record.phase.is_over()
                    || record.revision < state.spec.revision_seen
            });
            if over && (self.help == 0 || state.advice.is_none()) {
                break;
            }
        }
        let state = self.state.borrow();
        if let (Some(restored_at), Some(record)) = (self.restored_at, state.record()) {
            // Put back after the last proof: nothing could have seen it before the next run.
            let after =
                |p: &shared::journal::Progress| p.proven.as_ref().is_some_and(|p| p.at <= restored_at);
            if record.phase.name() == PhaseName::Proven && record.endpoints.values().any(after) {
                return None;
            }
            if let Phase::Aborted { aborted_at: at } | Phase::Adopted { adopted_at: at, .. } = &record.phase
                && *at <= restored_at
            {
                return None;
            }
        }
        check::broken_at_end(&state)
    }
}

/// Lets an effect arrive later, if it is one.
fn haunt(state: &mut State, request: Request, fault: &'static str) {
    state.fault(fault);
    let Request { actor, call, .. } = request;
    let (until, after) = match &call {
        Call::Set(endpoint, .., lease) | Call::Revoke(endpoint, .., lease) => {
            (lease.until, state.servers[*endpoint].effects)
        }
        Call::Store(..) | Call::Publish(..) => (later(state.now, state.spec.lease * 4), 0),
        Call::Load
        | Call::Read
        | Call::Ready(..)
        | Call::Test(..)
        | Call::Sessions(..)
        | Call::Observe(_)
        | Call::Earlier(_)
        | Call::Frozen
        | Call::Issue(_) => {
            return;
        }
    };
    state.ghosts.push(Ghost { actor, call, until, after });
}
