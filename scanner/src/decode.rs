//! Text inside other text: what is written in base64 (gzip in it included), hexadecimal, UTF-16, UTF-7, escapes, HTML,
//! quoted-printable, lists of lines or strings in pieces is decoded and searched again.
//!
//! Finders look for runs that may be such a writing; what does not decode to text is dropped after a few bytes,
//! so that hashes and identifiers cost next to nothing. A long run is cut into pieces that overlap. Each piece
//! knows its [`Map`] back to the bytes it came from.
//!
//! Guarantees: pieces depend on the haystack alone, not on the windows in which it is read.

mod base64;
mod entity;
mod escape;
mod gzip;
mod joined;
mod lines;
mod quoted;
mod rewrite;
mod run;
mod utf16;
mod utf7;

use std::ops::Range;

pub use gzip::{Allowance, Gaps, INFLATED_BYTES_MIN, Totals};

/// How often a piece may be decoded again: base64 in JSON in base64 is seen in the wild, more is not.
pub const DEPTH_MAX: usize = 4;
/// The bytes of a piece before the next begins.
const PIECE: usize = 48 * 1024;
/// By how much pieces overlap: more than a match takes, but for keys, which lie in one piece as a rule.
const OVERLAP: usize = 24 * 1024;

/// From places in a piece back to places in what it was decoded from.
#[derive(Clone, Debug)]
pub enum Map {
    /// Every `to` bytes come from `from`, in groups, from `start` on.
    Scaled {
        /// Where the piece begins.
        start: u64,
        /// Bytes of a group as they were written.
        from: u64,
        /// Bytes of a group once decoded.
        to: u64,
    },
    /// Parts, each by its first decoded byte and a scaled map of its own, sorted.
    Parts(Vec<(u64, Map)>),
    /// What was inflated step by step.
    Steps {
        /// The piece's first byte, counted from the beginning of all that was inflated.
        first: u64,
        /// What the piece was made of.
        steps: Vec<gzip::Step>,
    },
}

impl Map {
    /// The place where the byte at `at` begins.
    fn start(&self, at: u64) -> u64 {
        match self {
            Self::Scaled { start, from, to } => start + at * from / to,
            Self::Parts(parts) => {
                let index = parts.partition_point(|(first, _)| *first <= at).saturating_sub(1);
                parts.get(index).map_or(0, |(first, map)| map.start(at - first))
            }
            Self::Steps { first, steps } => gzip::Step::start(steps, first + at),
        }
    }

    /// The place where the byte before `at` ends.
    fn end(&self, at: u64) -> u64 {
        match self {
            Self::Scaled { start, from, to } => start + (at * from).div_ceil(*to),
            Self::Parts(parts) => {
                let index = parts.partition_point(|(first, _)| *first < at).saturating_sub(1);
                parts.get(index).map_or(0, |(first, map)| map.end(at - first))
            }
            Self::Steps { first, steps } => gzip::Step::end(steps, first + at),
        }
    }

    /// The bytes from which a range was decoded.
    pub fn outer(&self, range: Range<u64>) -> Range<u64> {
        self.start(range.start)..self.end(range.end)
    }
}

/// A piece of decoded text.
pub struct Piece<'b> {
    /// What was decoded: `base64`, `hex`, `utf-16le`.
    pub label: &'static str,
    /// The text.
    pub bytes: &'b [u8],
    /// The way back.
    pub map: Map,
}

impl Piece<'_> {
    /// Whether nothing of the text can be read as it was written: not of what is escaped or in pieces.
    pub fn hides(&self) -> bool {
        matches!(self.label, "base64" | "base64-gzip" | "hex")
    }
}

/// What the finders remember from one window of a haystack to the next.
#[derive(Debug, Default)]
pub struct Progress {
    base64: run::Progress,
    gzip: Option<Box<gzip::Inflating>>,
    utf16: run::Progress,
    escape: run::Progress,
    lines: run::Progress,
    entity: run::Progress,
    quoted: run::Progress,
    joined: run::Progress,
    utf7: run::Progress,
}

/// A part of a haystack: its bytes, where they begin, and the part in which runs begin that belong to it.
#[derive(Clone, Debug)]
pub struct Part<'h> {
    /// The bytes. Unless the haystack ends there, they reach a piece and its overlap further than `owned`.
    pub bytes: &'h [u8],
    /// Where they begin in the haystack.
    pub base: u64,
    /// Runs that begin here, or go on here, are this part's.
    pub owned: Range<usize>,
}

impl Progress {
    /// Whether nothing that is decoded reaches beyond this place.
    pub fn ends_before(&self, place: u64) -> bool {
        let Self { base64, gzip: _, utf16, escape, lines, entity, quoted, joined, utf7 } = self;
        [base64, utf16, escape, lines, entity, quoted, joined, utf7]
            .into_iter()
            .all(|run| run.ends_before(place))
    }

    /// Finds what can be decoded in a part and hands over each piece, in `buffer`.
    pub fn decode(
        &mut self,
        part: &Part<'_>,
        allowance: Allowance<'_>,
        buffer: &mut Vec<u8>,
        found: &mut dyn FnMut(&Piece<'_>),
    ) {
        base64::decode(&mut self.base64, (&mut self.gzip, allowance), part, buffer, found);
        utf16::decode(&mut self.utf16, part, buffer, found);
        escape::decode(&mut self.escape, part, buffer, found);
        lines::decode(&mut self.lines, part, buffer, found);
        entity::decode(&mut self.entity, part, buffer, found);
        quoted::decode(&mut self.quoted, part, buffer, found);
        joined::decode(&mut self.joined, part, buffer, found);
        utf7::decode(&mut self.utf7, part, buffer, found);
    }
}

/// Whether a byte stands in text, zero bytes of UTF-16 among it.
const fn is_text(byte: u8) -> bool {
    matches!(byte, 0x20..=0x7E | b'\t' | b'\n' | b'\r')
}

#[cfg(test)]
mod tests;
