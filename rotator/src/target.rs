//! Where Secrets go: a cluster, or a folder of manifests.

use std::fmt;
use std::path::PathBuf;

use crate::sync::secret::SecretObject;

pub mod cluster;
pub mod folder;
pub mod sealed;

/// A target as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetName {
    /// The cluster of the kubeconfig, or the one that this pod runs in.
    Cluster,
    /// A folder.
    Folder(PathBuf),
}

impl std::str::FromStr for TargetName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "cluster" => Ok(Self::Cluster),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Folder(path.into())),
            _ => Err("write cluster or dir:PATH"),
        }
    }
}

/// Why a Secret could not be read or written. No payloads of servers or files.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TargetError {
    /// Somebody changed it since it was read.
    #[error("somebody else changed the Secret at the same time; run sync again")]
    Conflict,
    /// The API server refuses or does not answer.
    #[error("{action} the Secret: {why}")]
    Refused {
        /// What was tried, as in "writing".
        action: &'static str,
        /// Why, in our words.
        why: String,
    },
    /// The file there is not ours.
    #[error("{file}: {why}; move it away, or choose another folder")]
    NotOurs {
        /// The file.
        file: String,
        /// Why.
        why: &'static str,
    },
    /// The file system says no.
    #[error("{file}: cannot be {action}: {why}")]
    File {
        /// The file.
        file: String,
        /// read, written or removed.
        action: &'static str,
        /// Why.
        why: String,
    },
}

/// What writing a Secret came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// There was none before.
    New,
    /// In the place of another one.
    Replaced,
    /// The same is there already.
    Same,
}

/// A target that is open.
pub enum Target {
    /// A cluster.
    Cluster(cluster::Cluster),
    /// A folder.
    Folder(folder::Folder),
    /// A folder of SealedSecrets.
    Sealed(Box<sealed::SealedFolder>),
    /// Another one, of which everything is read and to which nothing is written.
    Planned(Box<Target>),
}

impl Target {
    /// The cluster's API server, if the target is a cluster.
    pub fn client(&self) -> Option<&kube::Client> {
        match self {
            Self::Cluster(cluster) => Some(cluster.client()),
            Self::Folder(_) | Self::Sealed(_) => None,
            Self::Planned(target) => target.client(),
        }
    }

    /// The Secret that is there.
    ///
    /// # Errors
    /// When it cannot be read, or the file there is not ours.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<SecretObject>, TargetError> {
        match self {
            Self::Cluster(cluster) => cluster.read(namespace, name).await,
            Self::Folder(folder) => folder.read(namespace, name),
            // Nobody can read it back.
            Self::Sealed(_) => Ok(None),
            Self::Planned(target) => Box::pin(target.read(namespace, name)).await,
        }
    }

    /// Writes a Secret in one step over the one that was read; none was there if `before` is none.
    ///
    /// # Errors
    /// [`TargetError::Conflict`] when it changed since; the old one then stays as it is.
    pub async fn write(
        &self,
        secret: &SecretObject,
        before: Option<&SecretObject>,
        manager: &str,
    ) -> Result<Written, TargetError> {
        let written = if before.is_some() { Written::Replaced } else { Written::New };
        match self {
            Self::Cluster(cluster) => cluster.write(secret, before, manager).await.map(|()| written),
            Self::Folder(folder) => folder.write(secret).map(|()| written),
            Self::Sealed(folder) => folder.write(secret),
            Self::Planned(_) => Ok(written),
        }
    }

    /// Removes a Secret, if it is still the one that was read.
    ///
    /// # Errors
    /// When it changed since or cannot be removed.
    pub async fn delete(&self, secret: &SecretObject) -> Result<(), TargetError> {
        match self {
            Self::Cluster(cluster) => cluster.delete(secret).await,
            Self::Folder(folder) => folder.delete(secret),
            // What cannot be read is not deleted by what was read.
            Self::Sealed(_) | Self::Planned(_) => Ok(()),
        }
    }
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cluster(_) => f.write_str("the cluster"),
            Self::Folder(folder) => write!(f, "{}", folder.path().display()),
            Self::Sealed(folder) => write!(f, "{} (sealed)", folder.path().display()),
            Self::Planned(target) => target.fmt(f),
        }
    }
}
