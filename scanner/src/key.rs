//! The key under which fingerprints are made: named by the user, kept in the user's configuration folder, or made
//! for one run.

use std::path::{Path, PathBuf};

use shared::fingerprint::{FingerprintKey, KeyError};

/// Where the key lies below the user's configuration folder.
const KEPT: &str = "keyturn/fingerprint.key";

/// Finds the key.
///
/// A kept key makes fingerprints that the next run can compare; without one, the run makes its own and its report
/// says `stable: false`. A kept key that is malformed or open to others is an error, never silently replaced.
///
/// # Errors
/// When the named or the kept key cannot be used, or the system gives no random bytes.
pub fn find(named: Option<&Path>, configuration_folder: Option<&Path>) -> Result<FingerprintKey, KeyError> {
    if let Some(path) = named {
        return FingerprintKey::read(path);
    }
    if let Some(folder) = configuration_folder {
        match FingerprintKey::read(&folder.join(KEPT)) {
            Err(KeyError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {}
            found => return found,
        }
    }
    FingerprintKey::one_run()
}

/// The user's configuration folder: `$XDG_CONFIG_HOME`, else `~/.config`
/// (<https://specifications.freedesktop.org/basedir-spec/latest/>; a relative path there is ignored).
pub fn configuration_folder() -> Option<PathBuf> {
    let absolute = |name| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    absolute("XDG_CONFIG_HOME").or_else(|| absolute("HOME").map(|home| home.join(".config")))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use shared::fingerprint::{KeyError, KeyOrigin};

    use super::find;

    #[test]
    fn a_kept_key_is_taken_and_a_bad_one_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(find(None, Some(folder.path())).unwrap().origin(), KeyOrigin::OneRun);
        let path = folder.path().join("keyturn/fingerprint.key");
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, "0a".repeat(32)).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o644)).unwrap();
        assert!(matches!(find(None, Some(folder.path())), Err(KeyError::TooOpen { .. })));
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).unwrap();
        assert_eq!(find(None, Some(folder.path())).unwrap().origin(), KeyOrigin::Kept);
        std::fs::write(&path, "short").unwrap();
        assert!(matches!(find(None, Some(folder.path())), Err(KeyError::Malformed { .. })));
    }
}
