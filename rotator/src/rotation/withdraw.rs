//! The way back: a run that a person aborted takes its new secret away again.
//!
//! Only before anything was published. First the published path is written once more, unchanged, so that a write
//! of the new credential that is still on its way finds another version and fails; only then is the new secret
//! taken away, and what was published before stays what works.

use shared::journal::Record;
use shared::secret::Secret;

use crate::rotation::apply::{Acting, StepError, person};
use crate::rotation::context::{
    Answer, Backend, CasError, Credential, NoAnswer, Publication, Published, SetError, World,
};
use crate::rotation::step::Change;

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
        let (slot, pending) = self.pending()?;
        let backend = &self.context.backend;
        let foreign = self.foreign(slot).await?;
        // What the account accepted before a first run is not known: it is changed only if this run changed it.
        let untouched = self.record.current.is_none() && !ever_applied(self.record, endpoint);
        if (foreign.is_some() || untouched)
            && backend.test(endpoint, slot, &pending.value.0).await? == Answer::Refused
        {
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

    pub(super) async fn look(&self, endpoint: &str) -> Result<Change, StepError> {
        let (slot, pending) = self.pending()?;
        let backend = &self.context.backend;
        let writable = self.spec.endpoints.iter().any(|e| e.name == endpoint && !e.read_only);
        let lost = backend.test(endpoint, slot, &pending.value.0).await? == Answer::Accepted;
        let kept = match self.keeps(slot) {
            Some(_) if self.foreign(slot).await?.is_some() => true,
            Some(old) => backend.test(endpoint, slot, old).await? == Answer::Accepted,
            None => true,
        };
        if !lost && kept {
            return Ok(Change::Gone(endpoint.to_owned()));
        }
        if !writable {
            // It follows the others; time alone helps.
            let what = format!("{endpoint} has not followed");
            return Err(NoAnswer { what, class: "replica behind".into() }.into());
        }
        self.withdraw(endpoint).await?;
        self.contradicted(endpoint, "the new secret was taken away and is still accepted")
    }
}

fn ever_applied(record: &Record, endpoint: &str) -> bool {
    record.endpoints.get(endpoint).is_some_and(|progress| progress.applied.is_some())
}
