//! UTF-16 without or with a byte order mark: Windows registry exports, PowerShell scripts, string tables.
//!
//! Caveat: letters beyond Latin-1 end a run, so that a secret with such a letter is not seen.

use super::run::{Progress, Stretch, Taken};
use super::{Map, Part, Piece, is_text};

/// The shortest run worth a look, in code units.
const UNITS_MIN: usize = 12;

/// Finds and decodes.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    progress.walk(part, first_run, |stretch| take(part, stretch, buffer, found));
}

/// A letter in the first byte and a zero in the second, as in little-endian text. Big-endian text is the same
/// shifted by one, its first zero aside.
fn is_unit(bytes: &[u8], at: usize) -> bool {
    matches!(bytes.get(at..at + 2), Some([letter, 0]) if is_letter(*letter))
}

/// Latin-1 but for the two bytes of a byte order mark.
fn is_letter(byte: u8) -> bool {
    is_text(byte) || matches!(byte, 0xA0..=0xFD)
}

/// Probes eight bytes in sixteen: the shortest run covers some probe wholly.
fn first_run(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    const LETTERS: u64 = 0x00FF_00FF_00FF_00FF;
    let end = bytes.len().min(to + 2 * UNITS_MIN);
    // Text without zero bytes is passed at the speed of memchr.
    let zero = from + memchr::memchr(0, bytes.get(from..end)?)?;
    let floor = from.max(zero.saturating_sub(1));
    let mut at = floor;
    while let Some(probe) = bytes.get(at..at + 8).and_then(|eight| eight.try_into().ok()) {
        if at >= end {
            return None;
        }
        let probe = u64::from_le_bytes(probe);
        if probe != 0 && (probe & LETTERS == 0 || probe & !LETTERS == 0) {
            let inside = at + usize::from(probe & LETTERS == 0);
            let back = (0..).take_while(|back| {
                inside >= floor + 2 * (back + 1) && is_unit(bytes, inside - 2 * (back + 1))
            });
            let start = inside - 2 * back.count();
            if (0..UNITS_MIN).all(|unit| is_unit(bytes, start + 2 * unit)) {
                return (start < to).then_some(start);
            }
        }
        at += 16;
    }
    None
}

fn take(part: &Part<'_>, stretch: Stretch, buffer: &mut Vec<u8>, found: &mut dyn FnMut(&Piece<'_>)) -> Taken {
    let place = part.base + stretch.start as u64;
    // In big-endian text the letter is the second byte of its unit; units are counted from an even place.
    let big = !place.is_multiple_of(2) && stretch.start > 0 && part.bytes[stretch.start - 1] == 0;
    let (label, start) = if big { ("utf-16be", stretch.start - 1) } else { ("utf-16le", stretch.start) };
    let letter = |unit: &[u8]| match (big, unit) {
        (false, [letter, 0]) | (true, [0, letter]) if is_letter(*letter) => Some(*letter),
        _ => None,
    };
    buffer.clear();
    buffer.extend(part.bytes[start..stretch.limit].chunks_exact(2).map_while(letter));
    let end = start + 2 * buffer.len();
    let map = Map::Scaled { start: part.base + start as u64, from: 2, to: 1 };
    found(&Piece { label, bytes: buffer, map });
    Taken::plain(stretch, end, 2)
}
