//! The strings of a set of rules, and which four bytes of each are looked for.
//!
//! Of each string a window of four bytes is chosen: rare in ordinary text, and shared with other strings where that
//! costs little, because each further window makes the vector search let more places through. The windows are then
//! dealt into the sets of that search such that what the sets let through together is least. For the rules that the
//! program carries the build script does this once.
//!
//! Source of the figures: pairs of bytes counted in Go, JavaScript, programs and documentation (`pairs.txt`: by class
//! of byte, one character for minus twice the binary logarithm of the share).

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::load::Anchors;

/// Bytes of a window.
pub const WINDOW: usize = 4;
/// Sets of windows.
pub const SETS: usize = 32;
/// What a further window costs, as the chance of a place that it lets through.
const WINDOW_COST: f32 = 1e-4;

/// What a further string of a window costs at each of its places, in such places.
const MEMBER_COST: f32 = 0.2;

const PAIRS: &str = include_str!("pairs.txt");
/// Bytes that are a class of their own, in the order of the table; then come digits, zero, other control characters
/// and the upper half.
const SINGLE: &[u8] =
    b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ \n\t\r.,;:=()[]{}<>\"'`-_/\\*&|+!?@#$%^~";

/// A string, with the rules whose matches contain it.
#[derive(Debug)]
pub struct Entry {
    /// Its bytes, lower case where `folded`.
    pub bytes: Vec<u8>,
    /// Any case matches.
    pub folded: bool,
    /// The rules, by number.
    pub rules: Vec<u32>,
    /// No letter, digit or underscore stands before it.
    pub word: bool,
    /// The bytes that stand there, place by place from its first byte on, as far as they are known.
    pub shape: Vec<Bytes>,
}

/// A set of bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Bytes([u64; 4]);

impl Bytes {
    const ALL: Self = Self([u64::MAX; 4]);

    fn add(&mut self, first: u8, last: u8) {
        for (word, start) in self.0.iter_mut().zip((0..256_usize).step_by(64)) {
            let (low, high) = (usize::from(first).max(start), usize::from(last).min(start + 63));
            if low <= high {
                *word |= u64::MAX >> (63 - (high - low)) << (low - start);
            }
        }
    }

    /// Whether a byte is in it.
    pub fn has(&self, byte: u8) -> bool {
        self.0[usize::from(byte >> 6)] >> (byte & 63) & 1 == 1
    }

    fn union(&self, other: &Self) -> Self {
        Self(std::array::from_fn(|index| self.0[index] | other.0[index]))
    }

    fn iter(&self) -> impl Iterator<Item = u8> {
        (0..=255).filter(|byte| self.has(*byte))
    }
}

/// The bytes that a window takes at each of its places.
pub type Taken = [Bytes; WINDOW];

/// Which window of each string is looked for, and in which set.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Deal {
    /// By string: where its window begins in it.
    pub offsets: Vec<u8>,
    /// By place in the window and by byte: one bit for each set that takes it.
    pub classes: Vec<u32>,
}

/// The strings of rules, in the order of the rules.
pub fn entries<'a>(anchors: impl Iterator<Item = &'a Anchors>) -> Vec<Entry> {
    let mut entries: Vec<Entry> = Vec::new();
    let mut known = std::collections::HashMap::new();
    for (index, anchors) in anchors.enumerate() {
        for (text, folded) in &anchors.literals {
            // Loading made each byte one character.
            let bytes: Vec<u8> = text.chars().filter_map(|letter| u8::try_from(letter).ok()).collect();
            // A string that begins with no letter is no word.
            let word = anchors.word && bytes.first().is_some_and(|byte| is_word(*byte));
            let at = *known.entry((bytes.clone(), *folded)).or_insert_with(|| {
                let shape = vec![Bytes::default(); anchors.shape.len()];
                entries.push(Entry { bytes, folded: *folded, rules: Vec::new(), word, shape });
                entries.len() - 1
            });
            let entry = &mut entries[at];
            entry.rules.push(index as u32);
            entry.word &= word;
            entry.shape.truncate(anchors.shape.len());
            for (bytes, ranges) in entry.shape.iter_mut().zip(&anchors.shape) {
                ranges.iter().for_each(|(first, last)| bytes.add(*first, *last));
            }
        }
    }
    entries
}

/// Whether a byte belongs to a word, as `\b` has it.
pub fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

impl Entry {
    /// The bytes of the window that begins at an offset.
    pub fn taken(&self, offset: usize) -> Taken {
        std::array::from_fn(|place| match self.bytes.get(offset + place) {
            None => self.shape.get(offset + place).copied().unwrap_or(Bytes::ALL),
            Some(byte) => {
                let mut taken = Bytes::default();
                taken.add(*byte, *byte);
                if self.folded && byte.is_ascii_alphabetic() {
                    let other = byte ^ 0x20;
                    taken.add(other, other);
                }
                taken
            }
        })
    }
}

/// Chooses windows and deals them.
pub fn deal(entries: &[Entry]) -> Deal {
    let text = Text::new();
    let windows = choose(entries, &text);
    let mut offsets = vec![0; entries.len()];
    let mut dealt: Vec<(f32, Taken)> = Vec::new();
    for (taken, (chance, members)) in windows {
        dealt.push((chance, taken));
        for (entry, offset) in members {
            offsets[entry] = offset;
        }
    }
    // The commonest first: the rare ones then find sets in which they change little.
    dealt.sort_by(|left, right| right.0.total_cmp(&left.0));
    let mut sets: Vec<(f32, Taken)> = Vec::new();
    for (chance, taken) in dealt {
        let with = |set: &Taken| -> Taken { std::array::from_fn(|place| set[place].union(&taken[place])) };
        let added = sets.iter().map(|(before, set)| text.chance(&with(set)) - before).enumerate();
        let best = added.min_by(|left, right| left.1.total_cmp(&right.1));
        match best {
            Some((set, added)) if sets.len() == SETS || added < chance => {
                let union = with(&sets[set].1);
                sets[set] = (sets[set].0 + added, union);
            }
            _ => sets.push((chance, taken)),
        }
    }
    let mut classes = vec![0; WINDOW * 256];
    for (set, (_, taken)) in sets.iter().enumerate() {
        for (place, bytes) in taken.iter().enumerate() {
            bytes.iter().for_each(|byte| classes[place * 256 + usize::from(byte)] |= 1 << set);
        }
    }
    Deal { offsets, classes }
}

/// Windows such that each string has one: their chance, and the strings with the offsets.
fn choose(entries: &[Entry], text: &Text) -> BTreeMap<Taken, (f32, Vec<(usize, u8)>)> {
    let mut all: BTreeMap<Taken, (f32, Vec<(usize, u8)>)> = BTreeMap::new();
    for (index, entry) in entries.iter().enumerate() {
        let offsets = (entry.bytes.len() + 1).saturating_sub(WINDOW).max(1);
        for offset in 0..offsets {
            let taken = entry.taken(offset);
            let window = all.entry(taken).or_insert_with(|| (text.chance(&taken), Vec::new()));
            if window.1.last().is_none_or(|(last, _)| *last != index) {
                window.1.push((index, offset as u8));
            }
        }
    }
    // The one that costs least for each string that still has none, again and again. What it costs only grows as
    // strings find windows, so that the order is kept in a queue whose first is looked at again.
    let share = |chance: f32, members: usize| {
        let looks = 1.0 + members as f32 * MEMBER_COST;
        ((chance * looks + WINDOW_COST) / members as f32 * 1e12) as u64
    };
    let mut queue: BTreeSet<(u64, Taken)> =
        all.iter().map(|(taken, (chance, members))| (share(*chance, members.len()), *taken)).collect();
    let mut has = vec![false; entries.len()];
    let mut chosen = BTreeMap::new();
    while let Some((cost, taken)) = queue.pop_first() {
        let Some((chance, members)) = all.get(&taken) else { continue };
        let members: Vec<(usize, u8)> = members.iter().filter(|(entry, _)| !has[*entry]).copied().collect();
        if members.is_empty() {
            continue;
        }
        let now = share(*chance, members.len());
        if now > cost {
            queue.insert((now, taken));
            continue;
        }
        members.iter().for_each(|(entry, _)| has[*entry] = true);
        chosen.insert(taken, (*chance, members));
    }
    chosen
}

/// What ordinary text is made of.
struct Text {
    /// By byte: its share.
    first: Vec<f32>,
    /// By byte and the byte after it: the share of that among what follows.
    next: Vec<f32>,
}

impl Text {
    fn new() -> Self {
        let class = |byte: u8| match byte {
            b'0'..=b'9' => SINGLE.len(),
            0 => SINGLE.len() + 1,
            0x80.. => SINGLE.len() + 3,
            _ => SINGLE.iter().position(|single| *single == byte).unwrap_or(SINGLE.len() + 2),
        };
        let classes: Vec<usize> = (0..=255).map(class).collect();
        let mut sizes = vec![0_u32; SINGLE.len() + 4];
        classes.iter().for_each(|class| sizes[*class] += 1);
        let table: Vec<&[u8]> = PAIRS.lines().map(str::as_bytes).collect();
        let share = |one: usize, two: usize| {
            let letter =
                table.get(classes[one]).and_then(|row| row.get(classes[two])).copied().unwrap_or(b'z');
            // One character of the scale would need an escape: `z` stands for it.
            let level = if letter == b'z' { b'\\' - b'0' } else { letter.wrapping_sub(b'0') };
            (-f32::from(level) / 2.0).exp2() / (sizes[classes[one]] * sizes[classes[two]]) as f32
        };
        let mut next: Vec<f32> = (0..256 * 256).map(|pair| share(pair / 256, pair % 256)).collect();
        let first: Vec<f32> = next.chunks(256).map(|row| row.iter().sum()).collect();
        for (row, first) in next.chunks_mut(256).zip(&first) {
            row.iter_mut().for_each(|share| *share /= first);
        }
        Self { first, next }
    }

    /// The share of places at which a window's sets take all four bytes.
    fn chance(&self, taken: &Taken) -> f32 {
        let mut here: Vec<(u8, f32)> =
            taken[0].iter().map(|byte| (byte, self.first[usize::from(byte)])).collect();
        for bytes in &taken[1..] {
            let after = |byte: u8| {
                here.iter()
                    .map(|(before, share)| share * self.next[usize::from(*before) * 256 + usize::from(byte)])
                    .sum()
            };
            here = bytes.iter().map(|byte| (byte, after(byte))).collect();
        }
        here.iter().map(|(_, share)| share).sum()
    }
}

// The build script includes this module from elsewhere, where the default place of its tests is another one.
#[cfg(test)]
#[path = "strings/tests.rs"]
mod tests;
