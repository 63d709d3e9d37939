//! One step against the world: probe first, act once, say what is true now.
//!
//! Every effect may be done again after a crash or a lost answer, so each one asks the target before it acts and
//! leaves the same state when it is repeated. Nothing is generated here but in `Stage`, and `Stage` only writes
//! down: its secret is set in a later step, after the journal has it.

use jiff::Timestamp;
use shared::journal::{Pending, Phase, Plaintext, Record};
use shared::secret::Secret;

use crate::rotation::context::{
    Answer, Backend, Clock, Consumer, ConsumerState, Consumers, Context, Credential, Journal, Lease, Maker,
    NoAnswer, Publication, PublicationError, Published, SetError, World,
};
use crate::rotation::pairs::waits_for;
use crate::rotation::planted::{self, Bug};
use crate::rotation::spec::{ATTEMPTS_MAX, AtDeadline, REVOKES_MAX, Spec, Strategy};
use crate::rotation::step::{Change, Release, Step, later};

/// Why a step was not done.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// Time may heal it; nothing is known to have changed.
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    /// Only a person can go on.
    #[error("{why}; {next}")]
    NeedsPerson {
        /// What is wrong.
        why: String,
        /// What to do.
        next: String,
    },
    /// Too little of the lease is left for an effect: take it again first.
    #[error("too little of the lease is left")]
    LeaseEnds,
    /// The phase has no such step: an error of this program.
    #[error("the step {0} does not belong to this phase")]
    WrongPhase(&'static str),
}

pub(super) fn person(why: impl Into<String>, next: impl Into<String>) -> StepError {
    StepError::NeedsPerson { why: why.into(), next: next.into() }
}

/// Does one step of the run in `record`.
///
/// # Errors
/// See [`StepError`]; after each of them the step can be done again.
pub async fn apply<W: World>(
    step: &Step,
    record: &Record,
    spec: &Spec,
    context: &Context<W>,
) -> Result<Change, StepError> {
    let acting = Acting { record, spec, context };
    match step {
        Step::Stage => acting.stage(1).await,
        Step::Apply(endpoint) => acting.apply(endpoint).await,
        Step::Test(endpoint) => acting.test(endpoint).await,
        Step::Publish => acting.publish().await,
        Step::Observe => acting.observe().await,
        Step::Revoke(endpoint) => acting.revoke(endpoint).await,
        Step::Prove(endpoint) => acting.prove(endpoint).await,
        Step::Conclude => acting.conclude().await,
        Step::Fence => acting.fence().await,
        Step::Withdraw(endpoint) => acting.withdraw(endpoint).await,
        Step::Look(endpoint) => acting.look(endpoint).await,
        Step::Close => Ok(Change::Closed),
        Step::Rest(_) => Err(StepError::WrongPhase("rest")),
    }
}

/// One step in the doing.
pub(super) struct Acting<'a, W: World> {
    pub(super) record: &'a Record,
    pub(super) spec: &'a Spec,
    pub(super) context: &'a Context<W>,
}

impl<W: World> Acting<'_, W> {
    pub(super) fn now(&self) -> Timestamp {
        self.context.clock.now()
    }

    pub(super) fn pending(&self) -> Result<(&str, &Pending), StepError> {
        self.record.phase.pending().ok_or(StepError::WrongPhase("an effect without a secret"))
    }

    pub(super) fn old(&self) -> Option<(&str, &Secret)> {
        let current = self.record.current.as_ref()?;
        Some((current.slot.as_str(), &current.value.as_ref()?.0))
    }

    /// The right to start one effect now. Asked immediately before each, with nothing awaited in between, so
    /// that a process that was paused does not act on a lease that is over.
    pub(super) fn lease(&self) -> Result<Lease, StepError> {
        if later(self.now(), self.spec.effect_timeout) > self.record.deadline {
            return Err(StepError::LeaseEnds);
        }
        Ok(Lease { epoch: self.record.epoch, until: self.record.deadline })
    }

    async fn stage(&self, attempt: u32) -> Result<Change, StepError> {
        if matches!(self.record.phase, Phase::Planned) {
            self.neighbours_rest().await?;
        }
        let current = self.record.current.as_ref().map(|c| c.slot.as_str());
        let slot = self.spec.strategy.next_slot(current).to_owned();
        // With two accounts the idle one must really be idle: an application that still uses it would lose it.
        let must_be_idle = matches!(self.spec.strategy, Strategy::Alternating { .. });
        self.context.backend.ready(&slot, must_be_idle).await.map_err(unready)?;
        let secret = self.context.maker.make(&self.spec.policy)?;
        let fingerprint = self.context.maker.name(&secret);
        let successor = self.record.phase.pending().is_some();
        let pending = Pending { value: Plaintext(secret), fingerprint, attempt, successor };
        Ok(Change::Staged { slot, pending })
    }

    /// Paired credentials are not replaced together. A leak does not wait: the other one still works.
    async fn neighbours_rest(&self) -> Result<(), StepError> {
        if matches!(self.record.trigger, shared::journal::Trigger::Leak { .. }) {
            return Ok(());
        }
        let neighbours = self.context.journal.neighbours().await?;
        match waits_for(&neighbours, self.now()) {
            Some(name) => {
                let class = format!("waits for {name}");
                Err(NoAnswer { what: "a paired Rotation is under way".into(), class }.into())
            }
            None => Ok(()),
        }
    }

    /// What the pending secret's account must accept while the old one is still alive.
    pub(super) fn accepts<'b>(&'b self, pending: &'b Secret) -> Vec<&'b Secret> {
        let keeps_old = match self.spec.strategy {
            Strategy::Dual { .. } => self.record.endpoints.values().all(|p| p.revoked.is_none()),
            Strategy::Alternating { .. } | Strategy::Single { .. } => false,
        };
        match self.old() {
            Some((_, old)) if keeps_old => vec![old, pending],
            Some(_) | None => vec![pending],
        }
    }

    async fn apply(&self, endpoint: &str) -> Result<Change, StepError> {
        let (slot, pending) = self.pending()?;
        let secret = &pending.value.0;
        let backend = &self.context.backend;
        if backend.test(endpoint, slot, secret).await? == Answer::Accepted {
            return Ok(Change::Applied(endpoint.to_owned()));
        }
        match backend.set(endpoint, slot, &self.accepts(secret), self.lease()?).await {
            Ok(()) => Ok(Change::Applied(endpoint.to_owned())),
            Err(SetError::Rejected(_)) if pending.attempt < ATTEMPTS_MAX => {
                self.stage(pending.attempt + 1).await
            }
            Err(SetError::Rejected(why)) => Err(person(
                format!("{endpoint} rejects every generated value ({why})"),
                format!("set `generate` to what {endpoint} takes, then `rotator retry {}`", self.spec.name),
            )),
            Err(SetError::NeedsPerson { why, next }) => Err(person(why, next)),
            Err(SetError::NoAnswer(lost)) => Err(lost.into()),
        }
    }

    async fn test(&self, endpoint: &str) -> Result<Change, StepError> {
        let (slot, pending) = self.pending()?;
        let backend = &self.context.backend;
        // An endpoint that lets a random password in would "accept" ours without checking it.
        let random = self.context.maker.make(&self.spec.policy)?;
        if backend.test(endpoint, slot, &random).await? == Answer::Accepted {
            return Err(person(
                format!("{endpoint} accepts any password for {slot}: it checks nothing"),
                format!(
                    "make {endpoint} check passwords (PostgreSQL: no `trust` in pg_hba.conf), then `rotator retry {}`",
                    self.spec.name
                ),
            ));
        }
        match backend.test(endpoint, slot, &pending.value.0).await? {
            Answer::Accepted => Ok(Change::Tested(endpoint.to_owned())),
            Answer::Refused => self.contradicted(endpoint, "the new secret was set and is refused"),
        }
    }

    /// The endpoint does not do what it was told: again, a few times, then a person looks.
    pub(super) fn contradicted(&self, endpoint: &str, what: &str) -> Result<Change, StepError> {
        let tries = self.record.endpoints.get(endpoint).map_or(0, |p| p.tries);
        if tries >= REVOKES_MAX {
            return Err(person(
                format!("{endpoint}: {what}, {tries} times"),
                format!("{}, then `rotator retry {}`", self.context.backend.advice(endpoint), self.spec.name),
            ));
        }
        Ok(Change::Contradicted(endpoint.to_owned()))
    }

    pub(super) async fn published(&self) -> Result<Option<Published>, StepError> {
        match self.context.publication.read().await {
            Ok(published) => Ok(published),
            Err(PublicationError::NoAnswer(lost)) => Err(lost.into()),
            Err(PublicationError::Incomplete(property)) => Err(person(
                format!("the published path has lost its property `{property}`"),
                format!("put it back, then `rotator retry {}`", self.spec.name),
            )),
        }
    }

    pub(super) fn is_pending(&self, published: &Published) -> Result<bool, StepError> {
        let (slot, pending) = self.pending()?;
        let credential = &published.credential;
        Ok(credential.account == slot && credential.secret.same_as(&pending.value.0))
    }

    async fn publish(&self) -> Result<Change, StepError> {
        let (slot, pending) = self.pending()?;
        let published = self.published().await?;
        let version = match &published {
            Some(published) if self.is_pending(published)? => {
                return Ok(Change::Published(published.version));
            }
            Some(published) if self.is_current(published) => published.version,
            None if self.record.current.is_none() => 0,
            Some(_) | None => return Err(self.changed_by_somebody()),
        };
        let credential = Credential { account: slot.to_owned(), secret: pending.value.0.duplicate() };
        self.lease()?;
        match self.context.publication.publish(&credential, version).await {
            Ok(version) => Ok(Change::Published(version)),
            // Somebody wrote between our read and our write: read again, and decide then.
            Err(crate::rotation::context::CasError::Conflict(what)) => {
                Err(NoAnswer { what, class: "conflict".into() }.into())
            }
            Err(crate::rotation::context::CasError::NoAnswer(lost)) => Err(lost.into()),
        }
    }

    pub(super) fn is_current(&self, published: &Published) -> bool {
        self.old().is_some_and(|(slot, old)| {
            published.credential.account == slot && published.credential.secret.same_as(old)
        })
    }

    pub(super) fn changed_by_somebody(&self) -> StepError {
        person(
            "the published path no longer holds what this run left there: a person changed it, or its store was restored",
            format!(
                "`rotator reconcile {name}` publishes what the server accepts; `rotator abort {name}` leaves it",
                name = self.spec.name
            ),
        )
    }

    async fn observe(&self) -> Result<Change, StepError> {
        let Phase::Published { kv_version, published_at, .. } = &self.record.phase else {
            return Err(StepError::WrongPhase("observe"));
        };
        let forced = self.record.forced().is_some();
        let consumers = match self.context.consumers.observe(*kv_version, &self.record.spread).await {
            Ok(consumers) => consumers,
            // A person wants the old secret gone, whoever can be asked.
            Err(_) if forced => Vec::new(),
            Err(lost) => return Err(lost.into()),
        };
        let external = self.spec.external.iter().map(|name| self.external(name));
        let (moved, mut moving): (Vec<_>, Vec<_>) =
            consumers.into_iter().chain(external).partition(|c| c.state == ConsumerState::Moved);
        if planted::is(Bug::SkipConsumer) {
            moving.pop();
        }
        let now = self.now();
        let leaked = matches!(self.record.trigger, shared::journal::Trigger::Leak { .. });
        // After a person's order the patience begins anew.
        let patient_from = self.record.orders.last().map_or(*published_at, |o| o.at.max(*published_at));
        let release = if forced {
            Release::Forced
        } else if moving.is_empty() {
            Release::AllMoved
        } else if leaked
            && self.spec.on_leak.at_deadline == AtDeadline::Revoke
            && now >= later(*published_at, self.spec.on_leak.deadline)
        {
            Release::LeakDeadline
        } else if now >= later(patient_from, self.spec.spread_timeout) {
            let names = moving.iter().map(|c| c.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(person(
                format!("consumers still use the old secret: {names}; it stays alive"),
                self.how_to_move(&moving),
            ));
        } else {
            Release::NotYet
        };
        Ok(Change::Observed { moved: moved.into_iter().map(|c| c.name).collect(), release })
    }

    /// A consumer that only a person can speak for.
    fn external(&self, name: &str) -> Consumer {
        let released = self.record.spread.contains_key(name);
        let state = if released { ConsumerState::Moved } else { ConsumerState::Moving };
        Consumer { name: name.to_owned(), state }
    }

    fn how_to_move(&self, moving: &[Consumer]) -> String {
        let name = &self.spec.name;
        let external: Vec<String> = moving
            .iter()
            .filter(|consumer| self.spec.external.contains(&consumer.name))
            .map(|consumer| format!("`rotator release {name} {}`", consumer.name))
            .collect();
        if external.len() == moving.len() {
            format!("give them the new secret, then {}", external.join(" and "))
        } else if external.is_empty() {
            format!("bring them up, then `rotator retry {name}`")
        } else {
            format!("bring them up, then {} and `rotator retry {name}`", external.join(" and "))
        }
    }
}

fn unready(error: SetError) -> StepError {
    match error {
        SetError::NoAnswer(lost) => StepError::NoAnswer(lost),
        SetError::NeedsPerson { why, next } => StepError::NeedsPerson { why, next },
        SetError::Rejected(why) => person(why, "look at the account"),
    }
}
