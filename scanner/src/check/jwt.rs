//! JSON Web Tokens.
//!
//! Sources: RFC 7519 (claims), RFC 7515 (compact form). The keys tried are ones that documentation and tools publish.

use hmac::{Hmac, KeyInit, Mac};
use jiff::Timestamp;
use serde_json::Value;
use sha2::Sha256;

use super::{Outcome, alphabet};

/// Keys that sign published sample tokens. A token signed with one of them protects nothing.
const PUBLISHED_KEYS: &[&str] = &[
    "your-256-bit-secret",
    "a-string-secret-at-least-256-bits-long",
    "secret",
    "super-secret-jwt-token-with-at-least-32-characters-long",
    "changeme",
    "test",
    "key",
    "password",
    "jwt-secret",
    "mysecret",
    "your-secret-key",
];

/// Parses header and claims; says who issued it and whether it still holds.
pub(super) fn jwt(secret: &[u8], _matched: &[u8]) -> Outcome {
    judge(secret, Timestamp::now())
}

/// The decision, at a given time.
pub(super) fn judge(token: &[u8], now: Timestamp) -> Outcome {
    let mut parts = token.split(|&byte| byte == b'.');
    let (Some(header), Some(claims)) = (parts.next(), parts.next()) else {
        return Outcome::Fails("not three parts");
    };
    let signature = parts.next().unwrap_or_default();
    let Some(header) = object(header) else { return Outcome::Fails("the header is not JSON") };
    let Some(algorithm) = header.get("alg").and_then(Value::as_str) else {
        return Outcome::Fails("the header names no algorithm");
    };
    if algorithm.eq_ignore_ascii_case("none") {
        return Outcome::Weak("an unsigned token");
    }
    if header.get("enc").is_some() {
        return Outcome::Holds(Some("an encrypted token (JWE)".to_owned()));
    }
    let Some(claims) = object(claims) else { return Outcome::Fails("the claims are not JSON") };
    if algorithm == "HS256" && signed_with_published_key(token, signature) {
        return Outcome::Weak("signed with a key that documentation publishes");
    }
    match claims.get("exp").and_then(Value::as_f64) {
        Some(expiry) if expiry < now.as_second() as f64 => Outcome::Weak("expired"),
        Some(expiry) => match Timestamp::from_second(expiry as i64) {
            Ok(until) => Outcome::Holds(Some(format!("valid until {until}"))),
            Err(_) => Outcome::Holds(Some("never expires".to_owned())),
        },
        None => Outcome::Holds(Some("never expires".to_owned())),
    }
}

/// A part's JSON object.
fn object(part: &[u8]) -> Option<Value> {
    let decoded = alphabet::base64_any(part)?;
    serde_json::from_slice::<Value>(&decoded).ok().filter(Value::is_object)
}

/// Whether one of the published keys made the signature.
fn signed_with_published_key(token: &[u8], signature: &[u8]) -> bool {
    let Some(signature) = alphabet::base64_any(signature) else { return false };
    let Some(end) = token.iter().rposition(|&byte| byte == b'.') else { return false };
    PUBLISHED_KEYS.iter().any(|key| {
        Hmac::<Sha256>::new_from_slice(key.as_bytes())
            .is_ok_and(|mac| mac.chain_update(&token[..end]).verify_slice(&signature).is_ok())
    })
}
