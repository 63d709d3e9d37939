//! Regular expressions as Go's regexp reads them: RE2's syntax, with ASCII classes.
//!
//! Go's syntax and the regex crate's are both RE2's, and differ in a few places: for Go `\d`, `\s`, `\w` and `\b` are
//! ASCII, brackets and doubled signs inside of a class are themselves, `\Q…\E` quotes, and a repetition has at most
//! 1,000.

use regex::bytes::{Regex, RegexBuilder};

/// The most that a compiled expression may take.
const BYTES_MAX: usize = 4 << 20;

/// Compiles an expression; none if it is none.
pub fn compile(pattern: &str) -> Option<Regex> {
    RegexBuilder::new(&translated(pattern)?).size_limit(BYTES_MAX).build().ok()
}

/// The same expression in the regex crate's syntax.
fn translated(pattern: &str) -> Option<String> {
    let mut out = String::with_capacity(pattern.len() + 16);
    let mut chars = pattern.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next()? {
                'Q' => {
                    let mut quoted = String::new();
                    while let Some(c) = chars.next() {
                        if c == '\\' && chars.peek() == Some(&'E') {
                            chars.next();
                            break;
                        }
                        quoted.push(c);
                    }
                    out.push_str(&regex::escape(&quoted));
                }
                'C' => out.push_str("(?s:.)"),
                escaped => out.push_str(&escape(escaped, false)),
            },
            '[' => class(&mut chars, &mut out)?,
            // Of what the other crate has and Go has not: free spacing and other flags.
            '(' if chars.peek() == Some(&'?') => {
                out.push('(');
                let flags: String =
                    chars.clone().skip(1).take_while(|c| c.is_alphabetic() || *c == '-').collect();
                let follows = chars.clone().nth(1 + flags.chars().count());
                let is_group = matches!(follows, Some('<')) && (flags.is_empty() || flags == "P");
                if !is_group && flags.chars().any(|c| !matches!(c, 'i' | 'm' | 's' | 'U' | '-')) {
                    return None;
                }
            }
            '{' => repetition(&mut chars, &mut out)?,
            c => out.push(c),
        }
    }
    Some(out)
}

type Chars<'a> = std::iter::Peekable<std::str::Chars<'a>>;

/// `{2,5}`; braces that repeat nothing are themselves.
fn repetition(chars: &mut Chars<'_>, out: &mut String) -> Option<()> {
    let body: String = chars.clone().take_while(|c| *c != '}').collect();
    let closed = chars.clone().nth(body.chars().count()) == Some('}');
    let (least, most) = body.split_once(',').unwrap_or((&body, &body));
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    if !closed || !is_number(least) || !(most.is_empty() || is_number(most)) {
        out.push_str("\\{");
        return Some(());
    }
    let small = |text: &str| text.is_empty() || text.parse().is_ok_and(|number: u32| number <= 1000);
    if !small(least) || !small(most) {
        return None;
    }
    out.push('{');
    out.push_str(&body);
    out.push('}');
    for _ in 0..=body.chars().count() {
        chars.next();
    }
    Some(())
}

fn escape(c: char, in_class: bool) -> String {
    match (c, in_class) {
        ('d', false) => "[0-9]".to_owned(),
        ('s', false) => "[\\t\\n\\x0C\\r ]".to_owned(),
        ('w', false) => "[0-9A-Za-z_]".to_owned(),
        ('d', true) => "0-9".to_owned(),
        ('s', true) => "\\t\\n\\x0C\\r ".to_owned(),
        ('w', true) => "0-9A-Za-z_".to_owned(),
        ('D', _) => "[^0-9]".to_owned(),
        ('S', _) => "[^\\t\\n\\x0C\\r ]".to_owned(),
        ('W', _) => "[^0-9A-Za-z_]".to_owned(),
        ('b', false) => "(?-u:\\b)".to_owned(),
        ('B', false) => "(?-u:\\B)".to_owned(),
        (c, _) => format!("\\{c}"),
    }
}

fn class(chars: &mut Chars<'_>, out: &mut String) -> Option<()> {
    out.push('[');
    if chars.peek() == Some(&'^') {
        chars.next();
        out.push('^');
    }
    let mut first = true;
    loop {
        match chars.next()? {
            ']' if !first => {
                out.push(']');
                return Some(());
            }
            '\\' => {
                let escaped = chars.next()?;
                out.push_str(&escape(escaped, true));
            }
            '[' if chars.peek() == Some(&':') => {
                let name: String = chars.clone().take_while(|c| *c != ']').collect();
                if name.ends_with(':') && name.len() > 2 {
                    out.push('[');
                    out.push_str(&name);
                    out.push(']');
                    for _ in 0..=name.chars().count() {
                        chars.next();
                    }
                } else {
                    out.push_str("\\[");
                }
            }
            c @ (']' | '[' | '&' | '~') => {
                out.push('\\');
                out.push(c);
            }
            // Two of them would subtract.
            '-' if chars.peek() == Some(&'-') => out.push_str("\\-"),
            c => out.push(c),
        }
        first = false;
    }
}

#[cfg(test)]
mod tests {
    use super::compile;

    #[test]
    fn expressions_mean_what_they_mean_in_go() {
        for (pattern, text, matches) in [
            (r"^\d+$", "12", true),
            (r"^\d+$", "١٢", false),
            (r"^[\w-]+$", "a-b_1", true),
            (r"^\w$", "é", false),
            (r"^[[a]+$", "[a[", true),
            (r"^[a&&b]+$", "&a", true),
            (r"^[[:alpha:]]+$", "ab", true),
            (r"^\Qa.b\E$", "a.b", true),
            (r"^\Qa.b\E$", "axb", false),
            (r"^a{,2}$", "a{,2}", true),
            (r"^a{2}$", "aa", true),
            (r"(?i)^ÄB$", "äb", true),
            (r"^(?P<n>a)(?<m>b)$", "ab", true),
            (r"^[]a]$", "]", true),
            (r"^[^\s]$", "x", true),
        ] {
            assert_eq!(compile(pattern).unwrap().is_match(text.as_bytes()), matches, "{pattern} on {text}");
        }
        for pattern in ["(", "a{1001}", "(?x)a", "[a", r"\", "a(?=b)"] {
            assert!(compile(pattern).is_none(), "{pattern}");
        }
    }
}
