//! Exit codes, and which one wins when several apply.

use std::process::ExitCode;

/// How a run ended, from best to worst; the order is the precedence of the scanner's codes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: everything was done, nothing blocks.
    Done,
    /// 3: the scanner could not see everything, or a rotation needs a person.
    Incomplete,
    /// 1: the scanner blocks, or the rotator left something undone.
    Blocked,
    /// 2: the command line or a configuration file is wrong, or a report could not be written.
    Usage,
    /// 130: interrupted by a person (128 + SIGINT).
    Interrupted,
}

impl Exit {
    /// The number that the shell sees.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Blocked => 1,
            Self::Usage => 2,
            Self::Incomplete => 3,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

#[cfg(test)]
mod tests {
    use super::Exit;

    #[test]
    fn the_worst_code_wins() {
        let all = [Exit::Incomplete, Exit::Usage, Exit::Done, Exit::Interrupted, Exit::Blocked];
        let mut sorted = all.to_vec();
        sorted.sort();
        assert_eq!(sorted.iter().map(|e| e.code()).collect::<Vec<_>>(), [0, 3, 1, 2, 130]);
    }
}
