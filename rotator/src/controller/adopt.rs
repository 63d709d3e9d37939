//! Two writers never meet: stores without a controller's name are taken over only while the operator does not run.

use k8s_openapi::api::apps::v1::Deployment;
use kube::api::ListParams;
use kube::{Api, Client};

use crate::target::cluster::words;

/// The label of the operator's Deployment in its chart.
const OPERATOR: &str = "app.kubernetes.io/name=external-secrets";

/// Refuses while the operator has replicas.
///
/// # Errors
/// One line that names its Deployment and what to do; also when nobody can say whether it runs.
pub async fn check(client: &Client) -> Result<(), String> {
    let api: Api<Deployment> = Api::all(client.clone());
    let found = api.list(&ListParams::default().labels(OPERATOR)).await;
    let found = found.map_err(|error| {
        let why = words(&error);
        format!("--adopt must know whether External Secrets Operator runs, and Deployments cannot be listed: {why}")
    })?;
    let running = found.items.into_iter().find(|deployment| {
        let wanted = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let there = deployment.status.as_ref().and_then(|status| status.replicas).unwrap_or(0);
        wanted > 0 || there > 0
    });
    match running {
        None => Ok(()),
        Some(deployment) => {
            let namespace = deployment.metadata.namespace.unwrap_or_default();
            let name = deployment.metadata.name.unwrap_or_default();
            Err(format!(
                "External Secrets Operator runs (Deployment {namespace}/{name}), and two writers would undo each \
                 other; scale it down first: kubectl -n {namespace} scale deployment {name} --replicas=0"
            ))
        }
    }
}
