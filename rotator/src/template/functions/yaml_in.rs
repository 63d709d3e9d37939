//! YAML in, by the rules of YAML 1.1 as Go's yaml.v2 reads it: `yes` is true, `010` is 8, the last of equal keys
//! counts, merges happen where they stand. What is read goes through JSON, so numbers become floats.

use std::collections::HashMap;
use std::sync::LazyLock;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Tag};
use regex::Regex;

use crate::template::parse::whole_text;
use crate::template::print::general;
use crate::template::run::{Fail, Run};
use crate::template::value::{Entries, Text, Value};

static FLOAT: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?$").ok());
static TIME: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let clock = r"[0-9]{1,2}:[0-9]{1,2}:[0-9]{1,2}(\.[0-9]+)?";
    let zoned = format!(r"[Tt]{clock}(Z|[+-][0-9]{{2}}:[0-9]{{2}})");
    Regex::new(&format!("^[0-9]{{4}}-(0?[1-9]|1[0-2])-(0?[1-9]|[12][0-9]|3[01])({zoned}| {clock})?$")).ok()
});
static SIXTY_BASED: LazyLock<Option<Regex>> =
    LazyLock::new(|| Regex::new(r"^[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?$").ok());

fn matches(regex: &LazyLock<Option<Regex>>, text: &str) -> bool {
    regex.as_ref().is_some_and(|regex| regex.is_match(text))
}

/// What a plain scalar means.
#[derive(Debug, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Text,
    /// A time, which is read as text and written in quotes.
    Time,
}

/// What a plain scalar means by its looks.
pub(super) fn resolve(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => {
            return Scalar::Bool(true);
        }
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        ".nan" | ".NaN" | ".NAN" => return Scalar::Float(f64::NAN),
        ".inf" | ".Inf" | ".INF" | "+.inf" | "+.Inf" | "+.INF" => return Scalar::Float(f64::INFINITY),
        "-.inf" | "-.Inf" | "-.INF" => return Scalar::Float(f64::NEG_INFINITY),
        _ => {}
    }
    let first = text.as_bytes().first().copied().unwrap_or_default();
    if first == b'.' {
        return if matches(&FLOAT, text) { float(text) } else { Scalar::Text };
    }
    if !(first.is_ascii_digit() || matches!(first, b'+' | b'-')) {
        return Scalar::Text;
    }
    if matches(&TIME, text) {
        return Scalar::Time;
    }
    let plain = text.replace('_', "");
    let (negative, digits) = match plain.as_bytes().first() {
        Some(b'-') => (true, plain.get(1..).unwrap_or_default()),
        Some(b'+') => (false, plain.get(1..).unwrap_or_default()),
        _ => (false, plain.as_str()),
    };
    if let Some(size) = whole_text(digits) {
        let signed = if negative { -i128::from(size) } else { i128::from(size) };
        if let Ok(whole) = i64::try_from(signed) {
            return Scalar::Int(whole);
        }
        // Only an unsigned text is an unsigned number.
        if digits.len() == plain.len() {
            return Scalar::Uint(size);
        }
    }
    if matches(&FLOAT, &plain) { float(&plain) } else { Scalar::Text }
}

fn float(text: &str) -> Scalar {
    match text.parse() {
        Ok(float) if f64::is_finite(float) => Scalar::Float(float),
        _ => Scalar::Text,
    }
}

/// `1:30` was once a number, and is written in quotes.
pub(super) fn is_sixty_based(text: &str) -> bool {
    text.contains(':') && matches(&SIXTY_BASED, text)
}

/// The operator's `fromYaml`: what cannot be read is said under the key `Error`.
pub(super) fn from_yaml(run: &Run, text: &Text) -> Result<Value, Fail> {
    let source = text.lossy();
    let error = match read(run, &source) {
        Ok(Value::Nil) => return Ok(Value::map(Entries::new())),
        Ok(map @ Value::Map(_)) => return Ok(map),
        Ok(other) => {
            let kind = match other {
                Value::List(..) => "array",
                Value::Text(_) => "string",
                Value::Bool(_) => "bool",
                _ => "number",
            };
            format!(
                "error unmarshaling JSON: while decoding JSON: json: cannot unmarshal {kind} into Go value of type \
                 map[string]interface {{}}"
            )
        }
        Err(Bad::Text(what)) => format!("error converting YAML to JSON: {what}"),
        Err(Bad::Fail(fail)) => return Err(fail),
    };
    Ok(Value::map([(Text::from("Error"), Value::text(error))].into()))
}

/// Why a text gives no value.
pub(crate) enum Bad {
    /// It is no such YAML; in yaml.v2's words.
    Text(String),
    /// It is too large.
    Fail(Fail),
}

impl From<Fail> for Bad {
    fn from(fail: Fail) -> Self {
        Self::Fail(fail)
    }
}

/// The first document of a text.
pub(crate) fn read(run: &Run, source: &str) -> Result<Value, Bad> {
    let mut reader = Reader { run, events: Parser::new_from_str(source), source, anchors: HashMap::new() };
    loop {
        match reader.next()? {
            None | Some(Event::StreamEnd) => return Ok(Value::Nil),
            Some(Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd) => {}
            Some(event) => {
                let value = reader.value(event, 0)?;
                // What follows the first document must be YAML as far as the parser has looked: its end.
                reader.next()?;
                return Ok(value);
            }
        }
    }
}

struct Reader<'a> {
    run: &'a Run,
    events: Parser<'a, granit_parser::StrInput<'a>>,
    source: &'a str,
    anchors: HashMap<usize, Value>,
}

impl<'a> Reader<'a> {
    fn next(&mut self) -> Result<Option<Event<'a>>, Bad> {
        self.run.step()?;
        loop {
            match self.events.next() {
                None => return Ok(None),
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok((event, _))) => return Ok(Some(event)),
                Some(Err(error)) => return Err(Bad::Text(self.words(&error))),
            }
        }
    }

    /// The parser's complaint as libyaml says it.
    fn words(&self, error: &ScanError) -> String {
        let info = error.info();
        // From 0, as libyaml counts; the first line is not named.
        let mut line = error.marker().line().saturating_sub(1);
        let ends_open = |signs: [char; 2]| self.source.trim_end().ends_with(signs);
        let (problem, is_scanners) = if info.starts_with("unclosed bracket") {
            // libyaml complains about the end of the text, which begins a line of its own.
            line = self.source.lines().count();
            let problem = match (ends_open(['[', ',']) || ends_open(['{', ',']), info.contains('[')) {
                (true, _) => "did not find expected node content",
                (false, true) => "did not find expected ',' or ']'",
                (false, false) => "did not find expected ',' or '}'",
            };
            (problem, false)
        } else if info.contains("unclosed quote") {
            line = self.source.lines().count().saturating_sub(1);
            ("found unexpected end of stream", true)
        } else if info.contains("unknown anchor") {
            return format!("yaml: unknown anchor{} referenced", self.alias(error));
        } else {
            let scanners =
                ["while scanning", "mapping values are not", "block sequence entries are not", "found a tab"];
            let is_scanners = scanners.iter().any(|start| info.starts_with(start));
            (info.rsplit_once(", ").map_or(info.as_str(), |(_, problem)| problem), is_scanners)
        };
        match line {
            0 => format!("yaml: {problem}"),
            line => format!("yaml: line {}: {problem}", line + usize::from(is_scanners)),
        }
    }

    /// The name of the alias at a place, in quotes.
    fn alias(&self, error: &ScanError) -> String {
        let line = self.source.lines().nth(error.marker().line().saturating_sub(1)).unwrap_or_default();
        let name = line.rsplit('*').next().unwrap_or_default();
        let end = name.find(|c: char| !(c.is_alphanumeric() || matches!(c, '_' | '-'))).unwrap_or(name.len());
        format!(" '{}'", name.get(..end).unwrap_or_default())
    }

    fn value(&mut self, event: Event<'a>, depth: usize) -> Result<Value, Bad> {
        let depth = self.run.deeper(depth)?;
        let (anchor, value) = match event {
            Event::Scalar(text, style, anchor, tag) => (anchor, scalar(&text, style, tag.as_deref())?),
            Event::Alias(anchor) => {
                let known = self.anchors.get(&anchor).cloned();
                return known.ok_or_else(|| Bad::Text("yaml: unknown anchor referenced".to_owned()));
            }
            Event::SequenceStart(_, anchor, _) => {
                let mut items = Vec::new();
                loop {
                    match self.next()? {
                        None | Some(Event::SequenceEnd) => break,
                        Some(event) => items.push(self.value(event, depth)?),
                    }
                }
                (anchor, Value::list(items))
            }
            Event::MappingStart(_, anchor, _) => {
                let mut entries = Entries::new();
                loop {
                    match self.next()? {
                        None | Some(Event::MappingEnd) => break,
                        Some(key) => self.entry(key, depth, &mut entries)?,
                    }
                }
                (anchor, Value::map(entries))
            }
            _ => (0, Value::Nil),
        };
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        Ok(value)
    }

    fn entry(&mut self, key: Event<'a>, depth: usize, entries: &mut Entries) -> Result<(), Bad> {
        let is_merge =
            matches!(&key, Event::Scalar(text, ScalarStyle::Plain, _, None) if text.as_ref() == "<<");
        let key = if is_merge { None } else { Some(self.key(key, depth)?) };
        let Some(event) = self.next()? else { return Ok(()) };
        let value = self.value(event, depth)?;
        match key {
            Some(key) => {
                entries.insert(key, value);
            }
            None => self.merge(&value, entries)?,
        }
        Ok(())
    }

    fn key(&mut self, event: Event<'a>, depth: usize) -> Result<Text, Bad> {
        let value = self.value(event, depth)?;
        match value {
            Value::Text(text) => Ok(text),
            Value::Bool(value) => Ok(Text::from(value.to_string())),
            Value::Float(float) => Ok(Text::from(general(float, None))),
            Value::Int(whole) => Ok(Text::from(whole.to_string())),
            _ => Err(Bad::Text("unsupported map key".to_owned())),
        }
    }

    fn merge(&self, value: &Value, entries: &mut Entries) -> Result<(), Bad> {
        match value {
            Value::Map(map) => {
                for (key, value) in map.0.borrow().iter() {
                    self.run.step()?;
                    entries.insert(key.clone(), value.clone());
                }
                Ok(())
            }
            // Of several the first counts most.
            Value::List(_, list) if list.0.iter().all(|item| matches!(item, Value::Map(_))) => {
                list.0.iter().rev().try_for_each(|item| self.merge(item, entries))
            }
            _ => Err(Bad::Text("yaml: map merge requires map or sequence of maps as the value".to_owned())),
        }
    }
}

/// A scalar's value. Whole numbers are kept as such for keys; [`Reader`] hands out floats.
fn scalar(text: &str, style: ScalarStyle, tag: Option<&Tag>) -> Result<Value, Bad> {
    let tag = tag.map(ToString::to_string).unwrap_or_default();
    let as_text = || Ok(Value::text(text));
    if tag.ends_with("str") || (style != ScalarStyle::Plain && tag.is_empty()) {
        return as_text();
    }
    if tag.ends_with("binary") {
        return super::encoding::decode64(text.as_bytes())
            .map(Value::bytes)
            .map_err(|_| Bad::Text("yaml: !!binary value contains invalid base64 data".to_owned()));
    }
    #[expect(clippy::cast_precision_loss, reason = "JSON's numbers are floats in Go")]
    match resolve(text) {
        Scalar::Null => Ok(Value::Nil),
        Scalar::Bool(value) => Ok(Value::Bool(value)),
        Scalar::Int(whole) => Ok(Value::Float(whole as f64)),
        Scalar::Uint(whole) => Ok(Value::Float(whole as f64)),
        Scalar::Float(float) if float.is_finite() => Ok(Value::Float(float)),
        Scalar::Float(_) => Err(Bad::Text("json: unsupported value".to_owned())),
        Scalar::Text | Scalar::Time => as_text(),
    }
}
