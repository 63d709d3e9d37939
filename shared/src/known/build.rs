//! Writes known files. Holds no value longer than it takes to compute its entry.

use std::collections::HashMap;
use std::collections::hash_map::Entry as Slot;
use std::hash::Hasher;

use jiff::Timestamp;

use super::key::{IdKey, KnownKey, MacHash, TagHash, WindowHash};
use super::layout::{self, Body, Entry, Header, Nonce};
use super::strength::{Strength, bits_of, is_public};
use super::{
    BITMAP_BITS_GIVEN, DECOYS_ONE_IN, FLOOR_BITS, KNOWN_VERSION, SPAN, STRIDE, VALUE_BYTES_MAX,
    VALUE_BYTES_MIN, ValueState, WINDOW, diverse, parts, tag_bits,
};
use crate::secret::Secret;
use crate::signing::PrivateKey;

/// More values than any fleet has; a store that lists more is broken.
const VALUES_MAX: usize = 2_000_000;

/// Why a value was left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum LeftOut {
    /// Shorter than [`VALUE_BYTES_MIN`].
    TooShort,
    /// Could be guessed with the file and its key at hand: human passwords, short tokens.
    TooWeak,
    /// Not a secret: a certificate or a public key.
    Public,
    /// The same few bytes all over.
    Monotonous,
}

/// How many values were left out, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LeftOutCounts {
    /// [`LeftOut::TooShort`].
    pub too_short: u32,
    /// [`LeftOut::TooWeak`].
    pub too_weak: u32,
    /// [`LeftOut::Public`].
    pub public: u32,
    /// [`LeftOut::Monotonous`].
    pub monotonous: u32,
}

impl LeftOutCounts {
    pub(super) fn each(&self) -> [u32; 4] {
        [self.too_short, self.too_weak, self.public, self.monotonous]
    }

    pub(super) fn from_each([too_short, too_weak, public, monotonous]: [u32; 4]) -> Self {
        Self { too_short, too_weak, public, monotonous }
    }

    /// All of them.
    pub fn total(&self) -> u64 {
        self.each().into_iter().map(u64::from).sum()
    }

    fn count(&mut self, reason: LeftOut) {
        let counter = match reason {
            LeftOut::TooShort => &mut self.too_short,
            LeftOut::TooWeak => &mut self.too_weak,
            LeftOut::Public => &mut self.public,
            LeftOut::Monotonous => &mut self.monotonous,
        };
        *counter = counter.saturating_add(1);
    }
}

/// Why no file could be written.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// More values than a file may hold.
    #[error("more than {VALUES_MAX} values; name fewer stores")]
    TooMany,
    /// `expires` is not after `created`.
    #[error("the known file would expire before it is written")]
    NeverValid,
    /// The encoding or the encryption failed, which no input causes.
    #[error("the known file could not be encoded")]
    Encoding,
}

/// When a file was written and how long it is believed.
#[derive(Clone, Copy, Debug)]
pub struct Issue {
    /// Higher than that of every file written before under the same key.
    pub generation: u64,
    /// The time.
    pub created: Timestamp,
    /// When scanners stop believing it: a few intervals of writing, so that a stale file shows.
    pub expires: Timestamp,
    /// Fresh and random for each file: it also makes proofs fresh.
    pub nonce: Nonce,
}

/// A finished file.
#[derive(Debug)]
pub struct Built {
    /// The bytes of the file.
    pub file: Vec<u8>,
    /// Its header.
    pub header: Header,
    /// What it does not know.
    pub left_out: LeftOutCounts,
}

/// What is kept of a value until the number of values is known.
struct Candidate {
    entry: Entry,
    tag: u32,
    windows: [u64; STRIDE],
    bits: f64,
}

/// Collects values and writes the file about them.
pub struct KnownFileBuilder<'k> {
    key: &'k KnownKey,
    id_key: &'k IdKey,
    windows: WindowHash,
    tags: TagHash,
    macs: MacHash,
    offsets: MacHash,
    candidates: HashMap<[u8; 16], Candidate>,
    left_out: LeftOutCounts,
}

impl<'k> KnownFileBuilder<'k> {
    /// A file about nothing yet. `key` is the scanners'; `id_key` the rotator's alone.
    pub fn new(key: &'k KnownKey, id_key: &'k IdKey) -> Self {
        Self {
            key,
            id_key,
            windows: key.windows(),
            tags: key.tags(),
            macs: key.macs(),
            offsets: key.offsets(),
            candidates: HashMap::new(),
            left_out: LeftOutCounts::default(),
        }
    }

    /// Adds a value and the parts of it that leak alone. `strength` is that of the whole value.
    pub fn add_with_parts(&mut self, value: &Secret, state: ValueState, strength: Strength) {
        for part in parts::of(value) {
            let strength = if part.is_whole() { strength } else { Strength::Unknown };
            self.add(part.value(), state, strength);
        }
    }

    /// Adds one value of at most [`VALUE_BYTES_MAX`] bytes. The same value again (another path, an older version)
    /// keeps the most alive of its states. Says at once what is left out for certain; a weak value may still be
    /// left out when the file is written, because the more values there are, the stronger each must be.
    pub fn add(&mut self, value: &Secret, state: ValueState, strength: Strength) -> Option<LeftOut> {
        let added = value.expose(|bytes| self.candidate(bytes, state, strength));
        match added {
            Ok(candidate) => {
                match self.candidates.entry(candidate.entry.mac) {
                    Slot::Vacant(slot) => {
                        slot.insert(candidate);
                    }
                    Slot::Occupied(mut slot) => {
                        let before = slot.get_mut();
                        before.entry.state = before.entry.state.max(state);
                        // Both are lower bounds of one strength.
                        before.bits = before.bits.max(candidate.bits);
                    }
                }
                None
            }
            Err(reason) => {
                self.left_out.count(reason);
                Some(reason)
            }
        }
    }

    fn candidate(&self, value: &[u8], state: ValueState, strength: Strength) -> Result<Candidate, LeftOut> {
        if value.len() < VALUE_BYTES_MIN {
            return Err(LeftOut::TooShort);
        }
        if is_public(value) {
            return Err(LeftOut::Public);
        }
        let bits = bits_of(strength, value);
        // A longer value would be a mistake of the caller; its entry could never match.
        let given = BITMAP_BITS_GIVEN + f64::from(tag_bits(1)) + FLOOR_BITS;
        if bits < given || value.len() > VALUE_BYTES_MAX {
            return Err(LeftOut::TooWeak);
        }
        let offset = self.offset(value).ok_or(LeftOut::Monotonous)?;
        let windows = std::array::from_fn(|shift| self.windows.of_window(&value[offset + shift..]));
        let entry = Entry {
            offset: offset as u16,
            length: value.len() as u16,
            tag: 0,
            mac: self.macs.of(value),
            id: self.id_key.id(value),
            state,
        };
        Ok(Candidate { entry, tag: self.tags.of(&value[offset..offset + WINDOW], 32), windows, bits })
    }

    /// Where the windows begin: a place that the key and the value choose, so that it is the same in every file
    /// and, for a random value, says nothing; the next one with enough different bytes.
    fn offset(&self, value: &[u8]) -> Option<usize> {
        let places = value.len() - SPAN + 1;
        let [a, b, c, d, ..] = self.offsets.of(value);
        let start = u32::from_le_bytes([a, b, c, d]) as usize % places;
        (start..places).chain(0..start).find(|&offset| diverse(&value[offset..offset + SPAN]))
    }

    /// Writes the file.
    ///
    /// # Errors
    /// When there are too many values, or the file would never be valid.
    pub fn build(mut self, issue: Issue, signer: &PrivateKey) -> Result<Built, BuildError> {
        let count = self.candidates.len();
        if count > VALUES_MAX {
            return Err(BuildError::TooMany);
        }
        if issue.expires <= issue.created {
            return Err(BuildError::NeverValid);
        }
        // Counted before the weak ones go: the bound then holds for what remains.
        let tag_bits = tag_bits(count);
        let needed = f64::from(tag_bits) + BITMAP_BITS_GIVEN + (count.max(1) as f64).log2() + FLOOR_BITS;
        let mut included = Vec::with_capacity(count);
        for (_, candidate) in self.candidates.drain() {
            if candidate.bits < needed {
                self.left_out.count(LeftOut::TooWeak);
            } else {
                included.push(candidate);
            }
        }
        let mask = (1 << tag_bits) - 1;
        for candidate in &mut included {
            candidate.entry.tag = candidate.tag & mask;
        }
        included.sort_unstable_by_key(|Candidate { entry, .. }| (entry.tag, entry.mac, entry.offset));
        let bitmap_log2 = bitmap_log2(included.len());
        let body = Body {
            tag_bits,
            bitmap_log2,
            left_out: self.left_out,
            bitmap: self.bitmap(&included, bitmap_log2),
            entries: included.iter().map(|candidate| candidate.entry).collect(),
        };
        let header = Header {
            version: KNOWN_VERSION,
            key_id: self.key.key_id(),
            generation: issue.generation,
            created: issue.created,
            expires: issue.expires,
            count: included.len() as u32,
            nonce: issue.nonce,
        };
        let file = layout::seal(&header, &body, self.key, signer).ok_or(BuildError::Encoding)?;
        Ok(Built { file, header, left_out: self.left_out })
    }

    fn bitmap(&self, included: &[Candidate], log2: u32) -> Vec<u8> {
        let mut bitmap = vec![0_u8; 1 << (log2 - 3)];
        let mut set = |hash: u64| {
            let bit = hash >> (64 - log2);
            bitmap[(bit >> 3) as usize] |= 1 << (bit & 7);
        };
        included.iter().flat_map(|candidate| candidate.windows).for_each(&mut set);
        let decoys = self.key.decoys();
        for decoy in 0..(1_u64 << log2) / DECOYS_ONE_IN {
            let mut hasher = decoys;
            hasher.write_u64(decoy.to_le());
            set(hasher.finish());
        }
        bitmap
    }
}

/// The bitmap's size: the values' own bits fill at most 1/64 of it, the decoys about as much.
fn bitmap_log2(values: usize) -> u32 {
    let bits = (values.max(1) * STRIDE * 64).next_power_of_two();
    bits.trailing_zeros().max(9)
}
