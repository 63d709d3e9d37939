//! The JSON of images, as far as we read it: OCI image specification 1.1, Docker image manifest version 2 schema 2,
//! and the `manifest.json` of `docker save`. Unknown fields are ignored, missing ones are empty.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::Value;

/// An entry of `manifest.json`.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct SavedImage {
    pub(crate) config: String,
    #[serde(default)]
    pub(crate) repo_tags: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) layers: Option<Vec<String>>,
}

/// An index or a manifest: which one is told from what it has.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Described {
    #[serde(default)]
    pub(crate) schema_version: u32,
    pub(crate) manifests: Option<Vec<Descriptor>>,
    pub(crate) config: Option<Descriptor>,
    pub(crate) layers: Option<Vec<Descriptor>>,
}

/// Names a blob.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Descriptor {
    #[serde(default)]
    pub(crate) media_type: String,
    #[serde(default)]
    pub(crate) digest: String,
    #[serde(default)]
    pub(crate) urls: Option<Vec<String>>,
    #[serde(default)]
    pub(crate) annotations: Option<BTreeMap<String, String>>,
    pub(crate) platform: Option<Platform>,
}

impl Descriptor {
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations.as_ref()?.get(key).map(String::as_str)
    }

    /// The tag or name that an index gives an image. containerd writes the full name beside the tag.
    pub(crate) fn reference(&self) -> Option<&str> {
        self.annotation("io.containerd.image.name")
            .or_else(|| self.annotation("org.opencontainers.image.ref.name"))
    }

    /// Whether it describes another image and has no file system: BuildKit's attestations.
    pub(crate) fn is_attestation(&self) -> bool {
        self.annotation("vnd.docker.reference.type") == Some("attestation-manifest")
    }

    /// Where the digest lies in a layout. None unless it is a well-formed digest: it becomes part of a name.
    pub(crate) fn blob_name(&self) -> Option<String> {
        let (algorithm, hex) = self.digest.split_once(':')?;
        let plain = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric());
        (plain(algorithm) && plain(hex)).then(|| format!("blobs/{algorithm}/{hex}"))
    }

    /// Whether it promises an image's configuration. `docker save` gives no type.
    pub(crate) fn is_image_configuration(&self) -> bool {
        self.media_type.is_empty()
            || self.media_type.contains("image.config.v1")
            || self.media_type.contains("container.image")
    }

    /// Whether the layer is allowed to lie elsewhere.
    pub(crate) fn is_foreign(&self) -> bool {
        self.urls.as_ref().is_some_and(|urls| !urls.is_empty())
            || self.media_type.contains("nondistributable")
            || self.media_type.contains("foreign")
    }
}

/// What an image runs on.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
pub(crate) struct Platform {
    #[serde(default)]
    pub(crate) os: String,
    #[serde(default)]
    pub(crate) architecture: String,
    #[serde(default)]
    pub(crate) variant: Option<String>,
}

impl Platform {
    /// `os/architecture[/variant]`; none if nothing is known.
    pub(crate) fn text(&self) -> Option<String> {
        let known = |text: &str| !text.is_empty() && text != "unknown";
        if !known(&self.os) || !known(&self.architecture) {
            return None;
        }
        let variant = self.variant.as_deref().filter(|variant| known(variant));
        let variant = variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        Some(format!("{}/{}{variant}", self.os, self.architecture))
    }
}

/// An image's configuration.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct Configuration {
    #[serde(flatten)]
    pub(crate) platform: Platform,
    #[serde(default)]
    pub(crate) rootfs: RootFs,
    #[serde(default)]
    pub(crate) history: Option<Vec<History>>,
}

/// The uncompressed layers.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct RootFs {
    #[serde(default)]
    pub(crate) diff_ids: Option<Vec<String>>,
}

/// A line of the build.
#[derive(Debug, Default, Deserialize)]
pub(crate) struct History {
    #[serde(default)]
    pub(crate) created_by: Option<String>,
    #[serde(default)]
    pub(crate) empty_layer: Option<bool>,
}

impl Configuration {
    /// The history lines that made layers, lowest first.
    pub(crate) fn created_by(&self) -> impl Iterator<Item = Option<&str>> {
        let lines = self.history.iter().flatten().filter(|line| line.empty_layer != Some(true));
        lines.map(|line| line.created_by.as_deref())
    }
}

/// The parts of a configuration, each with the path under which it is reported, and its text.
///
/// Every string is searched on its own, so that a finding says which variable or history line it is in; a label or
/// another keyed value is written `key=value`, as variables are. Command lines are searched whole: `--password` may
/// stand beside its value.
pub(crate) fn parts(configuration: &Value) -> Vec<(String, String)> {
    let mut parts = Vec::new();
    if let Value::Object(fields) = configuration {
        for (name, value) in fields {
            match name.as_str() {
                "rootfs" => {}
                "config" => match value {
                    Value::Object(fields) => {
                        fields
                            .iter()
                            .for_each(|(name, value)| add(&mut parts, name.clone(), Some(name), value, 0));
                    }
                    value => add(&mut parts, name.clone(), Some(name), value, 0),
                },
                _ => add(&mut parts, name.clone(), Some(name), value, 0),
            }
        }
    }
    for (path, _) in &mut parts {
        path.insert_str(0, "config:");
    }
    parts
}

/// serde_json stops at 128 levels; nothing that we know needs ten.
const PARTS_DEPTH_MAX: u32 = 32;

/// Adds a value and all below it. Elements of a list have no key: a variable is a line of its own.
fn add(parts: &mut Vec<(String, String)>, path: String, key: Option<&str>, value: &Value, depth: u32) {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
        Value::String(text) => match key {
            None | Some("created_by" | "comment" | "Cmd" | "Entrypoint") => parts.push((path, text.clone())),
            Some(key) => parts.push((path, format!("{key}={text}"))),
        },
        _ if depth >= PARTS_DEPTH_MAX => parts.push((path, value.to_string())),
        Value::Array(values) if matches!(key, Some("Cmd" | "Entrypoint" | "Shell" | "Test")) => {
            let words: Vec<&str> = values.iter().filter_map(Value::as_str).collect();
            parts.push((path, words.join(" ")));
        }
        Value::Array(values) => {
            for (index, value) in values.iter().enumerate() {
                add(parts, format!("{path}[{index}]"), None, value, depth + 1);
            }
        }
        Value::Object(fields) => {
            for (name, value) in fields {
                // A key is content as well: an exposed port, a volume's path.
                if matches!(value, Value::Object(inner) if inner.is_empty()) {
                    parts.push((format!("{path}.{name}"), name.clone()));
                }
                add(parts, format!("{path}.{name}"), Some(name), value, depth + 1);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::parts;

    #[test]
    fn every_string_of_a_configuration_has_a_place() {
        let parts = parts(&json!({
            "architecture": "amd64",
            "config": {
                "Env": ["PATH=/bin", "TOKEN=x"],
                "Entrypoint": ["sh", "-c", "run --password y"],
                "Labels": {"owner.key": "z"},
                "ExposedPorts": {"80/tcp": {}},
                "Tty": false
            },
            "history": [{"created_by": "RUN make"}, {"comment": "c", "empty_layer": true}],
            "rootfs": {"type": "layers", "diff_ids": ["sha256:00"]}
        }));
        let find = |path: &str| parts.iter().find(|part| part.0 == path).map(|part| part.1.as_str());
        assert_eq!(find("config:Env[1]"), Some("TOKEN=x"));
        assert_eq!(find("config:Entrypoint"), Some("sh -c run --password y"));
        assert_eq!(find("config:Labels.owner.key"), Some("owner.key=z"));
        assert_eq!(find("config:ExposedPorts.80/tcp"), Some("80/tcp"));
        assert_eq!(find("config:history[0].created_by"), Some("RUN make"));
        assert_eq!(find("config:history[1].comment"), Some("c"));
        assert_eq!(find("config:architecture"), Some("architecture=amd64"));
        assert_eq!(parts.len(), 8);
    }
}
