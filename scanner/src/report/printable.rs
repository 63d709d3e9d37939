//! Text from a target, made safe to print.
//!
//! A file name can hold anything but `/` and NUL: escape sequences that repaint a terminal, line feeds that
//! forge a log line, bidirectional overrides that make `txt.exe` look like `exe.txt`.

use std::borrow::Cow;
use std::fmt::Write;

/// Replaces control, format and line-separating characters by `\u{…}`, everything else stays.
pub fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_unsafe) {
        return Cow::Borrowed(text);
    }
    let mut safe = String::with_capacity(text.len() + 16);
    for character in text.chars() {
        if is_unsafe(character) {
            // Writing to a String cannot fail.
            let _ = write!(safe, "\\u{{{:x}}}", u32::from(character));
        } else {
            safe.push(character);
        }
    }
    Cow::Owned(safe)
}

/// Whether a character could change how the text around it is shown.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(character,
            '\u{ad}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{fffe}'..='\u{ffff}' | '\u{e0000}'..='\u{e007f}')
}

/// Cuts a text to a number of characters, for lines that only remind.
pub fn shortened(text: &str, characters_max: usize) -> Cow<'_, str> {
    match text.char_indices().nth(characters_max) {
        None => Cow::Borrowed(text),
        Some((end, _)) => Cow::Owned(format!("{}...", &text[..end])),
    }
}

#[cfg(test)]
mod tests {
    use super::{printable, shortened};

    #[test]
    fn a_file_name_cannot_repaint_the_terminal() {
        assert_eq!(printable("a\x1b[2Jb\nc"), "a\\u{1b}[2Jb\\u{a}c");
        assert_eq!(printable("invoice\u{202e}txt.exe"), "invoice\\u{202e}txt.exe");
        assert_eq!(printable("\u{9b}31m"), "\\u{9b}31m");
        assert_eq!(printable("Grüße/日本語.env"), "Grüße/日本語.env");
    }

    #[test]
    fn shortening_counts_characters() {
        assert_eq!(shortened("日本語", 2), "日本...");
        assert_eq!(shortened("abc", 3), "abc");
    }
}
