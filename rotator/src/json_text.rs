//! JSON as text: taken apart and put together without changing a number and without leaving copies.
//!
//! A JSON library decodes a string with escapes through a buffer of its own, which nobody wipes; here every buffer
//! is wiped. Documents that come here were checked to be JSON before.

use std::collections::BTreeMap;
use std::io::Write as _;

use serde::{Serialize, Serializer};
use serde_json::value::RawValue;
use shared::secret::Secret;

use crate::wiped::WipedBuffer;

/// The properties of an object, each as the text that stands there; the last of equal names counts.
/// `None` if it is not an object.
pub fn properties(object: &[u8]) -> Option<BTreeMap<String, &RawValue>> {
    serde_json::from_slice(object).ok()
}

/// What a JSON string means, or `None` if `raw` is another value.
///
/// Half of a surrogate pair becomes U+FFFD, as in Go's `encoding/json`.
pub fn string(raw: &RawValue) -> Option<Secret> {
    let inner = raw.get().strip_prefix('"')?.strip_suffix('"')?;
    // Escapes only shrink: `\u00e9` is six bytes for two. Half a pair is three for six.
    let mut decoded = Vec::with_capacity(inner.len());
    let mut rest = inner;
    while let Some(start) = rest.find('\\') {
        decoded.extend_from_slice(&rest.as_bytes()[..start]);
        let (character, length) = escape(&rest[start..])?;
        let mut encoded = [0; 4];
        decoded.extend_from_slice(character.encode_utf8(&mut encoded).as_bytes());
        rest = &rest[start + length..];
    }
    decoded.extend_from_slice(rest.as_bytes());
    Some(Secret::new(decoded))
}

/// The character of the escape at the start of `text`, and the escape's length in bytes.
fn escape(text: &str) -> Option<(char, usize)> {
    let character = match text.as_bytes().get(1)? {
        b'"' => '"',
        b'\\' => '\\',
        b'/' => '/',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'u' => return unicode_escape(text),
        _ => return None,
    };
    Some((character, 2))
}

fn unicode_escape(text: &str) -> Option<(char, usize)> {
    let unit = |at: usize| -> Option<u32> {
        let digits = text.get(at..at + 6)?.strip_prefix("\\u")?;
        u32::from_str_radix(digits, 16).ok()
    };
    let first = unit(0)?;
    if let Some(character) = char::from_u32(first) {
        return Some((character, 6));
    }
    let pair = match (first, unit(6)) {
        (0xd800..0xdc00, Some(second @ 0xdc00..0xe000)) => {
            char::from_u32(0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00))
        }
        _ => None,
    };
    Some(pair.map_or((char::REPLACEMENT_CHARACTER, 6), |character| (character, 12)))
}

/// A value of an object that is put together.
pub enum Piece<'a> {
    /// JSON as it stands.
    Raw(&'a RawValue),
    /// Text, which becomes a JSON string.
    Text(&'a str),
}

impl Piece<'_> {
    /// The same piece for a shorter time.
    pub fn reborrow(&self) -> Piece<'_> {
        match self {
            Self::Raw(raw) => Piece::Raw(raw),
            Self::Text(text) => Piece::Text(text),
        }
    }
}

impl Serialize for Piece<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Raw(raw) => raw.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
        }
    }
}

/// Puts an object together, its properties sorted by name.
///
/// # Errors
/// When it would be longer than `bytes_max`.
pub fn object(pieces: &BTreeMap<String, Piece<'_>>, bytes_max: usize) -> std::io::Result<Secret> {
    let mut buffer = WipedBuffer::new(bytes_max);
    serde_json::to_writer(&mut buffer, pieces)?;
    buffer.flush()?;
    Ok(buffer.into_secret())
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::value::RawValue;

    use super::{Piece, object, properties, string};

    fn decode(json: &str) -> Option<String> {
        let raw: &RawValue = serde_json::from_str(json).unwrap();
        Some(string(raw)?.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap()))
    }

    #[test]
    fn strings_decode_as_a_json_library_decodes_them() {
        for json in [
            r#""""#,
            r#""plain é 🦀""#,
            r#""\"\\\/\b\f\n\r\t""#,
            r#""\u00e9\u0000\uffff""#,
            r#""a\ud83e\udd80z""#,
            r#""\\u0041""#,
        ] {
            assert_eq!(decode(json), Some(serde_json::from_str::<String>(json).unwrap()), "{json}");
        }
        for json in ["1", "null", "{}", "[\"a\"]"] {
            assert_eq!(decode(json), None, "{json}");
        }
    }

    #[test]
    fn half_a_surrogate_pair_is_the_replacement_character_as_in_go() {
        assert_eq!(decode(r#""\ud83e""#).unwrap(), "\u{fffd}");
        assert_eq!(decode(r#""\udd80\ud83e""#).unwrap(), "\u{fffd}\u{fffd}");
        assert_eq!(decode(r#""\ud83e\u0041""#).unwrap(), "\u{fffd}A");
        assert_eq!(decode(r#""\ud83ex""#).unwrap(), "\u{fffd}x");
    }

    #[test]
    fn an_object_keeps_the_text_of_what_it_is_put_together_from() {
        let old = properties(br#"{"n": 1.10, "big":12345678901234567890, "a":"x"}"#).unwrap();
        let mut pieces: BTreeMap<_, _> =
            old.iter().map(|(name, raw)| (name.clone(), Piece::Raw(raw))).collect();
        pieces.insert("a".to_owned(), Piece::Text("\"\n"));
        let whole = object(&pieces, 1000).unwrap();
        whole.expose(|bytes| assert_eq!(bytes, br#"{"a":"\"\n","big":12345678901234567890,"n":1.10}"#));
        assert!(object(&pieces, 10).is_err());
        assert!(properties(b"[]").is_none());
    }
}
