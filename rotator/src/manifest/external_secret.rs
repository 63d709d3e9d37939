//! ExternalSecret and ClusterExternalSecret: which values make which Secret.

use kube::CustomResource;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::duration::GoDuration;
use super::status::{ClusterExternalSecretStatus, ExternalSecretStatus};
use super::store::LabelSelector;

mod data_from;
mod target;

pub use data_from::{
    ConflictPolicy, DataFrom, Find, FindName, MergeStrategy, PriorityPolicy, Rewrite, RewriteMerge,
    RewriteRegexp, RewriteTransform,
};
pub use target::{
    CreationPolicy, DeletionPolicy, EngineVersion, MergePolicy, Target, Template, TemplateFrom, TemplateItem,
    TemplateMetadata, TemplateRef, TemplateScope,
};

/// Which values of which store make one Secret.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ExternalSecret",
    namespaced,
    status = "ExternalSecretStatus",
    shortname = "es",
    category = "external-secrets",
    printcolumn = r#"{"name":"StoreType","type":"string","jsonPath":".spec.secretStoreRef.kind"}"#,
    printcolumn = r#"{"name":"Store","type":"string","jsonPath":".spec.secretStoreRef.name"}"#,
    printcolumn = r#"{"name":"Refresh Interval","type":"string","jsonPath":".spec.refreshInterval"}"#,
    printcolumn = r#"{"name":"Status","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].reason"}"#,
    printcolumn = r#"{"name":"Ready","type":"string","jsonPath":".status.conditions[?(@.type==\"Ready\")].status"}"#,
    printcolumn = r#"{"name":"Last Sync","type":"date","jsonPath":".status.refreshTime"}"#
)]
#[serde(rename_all = "camelCase")]
pub struct ExternalSecretSpec {
    /// The store of every entry that names none of its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_store_ref: Option<StoreRef>,
    /// The Secret to make.
    #[serde(default)]
    pub target: Target,
    /// When values are read again.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_policy: Option<RefreshPolicy>,
    /// How often values are read again (1h); 0: once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_interval: Option<GoDuration>,
    /// When syncs may happen, in UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sync_windows: Option<SyncWindows>,
    /// Single keys.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataEntry>,
    /// Many keys at once.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data_from: Vec<DataFrom>,
}

/// The interval where none is given.
pub const REFRESH_INTERVAL_DEFAULT: std::time::Duration = std::time::Duration::from_secs(3600);

/// A store by name and kind.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct StoreRef {
    /// Its name.
    #[serde(default)]
    pub name: String,
    /// SecretStore or ClusterSecretStore.
    #[serde(default)]
    pub kind: StoreKind,
}

/// The two kinds of stores.
#[derive(
    Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq, PartialOrd, Ord, Hash,
)]
#[allow(missing_docs)]
pub enum StoreKind {
    #[default]
    SecretStore,
    ClusterSecretStore,
}

impl StoreKind {
    /// The kind's name in manifests.
    pub fn name(self) -> &'static str {
        match self {
            Self::SecretStore => "SecretStore",
            Self::ClusterSecretStore => "ClusterSecretStore",
        }
    }

    /// Whether a store of this kind is the same one in every namespace.
    pub fn serves_cluster(self) -> bool {
        match self {
            Self::SecretStore => false,
            Self::ClusterSecretStore => true,
        }
    }
}

/// When values are read again.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum RefreshPolicy {
    CreatedOnce,
    Periodic,
    OnChange,
}

/// Windows in which syncs are allowed or denied.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct SyncWindows {
    /// allow or deny.
    pub kind: WindowKind,
    /// The windows.
    #[serde(default)]
    pub windows: Vec<SyncWindow>,
}

/// What a window does.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
#[allow(missing_docs)]
pub enum WindowKind {
    Allow,
    Deny,
}

/// One window.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct SyncWindow {
    /// Five cron fields, UTC.
    #[schemars(regex(
        pattern = r"^(@(annually|yearly|monthly|weekly|daily|midnight|hourly)|@every [^\s]+.*|[^\s]+( [^\s]+){4})$"
    ))]
    pub schedule: String,
    /// How long it lasts.
    pub duration: GoDuration,
}

/// One key of the Secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct DataEntry {
    /// The key in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = r"^[-._a-zA-Z0-9]+$"))]
    pub secret_key: String,
    /// Where its value lies.
    pub remote_ref: RemoteRef,
    /// Another store for this key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source_ref: Option<SourceRef>,
}

/// A value, or a whole secret, in a store.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct RemoteRef {
    /// The secret's path.
    pub key: String,
    /// The value in it: the literal key, else a JSON path; none: the whole secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub property: Option<String>,
    /// Its version; none: the latest.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Fetch reads the secret's metadata instead of its values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata_policy: Option<MetadataPolicy>,
    /// How keys become valid keys of a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub conversion_strategy: Option<ConversionStrategy>,
    /// How values are decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub decoding_strategy: Option<DecodingStrategy>,
    /// What happens to values with a zero byte.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub null_byte_policy: Option<NullBytePolicy>,
}

/// Values or metadata.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MetadataPolicy {
    None,
    Fetch,
}

/// How keys become valid keys of a Secret.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum ConversionStrategy {
    #[default]
    Default,
    Unicode,
}

/// How values are decoded.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DecodingStrategy {
    Auto,
    Base64,
    #[serde(rename = "Base64URL")]
    Base64Url,
    #[default]
    None,
}

/// What happens to values with a zero byte.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum NullBytePolicy {
    #[default]
    Ignore,
    Fail,
}

/// Another store, or a generator.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct SourceRef {
    /// The store.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub store_ref: Option<StoreRef>,
    /// A generator of values; we have none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub generator_ref: Option<GeneratorRef>,
}

/// A generator by kind and name.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct GeneratorRef {
    /// The API group and version.
    #[serde(default)]
    pub api_version: String,
    /// The kind.
    #[serde(default)]
    pub kind: String,
    /// The name.
    #[serde(default)]
    pub name: String,
}

/// One ExternalSecret in each of many namespaces.
#[derive(CustomResource, Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[kube(
    group = "external-secrets.io",
    version = "v1",
    kind = "ClusterExternalSecret",
    status = "ClusterExternalSecretStatus",
    shortname = "ces",
    category = "external-secrets"
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterExternalSecretSpec {
    /// The ExternalSecret.
    pub external_secret_spec: ExternalSecretSpec,
    /// Its name; none: this object's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub external_secret_name: Option<String>,
    /// Its labels and annotations.
    #[serde(default)]
    pub external_secret_metadata: TemplateMetadata,
    /// Namespaces by labels.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace_selector: Option<LabelSelector>,
    /// Namespaces by several selectors: one is enough.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespace_selectors: Vec<LabelSelector>,
    /// Namespaces by name.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub namespaces: Vec<String>,
    /// How often namespaces are looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refresh_time: Option<GoDuration>,
}

impl ExternalSecretSpec {
    /// The Secret's name, for an ExternalSecret of the name `own`.
    pub fn target_name<'a>(&'a self, own: &'a str) -> &'a str {
        self.target.name.as_deref().filter(|name| !name.is_empty()).unwrap_or(own)
    }
}
