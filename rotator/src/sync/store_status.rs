//! What is reported on stores in a cluster: whether they serve.

use jiff::Timestamp;
use kube::api::{Patch, PatchParams};
use kube::{Api, Client};
use serde_json::json;

use super::stores::Standing;
use crate::manifest::Manifests;
use crate::manifest::external_secret::StoreKind;
use crate::manifest::object::full_name;
use crate::manifest::status::{Condition, StoreStatus, set_condition};
use crate::manifest::store::{ClusterSecretStore, SecretStore};
use crate::target::cluster::words;

/// The longest message of a condition.
const MESSAGE_CHARS_MAX: usize = 1024;

/// The status that a store should have; none if it has it.
fn next(before: &StoreStatus, standing: &Standing, now: Timestamp) -> Option<StoreStatus> {
    let (status, reason, message) = match &standing.result {
        Ok(()) => ("True", "Valid", "store validated".to_owned()),
        Err(why) => ("False", "InvalidProviderConfig", why.chars().take(MESSAGE_CHARS_MAX).collect()),
    };
    let mut after = before.clone();
    let condition = Condition {
        kind: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message,
        last_transition_time: None,
    };
    set_condition(&mut after.conditions, condition, now);
    if standing.result.is_ok() {
        after.capabilities = Some("ReadWrite".to_owned());
    }
    (after != *before).then_some(after)
}

/// Reports how stores stand, where that is news. What cannot be reported is logged: it stops nothing.
pub async fn report(client: &Client, manifests: &Manifests, standings: &[Standing], now: Timestamp) {
    for standing in standings {
        let name = full_name(&standing.namespace, &standing.name);
        let key = format!("{} {name}", standing.kind.name());
        let Some(before) = manifests.store_status.get(&key) else { continue };
        let Some(after) = next(before, standing, now) else { continue };
        let patch = Patch::Merge(json!({ "status": after }));
        let params = PatchParams::default();
        let written = match standing.kind {
            StoreKind::SecretStore => {
                let api: Api<SecretStore> = Api::namespaced(client.clone(), &standing.namespace);
                api.patch_status(&standing.name, &params, &patch).await.map(drop)
            }
            StoreKind::ClusterSecretStore => {
                let api: Api<ClusterSecretStore> = Api::all(client.clone());
                api.patch_status(&standing.name, &params, &patch).await.map(drop)
            }
        };
        if let Err(error) = written {
            tracing::warn!(store = %key, why = %words(&error), "the status of a store was not written");
        }
    }
}
