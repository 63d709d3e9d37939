//! The way back: a run that a person aborted takes its new secret away again.
//!
//! Only before anything was published. First the published path is written once more, unchanged, so that a write
//! of the new credential that is still on its way finds another version and fails; only then is the new secret
//! taken away, and what was published before stays what works.

use shared::journal::{Phase, Record};
use shared::secret::Secret;

use crate::rotation::apply::{Acting, StepError, person};
use crate::rotation::context::{
    Answer, Backend, CasError, Credential, NoAnswer, Publication, Published, SetError, World,
};
use crate::rotation::step::{Change, later};

impl<W: World> Acting<'_, W> {
    pub(super) async fn fence(&self) -> Result<Change, StepError> {
        let published = self.published().await?;
        let tested = self.record.reached.contains_key(&shared::journal::PhaseName::Tested);
        match published {
            Some(published) if tested && self.is_pending(&published)? => {
                Ok(Change::PublishedAfterAll(published.version))
            }
            Some(published) if self.is_current(&published) => {
                let credential = published.credential;
                self.lease()?;
                match self.context.publication.publish(&credential, published.version).await {
                    Ok(version) => Ok(Change::Fenced(Some(version))),
                    Err(CasError::Conflict(what)) => Err(NoAnswer { what, class: "conflict".into() }.into()),
                    Err(CasError::NoAnswer(lost)) => Err(lost.into()),
                }
            }
            // Somebody wrote after this run read the path: a late write of ours finds another version already.
            Some(_) => Ok(Change::Fenced(None)),
            None if self.record.current.is_none() => Ok(Change::Fenced(None)),
            None => Err(self.changed_by_somebody()),
        }
    }

    /// What the account must accept after the new secret is gone, if it is the account that consumers use.
    fn keeps(&self, slot: &str) -> Option<&Secret> {
        self.old().filter(|(account, _)| *account == slot).map(|(_, secret)| secret)
    }

    /// What a person published for the account of the new secret.
    async fn foreign(&self, slot: &str) -> Result<Option<Published>, StepError> {
        let published = self.published().await?;
        Ok(published.filter(|published| published.credential.account == slot && !self.is_current(published)))
    }

    pub(super) async fn withdraw(&self, endpoint: &str) -> Result<Change, StepError> {
        let (slot, _) = self.pending()?;
        let backend = &self.context.backend;
        let foreign = self.foreign(slot).await?;
        // What the account accepted before a first run is not known: it is changed only if this run changed it.
        let untouched = self.record.current.is_none() && !ever_applied(self.record, endpoint);
        if (foreign.is_some() || untouched) && !self.has_ours(endpoint).await? {
            return Ok(Change::Withdrawn(endpoint.to_owned()));
        }
        if let Some(foreign) = foreign {
            return Err(self.would_lock_out(endpoint, &foreign));
        }
        let done = match self.keeps(slot) {
            Some(old) => backend.set(endpoint, slot, &[old], self.lease()?).await,
            None => backend.revoke(endpoint, slot, None, self.lease()?).await,
        };
        match done {
            Ok(()) => Ok(Change::Withdrawn(endpoint.to_owned())),
            Err(SetError::NoAnswer(lost)) => Err(lost.into()),
            Err(SetError::Rejected(why) | SetError::NeedsPerson { why, .. }) => Err(person(
                format!("{endpoint} does not let go of the new secret of {slot} ({why})"),
                format!("allow the administrator to change {slot}, then `rotator retry {}`", self.spec.name),
            )),
        }
    }

    fn would_lock_out(&self, endpoint: &str, published: &Published) -> StepError {
        let Credential { account, .. } = &published.credential;
        person(
            format!(
                "a person published another secret of {account}: to take ours away at {endpoint} would take theirs too"
            ),
            format!(
                "change the password of {account} by hand, publish it, then `rotator adopt {}`",
                self.spec.name
            ),
        )
    }

    /// Whether an endpoint accepts a secret that this run made.
    async fn has_ours(&self, endpoint: &str) -> Result<bool, StepError> {
        let (slot, pending) = self.pending()?;
        for made in std::iter::once(pending).chain(&self.record.discarded) {
            if self.context.backend.test(endpoint, slot, &made.value.0).await? == Answer::Accepted {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether an endpoint is as it was before this run, as far as a login can tell.
    async fn is_as_before(&self, endpoint: &str) -> Result<bool, StepError> {
        if self.has_ours(endpoint).await? {
            return Ok(false);
        }
        let (slot, _) = self.pending()?;
        match self.keeps(slot) {
            Some(old) if self.foreign(slot).await?.is_none() => {
                Ok(self.context.backend.test(endpoint, slot, old).await? == Answer::Accepted)
            }
            Some(_) | None => Ok(true),
        }
    }

    pub(super) async fn look(&self, endpoint: &str) -> Result<Change, StepError> {
        if self.is_as_before(endpoint).await? {
            return Ok(Change::Gone(endpoint.to_owned()));
        }
        let changed_back = "the new secret was taken away and is still accepted";
        if self.spec.endpoints.iter().any(|e| e.name == endpoint && !e.read_only) {
            self.withdraw(endpoint).await?;
            return self.contradicted(endpoint, changed_back);
        }
        // A replica shows what the others have. One of them may have been restored after it was looked at.
        for writable in self.spec.endpoints.iter().filter(|e| !e.read_only) {
            if !self.is_as_before(&writable.name).await? {
                self.withdraw(&writable.name).await?;
                return self.contradicted(&writable.name, changed_back);
            }
        }
        self.not_followed(endpoint)
    }

    /// Time alone helps a replica, and not for ever.
    fn not_followed(&self, endpoint: &str) -> Result<Change, StepError> {
        let Phase::Aborting { acted_at, .. } = &self.record.phase else {
            return Err(StepError::WrongPhase("look"));
        };
        let ordered_at = self.record.orders.last().map_or(*acted_at, |ordered| ordered.at.max(*acted_at));
        if self.now() < later(ordered_at, self.spec.spread_timeout) {
            let what = format!("{endpoint} has not followed");
            return Err(NoAnswer { what, class: "replica behind".into() }.into());
        }
        Err(person(
            format!("{endpoint} does not follow: it still accepts the new secret"),
            format!("look at the replication of {endpoint}, then `rotator retry {}`", self.spec.name),
        ))
    }
}

fn ever_applied(record: &Record, endpoint: &str) -> bool {
    record.endpoints.get(endpoint).is_some_and(|progress| progress.applied.is_some())
}
