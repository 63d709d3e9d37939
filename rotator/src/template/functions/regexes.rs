//! Regular expressions.

use regex::bytes::Regex;

use super::{Arguments, Entry, Param, of};
use crate::template::go_regex::compile;
use crate::template::run::Fail;
use crate::template::value::{Items, List, Text, Value};

use Param::{Int, Text as Str};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("mustRegexFind", of(&[Str, Str], find)),
    ("mustRegexFindAll", of(&[Str, Str, Int], find_all)),
    ("mustRegexMatch", of(&[Str, Str], |a| Ok(Value::Bool(regex(a)?.is_match(a.text().bytes()))))),
    ("mustRegexReplaceAll", of(&[Str, Str, Str], |a| replaced(a, false))),
    ("mustRegexReplaceAllLiteral", of(&[Str, Str, Str], |a| replaced(a, true))),
    ("mustRegexSplit", of(&[Str, Str, Int], split)),
    ("regexFind", of(&[Str, Str], find)),
    ("regexFindAll", of(&[Str, Str, Int], find_all)),
    ("regexMatch", of(&[Str, Str], matches)),
    ("regexQuoteMeta", of(&[Str], |a| Ok(Value::bytes(quoted(a.text().bytes()))))),
    ("regexReplaceAll", of(&[Str, Str, Str], |a| replaced(a, false))),
    ("regexReplaceAllLiteral", of(&[Str, Str, Str], |a| replaced(a, true))),
    ("regexSplit", of(&[Str, Str, Int], split)),
];

fn regex(arguments: &mut Arguments<'_>) -> Result<Regex, Fail> {
    let pattern = arguments.text();
    pattern.text().and_then(compile).ok_or_else(|| Fail::new("this is not a regular expression"))
}

/// Unlike its relatives this one takes a broken expression for one that does not match.
fn matches(arguments: &mut Arguments<'_>) -> Made {
    let (pattern, text) = (arguments.text(), arguments.text());
    let regex = pattern.text().and_then(compile);
    Ok(Value::Bool(regex.is_some_and(|regex| regex.is_match(text.bytes()))))
}

fn find(arguments: &mut Arguments<'_>) -> Made {
    let regex = regex(arguments)?;
    let text = arguments.text();
    Ok(Value::bytes(regex.find(text.bytes()).map_or(Vec::new(), |found| found.as_bytes().to_vec())))
}

/// At most so many; a negative number means all.
fn at_most(count: i64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

fn find_all(arguments: &mut Arguments<'_>) -> Made {
    let regex = regex(arguments)?;
    let (text, count) = (arguments.text(), arguments.int());
    let mut found = Vec::new();
    for part in regex.find_iter(text.bytes()).take(at_most(count)) {
        arguments.run.step()?;
        found.push(Value::bytes(part.as_bytes().to_vec()));
    }
    Ok(Value::List(Items::Texts, std::rc::Rc::new(List(found))))
}

fn replaced(arguments: &mut Arguments<'_>, literal: bool) -> Made {
    let regex = regex(arguments)?;
    let (text, new) = (arguments.text(), arguments.text());
    let places = regex.find_iter(text.bytes()).count();
    arguments.run.length(places.saturating_mul(new.bytes().len()).saturating_add(text.bytes().len()))?;
    let made = if literal {
        regex.replace_all(text.bytes(), regex::bytes::NoExpand(new.bytes()))
    } else {
        regex.replace_all(text.bytes(), new.bytes())
    };
    arguments.run.length(made.len())?;
    Ok(Value::bytes(made.into_owned()))
}

fn split(arguments: &mut Arguments<'_>) -> Made {
    let regex = regex(arguments)?;
    let (text, count) = (arguments.text(), arguments.int());
    if count == 0 {
        return Ok(Value::texts(Vec::new()));
    }
    let bytes = text.bytes();
    if bytes.is_empty() {
        return Ok(Value::texts(vec![Text::default()]));
    }
    let most = at_most(count);
    let mut parts: Vec<Text> = Vec::new();
    let (mut begin, mut end) = (0, 0);
    for found in regex.find_iter(bytes) {
        arguments.run.step()?;
        if parts.len() + 1 == most {
            break;
        }
        end = found.start();
        // A match of nothing at the very start cuts nothing off.
        if found.end() != 0 {
            parts.push(Text::new(bytes.get(begin..end).unwrap_or_default().to_vec()));
        }
        begin = found.end();
    }
    if end != bytes.len() {
        parts.push(Text::new(bytes.get(begin..).unwrap_or_default().to_vec()));
    }
    Ok(Value::texts(parts))
}

fn quoted(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() * 2);
    for byte in text {
        if br"\.+*?()|[]{}^$".contains(byte) {
            out.push(b'\\');
        }
        out.push(*byte);
    }
    out
}
