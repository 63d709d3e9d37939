//! Makes sample secrets from templates, so that none has to stand in a file.
//!
//! A rule's example says `make = "ghp_{base62:30}{crc32:6}"`; the words in braces are drawn or computed. The same
//! template and the same numbers give the same text. `{{` and `}}` are braces themselves.
//!
//! | word | what it makes |
//! |---|---|
//! | `{base62:N}`, `{alnum:N}`, `{lower:N}`, `{upper:N}`, `{digits:N}`, `{letters:N}` | N letters of that kind; `alnum` is 0-9a-z, `ALNUM` is 0-9A-Z |
//! | `{hex:N}`, `{HEX:N}`, `{base64:N}`, `{base64url:N}`, `{base32:N}`, `{base58:N}` | N letters of that encoding |
//! | `{[a-z0-9_-]:N}` | N letters of a class |
//! | `{uuid}` | a version 4 UUID |
//! | `{word}` | a made-up pronounceable word |
//! | `{password:N}` | N letters with capitals, small letters, digits and symbols |
//! | `{b64:TEXT}`, `{b64url:TEXT}` | base64 of TEXT, itself a template; padded, or URL alphabet without padding |
//! | `{crc32:6}` | GitHub's checksum over the 30 letters before; `{crc32:36}` GitLab's over all before; `{crc32:hex}` Grafana's over the 32 letters before |
//! | `{jwt}`, `{jwt:SECONDS}` | a signed token without expiry, or one that expires then |
//! | `{der:N}` | base64 of a DER private key of about N bytes, in lines of 64 letters |
//! | `{openssh:N}` | base64 of an OpenSSH key without a passphrase |
//! | `{jks}`, `{p12}` | base64 of a small keystore |
//! | `{age}` | a bech32 `AGE-SECRET-KEY-1` |
//! | `{nkey}` | a NATS user seed |
//! | `{wif}` | a base58check private key |
//! | `{awskey:PREFIX}` | an access key id with an account in it |
//! | `{luhn:N}` | N digits with a right digit sum |

mod encode;

/// Why a template cannot be followed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// A brace without its partner.
    #[error("a brace is not closed; write {{{{ for a brace itself")]
    Brace,
    /// A word in braces that is not in the table.
    #[error("{{{0}}} is not a generator; see the table in rules/example.rs")]
    Unknown(String),
    /// A length that is no number, or over the limit.
    #[error("{{{0}}} needs a length between 1 and 4096")]
    Length(String),
}

/// Longest piece a template may ask for: the longest format (a 4096-bit key) has 3,300 letters.
const LENGTH_MAX: usize = 4096;

/// A deterministic stream of numbers from a seed (SplitMix64, Steele et al. 2014). For samples, not for secrets.
pub fn seeded(mut state: u64) -> impl FnMut() -> u64 {
    move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }
}

/// Follows a template; `rng` gives 64 fresh bits a call.
///
/// # Errors
/// A brace that is not closed, a word that is not in the table, a length out of range.
pub fn make(template: &str, rng: &mut impl FnMut() -> u64) -> Result<String, TemplateError> {
    fill(template, None, rng)
}

/// Follows an example's `text`: like [`make`], and `{secret}` is the secret that `make` made.
///
/// # Errors
/// As [`make`].
pub fn make_text(text: &str, secret: &str, rng: &mut impl FnMut() -> u64) -> Result<String, TemplateError> {
    fill(text, Some(secret), rng)
}

fn fill(template: &str, secret: Option<&str>, rng: &mut dyn FnMut() -> u64) -> Result<String, TemplateError> {
    let mut out = String::with_capacity(template.len());
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        out.push_str(&rest[..at]);
        let brace = &rest[at..];
        if let Some(after) = brace.strip_prefix("{{") {
            out.push('{');
            rest = after;
        } else if let Some(after) = brace.strip_prefix("}}") {
            out.push('}');
            rest = after;
        } else {
            let inner = brace.strip_prefix('{').ok_or(TemplateError::Brace)?;
            let end = closing(inner).ok_or(TemplateError::Brace)?;
            let piece = word(&inner[..end], &out, secret, rng)?;
            out.push_str(&piece);
            rest = &inner[end + 1..];
        }
    }
    out.push_str(rest);
    Ok(out)
}

/// Where the brace closes that was opened before `text`; templates nest in `{b64:…}`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0_usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'{' => depth += 1,
            b'}' if depth == 0 => return Some(at),
            b'}' => depth -= 1,
            _ => {}
        }
    }
    None
}

/// One word in braces. `before` is what has been made so far, for checksums.
fn word(
    word: &str,
    before: &str,
    secret: Option<&str>,
    rng: &mut dyn FnMut() -> u64,
) -> Result<String, TemplateError> {
    let unknown = || TemplateError::Unknown(word.to_owned());
    // A class may contain a colon: its name ends at the bracket.
    let (name, argument) = match word.rfind("]:") {
        Some(at) if word.starts_with('[') => (&word[..=at], &word[at + 2..]),
        _ => word.split_once(':').unwrap_or((word, "")),
    };
    let length = || match argument.parse::<usize>() {
        Ok(length) if (1..=LENGTH_MAX).contains(&length) => Ok(length),
        _ => Err(TemplateError::Length(word.to_owned())),
    };
    let alphabet = match name {
        "base62" => "0-9A-Za-z",
        "alnum" => "0-9a-z",
        "ALNUM" => "0-9A-Z",
        "lower" => "a-z",
        "upper" => "A-Z",
        "letters" => "A-Za-z",
        "digits" => "0-9",
        "hex" => "0-9a-f",
        "HEX" => "0-9A-F",
        "base64" => "A-Za-z0-9+/",
        "base64url" => "A-Za-z0-9_-",
        "base32" => "A-Z2-7",
        "base58" => "1-9A-HJ-NP-Za-km-z",
        class if class.starts_with('[') && class.ends_with(']') => &class[1..class.len() - 1],
        _ => "",
    };
    if !alphabet.is_empty() {
        return Ok(draw(&letters_of(alphabet), length()?, rng));
    }
    Ok(match name {
        "secret" => secret.ok_or_else(unknown)?.to_owned(),
        "uuid" => encode::uuid(rng),
        "word" => encode::pronounceable(rng),
        "password" => encode::password(length()?, rng),
        "b64" => encode::base64(fill(argument, secret, rng)?.as_bytes()),
        "b64url" => encode::base64url(fill(argument, secret, rng)?.as_bytes()),
        "crc32" => encode::checksum(argument, before).ok_or_else(unknown)?,
        "jwt" => encode::jwt(argument, rng),
        "der" => encode::der(length()?, rng),
        "openssh" => encode::open_ssh(length()?, rng),
        "jks" => encode::java_keystore(rng),
        "p12" => encode::pkcs12(rng),
        "age" => encode::age(rng),
        "nkey" => encode::nkey(rng),
        "wif" => encode::wif(rng),
        "awskey" => encode::aws_key(argument, rng),
        "luhn" => encode::luhn(length()?, rng),
        _ => return Err(unknown()),
    })
}

/// The letters of a class like `a-z0-9_-`.
fn letters_of(class: &str) -> Vec<char> {
    let class: Vec<char> = class.chars().collect();
    let mut letters = Vec::new();
    let mut at = 0;
    while at < class.len() {
        if at + 2 < class.len() && class[at + 1] == '-' {
            letters.extend(class[at]..=class[at + 2]);
            at += 3;
        } else {
            letters.push(class[at]);
            at += 1;
        }
    }
    letters
}

/// Draws letters; the first three kinds of a class that has digits and letters all occur, because a sample without
/// a digit would be an unlucky one.
fn draw(letters: &[char], length: usize, rng: &mut dyn FnMut() -> u64) -> String {
    let pick =
        |from: &[char], rng: &mut dyn FnMut() -> u64| from[(rng() % from.len().max(1) as u64) as usize];
    let mut drawn: Vec<char> = (0..length).map(|_| pick(letters, rng)).collect();
    let kinds: [fn(&char) -> bool; 3] =
        [|c| c.is_ascii_digit(), |c| c.is_ascii_lowercase(), |c| c.is_ascii_uppercase()];
    for (place, kind) in kinds.iter().enumerate() {
        let of_kind: Vec<char> = letters.iter().copied().filter(kind).collect();
        if length >= 8 && !of_kind.is_empty() && !drawn.iter().any(kind) {
            drawn[place * 2 + 1] = pick(&of_kind, rng);
        }
    }
    drawn.into_iter().collect()
}

#[cfg(test)]
mod tests;
