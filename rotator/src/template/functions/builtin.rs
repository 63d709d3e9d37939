//! Go's own functions.

use std::cmp::Ordering;

use super::{Arguments, Entry, Param, many, of};
use crate::template::print;
use crate::template::run::Fail;
use crate::template::value::{Text, Value};

pub(super) const FUNCTIONS: &[Entry] = &[
    ("call", many(&[Param::Any], Param::Any, |_| Err(Fail::new("there are no functions among the values")))),
    ("eq", many(&[Param::Any], Param::Any, eq)),
    ("ge", of(&[Param::Any, Param::Any], |a| compared(a, Ordering::is_ge))),
    ("gt", of(&[Param::Any, Param::Any], |a| compared(a, Ordering::is_gt))),
    ("html", many(&[], Param::Any, |a| escaped(a, html))),
    ("index", many(&[Param::Any], Param::Any, index)),
    ("js", many(&[], Param::Any, |a| escaped(a, js))),
    ("le", of(&[Param::Any, Param::Any], |a| compared(a, Ordering::is_le))),
    ("len", of(&[Param::Any], len)),
    ("lt", of(&[Param::Any, Param::Any], |a| compared(a, Ordering::is_lt))),
    ("ne", of(&[Param::Any, Param::Any], ne)),
    ("not", of(&[Param::Any], |a| Ok(Value::Bool(!a.any().is_true())))),
    ("print", many(&[], Param::Any, |a| Ok(Value::bytes(print::sprint(a.run, &a.rest())?)))),
    ("printf", many(&[Param::Text], Param::Any, printf)),
    ("println", many(&[], Param::Any, |a| Ok(Value::bytes(print::sprintln(a.run, &a.rest())?)))),
    ("urlquery", many(&[], Param::Any, |a| escaped(a, super::url::query_escape))),
];

fn printf(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let format = arguments.text();
    Ok(Value::bytes(print::sprintf(arguments.run, format.bytes(), &arguments.rest())?))
}

fn escaped(arguments: &mut Arguments<'_>, escape: fn(&[u8]) -> Vec<u8>) -> Result<Value, Fail> {
    let values = arguments.rest();
    let text = match values.as_slice() {
        [Value::Text(text)] => text.clone(),
        values => Text::new(print::sprint(arguments.run, values)?),
    };
    Ok(Value::bytes(escape(text.bytes())))
}

fn html(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 4);
    for byte in text {
        match byte {
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            byte => out.push(*byte),
        }
    }
    out
}

fn js(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + text.len() / 4);
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '\\' => out.extend_from_slice(b"\\\\"),
            '\'' => out.extend_from_slice(b"\\'"),
            '"' => out.extend_from_slice(b"\\\""),
            '<' | '>' | '&' | '=' | '\0'..='\u{1f}' => {
                out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes());
            }
            c if c.is_ascii() || print::is_printable(c) => out.extend_from_slice(c.to_string().as_bytes()),
            c => out.extend_from_slice(format!("\\u{:04X}", u32::from(c)).as_bytes()),
        }
    }
    out
}

fn len(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let value = arguments.any();
    let length = match &value {
        Value::Text(text) => text.bytes().len(),
        Value::List(_, list) => list.0.len(),
        Value::Map(map) => map.0.borrow().len(),
        Value::Strings(map) => map.len(),
        other => return Err(Fail::new(format!("{} has no length", other.type_name()))),
    };
    Ok(Value::Int(i64::try_from(length).unwrap_or(i64::MAX)))
}

fn index(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let mut value = arguments.any();
    for at in arguments.rest() {
        value = one(&value, &at)?;
    }
    Ok(value)
}

fn one(value: &Value, at: &Value) -> Result<Value, Fail> {
    let wrong_type = || Fail::new(format!("{} cannot be an index of {}", at.type_name(), value.type_name()));
    match (value, at) {
        (Value::Map(map), Value::Text(key)) => Ok(map.0.borrow().get(key).cloned().unwrap_or_default()),
        (Value::Strings(map), Value::Text(key)) => Ok(Value::Text(map.get(key).cloned().unwrap_or_default())),
        (Value::List(_, list), at) => {
            let at = at.whole().ok_or_else(wrong_type)?;
            let item = usize::try_from(at).ok().and_then(|at| list.0.get(at));
            item.cloned().ok_or_else(|| Fail::new("the index is out of range"))
        }
        (Value::Text(text), at) => {
            let at = at.whole().ok_or_else(wrong_type)?;
            let byte = usize::try_from(at).ok().and_then(|at| text.bytes().get(at));
            byte.map(|byte| Value::Int(i64::from(*byte)))
                .ok_or_else(|| Fail::new("the index is out of range"))
        }
        (Value::Nil, _) => Err(Fail::new("nil has no index")),
        _ => Err(wrong_type()),
    }
}

/// The kinds that can be compared with one another.
#[derive(PartialEq)]
enum Basic {
    Bool,
    Int,
    Float,
    Text,
    Other,
}

fn basic(value: &Value) -> Basic {
    match value {
        Value::Bool(_) => Basic::Bool,
        Value::Int(_) | Value::Int64(_) | Value::Duration(_) | Value::Month(_) | Value::Weekday(_) => {
            Basic::Int
        }
        Value::Float(_) => Basic::Float,
        Value::Text(_) => Basic::Text,
        _ => Basic::Other,
    }
}

fn incompatible(a: &Value, b: &Value) -> Fail {
    Fail::new(format!("{} and {} cannot be compared", a.type_name(), b.type_name()))
}

fn equal(a: &Value, b: &Value) -> Result<bool, Fail> {
    if basic(a) != basic(b) {
        return match (a, b) {
            (Value::Nil, _) | (_, Value::Nil) => Ok(false),
            _ => Err(incompatible(a, b)),
        };
    }
    match (a, b) {
        (Value::Bool(a), Value::Bool(b)) => Ok(a == b),
        (Value::Float(a), Value::Float(b)) => Ok(a == b),
        (Value::Text(a), Value::Text(b)) => Ok(a == b),
        (Value::Nil, Value::Nil) => Ok(true),
        (Value::Nil, _) | (_, Value::Nil) => Ok(false),
        (Value::Time(a), Value::Time(b)) => Ok(a.timestamp() == b.timestamp()),
        (Value::Pair(a), Value::Pair(b)) => Ok(a.cert == b.cert && a.key == b.key),
        (Value::Version(a), Value::Version(b)) => Ok(std::rc::Rc::ptr_eq(a, b)),
        (a, b) => match (a.whole(), b.whole()) {
            (Some(a), Some(b)) => Ok(a == b),
            _ => Err(incompatible(a, b)),
        },
    }
}

fn eq(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let first = arguments.any();
    let others = arguments.rest();
    if others.is_empty() {
        return Err(Fail::new("there is nothing to compare with"));
    }
    for other in &others {
        if equal(&first, other)? {
            return Ok(Value::Bool(true));
        }
    }
    Ok(Value::Bool(false))
}

fn ne(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let (a, b) = (arguments.any(), arguments.any());
    Ok(Value::Bool(!equal(&a, &b)?))
}

fn compared(arguments: &mut Arguments<'_>, wanted: fn(Ordering) -> bool) -> Result<Value, Fail> {
    let (a, b) = (arguments.any(), arguments.any());
    let order = match (&a, &b) {
        (Value::Float(a), Value::Float(b)) => a.partial_cmp(b),
        (Value::Text(a), Value::Text(b)) => Some(a.cmp(b)),
        (x, y) => match (x.whole(), y.whole()) {
            (Some(x), Some(y)) => Some(x.cmp(&y)),
            _ => return Err(incompatible(&a, &b)),
        },
    };
    // Without an order (not a number) nothing holds.
    Ok(Value::Bool(order.is_some_and(wanted)))
}
