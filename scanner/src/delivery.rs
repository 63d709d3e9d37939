//! The end of a run: every report at its place, the verdict said, and the code that the shell sees.

use std::path::PathBuf;

use jiff::tz::TimeZone;
use shared::exit::Exit;

use crate::pipeline::Outcome;
use crate::report::destination::{Destination, DestinationError};
use crate::report::{Context, Format, Look, summary};
use crate::{baseline, console, report};

/// Who signs a baseline when the environment does not say.
const OWNER_UNKNOWN: &str = "unassigned";

/// Where the results go.
pub struct Delivery {
    /// The reports.
    pub reports: Vec<(Format, Destination)>,
    /// A new baseline.
    pub baseline: Option<PathBuf>,
    /// How text on standard output looks.
    pub look: Look,
    /// Whether only errors are said.
    pub quiet: bool,
    /// The exit code of a block.
    pub block_code: u8,
}

impl Delivery {
    /// Writes everything and says the verdict. A report that fails keeps none of the others back.
    pub fn deliver(&self, outcome: &Outcome) -> u8 {
        let mut failed = false;
        let mut text_seen = false;
        for (format, destination) in &self.reports {
            let to_stdout = *destination == Destination::Stdout;
            // Escape sequences and a terminal's width are for a terminal.
            let look = if to_stdout { self.look } else { Look { styled: false, width: 100 } };
            let context =
                Context { report: &outcome.report, rules: &outcome.rules, look, times: outcome.times };
            match destination.write(|out| report::write(*format, &context, out)) {
                Ok(()) => text_seen |= to_stdout && *format == Format::Text,
                Err(DestinationError::BrokenPipe) => {}
                Err(error) => {
                    failed = true;
                    console::error(&error.to_string());
                }
            }
        }
        if let Some(path) = &self.baseline {
            let owner = std::env::var("USER").ok().filter(|user| !user.is_empty());
            let owner = owner.as_deref().unwrap_or(OWNER_UNKNOWN);
            let today = outcome.times.0.to_zoned(TimeZone::UTC).date();
            let written = Destination::File(path.clone())
                .write(|out| baseline::write(&outcome.report, owner, today, out));
            if let Err(error) = written {
                failed = true;
                console::error(&error.to_string());
            }
        }
        if outcome.interrupted {
            console::say("Interrupted: the reports hold what was seen until then.");
        }
        // Who sees the text report has read the verdict; everyone else reads it here.
        if failed || (!text_seen && !self.quiet) {
            console::say(&summary::verdict(&outcome.report));
        }
        self.code(outcome, failed)
    }

    fn code(&self, outcome: &Outcome, failed: bool) -> u8 {
        let mut exit = outcome.verdict.exit();
        if failed {
            exit = exit.max(Exit::Usage);
        }
        if outcome.interrupted {
            exit = exit.max(Exit::Interrupted);
        }
        match exit {
            Exit::Blocked => self.block_code,
            other => other.code(),
        }
    }
}
