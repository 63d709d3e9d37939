//! Gzip inside base64, once or twice encoded: how Helm keeps its releases in Secrets, and how data is embedded in
//! cloud-init files.
//!
//! The stream is inflated as pieces of the run come by. What comes out is searched in pieces that overlap, and each
//! byte of it has a place in proportion, in the letters that were inflated together with it.

use std::io::Write;

use flate2::write::GzDecoder;

use super::base64::append;
use super::{Map, OVERLAP, PIECE, Piece};

/// More than this, and more than so many times its letters, is no release but a bomb.
const INFLATED_BYTES_MIN: u64 = 4 << 20;
const RATIO_MAX: u64 = 100;

/// What is inflated at once: deflate makes at most a thousandfold of it.
const STEP_BYTES: usize = 256;

/// A stream that goes on in the next piece of its run.
#[derive(Debug)]
pub struct Inflating {
    /// Where that piece begins in the haystack.
    next: u64,
    /// Base64 in base64.
    is_twice: bool,
    /// Letters of the inner base64 that make no group of four yet.
    letters: Vec<u8>,
    decoder: GzDecoder<Vec<u8>>,
    taken: u64,
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
            decoder: GzDecoder::new(Vec::new()),
            taken: 0,
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
            self.taken += step.len() as u64;
            let going = self.decoder.write_all(step).is_ok() && self.decoder.flush().is_ok();
            let made = self.decoder.get_mut();
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
            if !going || self.made > INFLATED_BYTES_MIN.max(self.taken.saturating_mul(RATIO_MAX)) {
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
