//! Strings of a program that are written in pieces: `"sk_" + "live_" +` and the rest on the next line, `"a" & _`, and
//! strings that stand side by side on two lines, as C and Python join them.
//!
//! Only literals are joined: what a variable holds is not known.

use super::rewrite::{Step, window};
use super::run::Progress;
use super::{Part, Piece};

/// White space between two literals, an indented line's included.
const GAP_MAX: usize = 80;

/// Finds and decodes.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    progress.walk(part, first_joint, |stretch| {
        window("joined", part, stretch, buffer, found, |text| match text {
            [b'\n', ..] => Step::End,
            [b'"' | b'\'', ..] => joint(text).map_or(Step::Plain, Step::nothing),
            _ => Step::Plain,
        })
    });
}

/// The first operator between two literals. A plus sign is rare enough to be looked for; other operators are found
/// with it, in the same window.
fn first_joint(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    memchr::memchr2_iter(b'+', b'&', &bytes[from..to]).map(|at| from + at).find_map(|at| {
        let floor = at.saturating_sub(GAP_MAX);
        let gap = bytes[floor..at].iter().rev().take_while(|byte| byte.is_ascii_whitespace()).count();
        let quote = at.checked_sub(gap + 1)?;
        joint(&bytes[quote..]).is_some().then_some(quote.max(from))
    })
}

/// The length of what ends one literal and begins the next, quotes included.
fn joint(text: &[u8]) -> Option<usize> {
    let quote = *text.first().filter(|byte| matches!(byte, b'"' | b'\''))?;
    let space = |from: usize| {
        let rest = text.get(from..)?;
        let gap = rest.iter().take(GAP_MAX).take_while(|byte| byte.is_ascii_whitespace()).count();
        Some((from + gap, rest[..gap].contains(&b'\n')))
    };
    let (at, mut broken) = space(1)?;
    let rest = text.get(at..)?;
    let operator: usize = match rest {
        [b'.', b'.', ..] | [b'<', b'>', ..] | [b'+', b'+', ..] => 2,
        [b'+' | b'.' | b'&' | b'~' | b'\\', ..] => 1,
        _ => 0,
    };
    let (mut at, broken_behind) = space(at + operator)?;
    broken |= broken_behind;
    // Visual Basic goes on behind an underscore.
    if text.get(at) == Some(&b'_') && operator == 1 {
        at = space(at + 1)?.0;
        broken = true;
    }
    // `'+'` is a string of its own.
    let spaced = at > 1 + operator;
    (text.get(at) == Some(&quote) && (operator > 0 && spaced || broken)).then_some(at + 1)
}
