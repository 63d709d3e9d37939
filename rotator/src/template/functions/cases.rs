//! Upper and lower case, and names in one style or another.

use super::{Arguments, Entry, Param, of};
use crate::template::run::Fail;
use crate::template::value::Value;

use Param::Text as Str;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("camelcase", of(&[Str], |a| changed(a, pascal))),
    ("initials", of(&[Str], |a| Ok(Value::bytes(initials(a.text().bytes()))))),
    ("kebabcase", of(&[Str], |a| changed(a, |text| lower_words(text, '-')))),
    ("snakecase", of(&[Str], |a| changed(a, |text| lower_words(text, '_')))),
    ("swapcase", of(&[Str], |a| changed(a, swapped))),
    ("title", of(&[Str], |a| changed(a, title))),
    ("untitle", of(&[Str], |a| changed(a, untitle))),
];

fn changed(arguments: &mut Arguments<'_>, change: fn(&str) -> String) -> Result<Value, Fail> {
    Ok(Value::text(change(&arguments.text().lossy())))
}

/// Go maps one character to one.
pub(super) fn upper(c: char) -> char {
    let mut mapped = c.to_uppercase();
    match (mapped.next(), mapped.next()) {
        (Some(upper), None) => upper,
        _ => c,
    }
}

/// Go maps one character to one.
pub(super) fn lower(c: char) -> char {
    let mut mapped = c.to_lowercase();
    match (mapped.next(), mapped.next()) {
        (Some(lower), None) => lower,
        // İ is i with a dot of its own.
        (Some(lower), Some(_)) => lower,
        _ => c,
    }
}

/// What `strings.Title` takes for the end of a word.
fn ends_word(c: char) -> bool {
    if c.is_ascii() {
        !(c.is_ascii_alphanumeric() || c == '_')
    } else {
        !c.is_alphanumeric() && c.is_whitespace()
    }
}

fn title(text: &str) -> String {
    let mut before = ' ';
    text.chars()
        .map(|c| {
            let shown = if ends_word(before) { upper(c) } else { c };
            before = c;
            shown
        })
        .collect()
}

fn untitle(text: &str) -> String {
    let mut next = true;
    text.chars()
        .map(|c| {
            if c.is_whitespace() {
                next = true;
                return c;
            }
            if std::mem::take(&mut next) { lower(c) } else { c }
        })
        .collect()
}

fn swapped(text: &str) -> String {
    let swap = |c: char| {
        if c.is_uppercase() {
            lower(c)
        } else if c.is_lowercase() {
            upper(c)
        } else {
            c
        }
    };
    text.chars().map(swap).collect()
}

/// The first byte of each word.
fn initials(text: &[u8]) -> Vec<u8> {
    let mut gap = true;
    let mut out = Vec::new();
    for byte in text {
        let c = char::from(*byte);
        if c.is_whitespace() {
            gap = true;
        } else if std::mem::take(&mut gap) {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
    }
    out
}

fn is_connector(c: char) -> bool {
    matches!(c, '-' | '_') || c.is_whitespace()
}

/// `http_server` becomes `HttpServer`; connectors at the start stay, and of several in a row all but the last.
fn pascal(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars();
    let mut last;
    let mut in_capitals;
    loop {
        let Some(c) = chars.next() else {
            // Of connectors alone the last one stands twice, as in xstrings.
            let last = out.chars().last();
            out.extend(last);
            return out;
        };
        if is_connector(c) {
            out.push(c);
            continue;
        }
        in_capitals = c.is_uppercase();
        last = upper(c);
        break;
    }
    for c in chars {
        let before = last;
        last = c;
        if is_connector(c) && is_connector(before) {
            out.push(before);
        } else if is_connector(before) {
            in_capitals = c.is_uppercase();
            last = upper(c);
        } else {
            if in_capitals {
                if c.is_uppercase() {
                    last = lower(c);
                } else {
                    in_capitals = false;
                }
            }
            out.push(before);
        }
    }
    out.push(last);
    out
}

/// What a piece of a name consists of.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Kind {
    Number,
    Capitals,
    Letters,
    Connector,
    Punctuation,
    Other,
}

fn is_punctuation(c: char) -> bool {
    // Symbols are none for Go.
    c.is_ascii_punctuation() && !matches!(c, '$' | '+' | '<' | '=' | '>' | '^' | '`' | '|' | '~')
}

fn is_letter(c: char) -> bool {
    c.is_alphabetic()
}

/// Cuts a name into pieces; of capitals before a small letter the last belongs to what follows.
fn pieces(text: &str) -> Vec<(Kind, String)> {
    let mut pieces = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let run = |accept: &dyn Fn(char) -> bool| rest.find(|c| !accept(c)).unwrap_or(rest.len());
        let small = |c: char| is_letter(c) && !c.is_uppercase();
        let (kind, end) = if is_connector(first) {
            (Kind::Connector, run(&is_connector))
        } else if is_punctuation(first) {
            (Kind::Punctuation, run(&|c| is_punctuation(c) && !is_connector(c)))
        } else if first.is_uppercase() {
            let capitals = run(&char::is_uppercase);
            let one = first.len_utf8();
            let after = rest.get(capitals..).unwrap_or_default();
            let follows = after.chars().next().is_some_and(is_letter);
            if capitals == one {
                let letters = after.find(|c| !small(c)).unwrap_or(after.len());
                (Kind::Capitals, one + letters)
            } else if follows {
                let last =
                    rest.get(..capitals).and_then(|text| text.chars().last()).map_or(0, char::len_utf8);
                (Kind::Capitals, capitals - last)
            } else {
                (Kind::Capitals, capitals)
            }
        } else if is_letter(first) {
            (Kind::Letters, run(&small))
        } else if first.is_numeric() {
            (Kind::Number, run(&char::is_numeric))
        } else {
            let other = |c: char| !(is_connector(c) || is_letter(c) || c.is_numeric() || is_punctuation(c));
            (Kind::Other, run(&other))
        };
        let (piece, left) = rest.split_at(end.max(first.len_utf8()));
        pieces.push((kind, piece.to_owned()));
        rest = left;
    }
    pieces
}

/// `HTTP20xOK` becomes `http_20x_ok`: small letters, connected; a number joins what it stands with.
fn lower_words(text: &str, connector: char) -> String {
    let pieces = pieces(text);
    let mut out = String::with_capacity(text.len() + 8);
    let put = |out: &mut String, (kind, piece): &(Kind, String)| match kind {
        Kind::Connector => out.extend(std::iter::repeat_n(connector, piece.chars().count())),
        _ => out.extend(piece.chars().map(lower)),
    };
    let joins = |piece: Option<&(Kind, String)>| {
        piece.is_some_and(|(kind, _)| !matches!(kind, Kind::Connector | Kind::Punctuation))
    };
    let mut at = 0;
    while let Some(piece) = pieces.get(at) {
        put(&mut out, piece);
        at += 1;
        let next = pieces.get(at);
        match piece.0 {
            Kind::Connector | Kind::Punctuation => {}
            Kind::Number => {
                while let Some(piece @ (Kind::Letters | Kind::Number, _)) = pieces.get(at) {
                    put(&mut out, piece);
                    at += 1;
                }
                if joins(pieces.get(at)) {
                    out.push(connector);
                }
            }
            _ if next.is_some_and(|(kind, _)| *kind == Kind::Number) => {
                let after = pieces.get(at + 1);
                if after.is_none() {
                    // The number is the end of the name.
                } else if after.is_some_and(|(kind, _)| *kind == Kind::Letters) {
                    out.push(connector);
                    while let Some(piece @ (Kind::Letters | Kind::Number, _)) = pieces.get(at) {
                        put(&mut out, piece);
                        at += 1;
                    }
                    if joins(pieces.get(at)) {
                        out.push(connector);
                    }
                } else {
                    if let Some(number) = next {
                        put(&mut out, number);
                    }
                    at += 1;
                    if joins(pieces.get(at)) {
                        out.push(connector);
                    }
                }
            }
            _ if joins(next) => out.push(connector),
            _ => {}
        }
    }
    out
}
