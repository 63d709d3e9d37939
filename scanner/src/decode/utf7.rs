//! UTF-7 (RFC 2152): `+ACI-` for a quote, `+AD0AIg-` for two letters.

use super::rewrite::{Step, window};
use super::run::Progress;
use super::{Part, Piece, base64};

/// Finds and decodes. The trigger is a shifted sequence that holds printable ASCII alone.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    let first = |bytes: &[u8], from: usize, to: usize| {
        let end = bytes.len().min(to + 1);
        // The high byte of ASCII is zero: its six bits are the letter A.
        memchr::memmem::find_iter(&bytes[from..end], b"+A")
            .map(|at| from + at)
            .find(|&at| at < to && shifted(&bytes[at..]).is_some())
    };
    progress.walk(part, first, |stretch| {
        window("utf-7", part, stretch, buffer, found, |text| match text {
            [b'\n', ..] => Step::End,
            [b'+', b'-', ..] => Step::byte(b'+', 2),
            [b'+', ..] => match shifted(text) {
                Some((bytes, count, length)) => Step::Written { bytes, count, length },
                None => Step::Plain,
            },
            _ => Step::Plain,
        })
    });
}

/// Up to three letters of a shifted sequence at the start, how many, and the sequence's length.
fn shifted(text: &[u8]) -> Option<([u8; 3], usize, usize)> {
    let end = text.iter().take(10).position(|byte| *byte == b'-')?;
    let letters = text.get(1..end).filter(|letters| matches!(letters.len(), 3 | 6 | 8))?;
    let mut units = Vec::with_capacity(6);
    base64::append(letters, &mut units);
    let mut bytes = [0; 3];
    let mut count = 0;
    for unit in units.chunks_exact(2) {
        let letter = *unit.get(1)?;
        if unit.first() != Some(&0) || !(letter.is_ascii_graphic() || letter == b' ') {
            return None;
        }
        *bytes.get_mut(count)? = letter;
        count += 1;
    }
    (count > 0).then_some((bytes, count, end + 1))
}
