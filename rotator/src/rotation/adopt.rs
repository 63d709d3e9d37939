//! A credential that was there before us: tried at every endpoint, and written into the journal. Nothing is changed.

use std::collections::BTreeMap;

use jiff::Timestamp;
use shared::journal::{JOURNAL_VERSION, Order, Ordered, Phase, PhaseName, Record, Trigger};
use shared::secret::Secret;

use crate::rotation::begin::{left_behind, published};
use crate::rotation::context::{
    Answer, Backend, CasError, Clock, Context, Credential, Maker, NoAnswer, Publication, PublicationError,
    Published, World,
};
use crate::rotation::drive::{End, held, own, until};
use crate::rotation::order::refused;
use crate::rotation::spec::Spec;
use crate::rotation::step::later;

/// Where a secret works.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Works {
    Everywhere,
    Nowhere,
    /// Not at this endpoint, but at another.
    NotAt(String),
}

/// One look at what is published and what works.
pub(super) struct Looking<'a, W: World> {
    pub(super) context: &'a Context<W>,
    pub(super) spec: &'a Spec,
}

impl<W: World> Looking<'_, W> {
    pub(super) async fn works(&self, account: &str, secret: &Secret) -> Result<Works, End> {
        let (mut refused_at, mut accepted) = (None, false);
        for endpoint in &self.spec.endpoints {
            match self.answer(&endpoint.name, account, secret).await? {
                Answer::Accepted => accepted = true,
                Answer::Refused => refused_at = refused_at.or(Some(endpoint.name.clone())),
            }
        }
        Ok(match (refused_at, accepted) {
            (None, _) => Works::Everywhere,
            (Some(_), false) => Works::Nowhere,
            (Some(endpoint), true) => Works::NotAt(endpoint),
        })
    }

    async fn answer(&self, endpoint: &str, account: &str, secret: &Secret) -> Result<Answer, End> {
        let asked = self.context.backend.test(endpoint, account, secret);
        match self.context.clock.within(self.spec.effect_timeout, asked).await {
            Some(Ok(answer)) => Ok(answer),
            Some(Err(lost)) => Err(self.lost(&lost)),
            None => Err(until(self.context, self.spec, "timeout")),
        }
    }

    fn lost(&self, lost: &NoAnswer) -> End {
        until(self.context, self.spec, &lost.class)
    }

    /// An endpoint that lets anybody in shows nothing about the credential.
    async fn checks(&self, account: &str) -> Result<(), End> {
        for endpoint in &self.spec.endpoints {
            let random = self.context.maker.make(&self.spec.policy).map_err(|lost| self.lost(&lost))?;
            if self.answer(&endpoint.name, account, &random).await? == Answer::Accepted {
                return Err(refused(
                    format!("{} accepts any password for {account}: it checks nothing", endpoint.name),
                    format!("make {} check passwords, then adopt again", endpoint.name),
                ));
            }
        }
        Ok(())
    }

    /// The published credential, tried at every endpoint.
    pub(super) async fn tried(&self) -> Result<Published, End> {
        let name = &self.spec.name;
        let Some(published) = published(self.context, self.spec).await? else {
            return Err(refused(
                "nothing is published",
                format!("write the credential that works to the path, then `rotator adopt {name}`"),
            ));
        };
        let Credential { account, secret } = &published.credential;
        if !self.spec.strategy.owns(account) {
            return Err(refused(
                format!("the published account `{account}` is not one of this Rotation"),
                format!("name it in the strategy of {name}"),
            ));
        }
        self.checks(account).await?;
        match self.works(account, secret).await? {
            Works::Everywhere => Ok(published),
            Works::Nowhere => Err(refused(
                format!("every endpoint refuses the published secret of {account}"),
                format!("publish the one that works, then `rotator adopt {name}`"),
            )),
            Works::NotAt(endpoint) => Err(refused(
                format!("{endpoint} refuses the published secret of {account}, and others accept it"),
                format!("make {endpoint} like the others, then `rotator adopt {name}`"),
            )),
        }
    }

    /// What the last run left in the path, from the version where it lies.
    pub(super) async fn left(&self, last: &Record) -> Result<Option<Published>, End> {
        let Some((fingerprint, version)) = left_behind(last) else { return Ok(None) };
        match self.context.publication.earlier(version).await {
            Ok(found) => Ok(found.filter(|p| self.context.maker.name(&p.credential.secret) == fingerprint)),
            Err(PublicationError::NoAnswer(lost)) => Err(self.lost(&lost)),
            Err(PublicationError::Incomplete(_)) => Ok(None),
        }
    }

    pub(super) async fn publish(
        &self,
        credential: &Credential,
        version: u64,
        deadline: Timestamp,
    ) -> Result<u64, End> {
        if later(self.context.clock.now(), self.spec.effect_timeout) > deadline {
            return Err(until(self.context, self.spec, "slow answers"));
        }
        match self.context.publication.publish(credential, version).await {
            Ok(version) => Ok(version),
            Err(CasError::Conflict(_)) => Err(until(self.context, self.spec, "conflict")),
            Err(CasError::NoAnswer(lost)) => Err(self.lost(&lost)),
        }
    }

    /// A finished record about what is published.
    pub(super) fn settled(&self, last: Option<Record>, published: &Published, ordered: Ordered) -> Record {
        let now = ordered.at;
        let actor = ordered.actor.clone();
        Record {
            version: JOURNAL_VERSION,
            rotation_uid: self.spec.uid.clone(),
            revision: last.as_ref().map_or(0, |r| r.revision).max(self.spec.revision_seen) + 1,
            epoch: last.map_or(0, |r| r.epoch),
            holder: self.context.holder.clone(),
            deadline: now,
            started_at: now,
            trigger: Trigger::Manual { actor },
            reached: BTreeMap::from([(PhaseName::Adopted, now)]),
            current: None,
            endpoints: BTreeMap::new(),
            discarded: Vec::new(),
            spread: BTreeMap::new(),
            error: None,
            needs_person: None,
            orders: vec![ordered],
            phase: Phase::Adopted {
                slot: published.credential.account.clone(),
                fingerprint: self.context.maker.name(&published.credential.secret),
                kv_version: published.version,
                adopted_at: now,
            },
        }
    }
}

/// Tries what is published and takes it over, if no run is under way, or one whose secrets are all dead.
pub(super) async fn adopt<W: World>(
    context: &Context<W>,
    spec: &Spec,
    loaded: Option<(u64, Record)>,
    actor: String,
) -> Result<(u64, Record), End> {
    let looking = Looking { context, spec };
    let now = context.clock.now();
    if let Some((_, record)) = &loaded {
        held(context, record, now)?;
    }
    let published = looking.tried().await?;
    if let Some((_, record)) = loaded.as_ref().filter(|(_, record)| !record.phase.is_over()) {
        let own = record.phase.pending().map(|(slot, pending)| (slot, &pending.value.0));
        let old = record.current.as_ref().and_then(|c| Some((c.slot.as_str(), &c.value.as_ref()?.0)));
        for (account, secret) in own.into_iter().chain(old) {
            if looking.works(account, secret).await? != Works::Nowhere {
                return Err(under_way(record, spec));
            }
        }
    }
    let (version, last) = loaded.map_or((0, None), |(version, record)| (version, Some(record)));
    let record = looking.settled(last, &published, Ordered { order: Order::Adopt, actor, at: now });
    own(context, spec, version, record).await
}

fn under_way(record: &Record, spec: &Spec) -> End {
    let name = &spec.name;
    refused(
        format!("a run is under way ({}), and a secret of it works", record.phase.name()),
        format!(
            "`rotator rotate {name} --resume` goes on with it, `rotator abort {name}` ends it while that is possible"
        ),
    )
}
