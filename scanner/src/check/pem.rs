//! Private keys in PEM and in the armours that look like it.
//!
//! Sources: RFC 7468 (PEM), RFC 5958 (PKCS #8), RFC 8017 appendix A (RSA), RFC 5915 (EC), RFC 9580 section 6 (OpenPGP
//! armour), OpenSSH `PROTOCOL.key`, RFC 1421 section 4.6 (`Proc-Type`, `DEK-Info`), PuTTY manual, appendix C.

use super::{Outcome, alphabet};

/// The shortest key that is one: an Ed25519 key in PKCS #8 has 48 bytes.
const BYTES_MIN: usize = 40;

/// Looks at the label, then at what the base64 holds. Escaped line breaks, quotes and comment marks between the lines
/// are passed over, because keys stand in source code and JSON too.
pub(super) fn private_key(secret: &[u8], matched: &[u8]) -> Outcome {
    let text = if memchr::memmem::find(secret, b"-----BEGIN").is_some() { secret } else { matched };
    let Some(begin) = memchr::memmem::find(text, b"-----BEGIN ") else { return Outcome::Open };
    let label_at = begin + b"-----BEGIN ".len();
    let Some(label_end) = memchr::memmem::find(&text[label_at..], b"-----") else { return Outcome::Open };
    let label = &text[label_at..label_at + label_end];
    let rest = &text[label_at + label_end + 5..];
    let (body, whole) = match memchr::memmem::find(rest, b"-----END") {
        Some(end) => (&rest[..end], true),
        None => (rest, false),
    };
    if label.starts_with(b"PGP") {
        return pgp(body, whole);
    }
    let encrypted = label.starts_with(b"ENCRYPTED") || memchr::memmem::find(body, b"ENCRYPTED").is_some();
    let letters = base64_of(body);
    if letters.len() < 16 {
        return Outcome::Fails("no key between the lines");
    }
    if encrypted {
        return Outcome::Weak("encrypted with a passphrase");
    }
    let decoded =
        alphabet::base64_any(&letters).or_else(|| alphabet::base64_any(&letters[..letters.len() / 4 * 4]));
    let Some(decoded) = decoded else { return Outcome::Open };
    if let Some(open_ssh) = decoded.strip_prefix(b"openssh-key-v1\0") {
        return match open_ssh.get(4..8) {
            Some(b"none") if whole => Outcome::Holds(Some("an OpenSSH key without a passphrase".to_owned())),
            Some(b"none") => Outcome::Open,
            _ => Outcome::Weak("encrypted with a passphrase"),
        };
    }
    if decoded.len() < BYTES_MIN && whole {
        return Outcome::Fails("too short for a key");
    }
    match der_length(&decoded) {
        // An outer SEQUENCE whose length fits, with an INTEGER version (0 or 1) first.
        Some((head, length)) if decoded.get(head..head + 2) == Some(&[2, 1]) => {
            if decoded.len() >= head + length {
                Outcome::Holds(Some("a whole key without a passphrase".to_owned()))
            } else {
                Outcome::Weak("truncated")
            }
        }
        _ => Outcome::Open,
    }
}

/// OpenPGP armour: headers, a blank line, base64, a CRC. The first packet's tag says secret key.
fn pgp(body: &[u8], whole: bool) -> Outcome {
    let letters = base64_of(body);
    if letters.len() < 64 {
        return Outcome::Fails("no key between the lines");
    }
    if whole { Outcome::Open } else { Outcome::Weak("truncated") }
}

/// The base64 letters of a body: escapes (`\n`, `\r`, `\\n`) and everything that is no letter of base64 left out, as
/// are header lines (`Name: value`).
fn base64_of(body: &[u8]) -> Vec<u8> {
    let mut letters = Vec::with_capacity(body.len());
    for line in body.split(|&byte| byte == b'\n') {
        // Headers have a colon and a space; base64 has neither.
        if memchr::memmem::find(line, b": ").is_some() {
            continue;
        }
        let mut bytes = line.iter().copied().peekable();
        while let Some(byte) = bytes.next() {
            match byte {
                b'\\' => {
                    while bytes.next_if_eq(&b'\\').is_some() {}
                    bytes.next_if(|next| matches!(next, b'n' | b'r' | b't'));
                }
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' | b'=' => letters.push(byte),
                _ => {}
            }
        }
    }
    letters
}

/// The header's and the content's length of an outer DER SEQUENCE.
pub(super) fn der_length(der: &[u8]) -> Option<(usize, usize)> {
    if *der.first()? != 0x30 {
        return None;
    }
    let first = *der.get(1)?;
    if first < 0x80 {
        return Some((2, usize::from(first)));
    }
    let count = usize::from(first & 0x7f);
    if count == 0 || count > 3 {
        return None;
    }
    let length = der.get(2..2 + count)?.iter().fold(0_usize, |length, &byte| length << 8 | usize::from(byte));
    Some((2 + count, length))
}
