//! What a person at a terminal sees while a scan runs: bytes, rate and time left, on standard error.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle, TermLike};

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
    if std::io::stderr().is_terminal() {
        bar.set_draw_target(ProgressDrawTarget::stderr());
    } else {
        // `always` is for terminals that do not say so.
        bar.set_draw_target(ProgressDrawTarget::term_like(Box::new(Lines)));
    }
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style.progress_chars("=> "));
    }
    bar.set_message(shortened(&printable(target), NAME_SHOWN).into_owned());
    bar.enable_steady_tick(TICK);
    bar
}

/// Standard error as a terminal that understands a carriage return and nothing else.
#[derive(Debug)]
struct Lines;

impl Lines {
    /// A reader that went away is no reason to stop searching.
    fn put(text: &str) -> io::Result<()> {
        let _ = io::stderr().lock().write_all(text.as_bytes());
        Ok(())
    }
}

impl TermLike for Lines {
    fn width(&self) -> u16 {
        80
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        Self::put(&format!("{line}\n"))
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        Self::put(text)
    }

    fn clear_line(&self) -> io::Result<()> {
        Self::put("\r")
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}
