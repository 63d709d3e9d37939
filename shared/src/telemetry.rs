//! Logs on standard error: text for a person at a terminal, one JSON object a line otherwise.
//!
//! Secrets stay out because they are held in [`crate::secret::Secret`], whose `Debug` is safe. Libraries that we
//! build on never log below `warn`: at `trace` an HTTP library prints what it sends. A reader of standard error
//! that goes away ends the log, never the program.

use std::io::{IsTerminal, Write};

use tracing::Subscriber;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::registry::Registry;
use tracing_subscriber::{Layer, fmt};

/// The crates whose levels `-v` raises.
const OWN_CRATES: [&str; 3] = ["shared", "scanner", "rotator"];

/// Crates that log the very errors that they return: we say those ourselves, once, in one line.
const TOLD_BY_US: [&str; 1] = ["kube_client"];

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verbosity {
    /// `-q`: errors.
    Quiet,
    /// Warnings and errors.
    Usual,
    /// `-v`: what is being done.
    Verbose,
    /// `-vv`: decisions and their reasons.
    Debug,
    /// `-vvv`: every step.
    Trace,
}

impl Verbosity {
    /// From the flags of a command line; `-q` wins.
    pub fn from_flags(quiet: bool, verbose: u8) -> Self {
        match (quiet, verbose) {
            (true, _) => Self::Quiet,
            (false, 0) => Self::Usual,
            (false, 1) => Self::Verbose,
            (false, 2) => Self::Debug,
            (false, 3..) => Self::Trace,
        }
    }

    fn levels(self) -> (LevelFilter, LevelFilter) {
        match self {
            Self::Quiet => (LevelFilter::ERROR, LevelFilter::ERROR),
            Self::Usual => (LevelFilter::WARN, LevelFilter::WARN),
            Self::Verbose => (LevelFilter::INFO, LevelFilter::WARN),
            Self::Debug => (LevelFilter::DEBUG, LevelFilter::WARN),
            Self::Trace => (LevelFilter::TRACE, LevelFilter::WARN),
        }
    }
}

/// The form of a log line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// For a person, without a time.
    Text {
        /// Whether the level is coloured.
        color: bool,
    },
    /// One JSON object a line, with a time in UTC.
    Json,
}

impl Form {
    /// Text when standard error is a terminal, else JSON.
    pub fn of_standard_error(color: bool) -> Self {
        if std::io::stderr().is_terminal() { Self::Text { color } } else { Self::Json }
    }
}

/// What listens beside the log.
pub type Extra = Box<dyn Layer<Registry> + Send + Sync>;

/// Why logging could not be started.
#[derive(Debug, thiserror::Error)]
#[error("logging was already started in this process")]
pub struct AlreadyStarted;

/// Starts logging to standard error for the whole process.
///
/// # Errors
/// When it was started before.
pub fn start(verbosity: Verbosity, form: Form) -> Result<(), AlreadyStarted> {
    start_with(verbosity, form, None)
}

/// As [`start`], with something else that listens.
///
/// # Errors
/// When it was started before.
pub fn start_with(verbosity: Verbosity, form: Form, extra: Option<Extra>) -> Result<(), AlreadyStarted> {
    let subscriber = subscriber_with(verbosity, form, std::io::stderr, extra);
    tracing::subscriber::set_global_default(subscriber).map_err(|_| AlreadyStarted)
}

/// The subscriber that [`start`] installs, with another writer: for tests that read what was logged.
pub fn subscriber<W>(verbosity: Verbosity, form: Form, writer: W) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    subscriber_with(verbosity, form, writer, None)
}

fn subscriber_with<W>(
    verbosity: Verbosity,
    form: Form,
    writer: W,
    extra: Option<Extra>,
) -> impl Subscriber + Send + Sync
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let (own, others) = verbosity.levels();
    let targets = Targets::new()
        .with_targets(OWN_CRATES.map(|name| (name, own)))
        .with_targets(TOLD_BY_US.map(|name| (name, LevelFilter::OFF)))
        .with_default(others);
    // The layer's own report of a failed write would be a print to the same standard error, and panic.
    let lines = fmt::layer().with_writer(UntilClosed(writer)).log_internal_errors(false);
    let lines = match form {
        Form::Text { color } => lines.without_time().with_target(false).with_ansi(color).compact().boxed(),
        Form::Json => lines.json().flatten_event(true).boxed(),
    };
    Registry::default().with(extra).with(lines.with_filter(targets))
}

/// A writer that counts as written what nobody reads any more.
struct UntilClosed<W>(W);

struct Line<W>(W);

impl<'w, W: MakeWriter<'w>> MakeWriter<'w> for UntilClosed<W> {
    type Writer = Line<W::Writer>;

    fn make_writer(&'w self) -> Self::Writer {
        Line(self.0.make_writer())
    }
}

impl<W: Write> Write for Line<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        // A closed pipe or a full disk under the log is no reason to stop: the exit code and the report tell
        // how the run ended.
        Ok(self.0.write_all(bytes).map_or(bytes.len(), |()| bytes.len()))
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush().or(Ok(()))
    }
}

#[cfg(test)]
mod tests;
