//! Guessing with care: does a value in a secret's place look like one?
//!
//! `random` asks whether a value looks drawn at random, for tokens that only their context names. `password` asks
//! whether a value looks like a password that somebody uses. Both judge the value and the name it is assigned to;
//! neither proves anything, so the best answer is [`Outcome::Open`].
//!
//! Source: our own measurements over ordinary source trees; letter pairs after Norvig, "English Letter Frequency
//! Counts" (2013).

use super::{Outcome, alphabet, placeholder};

mod code;
mod name;
mod shape;

/// Whether the value looks drawn at random.
pub(super) fn random(secret: &[u8], matched: &[u8]) -> Outcome {
    if let Some(why) = common_faults(secret, matched) {
        return Outcome::Fails(why);
    }
    if shape::is_random(secret) { Outcome::Open } else { Outcome::Fails("made of words") }
}

/// Whether a random value stands behind the name of a token.
pub(super) fn token(secret: &[u8], matched: &[u8]) -> Outcome {
    let before = memchr::memmem::rfind(matched, secret).map_or(matched, |at| &matched[..at]);
    let end = before.iter().rposition(u8::is_ascii_alphanumeric).map_or(0, |place| place + 1);
    // The words before the value, spaces between them too: `acme SECRET`.
    let phrase: Vec<u8> = before[..end].iter().map(|&byte| if byte == b' ' { b'_' } else { byte }).collect();
    // The fingerprint of a public key, told in a sentence.
    if secret.len() == 40
        && secret.iter().all(|byte| byte.is_ascii_digit() || (b'A'..=b'F').contains(byte))
        && before[end..].iter().all(|byte| *byte == b' ')
    {
        return Outcome::Fails("a fingerprint");
    }
    // `acme ACCESS …` and `acmePrivate: …` name a kind of key.
    let lower = phrase.to_ascii_lowercase();
    let short_of_key = lower.ends_with(b"access") || lower.ends_with(b"private");
    match name::kind_of(&phrase) {
        name::Kind::None if !short_of_key => Outcome::Fails("the name says that something else stands here"),
        _ if secret.len() < 16 && secret.iter().all(u8::is_ascii_alphabetic) => Outcome::Fails("a word"),
        _ => random(secret, matched),
    }
}

/// Whether what stands behind a token's prefix looks drawn at random.
pub(super) fn prefixed(secret: &[u8], matched: &[u8]) -> Outcome {
    let tail = shape::behind_prefix(secret);
    if let Some(why) = common_faults(tail, matched) {
        return Outcome::Fails(why);
    }
    if shape::is_random_tail(tail) { Outcome::Open } else { Outcome::Fails("made of words") }
}

/// Whether the value is a seed for one-time passwords: base32 that nobody wrote as words.
pub(super) fn seed(secret: &[u8], matched: &[u8]) -> Outcome {
    let letters: Vec<u8> = secret.iter().copied().filter(|byte| !b" -=".contains(byte)).collect();
    if let Some(why) = common_faults(&letters, matched) {
        return Outcome::Fails(why);
    }
    let base32 = letters.iter().all(|byte| byte.is_ascii_uppercase() || (b'2'..=b'7').contains(byte))
        || letters.iter().all(|byte| byte.is_ascii_lowercase() || (b'2'..=b'7').contains(byte));
    let hex = letters.iter().all(u8::is_ascii_hexdigit);
    if !(base32 || hex) || letters.len() < 16 || alphabet::entropy(&letters) < 2.8 {
        return Outcome::Fails("not base32 or hex");
    }
    if shape::is_wordy(&letters) { Outcome::Fails("made of words") } else { Outcome::Open }
}

/// Whether the value looks like a password, or, where the name asks for a token, like a token.
pub(super) fn password(secret: &[u8], matched: &[u8]) -> Outcome {
    if let Some(why) = common_faults(secret, matched) {
        return Outcome::Fails(why);
    }
    let site = name::Site::of(secret, matched);
    if site.kind == name::Kind::None {
        return Outcome::Fails("the name says that something else stands here");
    }
    if site.odd_quote {
        return Outcome::Fails("single quotes make no string here");
    }
    let random = shape::is_random(secret);
    if site.kind != name::Kind::Password && random {
        return Outcome::Open;
    }
    if site.operator == name::Operator::Comma && !random {
        return Outcome::Fails("a member of a list");
    }
    // Behind an option stands a word for the reader as often as a value: `--password PASSWORD`.
    let word = shape::Text::of(secret) != shape::Text::Strong || code::is_joined(secret);
    if site.operator == name::Operator::Prose && !random && word {
        return Outcome::Fails("a word");
    }
    let plausible = if site.quoted || site.operator == name::Operator::Prose {
        quoted(site, secret)
    } else {
        shape::is_bare_password(secret, site.operator)
            || site.kind != name::Kind::Token
                && shape::is_written_password(secret)
                && (site.kind == name::Kind::Password || !secret.contains(&b'_'))
    };
    if plausible { Outcome::Open } else { Outcome::Fails("reads like code, a label or a name") }
}

/// Whether the value could be a password, in a place where nothing else can stand: after `IDENTIFIED BY`, after `-p`.
pub(super) fn password_value(secret: &[u8], matched: &[u8]) -> Outcome {
    if let Some(why) = common_faults(secret, matched) {
        return Outcome::Fails(why);
    }
    match shape::Text::of(secret) {
        shape::Text::Code => Outcome::Fails("reads like code or a placeholder"),
        shape::Text::Prose => Outcome::Fails("reads like a label"),
        shape::Text::Word if shape::is_of_a_sentence(secret) => Outcome::Fails("a word of a sentence"),
        shape::Text::Strong | shape::Text::Phrase | shape::Text::Word => Outcome::Open,
    }
}

/// The value of a setting that fills its line, with nothing quoted: a password, unless it closes a list of arguments.
pub(super) fn password_setting(secret: &[u8], matched: &[u8]) -> Outcome {
    let at = memchr::memmem::rfind(matched, secret).unwrap_or(0);
    let behind = matched.get(at + secret.len()..).unwrap_or_default();
    if behind.iter().any(|byte| b")]}".contains(byte)) {
        return Outcome::Fails("an argument");
    }
    let line = memchr::memrchr(b'\n', &matched[..at]).map_or(0, |newline| newline + 1);
    if name::Site::of(secret, &matched[line..]).kind != name::Kind::Password {
        return Outcome::Fails("the name says that something else stands here");
    }
    // `password: Kennwort` is a label, `Password = TPassword` a type.
    if secret.iter().all(u8::is_ascii_alphabetic) && secret.iter().any(u8::is_ascii_uppercase) {
        return Outcome::Fails("a word");
    }
    // `secret:app/db`: the place of a secret that is kept elsewhere.
    let place = secret.contains(&b':') && secret.contains(&b'/');
    if place || secret.iter().any(|byte| b"()[]{},;|".contains(byte)) {
        return Outcome::Fails("reads like code");
    }
    password_value(secret, matched)
}

/// A value beside a name that stands in quotes or an element of its own.
pub(super) fn named_value(secret: &[u8], matched: &[u8]) -> Outcome {
    if let Some(why) = common_faults(secret, matched) {
        return Outcome::Fails(why);
    }
    let before = &matched[..memchr::memmem::rfind(matched, secret).unwrap_or(0)];
    let kind = name::first_kind(before);
    let site = name::Site { kind, operator: name::Operator::Equals, quoted: true, odd_quote: false };
    if kind != name::Kind::None && (quoted(site, secret) || shape::is_random(secret)) {
        Outcome::Open
    } else {
        Outcome::Fails("reads like code, a label or a name")
    }
}

/// A password told in a sentence or a table, without quotes: digits or symbols make it one.
pub(super) fn password_told(secret: &[u8], matched: &[u8]) -> Outcome {
    match common_faults(secret, matched) {
        Some(why) => Outcome::Fails(why),
        None if shape::is_told_password(secret) || shape::is_random(secret) => Outcome::Open,
        None => Outcome::Fails("a word of a sentence"),
    }
}

/// The same, where words are mostly something else: the default of a setting.
pub(super) fn password_strong(secret: &[u8], matched: &[u8]) -> Outcome {
    match (password_value(secret, matched), shape::Text::of(secret)) {
        (Outcome::Open, shape::Text::Strong) => Outcome::Open,
        (Outcome::Open, _) if shape::is_random(secret) => Outcome::Open,
        (Outcome::Open, _) => Outcome::Fails("a word"),
        (fails, _) => fails,
    }
}

/// The same for an argument of a function whose name is about a secret: what a function of tokens gets is mostly a
/// part of a language.
pub(super) fn password_call(secret: &[u8], matched: &[u8]) -> Outcome {
    let open = memchr::memchr(b'(', matched).unwrap_or(0);
    match name::kind_of(&matched[..open]) {
        name::Kind::None => Outcome::Fails("the name says that something else stands here"),
        name::Kind::Token if !(shape::is_random(secret) || secret.len() >= 12 && shape::is_mixed(secret)) => {
            Outcome::Fails("a word of a language")
        }
        name::Kind::Token | name::Kind::Password | name::Kind::Secret => password_strong(secret, matched),
    }
}

/// Whether a quoted value is one.
fn quoted(site: name::Site, secret: &[u8]) -> bool {
    use name::{Kind, Operator};
    use shape::Text;
    match (shape::Text::of(secret), site.kind) {
        (Text::Code | Text::Prose, _) | (_, Kind::None) => false,
        (Text::Strong, Kind::Password | Kind::Secret) => true,
        // A token of a few letters and digits is an identifier; symbols make it deliberate.
        (Text::Strong, Kind::Token) => secret.len() >= 12 && shape::is_mixed(secret),
        (Text::Phrase, _) => true,
        (Text::Word, Kind::Password) => true,
        (Text::Word, Kind::Secret) => site.operator == Operator::Compares,
        (Text::Word, Kind::Token) => false,
    }
}

/// Whether the value could be the key that a function of cryptography gets, whose name says `sha256` or `aes`.
pub(super) fn key_argument(secret: &[u8], _matched: &[u8]) -> Outcome {
    match faults(secret) {
        Some(why) => Outcome::Fails(why),
        None if shape::Text::of(secret) == shape::Text::Strong || shape::is_random(secret) => Outcome::Open,
        None => Outcome::Fails("a word"),
    }
}

/// What rules both out, also by what stands before.
fn common_faults(secret: &[u8], matched: &[u8]) -> Option<&'static str> {
    if let Some(why) = faults(secret) {
        return Some(why);
    }
    let before = &matched[..memchr::memmem::rfind(matched, secret).unwrap_or(0)];
    if before.ends_with(b"::") {
        return Some("a part of a symbol");
    }
    let hash = [&b"sha256"[..], b"sha512", b"sha384", b"sha1", b"md5", b"integrity", b"checksum", b"h1:"];
    if hash.iter().any(|word| memchr::memmem::find(before, word).is_some()) {
        return Some("a hash of public content");
    }
    None
}

/// What no value is.
fn faults(secret: &[u8]) -> Option<&'static str> {
    if secret.is_empty() || !secret.iter().any(u8::is_ascii_alphanumeric) {
        return Some("no letter and no digit");
    }
    if code::is_stamp(secret) {
        return Some("a date, a number, a version or an address");
    }
    if secret.iter().any(u8::is_ascii_control) {
        return Some("more than a text");
    }
    if placeholder::is_reference(secret) {
        return Some("a reference to a secret that is kept elsewhere");
    }
    if placeholder::is_placeholder(secret) {
        return Some("a placeholder");
    }
    None
}
