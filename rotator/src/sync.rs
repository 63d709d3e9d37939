//! One round: what every ExternalSecret asks for is read, composed and written.
//!
//! [`gather`] reads through [`stores`] (each opened once), [`value`] turns documents into values, [`secret`]
//! says which Secret should be there (pure), and the target takes it if it differs. One that fails stops no other,
//! and the Secret that it had stays as it was.

pub mod gather;
pub mod go_json;
pub mod mark;
pub mod objects;
pub mod outcome;
pub mod secret;
pub mod stores;
pub mod value;
pub mod vault_store;

use std::collections::BTreeSet;

use futures::StreamExt;
use futures::stream;

use self::gather::gather;
use self::outcome::{Outcome, Report, SyncError};
use self::secret::{Maker, SecretObject, render};
use self::stores::{StoreError, Stores};
use crate::manifest::external_secret::{CreationPolicy, DeletionPolicy, ExternalSecretSpec};
use crate::manifest::object::Object;
use crate::target::folder::is_owned_by_any;
use crate::target::{Target, TargetError};

/// How often a write is tried again after somebody else changed the Secret.
const CONFLICTS_MAX: usize = 5;

/// What one round works with.
pub struct Round<'a> {
    /// The stores.
    pub stores: &'a Stores<'a>,
    /// Where Secrets go.
    pub target: &'a Target,
    /// How many ExternalSecrets are worked on at once.
    pub concurrency: usize,
}

impl Round<'_> {
    /// Brings the Secrets of all these ExternalSecrets up to date; one report each, in the order given.
    pub async fn run(&self, objects: &[Object<ExternalSecretSpec>]) -> Vec<Report> {
        let mut reports: Vec<(usize, Report)> = stream::iter(objects.iter().enumerate())
            .map(|(index, object)| async move { (index, self.report(object).await) })
            .buffer_unordered(self.concurrency.max(1))
            .collect()
            .await;
        reports.sort_by_key(|(index, _)| *index);
        reports.into_iter().map(|(_, report)| report).collect()
    }

    async fn report(&self, object: &Object<ExternalSecretSpec>) -> Report {
        let result = self.sync(object).await;
        Report {
            external_secret: object.full_name(),
            secret: format!("{}/{}", object.namespace(), object.spec.target_name(object.name())),
            result,
        }
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
            return Ok(Outcome::Unchanged);
        }
        for _ in 0..CONFLICTS_MAX {
            match self.write(object, &values).await {
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
    ) -> Result<Outcome, SyncError> {
        let name = object.spec.target_name(object.name());
        let before = self.target.read(object.namespace(), name).await?;
        if before.is_none() && object.spec.target.creation_policy == CreationPolicy::Merge {
            return Ok(Outcome::TargetMissing);
        }
        let maker = Maker { uid: object.meta.uid.clone() };
        let wanted = render(object, before.as_ref(), values, &maker)?;
        let manager = mark::field_manager(object.name());
        match &before {
            Some(before) if wanted.same_as(before) => Ok(Outcome::Unchanged),
            Some(before) if before.is_immutable() && !wanted.keys_changed(before).is_empty() => {
                Err(secret::RenderError::Immutable.into())
            }
            Some(before) => {
                self.target.write(&wanted, Some(before), &manager).await?;
                Ok(Outcome::Changed { keys: wanted.keys_changed(before) })
            }
            None => {
                self.target.write(&wanted, None, &manager).await?;
                Ok(Outcome::Created { keys: wanted.keys() })
            }
        }
    }

    /// Every value is gone, and the policy is Delete.
    async fn delete(&self, object: &Object<ExternalSecretSpec>) -> Result<Outcome, SyncError> {
        if object.spec.target.creation_policy != CreationPolicy::Owner {
            return Err(SyncError::DeleteNeedsOwner);
        }
        let name = object.spec.target_name(object.name());
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
    pub fn remove_orphans(&self, objects: &[Object<ExternalSecretSpec>]) -> Result<Vec<String>, TargetError> {
        let Target::Folder(folder) = self.target else { return Ok(Vec::new()) };
        let owners: BTreeSet<String> =
            objects.iter().map(|object| mark::owner_hash(object.namespace(), object.name())).collect();
        let wanted: BTreeSet<String> = objects
            .iter()
            .map(|object| format!("{}/{}", object.namespace(), object.spec.target_name(object.name())))
            .collect();
        let mut removed = Vec::new();
        for secret in folder.list()? {
            let meta = secret.meta();
            let name = format!(
                "{}/{}",
                meta.namespace.as_deref().unwrap_or_default(),
                meta.name.as_deref().unwrap_or_default()
            );
            // What was made with another policy than Owner stays, as it does in a cluster.
            if is_owned_by_any(&secret, &owners).is_some() && !wanted.contains(&name) {
                folder.delete(&secret)?;
                removed.push(name);
            }
        }
        removed.sort();
        Ok(removed)
    }
}
