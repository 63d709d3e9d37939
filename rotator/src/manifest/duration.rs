//! Durations as Go writes them: `1h30m`, `90s`, `1h0m0s`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

/// A length of time in Go's notation (`time.ParseDuration`), never negative.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct GoDuration(pub Duration);

/// Why a text is no duration.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("this is not a duration; write hours, minutes and seconds as in 1h, 30m or 1h30m0s")]
pub struct NotADuration;

impl std::str::FromStr for GoDuration {
    type Err = NotADuration;

    fn from_str(text: &str) -> Result<Self, NotADuration> {
        let mut rest = text.strip_prefix('+').unwrap_or(text);
        if rest == "0" {
            return Ok(Self::default());
        }
        if rest.is_empty() {
            return Err(NotADuration);
        }
        let mut nanoseconds: u128 = 0;
        while !rest.is_empty() {
            let number_end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or(NotADuration)?;
            let (number, after) = rest.split_at(number_end);
            let unit_end = after.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(after.len());
            let (unit, after) = after.split_at(unit_end);
            let scale: u128 = match unit {
                "ns" => 1,
                "us" | "µs" | "μs" => 1_000,
                "ms" => 1_000_000,
                "s" => 1_000_000_000,
                "m" => 60_000_000_000,
                "h" => 3_600_000_000_000,
                _ => return Err(NotADuration),
            };
            nanoseconds = nanoseconds.saturating_add(scaled(number, scale)?);
            rest = after;
        }
        // Go keeps nanoseconds in an int64: about 292 years.
        let nanoseconds = i64::try_from(nanoseconds).map_err(|_| NotADuration)?;
        Ok(Self(Duration::from_nanos(nanoseconds.unsigned_abs())))
    }
}

/// `number` (digits with at most one point) times `scale`, in nanoseconds.
fn scaled(number: &str, scale: u128) -> Result<u128, NotADuration> {
    let (whole, part) = number.split_once('.').unwrap_or((number, ""));
    let digits = |text: &str| text.bytes().all(|byte| byte.is_ascii_digit());
    if (whole.is_empty() && part.is_empty()) || !digits(whole) || !digits(part) {
        return Err(NotADuration);
    }
    let whole: u128 = if whole.is_empty() { 0 } else { whole.parse().map_err(|_| NotADuration)? };
    // Nanoseconds are the finest unit: more than eighteen digits cannot matter.
    let part = &part[..part.len().min(18)];
    let fraction = if part.is_empty() {
        0
    } else {
        let power = u32::try_from(part.len()).map_err(|_| NotADuration)?;
        part.parse::<u128>().map_err(|_| NotADuration)?.saturating_mul(scale) / 10_u128.pow(power)
    };
    Ok(whole.saturating_mul(scale).saturating_add(fraction))
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.as_secs();
        let (hours, minutes, seconds) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let nanoseconds = self.0.subsec_nanos();
        if hours > 0 {
            write!(f, "{hours}h")?;
        }
        if hours > 0 || minutes > 0 {
            write!(f, "{minutes}m")?;
        }
        if nanoseconds == 0 {
            write!(f, "{seconds}s")
        } else {
            let fraction = format!("{nanoseconds:09}");
            write!(f, "{seconds}.{}s", fraction.trim_end_matches('0'))
        }
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

impl Serialize for GoDuration {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for GoDuration {
    fn schema_name() -> Cow<'static, str> {
        "GoDuration".into()
    }

    fn json_schema(_generator: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string" })
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::GoDuration;

    #[test]
    fn go_durations_parse_and_print() {
        for (text, seconds, printed) in [
            ("1h", 3600.0, "1h0m0s"),
            ("1h0m0s", 3600.0, "1h0m0s"),
            ("90s", 90.0, "1m30s"),
            ("1.5h", 5400.0, "1h30m0s"),
            ("0", 0.0, "0s"),
            ("0s", 0.0, "0s"),
            ("1m.5s", 60.5, "1m0.5s"),
        ] {
            let parsed: GoDuration = text.parse().unwrap();
            assert_eq!(parsed.0, Duration::from_secs_f64(seconds), "{text}");
            assert_eq!(parsed.to_string(), printed);
        }
        for text in ["", "soon", "1", "h", "-1h", "1d", "1h 30m", ".s", "1..2s", "99999999h"] {
            assert!(text.parse::<GoDuration>().is_err(), "{text}");
        }
    }
}
