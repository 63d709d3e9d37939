//! Manifests: what a user writes, read into types, with every mistake named by file, line and column.
//!
//! [`load`](load::load) reads files into [`node`]s (values that know their place), [`decode`] turns those into
//! the typed kinds of [`store`] and [`external_secret`], [`check`](check::check) says what else is wrong without
//! asking any server.

pub mod check;
pub mod cluster;
pub mod core;
pub mod decode;
pub mod duration;
pub mod external_secret;
pub mod load;
pub mod node;
pub mod object;
pub mod postgresql;
pub mod problem;
pub mod rotation;
pub mod status;
pub mod store;

use std::collections::BTreeMap;

use self::core::{ConfigValues, SecretValues};
use self::external_secret::{ClusterExternalSecretSpec, ExternalSecretSpec};
use self::object::Object;
use self::rotation::{ClusterRotationTargetSpec, RotationSpec};
use self::status::RotationStatus;
use self::store::{ClusterSecretStoreSpec, SecretStoreSpec};

/// Everything that was read.
#[derive(Debug, Default)]
pub struct Manifests {
    /// Stores of one namespace.
    pub stores: Vec<Object<SecretStoreSpec>>,
    /// Stores of the whole cluster.
    pub cluster_stores: Vec<Object<ClusterSecretStoreSpec>>,
    /// Which values make which Secret.
    pub external_secrets: Vec<Object<ExternalSecretSpec>>,
    /// The same for many namespaces.
    pub cluster_external_secrets: Vec<Object<ClusterExternalSecretSpec>>,
    /// Whose credentials may be rotated, and through what.
    pub rotation_targets: Vec<Object<ClusterRotationTargetSpec>>,
    /// What is rotated when.
    pub rotations: Vec<Object<RotationSpec>>,
    /// What was reported before on stores of a cluster, by kind and name.
    pub store_status: BTreeMap<String, status::StoreStatus>,
    /// What was reported before on Rotations of a cluster, by `namespace/name`; nothing for those of files.
    pub rotation_status: BTreeMap<String, RotationStatus>,
    /// What is wrong with Rotations of a cluster beside each other, by `namespace/name`; of files it stops the run.
    pub rotation_conflicts: BTreeMap<String, problem::Problem>,
    /// Secrets that stores refer to.
    pub secrets: Vec<Object<SecretValues>>,
    /// ConfigMaps that stores and templates refer to.
    pub config_maps: Vec<Object<ConfigValues>>,
    /// Namespaces with their labels.
    pub namespaces: Vec<Object<()>>,
    /// What was reported before on ExternalSecrets of a cluster, by `namespace/name`; nothing for those of files.
    pub external_secret_status: BTreeMap<String, status::ExternalSecretStatus>,
    /// ExternalSecrets of a cluster that are wrong by themselves, and what is wrong.
    pub unreadable_external_secrets: Vec<(String, Vec<problem::Problem>)>,
    /// What is wrong with objects of a cluster; of files it stops the run.
    pub unreadable: Vec<problem::Problem>,
    /// How many objects of other kinds were left alone.
    pub others: usize,
}

#[cfg(test)]
mod tests;
