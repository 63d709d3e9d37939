//! The simulated world: servers, store, consumers, requests on their way.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::fingerprint::Fingerprint;
use shared::journal::{PhaseName, Record, Trigger};
use shared::secret::Secret;

use crate::rotation::context::{Answer, Credential, Lease};
use crate::rotation::simulation::parts::fingerprint;
use crate::rotation::simulation::random::Random;
use crate::rotation::spec::{AtDeadline, Spec};

/// A secret of the simulation, by content; only ever compared.
pub type Value = Vec<u8>;

/// What is published, by content.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The account.
    pub account: String,
    /// The secret.
    pub secret: Value,
}

impl Shown {
    /// As the machine wants it.
    pub fn credential(&self) -> Credential {
        Credential { account: self.account.clone(), secret: Secret::copy_of(&self.secret) }
    }
}

/// A server of the target: what each account accepts.
#[derive(Clone, Debug, Default)]
pub struct Server {
    /// Accepted secrets by account; an empty set cannot log in.
    pub accounts: BTreeMap<String, BTreeSet<Value>>,
    /// Accounts with an open session, and how many.
    pub sessions: BTreeMap<String, usize>,
    /// Counts effects, for the order of late ones.
    pub effects: u64,
}

/// The store: the journal and the published path, each with its version.
#[derive(Clone, Debug, Default)]
pub struct Store {
    /// Version and JSON of the journal.
    pub journal: Option<(u64, Vec<u8>)>,
    /// Version and content of the published path.
    pub published: Option<(u64, Shown)>,
    /// Every version of the published path.
    pub versions: BTreeMap<u64, Shown>,
    /// Whether a person has frozen everything.
    pub frozen: bool,
}

impl Store {
    /// Writes the next version of the published path.
    pub fn publish(&mut self, shown: Shown) -> u64 {
        let next = self.published.as_ref().map_or(0, |(version, _)| *version) + 1;
        self.versions.insert(next, shown.clone());
        self.published = Some((next, shown));
        next
    }
}

/// A consumer and the credential that it uses.
#[derive(Clone, Debug)]
pub struct User {
    /// What it logs in with.
    pub holds: Shown,
    /// The version of the published path that it has read.
    pub version: u64,
    /// Whether it was locked out on purpose: by a person's order, or at the deadline of a leak.
    pub excused: bool,
}

/// What a rotator asks for.
#[derive(Clone, Debug)]
pub enum Call {
    /// Load the journal.
    Load,
    /// Write the journal over a version.
    Store(Vec<u8>, u64),
    /// Read the published path.
    Read,
    /// Write the published path over a version.
    Publish(Shown, u64),
    /// Is the account ready.
    Ready(String, bool),
    /// Make the account accept exactly these.
    Set(usize, String, BTreeSet<Value>, Lease),
    /// Make the account accept these alone and end its sessions.
    Revoke(usize, String, BTreeSet<Value>, Lease),
    /// Try to log in.
    Test(usize, String, Value),
    /// Count sessions.
    Sessions(usize, String),
    /// Ask the consumers.
    Observe(u64),
    /// Issue a receipt.
    Issue(u64),
    /// Read an earlier version of the published path.
    Earlier(u64),
    /// Is everything frozen.
    Frozen,
}

/// What comes back.
#[derive(Clone, Debug)]
pub enum Reply {
    /// Nothing to say but that it is done.
    Done,
    /// A new version.
    Version(u64),
    /// Somebody else wrote first.
    Conflict,
    /// No answer, or a lost one.
    Lost,
    /// The target rejects the value.
    Rejected,
    /// The idle login has a session.
    Busy,
    /// The journal.
    Journal(Option<(u64, Vec<u8>)>),
    /// The published path.
    Published(Option<(u64, Shown)>),
    /// A login's result.
    Login(Answer),
    /// Open sessions.
    Open(usize),
    /// Consumers by name, and whether they have moved.
    Consumers(Vec<(String, bool)>),
    /// Whether everything is frozen.
    Frozen(bool),
}

/// A request on its way.
#[derive(Clone, Debug)]
pub struct Request {
    /// Its number.
    pub id: u64,
    /// The rotator that waits for it.
    pub actor: usize,
    /// What it asks.
    pub call: Call,
}

/// An effect that arrives after its caller has stopped waiting, or a second time.
#[derive(Clone, Debug)]
pub struct Ghost {
    /// Who sent it.
    pub actor: usize,
    /// What it does.
    pub call: Call,
    /// The last moment at which it may arrive.
    pub until: Timestamp,
    /// Effects that its server had seen when it was sent: a locking target lets none pass after later ones.
    pub after: u64,
}

/// Everything.
pub struct State {
    /// The run under test.
    pub spec: Spec,
    /// Whether the target locks.
    pub locks: bool,
    /// The loop's randomness.
    pub random: Random,
    /// Now.
    pub now: Timestamp,
    /// Endpoints in the order of the spec.
    pub servers: Vec<Server>,
    /// Journal and published path.
    pub store: Store,
    /// Consumers.
    pub users: Vec<User>,
    /// Paired Rotations: name, whether it goes first, and its journal.
    pub neighbours: Vec<(String, bool, Vec<u8>)>,
    /// Requests that wait for an answer.
    pub requests: Vec<Request>,
    /// Answers that wait for their caller.
    pub replies: BTreeMap<u64, Reply>,
    /// Effects that will still arrive.
    pub ghosts: Vec<Ghost>,
    /// The next request's number.
    pub next_id: u64,
    /// Values that the target will reject.
    pub rejects: usize,
    /// Secrets that were ever in a stored journal.
    pub journalled: BTreeSet<Value>,
    /// Receipts by revision.
    pub receipts: BTreeMap<u64, String>,
    /// Which (phase, fault) pairs happened.
    pub pairs: BTreeSet<(PhaseName, &'static str)>,
    /// Set when a backup was put back: what is published may be dead until the run has ended.
    pub restored: bool,
    /// Highest epoch that committed, and by which actor.
    pub committed: Option<(u64, usize)>,
    /// The phase that the journal is in.
    pub phase: PhaseName,
    /// Whether its run may lock consumers out: a leak whose policy says so, or a person's order.
    pub may_lock_out: bool,
    /// What a person was told to do last.
    pub advice: Option<String>,
    /// What went wrong, if anything: the name of the broken invariant.
    pub broken: Option<String>,
}

impl State {
    /// The journal as a record, if there is one.
    pub fn record(&self) -> Option<Record> {
        let (_, json) = self.store.journal.as_ref()?;
        Record::parse(&Secret::copy_of(json)).ok()
    }

    /// The keyed name of a secret that could leak: published, outgoing or new.
    pub fn some_secret(&self, random: &mut Random) -> Option<Fingerprint> {
        let record = self.record();
        let mut all: Vec<Fingerprint> = Vec::new();
        all.extend(self.store.published.as_ref().map(|(_, shown)| fingerprint(&shown.secret)));
        if let Some(record) = &record {
            all.extend(record.current.as_ref().map(|current| current.fingerprint));
            all.extend(record.phase.pending().map(|(_, pending)| pending.fingerprint));
        }
        (!all.is_empty()).then(|| all[random.below(all.len())])
    }

    /// Notes that a fault happened in this phase.
    pub fn fault(&mut self, fault: &'static str) {
        self.pairs.insert((self.phase, fault));
    }

    /// Reads phase and trigger out of the journal, after it changed: every event asks for them.
    pub fn look_at_journal(&mut self) {
        let record = self.record();
        self.phase = record.as_ref().map_or(PhaseName::Planned, |r| r.phase.name());
        let at_deadline = self.spec.on_leak.at_deadline == AtDeadline::Revoke;
        self.may_lock_out = record.is_some_and(|record| {
            record.forced().is_some() || (at_deadline && matches!(record.trigger, Trigger::Leak { .. }))
        });
    }

    /// Whether this login works at this endpoint.
    pub fn works(&self, endpoint: usize, shown: &Shown) -> bool {
        self.servers[endpoint].accounts.get(&shown.account).is_some_and(|a| a.contains(&shown.secret))
    }

    /// Does what a request asks, now.
    pub fn execute(&mut self, call: &Call, actor: usize) -> Reply {
        match call {
            Call::Load => Reply::Journal(self.store.journal.clone()),
            Call::Store(json, version) => self.store_journal(json, *version, actor),
            Call::Read => Reply::Published(self.store.published.clone()),
            Call::Publish(shown, version) => {
                let now = self.store.published.as_ref().map_or(0, |(v, _)| *v);
                if now != *version {
                    return Reply::Conflict;
                }
                Reply::Version(self.store.publish(shown.clone()))
            }
            Call::Ready(account, must_be_idle) => {
                let busy = self.servers.iter().any(|s| s.sessions.get(account).is_some_and(|&n| n > 0));
                if *must_be_idle && busy { Reply::Busy } else { Reply::Done }
            }
            Call::Set(endpoint, account, accepts, _) => {
                if self.rejects > 0 {
                    self.rejects -= 1;
                    return Reply::Rejected;
                }
                if !accepts.iter().all(|value| self.journalled.contains(value)) {
                    self.broken = Some("a secret was set that is not in the journal".into());
                }
                self.change(*endpoint, account, accepts, false);
                Reply::Done
            }
            Call::Revoke(endpoint, account, remaining, _) => {
                self.change(*endpoint, account, remaining, true);
                Reply::Done
            }
            Call::Test(endpoint, account, value) => {
                let shown = Shown { account: account.clone(), secret: value.clone() };
                let accepted = self.works(*endpoint, &shown);
                Reply::Login(if accepted { Answer::Accepted } else { Answer::Refused })
            }
            Call::Sessions(endpoint, account) => {
                Reply::Open(self.servers[*endpoint].sessions.get(account).copied().unwrap_or(0))
            }
            Call::Observe(version) => Reply::Consumers(
                self.users
                    .iter()
                    .enumerate()
                    .map(|(index, user)| (format!("user-{index}"), user.version >= *version))
                    .collect(),
            ),
            Call::Issue(revision) => {
                self.receipts.entry(*revision).or_insert_with(|| format!("receipt-{revision}"));
                Reply::Done
            }
            Call::Earlier(version) => {
                Reply::Published(self.store.versions.get(version).map(|shown| (*version, shown.clone())))
            }
            Call::Frozen => Reply::Frozen(self.store.frozen),
        }
    }

    fn store_journal(&mut self, json: &[u8], version: u64, actor: usize) -> Reply {
        let now = self.store.journal.as_ref().map_or(0, |(v, _)| *v);
        if now != version {
            return Reply::Conflict;
        }
        let Ok(record) = Record::parse(&Secret::copy_of(json)) else {
            self.broken = Some("a journal was written that cannot be read".into());
            return Reply::Lost;
        };
        if let Some((epoch, holder)) = self.committed
            && (record.epoch < epoch || (record.epoch == epoch && holder != actor))
        {
            self.broken = Some("two holders committed in one epoch".into());
        }
        self.committed = Some((record.epoch, actor));
        let known = record.phase.pending().map(|(_, pending)| &pending.value.0);
        let old = record.current.as_ref().and_then(|c| c.value.as_ref()).map(|p| &p.0);
        for secret in known.into_iter().chain(old) {
            self.journalled.insert(secret.expose(<[u8]>::to_vec));
        }
        self.spec.revision_seen = self.spec.revision_seen.max(record.revision);
        self.store.journal = Some((now + 1, json.to_vec()));
        self.look_at_journal();
        Reply::Version(now + 1)
    }

    /// Changes an account on a writable endpoint and, when it replicates at once, on its followers.
    fn change(&mut self, endpoint: usize, account: &str, accepts: &BTreeSet<Value>, end_sessions: bool) {
        let followers = self.spec.endpoints.iter().enumerate().filter(|(_, e)| e.read_only).map(|(i, _)| i);
        let targets: Vec<usize> = std::iter::once(endpoint).chain(followers).collect();
        for index in targets {
            let server = &mut self.servers[index];
            server.effects += 1;
            server.accounts.insert(account.to_owned(), accepts.clone());
            if end_sessions {
                server.sessions.insert(account.to_owned(), 0);
            }
        }
        if self.may_lock_out {
            let all = 0..self.servers.len();
            let out: Vec<bool> = self
                .users
                .iter()
                .map(|user| all.clone().any(|server| !self.works(server, &user.holds)))
                .collect();
            for (user, out) in self.users.iter_mut().zip(out) {
                user.excused |= out;
            }
        }
    }
}
