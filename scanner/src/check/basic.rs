//! `user:password` in base64. Source: RFC 7617.

use super::{Outcome, alphabet, placeholder};

/// Decodes it; a printable user, a colon and a password that is no stand-in.
pub(super) fn basic_auth(secret: &[u8], _matched: &[u8]) -> Outcome {
    let Some(decoded) = alphabet::base64_any(secret) else { return Outcome::Fails("not base64") };
    let Some(colon) = memchr::memchr(b':', &decoded) else { return Outcome::Fails("no colon inside") };
    if decoded.iter().any(u8::is_ascii_control) || std::str::from_utf8(&decoded).is_err() {
        return Outcome::Fails("not text inside");
    }
    let (user, password) = (&decoded[..colon], &decoded[colon + 1..]);
    if user.is_empty() && password.is_empty() {
        return Outcome::Fails("empty");
    }
    if placeholder::is_reference(password) || placeholder::is_reference(user) {
        return Outcome::Fails("a reference");
    }
    let stand_in = |value: &[u8]| {
        matches!(value, b"user" | b"username" | b"password" | b"pass" | b"passwd" | b"foo" | b"bar" | b"test")
    };
    // The example of RFC 7617.
    let of_the_standard = user.eq_ignore_ascii_case(b"aladdin")
        && password.iter().filter(|byte| **byte != b' ').map(u8::to_ascii_lowercase).eq(*b"opensesame");
    if of_the_standard {
        return Outcome::Fails("the example of the standard");
    }
    if (stand_in(user) && stand_in(password)) || placeholder::has_stand_in(password) {
        return Outcome::Weak("a stand-in for user and password");
    }
    // A password alone (empty user) or a key in the user's place (empty password) are both in use.
    Outcome::Holds(Some("user and password in base64".to_owned()))
}
