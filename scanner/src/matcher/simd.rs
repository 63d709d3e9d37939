//! Where four bytes in a row may begin a window of interest, many places at a time.
//!
//! The only module beside the memory map that needs unsafe code: vector loads, and calls of functions that want
//! a processor feature. Loads take a reference to an array of their exact size, so that the bounds are the
//! compiler's; the features are asked of the processor before the call. If that answer were wrong, the process
//! would end with an illegal instruction; nothing else could follow.
//!
//! Every path gives the scalar path's answer or more (a nibble table cannot tell all bytes apart); what follows
//! confirms each place. A property test holds them to it.

#![allow(unsafe_code)]

use crate::rules::strings::SETS;

/// Tables hold eight sets, one bit each.
const GROUPS: usize = SETS / 8;

/// Sets of four-byte windows, as the bytes that each set takes at each place: one bit a set.
#[derive(Clone)]
pub struct Classes {
    bytes: Box<[[u32; 256]; 4]>,
}

/// How to look: chosen once, when the rules are prepared.
pub struct Scanner {
    classes: Classes,
    path: Path,
}

enum Path {
    Scalar,
    #[cfg(target_arch = "x86_64")]
    Avx2(Box<x86::Nibbles>),
    #[cfg(target_arch = "x86_64")]
    Avx512(Box<x86::Tables>),
}

impl Default for Classes {
    fn default() -> Self {
        Self { bytes: Box::new([[0; 256]; 4]) }
    }
}

impl Classes {
    /// By place and byte, one bit for each set, as [`strings::deal`](crate::rules::strings::deal) gives them.
    pub fn of(bits: &[u32]) -> Self {
        let mut classes = Self::default();
        for (place, bits) in bits.chunks(256).take(4).enumerate() {
            classes.bytes[place][..bits.len()].copy_from_slice(bits);
        }
        classes
    }

    /// Lets a set take a byte at a place.
    #[cfg(test)]
    pub fn add(&mut self, set: usize, place: usize, byte: u8) {
        self.bytes[place][usize::from(byte)] |= 1 << set;
    }

    /// The sets that take the four bytes.
    fn sets(&self, four: [u8; 4]) -> u32 {
        let [one, two, three, four] = four.map(usize::from);
        self.bytes[0][one] & self.bytes[1][two] & self.bytes[2][three] & self.bytes[3][four]
    }
}

impl Scanner {
    /// With the fastest path of this processor.
    pub fn new(classes: Classes) -> Self {
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx512vbmi")
                && std::arch::is_x86_feature_detected!("avx512bw")
            {
                let path = Path::Avx512(Box::new(x86::Tables::new(&classes)));
                return Self { classes, path };
            }
            if std::arch::is_x86_feature_detected!("avx2") {
                let path = Path::Avx2(Box::new(x86::Nibbles::new(&classes)));
                return Self { classes, path };
            }
        }
        Self { classes, path: Path::Scalar }
    }

    /// Adds each place in `from..to` at which a window may begin. Bytes behind the end count as zero.
    ///
    /// Assumptions: `to` is not beyond the end of `bytes`.
    pub fn find(&self, bytes: &[u8], from: usize, to: usize, places: &mut Vec<usize>) {
        let rest = match &self.path {
            Path::Scalar => from,
            #[cfg(target_arch = "x86_64")]
            Path::Avx2(nibbles) => {
                // SAFETY: this path is chosen only where the processor has AVX2.
                unsafe { nibbles.find(bytes, from, to, places) }
            }
            #[cfg(target_arch = "x86_64")]
            Path::Avx512(tables) => {
                // SAFETY: this path is chosen only where the processor has AVX-512 VBMI and BW.
                unsafe { tables.find(bytes, from, to, places) }
            }
        };
        for at in rest..to {
            let mut four = [0; 4];
            let there = &bytes[at..bytes.len().min(at + 4)];
            four[..there.len()].copy_from_slice(there);
            if self.classes.sets(four) != 0 {
                places.push(at);
            }
        }
    }
}

/// The shortest run that [`first_run`] looks for.
pub const RUN: usize = 22;
/// What is looked at in one go where a run is looked for.
const BLOCK: usize = 64;

/// A set of ASCII bytes.
pub struct Set {
    has: [bool; 256],
    /// By low nibble: one bit for each high nibble with which it makes a byte of the set.
    nibbles: [u8; 16],
}

impl Set {
    /// The ASCII bytes of which the test holds.
    pub fn new(test: impl Fn(u8) -> bool) -> Self {
        let has: [bool; 256] = std::array::from_fn(|byte| byte < 0x80 && test(byte as u8));
        let bits =
            |low: usize| (0..8).filter(|high| has[high * 16 + low]).fold(0, |bits, high| bits | 1 << high);
        Self { has, nibbles: std::array::from_fn(bits) }
    }

    /// Whether a byte is in it.
    pub fn has(&self, byte: u8) -> bool {
        self.has[usize::from(byte)]
    }

    /// One bit for each of the first 64 bytes.
    fn mask(&self, bytes: &[u8]) -> u64 {
        let there = bytes.iter().take(BLOCK).enumerate();
        there.filter(|(_, byte)| self.has(**byte)).fold(0, |mask, (at, _)| mask | 1 << at)
    }
}

/// The first place in `from..to` at which [`RUN`] bytes of the set stand in a row.
pub fn first_run(set: &Set, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just asked for AVX2.
        return unsafe { x86::first_run(set, bytes, from, to) };
    }
    first_run_by(|bytes| set.mask(bytes), bytes, from, to)
}

/// [`first_run`] with a function that gives one bit for each of the first 64 bytes.
#[inline(always)]
fn first_run_by(mask: impl Fn(&[u8]) -> u64, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    let mut at = from;
    let mut here = mask(bytes.get(at..)?);
    while at < to {
        let next = mask(bytes.get(at + BLOCK..).unwrap_or_default());
        let mut starts = u128::from(here) | u128::from(next) << BLOCK;
        for length in [1, 2, 4, 8, RUN - 16] {
            starts &= starts >> length;
        }
        // What begins in the second half has not been seen to its end.
        let starts = starts as u64;
        if starts != 0 {
            return Some(at + starts.trailing_zeros() as usize).filter(|at| *at < to);
        }
        at += BLOCK;
        here = next;
    }
    None
}

/// The first place in `from..to` at which an escape of a printable letter may stand: `%` before a digit from 2 to 7,
/// a backslash before `x` or `u`.
pub fn first_pair(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        // SAFETY: the processor was just asked for AVX2.
        return unsafe { x86::first_pair(bytes, from, to) };
    }
    first_pair_by_one(bytes, from, to)
}

fn first_pair_by_one(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    (from..to).find(|&at| matches!(bytes.get(at..at + 2), Some([b'%', b'2'..=b'7'] | [b'\\', b'x' | b'u'])))
}

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_max_epu8,
        _mm256_min_epu8, _mm256_movemask_epi8, _mm256_or_si256, _mm256_set1_epi8, _mm256_setr_epi8,
        _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16, _mm512_and_si512, _mm512_loadu_si512,
        _mm512_or_si512, _mm512_permutex2var_epi8, _mm512_set1_epi8, _mm512_setzero_si512,
        _mm512_test_epi8_mask,
    };

    use super::{BLOCK, Classes, GROUPS, Set, first_pair_by_one, first_run_by};

    /// Bytes of one AVX2 step.
    const STEP_256: usize = 32;
    /// Bytes of one AVX-512 step.
    const STEP_512: usize = 64;

    #[inline]
    #[target_feature(enable = "avx2")]
    fn load_256(bytes: &[u8; STEP_256]) -> __m256i {
        // SAFETY: the reference covers the 32 bytes that are read; the load needs no alignment.
        unsafe { _mm256_loadu_si256(bytes.as_ptr().cast()) }
    }

    #[inline]
    #[target_feature(enable = "avx512f")]
    fn load_512(bytes: &[u8; STEP_512]) -> __m512i {
        // SAFETY: the reference covers the 64 bytes that are read; the load needs no alignment.
        unsafe { _mm512_loadu_si512(bytes.as_ptr().cast()) }
    }

    #[target_feature(enable = "avx2")]
    pub fn first_run(set: &Set, bytes: &[u8], from: usize, to: usize) -> Option<usize> {
        let nibbles = {
            let mut twice = [0; STEP_256];
            twice[..16].copy_from_slice(&set.nibbles);
            twice[16..].copy_from_slice(&set.nibbles);
            load_256(&twice)
        };
        let highs = _mm256_setr_epi8(
            1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0, 1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0,
            0, 0, 0, 0,
        );
        let nibble = _mm256_set1_epi8(15);
        let half = |chunk: __m256i| {
            let high = _mm256_and_si256(_mm256_srli_epi16::<4>(chunk), nibble);
            let taken = _mm256_and_si256(
                _mm256_shuffle_epi8(nibbles, _mm256_and_si256(chunk, nibble)),
                _mm256_shuffle_epi8(highs, high),
            );
            let none = _mm256_movemask_epi8(_mm256_cmpeq_epi8(taken, _mm256_setzero_si256()));
            u64::from(!none.cast_unsigned())
        };
        first_run_by(
            |bytes| match bytes.first_chunk::<BLOCK>() {
                Some(block) => {
                    let (first, second) = block.split_at(STEP_256);
                    match (first.first_chunk(), second.first_chunk()) {
                        (Some(first), Some(second)) => {
                            half(load_256(first)) | half(load_256(second)) << STEP_256
                        }
                        _ => 0,
                    }
                }
                None => set.mask(bytes),
            },
            bytes,
            from,
            to,
        )
    }

    #[target_feature(enable = "avx2")]
    pub fn first_pair(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
        let all = |byte: u8| _mm256_set1_epi8(byte.cast_signed());
        let (percent, backslash, two, seven, x, u) =
            (all(b'%'), all(b'\\'), all(b'2'), all(b'7'), all(b'x'), all(b'u'));
        let mut at = from;
        while at + STEP_256 <= to {
            let (Some(first), Some(second)) = (bytes[at..].first_chunk(), bytes[at + 1..].first_chunk())
            else {
                break;
            };
            let (first, second) = (load_256(first), load_256(second));
            let digit = _mm256_cmpeq_epi8(_mm256_min_epu8(_mm256_max_epu8(second, two), seven), second);
            let letter = _mm256_or_si256(_mm256_cmpeq_epi8(second, x), _mm256_cmpeq_epi8(second, u));
            let found = _mm256_or_si256(
                _mm256_and_si256(_mm256_cmpeq_epi8(first, percent), digit),
                _mm256_and_si256(_mm256_cmpeq_epi8(first, backslash), letter),
            );
            let mask = _mm256_movemask_epi8(found).cast_unsigned();
            if mask != 0 {
                return Some(at + mask.trailing_zeros() as usize);
            }
            at += STEP_256;
        }
        first_pair_by_one(bytes, at, to)
    }

    /// Tables by nibble: a byte is taken if the tables of both of its nibbles take it.
    pub struct Nibbles {
        /// By place in the window; by group of sets; by nibble (low, high).
        tables: [[[[u8; STEP_256]; 2]; GROUPS]; 4],
    }

    impl Nibbles {
        pub fn new(classes: &Classes) -> Self {
            let mut tables = [[[[0; STEP_256]; 2]; GROUPS]; 4];
            for (place, taken) in classes.bytes.iter().enumerate() {
                for (byte, sets) in taken.iter().enumerate() {
                    for (group, sets) in sets.to_le_bytes().into_iter().enumerate() {
                        // `pshufb` looks up within each half of the vector: both hold the table.
                        for lane in [0, 16] {
                            tables[place][group][0][lane + (byte & 15)] |= sets;
                            tables[place][group][1][lane + (byte >> 4)] |= sets;
                        }
                    }
                }
            }
            Self { tables }
        }

        /// Looks at full steps, and says where the rest begins.
        #[target_feature(enable = "avx2")]
        pub fn find(&self, bytes: &[u8], from: usize, to: usize, places: &mut Vec<usize>) -> usize {
            let nibble = _mm256_set1_epi8(15);
            let table = |place: usize, group: usize, part: usize| load_256(&self.tables[place][group][part]);
            let tables: [[[__m256i; 2]; GROUPS]; 4] = std::array::from_fn(|place| {
                std::array::from_fn(|group| std::array::from_fn(|part| table(place, group, part)))
            });
            let mut at = from;
            while at + STEP_256 <= to && at + STEP_256 + 3 <= bytes.len() {
                let mut sets = [_mm256_set1_epi8(-1); GROUPS];
                for (place, tables) in tables.iter().enumerate() {
                    let Some(chunk) = bytes[at + place..].first_chunk() else { return at };
                    let chunk = load_256(chunk);
                    let low = _mm256_and_si256(chunk, nibble);
                    let high = _mm256_and_si256(_mm256_srli_epi16::<4>(chunk), nibble);
                    for (sets, [of_low, of_high]) in sets.iter_mut().zip(tables) {
                        *sets = _mm256_and_si256(*sets, _mm256_shuffle_epi8(*of_low, low));
                        *sets = _mm256_and_si256(*sets, _mm256_shuffle_epi8(*of_high, high));
                    }
                }
                let any =
                    sets.into_iter().fold(_mm256_setzero_si256(), |any, sets| _mm256_or_si256(any, sets));
                let none = _mm256_movemask_epi8(_mm256_cmpeq_epi8(any, _mm256_setzero_si256()));
                push(u64::from(!none.cast_unsigned()), at, places);
                at += STEP_256;
            }
            at
        }
    }

    /// Tables by the low seven bits of a byte.
    pub struct Tables {
        /// By place in the window; by group of sets; by half of the table.
        tables: [[[[u8; STEP_512]; 2]; GROUPS]; 4],
    }

    impl Tables {
        pub fn new(classes: &Classes) -> Self {
            let mut tables = [[[[0; STEP_512]; 2]; GROUPS]; 4];
            for (place, taken) in classes.bytes.iter().enumerate() {
                for (byte, sets) in taken.iter().enumerate() {
                    let index = byte & 0x7F;
                    for (group, sets) in sets.to_le_bytes().into_iter().enumerate() {
                        tables[place][group][index / STEP_512][index % STEP_512] |= sets;
                    }
                }
            }
            Self { tables }
        }

        /// Looks at full steps, and says where the rest begins.
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
        pub fn find(&self, bytes: &[u8], from: usize, to: usize, places: &mut Vec<usize>) -> usize {
            let table = |place: usize, group: usize, part: usize| load_512(&self.tables[place][group][part]);
            let tables: [[[__m512i; 2]; GROUPS]; 4] = std::array::from_fn(|place| {
                std::array::from_fn(|group| std::array::from_fn(|part| table(place, group, part)))
            });
            let mut at = from;
            while at + STEP_512 <= to && at + STEP_512 + 3 <= bytes.len() {
                let mut sets = [_mm512_set1_epi8(-1); GROUPS];
                for (place, tables) in tables.iter().enumerate() {
                    let Some(chunk) = bytes[at + place..].first_chunk() else { return at };
                    let chunk = load_512(chunk);
                    for (sets, [first, second]) in sets.iter_mut().zip(tables) {
                        *sets = _mm512_and_si512(*sets, _mm512_permutex2var_epi8(*first, chunk, *second));
                    }
                }
                let any =
                    sets.into_iter().fold(_mm512_setzero_si512(), |any, sets| _mm512_or_si512(any, sets));
                push(_mm512_test_epi8_mask(any, any), at, places);
                at += STEP_512;
            }
            at
        }
    }

    #[inline]
    fn push(mut mask: u64, at: usize, places: &mut Vec<usize>) {
        while mask != 0 {
            places.push(at + mask.trailing_zeros() as usize);
            mask &= mask - 1;
        }
    }
}

#[cfg(test)]
mod tests;
