//! ClusterExternalSecrets: one ExternalSecret in each of many namespaces.
//!
//! From files each becomes ExternalSecrets of the namespaces that the files have or that it names. In a cluster they are
//! made as objects, owned by the ClusterExternalSecret, as the operator makes them.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{DeleteParams, ListParams, Patch, PatchParams, PostParams, Preconditions};
use kube::{Api, Client, Resource, ResourceExt as _};
use serde_json::json;

use super::objects::with_own_name;
use super::stores::Stores;
use crate::manifest::Manifests;
use crate::manifest::external_secret::{
    ClusterExternalSecret, ClusterExternalSecretSpec, ExternalSecret, ExternalSecretSpec,
};
use crate::manifest::object::Object;
use crate::manifest::status::{ClusterExternalSecretStatus, Condition, FailedNamespace, set_condition};
use crate::target::cluster::words;

/// Namespaces with their labels.
type Namespaces = BTreeMap<String, BTreeMap<String, String>>;

/// The namespaces that are meant, of those that there are.
fn chosen(spec: &ClusterExternalSecretSpec, namespaces: &Namespaces) -> BTreeSet<String> {
    let selectors: Vec<_> = spec.namespace_selector.iter().chain(&spec.namespace_selectors).collect();
    let by_labels = namespaces
        .iter()
        .filter(|(_, labels)| selectors.iter().any(|selector| selector.matches(labels)))
        .map(|(name, _)| name.clone());
    let by_name = spec.namespaces.iter().filter(|name| namespaces.contains_key(*name)).cloned();
    by_labels.chain(by_name).collect()
}

/// The ExternalSecrets of the ClusterExternalSecrets of files.
pub fn of_files(manifests: &Manifests) -> Vec<Object<ExternalSecretSpec>> {
    let mut made = Vec::new();
    for object in &manifests.cluster_external_secrets {
        let labelled = |namespace: &Object<()>| {
            let labels = with_own_name(namespace.meta.labels.clone(), namespace.name());
            (namespace.name().to_owned(), labels)
        };
        let mut namespaces: Namespaces = manifests.namespaces.iter().map(labelled).collect();
        // Those that are named need no manifest of their own.
        for name in &object.spec.namespaces {
            namespaces.entry(name.clone()).or_default();
        }
        for namespace in chosen(&object.spec, &namespaces) {
            let metadata = &object.spec.external_secret_metadata;
            let meta = ObjectMeta {
                name: Some(name_of(&object.spec, object.name()).to_owned()),
                namespace: Some(namespace),
                labels: Some(metadata.labels.clone()).filter(|labels| !labels.is_empty()),
                annotations: Some(metadata.annotations.clone()).filter(|annotations| !annotations.is_empty()),
                ..ObjectMeta::default()
            };
            let spec = object.spec.external_secret_spec.clone();
            made.push(Object { meta, spec, origin: object.origin.clone() });
        }
    }
    made
}

fn name_of<'a>(spec: &'a ClusterExternalSecretSpec, own: &'a str) -> &'a str {
    spec.external_secret_name.as_deref().filter(|name| !name.is_empty()).unwrap_or(own)
}

/// Whether a cluster has any.
pub async fn exist(client: &Client) -> bool {
    let all: Api<ClusterExternalSecret> = Api::all(client.clone());
    all.list(&ListParams::default().limit(1)).await.is_ok_and(|list| !list.items.is_empty())
}

/// Makes, changes and removes the ExternalSecrets of every ClusterExternalSecret of a cluster, and reports on them.
///
/// # Errors
/// When a kind cannot be listed. One that fails stops no other, and is reported on its object.
pub async fn reconcile(client: &Client, stores: &Stores<'_>) -> Result<(), String> {
    let all: Api<ClusterExternalSecret> = Api::all(client.clone());
    let objects = match all.list(&ListParams::default()).await {
        Ok(objects) => objects.items,
        // A cluster without the kind has none of them.
        Err(kube::Error::Api(status)) if status.code == 404 => return Ok(()),
        Err(error) => return Err(format!("ClusterExternalSecrets cannot be listed: {}", words(&error))),
    };
    if objects.is_empty() {
        return Ok(());
    }
    let listed: Api<Namespace> = Api::all(client.clone());
    let listed = listed.list(&ListParams::default()).await;
    let listed = listed.map_err(|error| format!("namespaces cannot be listed: {}", words(&error)))?;
    let namespaces: Namespaces = listed
        .items
        .into_iter()
        .filter(|namespace| namespace.metadata.deletion_timestamp.is_none())
        .map(|namespace| (namespace.name_any(), namespace.metadata.labels.unwrap_or_default()))
        .collect();
    for object in objects.iter().filter(|object| object.metadata.deletion_timestamp.is_none()) {
        one(client, stores, object, &namespaces).await;
    }
    Ok(())
}

async fn one(client: &Client, stores: &Stores<'_>, object: &ClusterExternalSecret, namespaces: &Namespaces) {
    let own = object.name_any();
    let name = name_of(&object.spec, &own).to_owned();
    let reference = object.spec.external_secret_spec.secret_store_ref.as_ref();
    let before = object.status.clone().unwrap_or_default();
    let mut after = before.clone();
    after.failed_namespaces.clear();
    after.provisioned_namespaces.clear();
    let wanted = chosen(&object.spec, namespaces);
    for namespace in &wanted {
        // Where another controller serves the store the ExternalSecret is its own too.
        if reference.is_some_and(|reference| !stores.serves(reference, namespace)) {
            continue;
        }
        match apply(client, object, namespace, &name).await {
            Ok(()) => after.provisioned_namespaces.push(namespace.clone()),
            Err(reason) => {
                after.failed_namespaces.push(FailedNamespace { namespace: namespace.clone(), reason });
            }
        }
    }
    let old_name = before.external_secret_name.as_deref().unwrap_or(&name);
    for namespace in &before.provisioned_namespaces {
        if (!wanted.contains(namespace) || old_name != name)
            && let Err(reason) = remove(client, object, namespace, old_name).await
        {
            after.failed_namespaces.push(FailedNamespace { namespace: namespace.clone(), reason });
        }
    }
    after.external_secret_name = Some(name);
    let failed = !after.failed_namespaces.is_empty();
    let condition = Condition {
        kind: "Ready".to_owned(),
        status: if failed { "False" } else { "True" }.to_owned(),
        reason: String::new(),
        message: if failed { "one or more namespaces failed".to_owned() } else { String::new() },
        last_transition_time: None,
    };
    set_condition(&mut after.conditions, condition, Timestamp::now());
    report(client, &own, &before, &after).await;
}

async fn report(
    client: &Client,
    name: &str,
    before: &ClusterExternalSecretStatus,
    after: &ClusterExternalSecretStatus,
) {
    if before == after {
        return;
    }
    // A list that has become empty must be written as one: a merge would keep the old.
    let mut status = json!(after);
    status["failedNamespaces"] = json!(after.failed_namespaces);
    status["provisionedNamespaces"] = json!(after.provisioned_namespaces);
    let api: Api<ClusterExternalSecret> = Api::all(client.clone());
    let patch = Patch::Merge(json!({ "status": status }));
    if let Err(error) = api.patch_status(name, &PatchParams::default(), &patch).await {
        tracing::warn!(object = %name, why = %words(&error), "the status of a ClusterExternalSecret was not written");
    }
}

fn owns(object: &ClusterExternalSecret, found: &ExternalSecret) -> bool {
    found.owner_references().iter().any(|owner| {
        owner.kind == "ClusterExternalSecret"
            && owner.name == object.name_any()
            && owner.controller == Some(true)
    })
}

/// The ExternalSecret of one namespace, made or brought up to date.
async fn apply(
    client: &Client,
    object: &ClusterExternalSecret,
    namespace: &str,
    name: &str,
) -> Result<(), String> {
    let api: Api<ExternalSecret> = Api::namespaced(client.clone(), namespace);
    let found = api.get_opt(name).await.map_err(|error| words(&error))?;
    if found.as_ref().is_some_and(|found| !owns(object, found)) {
        return Err("external secret already exists in namespace".to_owned());
    }
    let metadata = &object.spec.external_secret_metadata;
    let mut wanted =
        found.clone().unwrap_or_else(|| ExternalSecret::new(name, ExternalSecretSpec::default()));
    wanted.spec = object.spec.external_secret_spec.clone();
    wanted.metadata.labels = Some(metadata.labels.clone());
    wanted.metadata.annotations = Some(metadata.annotations.clone());
    let owner: Option<OwnerReference> = object.controller_owner_ref(&());
    wanted.metadata.owner_references = owner.map(|owner| vec![owner]);
    let params = PostParams { field_manager: Some("keyturn".to_owned()), ..PostParams::default() };
    let written = match &found {
        Some(found) if is_same(found, &wanted) => return Ok(()),
        Some(_) => api.replace(name, &params, &wanted).await,
        None => api.create(&params, &wanted).await,
    };
    written.map(drop).map_err(|error| words(&error))
}

fn is_same(found: &ExternalSecret, wanted: &ExternalSecret) -> bool {
    // The API server fills in defaults: what is asked for must be there, more may be.
    let labels = found.metadata.labels.clone().unwrap_or_default();
    let annotations = found.metadata.annotations.clone().unwrap_or_default();
    Some(labels) == wanted.metadata.labels
        && Some(annotations) == wanted.metadata.annotations
        && covers(&json!(found.spec), &json!(wanted.spec))
}

fn covers(found: &serde_json::Value, wanted: &serde_json::Value) -> bool {
    use serde_json::Value;
    match (found, wanted) {
        (Value::Object(found), Value::Object(wanted)) => {
            wanted.iter().all(|(key, wanted)| found.get(key).is_some_and(|found| covers(found, wanted)))
        }
        (Value::Array(found), Value::Array(wanted)) => {
            found.len() == wanted.len()
                && found.iter().zip(wanted).all(|(found, wanted)| covers(found, wanted))
        }
        (found, wanted) => found == wanted,
    }
}

async fn remove(
    client: &Client,
    object: &ClusterExternalSecret,
    namespace: &str,
    name: &str,
) -> Result<(), String> {
    let api: Api<ExternalSecret> = Api::namespaced(client.clone(), namespace);
    let Some(found) = api.get_opt(name).await.map_err(|error| words(&error))? else { return Ok(()) };
    if !owns(object, &found) {
        return Ok(());
    }
    let preconditions = Preconditions { uid: found.uid(), resource_version: found.resource_version() };
    let params = DeleteParams { preconditions: Some(preconditions), ..DeleteParams::default() };
    match api.delete(name, &params).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(error) => Err(words(&error)),
    }
}
