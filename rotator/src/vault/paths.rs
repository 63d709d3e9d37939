//! Where a manifest's key lies on the server.
//!
//! The rules are the operator's, so that manifests mean here what they mean there:
//!
//! | store's `path` | KV | key | read at |
//! |---|---|---|---|
//! | `mount` | 2 | `foo` | `mount/data/foo` |
//! | `mount` | 2 | `mount/foo` | `mount/data/foo` |
//! | `mount` | 2 | `mount/data/foo` | `mount/data/foo` |
//! | `mount` | 1 | `foo`, `mount/foo` | `mount/foo` |
//! | none | 2 | `mount/foo` | `mount/data/foo` |
//! | none | 2 | `deep/mount/data/foo` | `deep/mount/data/foo` |
//! | none | 1 | `mount/foo` | `mount/foo` |
//!
//! So a secret of KV 2 whose own path begins with the mount's name needs the mount in front of it.

use super::KvVersion;

/// A path on the server, by parts: none is empty, `.` or `..`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerPath(Vec<String>);

/// Why a key names no path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadPath {
    Empty,
    Dots,
    Control,
    TooLong,
    NoMount,
}

impl std::fmt::Display for BadPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Empty => "the key is empty; write the path of a secret",
            Self::Dots => "a key has no `.` or `..` as a part",
            Self::Control => "a key has no control characters",
            Self::TooLong => "the key is longer than any secret's path",
            Self::NoMount => "name the engine's mount as `path` of the store",
        })
    }
}

/// The mount of a store and what its engine is.
#[derive(Debug)]
pub(super) struct Engine {
    mount: Option<Vec<String>>,
    version: KvVersion,
}

impl Engine {
    pub(super) fn new(path: Option<&str>, version: KvVersion) -> Result<Self, BadPath> {
        let mount = path.map(parts).transpose()?;
        if mount.as_ref().is_some_and(Vec::is_empty) {
            return Err(BadPath::Empty);
        }
        Ok(Self { mount, version })
    }

    /// Where the value of a key is read and written.
    pub(super) fn data(&self, key: &str) -> Result<ServerPath, BadPath> {
        Ok(self.locate(key)?.under("data", self.version))
    }

    /// Where the metadata of a key is; for KV 1, where the value is.
    pub(super) fn metadata(&self, key: &str) -> Result<ServerPath, BadPath> {
        Ok(self.locate(key)?.under("metadata", self.version))
    }

    /// Where a folder is listed. Without a mount nobody can tell it from the folder.
    pub(super) fn folder(&self, prefix: &str) -> Result<ServerPath, BadPath> {
        let mount = self.mount.clone().ok_or(BadPath::NoMount)?;
        Ok(Located { mount, rest: parts(prefix)? }.under("metadata", self.version))
    }

    /// Where OpenBao lists a folder together with the metadata of each secret in it; none for KV 1 and without a mount.
    pub(super) fn detailed_folder(&self, prefix: &str) -> Option<ServerPath> {
        let mount = self.mount.clone().filter(|_| self.version == KvVersion::V2)?;
        Some(Located { mount, rest: parts(prefix).ok()? }.under("detailed-metadata", self.version))
    }

    /// The folder and the name of a key, as a listing of the mount has them; none without a mount.
    pub(super) fn split(&self, key: &str) -> Option<(String, String)> {
        self.mount.as_ref()?;
        let mut rest = self.locate(key).ok()?.rest;
        let name = rest.pop()?;
        Some((rest.join("/"), name))
    }

    fn locate(&self, key: &str) -> Result<Located, BadPath> {
        let mut rest = parts(key)?;
        if rest.is_empty() {
            return Err(BadPath::Empty);
        }
        let is_data = |part: Option<&String>| part.is_some_and(|part| part == "data");
        if let Some(mount) = &self.mount {
            // A key that is the mount and no more is a secret of that name.
            if rest.len() > mount.len() && rest.starts_with(mount) {
                rest.drain(..mount.len());
                if self.version == KvVersion::V2 && rest.len() > 1 && is_data(rest.first()) {
                    rest.remove(0);
                }
            }
            return Ok(Located { mount: mount.clone(), rest });
        }
        if self.version == KvVersion::V1 {
            return Ok(Located { mount: Vec::new(), rest });
        }
        // `data` between other parts ends the mount; else the mount is the first part.
        let inner = rest.iter().skip(1).take(rest.len().saturating_sub(2)).position(|part| part == "data");
        let mount_length = inner.map_or(1, |at| at + 1);
        let mut mount = rest;
        let mut rest = mount.split_off(mount_length);
        if inner.is_some() {
            rest.remove(0);
        }
        Ok(Located { mount, rest })
    }
}

struct Located {
    mount: Vec<String>,
    rest: Vec<String>,
}

impl Located {
    fn under(self, kind: &str, version: KvVersion) -> ServerPath {
        let mut parts = self.mount;
        if version == KvVersion::V2 {
            parts.push(kind.to_owned());
        }
        parts.extend(self.rest);
        ServerPath(parts)
    }
}

impl ServerPath {
    /// From parts that are our own.
    pub(super) fn of(parts: &[&str]) -> Self {
        Self(parts.iter().map(|part| (*part).to_owned()).collect())
    }

    /// Splits at slashes; a part must be usable.
    pub(super) fn parse(path: &str) -> Result<Self, BadPath> {
        parts(path).map(Self)
    }

    pub(super) fn join(mut self, more: &[&str]) -> Self {
        self.0.extend(more.iter().map(|part| (*part).to_owned()));
        self
    }

    pub(super) fn parts(&self) -> &[String] {
        &self.0
    }
}

impl std::fmt::Display for ServerPath {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.join("/"))
    }
}

/// Slashes at the ends and doubled ones are dropped, as the server does.
fn parts(path: &str) -> Result<Vec<String>, BadPath> {
    // Vault's own limit on a whole request path is of this order; a path is not a place for data.
    const PATH_BYTES_MAX: usize = 4096;
    if path.len() > PATH_BYTES_MAX {
        return Err(BadPath::TooLong);
    }
    if path.chars().any(char::is_control) {
        return Err(BadPath::Control);
    }
    let parts: Vec<_> = path.split('/').filter(|part| !part.is_empty()).map(str::to_owned).collect();
    // A URL library would resolve them, and the request would go where no policy of ours points.
    if parts.iter().any(|part| part == "." || part == "..") {
        return Err(BadPath::Dots);
    }
    Ok(parts)
}

#[cfg(test)]
mod tests {
    use super::{BadPath, Engine};
    use crate::vault::KvVersion::{self, V1, V2};

    fn read_at(path: Option<&str>, version: KvVersion, key: &str) -> String {
        Engine::new(path, version).unwrap().data(key).unwrap().parts().join("/")
    }

    #[test]
    fn keys_lie_where_the_operator_looks_for_them() {
        for (path, version, key, at) in [
            (Some("secret/path"), V2, "foo", "secret/path/data/foo"),
            (Some("secret/path"), V1, "foo", "secret/path/foo"),
            (Some("secret/path"), V2, "secret/path/foo", "secret/path/data/foo"),
            (Some("secret/path"), V2, "secret/path/data/foo", "secret/path/data/foo"),
            (Some("secret/path"), V1, "secret/path/foo", "secret/path/foo"),
            (Some("secret"), V2, "secret/secret/foo", "secret/data/secret/foo"),
            (Some("secret"), V2, "data/foo", "secret/data/data/foo"),
            (Some("secret"), V2, "/a//b/", "secret/data/a/b"),
            (Some("secret"), V2, "secret", "secret/data/secret"),
            (None, V2, "secret/path/foo", "secret/data/path/foo"),
            (None, V2, "secret/data/path/foo", "secret/data/path/foo"),
            (None, V2, "secret/path/data/foo", "secret/path/data/foo"),
            (None, V2, "secret/foo/data", "secret/data/foo/data"),
            (None, V1, "secret/path/foo", "secret/path/foo"),
        ] {
            assert_eq!(read_at(path, version, key), at, "{path:?} {version:?} {key}");
        }
    }

    #[test]
    fn metadata_and_folders_lie_beside_the_data() {
        let engine = Engine::new(Some("kv/team"), V2).unwrap();
        assert_eq!(engine.metadata("kv/team/data/foo").unwrap().parts().join("/"), "kv/team/metadata/foo");
        assert_eq!(engine.folder("a/b/").unwrap().parts().join("/"), "kv/team/metadata/a/b");
        assert_eq!(engine.folder("").unwrap().parts().join("/"), "kv/team/metadata");
        let old = Engine::new(Some("kv"), V1).unwrap();
        assert_eq!(old.folder("a").unwrap().parts().join("/"), "kv/a");
        assert_eq!(Engine::new(None, V2).unwrap().folder("secret").unwrap_err(), BadPath::NoMount);
        let split = |key: &str| engine.split(key).map(|(folder, name)| format!("{folder}|{name}"));
        assert_eq!(split("kv/team/data/a/b/foo").as_deref(), Some("a/b|foo"));
        assert_eq!(split("foo").as_deref(), Some("|foo"));
        assert_eq!(Engine::new(None, V2).unwrap().split("secret/foo"), None);
        assert!(old.detailed_folder("a").is_none());
    }

    #[test]
    fn no_key_leads_out_of_the_mount() {
        let engine = Engine::new(Some("kv"), V2).unwrap();
        assert_eq!(engine.data("../../sys/seal").unwrap_err(), BadPath::Dots);
        assert_eq!(engine.data("a/./b").unwrap_err(), BadPath::Dots);
        assert_eq!(engine.data("a\nb").unwrap_err(), BadPath::Control);
        assert_eq!(engine.data("//").unwrap_err(), BadPath::Empty);
        assert_eq!(engine.data(&"a/".repeat(3000)).unwrap_err(), BadPath::TooLong);
        assert!(Engine::new(Some("/"), V2).is_err());
    }
}
