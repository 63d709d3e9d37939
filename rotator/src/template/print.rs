//! How Go prints values: `{{ value }}`, `%v` and the other verbs of `printf`.

use crate::go_duration;
use std::sync::LazyLock;

use regex::Regex;
use zeroize::Zeroizing;

use super::functions::{dates, semver};
use super::run::{Fail, Run};
use super::value::Value;

mod float;
mod verbs;

pub use self::float::{exponent, general, plain};
pub use self::verbs::sprintf;

/// What Go calls printable: letters, marks, numbers, punctuation, symbols, and the ASCII space.
static PRINTABLE: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[\p{L}\p{M}\p{N}\p{P}\p{S} ]$").ok());

type Bytes = Zeroizing<Vec<u8>>;

/// A value as an action prints it.
///
/// # Errors
/// When it is too large.
pub fn shown(run: &Run, value: &Value) -> Result<Bytes, Fail> {
    match value {
        Value::Nil => Ok(Zeroizing::new(b"<no value>".to_vec())),
        value => plainly(run, value),
    }
}

/// A value as `%v` prints it.
///
/// # Errors
/// When it is too large.
pub fn plainly(run: &Run, value: &Value) -> Result<Bytes, Fail> {
    let mut out = Zeroizing::new(Vec::new());
    write(run, value, Style::Plain, 0, &mut out)?;
    Ok(out)
}

/// `%v` or `%+v`: for structures the names of their fields too.
#[derive(Clone, Copy, PartialEq)]
enum Style {
    Plain,
    Named,
}

/// Grows without leaving copies behind.
fn push(run: &Run, out: &mut Bytes, bytes: &[u8]) -> Result<(), Fail> {
    let length = out.len() + bytes.len();
    run.length(length)?;
    if out.capacity() < length {
        let mut larger = Zeroizing::new(Vec::with_capacity(length * 2));
        larger.extend_from_slice(out);
        *out = larger;
    }
    out.extend_from_slice(bytes);
    Ok(())
}

fn write(run: &Run, value: &Value, style: Style, depth: usize, out: &mut Bytes) -> Result<(), Fail> {
    let depth = run.deeper(depth)?;
    match value {
        Value::Nil => push(run, out, b"<nil>"),
        Value::Bool(value) => push(run, out, value.to_string().as_bytes()),
        Value::Int(value) | Value::Int64(value) => push(run, out, value.to_string().as_bytes()),
        Value::Float(value) => push(run, out, general(*value, None).as_bytes()),
        Value::Text(text) => push(run, out, text.bytes()),
        Value::Strings(map) => {
            push(run, out, b"map[")?;
            for (index, (key, text)) in map.iter().enumerate() {
                push(run, out, if index > 0 { b" " } else { b"" })?;
                push(run, out, key.bytes())?;
                push(run, out, b":")?;
                push(run, out, text.bytes())?;
            }
            push(run, out, b"]")
        }
        Value::Map(map) => {
            push(run, out, b"map[")?;
            for (index, (key, value)) in map.0.borrow().iter().enumerate() {
                push(run, out, if index > 0 { b" " } else { b"" })?;
                push(run, out, key.bytes())?;
                push(run, out, b":")?;
                write(run, value, style, depth, out)?;
            }
            push(run, out, b"]")
        }
        Value::List(_, list) => {
            push(run, out, b"[")?;
            for (index, value) in list.0.iter().enumerate() {
                push(run, out, if index > 0 { b" " } else { b"" })?;
                write(run, value, style, depth, out)?;
            }
            push(run, out, b"]")
        }
        Value::Time(time) => push(run, out, dates::shown(time).as_bytes()),
        Value::Duration(nanoseconds) => push(run, out, go_duration::shown(*nanoseconds).as_bytes()),
        Value::Month(month) => push(run, out, dates::month_name(*month).as_bytes()),
        Value::Weekday(day) => push(run, out, dates::weekday_name(*day).as_bytes()),
        Value::Pair(pair) => {
            let (cert, key): (&[u8], &[u8]) =
                if style == Style::Named { (b"{Cert:", b" Key:") } else { (b"{", b" ") };
            push(run, out, cert)?;
            push(run, out, pair.cert.bytes())?;
            push(run, out, key)?;
            push(run, out, pair.key.bytes())?;
            push(run, out, b"}")
        }
        Value::Version(version) => push(run, out, semver::shown(version).as_bytes()),
    }
}

/// `fmt.Sprint`: a blank between two that are both no strings.
///
/// # Errors
/// When it is too large.
pub fn sprint(run: &Run, values: &[Value]) -> Result<Vec<u8>, Fail> {
    let mut out = Zeroizing::new(Vec::new());
    let is_text = |value: &Value| matches!(value, Value::Text(_));
    for (index, value) in values.iter().enumerate() {
        let before = index.checked_sub(1).and_then(|before| values.get(before));
        if before.is_some_and(|before| !is_text(before) && !is_text(value)) {
            push(run, &mut out, b" ")?;
        }
        write(run, value, Style::Plain, 0, &mut out)?;
    }
    Ok(std::mem::take(&mut *out))
}

/// `fmt.Sprintln`: a blank between all, and a line end.
///
/// # Errors
/// When it is too large.
pub fn sprintln(run: &Run, values: &[Value]) -> Result<Vec<u8>, Fail> {
    let mut out = Zeroizing::new(Vec::new());
    for (index, value) in values.iter().enumerate() {
        push(run, &mut out, if index > 0 { b" " } else { b"" })?;
        write(run, value, Style::Plain, 0, &mut out)?;
    }
    push(run, &mut out, b"\n")?;
    Ok(std::mem::take(&mut *out))
}

/// Whether Go prints a character as it is.
pub fn is_printable(c: char) -> bool {
    PRINTABLE.as_ref().is_some_and(|printable| printable.is_match(c.encode_utf8(&mut [0; 4])))
}

/// `strconv.Quote`.
pub fn quoted(text: &[u8]) -> Vec<u8> {
    quoted_with(text, '"', false)
}

/// `strconv.Quote`, or with ASCII only `strconv.QuoteToASCII`.
fn quoted_with(text: &[u8], quote: char, ascii: bool) -> Vec<u8> {
    let mut out = vec![quote as u8];
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            escape(c, quote, ascii, &mut out);
        }
        for byte in chunk.invalid() {
            out.extend_from_slice(format!("\\x{byte:02x}").as_bytes());
        }
    }
    out.push(quote as u8);
    out
}

fn escape(c: char, quote: char, ascii: bool, out: &mut Vec<u8>) {
    match c {
        '\\' => out.extend_from_slice(b"\\\\"),
        c if c == quote => out.extend_from_slice(&[b'\\', quote as u8]),
        '\u{7}' => out.extend_from_slice(b"\\a"),
        '\u{8}' => out.extend_from_slice(b"\\b"),
        '\u{c}' => out.extend_from_slice(b"\\f"),
        '\n' => out.extend_from_slice(b"\\n"),
        '\r' => out.extend_from_slice(b"\\r"),
        '\t' => out.extend_from_slice(b"\\t"),
        '\u{b}' => out.extend_from_slice(b"\\v"),
        c if c < ' ' || c == '\u{7f}' => out.extend_from_slice(format!("\\x{:02x}", u32::from(c)).as_bytes()),
        c if c.is_ascii() || (!ascii && is_printable(c)) => {
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
        }
        c if u32::from(c) < 0x1_0000 => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
        c => out.extend_from_slice(format!("\\U{:08x}", u32::from(c)).as_bytes()),
    }
}
