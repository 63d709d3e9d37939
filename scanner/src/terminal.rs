//! What standard output is: how wide, and whether colours are welcome.

use std::io::IsTerminal;

use crate::progress::When;

/// Where standard output is no terminal: fits two columns of a review tool.
const WIDTH_DEFAULT: usize = 100;
/// Prose in lines longer than this is hard to read.
const WIDTH_MAX: usize = 100;

/// Whether standard output takes colours and links. `NO_COLOR` (<https://no-color.org>) and a dumb terminal say
/// no, unless the command line says always.
pub fn is_styled(when: When) -> bool {
    let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
        || std::env::var_os("TERM").is_some_and(|term| term == "dumb");
    when.on(std::io::stdout().is_terminal() && !refused)
}

/// The columns to wrap prose at: `COLUMNS` if it is a number, else the terminal's own.
pub fn width() -> usize {
    let wanted = std::env::var("COLUMNS").ok().and_then(|columns| columns.parse().ok());
    let own = || {
        let size = rustix::termios::tcgetwinsize(std::io::stdout()).ok()?;
        (size.ws_col > 0).then_some(usize::from(size.ws_col))
    };
    wanted.or_else(own).unwrap_or(WIDTH_DEFAULT).min(WIDTH_MAX)
}
