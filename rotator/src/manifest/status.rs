//! What is reported back on the objects in a cluster.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The status of a store.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct StoreStatus {
    /// Ready: Valid, InvalidProviderConfig or ValidationFailed.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// ReadWrite, ReadOnly or WriteOnly.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub capabilities: Option<String>,
}

/// The status of an ExternalSecret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretStatus {
    /// When the Secret was last brought up to date (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_time: Option<String>,
    /// Generation and hash of the metadata that was last synced.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub synced_resource_version: Option<String>,
    /// Ready: SecretSynced, SecretSyncedError, SecretDeleted or SecretMissing.
    #[serde(default)]
    pub conditions: Vec<Condition>,
    /// The Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub binding: Option<Binding>,
}

/// The status of a Rotation.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RotationStatus {
    /// The generation of the object that this is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// The highest run that was ever seen in the journal: one that is older was restored, and needs a person.
    #[serde(default)]
    pub revision: u64,
    /// Where that run stands.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub phase: Option<String>,
    /// When the next run is due (RFC 3339); absent while suspended.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_run: Option<String>,
    /// Ready, Progressing and NeedsPerson.
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// A Secret's name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct Binding {
    /// The name.
    #[serde(default)]
    pub name: String,
}

/// A condition, in the order of fields that `kubectl` users know.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// `Ready`, for all that is written here.
    #[serde(rename = "type")]
    pub kind: String,
    /// True or False.
    pub status: String,
    /// One word for programs.
    #[serde(default)]
    pub reason: String,
    /// One line for people.
    #[serde(default)]
    pub message: String,
    /// When the status last changed (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_transition_time: Option<String>,
}

/// The status of a ClusterExternalSecret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ClusterExternalSecretStatus {
    /// The name of the ExternalSecrets that were made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_secret_name: Option<String>,
    /// Namespaces where it failed.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub failed_namespaces: Vec<FailedNamespace>,
    /// Namespaces where it stands.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub provisioned_namespaces: Vec<String>,
    /// Ready.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub conditions: Vec<Condition>,
}

/// A namespace where an ExternalSecret could not be made.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct FailedNamespace {
    /// Its name.
    pub namespace: String,
    /// Why.
    #[serde(default)]
    pub reason: String,
}

/// Puts a condition in the place of the one of its type; its time moves only with its status.
pub fn set_condition(conditions: &mut Vec<Condition>, mut condition: Condition, now: Timestamp) {
    let old = conditions.iter_mut().find(|old| old.kind == condition.kind);
    let since = old.as_ref().filter(|old| old.status == condition.status);
    let since = since.and_then(|old| old.last_transition_time.clone());
    condition.last_transition_time = Some(since.unwrap_or_else(|| seconds(now)));
    match old {
        Some(old) => *old = condition,
        None => conditions.push(condition),
    }
}

/// Kubernetes writes times in whole seconds.
pub fn seconds(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}
