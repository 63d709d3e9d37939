//! A folder of SealedSecrets, one a file, for git: what is in them nobody can read back, the rotator neither.
//!
//! So that a value that has not changed leaves its file alone, each file names a keyed fingerprint of what was sealed.
//! Without a key everything is sealed anew each time.

use std::collections::BTreeMap;
use std::path::Path;

use shared::fingerprint::FingerprintKey;
use shared::secret::Redacted;
use zeroize::Zeroizing;

use super::folder::Folder;
use super::{TargetError, Written};
use crate::manifest::node::Node;
use crate::seal::Sealer;
use crate::sync::mark;
use crate::sync::secret::SecretObject;

/// Which values, types, labels and annotations were sealed, and for whom.
const FINGERPRINT: &str = "keyturn.dev/sealed";

/// How it is sealed.
pub struct Sealing {
    /// For whom.
    pub sealer: Sealer,
    /// By which unchanged values are known.
    pub key: Option<FingerprintKey>,
}

/// The folder.
pub struct SealedFolder {
    folder: Folder,
    sealing: Sealing,
}

impl SealedFolder {
    /// Makes the folder if it is not there.
    ///
    /// # Errors
    /// As [`Folder::open`].
    pub fn open(path: &Path, sealing: Sealing) -> Result<Self, TargetError> {
        Ok(Self { folder: Folder::open(path)?, sealing })
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Seals a Secret into its file, unless that holds the same.
    ///
    /// # Errors
    /// When it cannot be sealed, the file there is not ours, or the disk says no.
    pub fn write(&self, secret: &SecretObject) -> Result<Written, TargetError> {
        let meta = secret.meta();
        let (namespace, name) =
            (meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default());
        let there = self.folder.text(namespace, name)?;
        let fingerprint = self.fingerprint(secret);
        if let (Some(there), Some(fingerprint)) = (&there, &fingerprint)
            && annotation(there).as_deref() == Some(fingerprint)
        {
            return Ok(Written::Same);
        }
        let refused = |error: crate::seal::SealError| TargetError::Refused {
            action: "sealing",
            why: error.to_string(),
        };
        let mut sealed = self.sealing.sealer.seal(secret).map_err(refused)?;
        // Who made it says nothing of the values.
        let owner = secret.label(mark::CREATED_BY).map(|hash| (mark::CREATED_BY.to_owned(), hash.to_owned()));
        let annotations = fingerprint.map(|fingerprint| (FINGERPRINT.to_owned(), fingerprint));
        let text =
            sealed.yaml(owner.into_iter().collect(), annotations.into_iter().collect()).map_err(refused)?;
        self.folder.put(namespace, name, &text)?;
        Ok(if there.is_some() { Written::Replaced } else { Written::New })
    }

    /// Removes a SealedSecret of ours; whether there was one.
    ///
    /// # Errors
    /// When the file there is not ours or cannot be removed.
    pub fn remove(&self, namespace: &str, name: &str) -> Result<bool, TargetError> {
        match self.folder.text(namespace, name)? {
            None => Ok(false),
            Some(_) => self.folder.remove(namespace, name).map(|()| true),
        }
    }

    /// `namespace/name` of every SealedSecret that an ExternalSecret owns.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn owned(&self) -> Result<Vec<(String, String)>, TargetError> {
        let mut owned = Vec::new();
        for (namespace, name) in self.folder.names()? {
            let text = self.folder.text(&namespace, &name)?;
            if text.is_some_and(|text| text.contains(mark::CREATED_BY)) {
                owned.push((namespace, name));
            }
        }
        Ok(owned)
    }

    fn fingerprint(&self, secret: &SecretObject) -> Option<String> {
        let key = self.sealing.key.as_ref()?;
        let mut bytes = Zeroizing::new(Vec::new());
        let mut add = |part: &[u8]| {
            // With lengths two lists of parts never look alike.
            bytes.extend_from_slice(&(part.len() as u64).to_le_bytes());
            bytes.extend_from_slice(part);
        };
        add(b"sealed/1");
        add(self.sealing.sealer.certificate());
        add(format!("{:?}", self.sealing.sealer.scope()).as_bytes());
        secret.expose(|secret| {
            add(secret.type_.as_deref().unwrap_or_default().as_bytes());
            add(if secret.immutable == Some(true) { b"immutable" } else { b"" });
            for map in [&secret.metadata.labels, &secret.metadata.annotations] {
                for (key, value) in map.iter().flatten() {
                    add(key.as_bytes());
                    add(value.as_bytes());
                }
                add(b"end");
            }
            for (key, value) in secret.data.iter().flatten() {
                add(key.as_bytes());
                add(&value.0);
            }
        });
        Some(key.fingerprint(Redacted::new(&bytes)).to_string())
    }
}

/// What a file says of itself.
fn annotation(text: &str) -> Option<String> {
    let documents = Node::parse_all(text).ok()?;
    let node = documents.first()?.get("metadata")?.get("annotations")?;
    let annotations: BTreeMap<String, String> = crate::manifest::decode::decode(node, "").ok()?;
    annotations.get(FINGERPRINT).cloned()
}
