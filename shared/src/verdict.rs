//! What a scan decides.

use std::num::NonZeroUsize;

use crate::exit::Exit;

/// The decision on one run. Both facts are always said: what blocks, and what was not seen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Everything was seen and nothing blocks.
    Pass,
    /// Something blocks; `skipped` counts what was not seen besides.
    Block {
        /// How many findings block.
        findings: NonZeroUsize,
        /// How many parts of the target were not seen.
        skipped: usize,
    },
    /// Nothing that was seen blocks, but not everything was seen.
    Incomplete {
        /// How many parts of the target were not seen.
        skipped: NonZeroUsize,
    },
}

impl Verdict {
    /// Decides from the number of blocking findings and of unseen parts.
    pub fn of(blocking: usize, skipped: usize) -> Self {
        match (NonZeroUsize::new(blocking), NonZeroUsize::new(skipped)) {
            (Some(findings), _) => Self::Block { findings, skipped },
            (None, Some(skipped)) => Self::Incomplete { skipped },
            (None, None) => Self::Pass,
        }
    }

    /// The exit code of a run that ends with this verdict.
    pub fn exit(self) -> Exit {
        match self {
            Self::Pass => Exit::Done,
            Self::Block { .. } => Exit::Blocked,
            Self::Incomplete { .. } => Exit::Incomplete,
        }
    }

    /// The word of the reports: `pass`, `block` or `incomplete`.
    pub fn word(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Block { .. } => "block",
            Self::Incomplete { .. } => "incomplete",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Verdict;

    #[test]
    fn a_block_still_says_what_was_not_seen() {
        let verdict = Verdict::of(2, 3);
        assert!(matches!(verdict, Verdict::Block { findings, skipped: 3 } if findings.get() == 2));
        assert_eq!(verdict.exit().code(), 1);
        assert_eq!(Verdict::of(0, 3).exit().code(), 3);
        assert_eq!(Verdict::of(0, 0).exit().code(), 0);
    }
}
