//! Lists.

use std::rc::Rc;

use super::strings::{strslice, strval};
use super::{Arguments, Entry, Param, cast, many, of};
use crate::template::run::{DEPTH_MAX, Fail, Run};
use crate::template::value::{Items, List, Text, Value};

use Param::{Any, Int};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("append", of(&[Any, Any], push)),
    ("chunk", of(&[Int, Any], chunk)),
    ("compact", of(&[Any], compact)),
    ("concat", many(&[], Any, concat)),
    ("first", of(&[Any], first)),
    ("has", of(&[Any, Any], has)),
    (
        "initial",
        of(&[Any], |a| Ok(Value::list(parts(&a.any())?.split_last().map_or(&[][..], |(_, i)| i).to_vec()))),
    ),
    ("last", of(&[Any], |a| Ok(parts(&a.any())?.last().cloned().unwrap_or_default()))),
    ("list", many(&[], Any, |a| Ok(Value::list(a.rest())))),
    ("mustAppend", of(&[Any, Any], push)),
    ("mustChunk", of(&[Int, Any], chunk)),
    ("mustCompact", of(&[Any], compact)),
    ("mustFirst", of(&[Any], first)),
    ("mustHas", of(&[Any, Any], has)),
    (
        "mustInitial",
        of(&[Any], |a| Ok(Value::list(parts(&a.any())?.split_last().map_or(&[][..], |(_, i)| i).to_vec()))),
    ),
    ("mustLast", of(&[Any], |a| Ok(parts(&a.any())?.last().cloned().unwrap_or_default()))),
    ("mustPrepend", of(&[Any, Any], prepend)),
    ("mustPush", of(&[Any, Any], push)),
    ("mustRest", of(&[Any], rest)),
    ("mustReverse", of(&[Any], |a| Ok(Value::list(parts(&a.any())?.into_iter().rev().collect())))),
    ("mustSlice", many(&[Any], Any, slice)),
    ("mustUniq", of(&[Any], uniq)),
    ("mustWithout", many(&[Any], Any, without)),
    ("prepend", of(&[Any, Any], prepend)),
    ("push", of(&[Any, Any], push)),
    ("rest", of(&[Any], rest)),
    ("reverse", of(&[Any], |a| Ok(Value::list(parts(&a.any())?.into_iter().rev().collect())))),
    ("slice", many(&[Any], Any, slice)),
    ("sortAlpha", of(&[Any], sort_alpha)),
    ("tuple", many(&[], Any, |a| Ok(Value::list(a.rest())))),
    ("uniq", of(&[Any], uniq)),
    ("without", many(&[Any], Any, without)),
];

/// The items of a list.
fn parts(value: &Value) -> Result<Vec<Value>, Fail> {
    match value {
        Value::List(_, list) => Ok(list.0.clone()),
        other => Err(Fail::new(format!("a list is expected, and {} is given", other.type_name()))),
    }
}

/// The items of a list after its size has been counted.
fn counted(run: &Run, value: &Value) -> Result<Vec<Value>, Fail> {
    let items = parts(value)?;
    for _ in &items {
        run.step()?;
    }
    Ok(items)
}

fn push(arguments: &mut Arguments<'_>) -> Made {
    let mut items = counted(arguments.run, &arguments.any())?;
    items.push(arguments.any());
    Ok(Value::list(items))
}

fn prepend(arguments: &mut Arguments<'_>) -> Made {
    let mut items = counted(arguments.run, &arguments.any())?;
    items.insert(0, arguments.any());
    Ok(Value::list(items))
}

fn first(arguments: &mut Arguments<'_>) -> Made {
    Ok(parts(&arguments.any())?.into_iter().next().unwrap_or_default())
}

/// Of an empty list Go gives nil, which prints as an empty list.
fn rest(arguments: &mut Arguments<'_>) -> Made {
    Ok(Value::list(parts(&arguments.any())?.into_iter().skip(1).collect()))
}

fn chunk(arguments: &mut Arguments<'_>) -> Made {
    let size = usize::try_from(arguments.int()).unwrap_or(0);
    let items = parts(&arguments.any())?;
    if size == 0 {
        return Err(Fail::new("the size of a chunk is a positive number"));
    }
    let chunks = items.chunks(size).map(|chunk| Value::list(chunk.to_vec())).collect();
    Ok(Value::List(Items::Lists, Rc::new(List(chunks))))
}

fn compact(arguments: &mut Arguments<'_>) -> Made {
    let items = parts(&arguments.any())?;
    Ok(Value::list(items.into_iter().filter(|item| !super::defaults::is_empty(item)).collect()))
}

fn concat(arguments: &mut Arguments<'_>) -> Made {
    let run = arguments.run;
    let mut all = Vec::new();
    for list in arguments.rest() {
        all.extend(counted(run, &list)?);
    }
    Ok(Value::list(all))
}

fn contains(run: &Run, items: &[Value], wanted: &Value) -> Result<bool, Fail> {
    for item in items {
        if deep_equal(run, wanted, item, 0)? {
            return Ok(true);
        }
    }
    Ok(false)
}

fn has(arguments: &mut Arguments<'_>) -> Made {
    let (wanted, list) = (arguments.any(), arguments.any());
    if matches!(list, Value::Nil) {
        return Ok(Value::Bool(false));
    }
    Ok(Value::Bool(contains(arguments.run, &parts(&list)?, &wanted)?))
}

fn uniq(arguments: &mut Arguments<'_>) -> Made {
    let mut kept = Vec::new();
    for item in parts(&arguments.any())? {
        if !contains(arguments.run, &kept, &item)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn without(arguments: &mut Arguments<'_>) -> Made {
    let items = parts(&arguments.any())?;
    let (run, omitted) = (arguments.run, arguments.rest());
    let mut kept = Vec::new();
    for item in items {
        if !contains(run, &omitted, &item)? {
            kept.push(item);
        }
    }
    Ok(Value::list(kept))
}

fn slice(arguments: &mut Arguments<'_>) -> Made {
    let value = arguments.any();
    let items = parts(&value)?;
    if items.is_empty() {
        return Ok(Value::Nil);
    }
    let bounds = arguments.rest();
    let length = i64::try_from(items.len()).unwrap_or(i64::MAX);
    let start = bounds.first().map_or(0, cast::to_int);
    let end = bounds.get(1).map_or(length, cast::to_int);
    let range = usize::try_from(start).ok().zip(usize::try_from(end).ok());
    let part = range.and_then(|(start, end)| items.get(start..end));
    let part = part.ok_or_else(|| Fail::new("the range lies outside of the list"))?.to_vec();
    let kind = if let Value::List(kind, _) = &value { *kind } else { Items::Any };
    Ok(Value::List(kind, Rc::new(List(part))))
}

fn sort_alpha(arguments: &mut Arguments<'_>) -> Made {
    let value = arguments.any();
    let mut texts: Vec<Text> = match &value {
        Value::List(..) => strslice(arguments.run, &value)?,
        other => vec![strval(arguments.run, other)?],
    };
    texts.sort();
    Ok(Value::texts(texts))
}

/// `reflect.DeepEqual`: the types count too.
pub(super) fn deep_equal(run: &Run, a: &Value, b: &Value, depth: usize) -> Result<bool, Fail> {
    if depth > DEPTH_MAX {
        return Err(Fail::new("values nest too deep to be compared"));
    }
    run.step()?;
    Ok(match (a, b) {
        (Value::Nil, Value::Nil) => true,
        (Value::Bool(a), Value::Bool(b)) => a == b,
        (Value::Int(a), Value::Int(b))
        | (Value::Int64(a), Value::Int64(b))
        | (Value::Duration(a), Value::Duration(b)) => a == b,
        (Value::Month(a), Value::Month(b)) | (Value::Weekday(a), Value::Weekday(b)) => a == b,
        (Value::Float(a), Value::Float(b)) => a == b,
        (Value::Text(a), Value::Text(b)) => a == b,
        (Value::Strings(a), Value::Strings(b)) => a == b,
        (Value::Time(a), Value::Time(b)) => a.timestamp() == b.timestamp(),
        (Value::Pair(a), Value::Pair(b)) => a.cert == b.cert && a.key == b.key,
        (Value::Version(a), Value::Version(b)) => a == b,
        (Value::List(kind, a), Value::List(other, b)) => {
            if kind != other || a.0.len() != b.0.len() {
                return Ok(false);
            }
            for (a, b) in a.0.iter().zip(&b.0) {
                if !deep_equal(run, a, b, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        (Value::Map(a), Value::Map(b)) => {
            let (a, b) = (a.0.borrow(), b.0.borrow());
            if a.len() != b.len() {
                return Ok(false);
            }
            for ((key, a), (other, b)) in a.iter().zip(b.iter()) {
                if key != other || !deep_equal(run, a, b, depth + 1)? {
                    return Ok(false);
                }
            }
            true
        }
        _ => false,
    })
}
