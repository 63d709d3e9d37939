//! JSON as Go's encoding/json reads and writes it.

use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{Arguments, Entry, Param, dates, of, semver};
use crate::sync::go_json::{Html, Json, marshal_float, write_escaped};
use crate::template::run::{Fail, Run};
use crate::template::value::{Entries, Text, Value};

use Param::{Any, Text as Str};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("fromJson", of(&[Str], |a| Ok(parse(a.run, &a.text())?.unwrap_or_default()))),
    ("mustFromJson", of(&[Str], must_parse)),
    ("mustToJson", of(&[Any], |a| Ok(Value::bytes(written(a, Html::Escaped, None)?)))),
    ("mustToPrettyJson", of(&[Any], |a| Ok(Value::bytes(written(a, Html::Escaped, Some(0))?)))),
    ("mustToRawJson", of(&[Any], |a| Ok(Value::bytes(written(a, Html::Plain, None)?)))),
    // These two give nothing where their relatives fail.
    ("toJson", of(&[Any], |a| Ok(Value::bytes(written(a, Html::Escaped, None).unwrap_or_default())))),
    (
        "toPrettyJson",
        of(&[Any], |a| Ok(Value::bytes(written(a, Html::Escaped, Some(0)).unwrap_or_default()))),
    ),
    ("toRawJson", of(&[Any], |a| Ok(Value::bytes(written(a, Html::Plain, None)?)))),
];

fn must_parse(arguments: &mut Arguments<'_>) -> Made {
    parse(arguments.run, &arguments.text())?.ok_or_else(|| Fail::new("the text is not JSON"))
}

/// What a JSON text means; none if it is not JSON.
fn parse(run: &Run, text: &Text) -> Result<Option<Value>, Fail> {
    let text = text.lossy();
    match Json::parse(text.as_bytes()) {
        Ok(json) => opened(run, &json, 0),
        Err(_) => Ok(None),
    }
}

fn opened(run: &Run, json: &Json<'_>, depth: usize) -> Result<Option<Value>, Fail> {
    let depth = run.deeper(depth)?;
    let inner = |raw: &RawValue| match Json::open(raw) {
        Ok(json) => opened(run, &json, depth),
        Err(_) => Ok(None),
    };
    Ok(match json {
        Json::Null => Some(Value::Nil),
        Json::Bool(value) => Some(Value::Bool(*value)),
        Json::Number(text) => text.parse().ok().filter(|float: &f64| float.is_finite()).map(Value::Float),
        Json::Text(text) => Some(Value::text(text.as_str())),
        Json::List(items) => {
            let mut values = Vec::with_capacity(items.len());
            for item in items {
                let Some(value) = inner(item)? else { return Ok(None) };
                values.push(value);
            }
            Some(Value::list(values))
        }
        Json::Map(entries) => {
            let mut values = Entries::new();
            for (key, raw) in entries {
                let Some(value) = inner(raw)? else { return Ok(None) };
                values.insert(Text::from(key.as_str()), value);
            }
            Some(Value::map(values))
        }
    })
}

fn written(arguments: &mut Arguments<'_>, html: Html, indent: Option<usize>) -> Result<Vec<u8>, Fail> {
    let mut out = Zeroizing::new(Vec::new());
    write(arguments.run, &arguments.any(), html, indent, 0, &mut out)?;
    Ok(std::mem::take(&mut *out))
}

/// Writes a value; with an indent each entry on a line of its own.
pub(super) fn write(
    run: &Run,
    value: &Value,
    html: Html,
    indent: Option<usize>,
    depth: usize,
    out: &mut Zeroizing<Vec<u8>>,
) -> Result<(), Fail> {
    let depth = run.deeper(depth)?;
    run.length(out.len())?;
    let text = |text: &[u8], out: &mut Zeroizing<Vec<u8>>| {
        out.push(b'"');
        for chunk in text.utf8_chunks() {
            write_escaped(chunk.valid(), html, out);
            for _ in chunk.invalid() {
                out.extend_from_slice(b"\\ufffd");
            }
        }
        out.push(b'"');
    };
    let line = |level: usize, out: &mut Zeroizing<Vec<u8>>| {
        if indent.is_some() {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b' ', level * 2));
        }
    };
    let level = indent.unwrap_or(0);
    let inner = indent.map(|indent| indent + 1);
    match value {
        Value::Nil => out.extend_from_slice(b"null"),
        Value::Bool(value) => out.extend_from_slice(value.to_string().as_bytes()),
        Value::Float(value) if value.is_finite() => out.extend_from_slice(marshal_float(*value).as_bytes()),
        Value::Float(_) => return Err(Fail::new("JSON has no such number")),
        Value::Text(bytes) => text(bytes.bytes(), out),
        Value::Time(time) => text(dates::rfc3339(time).as_bytes(), out),
        Value::Version(version) => text(semver::shown(version).as_bytes(), out),
        Value::Strings(map) => {
            let entries = map.iter().map(|(key, text)| (key.clone(), Value::Text(text.clone()))).collect();
            return write(run, &Value::map(entries), html, indent, depth, out);
        }
        Value::Pair(pair) => {
            let entries = [("Cert", &pair.cert), ("Key", &pair.key)];
            let entries = entries.map(|(name, text)| (Text::from(name), Value::Text(text.clone())));
            return write(run, &Value::map(entries.into()), html, indent, depth, out);
        }
        Value::List(_, list) => {
            out.push(b'[');
            for (index, item) in list.0.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                line(level + 1, out);
                write(run, item, html, inner, depth, out)?;
            }
            if !list.0.is_empty() {
                line(level, out);
            }
            out.push(b']');
        }
        Value::Map(map) => {
            let entries = map.0.borrow();
            out.push(b'{');
            for (index, (key, item)) in entries.iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                line(level + 1, out);
                text(key.bytes(), out);
                out.extend_from_slice(if indent.is_some() { b": " } else { b":" });
                write(run, item, html, inner, depth, out)?;
            }
            if !entries.is_empty() {
                line(level, out);
            }
            out.push(b'}');
        }
        other => out.extend_from_slice(other.whole().unwrap_or(0).to_string().as_bytes()),
    }
    Ok(())
}
