//! `spec.target`: the Secret to make, and its template.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::DecodingStrategy;

/// The Secret to make.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Target {
    /// Its name; none: the ExternalSecret's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Whose the Secret is.
    #[serde(default)]
    pub creation_policy: CreationPolicy,
    /// What happens when every value is gone.
    #[serde(default)]
    pub deletion_policy: DeletionPolicy,
    /// How it looks.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub template: Option<Template>,
    /// Never changed after it was made.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub immutable: bool,
}

/// Whose the Secret is.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum CreationPolicy {
    #[default]
    Owner,
    Orphan,
    Merge,
    CreateOrMerge,
    None,
}

/// What happens when every value is gone.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum DeletionPolicy {
    #[default]
    Retain,
    Delete,
    Merge,
}

/// How the Secret looks.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// v2.
    #[serde(default)]
    pub engine_version: EngineVersion,
    /// Whether template keys replace the read ones or join them.
    #[serde(default)]
    pub merge_policy: MergePolicy,
    /// The Secret's type.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
    /// Its labels, annotations and finalizers.
    #[serde(default)]
    pub metadata: TemplateMetadata,
    /// Keys and their templates.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub data: BTreeMap<String, String>,
    /// More templates.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template_from: Vec<TemplateFrom>,
}

/// The template engine.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
pub enum EngineVersion {
    #[default]
    #[serde(rename = "v2")]
    #[allow(missing_docs)]
    V2,
}

/// Whether template keys replace the read ones or join them.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum MergePolicy {
    #[default]
    Replace,
    Merge,
}

/// Labels, annotations and finalizers of the Secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct TemplateMetadata {
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
    /// Labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Finalizers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub finalizers: Vec<String>,
}

/// Templates from elsewhere.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateFrom {
    /// From a ConfigMap.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub config_map: Option<TemplateRef>,
    /// From a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<TemplateRef>,
    /// What the templates make (`Data`, `Annotations`, `Labels`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub target: Option<String>,
    /// A template that prints YAML: keys and values.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub literal: Option<String>,
    /// How the values that it makes are decoded.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub values_decoding_strategy: Option<DecodingStrategy>,
}

/// An object with templates.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
pub struct TemplateRef {
    /// Its name.
    pub name: String,
    /// Its keys.
    #[serde(default)]
    pub items: Vec<TemplateItem>,
}

/// One template of an object.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct TemplateItem {
    /// The key.
    pub key: String,
    /// Whether it makes the value of this key, or keys and values.
    #[serde(default)]
    pub template_as: TemplateScope,
}

/// What a template makes.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum TemplateScope {
    #[default]
    Values,
    KeysAndValues,
}
