//! Patterns over paths and names: `**/*.zip`, `tests/**`, `aws-*`.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// One or more patterns; one that matches is enough.
#[derive(Clone, Debug)]
pub struct Patterns(GlobSet);

impl Patterns {
    /// Compiles patterns. `*` stays inside a folder, `**` does not.
    ///
    /// # Errors
    /// The first pattern that is none, with what is wrong.
    pub fn new(patterns: &[String]) -> Result<Self, String> {
        let mut set = GlobSetBuilder::new();
        for pattern in patterns {
            let glob = GlobBuilder::new(pattern).literal_separator(true).build();
            set.add(glob.map_err(|error| format!("`{pattern}` is no pattern: {}", error.kind()))?);
        }
        set.build().map(Self).map_err(|error| error.to_string())
    }

    /// Whether one of them matches.
    pub fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}
