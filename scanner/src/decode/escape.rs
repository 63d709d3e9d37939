//! Percent-encoding (RFC 3986) and the escapes of string literals: `\u003d`, `\x3d`, with `\n` and `\"` beside
//! them.
//!
//! An escape of a printable letter is the trigger: nobody needs to write those so, but URLs and serialisers do.

use super::run::{Progress, Stretch, Taken};
use super::{Map, Part, Piece};
use crate::matcher::simd;

/// How far before its first escape a text is decoded.
const BEFORE: usize = 1024;
/// How far behind it; a longer text goes on as the next one.
const AFTER: usize = 8 * 1024;
/// By how much the next one overlaps, so that what lies across the cut is whole in one of them.
const AGAIN: usize = 4 * 1024;

/// Finds and decodes.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    progress.walk(part, first_escape, |stretch| take(part, stretch, buffer, found));
}

/// The first escape of a printable letter.
fn first_escape(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut from = from;
    while let Some(at) = simd::first_pair(bytes, from, to) {
        if escape(&bytes[at..]).is_some_and(|(letter, _)| letter.is_ascii_graphic()) {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// The byte that an escape at the start stands for, and the escape's length.
fn escape(text: &[u8]) -> Option<(u8, usize)> {
    let hex =
        |digits: &[u8]| std::str::from_utf8(digits).ok().and_then(|text| u8::from_str_radix(text, 16).ok());
    match text {
        [b'%', digits @ ..] => Some((hex(digits.get(..2)?)?, 3)),
        [b'\\', b'x', digits @ ..] => Some((hex(digits.get(..2)?)?, 4)),
        [b'\\', b'u', b'0', b'0', digits @ ..] => Some((hex(digits.get(..2)?)?, 6)),
        _ => None,
    }
}

/// Escapes that are decoded where they stand, but are no reason to decode.
fn plain_escape(text: &[u8]) -> Option<(u8, usize)> {
    match text {
        [b'\\', b'n', ..] => Some((b'\n', 2)),
        [b'\\', b't', ..] => Some((b'\t', 2)),
        [b'\\', letter @ (b'"' | b'\'' | b'/' | b'\\'), ..] => Some((*letter, 2)),
        _ => None,
    }
}

fn take(part: &Part<'_>, stretch: Stretch, buffer: &mut Vec<u8>, found: &mut dyn FnMut(&Piece<'_>)) -> Taken {
    let percent = part.bytes[stretch.start] == b'%';
    let belongs = |byte: u8| {
        if percent {
            byte.is_ascii_graphic() && !matches!(byte, b'"' | b'<' | b'>')
        } else {
            byte >= b' ' || byte == b'\t'
        }
    };
    let floor = stretch.start.saturating_sub(BEFORE);
    let before = &part.bytes[floor..stretch.start];
    let start = floor + before.iter().rposition(|byte| !belongs(*byte)).map_or(0, |at| at + 1);
    let limit = part.bytes.len().min(stretch.start + AFTER);
    let after = &part.bytes[stretch.start..limit];
    let end = stretch.start + after.iter().position(|byte| !belongs(*byte)).unwrap_or(after.len());
    buffer.clear();
    let mut maps: Vec<(u64, Map)> = Vec::new();
    let mut at = start;
    let mut plain = false;
    while at < end {
        let text = &part.bytes[at..end];
        let here = part.base + at as u64;
        let decoded = escape(text).filter(|_| percent == (text[0] == b'%'));
        match decoded.or_else(|| if percent { None } else { plain_escape(text) }) {
            Some((letter, length)) => {
                maps.push((buffer.len() as u64, Map::Scaled { start: here, from: length as u64, to: 1 }));
                buffer.push(letter);
                at += length;
                plain = false;
            }
            None => {
                if !plain {
                    maps.push((buffer.len() as u64, Map::Scaled { start: here, from: 1, to: 1 }));
                    plain = true;
                }
                buffer.push(part.bytes[at]);
                at += 1;
            }
        }
    }
    let label = if percent { "percent" } else { "escape" };
    found(&Piece { label, bytes: buffer, map: Map::Parts(maps) });
    let cut = end == limit && end - stretch.start == AFTER;
    Taken { end: if cut { end - AGAIN } else { end }, next: None }
}
