//! How each ExternalSecret ended, and how that is told.

use std::fmt;
use std::io::Write;

use shared::exit::Exit;

use super::gather::GatherError;
use super::secret::RenderError;
use super::templates::TemplatesError;
use crate::manifest::problem::Problem;
use crate::runner::count;
use crate::target::TargetError;

/// How one ended well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The Secret was made.
    Created {
        /// Its keys.
        keys: Vec<String>,
    },
    /// The Secret was changed.
    Changed {
        /// The keys that were added, changed or removed; none when only metadata was.
        keys: Vec<String>,
    },
    /// Nothing was to be done.
    Unchanged,
    /// Its interval is not over, and its Secret is as we left it.
    NotDue,
    /// Every value is gone, and so is the Secret now (deletionPolicy Delete).
    Deleted,
    /// Every value is gone, and there is no Secret either.
    Gone,
    /// Every value is gone; the Secret stays (deletionPolicy Retain).
    Retained,
    /// creationPolicy Merge, and there is no Secret to merge into.
    TargetMissing,
    /// The ExternalSecret is being deleted.
    BeingDeleted,
    /// The store belongs to another controller.
    LeftAlone {
        /// The controller.
        controller: String,
    },
}

impl Outcome {
    /// Whether something was done.
    pub fn is_news(&self) -> bool {
        match self {
            Self::Created { .. } | Self::Changed { .. } | Self::Deleted => true,
            Self::Unchanged
            | Self::NotDue
            | Self::Gone
            | Self::Retained
            | Self::TargetMissing
            | Self::BeingDeleted
            | Self::LeftAlone { .. } => false,
        }
    }
}

/// Why one did not end well. One line; names and keys, never values.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SyncError {
    /// Its manifest is wrong (in a cluster; in files that stops the run).
    #[error("{}", problems_line(.0))]
    Manifest(Vec<Problem>),
    /// Its values could not be read.
    #[error(transparent)]
    Gather(#[from] GatherError),
    /// Its templates failed.
    #[error(transparent)]
    Templates(#[from] TemplatesError),
    /// Its Secret cannot be made as asked.
    #[error(transparent)]
    Render(#[from] RenderError),
    /// Its Secret could not be read or written.
    #[error(transparent)]
    Target(#[from] TargetError),
    /// Its Secret is as it should be, but its status could not be written.
    #[error("the Secret is up to date, but the status of the ExternalSecret cannot be written: {0}")]
    Status(String),
    /// A window that never opens nor closes.
    #[error(
        "spec.syncWindows: `{schedule}` is not a schedule; write five fields, as in \"0 22 * * *\" (UTC)"
    )]
    Window {
        /// As the manifest says it.
        schedule: String,
    },
    /// deletionPolicy Delete without ownership.
    #[error("every value is gone, but deletionPolicy Delete needs creationPolicy Owner; the Secret stays")]
    DeleteNeedsOwner,
}

fn problems_line(problems: &[Problem]) -> String {
    let lines: Vec<String> =
        problems.iter().map(|problem| format!("{}: {}", problem.path, problem.what)).collect();
    lines.join("; ")
}

/// One ExternalSecret of a round.
#[derive(Clone, Debug)]
pub struct Report {
    /// `namespace/name`.
    pub external_secret: String,
    /// The Secret's `namespace/name`.
    pub secret: String,
    /// How it ended.
    pub result: Result<Outcome, SyncError>,
}

impl Report {
    /// How it ended in one word for programs; their number is small and fixed.
    pub fn word(&self) -> &'static str {
        match &self.result {
            Ok(Outcome::Created { .. }) => "created",
            Ok(Outcome::Changed { .. }) => "changed",
            Ok(Outcome::Unchanged | Outcome::NotDue) => "unchanged",
            Ok(Outcome::Deleted | Outcome::Gone) => "deleted",
            Ok(Outcome::Retained) => "retained",
            Ok(Outcome::TargetMissing) => "waiting",
            Ok(Outcome::BeingDeleted | Outcome::LeftAlone { .. }) => "left_alone",
            Err(_) => "error",
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (word, detail) = match &self.result {
            Ok(Outcome::Created { keys }) => ("created", keys.join(", ")),
            Ok(Outcome::Changed { keys }) if keys.is_empty() => ("changed", "metadata only".to_owned()),
            Ok(Outcome::Changed { keys }) => ("changed", keys.join(", ")),
            Ok(Outcome::Unchanged) => ("unchanged", String::new()),
            Ok(Outcome::NotDue) => ("not due", String::new()),
            Ok(Outcome::Deleted) => ("deleted", "the store holds none of its values any more".to_owned()),
            Ok(Outcome::Gone) => ("absent", "the store holds none of its values".to_owned()),
            Ok(Outcome::Retained) => ("retained", "the store holds none of its values any more".to_owned()),
            Ok(Outcome::TargetMissing) => {
                ("waiting", "creationPolicy Merge, and there is no Secret yet".to_owned())
            }
            Ok(Outcome::BeingDeleted) => ("left alone", "its ExternalSecret is being deleted".to_owned()),
            Ok(Outcome::LeftAlone { controller }) => {
                ("left alone", format!("its store is served by {controller}"))
            }
            Err(error) => ("FAILED", error.to_string()),
        };
        write!(f, "{word:<10} {}", self.secret)?;
        if self.secret != self.external_secret && self.result.is_err() {
            write!(f, " (ExternalSecret {})", self.external_secret)?;
        }
        if detail.is_empty() { Ok(()) } else { write!(f, ": {detail}") }
    }
}

/// The whole round.
#[derive(Debug, Default)]
pub struct Summary {
    /// Each ExternalSecret.
    pub reports: Vec<Report>,
    /// Secrets of ExternalSecrets that are gone.
    pub removed: Vec<String>,
    /// Why orphans could not be removed.
    pub orphans_error: Option<String>,
}

impl Summary {
    /// 0 when everything was done, else 1.
    pub fn exit(&self) -> Exit {
        let failed = self.reports.iter().any(|report| report.result.is_err()) || self.orphans_error.is_some();
        if failed { Exit::Blocked } else { Exit::Done }
    }

    /// One line for each Secret that was touched or failed, then one with the numbers.
    ///
    /// # Errors
    /// When the stream cannot be written.
    pub fn write(&self, target: &str, verbose: bool, out: &mut dyn Write) -> std::io::Result<()> {
        let quiet = |outcome: &Outcome| matches!(outcome, Outcome::Unchanged | Outcome::NotDue);
        for report in &self.reports {
            if verbose || !report.result.as_ref().is_ok_and(quiet) {
                writeln!(out, "{report}")?;
            }
        }
        for secret in &self.removed {
            writeln!(out, "{:<10} {secret}: its ExternalSecret is gone or has another target", "removed")?;
        }
        if let Some(error) = &self.orphans_error {
            writeln!(out, "{:<10} removing Secrets that are no longer wanted: {error}", "FAILED")?;
        }
        let number = |wanted: fn(&Result<Outcome, SyncError>) -> bool| {
            self.reports.iter().filter(|report| wanted(&report.result)).count()
        };
        let created = number(|result| matches!(result, Ok(Outcome::Created { .. })));
        let changed = number(|result| matches!(result, Ok(Outcome::Changed { .. })));
        let unchanged = number(|result| matches!(result, Ok(Outcome::Unchanged | Outcome::NotDue)));
        let failed = number(Result::is_err);
        let others = self.reports.len() - created - changed - unchanged - failed + self.removed.len();
        write!(out, "{} to {target}: ", count(self.reports.len(), "Secret"))?;
        write!(out, "{created} created, {changed} changed, {unchanged} unchanged, {failed} failed")?;
        if others > 0 {
            write!(out, ", {others} other")?;
        }
        writeln!(out)
    }
}
