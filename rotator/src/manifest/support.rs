//! What parses but is not built yet. Each such field is refused in one line and never ignored.

use super::external_secret::ExternalSecretSpec;
use super::store::SecretStoreSpec;

/// A field that cannot be served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Gap {
    /// The field.
    pub path: String,
    /// One line for people.
    pub what: String,
}

fn gap(gaps: &mut Vec<Gap>, given: bool, path: &str, what: &str) {
    if given {
        gaps.push(Gap { path: path.to_owned(), what: format!("{what} is not supported yet") });
    }
}

/// Fields of a store that are not built yet.
pub fn store_gaps(_spec: &SecretStoreSpec) -> Vec<Gap> {
    Vec::new()
}

/// Fields of an ExternalSecret that are not built yet.
pub fn external_secret_gaps(spec: &ExternalSecretSpec) -> Vec<Gap> {
    let mut gaps = Vec::new();
    gap(&mut gaps, spec.sync_windows.is_some(), "spec.syncWindows", "a sync window");
    gaps
}
