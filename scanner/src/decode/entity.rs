//! Character references of HTML and XML (XML 1.0, section 4.1; HTML, section 13.1.4): `&quot;`, `&#61;`, `&#x3D;`.
//!
//! A quote, an apostrophe, a closing element or a letter by its number is the trigger: signs in formulas are not.

use super::rewrite::{Step, window};
use super::run::Progress;
use super::{Part, Piece};

/// The names that are decoded.
const NAMES: [(&[u8], u8); 6] = [
    (b"&quot;", b'"'),
    (b"&apos;", b'\''),
    (b"&lt;", b'<'),
    (b"&gt;", b'>'),
    (b"&amp;", b'&'),
    (b"&equals;", b'='),
];

/// Finds and decodes.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    progress.walk(part, first_reference, |stretch| {
        window("html", part, stretch, buffer, found, |text| match text {
            [b'\n', ..] => Step::End,
            [b'&', ..] => reference(text).map_or(Step::Plain, |(byte, length)| Step::byte(byte, length)),
            _ => Step::Plain,
        })
    });
}

/// The first reference that is reason enough.
fn first_reference(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    memchr::memchr_iter(b'&', &bytes[from..to]).map(|at| from + at).find(|&at| {
        let text = &bytes[at..];
        text.starts_with(b"&quot;")
            || text.starts_with(b"&apos;")
            || text.starts_with(b"&lt;/")
            || (text.starts_with(b"&#") && number(text).is_some())
    })
}

/// The byte that a reference at the start stands for, and the reference's length.
fn reference(text: &[u8]) -> Option<(u8, usize)> {
    let named = NAMES.iter().find(|(name, _)| text.starts_with(name));
    named.map(|(name, byte)| (*byte, name.len())).or_else(|| number(text))
}

/// A printable letter by its number, decimal or hexadecimal.
fn number(text: &[u8]) -> Option<(u8, usize)> {
    let end = 2 + text.get(2..)?.iter().take(8).position(|byte| *byte == b';')?;
    let digits = std::str::from_utf8(&text[2..end]).ok()?;
    let byte = match digits.strip_prefix(['x', 'X']) {
        Some(digits) => u8::from_str_radix(digits, 16),
        None => digits.parse(),
    };
    byte.ok().filter(u8::is_ascii_graphic).map(|byte| (byte, end + 1))
}
