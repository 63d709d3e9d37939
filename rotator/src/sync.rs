//! One round: what every ExternalSecret asks for is read, composed and written.
//!
//! [`gather`] reads through [`stores`] (each opened once), [`value`] turns documents into values, [`secret`]
//! says which Secret should be there (pure), and the target takes it if it differs. One that fails stops no other,
//! and the Secret that it had stays as it was.

pub mod due;
pub mod events;
mod find;
pub mod gather;
pub mod go_json;
pub mod json_path;
pub mod many;
pub mod mark;
pub mod objects;
pub mod outcome;
pub mod rewrite;
pub mod secret;
pub mod status;
pub mod store_status;
pub mod stores;
pub mod template;
pub mod templates;
pub mod value;
pub mod vault_store;
pub mod windows;

use std::collections::BTreeSet;

use futures::{StreamExt, stream};
use shared::clock::Clock;
use tracing::Instrument as _;

use self::gather::gather;
use self::outcome::{Outcome, Report, SyncError};
use self::secret::{Maker, SecretObject, render};
use self::stores::{StoreError, Stores};
use crate::manifest::cluster::Live;
use crate::manifest::external_secret::{CreationPolicy, DeletionPolicy, ExternalSecretSpec};
use crate::manifest::object::{Object, full_name};
use crate::manifest::problem::Problem;
use crate::manifest::status::ExternalSecretStatus;
use crate::target::{Target, TargetError, Written};
use crate::traces;

/// How often a write is tried again after somebody else changed the Secret.
const CONFLICTS_MAX: usize = 5;

/// What one round works with.
pub struct Round<'a> {
    /// The stores.
    pub stores: &'a Stores<'a>,
    /// Where Secrets go.
    pub target: &'a Target,
    /// Where the state of ExternalSecrets is reported, if they live in a cluster.
    pub reports_to: Option<kube::Client>,
    /// Where events are told, if they live in a cluster.
    pub events: Option<events::Events>,
    /// What time it is.
    pub clock: &'a dyn Clock,
    /// How many ExternalSecrets are worked on at once.
    pub concurrency: usize,
    /// Whether everything is read, due or not.
    pub everything: bool,
}

/// One ExternalSecret of a round.
#[derive(Debug)]
pub struct Wanted {
    /// `namespace/name`.
    pub name: String,
    /// The object, or what is wrong with it.
    pub object: Result<Object<ExternalSecretSpec>, Vec<Problem>>,
    /// What was reported before; none if it does not live in a cluster.
    pub status: Option<ExternalSecretStatus>,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Whether it is read although it is not due: what it reads has changed.
    pub forced: bool,
    /// What must happen before it is gone, by name.
    pub finalizers: Vec<String>,
}

impl Wanted {
    /// One of a file.
    pub fn of_file(object: Object<ExternalSecretSpec>) -> Self {
        Self {
            name: object.full_name(),
            object: Ok(object),
            status: None,
            deleting: false,
            forced: false,
            finalizers: Vec::new(),
        }
    }

    /// One of a cluster.
    pub fn of_cluster(live: Live) -> Self {
        Self {
            name: live.name,
            object: live.object,
            status: Some(live.status),
            deleting: live.deleting,
            forced: false,
            finalizers: live.finalizers,
        }
    }
}

impl Round<'_> {
    /// Brings the Secrets of all these ExternalSecrets up to date; one report each, in the order given.
    pub async fn run(&self, wanted: &[Wanted]) -> Vec<Report> {
        let mut reports: Vec<(usize, Report)> = stream::iter(wanted.iter().enumerate())
            .map(|(index, wanted)| async move { (index, self.report(wanted).await) })
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        reports.sort_by_key(|(index, _)| *index);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    async fn report(&self, wanted: &Wanted) -> Report {
        let span = traces::sync(&wanted.name);
        let report = self.worked_on(wanted).instrument(span.clone()).await;
        traces::ended(&span, report.word(), report.result.is_err());
        report
    }

    async fn worked_on(&self, wanted: &Wanted) -> Report {
        let (secret, result) = match &wanted.object {
            _ if wanted.deleting => (wanted.name.clone(), self.let_go(wanted).await),
            Ok(object) => {
                let secret = full_name(object.namespace(), object.spec.target_name(object.name()));
                (secret, self.sync_if_due(object, wanted).await)
            }
            Err(problems) => (wanted.name.clone(), Err(SyncError::Manifest(problems.clone()))),
        };
        let told = self.tell(wanted, &result).await;
        // What went wrong with the Secret matters more than that nobody could be told.
        let result = match (result, told) {
            (Ok(_), Err(why)) => Err(SyncError::Status(why)),
            (result, _) => result,
        };
        Report { external_secret: wanted.name.clone(), secret, result }
    }

    /// The operator holds its ExternalSecrets back until it has cleaned up. Where it is gone nobody else lets go, and
    /// they would never end; what it would clean up is the garbage collector's by the owner references.
    async fn let_go(&self, wanted: &Wanted) -> Result<Outcome, SyncError> {
        let (Some(client), Ok(object)) = (&self.reports_to, &wanted.object) else {
            return Ok(Outcome::BeingDeleted);
        };
        let is_ours = gather::store_of(object, None, "")
            .is_ok_and(|store| self.stores.serves(store, object.namespace()));
        if is_ours && wanted.finalizers.iter().any(|finalizer| finalizer == status::FINALIZER) {
            let kept: Vec<&String> =
                wanted.finalizers.iter().filter(|finalizer| *finalizer != status::FINALIZER).collect();
            let released = status::release(client, object, &kept).await;
            released.map_err(SyncError::Status)?;
        }
        Ok(Outcome::BeingDeleted)
    }

    async fn tell(&self, wanted: &Wanted, result: &Result<Outcome, SyncError>) -> Result<(), String> {
        let (Some(client), Some(before)) = (&self.reports_to, &wanted.status) else { return Ok(()) };
        if let Some(events) = &self.events {
            events.tell(wanted, before, result).await;
        }
        let Some(status) = status::next(before, wanted.object.as_ref().ok(), result, self.clock.now()) else {
            return Ok(());
        };
        let (namespace, name) = wanted.name.split_once('/').unwrap_or_default();
        status::write(client, namespace, name, &status).await
    }

    async fn sync_if_due(
        &self,
        object: &Object<ExternalSecretSpec>,
        wanted: &Wanted,
    ) -> Result<Outcome, SyncError> {
        let status = wanted.status.as_ref();
        if let Some(broken) = object.spec.sync_windows.as_ref().and_then(windows::broken) {
            return Err(SyncError::Window { schedule: broken.to_owned() });
        }
        if let Some(status) = status
            && object.spec.target.immutable
            && status::is_synced(status)
            && self.is_intact(object).await?
        {
            // Nothing can change in it any more, so nothing is read; as the operator.
            return Ok(if status::is_current(status, object) { Outcome::NotDue } else { Outcome::Unchanged });
        }
        if let Some(status) = status.filter(|_| !self.everything && !wanted.forced)
            && !due::is_due(object, status, self.clock.now())
            && self.is_intact(object).await?
        {
            return Ok(Outcome::NotDue);
        }
        self.sync(object).await
    }

    /// Whether the Secret is there as we left it.
    async fn is_intact(&self, object: &Object<ExternalSecretSpec>) -> Result<bool, SyncError> {
        let name = object.spec.target_name(object.name());
        let found = self.target.read(object.namespace(), name).await?;
        Ok(found.is_some_and(|secret| secret.is_intact()))
    }

    /// Brings one Secret up to date.
    ///
    /// # Errors
    /// Why not; the Secret is then as it was.
    pub async fn sync(&self, object: &Object<ExternalSecretSpec>) -> Result<Outcome, SyncError> {
        let values = match gather(object, self.stores).await {
            Ok(values) => values,
            Err(gather::GatherError::Store {
                error: StoreError::OtherController { controller, .. }, ..
            }) => {
                return Ok(Outcome::LeftAlone { controller });
            }
            Err(error) => return Err(error.into()),
        };
        let target = &object.spec.target;
        if values.is_empty() {
            match target.deletion_policy {
                DeletionPolicy::Delete => return self.delete(object).await,
                DeletionPolicy::Retain => return Ok(Outcome::Retained),
                DeletionPolicy::Merge => {}
            }
        }
        if target.creation_policy == CreationPolicy::None {
            return self.label(object).await;
        }
        let rendered = templates::render(object, &values, self.stores).await?;
        for _ in 0..CONFLICTS_MAX {
            match self.write(object, &values, &rendered).await {
                Err(SyncError::Target(TargetError::Conflict)) => {}
                result => return result,
            }
        }
        Err(SyncError::Target(TargetError::Conflict))
    }

    async fn write(
        &self,
        object: &Object<ExternalSecretSpec>,
        values: &value::Values,
        rendered: &templates::Rendered,
    ) -> Result<Outcome, SyncError> {
        let name = object.spec.target_name(object.name());
        let before = self.target.read(object.namespace(), name).await?;
        if before.is_none() && object.spec.target.creation_policy == CreationPolicy::Merge {
            return Ok(Outcome::TargetMissing);
        }
        let maker = Maker { uid: object.meta.uid.clone() };
        let wanted = render(object, before.as_ref(), (values, rendered), &maker)?;
        let manager = mark::field_manager(object.name());
        match &before {
            Some(before) if wanted.same_as(before) => Ok(Outcome::Unchanged),
            Some(before) if before.is_immutable() && !wanted.keys_changed(before).is_empty() => {
                // As the operator: the marks say what was intended, the data stay.
                let marked = wanted.with_data_of(before);
                if !marked.same_as(before) {
                    self.target.write(&marked, Some(before), &manager).await?;
                }
                Err(secret::RenderError::Immutable.into())
            }
            Some(before) => {
                self.target.write(&wanted, Some(before), &manager).await?;
                Ok(Outcome::Changed { keys: wanted.keys_changed(before) })
            }
            None => Ok(match self.target.write(&wanted, None, &manager).await? {
                Written::New => Outcome::Created { keys: wanted.keys() },
                // Of a sealed one nobody can say which key changed.
                Written::Replaced => Outcome::Changed { keys: wanted.keys() },
                Written::Same => Outcome::Unchanged,
            }),
        }
    }

    /// With creation policy None somebody else fills the Secret; like the operator we label it and no more.
    async fn label(&self, object: &Object<ExternalSecretSpec>) -> Result<Outcome, SyncError> {
        let name = object.spec.target_name(object.name());
        let Some(before) = self.target.read(object.namespace(), name).await? else {
            return Ok(Outcome::Unchanged);
        };
        match before.labelled() {
            None => Ok(Outcome::Unchanged),
            Some(labelled) => {
                self.target.write(&labelled, Some(&before), &mark::field_manager(object.name())).await?;
                Ok(Outcome::Changed { keys: Vec::new() })
            }
        }
    }

    /// Every value is gone, and the policy is Delete.
    async fn delete(&self, object: &Object<ExternalSecretSpec>) -> Result<Outcome, SyncError> {
        if object.spec.target.creation_policy != CreationPolicy::Owner {
            return Err(SyncError::DeleteNeedsOwner);
        }
        let name = object.spec.target_name(object.name());
        if let Target::Sealed(folder) = self.target {
            let removed = folder.remove(object.namespace(), name)?;
            return Ok(if removed { Outcome::Deleted } else { Outcome::Gone });
        }
        match self.target.read(object.namespace(), name).await? {
            Some(secret) if self.may_delete(object, &secret) => {
                self.target.delete(&secret).await?;
                Ok(Outcome::Deleted)
            }
            Some(_) | None => Ok(Outcome::Gone),
        }
    }

    /// Only what this ExternalSecret made.
    fn may_delete(&self, object: &Object<ExternalSecretSpec>, secret: &SecretObject) -> bool {
        let hash = mark::owner_hash(object.namespace(), object.name());
        secret.label(mark::CREATED_BY) == Some(hash.as_str())
    }

    /// Removes what ExternalSecrets owned that are gone, or have another target now. For folders: in a cluster the
    /// API server's garbage collector does it by the owner references.
    ///
    /// # Errors
    /// When the folder cannot be read or a file cannot be removed.
    pub fn remove_orphans(&self, wanted: &[Wanted]) -> Result<Vec<String>, TargetError> {
        let targets: BTreeSet<String> = wanted
            .iter()
            .filter_map(|wanted| wanted.object.as_ref().ok())
            .map(|object| full_name(object.namespace(), object.spec.target_name(object.name())))
            .collect();
        let mut removed = Vec::new();
        let folder = match self.target {
            Target::Cluster(_) | Target::Planned(_) => return Ok(removed),
            Target::Folder(folder) => folder,
            Target::Sealed(folder) => {
                for (namespace, name) in folder.owned()? {
                    let full = full_name(&namespace, &name);
                    if !targets.contains(&full) {
                        folder.remove(&namespace, &name)?;
                        removed.push(full);
                    }
                }
                return Ok(removed);
            }
        };
        for secret in folder.list()? {
            let meta = secret.meta();
            let name = full_name(
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default(),
            );
            // What was made with another policy than Owner stays, as it does in a cluster.
            if secret.label(mark::CREATED_BY).is_some() && !targets.contains(&name) {
                folder.delete(&secret)?;
                removed.push(name);
            }
        }
        removed.sort();
        Ok(removed)
    }
}
