//! Durations as Go writes them: `1h30m`, `90s`, `1h0m0s`.

use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Deserialize, Deserializer, Error as _};
use serde::ser::{Serialize, Serializer};

use crate::go_duration;

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
        let nanoseconds = go_duration::parse(text).ok_or(NotADuration)?;
        u64::try_from(nanoseconds).map(|length| Self(Duration::from_nanos(length))).map_err(|_| NotADuration)
    }
}

impl fmt::Display for GoDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let nanoseconds = i64::try_from(self.0.as_nanos()).unwrap_or(i64::MAX);
        f.write_str(&go_duration::shown(nanoseconds))
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
