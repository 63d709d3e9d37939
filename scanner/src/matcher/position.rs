//! Lines and columns, counted only as far as hits are.

use memchr::{memchr_iter, memrchr};

/// A place in a haystack and the line and column there.
#[derive(Clone, Copy, Debug)]
pub struct Position {
    /// In bytes of the haystack.
    at: u64,
    /// From 1.
    line: u64,
    /// From 1, in code points; bytes that are not UTF-8 count one each, as far as they are no continuation.
    column: u64,
    /// How many code points of the line so far take two UTF-16 code units.
    wide: u64,
}

impl Position {
    /// The first byte of a haystack.
    pub const START: Self = Self { at: 0, line: 1, column: 1, wide: 0 };

    /// Moves forward to `to`. `bytes` is the part of the haystack that begins at `base`, and holds everything
    /// from here to there. A place that lies behind stays where it is.
    pub fn advance(&mut self, bytes: &[u8], base: u64, to: u64) {
        let (Some(from), Some(end)) = (self.at.checked_sub(base), to.checked_sub(base)) else { return };
        let (Ok(from), Ok(end)) = (usize::try_from(from), usize::try_from(end)) else { return };
        let Some(passed) = bytes.get(from..end) else { return };
        let newlines = memchr_iter(b'\n', passed).count() as u64;
        let points = |bytes: &[u8]| bytes.iter().filter(|byte| **byte & 0xC0 != 0x80).count() as u64;
        // Four-byte sequences of UTF-8 are the code points beyond the basic plane.
        let wide = |bytes: &[u8]| bytes.iter().filter(|byte| **byte >= 0xF0).count() as u64;
        match memrchr(b'\n', passed) {
            Some(last) => {
                self.column = 1 + points(&passed[last + 1..]);
                self.wide = wide(&passed[last + 1..]);
            }
            None => {
                self.column += points(passed);
                self.wide += wide(passed);
            }
        }
        self.line += newlines;
        self.at = to;
    }

    /// Line and column.
    pub fn line_column(&self) -> (u64, u64) {
        (self.line, self.column)
    }

    /// The column in UTF-16 code units.
    pub fn column_utf16(&self) -> u64 {
        self.column + self.wide
    }
}

#[cfg(test)]
mod tests {
    use super::Position;

    #[test]
    fn columns_count_code_points_across_parts() {
        let text = "one\nzwei drei\nüber→x";
        let mut at = Position::START;
        let x = text.find('x').unwrap() as u64;
        at.advance(text.as_bytes(), 0, 6);
        assert_eq!(at.line_column(), (2, 3));
        at.advance(&text.as_bytes()[5..], 5, x);
        assert_eq!(at.line_column(), (3, 6));
        assert_eq!(at.column_utf16(), 6);
    }

    #[test]
    fn code_points_beyond_the_basic_plane_take_two_units() {
        let text = "🦀\n🦀é🦀x";
        let mut at = Position::START;
        at.advance(text.as_bytes(), 0, text.find('x').unwrap() as u64);
        assert_eq!((at.line_column(), at.column_utf16()), ((2, 4), 6));
    }
}
