//! Tokens that carry readable fields: base64 with JSON, a macaroon, an id inside.
//!
//! Sources: PyPI (`pypi-` and a macaroon whose location is the index's host), Sentry RFC 0091 (organisation tokens), Grafana
//! Cloud access policies (`glc_` and JSON), Mapbox (`pk.`/`sk.` and JSON), Discord (the bot's id in base64),
//! Amazon Bedrock (`BedrockAPIKey-` in base64), OpenAI (`T3BlbkFJ`, "OpenAI" in base64, in the middle).

use super::{Outcome, alphabet, placeholder};

/// The location of every macaroon of PyPI.
const PYPI_LOCATION: &[u8] = concat!("pypi", ".org").as_bytes();

/// Looks for what the prefix promises. A token without any of the known prefixes stays open.
pub(super) fn structure(secret: &[u8], _matched: &[u8]) -> Outcome {
    let holds = |text: &str| Outcome::Holds(Some(text.to_owned()));
    if placeholder::is_repetitive(secret.get(8..).unwrap_or(secret)) {
        return Outcome::Fails("a placeholder");
    }
    if let Some(body) = secret.strip_prefix(b"pypi-") {
        let inside = decode_prefix(body);
        return if memchr::memmem::find(&inside, PYPI_LOCATION).is_some() {
            holds("a macaroon of PyPI")
        } else {
            Outcome::Open
        };
    }
    if let Some(body) = secret.strip_prefix(b"sntrys_") {
        let json = body.split(|&byte| byte == b'_').next().unwrap_or_default();
        let inside = decode_prefix(json);
        return if memchr::memmem::find(&inside, b"\"org\"").is_some() {
            holds("the token names its organisation")
        } else {
            Outcome::Open
        };
    }
    if let Some(body) = secret.strip_prefix(b"glc_") {
        return if decode_prefix(body).starts_with(b"{\"o\":") {
            holds("the token names its organisation")
        } else {
            Outcome::Open
        };
    }
    if secret.starts_with(b"ABSK") {
        let inside = decode_prefix(&secret[4..]);
        return if inside.starts_with(b"BedrockAPIKey-") {
            holds("the key names its service")
        } else {
            Outcome::Open
        };
    }
    if secret.starts_with(b"sk-") && memchr::memmem::find(secret, b"T3BlbkFJ").is_some() {
        return holds("the provider's mark stands in the middle");
    }
    if let [kind @ (b'p' | b's' | b't'), b'k', b'.', body @ ..] = secret {
        let inside = decode_prefix(body.split(|&byte| byte == b'.').next().unwrap_or_default());
        return match (inside.starts_with(b"{\"u\":"), kind) {
            (true, b'p') => Outcome::Weak("a public token"),
            (true, _) => holds("the token names its account"),
            (false, _) => Outcome::Open,
        };
    }
    if let Some(first) = secret.split(|&byte| byte == b'.').next()
        && (23..=28).contains(&first.len())
    {
        let id = decode_prefix(first);
        if (17..=20).contains(&id.len()) && id.iter().all(u8::is_ascii_digit) {
            return holds("the token names its bot");
        }
    }
    Outcome::Open
}

/// Decodes as much of the text as is base64.
fn decode_prefix(text: &[u8]) -> Vec<u8> {
    let letters =
        text.iter().take_while(|&&byte| byte.is_ascii_alphanumeric() || b"+/-_".contains(&byte)).count();
    let usable = match letters % 4 {
        1 => letters - 1,
        _ => letters,
    };
    alphabet::base64_any(&text[..usable]).unwrap_or_default()
}
