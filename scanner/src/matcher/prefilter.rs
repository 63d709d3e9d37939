//! The first pass over every byte: where a string stands of which every match of some rule contains one.
//!
//! Of each string four bytes in a row are looked for ([`strings`] says which). [`simd`](super::simd) finds the places at
//! which such a window may stand, and a small hash table and then the string itself confirm them.
//!
//! Replaceable: whatever finds the same occurrences in the same order serves. [`Prefilter::find`] is the whole
//! of what the matcher knows of it.

use std::collections::HashMap;
use std::ops::Range;

use crate::rules::RuleSet;
pub use crate::rules::strings::Entry;
use crate::rules::strings::{self, WINDOW, is_word};

use super::simd::{Classes, Scanner};

/// A string of a rule stands here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Candidate {
    /// In the haystack given to [`Prefilter::find`].
    pub at: usize,
    /// Which string.
    pub literal: u32,
}

/// The buffers of one search.
#[derive(Default)]
pub struct Found {
    places: Vec<usize>,
    /// By place.
    pub candidates: Vec<Candidate>,
    /// How many places were looked at.
    pub places_seen: u64,
}

/// Finds the strings of all rules.
pub struct Prefilter {
    entries: Vec<Entry>,
    scanner: Scanner,
    /// By a longer hash, one bit each: whether there is such a window.
    marks: Vec<u64>,
    /// By the first two bytes, one bit each: whether there is such a shorter window.
    shorts: Vec<u64>,
    /// By hash: one more than the first group with this hash, or zero.
    heads: Vec<u32>,
    groups: Vec<Group>,
    members: Vec<Member>,
    /// For groups of many: which members may stand where.
    beside: Vec<Beside>,
    /// The lengths of windows below four bytes that there are: strings of two and three bytes.
    lengths: Vec<usize>,
    /// How far into its string a window may begin.
    offset_max: usize,
}

/// Windows with the same bytes, but for case; at most [`GROUP_MAX`].
struct Group {
    length: usize,
    key: u32,
    /// One more than the next group with this hash, or zero.
    next: u32,
    members: Range<usize>,
    /// Where it has its own in `beside`, if it is worth it.
    beside: Option<usize>,
}

/// The bytes beside a window, by their low five bits: one bit for each member that may stand there.
struct Beside {
    before: [u32; 32],
    after: [u32; 32],
}

impl Beside {
    fn new() -> Self {
        Self { before: [0; 32], after: [0; 32] }
    }

    /// Notes what a member has beside its window.
    fn add(&mut self, place: usize, entry: &Entry, offset: usize) {
        let after = offset + WINDOW.min(entry.bytes.len());
        for low in 0..32_u8 {
            let same = |byte: &u8| byte & 31 == low;
            let may_follow = match (entry.bytes.get(after), entry.shape.get(after)) {
                (Some(byte), _) => same(byte),
                (None, Some(shape)) => (0..8).any(|high| shape.has(high << 5 | low)),
                (None, None) => true,
            };
            let may_precede = offset.checked_sub(1).and_then(|at| entry.bytes.get(at)).is_none_or(same);
            self.before[usize::from(low)] |= u32::from(may_precede) << place;
            self.after[usize::from(low)] |= u32::from(may_follow) << place;
        }
    }

    /// The members that may stand at a place, one bit each.
    #[inline(always)]
    fn members(&self, bytes: &[u8], place: usize) -> u32 {
        let of = |table: &[u32; 32], at: Option<usize>| {
            at.and_then(|at| bytes.get(at)).map_or(u32::MAX, |byte| table[usize::from(byte & 31)])
        };
        of(&self.before, place.checked_sub(1)) & of(&self.after, place.checked_add(WINDOW))
    }
}

/// A window as part of its string.
struct Member {
    literal: u32,
    offset: usize,
    /// Its string's first eight bytes without regard to case, as far as there are so many.
    start: u64,
    mask: u64,
}

/// Eight bytes without regard to case, and to some other differences.
const FOLD: u64 = 0x2020_2020_2020_2020;

impl Member {
    fn new(literal: u32, offset: usize, bytes: &[u8]) -> Self {
        let (mut start, mut mask) = ([0; 8], [0; 8]);
        for (place, byte) in bytes.iter().take(8).enumerate() {
            (start[place], mask[place]) = (*byte, 0xFF);
        }
        let mask = u64::from_le_bytes(mask);
        Self { literal, offset, start: (u64::from_le_bytes(start) | FOLD) & mask, mask }
    }

    /// Whether its string may begin here; there may be fewer bytes at the end.
    #[inline(always)]
    fn may_start(&self, bytes: &[u8], at: usize) -> bool {
        let eight = bytes.get(at..).and_then(<[u8]>::first_chunk);
        eight.is_none_or(|eight| (u64::from_le_bytes(*eight) | FOLD) & self.mask == self.start)
    }
}

/// Entries of the hash table; its bits come from the top of a 32-bit product.
const HEADS_BITS: u32 = 13;
/// Bits of the table that is asked first, in 8 KB: most places that the sets let through end here.
const MARKS_BITS: u32 = 16;
/// Members of a group: one bit each.
const GROUP_MAX: usize = 32;
/// From so many members on the bytes beside a window are looked at first.
const BESIDE_MIN: usize = 3;
/// What is scanned before its places are confirmed: they and the bytes stay in the first-level cache.
const BLOCK: usize = 16 * 1024;

/// A window's bytes without regard to case, and to some other differences that cost a comparison at most.
fn key(four: u32, length: usize) -> u32 {
    (four | 0x2020_2020) & u32::MAX >> (8 * (WINDOW - length))
}

fn hash(key: u32, length: usize) -> u32 {
    (key ^ length as u32).wrapping_mul(0x9E37_79B1)
}

fn head(hash: u32) -> usize {
    (hash >> (32 - HEADS_BITS)) as usize
}

/// The word of the marks, and the bit in it.
fn mark(hash: u32) -> (usize, u64) {
    let mark = hash >> (32 - MARKS_BITS);
    ((mark >> 6) as usize, 1 << (mark & 63))
}

/// The word of the shorts, and the bit in it, for the two lowest bytes.
fn short(key: u32) -> (usize, u64) {
    ((key as u16 >> 6) as usize, 1 << (key & 63))
}

fn four(bytes: &[u8]) -> u32 {
    let mut four = [0; WINDOW];
    let length = bytes.len().min(WINDOW);
    four[..length].copy_from_slice(&bytes[..length]);
    u32::from_le_bytes(four)
}

/// The four bytes at a place; what lies behind the end counts as zero.
#[inline(always)]
fn window_at(bytes: &[u8], place: usize) -> u32 {
    match bytes.get(place..).and_then(<[u8]>::first_chunk) {
        Some(window) => u32::from_le_bytes(*window),
        None => four(bytes.get(place..).unwrap_or_default()),
    }
}

impl Prefilter {
    /// For the strings of a set of rules.
    pub fn new(rules: &RuleSet) -> Self {
        let entries = strings::entries(rules.iter().map(|(_, rule)| &rule.anchors));
        let deal = rules.deal().unwrap_or_else(|| strings::deal(&entries));
        let mut windows: HashMap<(usize, u32), Vec<Member>> = HashMap::new();
        let mut offset_max = 0;
        for (literal, (entry, offset)) in entries.iter().zip(&deal.offsets).enumerate() {
            let (length, offset) = (entry.bytes.len().min(WINDOW), usize::from(*offset));
            offset_max = offset_max.max(offset);
            let key = key(four(&entry.bytes[offset..]), length);
            windows.entry((length, key)).or_default().push(Member::new(literal as u32, offset, &entry.bytes));
        }
        let mut filter = Self {
            entries,
            scanner: Scanner::new(Classes::of(&deal.classes)),
            marks: vec![0; 1 << (MARKS_BITS - 6)],
            shorts: vec![0; 1 << (16 - 6)],
            heads: vec![0; 1 << HEADS_BITS],
            groups: Vec::with_capacity(windows.len()),
            members: Vec::new(),
            beside: Vec::new(),
            lengths: Vec::new(),
            offset_max,
        };
        let mut windows: Vec<_> = windows.into_iter().collect();
        windows.sort_by_key(|(window, _)| *window);
        for ((length, key), members) in windows {
            if length < WINDOW {
                let (word, bit) = short(key);
                filter.shorts[word] |= bit;
                if !filter.lengths.contains(&length) {
                    filter.lengths.push(length);
                }
            } else {
                let (word, bit) = mark(hash(key, length));
                filter.marks[word] |= bit;
            }
            let mut members = members.into_iter().peekable();
            while members.peek().is_some() {
                filter.add((length, key), members.by_ref().take(GROUP_MAX).collect());
            }
        }
        filter
    }

    fn add(&mut self, (length, key): (usize, u32), members: Vec<Member>) {
        let beside = (length == WINDOW && members.len() >= BESIDE_MIN).then(|| {
            let mut beside = Beside::new();
            for (place, member) in members.iter().enumerate() {
                beside.add(place, &self.entries[member.literal as usize], member.offset);
            }
            self.beside.push(beside);
            self.beside.len() - 1
        });
        let first = self.members.len();
        self.members.extend(members);
        let head = &mut self.heads[head(hash(key, length))];
        self.groups.push(Group { length, key, next: *head, members: first..self.members.len(), beside });
        *head = self.groups.len() as u32;
    }

    /// All strings.
    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The string of a candidate.
    pub fn entry(&self, literal: u32) -> &Entry {
        &self.entries[literal as usize]
    }

    /// All strings that start in `range`, by place. They may end behind it, but not behind `bytes`.
    pub fn find(&self, bytes: &[u8], range: Range<usize>, found: &mut Found) {
        let Found { places, candidates, places_seen } = found;
        candidates.clear();
        *places_seen = 0;
        let last = bytes.len().min(range.end.saturating_add(self.offset_max));
        let mut from = range.start;
        while from < last {
            let to = last.min(from + BLOCK);
            places.clear();
            self.scanner.find(bytes, from, to, places);
            *places_seen += places.len() as u64;
            // Without a branch for each: what the marks know is moved to the front.
            let mut kept = 0;
            for index in 0..places.len() {
                let place = places[index];
                places[kept] = place;
                kept += usize::from(self.is_marked(window_at(bytes, place)));
            }
            for &place in &places[..kept] {
                self.confirm(bytes, place, &range, candidates);
            }
            from = to;
        }
        candidates.sort_unstable();
    }

    /// Whether there may be a window with these bytes, of any length.
    #[inline(always)]
    fn is_marked(&self, four: u32) -> bool {
        let (word, bit) = mark(hash(key(four, WINDOW), WINDOW));
        (self.marks[word] & bit != 0) | self.is_short(four)
    }

    /// Whether there may be a window with these bytes that is shorter than four.
    #[inline(always)]
    fn is_short(&self, four: u32) -> bool {
        let (word, bit) = short(four | 0x2020);
        self.shorts[word] & bit != 0
    }

    fn confirm(&self, bytes: &[u8], place: usize, range: &Range<usize>, candidates: &mut Vec<Candidate>) {
        let four = window_at(bytes, place);
        self.windows(bytes, place, (four, WINDOW), range, candidates);
        if self.is_short(four) {
            for &length in &self.lengths {
                self.windows(bytes, place, (four, length), range, candidates);
            }
        }
    }

    /// Confirms the windows of one length.
    #[inline(always)]
    fn windows(
        &self,
        bytes: &[u8],
        place: usize,
        (four, length): (u32, usize),
        range: &Range<usize>,
        candidates: &mut Vec<Candidate>,
    ) {
        let key = key(four, length);
        let mut next = self.heads[head(hash(key, length))];
        while let Some(group) = next.checked_sub(1).and_then(|index| self.groups.get(index as usize)) {
            next = group.next;
            if group.key != key || group.length != length {
                continue;
            }
            let members = &self.members[group.members.clone()];
            let beside = group.beside.and_then(|index| self.beside.get(index));
            let mut left = beside.map_or(u32::MAX, |beside| beside.members(bytes, place));
            while let Some(member) = members.get(left.trailing_zeros() as usize) {
                left &= left - 1;
                let Some(at) = place.checked_sub(member.offset) else { continue };
                if member.may_start(bytes, at)
                    && range.contains(&at)
                    && self.stands(member.literal, bytes, at)
                {
                    candidates.push(Candidate { at, literal: member.literal });
                }
            }
        }
    }

    #[inline]
    fn stands(&self, literal: u32, bytes: &[u8], at: usize) -> bool {
        let entry = self.entry(literal);
        let text = &bytes[at..];
        let same = text.get(..entry.bytes.len()).is_some_and(|text| match entry.folded {
            true => text.eq_ignore_ascii_case(&entry.bytes),
            false => text == entry.bytes,
        });
        let before = || at.checked_sub(1).and_then(|before| bytes.get(before));
        same && !(entry.word && before().is_some_and(|byte| is_word(*byte)))
            && (entry.bytes.len()..entry.shape.len())
                .all(|place| text.get(place).is_some_and(|byte| entry.shape[place].has(*byte)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Candidate, Found, Prefilter};
    use crate::rules::RuleSet;
    use proptest::prelude::*;

    const RULES: &str = r"
version = 1
[[rule]]
id = 'a'
description = 'x'
regex = 'ghp_[a-z]{4}'
[[rule]]
id = 'b'
description = 'x'
regex = '(?i)(?:key|token|password)=[a-z]{4}'
[[rule]]
id = 'c'
description = 'x'
regex = 's\.[a-z]{4}'
[[rule]]
id = 'd'
description = 'x'
regex = '-----BEGIN (?:RSA|DSA) PRIVATE KEY-----'
";

    proptest! {
        #[test]
        fn it_finds_what_an_automaton_finds(
            pieces in prop::collection::vec(prop_oneof![
                Just("ghp_".to_owned()), Just("kEy".to_owned()), Just("toKen".to_owned()), Just("s.".to_owned()),
                Just("-----BEGIN RSA PRIVATE KEY-----".to_owned()), "[a-z]{0,9}", Just("S.GHP_".to_owned()), Just("aB7_".to_owned()), "\\PC{0,90}",
            ], 0..40),
            cut in any::<prop::sample::Index>(),
        ) {
            let rules = RuleSet::from_text("test", RULES).unwrap();
            let filter = Prefilter::new(&rules);
            let automaton = aho_corasick::AhoCorasick::builder()
                .ascii_case_insensitive(true)
                .build(filter.entries().iter().map(|entry| &entry.bytes))
                .unwrap();
            let text = pieces.concat().into_bytes();
            let mut wanted: Vec<Candidate> = automaton
                .find_overlapping_iter(&text)
                .filter(|found| filter.stands(found.pattern().as_u32(), &text, found.start()))
                .map(|found| Candidate { at: found.start(), literal: found.pattern().as_u32() })
                .collect();
            wanted.sort_unstable();
            let middle = cut.index(text.len() + 1);
            let mut got = Vec::new();
            let mut found = Found::default();
            for range in [0..middle, middle..text.len()] {
                filter.find(&text, range, &mut found);
                got.extend_from_slice(&found.candidates);
            }
            prop_assert_eq!(got, wanted);
        }
    }
}
