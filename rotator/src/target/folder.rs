//! A folder with one Secret manifest a file.
//!
//! Guarantees: files have mode 0600; each is replaced in one step and reaches the disk before its name does; an
//! unchanged one is not touched; a file that we did not make is never overwritten or removed.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use rustix::fs::OFlags;
use serde::Serialize;
use serde::ser::{SerializeMap, Serializer};
use zeroize::Zeroizing;

use super::TargetError;
use crate::manifest::decode::decode;
use crate::manifest::load::io_words;
use crate::manifest::node::Node;
use crate::sync::secret::SecretObject;
use jiff::Timestamp;

/// The first line of every file. Files without it are not ours.
const HEADER: &str = "# Made by keyturn: rotator sync. Changes to this file are overwritten.\n";
/// A Secret holds at most 1 MiB; base64 and YAML make it larger by half.
const FILE_BYTES_MAX: u64 = 4 << 20;

/// A folder of Secret manifests.
pub struct Folder(PathBuf);

impl Folder {
    /// Makes the folder (mode 0700) if it is not there.
    ///
    /// # Errors
    /// When it cannot be made or is not a folder.
    pub fn open(path: &Path) -> Result<Self, TargetError> {
        let fail = |error: std::io::Error| file_error(path, "made", &error);
        if !path.is_dir() {
            DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail)?;
        }
        Ok(Self(path.to_owned()))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// Namespaces hold no dots, so the names of two Secrets never meet.
    fn file(&self, namespace: &str, name: &str) -> PathBuf {
        self.0.join(format!("{namespace}.{name}.yaml"))
    }

    /// The Secret in its file.
    ///
    /// # Errors
    /// When the file there is not ours or cannot be read.
    pub fn read(&self, namespace: &str, name: &str) -> Result<Option<SecretObject>, TargetError> {
        read_file(&self.file(namespace, name))
    }

    /// When the Secret's file was last written.
    pub fn written_at(&self, namespace: &str, name: &str) -> Option<Timestamp> {
        let modified = self.file(namespace, name).metadata().ok()?.modified().ok()?;
        Timestamp::try_from(modified).ok()
    }

    /// The text of a file of ours.
    ///
    /// # Errors
    /// When the file there is not ours or cannot be read.
    pub fn text(&self, namespace: &str, name: &str) -> Result<Option<Zeroizing<String>>, TargetError> {
        read_text(&self.file(namespace, name))
    }

    /// Replaces a file by a manifest in one step.
    ///
    /// # Errors
    /// When the disk says no; the old file is then unchanged.
    pub fn put(&self, namespace: &str, name: &str, manifest: &str) -> Result<(), TargetError> {
        let path = self.file(namespace, name);
        let text = Zeroizing::new(format!("{HEADER}{manifest}"));
        replace(&self.0, &path, text.as_bytes()).map_err(|error| file_error(&path, "written", &error))
    }

    /// Removes a file.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn remove(&self, namespace: &str, name: &str) -> Result<(), TargetError> {
        let path = self.file(namespace, name);
        std::fs::remove_file(&path)
            .and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(|error| file_error(&path, "removed", &error))
    }

    /// Namespace and name of every file that may be ours.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn names(&self) -> Result<Vec<(String, String)>, TargetError> {
        let fail = |error: std::io::Error| file_error(&self.0, "read", &error);
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(fail)? {
            let file = entry.map_err(fail)?.file_name();
            let parts = file.to_str().and_then(|file| file.strip_suffix(".yaml")?.split_once('.'));
            names.extend(
                parts
                    .filter(|(namespace, _)| !namespace.is_empty())
                    .map(|(n, m)| (n.to_owned(), m.to_owned())),
            );
        }
        names.sort();
        Ok(names)
    }

    /// Every Secret of ours.
    ///
    /// # Errors
    /// When the folder cannot be read. Files that are not ours are passed over.
    pub fn list(&self) -> Result<Vec<SecretObject>, TargetError> {
        let fail = |error: std::io::Error| file_error(&self.0, "read", &error);
        let mut secrets = Vec::new();
        for entry in std::fs::read_dir(&self.0).map_err(fail)? {
            let path = entry.map_err(fail)?.path();
            if path.extension().is_some_and(|end| end == "yaml")
                && let Ok(Some(secret)) = read_file(&path)
            {
                let meta = secret.meta();
                let (namespace, name) = (meta.namespace.as_deref(), meta.name.as_deref());
                if path == self.file(namespace.unwrap_or_default(), name.unwrap_or_default()) {
                    secrets.push(secret);
                }
            }
        }
        Ok(secrets)
    }

    /// Replaces the Secret's file in one step.
    ///
    /// # Errors
    /// When the disk says no; the old file is then unchanged.
    pub fn write(&self, secret: &SecretObject) -> Result<(), TargetError> {
        let meta = secret.meta();
        let path = self
            .file(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let text = to_yaml(secret).ok_or(TargetError::Refused {
            action: "writing",
            why: "it cannot be written as YAML".to_owned(),
        })?;
        replace(&self.0, &path, text.as_bytes()).map_err(|error| file_error(&path, "written", &error))
    }

    /// Removes the Secret's file.
    ///
    /// # Errors
    /// When the disk says no.
    pub fn delete(&self, secret: &SecretObject) -> Result<(), TargetError> {
        let meta = secret.meta();
        let path = self
            .file(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        std::fs::remove_file(&path)
            .and_then(|()| File::open(&self.0)?.sync_all())
            .map_err(|error| file_error(&path, "removed", &error))
    }
}

fn file_error(path: &Path, action: &'static str, error: &std::io::Error) -> TargetError {
    TargetError::File { file: path.display().to_string(), action, why: io_words(error) }
}

fn read_file(path: &Path) -> Result<Option<SecretObject>, TargetError> {
    let not_ours = |why| TargetError::NotOurs { file: path.display().to_string(), why };
    let Some(text) = read_text(path)? else { return Ok(None) };
    let documents =
        Node::parse_all(&text).map_err(|_| not_ours("this file was changed and is no Secret any more"))?;
    let secret = documents.first().and_then(|tree| decode::<KubeSecret>(tree, "").ok());
    secret
        .map(|secret| Some(SecretObject::new(secret)))
        .ok_or_else(|| not_ours("this file was changed and is no Secret any more"))
}

fn read_text(path: &Path) -> Result<Option<Zeroizing<String>>, TargetError> {
    let not_ours = |why| TargetError::NotOurs { file: path.display().to_string(), why };
    let no_follow = i32::try_from((OFlags::NOFOLLOW | OFlags::NONBLOCK).bits()).unwrap_or_default();
    let file = match OpenOptions::new().read(true).custom_flags(no_follow).open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(error) if error.raw_os_error() == Some(rustix::io::Errno::LOOP.raw_os_error()) => {
            return Err(not_ours("this is a symbolic link"));
        }
        Err(error) => return Err(file_error(path, "read", &error)),
    };
    if !file.metadata().is_ok_and(|metadata| metadata.is_file()) {
        return Err(not_ours("this is not a plain file"));
    }
    let mut text = Zeroizing::new(String::new());
    let read = file.take(FILE_BYTES_MAX).read_to_string(&mut text);
    if read.is_err() || !text.starts_with(HEADER) {
        return Err(not_ours("this file was not made by rotator"));
    }
    Ok(Some(text))
}

/// Writes beside the file, to the disk, and then renames over it.
fn replace(folder: &Path, path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let name = path.file_name().and_then(|name| name.to_str()).unwrap_or("secret");
    let beside = folder.join(format!(".{name}.{}.new", std::process::id()));
    let written = (|| {
        // A file that a killed run left behind is in the way of `create_new`.
        match std::fs::remove_file(&beside) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
        // The mode of `open` passes through the umask, which may take even more away.
        file.set_permissions(std::fs::Permissions::from_mode(0o600))?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&beside, path)?;
        File::open(folder)?.sync_all()
    })();
    if written.is_err() {
        let _ = std::fs::remove_file(&beside);
    }
    written
}

/// The manifest as it is written: apiVersion, kind, metadata first, as people write it.
fn to_yaml(secret: &SecretObject) -> Option<Zeroizing<String>> {
    let body = secret.expose(|secret| serde_saphyr::to_string(&Manifest(secret)).map(Zeroizing::new)).ok()?;
    let mut text = Zeroizing::new(String::with_capacity(HEADER.len() + body.len()));
    text.push_str(HEADER);
    text.push_str(&body);
    Some(text)
}

struct Manifest<'a>(&'a KubeSecret);

impl Serialize for Manifest<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let secret = self.0;
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("apiVersion", "v1")?;
        map.serialize_entry("kind", "Secret")?;
        map.serialize_entry("metadata", &secret.metadata)?;
        map.serialize_entry("type", secret.type_.as_deref().unwrap_or("Opaque"))?;
        if let Some(immutable) = secret.immutable {
            map.serialize_entry("immutable", &immutable)?;
        }
        map.serialize_entry("data", &Data(secret))?;
        map.end()
    }
}

struct Data<'a>(&'a KubeSecret);

impl Serialize for Data<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (key, value) in self.0.data.iter().flatten() {
            let text = Zeroizing::new(BASE64_STANDARD.encode(&value.0));
            map.serialize_entry(key, text.as_str())?;
        }
        map.end()
    }
}

#[cfg(test)]
mod tests;
