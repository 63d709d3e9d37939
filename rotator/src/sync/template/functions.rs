//! Functions that the operator has and the engine lacks, or has otherwise.

use gtmpl_ng::{Func, FuncError, Value};

/// The most numbers that `seq` makes.
const SEQUENCE_MAX: usize = 10_000;

/// Names and functions.
pub const OWN: &[(&str, Func)] = &[("hexdec", hexdec), ("quote", quote), ("seq", seq), ("squote", squote)];

fn hexdec(arguments: &[Value]) -> Result<Value, FuncError> {
    let [Value::String(text)] = arguments else {
        return Err(FuncError::ExactlyXArgs("hexdec".to_owned(), 1));
    };
    let bytes = data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes());
    let decoded = bytes.ok().and_then(|bytes| String::from_utf8(bytes).ok());
    decoded.map(Value::String).ok_or(FuncError::UnableToConvertFromValue)
}

/// Each argument as a Go string literal; nil is left out.
fn quote(arguments: &[Value]) -> Result<Value, FuncError> {
    joined(arguments, |text| go_literal(&text))
}

/// Each argument in single quotes, nothing escaped; nil is left out.
fn squote(arguments: &[Value]) -> Result<Value, FuncError> {
    joined(arguments, |text| Ok(format!("'{text}'")))
}

fn joined(
    arguments: &[Value],
    quote: impl Fn(String) -> Result<String, FuncError>,
) -> Result<Value, FuncError> {
    let given = arguments.iter().filter(|value| !matches!(value, Value::Nil | Value::NoValue));
    let texts: Result<Vec<String>, FuncError> = given.map(|value| quote(value.to_string())).collect();
    texts.map(|texts| Value::String(texts.join(" ")))
}

/// `strconv.Quote` for the characters that Go prints; one that it would escape by its Unicode tables is refused.
fn go_literal(text: &str) -> Result<String, FuncError> {
    let mut literal = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => literal.push_str("\\\""),
            '\\' => literal.push_str("\\\\"),
            '\u{7}' => literal.push_str("\\a"),
            '\u{8}' => literal.push_str("\\b"),
            '\u{c}' => literal.push_str("\\f"),
            '\n' => literal.push_str("\\n"),
            '\r' => literal.push_str("\\r"),
            '\t' => literal.push_str("\\t"),
            '\u{b}' => literal.push_str("\\v"),
            '\0'..='\u{1f}' | '\u{7f}' => literal.push_str(&format!("\\x{:02x}", u32::from(c))),
            '\u{80}'..='\u{a0}'
            | '\u{ad}'
            | '\u{2000}'..='\u{200f}'
            | '\u{2028}'..='\u{202f}'
            | '\u{205f}'..='\u{206f}'
            | '\u{3000}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{ffff}'
            | '\u{e0000}'.. => return Err(FuncError::UnableToConvertFromValue),
            c => literal.push(c),
        }
    }
    literal.push('"');
    Ok(literal)
}

/// `seq end`, `seq start end` or `seq start step end`, as text with spaces, ends included.
fn seq(arguments: &[Value]) -> Result<Value, FuncError> {
    let numbers: Vec<i64> = arguments.iter().map(whole).collect::<Result<_, _>>()?;
    let (start, step, end) = match numbers[..] {
        [end] => (1, if end < 1 { -1 } else { 1 }, end),
        [start, end] => (start, if end < start { -1 } else { 1 }, end),
        [start, step, end] => (start, step, end),
        _ => return Ok(Value::String(String::new())),
    };
    let mut texts = Vec::new();
    let mut next = start;
    while step != 0 && (if step > 0 { next <= end } else { next >= end }) {
        if texts.len() >= SEQUENCE_MAX {
            return Err(FuncError::UnableToConvertFromValue);
        }
        texts.push(next.to_string());
        next = next.saturating_add(step);
    }
    Ok(Value::String(texts.join(" ")))
}

fn whole(value: &Value) -> Result<i64, FuncError> {
    match value {
        Value::Number(number) => number.as_i64().ok_or(FuncError::UnableToConvertFromValue),
        _ => Err(FuncError::UnableToConvertFromValue),
    }
}
