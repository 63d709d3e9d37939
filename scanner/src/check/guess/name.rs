//! The name a value is assigned to, and how.

/// What a name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password: words are plausible values.
    Password,
    /// A token, key or secret: mostly random values.
    Token,
    /// The name is about secrets but does not hold one (`password_label`, `token_url`).
    None,
}

/// How value and name are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `=`, `=>`, a comma, a call.
    Equals,
    /// `:` and `:=`.
    Colon,
    /// `==`, `!=` and friends.
    Compares,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    pub(super) kind: Kind,
    pub(super) operator: Operator,
    pub(super) quoted: bool,
}

/// Ends of names that hold a password.
const PASSWORD_WORDS: &[&str] = &[
    "password",
    "passwd",
    "passwort",
    "passphrase",
    "pass",
    "pwd",
    "passw",
    "pw",
    "passcode",
    "kennwort",
    "motdepasse",
    "mdp",
    "mot_de_passe",
    "contrasena",
    "clave",
    "senha",
    "parola",
    "haslo",
    "wachtwoord",
    "lozinka",
    "sifre",
    "parole",
    "salasana",
    "losenord",
    "adgangskode",
    "passord",
    "jelszo",
    "heslo",
    "mima",
    "pin",
];

/// Last words of names that are about a secret without holding it.
const ABOUT: &[&str] = &[
    "label",
    "hint",
    "field",
    "input",
    "file",
    "filename",
    "path",
    "url",
    "uri",
    "type",
    "name",
    "names",
    "id",
    "ids",
    "length",
    "len",
    "size",
    "policy",
    "regex",
    "pattern",
    "prompt",
    "title",
    "message",
    "msg",
    "error",
    "err",
    "text",
    "placeholder",
    "format",
    "expiry",
    "expires",
    "ttl",
    "header",
    "param",
    "parameter",
    "class",
    "style",
    "icon",
    "min",
    "max",
    "count",
    "version",
    "algorithm",
    "alg",
    "encoder",
    "encoding",
    "reset",
    "prefix",
    "suffix",
    "column",
    "col",
    "env",
    "var",
    "ref",
    "endpoint",
    "host",
    "attr",
    "attribute",
    "property",
    "dir",
    "directory",
    "location",
    "scope",
    "scopes",
    "issuer",
    "audience",
    "status",
    "state",
    "enabled",
    "required",
    "help",
    "description",
    "desc",
    "info",
    "question",
    "template",
    "store",
    "manager",
    "provider",
    "service",
    "kind",
    "mode",
    "rule",
    "rules",
    "strength",
    "confirm",
    "confirmation",
    "mismatch",
    "forgot",
    "change",
    "changed",
    "update",
    "link",
    "button",
    "form",
    "selector",
    "locator",
    "xpath",
    "index",
    "idx",
    "position",
    "offset",
    "handler",
    "callback",
    "validator",
    "generator",
    "fingerprint",
    "hash",
    "digest",
    "checksum",
    "sha",
    "sha1",
    "sha256",
    "md5",
    "algo",
    "usage",
    "schema",
    "group",
    "alias",
    "key_name",
    "keyname",
    "secret_name",
    "arn",
    "region",
    "mask",
    "char",
    "visible",
    "verify",
    "invalid",
    "incorrect",
    "missing",
    "wrong",
    "empty",
    "new",
    "old",
    "public",
    "pub",
];

/// Words whose end looks like a password's name and is not.
const UNRELATED: &[&str] = &[
    "bypass",
    "compass",
    "encompass",
    "surpass",
    "trespass",
    "monkey",
    "keyboard",
    "turkey",
    "hockey",
    "hotkey",
    "keyword",
    "keyframe",
    "keycode",
    "keypress",
    "keydown",
    "keyup",
    "passed",
    "passive",
    "passenger",
    "passport",
    "author",
    "tokenizer",
    "primarykey",
    "foreignkey",
    "primary_key",
    "foreign_key",
    "sortkey",
    "sort_key",
    "partition_key",
    "cachekey",
    "cache_key",
    "publickey",
    "public_key",
    "csrf",
];

impl Site {
    /// Reads the match around the secret. The name stands before the secret, or after it in a turned-round comparison.
    pub(super) fn of(secret: &[u8], matched: &[u8]) -> Self {
        let at = memchr::memmem::rfind(matched, secret).unwrap_or(matched.len());
        let (before, after) = (&matched[..at], matched.get(at + secret.len()..).unwrap_or_default());
        let quote = before.last().copied();
        let quoted = matches!(quote, Some(b'"' | b'\'' | b'`')) || before.ends_with(b"&quot;");
        let compares = |text: &[u8]| {
            memchr::memmem::find(text, b"==").is_some() || memchr::memmem::find(text, b"!=").is_some()
        };
        let turned = after.len() > 2 && compares(&after[..after.len().min(8)]);
        let (name, joint): (&[u8], &[u8]) = if turned {
            let start = after.iter().position(|byte| byte.is_ascii_alphabetic()).unwrap_or(after.len());
            let end = after[start..]
                .iter()
                .position(|byte| !is_name(*byte))
                .map_or(after.len(), |length| start + length);
            (&after[start..end], &after[..start])
        } else {
            split_name(before)
        };
        let operator = if compares(joint) {
            Operator::Compares
        } else if memchr::memchr(b':', joint).is_some() {
            Operator::Colon
        } else {
            Operator::Equals
        };
        Self { kind: kind_of(name), operator, quoted }
    }
}

/// Bytes of names in configuration and code.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$') || byte >= 0x80
}

/// The last name before the operator, and what stands between it and the value.
fn split_name(before: &[u8]) -> (&[u8], &[u8]) {
    // A type between name and operator (`let token: String = "…"`) belongs to the joint: take the first name that
    // ends the text before the first operator.
    let operator =
        before.iter().position(|byte| matches!(byte, b'=' | b':' | b',' | b'(')).unwrap_or(before.len());
    let mut end = operator;
    // A call's name: `setProperty("password", "…")` has its name after the parenthesis.
    if before.get(operator) == Some(&b'(')
        && let Some(start) = before[operator..].iter().position(|byte| byte.is_ascii_alphabetic())
    {
        let start = operator + start;
        let stop = before[start..]
            .iter()
            .position(|byte| !is_name(*byte))
            .map_or(before.len(), |length| start + length);
        return (&before[start..stop], &before[stop..]);
    }
    while end > 0 && !is_name(before[end - 1]) {
        end -= 1;
    }
    let start = before[..end].iter().rposition(|byte| !is_name(*byte)).map_or(0, |place| place + 1);
    (&before[start..end], &before[end..])
}

/// Splits a name into words and judges it by the last ones.
fn kind_of(name: &[u8]) -> Kind {
    let lower = String::from_utf8_lossy(name).to_ascii_lowercase();
    let flat: String = lower.chars().filter(|letter| letter.is_alphanumeric()).collect();
    if UNRELATED.iter().any(|word| flat.ends_with(&word.replace('_', ""))) {
        return Kind::None;
    }
    let words = words(name);
    let last = words.last().map(String::as_str).unwrap_or_default();
    if words.len() > 1 && ABOUT.contains(&last) {
        return Kind::None;
    }
    if PASSWORD_WORDS.iter().any(|word| {
        flat.contains(word)
            && (word.len() > 4 || words.iter().any(|part| part == word) || flat.ends_with(word))
    }) {
        return Kind::Password;
    }
    Kind::Token
}

/// Words of a name: at `_`, `-`, `.` and before capitals.
fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut lower_before = false;
    let mut open = false;
    for &byte in name {
        if !byte.is_ascii_alphanumeric() {
            open = false;
            lower_before = false;
            continue;
        }
        if !open || (byte.is_ascii_uppercase() && lower_before) {
            words.push(String::new());
            open = true;
        }
        if let Some(word) = words.last_mut() {
            word.push(char::from(byte.to_ascii_lowercase()));
        }
        lower_before = byte.is_ascii_lowercase() || byte.is_ascii_digit();
    }
    words
}
