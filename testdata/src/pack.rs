//! Images as files: as Docker saved them through the years, and as OCI layouts.

use std::fs;
use std::io;
use std::path::Path;

use serde_json::{Value, json};

use crate::archive::{Compression, Tar};
use crate::image::{Image, digest};

/// A way of packing images.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Packaging {
    /// `docker save` before version 25: `ID/layer.tar`, `ID.json`, `manifest.json` last.
    DockerLegacy,
    /// The same with `manifest.json` first, as streaming writers have it.
    DockerLegacyManifestFirst,
    /// `docker save` since version 25: an OCI layout with `manifest.json` beside it.
    DockerModern,
    /// An OCI layout, its layers compressed in this way where they do not say otherwise.
    Oci(Compression),
}

/// Files of an archive or a folder, in order.
#[derive(Clone, Debug, Default)]
pub struct Files(pub Vec<(String, Vec<u8>)>);

impl Files {
    fn add(&mut self, name: String, bytes: Vec<u8>) {
        if !self.0.iter().any(|file| file.0 == name) {
            self.0.push((name, bytes));
        }
    }

    fn blob(&mut self, bytes: Vec<u8>) -> (String, usize) {
        let (digest, length) = (digest(&bytes), bytes.len());
        self.add(format!("blobs/{}", digest.replace(':', "/")), bytes);
        (digest, length)
    }

    /// As one tar archive.
    pub fn tar(&self) -> Vec<u8> {
        self.0.iter().fold(Tar::new(), |tar, (name, bytes)| tar.file(name, bytes)).finish()
    }

    /// As a folder.
    ///
    /// # Errors
    /// Those of the system.
    pub fn write_to(&self, folder: &Path) -> io::Result<()> {
        for (name, bytes) in &self.0 {
            let path = folder.join(name);
            if let Some(parent) = path.parent() {
                fs::create_dir_all(parent)?;
            }
            fs::write(path, bytes)?;
        }
        Ok(())
    }
}

/// Packs images into one archive or layout.
///
/// # Errors
/// Those of the compressors; writing to memory, they have none to make.
pub fn pack(images: &[Image], packaging: Packaging) -> io::Result<Files> {
    let mut files = Files::default();
    match packaging {
        Packaging::DockerLegacy => {
            let manifest = legacy(&mut files, images);
            files.add("manifest.json".to_owned(), manifest);
        }
        Packaging::DockerLegacyManifestFirst => {
            let manifest = legacy(&mut files, images);
            files.0.insert(0, ("manifest.json".to_owned(), manifest));
        }
        Packaging::DockerModern => {
            let saved = oci(&mut files, images, Compression::None)?;
            files.add("manifest.json".to_owned(), saved);
        }
        Packaging::Oci(compression) => {
            oci(&mut files, images, compression)?;
        }
    }
    Ok(files)
}

/// Returns `manifest.json`.
fn legacy(files: &mut Files, images: &[Image]) -> Vec<u8> {
    let mut saved = Vec::new();
    for image in images {
        let configuration = image.configuration().to_string().into_bytes();
        let config = format!("{}.json", hex(&digest(&configuration)));
        let mut layers = Vec::new();
        for layer in &image.layers {
            // Docker's identifiers were no digests of the archive either.
            let id = hex(&digest(format!("{}{}", layer.created_by, digest(&layer.tar)).as_bytes()));
            files.add(format!("{id}/VERSION"), b"1.0".to_vec());
            files.add(format!("{id}/json"), json!({ "id": id }).to_string().into_bytes());
            files.add(format!("{id}/layer.tar"), layer.tar.clone());
            layers.push(format!("{id}/layer.tar"));
        }
        files.add(config.clone(), configuration);
        saved.push(json!({ "Config": config, "RepoTags": [image.tag], "Layers": layers }));
    }
    Value::from(saved).to_string().into_bytes()
}

/// Returns what Docker puts beside the layout.
fn oci(files: &mut Files, images: &[Image], compression: Compression) -> io::Result<Vec<u8>> {
    files.add("oci-layout".to_owned(), br#"{"imageLayoutVersion":"1.0.0"}"#.to_vec());
    let (mut manifests, mut saved) = (Vec::new(), Vec::new());
    for image in images {
        let mut layers = Vec::new();
        let mut names = Vec::new();
        for layer in &image.layers {
            let compression = layer.compression.unwrap_or(compression);
            let (digest, size) = files.blob(compression.pack(&layer.tar)?);
            names.push(format!("blobs/{}", digest.replace(':', "/")));
            layers.push(json!({ "mediaType": media_type(compression), "digest": digest, "size": size }));
        }
        let configuration = image.configuration();
        let (config, config_size) = files.blob(configuration.to_string().into_bytes());
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json", "digest": config, "size": config_size,
            },
            "layers": layers,
        });
        let (digest, size) = files.blob(manifest.to_string().into_bytes());
        manifests.push(json!({
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "digest": digest,
            "size": size,
            "platform": { "os": "linux", "architecture": configuration["architecture"] },
            "annotations": { "org.opencontainers.image.ref.name": image.tag },
        }));
        saved.push(json!({
            "Config": format!("blobs/{}", config.replace(':', "/")), "RepoTags": [image.tag], "Layers": names,
        }));
    }
    files.add(
        "index.json".to_owned(),
        json!({ "schemaVersion": 2, "manifests": manifests }).to_string().into_bytes(),
    );
    Ok(Value::from(saved).to_string().into_bytes())
}

fn media_type(compression: Compression) -> &'static str {
    match compression {
        Compression::None => "application/vnd.oci.image.layer.v1.tar",
        Compression::Gzip | Compression::GzipMembers | Compression::EStargz => {
            "application/vnd.oci.image.layer.v1.tar+gzip"
        }
        Compression::Zstd | Compression::ZstdFrames | Compression::ZstdLong | Compression::ZstdChunked => {
            "application/vnd.oci.image.layer.v1.tar+zstd"
        }
        Compression::Bzip2 => "application/vnd.oci.image.layer.v1.tar+bzip2",
        Compression::Xz | Compression::XzNine => "application/vnd.oci.image.layer.v1.tar+xz",
        Compression::Lz4 => "application/vnd.oci.image.layer.v1.tar+lz4",
    }
}

fn hex(digest: &str) -> String {
    digest.trim_start_matches("sha256:").to_owned()
}
