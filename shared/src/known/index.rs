//! Finds known values in haystacks.

use hmac::Hmac;
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::key::{EntryId, KnownKey, MacHash, TagHash, WindowHash};
use super::layout::{self, Body, Entry, Freshness, Header, KnownError};
use super::proof::{KnownMatch, ProofOfValue};
use super::{LeftOutCounts, SPAN, STRIDE, ValueState, WINDOW, diverse};
use crate::secret::Redacted;
use crate::signing::{SignerId, TrustedKeys};

/// Looks that are taken together: what passes is moved to the front, without a branch for each. A power of two.
const LOOKS: usize = 512;
/// Bytes that so many looks read.
const BLOCK: usize = (LOOKS - 1) * STRIDE + WINDOW;
/// A bitmap of so many bits, 512 KB, stays in the second-level cache beside what else is searched for.
const NEAR_LOG2: u32 = 22;
/// So many bits of a larger bitmap become one bit of the one that is asked first: one in five is set then.
const FOLDED_LOG2: u32 = 3;

/// A known value in a haystack, confirmed by its mac.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KnownHit {
    /// The first byte of the value, in the haystack.
    pub start: usize,
    /// One past its last byte.
    pub end: usize,
    /// Its name, for the rotator.
    pub id: EntryId,
    /// What it is to the rotator.
    pub state: ValueState,
}

/// An opened known file.
pub struct KnownIndex {
    header: Header,
    signer: SignerId,
    left_out: LeftOutCounts,
    windows: WindowHash,
    shift: u32,
    bitmap: Vec<u8>,
    /// Of a bitmap that is too large for the near caches: its neighbours folded together, and the shift for this.
    near: Option<(Vec<u8>, u32)>,
    tags: TagHash,
    tag_bits: u32,
    bucket_shift: u32,
    /// Where the entries begin whose tag has these highest bits; one more than there are buckets.
    buckets: Vec<u32>,
    entries: Vec<Entry>,
    macs: MacHash,
    proofs: Hmac<Sha256>,
    longest: usize,
}

impl KnownIndex {
    /// Checks a file and opens it: form, signature, key, expiry, generation, then the encryption.
    ///
    /// # Errors
    /// The first check that failed. Each makes a scan incomplete.
    pub fn open(
        file: &[u8],
        key: &KnownKey,
        trusted: &TrustedKeys,
        freshness: Freshness,
    ) -> Result<Self, KnownError> {
        let (header, body, signer) = layout::unseal(file, key, trusted, freshness)?;
        let Body { tag_bits, bitmap_log2, left_out, entries, bitmap } = body;
        let bucket_bits = (usize::BITS - entries.len().leading_zeros()).min(tag_bits);
        let bucket_shift = tag_bits - bucket_bits;
        let mut buckets = vec![0_u32; (1 << bucket_bits) + 1];
        for entry in &entries {
            buckets[(entry.tag >> bucket_shift) as usize + 1] += 1;
        }
        let mut sum = 0;
        for bucket in &mut buckets {
            sum += *bucket;
            *bucket = sum;
        }
        Ok(Self {
            header,
            signer,
            left_out,
            windows: key.windows(),
            shift: 64 - bitmap_log2,
            near: near(&bitmap, bitmap_log2),
            bitmap,
            tags: key.tags(),
            tag_bits,
            bucket_shift,
            buckets,
            longest: entries.iter().map(|entry| usize::from(entry.length)).max().unwrap_or(0),
            entries,
            macs: key.macs(),
            proofs: key.proof(),
        })
    }

    /// What everybody can read of the file.
    pub fn header(&self) -> &Header {
        &self.header
    }

    /// Who signed the file.
    pub fn signer(&self) -> &SignerId {
        &self.signer
    }

    /// What the file does not know.
    pub fn left_out(&self) -> LeftOutCounts {
        self.left_out
    }

    /// The number of values.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether the file is about no value.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// By how many bytes chunks of a haystack must overlap, so that no value is cut: the longest value less one.
    pub fn overlap(&self) -> usize {
        self.longest.saturating_sub(1)
    }

    /// Calls `found` for every known value in the haystack, in the order in which they end up confirmed.
    ///
    /// Guarantees: a value of the file that lies whole in the haystack is found once per place, wherever it
    /// begins. Nothing else is found: a chance mac has odds of 2⁻¹²⁸.
    /// Cost: two multiplications and one bit of a bitmap for 4 bytes. Of a large file one look in six asks for the
    /// windows beside it, one of these in three for all four, and next to none the whole bitmap, tags and macs.
    pub fn scan(&self, haystack: &[u8], found: &mut dyn FnMut(KnownHit)) {
        if self.entries.is_empty() {
            return;
        }
        let (near, shift) = match &self.near {
            Some((near, shift)) => (near.as_slice(), *shift),
            None => (self.bitmap.as_slice(), self.shift),
        };
        let mut passed = [0_u16; LOOKS];
        let mut at = 0;
        while haystack.len() >= at + WINDOW {
            let block = &haystack[at..haystack.len().min(at + BLOCK)];
            let looks = (block.len() - WINDOW) / STRIDE + 1;
            let mut kept = 0;
            // A window is three words in a row.
            let (words, _) = block.as_chunks::<STRIDE>();
            for (look, window) in (0_u16..).zip(words.windows(WINDOW / STRIDE)) {
                let &[[a, b, c, d], [e, f, g, h], last] = window else { break };
                let first = u64::from_le_bytes([a, b, c, d, e, f, g, h]);
                passed[kept & (LOOKS - 1)] = look;
                let hash = self.windows.of(first, u32::from_le_bytes(last));
                kept += usize::from(bit(near, hash >> shift));
            }
            // A window of a value is one of four in a row: one stands right beside it, and all are looked for where
            // there is such a one. At the ends of the haystack a window stands for the missing ones.
            let place = |look: u16| at + usize::from(look) * STRIDE;
            let last = haystack.len() - WINDOW;
            let set = |at: usize| bit(near, self.hash(haystack, at.min(last)) >> shift);
            let back = |at: usize, by: usize| set(at.saturating_sub(by));
            kept = keep(&mut passed, kept, |look| {
                let here = place(look);
                set(here + 1) | back(here, 1)
            });
            kept = keep(&mut passed, kept, |look| {
                let here = place(look);
                let forth = [set(here + 1), set(here + 2), set(here + 3)];
                let back = [back(here, 1), back(here, 2), back(here, 3)];
                (forth[0] & forth[1] & forth[2])
                    | (back[0] & forth[0] & forth[1])
                    | (back[1] & back[0] & forth[0])
                    | (back[2] & back[1] & back[0])
            });
            for &look in &passed[..kept] {
                if self.has(haystack, place(look)) {
                    self.confirm(haystack, place(look), found);
                }
            }
            at += looks * STRIDE;
        }
    }

    /// The hash of the window at this place.
    #[inline(always)]
    fn hash(&self, bytes: &[u8], at: usize) -> u64 {
        let [a, b, c, d, e, f, g, h, i, j, k, l] =
            *bytes[at..].first_chunk::<WINDOW>().unwrap_or(&[0; WINDOW]);
        self.windows.of(u64::from_le_bytes([a, b, c, d, e, f, g, h]), u32::from_le_bytes([i, j, k, l]))
    }

    /// Whether the bitmap has the window at this place.
    #[inline(always)]
    fn has(&self, bytes: &[u8], at: usize) -> bool {
        let hash = self.hash(bytes, at);
        let may = self.near.as_ref().is_none_or(|(near, shift)| bit(near, hash >> shift));
        may && bit(&self.bitmap, hash >> self.shift)
    }

    /// Looks for the entries of which the window at `at` can be one of the four.
    ///
    /// A value set the bits of all its four windows, which follow each other: a window without such neighbours is
    /// nobody's. Few chance hits have them, so that tags and macs are computed for next to none.
    #[inline(never)]
    fn confirm(&self, haystack: &[u8], at: usize, found: &mut dyn FnMut(KnownHit)) {
        let set =
            |at: Option<usize>| at.is_some_and(|at| haystack.len() >= at + WINDOW && self.has(haystack, at));
        let after = (1..STRIDE).take_while(|forth| set(at.checked_add(*forth))).count();
        let before = (1..STRIDE - after).all(|back| set(at.checked_sub(back)));
        if !before {
            return;
        }
        for start in (0..STRIDE).filter_map(|back| at.checked_sub(back)) {
            // `start` is the first of four set windows, of which `at` is one.
            let whole = (start..at).all(|at| set(Some(at))) && start + STRIDE - 1 <= at + after;
            if whole && diverse(&haystack[start..start + SPAN]) {
                self.lookup(haystack, start, found);
            }
        }
    }

    fn lookup(&self, haystack: &[u8], window: usize, found: &mut dyn FnMut(KnownHit)) {
        let tag = self.tags.of(&haystack[window..window + WINDOW], self.tag_bits);
        let bucket = (tag >> self.bucket_shift) as usize;
        let range = self.buckets[bucket] as usize..self.buckets[bucket + 1] as usize;
        for entry in self.entries[range].iter().filter(|entry| entry.tag == tag) {
            self.compare(haystack, window, entry, found);
        }
    }

    fn compare(&self, haystack: &[u8], window: usize, entry: &Entry, found: &mut dyn FnMut(KnownHit)) {
        let Some(start) = window.checked_sub(usize::from(entry.offset)) else { return };
        let end = start + usize::from(entry.length);
        let Some(value) = haystack.get(start..end) else { return };
        if bool::from(self.macs.of(value).ct_eq(&entry.mac)) {
            found(KnownHit { start, end, id: entry.id, state: entry.state });
        }
    }

    /// What a finding says about a hit: which value it is, and a proof for the rotator that whoever reports it
    /// has seen the value, in this target, after this file was written.
    pub fn prove(&self, hit: &KnownHit, value: Redacted<'_>, target_digest: &str) -> KnownMatch {
        KnownMatch {
            id: hit.id,
            state: hit.state,
            key_id: self.header.key_id,
            generation: self.header.generation,
            proof: ProofOfValue::compute(self.proofs.clone(), value, &self.header.nonce, target_digest),
        }
    }
}

/// Moves the looks for which something holds to the front, without a branch for each, and says how many they are.
#[inline(always)]
fn keep(looks: &mut [u16; LOOKS], count: usize, holds: impl Fn(u16) -> bool) -> usize {
    let mut kept = 0;
    for index in 0..count {
        let look = looks[index & (LOOKS - 1)];
        looks[kept & (LOOKS - 1)] = look;
        kept += usize::from(holds(look));
    }
    kept
}

/// Whether a bitmap has a bit.
#[inline(always)]
fn bit(bitmap: &[u8], bit: u64) -> bool {
    bitmap.get((bit >> 3) as usize).copied().unwrap_or(0) >> (bit & 7) & 1 == 1
}

/// A smaller bitmap that has a bit wherever one of the bits that it stands for is set, and the shift for it.
fn near(bitmap: &[u8], log2: u32) -> Option<(Vec<u8>, u32)> {
    let folded = log2.saturating_sub(NEAR_LOG2).min(FOLDED_LOG2);
    let bits = 1_usize << folded;
    let mask = u8::MAX >> (8 - bits);
    // At most eight bits, which lie in one byte.
    let any = |index: usize| {
        let first = index * bits;
        bitmap.get(first / 8).is_some_and(|byte| byte >> (first % 8) & mask != 0)
    };
    let byte = |byte: usize| (0..8).fold(0, |bits, bit| bits | u8::from(any(byte * 8 + bit)) << bit);
    (folded > 0).then(|| ((0..bitmap.len() / bits).map(byte).collect(), 64 - log2 + folded))
}

impl std::fmt::Debug for KnownIndex {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KnownIndex").field("header", &self.header).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl KnownIndex {
    pub(super) fn density(&self) -> f64 {
        let set: u64 = self.bitmap.iter().map(|byte| u64::from(byte.count_ones())).sum();
        set as f64 / (self.bitmap.len() as f64 * 8.0)
    }

    pub(super) fn bit_is_set(&self, window: &[u8]) -> bool {
        self.has(window, 0)
    }
}
