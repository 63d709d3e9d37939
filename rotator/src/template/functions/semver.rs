//! Versions and constraints as Masterminds/semver reads them.

use std::cmp::Ordering;

use super::{Arguments, Entry, Param, of};
use crate::template::run::Fail;
use crate::template::value::Value;

use Param::Text as Str;

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] =
    &[("semver", of(&[Str], semver)), ("semverCompare", of(&[Str, Str], compare))];

/// The longest text that is read as a version.
const BYTES_MAX: usize = 256;

/// A version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    before: String,
    metadata: String,
    original: String,
}

/// `1.2.3-rc.1+build`
pub fn shown(version: &Version) -> String {
    let [major, minor, patch] = version.numbers;
    let mut text = format!("{major}.{minor}.{patch}");
    if !version.before.is_empty() {
        text.push('-');
        text.push_str(&version.before);
    }
    if !version.metadata.is_empty() {
        text.push('+');
        text.push_str(&version.metadata);
    }
    text
}

fn is_identifiers(text: &str) -> bool {
    text.split('.')
        .all(|part| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-'))
}

/// The parts of a version text, of which the numbers may be wildcards.
fn parts(text: &str) -> Option<(Vec<&str>, &str, &str)> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (rest, metadata) = text.split_once('+').unwrap_or((text, ""));
    let (numbers, before) = rest.split_once('-').unwrap_or((rest, ""));
    let has_metadata = text.contains('+');
    let has_before = rest.contains('-');
    if (has_metadata && !is_identifiers(metadata)) || (has_before && !is_identifiers(before)) {
        return None;
    }
    let numbers: Vec<&str> = numbers.split('.').collect();
    (1..=3).contains(&numbers.len()).then_some((numbers, before, metadata))
}

fn parse(text: &str) -> Option<Version> {
    if text.len() > BYTES_MAX {
        return None;
    }
    let (numbers, before, metadata) = parts(text)?;
    let mut read = [0; 3];
    for (slot, number) in read.iter_mut().zip(&numbers) {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slot = number.parse().ok()?;
    }
    // A number of an identifier has no leading zero.
    let leads =
        |part: &str| part.len() > 1 && part.starts_with('0') && part.bytes().all(|b| b.is_ascii_digit());
    if before.split('.').any(leads) {
        return None;
    }
    Some(Version {
        numbers: read,
        before: before.to_owned(),
        metadata: metadata.to_owned(),
        original: text.to_owned(),
    })
}

fn order_identifiers(a: &str, b: &str) -> Ordering {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => return Ordering::Equal,
        (true, false) => return Ordering::Greater,
        (false, true) => return Ordering::Less,
        (false, false) => {}
    }
    let (mut first, mut second) = (a.split('.'), b.split('.'));
    loop {
        let order = match (first.next(), second.next()) {
            (None, None) => return Ordering::Equal,
            (None, Some(_)) => Ordering::Less,
            (Some(_), None) => Ordering::Greater,
            (Some(a), Some(b)) => match (a.parse::<u64>(), b.parse::<u64>()) {
                (Ok(a), Ok(b)) => a.cmp(&b),
                (Ok(_), Err(_)) => Ordering::Less,
                (Err(_), Ok(_)) => Ordering::Greater,
                (Err(_), Err(_)) => a.cmp(b),
            },
        };
        if order != Ordering::Equal {
            return order;
        }
    }
}

fn order(a: &Version, b: &Version) -> Ordering {
    a.numbers.cmp(&b.numbers).then_with(|| order_identifiers(&a.before, &b.before))
}

#[derive(Clone, Copy, PartialEq)]
enum Sign {
    Equal,
    Not,
    Above,
    Below,
    AtLeast,
    AtMost,
    Tilde,
    Caret,
}

/// One condition.
struct Condition {
    sign: Sign,
    version: Version,
    /// From which number on anything will do: 3 is none.
    open_from: usize,
}

fn number_is_wild(number: &str) -> bool {
    matches!(number, "x" | "X" | "*")
}

fn condition(text: &str) -> Option<Condition> {
    let end = text.find(|c: char| !matches!(c, '=' | '!' | '>' | '<' | '~' | '^')).unwrap_or(text.len());
    let (sign, rest) = text.split_at(end);
    let sign = match sign {
        "" | "=" => Sign::Equal,
        "!=" => Sign::Not,
        ">" => Sign::Above,
        "<" => Sign::Below,
        ">=" | "=>" => Sign::AtLeast,
        "<=" | "=<" => Sign::AtMost,
        "~" | "~>" => Sign::Tilde,
        "^" => Sign::Caret,
        _ => return None,
    };
    let rest = rest.trim();
    let (numbers, before, metadata) = parts(rest)?;
    let open_from = numbers.iter().position(|number| number_is_wild(number)).unwrap_or(numbers.len());
    let mut read = [0; 3];
    for (slot, number) in read.iter_mut().zip(&numbers).take(open_from) {
        if number.is_empty() || !number.bytes().all(|byte| byte.is_ascii_digit()) {
            return None;
        }
        *slot = number.parse().ok()?;
    }
    if numbers.iter().skip(open_from).any(|number| !number_is_wild(number)) {
        return None;
    }
    let version = Version {
        numbers: read,
        before: before.to_owned(),
        metadata: metadata.to_owned(),
        original: rest.to_owned(),
    };
    Some(Condition { sign, version, open_from })
}

impl Condition {
    /// The first version above what the numbers before `open_from` leave open.
    fn above(&self) -> Version {
        let mut numbers = self.version.numbers;
        if let Some(number) = self.open_from.checked_sub(1).and_then(|last| numbers.get_mut(last)) {
            *number = number.saturating_add(1);
        }
        for number in numbers.iter_mut().skip(self.open_from) {
            *number = 0;
        }
        Version { numbers, before: String::new(), metadata: String::new(), original: String::new() }
    }

    fn holds(&self, version: &Version) -> bool {
        let bound = &self.version;
        // Versions before a release count only where the condition names one.
        if !version.before.is_empty() && bound.before.is_empty() && self.sign != Sign::Not {
            return false;
        }
        let is_open = self.open_from < 3;
        let any = self.open_from == 0;
        let at_least = order(version, bound).is_ge();
        let below_next = any || order(version, &self.above()).is_lt();
        match self.sign {
            Sign::Equal if is_open => at_least && below_next,
            Sign::Equal => order(version, bound).is_eq(),
            Sign::Not if is_open => !(at_least && below_next),
            Sign::Not => order(version, bound).is_ne(),
            Sign::Above if is_open => !below_next,
            Sign::Above => order(version, bound).is_gt(),
            Sign::Below => order(version, bound).is_lt(),
            Sign::AtLeast => at_least,
            Sign::AtMost if is_open => below_next,
            Sign::AtMost => order(version, bound).is_le(),
            Sign::Tilde => {
                let minor =
                    Condition { sign: Sign::Equal, version: bound.clone(), open_from: self.open_from.min(2) };
                at_least && (any || order(version, &minor.above()).is_lt())
            }
            Sign::Caret => at_least && (any || self.same_left(version)),
        }
    }

    /// Whether the leftmost number that is not zero is the same.
    fn same_left(&self, version: &Version) -> bool {
        let ([major, minor, patch], [a, b, c]) = (self.version.numbers, version.numbers);
        if major > 0 || self.open_from == 1 {
            return a == major;
        }
        if a != major {
            return false;
        }
        if minor > 0 || self.open_from == 2 {
            return b == minor;
        }
        b == minor && c == patch
    }
}

/// `>=1.2, <2 || 3.x`: any of several, each all of its conditions.
fn constraint(text: &str) -> Option<Vec<Vec<Condition>>> {
    if text.len() > 4 * BYTES_MAX {
        return None;
    }
    text.split("||").map(group).collect()
}

fn group(text: &str) -> Option<Vec<Condition>> {
    let mut words: Vec<String> = Vec::new();
    // `>= 1.2` is one condition, `1.2 - 1.4` two.
    for word in text.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
        let is_sign = |word: &str| word.chars().all(|c| matches!(c, '=' | '!' | '>' | '<' | '~' | '^'));
        match words.last_mut() {
            Some(last) if is_sign(last) && last != "-" => last.push_str(word),
            _ => words.push(word.to_owned()),
        }
    }
    let mut conditions = Vec::new();
    let mut at = 0;
    while let Some(word) = words.get(at) {
        match (words.get(at + 1).map(String::as_str), words.get(at + 2)) {
            (Some("-"), Some(last)) => {
                conditions.push(condition(&format!(">={word}"))?);
                conditions.push(condition(&format!("<={last}"))?);
                at += 3;
            }
            _ => {
                conditions.push(condition(word)?);
                at += 1;
            }
        }
    }
    (!conditions.is_empty()).then_some(conditions)
}

fn compare(arguments: &mut Arguments<'_>) -> Made {
    let (wanted, version) = (arguments.text(), arguments.text());
    let wanted = wanted
        .text()
        .and_then(constraint)
        .ok_or_else(|| Fail::new("this is not a constraint of versions"))?;
    let version = version.text().and_then(parse).ok_or_else(|| Fail::new("this is not a version"))?;
    let holds = wanted.iter().any(|all| all.iter().all(|condition| condition.holds(&version)));
    Ok(Value::Bool(holds))
}

fn semver(arguments: &mut Arguments<'_>) -> Made {
    let text = arguments.text();
    let version = text.text().and_then(parse).ok_or_else(|| Fail::new("this is not a version"))?;
    Ok(Value::Version(std::rc::Rc::new(version)))
}

/// The methods of a version.
///
/// # Errors
/// When an argument is no version.
pub fn method(version: &Version, name: &str, arguments: &[Value]) -> Result<Option<Value>, Fail> {
    let [major, minor, patch] = version.numbers;
    let number = |number: u64| Some(Value::Int64(i64::try_from(number).unwrap_or(i64::MAX)));
    let with = |numbers: [u64; 3]| {
        let made =
            Version { numbers, before: String::new(), metadata: String::new(), original: String::new() };
        Some(Value::Version(std::rc::Rc::new(Version { original: shown(&made), ..made })))
    };
    Ok(match (name, arguments) {
        ("Major", []) => number(major),
        ("Minor", []) => number(minor),
        ("Patch", []) => number(patch),
        ("Prerelease", []) => Some(Value::text(version.before.as_str())),
        ("Metadata", []) => Some(Value::text(version.metadata.as_str())),
        ("Original", []) => Some(Value::text(version.original.as_str())),
        ("String", []) => Some(Value::text(shown(version))),
        ("IncMajor", []) => with([major.saturating_add(1), 0, 0]),
        ("IncMinor", []) => with([major, minor.saturating_add(1), 0]),
        ("IncPatch", []) if !version.before.is_empty() => with([major, minor, patch]),
        ("IncPatch", []) => with([major, minor, patch.saturating_add(1)]),
        ("Compare", [Value::Version(other)]) => Some(Value::Int(match order(version, other) {
            Ordering::Less => -1,
            Ordering::Equal => 0,
            Ordering::Greater => 1,
        })),
        ("Equal", [Value::Version(other)]) => Some(Value::Bool(order(version, other).is_eq())),
        ("LessThan", [Value::Version(other)]) => Some(Value::Bool(order(version, other).is_lt())),
        ("LessThanEqual", [Value::Version(other)]) => Some(Value::Bool(order(version, other).is_le())),
        ("GreaterThan", [Value::Version(other)]) => Some(Value::Bool(order(version, other).is_gt())),
        ("GreaterThanEqual", [Value::Version(other)]) => Some(Value::Bool(order(version, other).is_ge())),
        _ => None,
    })
}
