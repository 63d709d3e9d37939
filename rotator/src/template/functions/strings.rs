//! Texts. Lengths and positions are bytes, as in sprig, unless said otherwise.

use super::{Arguments, Entry, Param, many, of};
use crate::template::print;
use crate::template::run::{Fail, Run};
use crate::template::value::{Text, Value};

use Param::{Any, Int, Text as Str};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("abbrev", of(&[Int, Str], |a| Ok(abbreviated(0, a.int(), &a.text(), true)))),
    ("abbrevboth", of(&[Int, Int, Str], |a| Ok(abbreviated(a.int(), a.int(), &a.text(), false)))),
    ("cat", many(&[], Any, cat)),
    (
        "contains",
        of(&[Str, Str], |a| Ok(Value::Bool(find(a.text().bytes(), a.text().bytes(), true).is_some()))),
    ),
    ("hasPrefix", of(&[Str, Str], |a| tested(a, |part, text| text.starts_with(part)))),
    ("hasSuffix", of(&[Str, Str], |a| tested(a, |part, text| text.ends_with(part)))),
    ("hello", of(&[], |_| Ok(Value::text("Hello!")))),
    ("indent", of(&[Int, Str], |a| indent(a, ""))),
    ("join", of(&[Str, Any], join)),
    ("lower", of(&[Str], |a| Ok(Value::text(a.text().lossy().to_lowercase_simple())))),
    ("nindent", of(&[Int, Str], |a| indent(a, "\n"))),
    ("nospace", of(&[Str], |a| Ok(kept(&a.text(), |c| !c.is_whitespace())))),
    ("plural", of(&[Str, Str, Int], plural)),
    ("quote", many(&[], Any, quote)),
    ("repeat", of(&[Int, Str], repeat)),
    ("replace", of(&[Str, Str, Str], replace)),
    ("split", of(&[Str, Str], |a| split_map(a, false))),
    ("splitList", of(&[Str, Str], split_list)),
    ("splitn", of(&[Str, Int, Str], |a| split_map(a, true))),
    ("squote", many(&[], Any, squote)),
    ("substr", of(&[Int, Int, Str], substring)),
    ("toString", of(&[Any], |a| Ok(Value::Text(strval(a.run, &a.any())?)))),
    ("toStrings", of(&[Any], |a| Ok(Value::texts(strslice(a.run, &a.any())?)))),
    ("trim", of(&[Str], |a| Ok(Value::bytes(trimmed(a.text().bytes()).to_vec())))),
    ("trimAll", of(&[Str, Str], trim_all)),
    ("trimPrefix", of(&[Str, Str], |a| Ok(stripped(a, |text, part| text.strip_prefix(part))))),
    ("trimSuffix", of(&[Str, Str], |a| Ok(stripped(a, |text, part| text.strip_suffix(part))))),
    ("trimall", of(&[Str, Str], trim_all)),
    ("trunc", of(&[Int, Str], truncated)),
    ("upper", of(&[Str], |a| Ok(Value::text(a.text().lossy().to_uppercase_simple())))),
    ("wrap", of(&[Int, Str], |a| Ok(wrapped(a.int(), b"\n", a.text().bytes(), false)))),
    ("wrapWith", of(&[Int, Str, Str], |a| Ok(wrapped(a.int(), a.text().bytes(), a.text().bytes(), true)))),
];

/// Go maps each character to one: `ß` stays itself in upper case.
trait SimpleCase {
    fn to_lowercase_simple(&self) -> String;
    fn to_uppercase_simple(&self) -> String;
}

impl SimpleCase for str {
    fn to_lowercase_simple(&self) -> String {
        self.chars().map(super::cases::lower).collect()
    }

    fn to_uppercase_simple(&self) -> String {
        self.chars().map(super::cases::upper).collect()
    }
}

/// sprig's `strval`.
pub(super) fn strval(run: &Run, value: &Value) -> Result<Text, Fail> {
    match value {
        Value::Text(text) => Ok(text.clone()),
        other => Ok(Text::new(print::sprint(run, std::slice::from_ref(other))?)),
    }
}

/// sprig's `strslice`: the items as texts, without nil.
pub(super) fn strslice(run: &Run, value: &Value) -> Result<Vec<Text>, Fail> {
    match value {
        Value::Nil => Ok(Vec::new()),
        Value::List(_, list) => {
            list.0.iter().filter(|item| !matches!(item, Value::Nil)).map(|item| strval(run, item)).collect()
        }
        other => Ok(vec![strval(run, other)?]),
    }
}

/// Where a part stands in a text; the first place, or the last.
pub(super) fn find(part: &[u8], text: &[u8], first: bool) -> Option<usize> {
    if part.is_empty() {
        return Some(if first { 0 } else { text.len() });
    }
    let mut places = text.windows(part.len());
    if first { places.position(|window| window == part) } else { places.rposition(|window| window == part) }
}

/// Go's `strings.SplitN`; an empty separator cuts into characters.
pub(super) fn split(separator: &[u8], text: &[u8], most: i64) -> Vec<Text> {
    if most == 0 {
        return Vec::new();
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let mut parts = Vec::new();
    let mut rest = text;
    if separator.is_empty() {
        while !rest.is_empty() && parts.len() + 1 < most {
            let (character, left) = rest.split_at(character_bytes(rest));
            parts.push(Text::new(character.to_vec()));
            rest = left;
        }
        if !rest.is_empty() {
            parts.push(Text::new(rest.to_vec()));
        }
        return parts;
    }
    while parts.len() + 1 < most {
        let Some(at) = find(separator, rest, true) else { break };
        let (part, left) = rest.split_at(at);
        parts.push(Text::new(part.to_vec()));
        rest = left.get(separator.len()..).unwrap_or_default();
    }
    parts.push(Text::new(rest.to_vec()));
    parts
}

/// How many bytes the first character takes; one for a byte that is no UTF-8.
pub(super) fn character_bytes(text: &[u8]) -> usize {
    (1..=text.len().min(4))
        .find(|length| text.get(..*length).is_some_and(|bytes| std::str::from_utf8(bytes).is_ok()))
        .unwrap_or(1)
}

fn tested(arguments: &mut Arguments<'_>, test: fn(&[u8], &[u8]) -> bool) -> Made {
    let (part, text) = (arguments.text(), arguments.text());
    Ok(Value::Bool(test(part.bytes(), text.bytes())))
}

fn stripped(arguments: &mut Arguments<'_>, strip: for<'t> fn(&'t [u8], &[u8]) -> Option<&'t [u8]>) -> Value {
    let (part, text) = (arguments.text(), arguments.text());
    strip(text.bytes(), part.bytes()).map_or(Value::Text(text.clone()), |rest| Value::bytes(rest.to_vec()))
}

fn kept(text: &Text, keep: fn(char) -> bool) -> Value {
    Value::text(text.lossy().chars().filter(|c| keep(*c)).collect::<String>())
}

/// Without white space of Unicode around it.
pub(super) fn trimmed(text: &[u8]) -> &[u8] {
    let mut rest = text;
    while let Some(character) =
        rest.get(..character_bytes(rest)).and_then(|bytes| std::str::from_utf8(bytes).ok())
        && !character.is_empty()
        && character.chars().all(char::is_whitespace)
    {
        rest = rest.get(character.len()..).unwrap_or_default();
    }
    loop {
        let last = (1..=rest.len().min(4)).find_map(|length| {
            let bytes = rest.get(rest.len() - length..)?;
            std::str::from_utf8(bytes).ok()
        });
        match last {
            Some(last) if last.chars().all(char::is_whitespace) => {
                rest = rest.get(..rest.len() - last.len()).unwrap_or_default();
            }
            _ => return rest,
        }
    }
}

fn trim_all(arguments: &mut Arguments<'_>) -> Made {
    let (set, text) = (arguments.text(), arguments.text());
    let set: Vec<char> = set.lossy().chars().collect();
    let text = text.lossy();
    Ok(Value::text(text.trim_matches(|c| set.contains(&c))))
}

fn abbreviated(left: i64, right: i64, text: &Text, plain: bool) -> Value {
    let unchanged = if plain { right < 4 } else { right < 4 || (left > 0 && right < 7) };
    if unchanged {
        return Value::Text(text.clone());
    }
    Value::bytes(shortened(text.bytes(), left, right))
}

/// The text in at most `width` bytes, from `offset` on, with dots for what is left out.
fn shortened(text: &[u8], offset: i64, width: i64) -> Vec<u8> {
    let width = usize::try_from(width).unwrap_or_default();
    if text.len() <= width {
        return text.to_vec();
    }
    if width < 4 {
        return Vec::new();
    }
    let room = width - 3;
    let mut offset = usize::try_from(offset).unwrap_or_default().min(text.len());
    if text.len() - offset < room {
        offset = text.len() - room;
    }
    let part = |from: usize, to: usize| text.get(from..to.min(text.len())).unwrap_or_default();
    if offset <= 4 {
        return [part(0, room), b"..."].concat();
    }
    if width < 7 {
        return Vec::new();
    }
    if offset + room < text.len() {
        return [
            b"...".as_slice(),
            &shortened(part(offset, text.len()), 0, i64::try_from(room).unwrap_or(0)),
        ]
        .concat();
    }
    [b"...".as_slice(), part(text.len() - room, text.len())].concat()
}

fn cat(arguments: &mut Arguments<'_>) -> Made {
    let run = arguments.run;
    let texts: Result<Vec<Text>, Fail> = arguments
        .rest()
        .iter()
        .filter(|value| !matches!(value, Value::Nil))
        .map(|value| strval(run, value))
        .collect();
    Ok(Value::bytes(joined(run, &texts?, b" ")?))
}

fn joined(run: &Run, texts: &[Text], separator: &[u8]) -> Result<Vec<u8>, Fail> {
    let length: usize = texts.iter().map(|text| text.bytes().len() + separator.len()).sum();
    run.length(length)?;
    let mut out = Vec::with_capacity(length);
    for (index, text) in texts.iter().enumerate() {
        if index > 0 {
            out.extend_from_slice(separator);
        }
        out.extend_from_slice(text.bytes());
    }
    Ok(out)
}

fn join(arguments: &mut Arguments<'_>) -> Made {
    let separator = arguments.text();
    let texts = strslice(arguments.run, &arguments.any())?;
    Ok(Value::bytes(joined(arguments.run, &texts, separator.bytes())?))
}

fn quote(arguments: &mut Arguments<'_>) -> Made {
    let run = arguments.run;
    let given = arguments.rest();
    let given = given.iter().filter(|value| !matches!(value, Value::Nil));
    let texts: Result<Vec<Text>, Fail> =
        given.map(|value| Ok(Text::new(print::quoted(strval(run, value)?.bytes())))).collect();
    Ok(Value::bytes(joined(run, &texts?, b" ")?))
}

fn squote(arguments: &mut Arguments<'_>) -> Made {
    let run = arguments.run;
    let given = arguments.rest();
    let given = given.iter().filter(|value| !matches!(value, Value::Nil));
    let texts: Result<Vec<Text>, Fail> =
        given.map(|value| Ok(Text::new([b"'", strval(run, value)?.bytes(), b"'"].concat()))).collect();
    Ok(Value::bytes(joined(run, &texts?, b" ")?))
}

fn indent(arguments: &mut Arguments<'_>, before: &str) -> Made {
    let (spaces, text) = (arguments.int(), arguments.text());
    let spaces = usize::try_from(spaces).map_err(|_| Fail::new("a number of spaces is negative"))?;
    let lines = text.bytes().iter().filter(|byte| **byte == b'\n').count() + 1;
    arguments.run.length(lines.saturating_mul(spaces).saturating_add(text.bytes().len()))?;
    let pad = vec![b' '; spaces];
    let mut out = before.as_bytes().to_vec();
    out.extend_from_slice(&pad);
    for byte in text.bytes() {
        out.push(*byte);
        if *byte == b'\n' {
            out.extend_from_slice(&pad);
        }
    }
    Ok(Value::bytes(out))
}

fn repeat(arguments: &mut Arguments<'_>) -> Made {
    let (count, text) = (arguments.int(), arguments.text());
    let count = usize::try_from(count).map_err(|_| Fail::new("the count is negative"))?;
    arguments.run.length(count.saturating_mul(text.bytes().len()))?;
    if text.bytes().is_empty() {
        return Ok(Value::text(""));
    }
    Ok(Value::bytes(text.bytes().repeat(count)))
}

fn replace(arguments: &mut Arguments<'_>) -> Made {
    let (old, new, text) = (arguments.text(), arguments.text(), arguments.text());
    let parts = if old.bytes().is_empty() {
        // Go puts the new text before each character and at the end.
        let mut parts = vec![Text::default()];
        parts.extend(split(b"", text.bytes(), -1));
        parts.push(Text::default());
        parts
    } else {
        split(old.bytes(), text.bytes(), -1)
    };
    Ok(Value::bytes(joined(arguments.run, &parts, new.bytes())?))
}

fn plural(arguments: &mut Arguments<'_>) -> Made {
    let (one, many, count) = (arguments.text(), arguments.text(), arguments.int());
    Ok(Value::Text(if count == 1 { one } else { many }))
}

fn split_list(arguments: &mut Arguments<'_>) -> Made {
    let (separator, text) = (arguments.text(), arguments.text());
    Ok(Value::texts(split(separator.bytes(), text.bytes(), -1)))
}

fn split_map(arguments: &mut Arguments<'_>, limited: bool) -> Made {
    let separator = arguments.text();
    let most = if limited { arguments.int() } else { -1 };
    let parts = split(separator.bytes(), arguments.text().bytes(), most);
    let named = parts.into_iter().enumerate().map(|(index, part)| (Text::from(format!("_{index}")), part));
    Ok(Value::strings(named.collect()))
}

fn substring(arguments: &mut Arguments<'_>) -> Made {
    let (start, end, text) = (arguments.int(), arguments.int(), arguments.text());
    let length = i64::try_from(text.bytes().len()).unwrap_or(i64::MAX);
    let (from, to) = if start < 0 {
        (0, end)
    } else if end < 0 || end > length {
        (start, length)
    } else {
        (start, end)
    };
    let part = usize::try_from(from).ok().zip(usize::try_from(to).ok());
    let part = part.and_then(|(from, to)| text.bytes().get(from..to));
    part.map(|part| Value::bytes(part.to_vec()))
        .ok_or_else(|| Fail::new("the range lies outside of the text"))
}

fn truncated(arguments: &mut Arguments<'_>) -> Made {
    let (count, text) = (arguments.int(), arguments.text());
    let size = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    let bytes = text.bytes();
    let part = match count {
        ..0 if bytes.len() > size => bytes.get(bytes.len() - size..),
        0.. if bytes.len() > size => bytes.get(..size),
        _ => None,
    };
    Ok(part.map_or(Value::Text(text.clone()), |part| Value::bytes(part.to_vec())))
}

/// Lines of at most `width` bytes; words that are longer are cut, or stay whole.
fn wrapped(width: i64, separator: &[u8], text: &[u8], cuts: bool) -> Value {
    let separator = if separator.is_empty() { b"\n" } else { separator };
    let width = usize::try_from(width.max(1)).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(text.len() + text.len() / 4);
    let mut rest = text;
    while rest.len() > width {
        if rest.first() == Some(&b' ') {
            rest = rest.get(1..).unwrap_or_default();
            continue;
        }
        let window = rest.get(..=width).unwrap_or(rest);
        let (line, skip) = match window.iter().rposition(|byte| *byte == b' ') {
            Some(space) => (space, space + 1),
            None if cuts => (width, width),
            None => match rest.iter().skip(width).position(|byte| *byte == b' ') {
                Some(space) => (width + space, width + space + 1),
                None => break,
            },
        };
        out.extend_from_slice(rest.get(..line).unwrap_or_default());
        out.extend_from_slice(separator);
        rest = rest.get(skip..).unwrap_or_default();
    }
    out.extend_from_slice(rest);
    Value::bytes(out)
}
