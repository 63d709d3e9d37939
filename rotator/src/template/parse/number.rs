//! Numbers of a template: what they are depends on who takes them.

/// A number constant.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Number {
    /// Its value, if it is whole.
    pub whole: Option<i64>,
    /// Its value as a float; a character has none.
    pub float: Option<f64>,
    /// Whether it becomes a float where any type will do.
    pub is_float: bool,
}

impl Number {
    /// A character constant.
    pub fn of_char(value: i64) -> Self {
        Self { whole: Some(value), float: None, is_float: false }
    }

    /// Reads Go's syntax: bases, underscores, hexadecimal floats.
    pub fn parse(text: &str) -> Option<Self> {
        let (negative, digits) = match text.as_bytes().first()? {
            b'-' => (true, text.get(1..)?),
            b'+' => (false, text.get(1..)?),
            _ => (false, text),
        };
        if let Some(size) = whole(digits) {
            let signed = if negative { -i128::from(size) } else { i128::from(size) };
            let whole = i64::try_from(signed).ok()?;
            #[expect(clippy::cast_precision_loss, reason = "Go converts too")]
            let float = whole as f64;
            return Some(Self { whole: Some(whole), float: Some(float), is_float: false });
        }
        let size = float(digits)?;
        let float = if negative { -size } else { size };
        // Any float of the size of an int64 without a fraction is a whole number too.
        #[expect(clippy::cast_possible_truncation, reason = "checked to be whole and in range")]
        let whole = (float.fract() == 0.0 && float.abs() < 9.2e18).then_some(float as i64);
        let is_hex = digits.len() > 2 && digits.starts_with("0x") && !digits.contains(['p', 'P']);
        Some(Self { whole, float: Some(float), is_float: !is_hex })
    }
}

/// `strconv.ParseUint` with base 0.
pub fn whole(digits: &str) -> Option<u64> {
    let lower = digits.to_ascii_lowercase();
    let (radix, body) = match lower.as_bytes() {
        [b'0', b'x', ..] => (16, lower.get(2..)?),
        [b'0', b'b', ..] => (2, lower.get(2..)?),
        [b'0', b'o', ..] => (8, lower.get(2..)?),
        [b'0', _, ..] => (8, lower.get(1..)?),
        _ => (10, lower.as_str()),
    };
    if body.contains("__") || body.ends_with('_') || (radix == 10 && body.starts_with('_')) {
        return None;
    }
    let body = body.replace('_', "");
    if body.is_empty() || !body.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
        return None;
    }
    u64::from_str_radix(&body, radix).ok()
}

/// A decimal or hexadecimal float; one without point and exponent is a whole number that is too large.
fn float(digits: &str) -> Option<f64> {
    let lower = digits.to_ascii_lowercase();
    let underscored = lower.contains('_');
    let plain = lower.replace('_', "");
    if let Some(hex) = plain.strip_prefix("0x") {
        return hex_float(hex);
    }
    let starts = plain.as_bytes().first().is_some_and(|byte| byte.is_ascii_digit() || *byte == b'.');
    // Go takes underscores in floats only where base prefixes allow them, which is nowhere here.
    if underscored || !starts || !plain.contains(['.', 'e']) || plain.contains(['i', 'n', 'f']) {
        return None;
    }
    plain.parse().ok().filter(|float: &f64| float.is_finite())
}

fn hex_float(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once('p')?;
    let exponent: i32 = exponent.parse().ok()?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let digits = format!("{whole}{fraction}");
    if digits.is_empty() || digits.len() > 13 {
        return None;
    }
    let value = u64::from_str_radix(&digits, 16).ok()?;
    let scale = exponent - 4 * i32::try_from(fraction.len()).ok()?;
    #[expect(clippy::cast_precision_loss, reason = "at most 52 bits")]
    let float = value as f64 * 2f64.powi(scale);
    float.is_finite().then_some(float)
}
