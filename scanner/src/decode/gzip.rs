//! Gzip inside base64, once or twice encoded: how Helm keeps its releases in Secrets, and how data is embedded in
//! cloud-init files.
//!
//! The stream is inflated as pieces of the run come by. What comes out is searched in pieces that overlap, and each
//! byte of it has a place in proportion, in the letters that were inflated together with it.

use std::cell::Cell;
use std::io::Write;

use flate2::write::MultiGzDecoder;

use super::base64::append;
use super::{Map, OVERLAP, PIECE, Piece};

/// Until the streams of a haystack have become more than this, their ratio is not looked at.
pub const INFLATED_BYTES_MIN: u64 = 16 << 20;

/// What is inflated at once: deflate makes at most a thousandfold of it.
const STEP_BYTES: usize = 256;

/// What all streams in one haystack may become: so many times the letters of those that no other stream holds.
#[derive(Debug)]
pub struct Totals {
    ratio: u64,
    letters: Cell<u64>,
    made: Cell<u64>,
    gaps: Cell<Gaps>,
}

/// What was not decoded of a haystack. All of it was searched as it stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Gaps {
    /// Streams became more than the ratio allows: the rest of them was not inflated.
    pub is_limited: bool,
    /// A stream does not inflate to its end.
    pub is_damaged: bool,
    /// Something is encoded more often than is decoded.
    pub is_too_deep: bool,
}

impl Gaps {
    /// Those of two parts.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self {
            is_limited: self.is_limited || other.is_limited,
            is_damaged: self.is_damaged || other.is_damaged,
            is_too_deep: self.is_too_deep || other.is_too_deep,
        }
    }
}

impl Totals {
    /// For one haystack; the ratio is the limit of that name.
    pub fn new(ratio: u64) -> Self {
        Self { ratio, letters: Cell::new(0), made: Cell::new(0), gaps: Cell::default() }
    }

    /// What was not decoded.
    pub fn gaps(&self) -> Gaps {
        self.gaps.get()
    }

    /// Bytes that were inflated.
    pub fn made(&self) -> u64 {
        self.made.get()
    }

    /// Notes a gap.
    pub fn note(&self, add: impl FnOnce(&mut Gaps)) {
        let mut gaps = self.gaps.get();
        add(&mut gaps);
        self.gaps.set(gaps);
    }

    /// Counts letters, and what they became; `false`, and a gap, if that is too much.
    fn count(&self, letters: u64, made: u64) -> bool {
        self.letters.set(self.letters.get().saturating_add(letters));
        self.made.set(self.made.get().saturating_add(made));
        let most = self.letters.get().saturating_mul(self.ratio).max(INFLATED_BYTES_MIN);
        let is_within = self.made.get() <= most;
        self.note(|gaps| gaps.is_limited |= !is_within);
        is_within
    }
}

/// The totals, seen from one depth of decoding.
#[derive(Clone, Copy, Debug)]
pub struct Allowance<'t> {
    /// Of the haystack.
    pub totals: &'t Totals,
    /// The letters stand in the haystack itself, not in what was decoded.
    pub is_outermost: bool,
}

/// A stream that goes on in the next piece of its run.
#[derive(Debug)]
pub struct Inflating {
    /// Where that piece begins in the haystack.
    next: u64,
    /// Base64 in base64.
    is_twice: bool,
    /// Letters of the inner base64 that make no group of four yet.
    letters: Vec<u8>,
    decoder: MultiGzDecoder<Vec<u8>>,
    made: u64,
    /// The last of what was made, for what lies across two pieces.
    tail: Vec<u8>,
    steps: Vec<Step>,
}

/// What was made of some letters.
#[derive(Clone, Debug)]
pub struct Step {
    made: u64,
    made_length: u64,
    start: u64,
    length: u64,
}

impl Step {
    /// The place of a byte, counted from the beginning of all that was made.
    pub(super) fn start(steps: &[Self], at: u64) -> u64 {
        let step = steps.get(steps.partition_point(|step| step.made <= at).saturating_sub(1));
        step.map_or(0, |step| step.start + (at - step.made) * step.length / step.made_length.max(1))
    }

    /// The end of the byte before.
    pub(super) fn end(steps: &[Self], at: u64) -> u64 {
        let step = steps.get(steps.partition_point(|step| step.made < at).saturating_sub(1));
        step.map_or(0, |step| step.start + ((at - step.made) * step.length).div_ceil(step.made_length.max(1)))
    }
}

impl Inflating {
    /// Whether a run of base64 begins like a gzip stream, or like the base64 of one.
    pub(super) fn begins(run: &[u8]) -> bool {
        run.starts_with(b"H4sI") || run.starts_with(b"SDRzS")
    }

    /// For a run that begins like one.
    pub(super) fn new(run: &[u8]) -> Self {
        Self {
            next: 0,
            is_twice: run.starts_with(b"SDRzS"),
            letters: Vec::new(),
            decoder: MultiGzDecoder::new(Vec::new()),
            made: 0,
            tail: Vec::new(),
            steps: Vec::new(),
        }
    }

    /// Whether the piece that begins here is the next one.
    pub(super) fn goes_on(&self, at: u64) -> bool {
        self.next == at
    }

    /// Whether it is no stream at all.
    pub(super) fn made_nothing(&self) -> bool {
        self.made == 0
    }

    /// Where the next piece begins.
    pub(super) fn expect(&mut self, next: u64) {
        self.next = next;
    }

    /// Inflates the decoded bytes of a piece of the run, whose letters begin at `start`; `false` at the end, or when
    /// it is no such stream.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        (mut start, letters): (u64, u64),
        allowance: Allowance<'_>,
        found: &mut dyn FnMut(&Piece<'_>),
    ) -> bool {
        let mut inner = Vec::new();
        let bytes = if self.is_twice {
            self.letters.extend(bytes.iter().filter(|byte| !byte.is_ascii_whitespace()));
            let whole = self.letters.len() - self.letters.len() % 4;
            let plain = self.letters[..whole].iter().rposition(|byte| *byte != b'=').map_or(0, |at| at + 1);
            append(&self.letters[..plain], &mut inner);
            self.letters.drain(..whole);
            &inner[..]
        } else {
            bytes
        };
        let count = bytes.len().div_ceil(STEP_BYTES).max(1) as u64;
        let (each, mut rest) = (letters / count, letters % count);
        for step in bytes.chunks(STEP_BYTES) {
            let length = each + u64::from(rest > 0);
            rest = rest.saturating_sub(1);
            let going = self.decoder.write_all(step).is_ok() && self.decoder.flush().is_ok();
            let made = self.decoder.get_mut();
            let counted = if allowance.is_outermost { length } else { 0 };
            let is_within = allowance.totals.count(counted, made.len() as u64);
            if !made.is_empty() {
                self.steps.push(Step { made: self.made, made_length: made.len() as u64, start, length });
                self.made += made.len() as u64;
                self.tail.append(made);
                made.shrink_to(PIECE);
            }
            if self.tail.len() >= PIECE + OVERLAP {
                self.hand_over(found);
            }
            start += length;
            if !going || !is_within {
                if !going && self.made > 0 {
                    allowance.totals.note(|gaps| gaps.is_damaged = true);
                }
                self.hand_over(found);
                return false;
            }
        }
        self.hand_over(found);
        true
    }

    /// Hands over what was made, and keeps the end of it.
    fn hand_over(&mut self, found: &mut dyn FnMut(&Piece<'_>)) {
        let first = self.made - self.tail.len() as u64;
        let map = Map::Steps { first, steps: self.steps.clone() };
        if !self.tail.is_empty() {
            found(&Piece { label: "base64-gzip", bytes: &self.tail, map });
        }
        let passed = self.tail.len().saturating_sub(OVERLAP);
        self.tail.drain(..passed);
        let first = first + passed as u64;
        self.steps.retain(|step| step.made + step.made_length > first);
    }
}
