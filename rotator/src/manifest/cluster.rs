//! Manifests from an API server: the same types, read object by object, so that one that cannot be read hides no
//! other.

use kube::api::{ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use kube::{Api, Client};
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::Manifests;
use super::check::{account_conflicts, check_external_secret, check_store};
use super::load::{GROUP, object_from};
use super::node::Node;
use super::object::{Object, Origin, full_name};
use super::problem::Problem;
use super::status::ExternalSecretStatus;
use crate::target::cluster::words;

/// Group and version of our own kinds.
const KEYTURN: (&str, &str) = ("keyturn.dev", "v1alpha1");
/// Objects asked for at once: the API server's memory and ours stay small.
const PAGE: u32 = 500;

/// An ExternalSecret of a cluster, as far as it could be read.
#[derive(Debug)]
pub struct Live {
    /// `namespace/name`.
    pub name: String,
    /// Its namespace.
    pub namespace: String,
    /// The object, or what is wrong with it.
    pub object: Result<Object<super::external_secret::ExternalSecretSpec>, Vec<Problem>>,
    /// What was reported on it before.
    pub status: ExternalSecretStatus,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// What must happen before it is gone, by name.
    pub finalizers: Vec<String>,
}

/// Why a cluster's manifests could not be read.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ClusterReadError {
    /// The cluster does not have the kind.
    #[error(
        "the cluster does not know the kind {kind}; install the definitions: rotator crds | kubectl apply -f -"
    )]
    NoSuchKind {
        /// The kind.
        kind: &'static str,
    },
    /// The API server does not answer or refuses.
    #[error("the {kind}s of the cluster cannot be listed: {why}")]
    Refused {
        /// The kind.
        kind: &'static str,
        /// Why, in our words.
        why: String,
    },
}

/// Reads everything that a rotation needs, of the whole cluster. Objects that are wrong by themselves are left
/// out and named in `unreadable`.
///
/// # Errors
/// When a kind cannot be listed.
pub async fn read_all(client: &Client) -> Result<Manifests, ClusterReadError> {
    let (mut manifests, live) = read(client, None).await?;
    for live in live.into_iter().filter(|live| !live.deleting) {
        match live.object {
            Ok(object) => {
                manifests.external_secret_status.insert(live.name, live.status);
                manifests.external_secrets.push(object);
            }
            Err(problems) => manifests.unreadable_external_secrets.push((live.name, problems)),
        }
    }
    for value in ours(client, "ClusterRotationTarget", "clusterrotationtargets").await? {
        let target = parse(value, "ClusterRotationTarget", false, &mut manifests.unreadable);
        manifests.rotation_targets.extend(target);
    }
    for value in ours(client, "Rotation", "rotations").await? {
        if value.pointer("/metadata/deletionTimestamp").is_some() {
            continue;
        }
        // A status that another version of a controller wrote must not hide the object.
        let status =
            value.get("status").cloned().map(serde_json::from_value).and_then(Result::ok).unwrap_or_default();
        if let Some(rotation) = parse(value, "Rotation", true, &mut manifests.unreadable) {
            manifests.rotation_status.insert(Object::full_name(&rotation), status);
            manifests.rotations.push(rotation);
        }
    }
    manifests.rotation_conflicts = account_conflicts(&manifests);
    Ok(manifests)
}

/// Reads stores and ExternalSecrets of the whole cluster, or of one namespace.
///
/// # Errors
/// When a kind cannot be listed. Objects that are wrong by themselves are no error.
pub async fn read(
    client: &Client,
    namespace: Option<&str>,
) -> Result<(Manifests, Vec<Live>), ClusterReadError> {
    let stores = list(client, "SecretStore", "secretstores", namespace).await?;
    let cluster_stores = list(client, "ClusterSecretStore", "clustersecretstores", None).await?;
    let live = list(client, "ExternalSecret", "externalsecrets", namespace).await?;
    Ok((stores_from(stores, cluster_stores), live.into_iter().map(live_from).collect()))
}

/// Stores as the API server gave them; those that cannot be used are named with the reason.
pub fn stores_from(stores: Vec<Value>, cluster_stores: Vec<Value>) -> Manifests {
    let mut manifests = Manifests::default();
    for value in stores {
        keep_status(&value, "SecretStore", &mut manifests);
        let store = parse(value, "SecretStore", true, &mut manifests.unreadable);
        if let Some(store) = store {
            let mut problems = Vec::new();
            let spec: &super::store::SecretStoreSpec = &store.spec;
            check_store(&store, "SecretStore", spec, &mut problems);
            keep(store, problems, &mut manifests.stores, &mut manifests.unreadable);
        }
    }
    for value in cluster_stores {
        keep_status(&value, "ClusterSecretStore", &mut manifests);
        let store = parse(value, "ClusterSecretStore", false, &mut manifests.unreadable);
        if let Some(store) = store {
            let mut problems = Vec::new();
            let spec: &super::store::ClusterSecretStoreSpec = &store.spec;
            check_store(&store, "ClusterSecretStore", &spec.0, &mut problems);
            keep(store, problems, &mut manifests.cluster_stores, &mut manifests.unreadable);
        }
    }
    manifests
}

fn keep_status(value: &Value, kind: &str, manifests: &mut Manifests) {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
    let name = full_name(text("/metadata/namespace"), text("/metadata/name"));
    let status = value.get("status").cloned().map(serde_json::from_value).and_then(Result::ok);
    manifests.store_status.insert(format!("{kind} {name}"), status.unwrap_or_default());
}

fn keep<S>(
    object: Object<S>,
    mut found: Vec<Problem>,
    list: &mut Vec<Object<S>>,
    unreadable: &mut Vec<Problem>,
) {
    if found.is_empty() {
        list.push(object);
    } else {
        unreadable.append(&mut found);
    }
}

/// An ExternalSecret as the API server gave it.
pub fn live_from(value: Value) -> Live {
    let text = |pointer: &str| value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let namespace = text("/metadata/namespace");
    let name = full_name(&namespace, &text("/metadata/name"));
    let finalizers = value.pointer("/metadata/finalizers").and_then(Value::as_array).into_iter().flatten();
    let finalizers = finalizers.filter_map(Value::as_str).map(str::to_owned).collect();
    let deleting = value.pointer("/metadata/deletionTimestamp").is_some();
    // A status that another version of a controller wrote must not hide the object.
    let status =
        value.get("status").cloned().map(serde_json::from_value).and_then(Result::ok).unwrap_or_default();
    let mut problems = Vec::new();
    let parsed = parse(value, "ExternalSecret", true, &mut problems);
    let object = match parsed {
        Some(object) => {
            problems.extend(check_external_secret(&object));
            if problems.is_empty() { Ok(object) } else { Err(problems) }
        }
        None => Err(problems),
    };
    Live { name, namespace, object, status, deleting, finalizers }
}

fn parse<S: DeserializeOwned>(
    value: Value,
    kind: &'static str,
    namespaced: bool,
    problems: &mut Vec<Problem>,
) -> Option<Object<S>> {
    match object_from(&Node::from_json(value), Origin::Cluster, kind, namespaced, "spec") {
        Ok(object) => Some(object),
        Err(mut found) => {
            problems.append(&mut found);
            None
        }
    }
}

async fn list(
    client: &Client,
    kind: &'static str,
    plural: &str,
    namespace: Option<&str>,
) -> Result<Vec<Value>, ClusterReadError> {
    list_of(client, (GROUP, "v1"), kind, plural, namespace).await
}

/// Objects of our own kinds. A cluster with the operator's definitions alone has none of them.
async fn ours(client: &Client, kind: &'static str, plural: &str) -> Result<Vec<Value>, ClusterReadError> {
    match list_of(client, KEYTURN, kind, plural, None).await {
        Err(ClusterReadError::NoSuchKind { .. }) => Ok(Vec::new()),
        listed => listed,
    }
}

async fn list_of(
    client: &Client,
    (group, version): (&str, &str),
    kind: &'static str,
    plural: &str,
    namespace: Option<&str>,
) -> Result<Vec<Value>, ClusterReadError> {
    let resource = ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural);
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::all_with(client.clone(), &resource),
    };
    let mut objects = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let page = api.list(&params).await.map_err(|error| match error {
            kube::Error::Api(status) if status.code == 404 => ClusterReadError::NoSuchKind { kind },
            error => ClusterReadError::Refused { kind, why: words(&error) },
        })?;
        for object in page.items {
            objects.push(serde_json::to_value(object).map_err(|_| ClusterReadError::Refused {
                kind,
                why: "the API server's answer cannot be read".to_owned(),
            })?);
        }
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params = params.continue_token(&token),
            None => return Ok(objects),
        }
    }
}
