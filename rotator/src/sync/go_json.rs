//! JSON as Go's encoding/json writes it: the bytes of a whole secret or of a nested value.
//!
//! Go sorts the keys of a map, escapes `<`, `>`, `&`, U+2028 and U+2029, and writes floats with an exponent only
//! below 1e-6 and from 1e21 on. What a user compares is these bytes, so they are reproduced and not "equivalent".

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

/// Whether numbers keep the text of the document or go through a float64, as a decoder without `UseNumber` does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Numbers {
    /// Their text.
    Text,
    /// The nearest float64.
    Float,
}

/// A JSON value that is opened one level at a time; the text of numbers is kept.
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true` or `false`
    Bool(bool),
    /// The number's text.
    Number(&'a str),
    /// The text, unescaped.
    Text(Zeroizing<String>),
    /// The items.
    List(Vec<&'a RawValue>),
    /// The entries, sorted by key; of a repeated key the last.
    Map(BTreeMap<String, &'a RawValue>),
}

/// The text is not JSON. Says nothing of the text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the value is not JSON")]
pub struct NotJson;

impl<'a> Json<'a> {
    /// Opens the outermost level of a text.
    ///
    /// # Errors
    /// When the text is not exactly one JSON value, or nests deeper than 128 levels.
    pub fn parse(text: &'a [u8]) -> Result<Self, NotJson> {
        let raw: &RawValue = serde_json::from_slice(text).map_err(|_| NotJson)?;
        Self::open(raw)
    }

    /// Opens the outermost level of a value.
    ///
    /// # Errors
    /// When a string in it is no valid Unicode.
    pub fn open(raw: &'a RawValue) -> Result<Self, NotJson> {
        fn read<'a, T: Deserialize<'a>>(raw: &'a RawValue) -> Result<T, NotJson> {
            serde_json::from_str(raw.get()).map_err(|_| NotJson)
        }
        Ok(match raw.get().as_bytes().first() {
            Some(b'n') => Self::Null,
            Some(b't') => Self::Bool(true),
            Some(b'f') => Self::Bool(false),
            Some(b'"') => {
                let text = crate::json_text::string(raw).ok_or(NotJson)?;
                let text = text.expose(|bytes| String::from_utf8(bytes.to_vec())).map_err(|_| NotJson)?;
                Self::Text(Zeroizing::new(text))
            }
            Some(b'[') => Self::List(read(raw)?),
            Some(b'{') => Self::Map(read(raw)?),
            Some(_) => Self::Number(raw.get()),
            None => return Err(NotJson),
        })
    }

    /// The value as `json.Marshal` writes it.
    ///
    /// # Errors
    /// When a string in it is no valid Unicode.
    pub fn marshal(&self, numbers: Numbers) -> Result<Zeroizing<Vec<u8>>, NotJson> {
        let mut out = Zeroizing::new(Vec::new());
        self.write(numbers, Html::Escaped, &mut out)?;
        Ok(out)
    }

    /// The same without the escapes for HTML, as an encoder with `SetEscapeHTML(false)` writes it.
    ///
    /// # Errors
    /// As [`Self::marshal`].
    pub fn marshal_plain(&self, numbers: Numbers) -> Result<Zeroizing<Vec<u8>>, NotJson> {
        let mut out = Zeroizing::new(Vec::new());
        self.write(numbers, Html::Plain, &mut out)?;
        Ok(out)
    }

    fn write(&self, numbers: Numbers, html: Html, out: &mut Vec<u8>) -> Result<(), NotJson> {
        match self {
            Self::Null => out.extend_from_slice(b"null"),
            Self::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
            Self::Number(text) => match numbers {
                Numbers::Text => out.extend_from_slice(text.as_bytes()),
                Numbers::Float => {
                    out.extend_from_slice(marshal_float(text.parse().map_err(|_| NotJson)?).as_bytes());
                }
            },
            Self::Text(text) => write_text(text, html, out),
            Self::List(items) => {
                out.push(b'[');
                for (index, item) in items.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    Self::open(item)?.write(numbers, html, out)?;
                }
                out.push(b']');
            }
            Self::Map(entries) => {
                out.push(b'{');
                for (index, (key, value)) in entries.iter().enumerate() {
                    if index > 0 {
                        out.push(b',');
                    }
                    write_text(key, html, out);
                    out.push(b':');
                    Self::open(value)?.write(numbers, html, out)?;
                }
                out.push(b'}');
            }
        }
        Ok(())
    }
}

/// Whether `<`, `>` and `&` are escaped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Html {
    /// They are.
    Escaped,
    /// They are not.
    Plain,
}

/// A string with Go's escapes.
pub(crate) fn write_text(text: &str, html: Html, out: &mut Vec<u8>) {
    out.push(b'"');
    write_escaped(text, html, out);
    out.push(b'"');
}

/// The same without the quotes.
pub(crate) fn write_escaped(text: &str, html: Html, out: &mut Vec<u8>) {
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '<' | '>' | '&' if html == Html::Plain => out.push(c as u8),
            '<' | '>' | '&' | '\u{2028}' | '\u{2029}' | '\0'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes());
            }
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
}

/// A float as `json.Marshal` writes it: ES6's rule with Go's exponent.
pub fn marshal_float(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-6..1e21).contains(&size) {
        // Rust writes `1e21` and `1e-7`, Go `1e+21` and `1e-7` (it drops the zero of `e-07`).
        let text = format!("{value:e}");
        return match text.split_once('e') {
            Some((digits, exponent)) if !exponent.starts_with('-') => format!("{digits}e+{exponent}"),
            _ => text,
        };
    }
    plain_float(value)
}

/// A float as `strconv.FormatFloat(value, 'f', -1, 64)` writes it: shortest, never an exponent.
pub fn plain_float(value: f64) -> String {
    format!("{value}")
}

#[cfg(test)]
mod tests {
    use super::{Json, Numbers, marshal_float, plain_float};

    fn marshalled(text: &str, numbers: Numbers) -> String {
        String::from_utf8(Json::parse(text.as_bytes()).unwrap().marshal(numbers).unwrap().to_vec()).unwrap()
    }

    #[test]
    fn keys_are_sorted_and_html_is_escaped() {
        let text =
            "{ \"z\": 1.0, \"a\": \"<&>\\u2028é\\u0001\\b\", \"m\": [true, null, {\"y\": {}, \"x\": []}] }";
        let expected = r#"{"a":"\u003c\u0026\u003e\u2028é\u0001\b","m":[true,null,{"x":[],"y":{}}],"z":1.0}"#;
        assert_eq!(marshalled(text, Numbers::Text), expected);
        assert_eq!(marshalled(text, Numbers::Float), expected.replace("1.0", "1"));
    }

    #[test]
    fn floats_are_written_as_go_writes_them() {
        for (value, marshal, plain) in [
            (1e21, "1e+21", "1000000000000000000000"),
            (1e20, "100000000000000000000", "100000000000000000000"),
            (1.5e-7, "1.5e-7", "0.00000015"),
            (1e-6, "0.000001", "0.000001"),
            (-0.0, "-0", "-0"),
            (9_007_199_254_740_993.0, "9007199254740992", "9007199254740992"),
            (0.1, "0.1", "0.1"),
            (-1.25e100, "-1.25e+100", &format!("-125{}", "0".repeat(98))),
        ] {
            assert_eq!(marshal_float(value), marshal);
            assert_eq!(plain_float(value), plain);
        }
    }

    #[test]
    fn deep_and_broken_texts_are_refused() {
        assert!(Json::parse(&b"[".repeat(100_000)).is_err());
        assert!(Json::parse(b"{} {}").is_err());
        assert!(Json::parse(b"").is_err());
        assert!(Json::parse(&[b'"', 0xff, b'"']).is_err());
    }
}
