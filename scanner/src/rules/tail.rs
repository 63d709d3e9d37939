//! What must stand behind a rule's string, said loosely.
//!
//! The relaxed form of an expression matches everything that the expression matches, and more: counts are forgotten
//! and places between bytes (`\b`, `$`) hold everywhere. Its automaton is small whatever the counts, which is what a
//! guard needs. Shared with the build script.

use regex_syntax::hir::{Class, Hir, HirKind, Repetition};

/// How many places [`shape`] tells of.
pub const SHAPE: usize = 8;
/// Rounds that are counted for what repeats more than a class: its states multiply.
const ROUNDS_COUNTED_INSIDE: u32 = 2;
/// A bounded repetition with no more rounds keeps its bound.
const ROUNDS_BOUNDED: u32 = 1;

/// The relaxed form. `counted` rounds of a class are counted before it may go on for ever: many for the format of a
/// token, few behind a word, where the states of many rules multiply.
pub fn relaxed(hir: &Hir, counted: u32) -> Hir {
    let relaxed = |hir: &Hir| relaxed(hir, counted);
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => Hir::empty(),
        HirKind::Literal(_) | HirKind::Class(_) => hir.clone(),
        HirKind::Capture(capture) => relaxed(&capture.sub),
        HirKind::Repetition(repetition) => {
            let plain = matches!(repetition.sub.kind(), HirKind::Class(_) | HirKind::Literal(_));
            let counted = if plain { counted } else { ROUNDS_COUNTED_INSIDE };
            Hir::repetition(Repetition {
                min: repetition.min.min(counted),
                max: repetition.max.filter(|max| *max <= ROUNDS_BOUNDED),
                greedy: true,
                sub: Box::new(relaxed(&repetition.sub)),
            })
        }
        HirKind::Concat(children) => Hir::concat(children.iter().map(relaxed).collect()),
        HirKind::Alternation(branches) => Hir::alternation(branches.iter().map(relaxed).collect()),
    }
}

/// The bytes that may stand at each of the first places of a match, as ranges; nothing for places behind which the
/// expression may end.
pub fn shape(hir: &Hir) -> Vec<Vec<(u8, u8)>> {
    let mut bytes = [[false; 256]; SHAPE];
    let ends = place(hir, 1, &mut bytes);
    // Where the expression may end, anything may follow.
    let known = (0..SHAPE).find(|place| ends >> place & 1 == 1).unwrap_or(SHAPE);
    bytes[..known].iter().map(ranges).collect()
}

/// Notes the bytes of an expression that starts at each of the places of a set, and gives the places where it ends.
fn place(hir: &Hir, starts: u32, bytes: &mut [[bool; 256]; SHAPE]) -> u32 {
    const ALL: u32 = (1 << SHAPE) - 1;
    if starts & ALL == 0 {
        return 0;
    }
    let mut add = |starts: u32, byte: u8| {
        for (place, bytes) in bytes.iter_mut().enumerate() {
            bytes[usize::from(byte)] |= starts >> place & 1 == 1;
        }
    };
    match hir.kind() {
        HirKind::Empty | HirKind::Look(_) => starts,
        HirKind::Literal(literal) => literal.0.iter().fold(starts & ALL, |starts, byte| {
            add(starts, *byte);
            starts << 1 & ALL
        }),
        HirKind::Class(class) => {
            let mut longest = 1;
            match class {
                Class::Bytes(class) => {
                    class
                        .iter()
                        .flat_map(|range| range.start()..=range.end())
                        .for_each(|byte| add(starts, byte));
                }
                Class::Unicode(class) => {
                    for range in class.iter() {
                        let last = u32::from(range.end()).min(0x7F) as u8;
                        (0..=last)
                            .filter(|byte| u32::from(*byte) >= u32::from(range.start()))
                            .for_each(|byte| add(starts, byte));
                        longest = longest.max(range.end().len_utf8());
                    }
                }
            }
            let mut ends = starts << 1;
            // Letters beyond ASCII take more bytes, any of the upper half.
            for length in 1..longest {
                let inside = ends;
                (0x80..=0xFF).for_each(|byte| add(starts | inside, byte));
                ends |= starts << (length + 1);
            }
            ends & ALL
        }
        HirKind::Capture(capture) => place(&capture.sub, starts, bytes),
        HirKind::Repetition(repetition) => {
            let mut ends = if repetition.min == 0 { starts } else { 0 };
            let mut at = starts;
            // Each round of what is not empty moves on by a place at least.
            for round in 1..=repetition.max.unwrap_or(u32::MAX).min(SHAPE as u32 + 1) {
                at = place(&repetition.sub, at, bytes);
                if round >= repetition.min {
                    ends |= at;
                }
            }
            ends & ALL
        }
        HirKind::Concat(children) => {
            children.iter().fold(starts, |starts, child| place(child, starts, bytes))
        }
        HirKind::Alternation(branches) => {
            branches.iter().fold(0, |ends, branch| ends | place(branch, starts, bytes))
        }
    }
}

fn ranges(bytes: &[bool; 256]) -> Vec<(u8, u8)> {
    let mut ranges: Vec<(u8, u8)> = Vec::new();
    for byte in (0..=255_u8).filter(|byte| bytes[usize::from(*byte)]) {
        match ranges.last_mut() {
            Some((_, last)) if *last + 1 == byte => *last = byte,
            _ => ranges.push((byte, byte)),
        }
    }
    ranges
}

// The build script includes this module from elsewhere, where the default place of its tests is another one.
#[cfg(test)]
#[path = "tail/tests.rs"]
mod tests;
