//! YAML out, as Go's yaml.v2 emits what came through JSON: the fewest quotes, lines of 80, lists not indented.

use std::cmp::Ordering;

use super::yaml_in::{self, Scalar};
use super::{Arguments, Entry, Param, dates, of, semver};
use zeroize::Zeroizing;

use crate::sync::go_json::marshal_float;
use crate::template::print::general;
use crate::template::run::{Fail, Run};
use crate::template::value::{Text, Value};

mod scalar;

use Param::{Any, Text as Str};

pub(super) const FUNCTIONS: &[Entry] =
    &[("fromYaml", of(&[Str], |a| yaml_in::from_yaml(a.run, &a.text()))), ("toYaml", of(&[Any], to_yaml))];

/// Longer keys stand on a line of their own after `?`.
const SIMPLE_KEY_MAX: usize = 128;

fn to_yaml(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let value = arguments.any();
    let mut emitter = Emitter { run: arguments.run, out: Zeroizing::new(String::new()) };
    emitter.value(&value, 0, Place::Root, 0)?;
    let text = emitter.out;
    Ok(Value::text(text.strip_suffix('\n').unwrap_or(&text)))
}

/// Where a value stands.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Root,
    /// After `key:`
    Entry,
    /// After `- `
    Item,
}

struct Emitter<'a> {
    run: &'a Run,
    out: Zeroizing<String>,
}

impl Emitter<'_> {
    fn column(&self) -> usize {
        let line = self.out.rsplit('\n').next().unwrap_or_default();
        line.chars().count()
    }

    fn indent(&mut self, indent: usize) {
        self.out.extend(std::iter::repeat_n(' ', indent));
    }

    /// `indent` is where the value's own lines begin.
    fn value(&mut self, value: &Value, indent: usize, place: Place, depth: usize) -> Result<(), Fail> {
        let depth = self.run.deeper(depth)?;
        self.run.length(self.out.len())?;
        match value {
            Value::Map(map) => {
                let entries = map.0.borrow();
                let mut sorted: Vec<(&Text, &Value)> = entries.iter().collect();
                sorted.sort_by(|(a, _), (b, _)| natural(&a.lossy(), &b.lossy()));
                self.map(sorted, indent, place, depth)
            }
            Value::Strings(map) => {
                let values: Vec<(Text, Value)> =
                    map.iter().map(|(key, text)| (key.clone(), Value::Text(text.clone()))).collect();
                let mut sorted: Vec<(&Text, &Value)> =
                    values.iter().map(|(key, value)| (key, value)).collect();
                sorted.sort_by(|(a, _), (b, _)| natural(&a.lossy(), &b.lossy()));
                self.map(sorted, indent, place, depth)
            }
            Value::Pair(pair) => {
                let values = [("Cert", &pair.cert), ("Key", &pair.key)]
                    .map(|(name, text)| (Text::from(name), Value::Text(text.clone())));
                self.map(values.iter().map(|(key, value)| (key, value)).collect(), indent, place, depth)
            }
            Value::List(_, list) => self.list(&list.0, indent, place, depth),
            scalar => {
                let text = plain(scalar)?;
                let is_text = matches!(scalar, Value::Text(_) | Value::Time(_) | Value::Version(_));
                if place != Place::Root {
                    self.out.push(' ');
                }
                self.scalar(&text, is_text, indent.max(2), false);
                self.out.push('\n');
                Ok(())
            }
        }
    }

    fn scalar(&mut self, text: &str, is_text: bool, indent: usize, is_key: bool) {
        if !is_text {
            self.out.push_str(text);
            return;
        }
        let column = self.column();
        scalar::write(text, scalar::At { column, indent, is_key }, &mut self.out);
    }

    fn map(
        &mut self,
        entries: Vec<(&Text, &Value)>,
        indent: usize,
        place: Place,
        depth: usize,
    ) -> Result<(), Fail> {
        if entries.is_empty() {
            self.out.push_str(if place == Place::Root { "{}\n" } else { " {}\n" });
            return Ok(());
        }
        match place {
            Place::Root => {}
            Place::Entry => self.out.push('\n'),
            Place::Item => self.out.push(' '),
        }
        for (index, (key, value)) in entries.into_iter().enumerate() {
            if place != Place::Item || index > 0 {
                self.indent(indent);
            }
            let name = key.lossy();
            let simple = name.len() <= SIMPLE_KEY_MAX
                && !name.contains(['\n', '\r', '\u{85}', '\u{2028}', '\u{2029}']);
            if simple {
                self.scalar(&name, true, indent + 2, true);
                self.out.push(':');
            } else {
                self.out.push_str("? ");
                self.scalar(&name, true, indent + 2, false);
                self.out.push('\n');
                self.indent(indent);
                self.out.push(':');
            }
            // Lists stand below their key, not further in.
            let inner = if matches!(value, Value::List(..)) && simple { indent } else { indent + 2 };
            self.value(value, inner, if simple { Place::Entry } else { Place::Item }, depth)?;
        }
        Ok(())
    }

    fn list(&mut self, items: &[Value], indent: usize, place: Place, depth: usize) -> Result<(), Fail> {
        if items.is_empty() {
            self.out.push_str(if place == Place::Root { "[]\n" } else { " []\n" });
            return Ok(());
        }
        match place {
            Place::Root => {}
            Place::Entry => self.out.push('\n'),
            Place::Item => self.out.push(' '),
        }
        for (index, item) in items.iter().enumerate() {
            if place != Place::Item || index > 0 {
                self.indent(indent);
            }
            self.out.push('-');
            self.value(item, indent + 2, Place::Item, depth)?;
        }
        Ok(())
    }
}

/// A scalar's text before quotes.
fn plain(value: &Value) -> Result<String, Fail> {
    Ok(match value {
        Value::Nil => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Float(value) if value.is_finite() => number(*value),
        Value::Float(_) => return Err(Fail::new("YAML made of JSON has no such number")),
        Value::Text(text) => text.lossy().to_string(),
        Value::Time(time) => dates::rfc3339(time),
        Value::Version(version) => semver::shown(version),
        other => other.whole().unwrap_or(0).to_string(),
    })
}

/// A float goes through JSON: whole ones come back as integers.
fn number(value: f64) -> String {
    let text = marshal_float(value);
    match yaml_in::resolve(&text) {
        Scalar::Int(whole) => whole.to_string(),
        Scalar::Uint(whole) => whole.to_string(),
        Scalar::Float(float) => general(float, None),
        Scalar::Null | Scalar::Bool(_) | Scalar::Text | Scalar::Time => text,
    }
}

/// Keys in yaml.v2's order: numbers by value, letters after other characters.
fn natural(a: &str, b: &str) -> Ordering {
    let (x, y): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let Some(at) = x.iter().zip(&y).position(|(a, b)| a != b) else { return x.len().cmp(&y.len()) };
    let (Some(c), Some(d)) = (x.get(at), y.get(at)) else { return Ordering::Equal };
    match (c.is_alphabetic(), d.is_alphabetic()) {
        (true, true) => return c.cmp(d),
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let digits = |chars: &[char]| -> (u128, usize) {
        let run: Vec<char> = chars.iter().skip(at).take_while(|c| c.is_ascii_digit()).copied().collect();
        let value = run.iter().take(30).fold(0, |sum, c| sum * 10 + u128::from(u32::from(*c) - 48));
        (value, run.len())
    };
    let ((mut value, count), (mut other, others)) = (digits(&x), digits(&y));
    if *c == '0' || *d == '0' {
        // Within a number that began before, zeros count.
        let before = x.get(..at).unwrap_or_default();
        if before.iter().rev().take_while(|c| c.is_ascii_digit()).any(|c| *c != '0') {
            (value, other) = (1, 1);
        }
    }
    value.cmp(&other).then(count.cmp(&others)).then(c.cmp(d))
}
