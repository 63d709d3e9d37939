//! Texts that JSON keeps as lists of lines: the cells and outputs of Jupyter notebooks (nbformat 4, "multi-line
//! strings").

use memchr::memmem;

use super::run::{Progress, Stretch, Taken};
use super::{Map, Part, Piece};

/// How far before its first line break a list is looked for: a line of that length.
const BEFORE: usize = 4 * 1024;
/// White space between two lines of a list.
const INDENT_MAX: usize = 64;

/// Finds and decodes.
pub fn decode(
    progress: &mut Progress,
    part: &Part<'_>,
    buffer: &mut Vec<u8>,
    found: &mut dyn FnMut(&Piece<'_>),
) {
    progress.walk(part, first_list, |stretch| take(part, stretch, buffer, found));
}

/// The first place where one line ends and another begins: `\n", "`.
fn first_list(bytes: &[u8], from: usize, to: usize) -> Option<usize> {
    // The end of a line may stand before the place where the search goes on.
    let end = bytes.len().min(to + 4);
    memmem::find_iter(&bytes[from..end], b"\\n\",")
        .map(|at| from + at)
        .find(|&at| at < to && next_line(&bytes[at + 3..]).is_some())
}

/// How far it is from behind a line's closing quote to the text of the next one.
fn next_line(bytes: &[u8]) -> Option<usize> {
    let rest = bytes.strip_prefix(b",")?;
    let indent = rest.iter().take(INDENT_MAX).take_while(|byte| byte.is_ascii_whitespace()).count();
    (rest.get(indent) == Some(&b'"')).then_some(indent + 2)
}

fn take(part: &Part<'_>, stretch: Stretch, buffer: &mut Vec<u8>, found: &mut dyn FnMut(&Piece<'_>)) -> Taken {
    let bytes = part.bytes;
    let floor = stretch.start.saturating_sub(BEFORE);
    let quote = (floor..stretch.start).rev().find(|&at| bytes[at] == b'"' && !is_escaped(bytes, at, floor));
    let mut at = quote.map_or(floor, |quote| quote + 1);
    buffer.clear();
    let mut maps: Vec<(u64, Map)> = Vec::new();
    let mut plain = false;
    let mut next = None;
    while at < stretch.limit {
        let here = part.base + at as u64;
        let (letter, length) = match bytes[at..stretch.limit] {
            [b'"', ..] => match next_line(&bytes[at + 1..stretch.limit]) {
                Some(gap) => {
                    if next.is_none() && at > stretch.middle {
                        next = Some(at.saturating_sub(2));
                    }
                    at += 1 + gap;
                    plain = false;
                    continue;
                }
                None => break,
            },
            [b'\\', letter, ..] => (unescaped(letter), 2),
            [b'\n' | b'\r', ..] => break,
            [letter, ..] => (letter, 1),
            [] => break,
        };
        if length > 1 || !plain {
            maps.push((buffer.len() as u64, Map::Scaled { start: here, from: length as u64, to: 1 }));
            plain = length == 1;
        }
        buffer.push(letter);
        at += length;
    }
    found(&Piece { label: "lines", bytes: buffer, map: Map::Parts(maps) });
    Taken { end: at.max(stretch.start + 1), next: next.filter(|next| *next > stretch.start) }
}

/// What stands behind a backslash; letters written as `\u` are left to the finder of escapes.
fn unescaped(letter: u8) -> u8 {
    match letter {
        b'n' => b'\n',
        b't' => b'\t',
        b'r' => b'\r',
        letter => letter,
    }
}

/// Whether an odd number of backslashes stands before a place.
fn is_escaped(bytes: &[u8], at: usize, floor: usize) -> bool {
    bytes[floor..at].iter().rev().take_while(|byte| **byte == b'\\').count() % 2 == 1
}
