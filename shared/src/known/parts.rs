//! The parts of a secret that leak alone.
//!
//! A URL is copied whole, its password is copied without it. A JSON secret is one object in the store and many
//! variables in an image. A private key is reflowed, indented and quoted, while its lines stay. Each part is
//! known by itself; too short or too weak ones are left out later.

use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};

use super::{VALUE_BYTES_MAX, VALUE_BYTES_MIN};
use crate::secret::Secret;

/// How deep JSON inside JSON, a URL inside JSON and so on is followed.
const DEPTH_MAX: usize = 8;
/// More parts than any credential has; a larger document gives its first ones.
const PARTS_MAX: usize = 4_096;

/// One part of a secret.
#[derive(Debug)]
pub struct Part {
    kind: Kind,
    value: Secret,
}

/// What a part is of its whole.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// The value itself.
    Whole,
    /// The value without white space around it.
    Trimmed,
    /// The first [`VALUE_BYTES_MAX`] bytes of a longer value.
    Beginning,
    /// A string inside JSON.
    JsonValue,
    /// The password inside a URL, as it is written there.
    UrlPassword,
    /// The password inside a URL, with its percent escapes decoded.
    UrlPasswordDecoded,
    /// A line of a private key.
    KeyLine,
}

impl Part {
    /// What it is of its whole.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// The part.
    pub fn value(&self) -> &Secret {
        &self.value
    }

    /// Whether this is the value itself, for which a generation policy speaks.
    pub fn is_whole(&self) -> bool {
        self.kind == Kind::Whole
    }
}

/// The value itself (its beginning, if it is long) and its parts of at least [`VALUE_BYTES_MIN`] bytes.
pub fn of(value: &Secret) -> Vec<Part> {
    let mut parts = Vec::new();
    value.expose(|bytes| collect(bytes, Kind::Whole, 0, &mut parts));
    parts
}

fn collect(value: &[u8], kind: Kind, depth: usize, parts: &mut Vec<Part>) {
    let long_enough = value.len() >= VALUE_BYTES_MIN || kind == Kind::Whole;
    if !long_enough || depth > DEPTH_MAX || parts.len() >= PARTS_MAX {
        return;
    }
    let (kind, kept) = match value.get(..VALUE_BYTES_MAX) {
        Some(beginning) if value.len() > VALUE_BYTES_MAX => (Kind::Beginning, beginning),
        _ => (kind, value),
    };
    parts.push(Part { kind, value: Secret::copy_of(kept) });
    let trimmed = value.trim_ascii();
    if trimmed.len() < value.len() {
        // What is inside is the same with and without the white space around it.
        return collect(trimmed, Kind::Trimmed, depth + 1, parts);
    }
    if value.starts_with(b"{") || value.starts_with(b"[") || value.starts_with(b"\"") {
        let mut json = serde_json::Deserializer::from_slice(value);
        // A value that only looks like JSON has no parts; those that came before its end are not harmful.
        let _ = Strings { depth: depth + 1, parts }.deserialize(&mut json);
    }
    key_lines(value, parts);
    if let Some(password) = url_password(value) {
        collect(password, Kind::UrlPassword, depth + 1, parts);
        if let Some(decoded) = percent_decoded(password) {
            decoded.expose(|bytes| collect(bytes, Kind::UrlPasswordDecoded, depth + 1, parts));
        }
    }
}

/// Lines between `BEGIN … PRIVATE KEY` and `END`.
fn key_lines(value: &[u8], parts: &mut Vec<Part>) {
    let mut inside = false;
    for line in value.split(|&byte| byte == b'\n').map(<[u8]>::trim_ascii) {
        if line.starts_with(b"-----BEGIN ") {
            inside = line.windows(11).any(|window| window == b"PRIVATE KEY");
        } else if line.starts_with(b"-----END ") {
            inside = false;
        } else if inside
            && (VALUE_BYTES_MIN..=VALUE_BYTES_MAX).contains(&line.len())
            && parts.len() < PARTS_MAX
        {
            parts.push(Part { kind: Kind::KeyLine, value: Secret::copy_of(line) });
        }
    }
}

/// The password of `scheme://user:password@host`, as it is written. A password may hold `@` and `:` that should
/// have been escaped, as clients accept it; one that holds `/` cannot be told from a path.
fn url_password(value: &[u8]) -> Option<&[u8]> {
    let scheme = value.windows(3).position(|window| window == b"://")?;
    let is_scheme = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    if scheme == 0 || scheme > 40 || !value[..scheme].iter().all(is_scheme) {
        return None;
    }
    let rest = &value[scheme + 3..];
    let authority =
        &rest[..rest.iter().position(|byte| matches!(byte, b'/' | b'?' | b'#')).unwrap_or(rest.len())];
    let userinfo = &authority[..authority.iter().rposition(|&byte| byte == b'@')?];
    let colon = userinfo.iter().position(|&byte| byte == b':')?;
    Some(&userinfo[colon + 1..])
}

/// The text with `%XX` decoded, if there is any.
fn percent_decoded(text: &[u8]) -> Option<Secret> {
    let digit = |byte: u8| (byte as char).to_digit(16).map(|digit| digit as u8);
    let mut decoded = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    let mut rest = text;
    while let [first, tail @ ..] = rest {
        rest = match tail {
            [high, low, after @ ..] if *first == b'%' => match (digit(*high), digit(*low)) {
                (Some(high), Some(low)) => {
                    decoded.push(high << 4 | low);
                    after
                }
                _ => {
                    decoded.push(*first);
                    tail
                }
            },
            _ => {
                decoded.push(*first);
                tail
            }
        };
    }
    (decoded.len() < text.len()).then(|| Secret::new(std::mem::take(&mut *decoded)))
}

/// Visits every string of a JSON document without building it: a tree of plain strings would not be wiped.
struct Strings<'p> {
    depth: usize,
    parts: &'p mut Vec<Part>,
}

impl<'de> DeserializeSeed<'de> for Strings<'_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Strings<'_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JSON")
    }

    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        collect(text.as_bytes(), Kind::JsonValue, self.depth, self.parts);
        Ok(())
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access.next_element_seed(Strings { depth: self.depth, parts: &mut *self.parts })?.is_some() {}
        Ok(())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<(), A::Error> {
        while access.next_key::<serde::de::IgnoredAny>()?.is_some() {
            access.next_value_seed(Strings { depth: self.depth, parts: &mut *self.parts })?;
        }
        Ok(())
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_bool<E: serde::de::Error>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_i64<E: serde::de::Error>(self, _: i64) -> Result<(), E> {
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, _: u64) -> Result<(), E> {
        Ok(())
    }

    fn visit_f64<E: serde::de::Error>(self, _: f64) -> Result<(), E> {
        Ok(())
    }
}
