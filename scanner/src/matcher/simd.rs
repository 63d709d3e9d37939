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

/// Sixteen sets of four-byte windows, as the bytes that each set takes at each place: one bit a set.
#[derive(Clone)]
pub struct Classes {
    bytes: Box<[[u16; 256]; 4]>,
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
    /// Lets a set take a byte at a place.
    pub fn add(&mut self, set: usize, place: usize, byte: u8) {
        self.bytes[place][usize::from(byte)] |= 1 << set;
    }

    /// The sets that take the four bytes.
    fn sets(&self, four: [u8; 4]) -> u16 {
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

#[cfg(target_arch = "x86_64")]
mod x86 {
    use std::arch::x86_64::{
        __m256i, __m512i, _mm256_and_si256, _mm256_cmpeq_epi8, _mm256_loadu_si256, _mm256_movemask_epi8,
        _mm256_or_si256, _mm256_set1_epi8, _mm256_setzero_si256, _mm256_shuffle_epi8, _mm256_srli_epi16,
        _mm512_and_si512, _mm512_loadu_si512, _mm512_or_si512, _mm512_permutex2var_epi8, _mm512_set1_epi8,
        _mm512_test_epi8_mask,
    };

    use super::Classes;

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

    /// Tables by nibble: a byte is taken if the tables of both of its nibbles take it.
    pub struct Nibbles {
        /// By place in the window; by half of the sets; by nibble (low, high).
        tables: [[[[u8; STEP_256]; 2]; 2]; 4],
    }

    impl Nibbles {
        pub fn new(classes: &Classes) -> Self {
            let mut tables = [[[[0; STEP_256]; 2]; 2]; 4];
            for (place, taken) in classes.bytes.iter().enumerate() {
                for (byte, sets) in taken.iter().enumerate() {
                    for (half, sets) in sets.to_le_bytes().into_iter().enumerate() {
                        // `pshufb` looks up within each half of the vector: both hold the table.
                        for lane in [0, 16] {
                            tables[place][half][0][lane + (byte & 15)] |= sets;
                            tables[place][half][1][lane + (byte >> 4)] |= sets;
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
            let table = |place: usize, half: usize, part: usize| load_256(&self.tables[place][half][part]);
            let tables: [[[__m256i; 2]; 2]; 4] = std::array::from_fn(|place| {
                std::array::from_fn(|half| std::array::from_fn(|part| table(place, half, part)))
            });
            let mut at = from;
            while at + STEP_256 <= to && at + STEP_256 + 3 <= bytes.len() {
                let mut sets = [_mm256_set1_epi8(-1); 2];
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
                let any = _mm256_or_si256(sets[0], sets[1]);
                let none = _mm256_movemask_epi8(_mm256_cmpeq_epi8(any, _mm256_setzero_si256()));
                push(u64::from(!none.cast_unsigned()), at, places);
                at += STEP_256;
            }
            at
        }
    }

    /// Tables by the low seven bits of a byte.
    pub struct Tables {
        /// By place in the window; by half of the sets; by half of the table.
        tables: [[[[u8; STEP_512]; 2]; 2]; 4],
    }

    impl Tables {
        pub fn new(classes: &Classes) -> Self {
            let mut tables = [[[[0; STEP_512]; 2]; 2]; 4];
            for (place, taken) in classes.bytes.iter().enumerate() {
                for (byte, sets) in taken.iter().enumerate() {
                    let index = byte & 0x7F;
                    for (half, sets) in sets.to_le_bytes().into_iter().enumerate() {
                        tables[place][half][index / STEP_512][index % STEP_512] |= sets;
                    }
                }
            }
            Self { tables }
        }

        /// Looks at full steps, and says where the rest begins.
        #[target_feature(enable = "avx512f,avx512bw,avx512vbmi")]
        pub fn find(&self, bytes: &[u8], from: usize, to: usize, places: &mut Vec<usize>) -> usize {
            let table = |place: usize, half: usize, part: usize| load_512(&self.tables[place][half][part]);
            let tables: [[[__m512i; 2]; 2]; 4] = std::array::from_fn(|place| {
                std::array::from_fn(|half| std::array::from_fn(|part| table(place, half, part)))
            });
            let mut at = from;
            while at + STEP_512 <= to && at + STEP_512 + 3 <= bytes.len() {
                let mut sets = [_mm512_set1_epi8(-1); 2];
                for (place, tables) in tables.iter().enumerate() {
                    let Some(chunk) = bytes[at + place..].first_chunk() else { return at };
                    let chunk = load_512(chunk);
                    for (sets, [first, second]) in sets.iter_mut().zip(tables) {
                        *sets = _mm512_and_si512(*sets, _mm512_permutex2var_epi8(*first, chunk, *second));
                    }
                }
                let any = _mm512_or_si512(sets[0], sets[1]);
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
mod tests {
    use super::{Classes, Path, Scanner};
    use proptest::prelude::*;

    /// All paths that this processor has.
    fn scanners(classes: &Classes) -> Vec<Scanner> {
        let mut all = vec![Scanner { classes: classes.clone(), path: Path::Scalar }];
        #[cfg(target_arch = "x86_64")]
        {
            if std::arch::is_x86_feature_detected!("avx2") {
                let path = Path::Avx2(Box::new(super::x86::Nibbles::new(classes)));
                all.push(Scanner { classes: classes.clone(), path });
            }
            if std::arch::is_x86_feature_detected!("avx512vbmi") {
                let path = Path::Avx512(Box::new(super::x86::Tables::new(classes)));
                all.push(Scanner { classes: classes.clone(), path });
            }
        }
        all
    }

    proptest! {
        #[test]
        fn every_path_finds_what_the_scalar_one_finds(
            windows in prop::collection::vec((0_usize..16, prop::array::uniform4(any::<u8>())), 1..60),
            noise in prop::collection::vec(any::<u8>(), 0..400),
            picks in prop::collection::vec(any::<prop::sample::Index>(), 0..20),
            from in 0_usize..70,
        ) {
            let mut classes = Classes::default();
            let mut haystack = noise;
            for (set, window) in &windows {
                for (place, byte) in window.iter().enumerate() {
                    classes.add(*set, place, *byte);
                }
            }
            for pick in picks {
                haystack.extend(pick.get(&windows).1);
            }
            let from = from.min(haystack.len());
            let mut answers = Vec::new();
            for scanner in scanners(&classes) {
                let mut places = Vec::new();
                scanner.find(&haystack, from, haystack.len(), &mut places);
                prop_assert!(places.windows(2).all(|two| two[0] < two[1]));
                answers.push(places);
            }
            for answer in &answers {
                prop_assert!(answers[0].iter().all(|place| answer.binary_search(place).is_ok()));
            }
        }
    }
}
