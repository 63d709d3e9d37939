//! The end of the old secret: taken away, and shown to be dead.

use jiff::Timestamp;
use shared::journal::{Phase, Proof, ProofKind};
use shared::secret::Secret;

use crate::rotation::apply::{Acting, StepError, person};
use crate::rotation::context::{Answer, Backend, Receipts, SetError, World};
use crate::rotation::spec::Strategy;
use crate::rotation::step::{Change, later};

impl<W: World> Acting<'_, W> {
    /// The last look before something is taken away: what is published must be what was proven to work.
    async fn still_published(&self) -> Result<(), StepError> {
        match self.published().await? {
            Some(published) if self.is_pending(&published)? => Ok(()),
            Some(_) | None => Err(self.changed_by_somebody()),
        }
    }

    /// Gives the new secret back to an endpoint that lost it (restored from an older state).
    async fn set_again(&self, endpoint: &str) -> Result<Change, StepError> {
        let (slot, pending) = self.pending()?;
        let secret = &pending.value.0;
        let writable = self.spec.endpoints.iter().any(|e| e.name == endpoint && !e.read_only);
        if writable {
            match self.context.backend.set(endpoint, slot, &self.accepts(secret), self.lease()?).await {
                Ok(()) => {}
                Err(SetError::NoAnswer(lost)) => return Err(lost.into()),
                Err(SetError::Rejected(why) | SetError::NeedsPerson { why, .. }) => {
                    return Err(person(
                        format!("{endpoint} lost the published secret and does not take it back ({why})"),
                        format!("look at {endpoint}, then `rotator retry {}`", self.spec.name),
                    ));
                }
            }
        }
        self.contradicted(endpoint, "the published secret is refused")
    }

    pub(super) async fn revoke(&self, endpoint: &str) -> Result<Change, StepError> {
        let Phase::Spread { spread_at, .. } = &self.record.phase else {
            return Err(StepError::WrongPhase("revoke"));
        };
        let (slot, pending) = self.pending()?;
        let backend = &self.context.backend;
        self.still_published().await?;
        if backend.test(endpoint, slot, &pending.value.0).await? == Answer::Refused {
            return self.set_again(endpoint).await;
        }
        let Some((old_account, _)) = self.old() else {
            return Ok(Change::Revoked(endpoint.to_owned()));
        };
        if let Some(until) = self.sessions_hold(old_account, *spread_at).await? {
            return Ok(Change::GraceExtended(until));
        }
        self.take_away(endpoint, old_account, slot, &pending.value.0).await?;
        Ok(Change::Revoked(endpoint.to_owned()))
    }

    /// With two accounts a session of the old one, at whatever endpoint, is a consumer that nobody declared: it gets
    /// more time.
    async fn sessions_hold(
        &self,
        old_account: &str,
        spread_at: Timestamp,
    ) -> Result<Option<Timestamp>, StepError> {
        let alternating = matches!(self.spec.strategy, Strategy::Alternating { .. });
        let leaked = matches!(self.record.trigger, shared::journal::Trigger::Leak { .. });
        let last = later(spread_at, self.spec.grace.max);
        let now = self.now();
        let forced = self.record.forced().is_some();
        if !alternating || leaked || forced || now >= last {
            return Ok(None);
        }
        for endpoint in &self.spec.endpoints {
            let sessions = self.context.backend.sessions(&endpoint.name, old_account).await?;
            if let Some(first) = sessions.as_ref().and_then(|open| open.first()) {
                tracing::info!(
                    rotation = %self.spec.name, endpoint = %endpoint.name, account = old_account, client = %first.client,
                    "the old login is still in use; it gets more time"
                );
                let step = self.spec.grace.max / 16;
                return Ok(Some(later(now, step.max(self.spec.effect_timeout)).min(last)));
            }
        }
        Ok(None)
    }

    async fn take_away(
        &self,
        endpoint: &str,
        old_account: &str,
        slot: &str,
        new: &Secret,
    ) -> Result<(), StepError> {
        let remaining = (old_account == slot).then_some(new);
        match self.context.backend.revoke(endpoint, old_account, remaining, self.lease()?).await {
            Ok(()) => Ok(()),
            Err(SetError::NoAnswer(lost)) => Err(lost.into()),
            Err(SetError::Rejected(why) | SetError::NeedsPerson { why, .. }) => Err(person(
                format!("{endpoint} does not let go of the old secret of {old_account} ({why})"),
                format!(
                    "allow the administrator to change {old_account}, then `rotator retry {}`",
                    self.spec.name
                ),
            )),
        }
    }

    pub(super) async fn prove(&self, endpoint: &str) -> Result<Change, StepError> {
        let (slot, pending) = self.pending()?;
        let new = &pending.value.0;
        let backend = &self.context.backend;
        self.still_published().await?;
        if backend.test(endpoint, slot, new).await? == Answer::Refused {
            return self.set_again(endpoint).await;
        }
        let Some((old_account, old)) = self.old() else {
            let proof = Proof { kind: ProofKind::Absent, at: self.now(), sessions_left: Some(0) };
            return Ok(Change::Proven(endpoint.to_owned(), proof));
        };
        if backend.test(endpoint, old_account, old).await? == Answer::Accepted {
            let writable = self.spec.endpoints.iter().any(|e| e.name == endpoint && !e.read_only);
            if writable {
                self.take_away(endpoint, old_account, slot, new).await?;
            }
            return self.contradicted(endpoint, "the old secret was revoked and is still accepted");
        }
        if backend.test(endpoint, slot, new).await? == Answer::Refused {
            return self.set_again(endpoint).await;
        }
        let sessions_left = if old_account == slot {
            None
        } else {
            backend.sessions(endpoint, old_account).await?.map(|open| open.len() as u64)
        };
        let proof = Proof { kind: ProofKind::Refused, at: self.now(), sessions_left };
        Ok(Change::Proven(endpoint.to_owned(), proof))
    }

    pub(super) async fn conclude(&self) -> Result<Change, StepError> {
        self.still_published().await?;
        if self.record.current.is_none() {
            return Ok(Change::Concluded(None));
        }
        Ok(Change::Concluded(Some(self.context.receipts.issue(self.record).await?)))
    }
}
