//! The Kubernetes objects that stores and templates refer to: Secrets and ConfigMaps, as far as they matter.

use std::collections::BTreeMap;
use std::fmt;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde::de::{Deserialize, Deserializer, Error as _};
use shared::secret::Secret;

/// A Secret's values. Fields that do not matter here are read and dropped.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SecretValues {
    /// Values in base64.
    #[serde(default)]
    data: BTreeMap<String, Base64Value>,
    /// Values as text; they win over `data`, as in the API server.
    #[serde(default)]
    string_data: BTreeMap<String, TextValue>,
    #[serde(default, rename = "apiVersion")]
    _api_version: IgnoredField,
    #[serde(default, rename = "kind")]
    _kind: IgnoredField,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredField,
    #[serde(default, rename = "type")]
    _type: IgnoredField,
    #[serde(default, rename = "immutable")]
    _immutable: IgnoredField,
}

impl SecretValues {
    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Secret> {
        self.string_data.get(key).map(|value| &value.0).or_else(|| self.data.get(key).map(|value| &value.0))
    }
}

struct Base64Value(Secret);

impl<'de> Deserialize<'de> for Base64Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = zeroize::Zeroizing::new(String::deserialize(deserializer)?);
        let bytes = BASE64_STANDARD
            .decode(text.as_bytes())
            .map_err(|_| D::Error::custom("this is not base64; use stringData for plain text"))?;
        Ok(Self(Secret::new(bytes)))
    }
}

impl fmt::Debug for Base64Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

struct TextValue(Secret);

impl<'de> Deserialize<'de> for TextValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|text| Self(Secret::from_string(text)))
    }
}

impl fmt::Debug for TextValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// A ConfigMap's texts.
#[derive(Clone, Debug, Default, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ConfigValues {
    /// The texts by key.
    #[serde(default)]
    pub data: BTreeMap<String, String>,
    #[serde(default, rename = "binaryData")]
    _binary_data: IgnoredField,
    #[serde(default, rename = "apiVersion")]
    _api_version: IgnoredField,
    #[serde(default, rename = "kind")]
    _kind: IgnoredField,
    #[serde(default, rename = "metadata")]
    _metadata: IgnoredField,
    #[serde(default, rename = "immutable")]
    _immutable: IgnoredField,
}

/// A field that is known and of no use here.
#[derive(Clone, Debug, Default)]
struct IgnoredField;

impl<'de> Deserialize<'de> for IgnoredField {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        serde::de::IgnoredAny::deserialize(deserializer).map(|_| Self)
    }
}
