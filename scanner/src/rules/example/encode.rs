//! The computed pieces of a sample: checksums, keys, tokens.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use crate::check::alphabet;

type Rng<'a> = &'a mut dyn FnMut() -> u64;

/// `count` random bytes.
fn bytes(count: usize, rng: Rng<'_>) -> Vec<u8> {
    (0..count).map(|_| (rng() >> 24) as u8).collect()
}

/// A letter of a list.
fn one(letters: &[u8], rng: Rng<'_>) -> char {
    char::from(letters[(rng() % letters.len().max(1) as u64) as usize])
}

pub(super) fn base64(text: &[u8]) -> String {
    STANDARD.encode(text)
}

pub(super) fn base64url(text: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(text)
}

pub(super) fn uuid(rng: Rng<'_>) -> String {
    let mut raw = bytes(16, rng);
    raw[6] = raw[6] & 0x0f | 0x40;
    raw[8] = raw[8] & 0x3f | 0x80;
    let hex = data_encoding::HEXLOWER.encode(&raw);
    format!("{}-{}-{}-{}-{}", &hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..])
}

/// Consonants and vowels by turns, three times.
pub(super) fn pronounceable(rng: Rng<'_>) -> String {
    (0..3).flat_map(|_| [one(b"bdfgklmnprstvz", rng), one(b"aeiou", rng)]).collect()
}

/// Letters of four kinds, each at least once.
pub(super) fn password(length: usize, rng: Rng<'_>) -> String {
    const KINDS: [&[u8]; 4] =
        [b"abcdefghijkmnpqrstuvwxyz", b"ABCDEFGHJKLMNPQRSTUVWXYZ", b"23456789", b"!#%+*?"];
    (0..length)
        .map(|place| one(if place < 4 { KINDS[place] } else { KINDS[(rng() % 3) as usize] }, rng))
        .collect()
}

/// The checksum words; `None` for an unknown one.
pub(super) fn checksum(kind: &str, before: &str) -> Option<String> {
    let last = |count: usize| &before.as_bytes()[before.len().saturating_sub(count)..];
    let digits = match kind {
        "6" => alphabet::to_base(crc32fast::hash(last(30)), alphabet::BASE62, 6),
        "36" => alphabet::to_base(crc32fast::hash(before.as_bytes()), alphabet::BASE36, 7),
        "hex" => {
            // The separator before the checksum is not part of what it covers.
            let random = before.strip_suffix('_').unwrap_or(before).as_bytes();
            format!("{:08x}", crc32fast::hash(&random[random.len().saturating_sub(32)..])).into_bytes()
        }
        _ => return None,
    };
    String::from_utf8(digits).ok()
}

/// A token signed with a random key.
pub(super) fn jwt(expiry: &str, rng: Rng<'_>) -> String {
    let expiry = if expiry.is_empty() { String::new() } else { format!(",\"exp\":{expiry}") };
    let subject = data_encoding::HEXLOWER.encode(&bytes(8, rng));
    let header = base64url(br#"{"alg":"HS256","typ":"JWT"}"#);
    let claims = base64url(format!("{{\"sub\":\"{subject}\",\"iat\":1700000000{expiry}}}").as_bytes());
    let signed = format!("{header}.{claims}");
    let signature = Hmac::<Sha256>::new_from_slice(&bytes(32, rng))
        .map(|mac| mac.chain_update(&signed).finalize().into_bytes().to_vec())
        .unwrap_or_default();
    format!("{signed}.{}", base64url(&signature))
}

/// SEQUENCE { INTEGER 0, INTEGERs … } of about `length` bytes, in lines of 64 letters.
pub(super) fn der(length: usize, rng: Rng<'_>) -> String {
    let mut content = vec![2, 1, 0];
    while content.len() < length.min(2048) {
        content.extend([2, 32, 0x5a]);
        content.extend(bytes(31, rng));
    }
    let mut der = vec![0x30, 0x82];
    der.extend(u16::try_from(content.len()).unwrap_or(u16::MAX).to_be_bytes());
    der.extend(content);
    lines(&base64(&der), 64)
}

/// The magic, `none` for cipher and derivation, and random bytes.
pub(super) fn open_ssh(length: usize, rng: Rng<'_>) -> String {
    let mut key = b"openssh-key-v1\0\0\0\0\x04none\0\0\0\x04none\0\0\0\0\0\0\0\x01".to_vec();
    key.extend(bytes(length.min(2048), rng));
    lines(&base64(&key), 70)
}

fn lines(text: &str, width: usize) -> String {
    let lines: Vec<&str> =
        (0..text.len()).step_by(width).map(|at| &text[at..text.len().min(at + width)]).collect();
    lines.join("\n")
}

/// An age key: bech32 over 32 random bytes (BIP 173).
/// Base64 of a Java keystore with one key, closed with the password that the tool's manual uses.
pub(super) fn java_keystore(rng: Rng<'_>) -> String {
    use sha1::Digest;
    let mut store = b"\xFE\xED\xFE\xED\0\0\0\x02\0\0\0\x01\0\0\0\x01\0\x01k".to_vec();
    store.extend(bytes(8, rng));
    store.extend(b"\0\0\0\x60");
    store.extend(bytes(0x60, rng));
    store.extend([0; 4]);
    let mut digest = sha1::Sha1::new();
    for letter in b"changeit" {
        digest.update([0, *letter]);
    }
    digest.update(b"Mighty Aphrodite");
    digest.update(&store);
    store.extend(digest.finalize());
    base64(&store)
}

/// Base64 of a PKCS#12 file with a key that is not encrypted.
pub(super) fn pkcs12(rng: Rng<'_>) -> String {
    let mut bags = b"\x2A\x86\x48\x86\xF7\x0D\x01\x0C\x0A\x01\x01".to_vec();
    bags.extend(bytes(0x200 - bags.len(), rng));
    let mut file = b"\x30\x82\x02\x1A\x02\x01\x03\x30\x82\x02\x13".to_vec();
    file.extend(b"\x06\x09\x2A\x86\x48\x86\xF7\x0D\x01\x07\x01\xA0\x82\x02\x04\x04\x82\x02\x00");
    file.extend(bags);
    base64(&file)
}

pub(super) fn age(rng: Rng<'_>) -> String {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    const PREFIX: &[u8] = b"age-secret-key-";
    let mut values = Vec::new();
    let (mut held, mut held_bits) = (0_u32, 0);
    for byte in bytes(32, rng) {
        held = held << 8 | u32::from(byte);
        held_bits += 8;
        while held_bits >= 5 {
            held_bits -= 5;
            values.push((held >> held_bits & 31) as u8);
        }
    }
    values.push((held << (5 - held_bits) & 31) as u8);
    let expanded = PREFIX.iter().map(|byte| byte >> 5).chain([0]).chain(PREFIX.iter().map(|byte| byte & 31));
    let sum = crate::check::bech32_sum(expanded.chain(values.iter().copied()).chain([0; 6])) ^ 1;
    values.extend((0..6).map(|place| (sum >> (5 * (5 - place)) & 31) as u8));
    let data: String = values.iter().map(|&value| char::from(LETTERS[usize::from(value)])).collect();
    format!("AGE-SECRET-KEY-1{}", data.to_ascii_uppercase())
}

/// A NATS user seed: prefix bytes, 32 random bytes, CRC-16.
pub(super) fn nkey(rng: Rng<'_>) -> String {
    const SEED: u8 = 18 << 3;
    const USER: u8 = 20 << 3;
    let mut raw = vec![SEED | USER >> 5, (USER & 31) << 3];
    raw.extend(bytes(32, rng));
    let crc = crate::check::crc16(&raw);
    raw.extend(crc.to_le_bytes());
    data_encoding::BASE32_NOPAD.encode(&raw)
}

/// A wallet's key: version 0x80, 32 random bytes, 1, double SHA-256.
pub(super) fn wif(rng: Rng<'_>) -> String {
    const LETTERS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let mut raw = vec![0x80];
    raw.extend(bytes(32, rng));
    raw.push(1);
    let checksum = Sha256::digest(Sha256::digest(&raw));
    raw.extend(&checksum[..4]);
    let mut digits: Vec<u8> = Vec::new();
    for byte in raw {
        let mut carry = u32::from(byte);
        for digit in digits.iter_mut().rev() {
            carry += u32::from(*digit) << 8;
            *digit = (carry % 58) as u8;
            carry /= 58;
        }
        while carry > 0 {
            digits.insert(0, (carry % 58) as u8);
            carry /= 58;
        }
    }
    digits.into_iter().map(|digit| char::from(LETTERS[usize::from(digit)])).collect()
}

/// An access key id whose base32 holds a made-up account of twelve digits.
pub(super) fn aws_key(prefix: &str, rng: Rng<'_>) -> String {
    let account = 100_000_000_000 + rng() % 900_000_000_000;
    // The top bit is set, which makes the first letter Q or later: the scheme of 2019.
    let number = 1_u128 << 79 | u128::from(account) << 39 | u128::from(rng() >> 25);
    let letters = (0..16)
        .rev()
        .map(|place| char::from(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"[(number >> (5 * place) & 31) as usize]));
    format!("{prefix}{}", letters.collect::<String>())
}

/// Digits that begin with a 4 and end in the digit that makes the sum right.
pub(super) fn luhn(length: usize, rng: Rng<'_>) -> String {
    let mut digits = vec![4_u64];
    digits.extend((1..length.saturating_sub(1)).map(|_| rng() % 10));
    let sum: u64 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| if place % 2 == 1 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    digits.push((10 - sum % 10) % 10);
    digits.into_iter().filter_map(|digit| char::from_digit(u32::try_from(digit).ok()?, 10)).collect()
}
