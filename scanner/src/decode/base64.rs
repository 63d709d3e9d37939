//! Base64 (RFC 4648, both alphabets, padded or not, wrapped or not) and hexadecimal.

use std::sync::LazyLock;

use super::gzip::{Allowance, Inflating};
use super::run::{Progress, Stretch, Taken};
use super::{Map, Part, Piece, is_text};
use crate::matcher::simd::{self, Set};

/// The letters of both alphabets. The shortest run of them worth a look ([`simd::RUN`]) is 16 bytes of text without
/// padding, as short as a known value and shorter than any token with a fixed part.
static LETTERS: LazyLock<Set> = LazyLock::new(|| Set::new(|byte| VALUES[usize::from(byte)] != NONE));
/// What is decoded to see whether the rest is text: noise passes with a chance below one in ten thousand.
const TASTE: usize = 16;
/// Lines shorter than this are no wrapped base64.
const LINE_MIN: usize = 56;

const NONE: u8 = 0xFF;

/// The six bits of each letter, of both alphabets.
const VALUES: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut letter = 0;
    while letter < 26 {
        values[b'A' as usize + letter] = letter as u8;
        values[b'a' as usize + letter] = letter as u8 + 26;
        letter += 1;
    }
    let mut digit = 0;
    while digit < 10 {
        values[b'0' as usize + digit] = digit as u8 + 52;
        digit += 1;
    }
    values[b'+' as usize] = 62;
    values[b'-' as usize] = 62;
    values[b'/' as usize] = 63;
    values[b'_' as usize] = 63;
    values
};

/// The four bits of each hexadecimal digit.
const DIGITS: [u8; 256] = {
    let mut values = [NONE; 256];
    let mut digit = 0;
    while digit < 16 {
        values[b"0123456789abcdef"[digit] as usize] = digit as u8;
        values[b"0123456789ABCDEF"[digit] as usize] = digit as u8;
        digit += 1;
    }
    values
};

/// Finds and decodes.
pub fn decode(
    progress: &mut Progress,
    (gzip, allowance): (&mut Option<Box<Inflating>>, Allowance<'_>),
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    progress.walk(part, first_run, |stretch| {
        let place = part.base + stretch.start as u64;
        if gzip.as_ref().is_some_and(|gzip| gzip.goes_on(place)) {
            return inflate(part, stretch, (gzip, allowance), buffer, found);
        }
        let run = &part.bytes[stretch.start..];
        if Inflating::begins(run) {
            *gzip = Some(Box::new(Inflating::new(run)));
            return inflate(part, stretch, (gzip, allowance), buffer, found);
        }
        take(part, stretch, buffer, found)
    });
}

/// Takes a piece of a run that holds a gzip stream: letters up to the next piece, for the stream has a state.
fn inflate(
    part: &Part<'_>,
    stretch: Stretch,
    (gzip, allowance): (&mut Option<Box<Inflating>>, Allowance<'_>),
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) -> Taken {
    buffer.clear();
    let mut next = None;
    let (mut from, mut to) = (stretch.start, end_of_run(part, stretch.start, stretch.limit));
    let end = loop {
        if to > stretch.middle {
            let at = from + stretch.middle.saturating_sub(from) / 4 * 4;
            append(&part.bytes[from..at], buffer);
            next = Some(at);
            break at;
        }
        append(&part.bytes[from..to], buffer);
        let is_line = to - from >= LINE_MIN && (to - from).is_multiple_of(4);
        match next_line(&part.bytes[to..stretch.limit]).filter(|_| is_line) {
            Some(gap) => (from, to) = (to + gap, end_of_run(part, to + gap, stretch.limit)),
            None => break to,
        }
    };
    let letters = (part.base + stretch.start as u64, (end - stretch.start) as u64);
    let goes_on = gzip.as_mut().is_some_and(|gzip| gzip.feed(buffer, letters, allowance, found));
    match (gzip.as_mut(), next) {
        (Some(gzip), Some(next)) if goes_on => gzip.expect(part.base + next as u64),
        // It only begins like one: text like any other.
        (Some(stream), _) if stream.made_nothing() => {
            *gzip = None;
            return take(part, stretch, buffer, found);
        }
        _ => *gzip = None,
    }
    Taken { end, next }
}

/// Where the letters end that begin here.
fn end_of_run(part: &Part<'_>, from: usize, limit: usize) -> usize {
    let rest = &part.bytes[from..limit];
    from + rest.iter().position(|byte| VALUES[usize::from(*byte)] == NONE).unwrap_or(rest.len())
}

/// The start of the first run in a range.
fn first_run(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    simd::first_run(&LETTERS, bytes, from, to)
}

fn take(part: &Part<'_>, stretch: Stretch, buffer: &mut Vec<u8>, found: &mut dyn FnMut(&Piece<'_>)) -> Taken {
    let bytes = part.bytes;
    let run = |from: usize| end_of_run(part, from, stretch.limit);
    let end = run(stretch.start);
    let taste = &bytes[stretch.start..end.min(stretch.start + 2 * TASTE)];
    // Each piece of a run is tasted: a text that turns into noise is followed no further.
    if taste.len() < TASTE {
        return Taken { end, next: None };
    }
    if taste.iter().all(|byte| DIGITS[usize::from(*byte)] != NONE) && is_hex_text(taste) {
        hex(part, stretch.start, end, buffer, found);
        return Taken::plain(stretch, end, 2);
    }
    if !is_base64_text(&taste[..TASTE]) {
        return Taken::plain(stretch, end, 4);
    }
    // Lines of a wrapped text go on behind a line break and white space.
    buffer.clear();
    let mut maps = Vec::new();
    let mut next = None;
    let (mut from, mut to) = (stretch.start, end);
    loop {
        let map = Map::Scaled { start: part.base + from as u64, from: 4, to: 3 };
        maps.push((buffer.len() as u64, map));
        append(&bytes[from..to], buffer);
        if next.is_none() && to > stretch.middle {
            next = Some(from + stretch.middle.saturating_sub(from) / 4 * 4);
        }
        if to - from < LINE_MIN || !(to - from).is_multiple_of(4) {
            break;
        }
        let Some(gap) = next_line(&bytes[to..stretch.limit]) else { break };
        let line = run(to + gap);
        if line - (to + gap) < 2 {
            break;
        }
        (from, to) = (to + gap, line);
    }
    let map = match maps.pop() {
        Some((0, map)) => map,
        Some(last) => {
            maps.push(last);
            Map::Parts(maps)
        }
        None => return Taken { end: to, next: None },
    };
    found(&Piece { label: "base64", bytes: buffer, map });
    Taken { end: to, next }
}

/// How far it is to the next line's text, over a line break and white space, also where both are written as
/// `\n` inside a string.
fn next_line(rest: &[u8]) -> Option<usize> {
    let line_break =
        [b"\r\n".as_slice(), b"\n", b"\\r\\n", b"\\n"].into_iter().find(|text| rest.starts_with(text))?;
    let indent = rest[line_break.len()..].iter().position(|byte| !matches!(byte, b' ' | b'\t'))?;
    let at = line_break.len() + indent;
    (indent <= 64 && VALUES[usize::from(rest[at])] != NONE).then_some(at)
}

fn is_base64_text(taste: &[u8]) -> bool {
    taste
        .chunks_exact(4)
        .all(|four| group(four).is_some_and(|three| three.iter().all(|byte| is_text(*byte) || *byte == 0)))
}

fn group(four: &[u8]) -> Option<[u8; 3]> {
    let mut bits = 0_u32;
    for letter in four {
        let value = VALUES[usize::from(*letter)];
        if value == NONE {
            return None;
        }
        bits = bits << 6 | u32::from(value);
    }
    let [_, one, two, three] = bits.to_be_bytes();
    Some([one, two, three])
}

/// Decodes letters, up to the first that is none.
pub(super) fn append(text: &[u8], buffer: &mut Vec<u8>) {
    let groups = text.chunks_exact(4);
    let rest = groups.remainder();
    for four in groups {
        let Some(three) = group(four) else { return };
        buffer.extend_from_slice(&three);
    }
    // Two letters are one byte, three are two (RFC 4648, section 4); one is nothing.
    if rest.len() >= 2 {
        let mut four = [b'A'; 4];
        four[..rest.len()].copy_from_slice(rest);
        if let Some(three) = group(&four) {
            buffer.extend_from_slice(&three[..rest.len() - 1]);
        }
    }
}

fn is_hex_text(taste: &[u8]) -> bool {
    taste.chunks_exact(2).all(|two| {
        let byte = DIGITS[usize::from(two[0])] << 4 | DIGITS[usize::from(two[1])];
        is_text(byte) || byte == 0
    })
}

fn hex(part: &Part<'_>, start: usize, end: usize, buffer: &mut Vec<u8>, found: &mut dyn FnMut(&Piece<'_>)) {
    buffer.clear();
    for two in part.bytes[start..end].chunks_exact(2) {
        let (high, low) = (DIGITS[usize::from(two[0])], DIGITS[usize::from(two[1])]);
        if high == NONE || low == NONE {
            break;
        }
        buffer.push(high << 4 | low);
    }
    let map = Map::Scaled { start: part.base + start as u64, from: 2, to: 1 };
    found(&Piece { label: "hex", bytes: buffer, map });
}
