//! Known secrets: how the scanner recognises a live value that it must not hold.
//!
//! The rotator writes a file about every value that the stores hold; the scanner finds those values anywhere in
//! a haystack, without a rule and without knowing them. [`KnownFileBuilder`] writes the file, [`KnownIndex`] opens
//! it and scans. A [`proof`] shows the rotator that a finding was made by someone who saw the value.
//!
//! # The file
//!
//! `KTKNOWN1`, the header's length (u32), the header (JSON, in the clear), the body's length (u64), the body
//! (XChaCha20-Poly1305 under a subkey of the user's key, the header as associated data), the signer's name (8
//! bytes) and its Ed25519 signature over everything before the signer's name (64 bytes, DSSE's encoding). All
//! numbers are little-endian. `shared/vectors/known.py` is a second implementation of all of this.
//!
//! The body: `window u8 = 12, stride u8 = 4, tag_bits u8, bitmap_log2 u8, count u32`, the numbers of values left
//! out by reason (4 × u32, in the order of [`LeftOut`]), the entries in the order of tag, mac and offset, the
//! bitmap (bit `i` is bit `i % 8` of byte `i / 8`).
//!
//! An entry is about one value: `offset u16, length u16, tag u32, mac[16], id[8], state u8`. The tag is
//! SipHash-2-4 of the 12 bytes at `offset`, cut to its lowest `tag_bits`; the mac is HMAC-SHA-256 of the length
//! (u16) and the value, cut to 16 bytes; the id is known to the rotator alone.
//!
//! The bitmap has a bit for each of the windows at `offset`, `offset + 1`, `offset + 2` and `offset + 3`, so that
//! a scan that looks at every fourth byte meets exactly one of them wherever the value lies. The bit of a window
//! is the highest `bitmap_log2` bits of `x·a + y·b + c` modulo 2⁶⁴, where `x` is its first 8 bytes, `y` its last
//! 4, and `a`, `b` (both odd) and `c` are subkeys.
//!
//! # What the file gives away
//!
//! To somebody without the key: its size, the header. To somebody with the key and the file, who guesses values:
//! a whole value is confirmed by its mac; parts of it can be tested by the tag (`tag_bits`) and by the bitmap. A
//! bit of the bitmap does not say which entry it belongs to, and decoys alone fill 1/64 of it. The decoys depend
//! on the key and the size, not on the values, so that bits which stay while other values come and go are still
//! hidden among them. Each of the four windows therefore gives away at most 6 bits for any number of files under
//! one key, and 1 more for the file's having been half or double as large before. Tags, macs and offsets of a
//! value are the same in every file under one key. A value is included when its strength, less these bits, less
//! log2 of the number of values, leaves [`FLOOR_BITS`]: so many macs must be computed before one guess hits.
//!
//! The four bits of a value make the stored tag short: a chance hit has to meet all four before a tag is computed.
//! One window class is enough by this accounting: with windows of 24 bytes beside those of 12 the bits given away
//! are the same for each value, and every look would cost twice.

mod build;
mod index;
mod key;
mod layout;
pub mod parts;
pub mod proof;
mod strength;

pub use build::{BuildError, Built, Issue, KnownFileBuilder, LeftOut, LeftOutCounts};
pub use index::{KnownHit, KnownIndex};
pub use key::{EntryId, IdKey, KnownKey, KnownKeyError};
pub use layout::{FILE_BYTES_MAX, Freshness, Header, KnownError, Nonce, PAYLOAD_TYPE};
pub use strength::{Strength, estimate};

/// The version that this code writes. It reads this one and the one before, and refuses newer ones.
pub const KNOWN_VERSION: u32 = 1;
/// The shortest value that is included, in bytes.
pub const VALUE_BYTES_MIN: usize = 16;
/// The longest value that is included, in bytes. Of longer ones the beginning is included; see [`parts`].
pub const VALUE_BYTES_MAX: usize = 4096;
/// What is left to whoever guesses with file and key at hand, in bits.
pub const FLOOR_BITS: f64 = 64.0;

/// Bytes of a window: three words.
const WINDOW: usize = 12;
/// A scan looks at every fourth byte.
const STRIDE: usize = 4;
/// Bytes that the windows of one value cover together.
const SPAN: usize = WINDOW + STRIDE - 1;
/// Bits that the bitmap gives away of one value: for each of its windows 6, and 1 for a change of size.
const BITMAP_BITS_GIVEN: f64 = 7.0 * STRIDE as f64;
/// One bit in 60 is drawn as a decoy; after collisions more than one in 64 is set.
const DECOYS_ONE_IN: u64 = 60;

/// What a value is to the rotator.
#[derive(
    Clone,
    Copy,
    Debug,
    PartialEq,
    Eq,
    Hash,
    PartialOrd,
    Ord,
    serde::Serialize,
    serde::Deserialize,
    schemars::JsonSchema,
)]
#[serde(rename_all = "lowercase")]
pub enum ValueState {
    /// Proven dead; kept so that an old leak is recognised as one.
    Dead,
    /// Was replaced, and was not proven dead: it may still open something.
    Previous,
    /// Is in use.
    Current,
}

impl ValueState {
    fn to_byte(self) -> u8 {
        match self {
            Self::Dead => 0,
            Self::Previous => 1,
            Self::Current => 2,
        }
    }

    fn from_byte(byte: u8) -> Option<Self> {
        match byte {
            0 => Some(Self::Dead),
            1 => Some(Self::Previous),
            2 => Some(Self::Current),
            _ => None,
        }
    }

    /// Whether the value may still open something. Only a value that is not live can be let through by a receipt.
    pub fn is_live(self) -> bool {
        match self {
            Self::Dead => false,
            Self::Previous | Self::Current => true,
        }
    }
}

/// How many of the lowest bits of a tag are stored for so many values: enough that a wrong window rarely costs more
/// than one mac, and no more, because each bit helps whoever guesses.
fn tag_bits(values: usize) -> u32 {
    let log2 = usize::BITS - values.saturating_sub(1).leading_zeros();
    (log2 + 2).clamp(8, 30)
}

/// Whether the bytes under a value's windows are different enough. Windows of runs and blanks would be met all over
/// a haystack; a random value has twice as many different bytes.
fn diverse(span: &[u8]) -> bool {
    const DISTINCT_MIN: usize = 6;
    (0..span.len()).filter(|&index| !span[..index].contains(&span[index])).count() >= DISTINCT_MIN
}

#[cfg(test)]
mod tests;
