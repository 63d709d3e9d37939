//! JSON paths as Go's gjson reads them: the crate of that name, and the modifiers that it lacks.

use gjson::Kind;
use zeroize::Zeroizing;

use super::go_json::{Html, plain_float, write_text};
use super::value::ValueError;

/// Modifiers of our own.
const MODIFIERS: [&str; 5] = ["keys", "values", "tostr", "fromstr", "group"];
/// More of them in one path are no path that a person wrote.
const MODIFIERS_MAX: usize = 16;

type Text = Zeroizing<String>;

/// What lies at a path, as text; none if nothing does.
///
/// # Errors
/// When a number there is none.
pub fn find(json: &str, path: &str) -> Result<Option<Text>, ValueError> {
    // A path that breaks the library finds nothing; the hook of the process prints no payload.
    std::panic::catch_unwind(|| found(json, path, 0)).unwrap_or(Ok(None))
}

fn found(json: &str, path: &str, depth: usize) -> Result<Option<Text>, ValueError> {
    let Some((before, name, after)) = modifier(path).filter(|_| depth < MODIFIERS_MAX) else {
        let value = gjson::get(json, path);
        return if value.exists() { shown(&value).map(Some) } else { Ok(None) };
    };
    let raw = if before.is_empty() {
        Zeroizing::new(json.to_owned())
    } else {
        let value = gjson::get(json, before);
        if !value.exists() {
            return Ok(None);
        }
        Zeroizing::new(value.json().to_owned())
    };
    let Some(made) = modified(&raw, name) else { return Ok(None) };
    if after.is_empty() {
        let value = gjson::parse(&made);
        return if value.exists() { shown(&value).map(Some) } else { Ok(None) };
    }
    found(&made, after, depth + 1)
}

/// A value as a Secret holds it: text raw, null empty, floats without an exponent.
fn shown(value: &gjson::Value<'_>) -> Result<Text, ValueError> {
    let is_whole = |text: &str| text.trim_start_matches('-').bytes().all(|byte| byte.is_ascii_digit());
    Ok(Zeroizing::new(match value.kind() {
        Kind::Null => String::new(),
        Kind::Number if !is_whole(value.json()) => {
            let number = value.json().parse();
            plain_float(number.map_err(|_| ValueError::NotAnObject { what: "the property" })?)
        }
        _ => value.str().to_owned(),
    }))
}

/// The first modifier of ours: what stands before it, its name, what follows.
fn modifier(path: &str) -> Option<(&str, &str, &str)> {
    let bytes = path.as_bytes();
    let (mut quoted, mut open) = (false, 0_i32);
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        match byte {
            b'\\' => at += 1,
            b'"' => quoted = !quoted,
            b'(' | b'[' | b'{' if !quoted => open += 1,
            b')' | b']' | b'}' if !quoted => open -= 1,
            b'@' if !quoted && open == 0 => {
                let starts = at == 0 || matches!(bytes.get(at - 1), Some(b'.' | b'|'));
                let rest = path.get(at + 1..)?;
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(rest.len());
                let name = rest.get(..end)?;
                if starts && MODIFIERS.contains(&name) {
                    let before = path.get(..at.saturating_sub(1))?;
                    // An argument means nothing to them.
                    let left = rest.get(end..)?;
                    let next = left.find(['.', '|']).map_or(left.len(), |next| next + 1);
                    return Some((before, name, left.get(next..)?));
                }
            }
            _ => {}
        }
        at += 1;
    }
    None
}

fn modified(json: &str, name: &str) -> Option<Text> {
    let value = gjson::parse(json);
    let mut out = Zeroizing::new(String::with_capacity(json.len() + 16));
    let mut first = true;
    let mut item = |out: &mut Text, raw: &str| {
        if !std::mem::take(&mut first) {
            out.push(',');
        }
        out.push_str(raw);
    };
    match name {
        "keys" | "values" if !value.exists() => out.push_str("[]"),
        "keys" => {
            out.push('[');
            let is_object = value.kind() == Kind::Object;
            value.each(|key, _| {
                item(&mut out, if is_object { key.json() } else { "null" });
                true
            });
            out.push(']');
        }
        "values" if value.kind() == Kind::Array => out.push_str(json),
        "values" => {
            out.push('[');
            value.each(|_, value| {
                item(&mut out, value.json());
                true
            });
            out.push(']');
        }
        "tostr" => {
            let mut bytes = Zeroizing::new(Vec::with_capacity(json.len() + 16));
            write_text(json, Html::Escaped, &mut bytes);
            out.push_str(std::str::from_utf8(&bytes).ok()?);
        }
        "fromstr" if gjson::valid(json) => out.push_str(value.str()),
        "group" if value.kind() == Kind::Object => {
            let mut groups: Vec<Text> = Vec::new();
            value.each(|key, list| {
                if list.kind() != Kind::Array {
                    return true;
                }
                let mut index = 0;
                list.each(|_, value| {
                    if index == groups.len() {
                        groups.push(Zeroizing::new(String::new()));
                    }
                    if let Some(group) = groups.get_mut(index) {
                        let separator = if group.is_empty() { "" } else { "," };
                        let grown = format!("{}{separator}{}:{}", group.as_str(), key.json(), value.json());
                        *group = Zeroizing::new(grown);
                    }
                    index += 1;
                    true
                });
                true
            });
            out.push('[');
            for group in &groups {
                item(&mut out, &Zeroizing::new(format!("{{{}}}", group.as_str())));
            }
            out.push(']');
        }
        _ => return None,
    }
    Some(out)
}

#[cfg(test)]
mod tests {
    use super::find;

    #[test]
    fn modifiers_work_as_in_go() {
        let json = r#"{"obj":{"z":1,"a":"<&>"},"arr":["x",2],"json":"{\"in\":{\"k\":\"v\"}}",
            "cols":{"n":["a","b"],"v":[1,2]},"a@keys":"own","s":"t"}"#;
        for (path, expected) in [
            ("obj|@keys", Some(r#"["z","a"]"#)),
            ("obj.@keys", Some(r#"["z","a"]"#)),
            ("obj|@keys|0", Some("z")),
            ("obj.@values", Some(r#"[1,"<&>"]"#)),
            ("arr|@values", Some(r#"["x",2]"#)),
            ("arr|@keys", Some("[null,null]")),
            ("json|@fromstr|in.k", Some("v")),
            ("json|@fromstr.in.k", Some("v")),
            ("obj.a|@tostr", Some(r#""<&>""#)),
            ("arr|@tostr", Some(r#"["x",2]"#)),
            ("cols|@group", Some(r#"[{"n":"a","v":1},{"n":"b","v":2}]"#)),
            ("cols|@group|#.n", Some(r#"["a","b"]"#)),
            ("nope|@keys", None),
            ("s|@fromstr", None),
            ("arr|@group", None),
            ("obj|@keys|@reverse|0", Some("a")),
        ] {
            assert_eq!(find(json, path).unwrap().as_deref().map(String::as_str), expected, "{path}");
        }
    }
}
