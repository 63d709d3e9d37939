//! One YAML scalar: plain, quoted or as a block, as libyaml chooses it.

use super::super::yaml_in::{Scalar, is_sixty_based, resolve};

/// Lines are folded at the first blank after this column.
const WIDTH: usize = 80;

/// Where a scalar begins.
#[derive(Clone, Copy)]
pub(super) struct At {
    pub column: usize,
    /// Where its further lines begin.
    pub indent: usize,
    pub is_key: bool,
}

fn is_break(c: char) -> bool {
    matches!(c, '\r' | '\n' | '\u{85}' | '\u{2028}' | '\u{2029}')
}

/// What the emitter takes for printable: no tab, and nothing beyond U+FFFF.
fn is_printable(c: char) -> bool {
    match c {
        '\n' | ' '..='~' => true,
        '\u{a0}'..='\u{fffd}' => c != '\u{feff}',
        _ => false,
    }
}

/// What a text allows.
struct Analysis {
    plain: bool,
    single: bool,
    block: bool,
}

fn analyse(text: &str) -> Analysis {
    let chars: Vec<char> = text.chars().collect();
    if chars.is_empty() {
        return Analysis { plain: true, single: true, block: false };
    }
    let mut indicators = text.starts_with("---") || text.starts_with("...");
    let (mut breaks, mut special, mut break_space, mut space_break) = (false, false, false, false);
    let (mut after_space, mut after_break, mut after_blank) = (false, false, true);
    for (index, c) in chars.iter().enumerate() {
        let next = chars.get(index + 1);
        let before_blank = next.is_none_or(|c| matches!(c, ' ' | '\t'));
        indicators |= match c {
            '#' if index > 0 => after_blank,
            '#' | ',' | '[' | ']' | '{' | '}' | '&' | '*' | '!' | '|' | '>' | '\'' | '"' | '%' | '@'
            | '`' => index == 0,
            '?' | '-' => index == 0 && before_blank,
            ':' => before_blank,
            _ => false,
        };
        special |= !is_printable(*c);
        if *c == ' ' {
            break_space |= after_break;
            (after_space, after_break) = (true, false);
        } else if is_break(*c) {
            breaks = true;
            space_break |= after_space;
            (after_space, after_break) = (false, true);
        } else {
            (after_space, after_break) = (false, false);
        }
        after_blank = matches!(c, ' ' | '\t') || is_break(*c);
    }
    let edge = |c: Option<&char>| c.is_some_and(|c| *c == ' ' || is_break(*c));
    let edges = edge(chars.first()) || edge(chars.last());
    let trailing_space = chars.last() == Some(&' ');
    Analysis {
        plain: !(indicators || breaks || special || edges || break_space || space_break),
        single: !(special || break_space || space_break),
        block: !(special || space_break || trailing_space),
    }
}

/// Writes a text so that it is read as this text again.
pub(super) fn write(text: &str, at: At, out: &mut String) {
    let analysis = analyse(text);
    let multiline = text.chars().any(is_break);
    if text.contains('\n') && !at.is_key && analysis.block {
        return block(text, at, out);
    }
    let reads_as_text = matches!(resolve(text), Scalar::Text) && !is_sixty_based(text);
    if !reads_as_text || text.contains('\n') || (at.is_key && multiline) {
        return double(text, at, out);
    }
    if analysis.plain && !(text.is_empty() && at.is_key) {
        return folded(text, at, Quote::None, out);
    }
    if analysis.single { folded(text, at, Quote::Single, out) } else { double(text, at, out) }
}

#[derive(Clone, Copy, PartialEq)]
enum Quote {
    None,
    Single,
}

fn new_line(column: &mut usize, indent: usize, out: &mut String) {
    out.push('\n');
    out.extend(std::iter::repeat_n(' ', indent));
    *column = indent;
}

/// Plain or in single quotes, folded at single blanks.
fn folded(text: &str, at: At, quote: Quote, out: &mut String) {
    let chars: Vec<char> = text.chars().collect();
    let mut column = at.column;
    let single = quote == Quote::Single;
    if single {
        out.push('\'');
        column += 1;
    }
    let (mut spaces, mut breaks) = (false, false);
    for (index, c) in chars.iter().enumerate() {
        let inside = !single || (index > 0 && index + 1 < chars.len());
        if *c == ' ' {
            if !at.is_key && !spaces && column > WIDTH && inside && chars.get(index + 1) != Some(&' ') {
                new_line(&mut column, at.indent, out);
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else if is_break(*c) {
            if !breaks && *c == '\n' {
                out.push('\n');
            }
            out.push(*c);
            column = 0;
            (spaces, breaks) = (false, true);
        } else {
            if breaks {
                out.extend(std::iter::repeat_n(' ', at.indent));
                column = at.indent;
            }
            if single && *c == '\'' {
                out.push('\'');
                column += 1;
            }
            out.push(*c);
            column += 1;
            (spaces, breaks) = (false, false);
        }
    }
    if single {
        out.push('\'');
    }
}

fn double(text: &str, at: At, out: &mut String) {
    let chars: Vec<char> = text.chars().collect();
    let mut column = at.column + 1;
    let mut spaces = false;
    out.push('"');
    for (index, c) in chars.iter().enumerate() {
        if !is_printable(*c) || is_break(*c) || matches!(c, '"' | '\\') {
            let escape = escape(*c);
            column += escape.len();
            out.push_str(&escape);
            spaces = false;
        } else if *c == ' ' {
            let inside = index > 0 && index + 1 < chars.len();
            if !at.is_key && !spaces && column > WIDTH && inside {
                new_line(&mut column, at.indent, out);
                if chars.get(index + 1) == Some(&' ') {
                    out.push('\\');
                    column += 1;
                }
            } else {
                out.push(' ');
                column += 1;
            }
            spaces = true;
        } else {
            out.push(*c);
            column += 1;
            spaces = false;
        }
    }
    out.push('"');
}

fn escape(c: char) -> String {
    let short = match c {
        '\0' => "\\0",
        '\u{7}' => "\\a",
        '\u{8}' => "\\b",
        '\t' => "\\t",
        '\n' => "\\n",
        '\u{b}' => "\\v",
        '\u{c}' => "\\f",
        '\r' => "\\r",
        '\u{1b}' => "\\e",
        '"' => "\\\"",
        '\\' => "\\\\",
        '\u{85}' => "\\N",
        '\u{a0}' => "\\_",
        '\u{2028}' => "\\L",
        '\u{2029}' => "\\P",
        c => {
            let code = u32::from(c);
            return match code {
                0..=0xff => format!("\\x{code:02X}"),
                0x100..=0xffff => format!("\\u{code:04X}"),
                _ => format!("\\U{code:08X}"),
            };
        }
    };
    short.to_owned()
}

/// `|`, with a digit where the text begins with a blank, and `-` or `+` for its last line ends.
fn block(text: &str, at: At, out: &mut String) {
    out.push('|');
    if text.starts_with([' ', '\n', '\r']) {
        out.push('2');
    }
    let body = match text.strip_suffix('\n') {
        None => {
            out.push('-');
            text
        }
        Some(body) if body.is_empty() || body.ends_with('\n') => {
            out.push('+');
            body
        }
        Some(body) => body,
    };
    for line in body.split('\n') {
        out.push('\n');
        if !line.is_empty() {
            out.extend(std::iter::repeat_n(' ', at.indent.max(2)));
        }
        out.push_str(line);
    }
}
