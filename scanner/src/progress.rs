//! What a person at a terminal sees while a scan runs: bytes, rate and time left, on standard error.

use std::io::IsTerminal;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::report::printable::{printable, shortened};

/// When a yes-or-no look is wanted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum When {
    /// On a terminal.
    #[default]
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

impl When {
    /// Decides, given whether the stream is a terminal.
    pub fn on(self, terminal: bool) -> bool {
        match self {
            Self::Auto => terminal,
            Self::Always => true,
            Self::Never => false,
        }
    }
}

/// A name longer than this pushes the numbers off a narrow terminal.
const NAME_SHOWN: usize = 24;
/// Ten times a second is smooth, and costs nothing.
const TICK: Duration = Duration::from_millis(100);

/// Makes the bar of one target, or one that draws nothing.
pub fn bar(when: When, target: &str, bytes: Option<u64>) -> ProgressBar {
    if !when.on(std::io::stderr().is_terminal()) {
        return ProgressBar::hidden();
    }
    let template = match bytes {
        Some(_) => "{msg} {bar:20} {binary_bytes}/{binary_total_bytes} {binary_bytes_per_sec} {eta}",
        None => "{msg} {spinner} {binary_bytes} {binary_bytes_per_sec}",
    };
    let bar = match bytes {
        Some(bytes) => ProgressBar::new(bytes),
        None => ProgressBar::new_spinner(),
    };
    // `Always` is for terminals that do not say so: lines that return carriage, as on a real one.
    bar.set_draw_target(ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(shortened(&printable(target), NAME_SHOWN).into_owned());
    bar.enable_steady_tick(TICK);
    bar
}
