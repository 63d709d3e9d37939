//! Container images in memory.

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::archive::{Compression, Tar};

/// One layer: an archive of changes, and the history line that made it.
#[derive(Clone, Debug)]
pub struct Layer {
    /// The uncompressed archive.
    pub tar: Vec<u8>,
    /// How it is stored in an OCI layout; `docker save` stores it uncompressed unless the packaging says otherwise.
    pub compression: Option<Compression>,
    /// The line of the build.
    pub created_by: String,
}

impl Layer {
    /// A layer from an archive that is built.
    pub fn new(created_by: &str, tar: Tar) -> Self {
        Self { tar: tar.finish(), compression: None, created_by: created_by.to_owned() }
    }

    /// Stored like this, whatever the packaging says.
    #[must_use]
    pub fn stored(mut self, compression: Compression) -> Self {
        self.compression = Some(compression);
        self
    }
}

/// An image: layers, lowest first, and its configuration.
#[derive(Clone, Debug, Default)]
pub struct Image {
    /// `name:tag`.
    pub tag: String,
    /// `amd64` if empty.
    pub architecture: String,
    /// Lowest first.
    pub layers: Vec<Layer>,
    /// `NAME=value`.
    pub environment: Vec<String>,
    /// Name and value.
    pub labels: Vec<(String, String)>,
    /// Words of the command.
    pub command: Vec<String>,
    /// Words of the entry point.
    pub entry_point: Vec<String>,
    /// Lines of the history that made no layer, after the others: build arguments.
    pub history: Vec<String>,
}

impl Image {
    /// An image without layers.
    pub fn new(tag: &str) -> Self {
        Self { tag: tag.to_owned(), ..Self::default() }
    }

    /// Adds the next higher layer.
    #[must_use]
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Adds an environment variable.
    #[must_use]
    pub fn variable(mut self, name: &str, value: &str) -> Self {
        self.environment.push(format!("{name}={value}"));
        self
    }

    /// The configuration document.
    pub fn configuration(&self) -> Value {
        let architecture = if self.architecture.is_empty() { "amd64" } else { &self.architecture };
        let made = self.layers.iter().map(|layer| json!({ "created_by": layer.created_by }));
        let empty = self.history.iter().map(|line| json!({ "created_by": line, "empty_layer": true }));
        let labels: serde_json::Map<String, Value> =
            self.labels.iter().map(|(name, value)| (name.clone(), value.clone().into())).collect();
        json!({
            "architecture": architecture,
            "os": "linux",
            "config": {
                "Env": self.environment,
                "Cmd": self.command,
                "Entrypoint": self.entry_point,
                "Labels": labels,
            },
            "history": made.chain(empty).collect::<Vec<_>>(),
            "rootfs": {
                "type": "layers",
                "diff_ids": self.layers.iter().map(|layer| digest(&layer.tar)).collect::<Vec<_>>(),
            },
        })
    }
}

/// `sha256:…` of bytes.
pub fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(&Sha256::digest(bytes)))
}
