//! Lists of words that are asked often.

use std::collections::HashSet;
use std::sync::LazyLock;

/// Words, written in one text with spaces between them.
pub(super) struct Words(LazyLock<HashSet<&'static str>>);

impl Words {
    /// `make` gives the words; it is called at the first question.
    pub(super) const fn new(make: fn() -> HashSet<&'static str>) -> Self {
        Self(LazyLock::new(make))
    }

    /// Whether a word is one of them.
    pub(super) fn has(&self, word: &str) -> bool {
        self.0.contains(word)
    }
}

/// A list for [`Words::new`].
macro_rules! words {
    ($text:expr) => {
        $crate::check::words::Words::new(|| $text.split_ascii_whitespace().collect())
    };
}
pub(super) use words;
