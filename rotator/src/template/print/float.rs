//! Floats as Go's strconv writes them.

/// The digits of a float and the place of its point: `0.d1d2d3… × 10^place`, shortest or rounded.
fn digits(value: f64, precision: Option<usize>) -> (String, i32) {
    let text = match precision {
        None => format!("{:e}", value.abs()),
        Some(precision) => format!("{:.*e}", precision.saturating_sub(1), value.abs()),
    };
    let (mantissa, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (mantissa.replace('.', ""), exponent.parse::<i32>().unwrap_or_default() + 1)
}

fn special(value: f64) -> Option<String> {
    if value.is_nan() {
        Some("NaN".to_owned())
    } else if value.is_infinite() {
        Some(if value > 0.0 { "+Inf" } else { "-Inf" }.to_owned())
    } else {
        None
    }
}

fn sign(value: f64) -> &'static str {
    if value.is_sign_negative() { "-" } else { "" }
}

/// `%e` with so many digits after the point; `None` for the fewest that give the same float.
pub fn exponent(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    let (digits, place) = digits(value, precision.map(|precision| precision + 1));
    let (first, rest) = digits.split_at(1);
    let exponent = if value == 0.0 { 0 } else { place - 1 };
    let point = if rest.is_empty() { "" } else { "." };
    let direction = if exponent < 0 { '-' } else { '+' };
    format!("{}{first}{point}{rest}e{direction}{:02}", sign(value), exponent.abs())
}

/// `%f` with so many digits after the point; `None` for the fewest that give the same float.
pub fn plain(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    match precision {
        None => format!("{value}"),
        Some(precision) => format!("{value:.precision$}"),
    }
}

/// `%g`: with an exponent where that is large or small. `None` for the fewest digits that give the same float.
pub fn general(value: f64, precision: Option<usize>) -> String {
    if let Some(text) = special(value) {
        return text;
    }
    if value == 0.0 {
        return format!("{}0", sign(value));
    }
    let wanted = precision.map(|precision| precision.max(1));
    let (all, place) = digits(value, wanted);
    let kept = all.trim_end_matches('0');
    let count = i32::try_from(kept.len()).unwrap_or(i32::MAX);
    let limit = match wanted {
        // Go takes 6 where the digits are the fewest that do.
        None => 6,
        Some(precision) => {
            let precision = i32::try_from(precision).unwrap_or(i32::MAX);
            if precision > count && count >= place { count } else { precision }
        }
    };
    let exponent = place - 1;
    if exponent < -4 || exponent >= limit {
        let (first, rest) = kept.split_at(1.min(kept.len()));
        let point = if rest.is_empty() { "" } else { "." };
        let direction = if exponent < 0 { '-' } else { '+' };
        return format!("{}{first}{point}{rest}e{direction}{:02}", sign(value), exponent.abs());
    }
    let size = if place <= 0 {
        format!("0.{}{kept}", "0".repeat(usize::try_from(-place).unwrap_or_default()))
    } else {
        let place = usize::try_from(place).unwrap_or_default();
        match kept.split_at_checked(place) {
            Some((whole, "")) => whole.to_owned(),
            Some((whole, fraction)) => format!("{whole}.{fraction}"),
            None => format!("{kept}{}", "0".repeat(place - kept.len())),
        }
    };
    format!("{}{size}", sign(value))
}
