//! Patterns over paths and names: `**/*.zip`, `tests/**`, `aws-*`.

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

/// One or more patterns; one that matches is enough.
#[derive(Clone, Debug)]
pub struct Patterns {
    set: GlobSet,
    written: Vec<String>,
}

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
        let set = set.build().map_err(|error| error.to_string())?;
        Ok(Self { set, written: patterns.to_vec() })
    }

    /// Those without a wildcard: each matches one text.
    pub fn literals(&self) -> impl Iterator<Item = &str> {
        self.written.iter().map(String::as_str).filter(|text| !text.contains(['*', '?', '[', '{', '\\']))
    }

    /// Whether one of them matches.
    pub fn matches(&self, text: &str) -> bool {
        self.set.is_match(text)
    }
}
