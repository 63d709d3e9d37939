//! Configurations, manifests and Docker's older metadata, as things to search.

use std::collections::HashSet;
use std::sync::Arc;

use serde_json::Value;

use crate::blob::{Origin, Provenance};
use crate::image::catalog::{Catalog, MemberId, Members, Role};
use crate::image::document::parts;
use crate::image::{CONFIGURATION, is_old_metadata};
use crate::limits::DOCUMENT_BYTES_MAX;
use crate::walk::{Over, Walk};

/// The texts of all configurations. Docker's old metadata repeats them for each layer.
#[derive(Default)]
pub(crate) struct Configured(HashSet<String>);

impl Configured {
    /// Of all images of a catalog.
    pub(crate) fn of(catalog: &Catalog, members: &impl Members) -> Self {
        let configurations = catalog.images.iter().filter_map(|image| members.document(image.configuration?));
        let parsed = configurations.filter_map(|bytes| serde_json::from_slice(bytes).ok());
        Self(parsed.flat_map(|configuration| parts(&configuration)).map(|(_, text)| text).collect())
    }

    /// Whether a document says nothing that a configuration does not say.
    fn says_all(&self, document: &Value) -> bool {
        parts(document).iter().all(|(_, text)| self.0.contains(text) || is_bookkeeping(text))
    }
}

/// Digests, times and short words: nothing that a secret looks like.
fn is_bookkeeping(text: &str) -> bool {
    const KEYS: [&str; 8] =
        ["id=", "parent=", "created=", "docker_version=", "os=", "architecture=", "Hostname=", "Image="];
    let plain =
        |byte: u8| byte.is_ascii_digit() || matches!(byte, b'a'..=b'f' | b':' | b'.' | b'-' | b'T' | b'Z');
    let value = KEYS.iter().find_map(|key| text.strip_prefix(key));
    value.is_some_and(|value| value.len() <= 12 || value.trim_start_matches("sha256:").bytes().all(plain))
}

/// Searches the parts of a configuration, or another document as it is.
pub(crate) fn document(
    walk: &Walk<'_>,
    at: Provenance,
    bytes: &[u8],
    role: Option<Role>,
    configured: &Configured,
) -> Result<(), Over> {
    let readable = bytes.len() as u64 <= DOCUMENT_BYTES_MAX;
    let parse = || if readable { serde_json::from_slice::<Value>(bytes).ok() } else { None };
    let repeats =
        role.is_none() && is_old_metadata(&at.path) && parse().is_some_and(|json| configured.says_all(&json));
    if repeats {
        return walk.emit_slice(at, &[]);
    }
    let parsed = if role == Some(Role::Configuration) { parse() } else { None };
    let Some(configuration) = parsed else { return walk.emit_slice(at, bytes) };
    for (path, text) in parts(&configuration) {
        debug_assert!(path.starts_with(CONFIGURATION));
        walk.emit_slice(Provenance { path: path.into(), ..at.clone() }, text.as_bytes())?;
    }
    Ok(())
}

/// The provenance of a document.
pub(crate) fn described(target: u32, member: MemberId, name: &Arc<str>) -> Provenance {
    let origin = Origin::Config { document: member };
    Provenance { target, origin, path: Arc::clone(name), entries: Vec::new() }
}
