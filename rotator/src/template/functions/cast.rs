//! Numbers out of anything, as sprig's arithmetic takes them; what is no number is 0.

use crate::template::parse::whole_text;
use crate::template::value::Value;

/// A whole number: floats are cut, texts read with Go's bases.
pub fn to_int(value: &Value) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        // Out of range Go gives the smallest one (on amd64).
        #[expect(clippy::cast_possible_truncation, reason = "checked to be in range")]
        Value::Float(value) => {
            if value.abs() < 9.223_372_036_854_775e18 {
                *value as i64
            } else {
                i64::MIN
            }
        }
        Value::Text(text) => text.text().and_then(parse_int).unwrap_or(0),
        other => other.whole().unwrap_or(0),
    }
}

fn parse_int(text: &str) -> Option<i64> {
    let (negative, digits) = match text.as_bytes().first()? {
        b'-' => (true, text.get(1..)?),
        b'+' => (false, text.get(1..)?),
        _ => (false, text),
    };
    // `10.5` is 10: the part before the point counts, if both sides are digits.
    let is_decimal = |digits: &str| digits.bytes().all(|byte| byte.is_ascii_digit());
    let digits = match digits.split_once('.') {
        Some((whole, fraction)) if is_decimal(whole) && is_decimal(fraction) => {
            if whole.is_empty() {
                "0"
            } else {
                whole
            }
        }
        _ => digits,
    };
    let size = i128::from(whole_text(digits)?);
    i64::try_from(if negative { -size } else { size }).ok()
}

/// A float.
pub fn to_float(value: &Value) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Float(value) => *value,
        Value::Text(text) => text.text().and_then(parse_float).unwrap_or(0.0),
        #[expect(clippy::cast_precision_loss, reason = "Go converts too")]
        other => other.whole().map_or(0.0, |whole| whole as f64),
    }
}

fn parse_float(text: &str) -> Option<f64> {
    if text.starts_with(['_', ' ']) || text.ends_with(' ') {
        return None;
    }
    text.parse().ok()
}
