//! User and password in a URL. Source: RFC 3986, section 3.2.1; RFC 6335 for the schemes' names.

use super::{Outcome, placeholder};

/// Words that stand for a password in documentation.
const STAND_INS: &[&[u8]] = &[
    b"pass",
    b"password",
    b"passwd",
    b"pwd",
    b"secret",
    b"token",
    b"user",
    b"username",
    b"pw",
    b"yourpassword",
    b"mypassword",
    b"your_password",
    b"my_password",
    b"xxx",
    b"xxxx",
    b"***",
    b"foo",
    b"bar",
    b"baz",
    b"p",
    b"u",
    b"x",
    b"none",
    b"null",
    b"pass123",
    b"passw0rd",
    b"key",
    b"apikey",
    b"api_key",
];

/// Looks at `scheme://user:password@host`; the secret is the password.
pub(super) fn url(secret: &[u8], matched: &[u8]) -> Outcome {
    if secret.is_empty() || placeholder::is_reference(secret) || is_masked(secret) {
        return Outcome::Fails("a reference or a mask stands in the password's place");
    }
    let Some(at) = memchr::memmem::rfind(matched, secret) else { return Outcome::Open };
    let (before, after) = (&matched[..at], &matched[at + secret.len()..]);
    let user: &[u8] = before.strip_suffix(b":").unwrap_or(before);
    let user = user.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
    let lower = secret.to_ascii_lowercase();
    let host = after.strip_prefix(b"@").unwrap_or(after);
    let stand_in = STAND_INS.contains(&lower.as_slice());
    if stand_in && secret.eq_ignore_ascii_case(user) {
        return Outcome::Fails("user and password are the same stand-in");
    }
    // Documentation writes web addresses with made-up logins far more often than database addresses.
    let web = matched.get(..4).is_some_and(|start| start.eq_ignore_ascii_case(b"http"));
    if web && (secret.len() < 4 || placeholder::is_repetitive(secret) || placeholder::has_stand_in(&lower)) {
        return Outcome::Fails("a stand-in for a password");
    }
    // `user:password@localhost` is how documentation writes a URL.
    let said = stand_in && STAND_INS.contains(&user.to_ascii_lowercase().as_slice());
    if memchr::memmem::find(secret, b"%s").is_some() {
        return Outcome::Fails("a format");
    }
    let own = [&b"localhost"[..], b"127.0.0.1", b"[::1]"].iter().any(|name| host.starts_with(name));
    // What brokers are shipped with, and refuse from other machines.
    let shipped = own && secret == b"guest" && user == b"guest";
    if shipped || said && (own || web && is_local(host)) {
        return Outcome::Fails("a stand-in for user, password and host");
    }
    match (stand_in || placeholder::has_stand_in(&lower) || secret == user, is_local(host)) {
        (true, true) if web => Outcome::Fails("a stand-in for a password at a stand-in for a host"),
        (true, _) => Outcome::Weak("a stand-in for a password"),
        (false, true) => Outcome::Weak("a server on the same machine, or a name kept for documentation"),
        (false, false) => Outcome::Open,
    }
}

/// Stars, dots, bullets: a password that somebody covered.
fn is_masked(secret: &[u8]) -> bool {
    secret.iter().all(|&byte| matches!(byte, b'*' | b'.' | b'x' | b'X' | b'_' | b'-' | b'#') || byte >= 0x80)
}

/// The machine itself, and names kept for documentation (RFC 2606, RFC 6761).
fn is_local(host: &[u8]) -> bool {
    let end = host.iter().position(|byte| b"/:?,\"' ".contains(byte)).unwrap_or(host.len());
    let host = host[..end].to_ascii_lowercase();
    [&b"localhost"[..], b"127.0.0.1", b"0.0.0.0", b"[", b"host", b"hostname"].contains(&host.as_slice())
        || [&b"example.com"[..], b"example.org", b"example.net", b".example", b".test", b".invalid"]
            .iter()
            .any(|end| host.ends_with(end))
}
