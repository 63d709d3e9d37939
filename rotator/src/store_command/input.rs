//! Values from outside: standard input, files, a person at a terminal.

use std::io::{Read, Write as _};
use std::os::fd::AsFd as _;
use std::path::Path;

use rustix::termios::{LocalModes, OptionalActions, Termios, tcgetattr, tcsetattr};
use shared::secret::Secret;

use super::StoreCommandError;

/// What happens to one line end at the end.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum LineEnd {
    Kept,
    Removed,
}

/// Reads all of a stream.
pub(super) fn read(
    stream: &mut dyn Read,
    name: &str,
    bytes_max: usize,
    line_end: LineEnd,
) -> Result<Secret, StoreCommandError> {
    let whole = Secret::read_from(stream, bytes_max).map_err(|error| unreadable(name, bytes_max, &error))?;
    match line_end {
        LineEnd::Kept => Ok(whole),
        LineEnd::Removed => Ok(whole.expose(|bytes| Secret::copy_of(without_line_end(bytes)))),
    }
}

/// Reads a property's file, byte by byte. Its name is not repeated in errors: it may be a value that somebody typed
/// in the wrong place.
pub(super) fn read_file(property: &str, file: &Path, bytes_max: usize) -> Result<Secret, StoreCommandError> {
    let name = format!("the file for property {property:?}");
    std::fs::File::open(file)
        .and_then(|mut opened| Secret::read_from(&mut opened, bytes_max))
        .map_err(|error| unreadable(&name, bytes_max, &error))
}

/// Asks a person for one line, which does not appear on the screen.
pub(super) fn read_hidden(
    input: &mut dyn Read,
    property: &str,
    bytes_max: usize,
) -> Result<Secret, StoreCommandError> {
    let failed = |error: &std::io::Error| unreadable("the terminal", bytes_max, error);
    let mut screen = std::io::stderr();
    let hidden = HiddenTyping::start().map_err(|error| failed(&error))?;
    // A prompt that cannot be shown does not keep anybody from typing.
    let _ = write!(screen, "{property} (not shown): ");
    let line = read_line(input, bytes_max).map_err(|error| failed(&error));
    drop(hidden);
    let _ = writeln!(screen);
    line
}

fn read_line(input: &mut dyn Read, bytes_max: usize) -> std::io::Result<Secret> {
    // The terminal gives a line at a time, so a reader that stops at its end reads no further than it.
    let mut line = Line { input, ended: false };
    let whole = Secret::read_from(&mut line, bytes_max)?;
    Ok(whole.expose(|bytes| Secret::copy_of(without_line_end(bytes))))
}

/// Ends after the first line end.
struct Line<'a> {
    input: &'a mut dyn Read,
    ended: bool,
}

impl Read for Line<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        if self.ended {
            return Ok(0);
        }
        let read = self.input.read(buffer)?;
        self.ended = buffer[..read].ends_with(b"\n");
        Ok(read)
    }
}

/// The terminal of standard input does not echo while this lives.
struct HiddenTyping {
    before: Termios,
}

impl HiddenTyping {
    fn start() -> std::io::Result<Self> {
        let stdin = std::io::stdin();
        let before = tcgetattr(stdin.as_fd())?;
        let mut hidden = before.clone();
        hidden.local_modes.remove(LocalModes::ECHO);
        tcsetattr(stdin.as_fd(), OptionalActions::Flush, &hidden)?;
        Ok(Self { before })
    }
}

impl Drop for HiddenTyping {
    fn drop(&mut self) {
        // A terminal that went away needs no echo.
        let _ = tcsetattr(std::io::stdin().as_fd(), OptionalActions::Now, &self.before);
    }
}

fn without_line_end(bytes: &[u8]) -> &[u8] {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    bytes.strip_suffix(b"\r").unwrap_or(bytes)
}

fn unreadable(name: &str, bytes_max: usize, error: &std::io::Error) -> StoreCommandError {
    StoreCommandError::Input(match error.kind() {
        std::io::ErrorKind::FileTooLarge => format!("{name}: more than {bytes_max} bytes"),
        _ => format!("cannot read {name}: {error}"),
    })
}
