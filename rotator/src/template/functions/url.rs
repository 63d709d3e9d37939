//! URLs as Go's net/url takes them apart and puts them together.

use super::{Arguments, Entry, Param, of};
use crate::template::run::Fail;
use crate::template::value::{Entries, Text, Value};

use Param::{Map, Text as Str};

pub(super) const FUNCTIONS: &[Entry] =
    &[("urlJoin", of(&[Map], join)), ("urlParse", of(&[Str], |a| parse(&a.text())))];

/// Where a text stands in a URL: what may stay as it is.
#[derive(Clone, Copy, PartialEq)]
enum Place {
    Path,
    UserInfo,
    Host,
    Fragment,
    Query,
}

fn keeps(byte: u8, place: Place) -> bool {
    match byte {
        b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => true,
        b'$' | b'&' | b'+' | b',' | b'/' | b':' | b';' | b'=' | b'?' | b'@' => match place {
            Place::Path => byte != b'?',
            Place::UserInfo => !matches!(byte, b'@' | b'/' | b'?' | b':'),
            Place::Host => !matches!(byte, b'/' | b'?' | b'@'),
            Place::Fragment => true,
            Place::Query => false,
        },
        b'!' | b'(' | b')' | b'*' => matches!(place, Place::Fragment | Place::Host),
        b'\'' | b'[' | b']' | b'<' | b'>' | b'"' => place == Place::Host,
        _ => false,
    }
}

fn escaped(text: &[u8], place: Place) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 8);
    for byte in text {
        if place == Place::Query && *byte == b' ' {
            out.push(b'+');
        } else if keeps(*byte, place) {
            out.push(*byte);
        } else {
            out.extend_from_slice(format!("%{byte:02X}").as_bytes());
        }
    }
    out
}

/// `url.QueryEscape`.
pub(super) fn query_escape(text: &[u8]) -> Vec<u8> {
    escaped(text, Place::Query)
}

fn unescaped(text: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, left)) = rest.split_first() {
        if *byte == b'%' {
            let digits = std::str::from_utf8(left.get(..2)?).ok()?;
            if !digits.bytes().all(|byte| byte.is_ascii_hexdigit()) {
                return None;
            }
            out.push(u8::from_str_radix(digits, 16).ok()?);
            rest = left.get(2..)?;
        } else {
            out.push(*byte);
            rest = left;
        }
    }
    Some(out)
}

#[derive(Default)]
struct Url {
    scheme: Vec<u8>,
    /// Escaped, as it is shown.
    user: Option<Vec<u8>>,
    host: Vec<u8>,
    path: Vec<u8>,
    query: Vec<u8>,
    opaque: Vec<u8>,
    fragment: Vec<u8>,
}

fn cut(text: &[u8], at: u8) -> (&[u8], Option<&[u8]>) {
    match text.iter().position(|byte| *byte == at) {
        Some(place) => (text.get(..place).unwrap_or_default(), text.get(place + 1..)),
        None => (text, None),
    }
}

fn read(text: &[u8]) -> Option<Url> {
    let mut url = Url::default();
    if text.iter().any(u8::is_ascii_control) {
        return None;
    }
    let (rest, fragment) = cut(text, b'#');
    url.fragment = unescaped(fragment.unwrap_or_default())?;
    let mut rest = rest;
    let scheme_end = rest.iter().position(|byte| !(byte.is_ascii_alphanumeric() || b"+-.".contains(byte)));
    if let Some(end) = scheme_end.filter(|end| rest.get(*end) == Some(&b':')) {
        let scheme = rest.get(..end).unwrap_or_default();
        match scheme.first() {
            None => return None,
            Some(first) if first.is_ascii_alphabetic() => {
                url.scheme = scheme.to_ascii_lowercase();
                rest = rest.get(end + 1..).unwrap_or_default();
            }
            Some(_) => {}
        }
    }
    let (before, query) = cut(rest, b'?');
    url.query = query.unwrap_or_default().to_vec();
    rest = before;
    if !rest.starts_with(b"/") {
        if !url.scheme.is_empty() {
            url.opaque = rest.to_vec();
            return Some(url);
        }
        // A colon in the first segment would be a scheme.
        if cut(rest, b'/').0.contains(&b':') {
            return None;
        }
    }
    if let Some(authority) = rest.strip_prefix(b"//").filter(|_| !rest.starts_with(b"///")) {
        let end = authority.iter().position(|byte| *byte == b'/').unwrap_or(authority.len());
        let (authority, path) = authority.split_at(end);
        authority_into(&mut url, authority)?;
        rest = path;
    }
    url.path = unescaped(rest)?;
    Some(url)
}

fn authority_into(url: &mut Url, authority: &[u8]) -> Option<()> {
    let host = match authority.iter().rposition(|byte| *byte == b'@') {
        None => authority,
        Some(at) => {
            let user = authority.get(..at)?;
            let allowed = |byte: &u8| byte.is_ascii_alphanumeric() || b"-._:~!$&'()*+,;=%@".contains(byte);
            if !user.iter().all(allowed) {
                return None;
            }
            let (name, password) = cut(user, b':');
            let mut shown = escaped(&unescaped(name)?, Place::UserInfo);
            if let Some(password) = password {
                shown.push(b':');
                shown.extend(escaped(&unescaped(password)?, Place::UserInfo));
            }
            url.user = Some(shown);
            authority.get(at + 1..)?
        }
    };
    let port = if host.starts_with(b"[") {
        let end = host.iter().position(|byte| *byte == b']')?;
        host.get(end + 1..)?
    } else {
        let colon = host.iter().rposition(|byte| *byte == b':');
        colon.and_then(|colon| host.get(colon..)).unwrap_or_default()
    };
    let is_port = port.is_empty() || (port.starts_with(b":") && port.iter().skip(1).all(u8::is_ascii_digit));
    if !is_port || host.contains(&b' ') {
        return None;
    }
    url.host = unescaped(host)?;
    Some(())
}

fn host_name(host: &[u8]) -> &[u8] {
    if let Some(inner) = host.strip_prefix(b"[") {
        return cut(inner, b']').0;
    }
    match host.iter().rposition(|byte| *byte == b':') {
        Some(colon) if host.iter().skip(colon + 1).all(u8::is_ascii_digit) => {
            host.get(..colon).unwrap_or(host)
        }
        _ => host,
    }
}

fn parse(text: &Text) -> Result<Value, Fail> {
    let url = read(text.bytes()).ok_or_else(|| Fail::new("this is not a URL"))?;
    let hostname = host_name(&url.host).to_vec();
    let parts = [
        ("scheme", url.scheme),
        ("host", url.host),
        ("hostname", hostname),
        ("path", url.path),
        ("query", url.query),
        ("opaque", url.opaque),
        ("fragment", url.fragment),
        ("userinfo", url.user.unwrap_or_default()),
    ];
    let entries: Entries =
        parts.into_iter().map(|(name, part)| (Text::from(name), Value::bytes(part))).collect();
    Ok(Value::map(entries))
}

fn join(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let map = arguments.map();
    let entries = map.0.borrow();
    let part = |name: &str| match entries.get(&Text::from(name)) {
        None => Ok(Text::default()),
        Some(Value::Text(text)) => Ok(text.clone()),
        Some(_) => Err(Fail::new(format!("{name} is no string"))),
    };
    let (scheme, host, path) = (part("scheme")?, part("host")?, part("path")?);
    let (query, opaque, fragment) = (part("query")?, part("opaque")?, part("fragment")?);
    let user = part("userinfo")?;
    let mut out = Vec::new();
    if !scheme.bytes().is_empty() {
        out.extend_from_slice(scheme.bytes());
        out.push(b':');
    }
    if opaque.bytes().is_empty() {
        let shown_user = if user.bytes().is_empty() {
            None
        } else {
            let whole = [b"proto://", user.bytes(), b"@host"].concat();
            let read = read(&whole).ok_or_else(|| Fail::new("userinfo cannot stand in a URL"))?;
            Some(read.user.unwrap_or_default())
        };
        let path = path.bytes();
        if !scheme.bytes().is_empty() || !host.bytes().is_empty() || shown_user.is_some() {
            if !host.bytes().is_empty() || !path.is_empty() || shown_user.is_some() {
                out.extend_from_slice(b"//");
            }
            if let Some(user) = shown_user {
                out.extend(user);
                out.push(b'@');
            }
            out.extend(escaped(host.bytes(), Place::Host));
        }
        let shown = escaped_path(path);
        if !shown.is_empty() && !shown.starts_with(b"/") && !host.bytes().is_empty() {
            out.push(b'/');
        }
        if out.is_empty() && cut(&shown, b'/').0.contains(&b':') {
            out.extend_from_slice(b"./");
        }
        out.extend(shown);
    } else {
        out.extend_from_slice(opaque.bytes());
    }
    if !query.bytes().is_empty() {
        out.push(b'?');
        out.extend_from_slice(query.bytes());
    }
    if !fragment.bytes().is_empty() {
        out.push(b'#');
        out.extend(escaped(fragment.bytes(), Place::Fragment));
    }
    Ok(Value::bytes(out))
}

fn escaped_path(path: &[u8]) -> Vec<u8> {
    if path == b"*" { path.to_vec() } else { escaped(path, Place::Path) }
}
