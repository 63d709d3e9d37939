//! Lines for a person on standard error. A reader that went away is no error.

use std::io::Write;

use crate::report::printable::printable;

/// Writes one line; control characters in it are shown, not obeyed.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{}", printable(line));
}

/// Writes `error: …`, one line for each mistake.
pub fn error(text: &str) {
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        say(&format!("error: {line}"));
    }
}
