//! Paths with slashes.

use super::{Entry, Param, of};
use crate::template::value::Value;

use Param::Text as Str;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("base", of(&[Str], |a| Ok(Value::bytes(base(a.text().bytes()))))),
    ("clean", of(&[Str], |a| Ok(Value::bytes(clean(a.text().bytes()))))),
    ("dir", of(&[Str], |a| Ok(Value::bytes(dir(a.text().bytes()))))),
    ("ext", of(&[Str], |a| Ok(Value::bytes(ext(a.text().bytes()))))),
    ("isAbs", of(&[Str], |a| Ok(Value::Bool(a.text().bytes().starts_with(b"/"))))),
    ("osBase", of(&[Str], |a| Ok(Value::bytes(base(a.text().bytes()))))),
    ("osClean", of(&[Str], |a| Ok(Value::bytes(clean(a.text().bytes()))))),
    ("osDir", of(&[Str], |a| Ok(Value::bytes(dir(a.text().bytes()))))),
    ("osExt", of(&[Str], |a| Ok(Value::bytes(ext(a.text().bytes()))))),
    ("osIsAbs", of(&[Str], |a| Ok(Value::Bool(a.text().bytes().starts_with(b"/"))))),
];

fn base(path: &[u8]) -> Vec<u8> {
    if path.is_empty() {
        return b".".to_vec();
    }
    let end = path.iter().rposition(|byte| *byte != b'/').map_or(0, |last| last + 1);
    let trimmed = path.get(..end).unwrap_or_default();
    if trimmed.is_empty() {
        return b"/".to_vec();
    }
    trimmed.rsplit(|byte| *byte == b'/').next().unwrap_or_default().to_vec()
}

fn dir(path: &[u8]) -> Vec<u8> {
    let end = path.iter().rposition(|byte| *byte == b'/').map_or(0, |slash| slash + 1);
    clean(path.get(..end).unwrap_or_default())
}

fn ext(path: &[u8]) -> Vec<u8> {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
    let dot = name.iter().rposition(|byte| *byte == b'.');
    dot.and_then(|dot| name.get(dot..)).unwrap_or_default().to_vec()
}

/// Without empty and `.` elements, and `..` resolved as far as that goes.
fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.starts_with(b"/");
    let mut kept: Vec<&[u8]> = Vec::new();
    for element in path.split(|byte| *byte == b'/') {
        match element {
            b"" | b"." => {}
            b".." if kept.last().is_some_and(|last| *last != b"..") => {
                kept.pop();
            }
            b".." if rooted => {}
            element => kept.push(element),
        }
    }
    let joined = kept.join(&b'/');
    match (rooted, joined.is_empty()) {
        (true, _) => [b"/".as_slice(), &joined].concat(),
        (false, true) => b".".to_vec(),
        (false, false) => joined,
    }
}
