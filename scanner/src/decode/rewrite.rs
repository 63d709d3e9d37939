//! Text in which some bytes are written otherwise: a window around the first of them, decoded as a whole.
//!
//! A window is the rest of a line before the trigger and behind it; a longer line goes on as the next window, which
//! overlaps.

use super::run::{Stretch, Taken};
use super::{Map, Part, Piece};

/// How far before its trigger a text is decoded.
const BEFORE: usize = 1024;
/// How far behind it; a longer text goes on as the next one.
const AFTER: usize = 8 * 1024;
/// By how much the next one overlaps, so that what lies across the cut is whole in one of them.
const AGAIN: usize = 4 * 1024;

/// What stands at a place.
pub enum Step {
    /// A byte as it is.
    Plain,
    /// These bytes (at most three, the first `count`), written in `length`.
    Written {
        /// What they are; nothing, if `count` is 0.
        bytes: [u8; 3],
        /// How many of them.
        count: usize,
        /// How many bytes the writing takes.
        length: usize,
    },
    /// The text ends here.
    End,
}

impl Step {
    /// One byte, written in `length`.
    pub fn byte(byte: u8, length: usize) -> Self {
        Self::Written { bytes: [byte, 0, 0], count: 1, length }
    }

    /// Nothing, written in `length`: a joint.
    pub fn nothing(length: usize) -> Self {
        Self::Written { bytes: [0; 3], count: 0, length }
    }
}

/// Decodes the window around a trigger. `step` is asked at each place, with the text from there on.
pub fn window(
    label: &'static str,
    part: &Part<'_>,
    stretch: Stretch,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
    step: impl Fn(&[u8]) -> Step,
) -> Taken {
    let floor = stretch.start.saturating_sub(BEFORE);
    let before = &part.bytes[floor..stretch.start];
    let start = floor + before.iter().rposition(|byte| *byte == b'\n').map_or(0, |at| at + 1);
    let limit = part.bytes.len().min(stretch.start + AFTER);
    buffer.clear();
    let mut maps: Vec<(u64, Map)> = Vec::new();
    let mut at = start;
    let mut plain = false;
    while at < limit {
        let here = part.base + at as u64;
        match step(&part.bytes[at..limit]) {
            Step::End => break,
            Step::Plain => {
                if !plain {
                    maps.push((buffer.len() as u64, Map::Scaled { start: here, from: 1, to: 1 }));
                    plain = true;
                }
                buffer.push(part.bytes[at]);
                at += 1;
            }
            Step::Written { bytes, count, length } => {
                for byte in &bytes[..count.min(bytes.len())] {
                    // Each of them covers the whole writing.
                    maps.push((buffer.len() as u64, Map::Scaled { start: here, from: length as u64, to: 1 }));
                    buffer.push(*byte);
                }
                at += length.max(1);
                plain = false;
            }
        }
    }
    let at = at.min(limit);
    found(&Piece { label, bytes: buffer, map: Map::Parts(maps) });
    let cut = at == limit && limit - stretch.start == AFTER;
    Taken { end: if cut { limit - AGAIN } else { at.max(stretch.start + 1) }, next: None }
}

/// The byte that two hexadecimal digits stand for.
pub fn hex(digits: &[u8]) -> Option<u8> {
    let text = std::str::from_utf8(digits.get(..2)?).ok()?;
    u8::from_str_radix(text, 16).ok()
}
