//! Encodings with a checksum or a length of their own.
//!
//! Sources: BIP 173 (bech32), Bitcoin wiki "Base58Check encoding", NATS "NKEYS" (base32, CRC-16/XMODEM), WireGuard
//! `wg(8)` (32 bytes in base64).

use sha2::{Digest, Sha256};

use super::{Outcome, alphabet, placeholder};

/// age secret keys and others: `HRP1DATA` with a 30-bit checksum.
pub(super) fn bech32(secret: &[u8], _matched: &[u8]) -> Outcome {
    const LETTERS: &[u8; 32] = b"qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    let lower = secret.to_ascii_lowercase();
    let Some(one) = lower.iter().rposition(|&byte| byte == b'1') else {
        return Outcome::Fails("no separator");
    };
    let (prefix, data) = (&lower[..one], &lower[one + 1..]);
    let values: Option<Vec<u8>> = data
        .iter()
        .map(|letter| {
            LETTERS.iter().position(|known| known == letter).and_then(|place| u8::try_from(place).ok())
        })
        .collect();
    let Some(values) = values else { return Outcome::Fails("a letter outside of bech32") };
    let expanded = prefix.iter().map(|byte| byte >> 5).chain([0]).chain(prefix.iter().map(|byte| byte & 31));
    let checksum = bech32_sum(expanded.chain(values));
    if checksum == 1 {
        Outcome::Holds(Some("the checksum holds".to_owned()))
    } else {
        Outcome::Fails("the checksum does not hold")
    }
}

/// BIP 173's checksum polynomial over five-bit values.
pub(crate) fn bech32_sum(values: impl Iterator<Item = u8>) -> u32 {
    const GENERATORS: [u32; 5] = [0x3b6a_57b2, 0x2650_8e6d, 0x1ea1_19fa, 0x3d42_33dd, 0x2a14_62b3];
    values.fold(1_u32, |sum, value| {
        let top = sum >> 25;
        let shifted = (sum & 0x01ff_ffff) << 5 ^ u32::from(value);
        GENERATORS
            .iter()
            .enumerate()
            .filter(|(bit, _)| top >> bit & 1 == 1)
            .fold(shifted, |sum, (_, generator)| sum ^ generator)
    })
}

/// Wallet keys: the last four bytes are a double SHA-256 of the others.
pub(super) fn base58check(secret: &[u8], _matched: &[u8]) -> Outcome {
    let Some(decoded) = base58(secret) else { return Outcome::Fails("not base58") };
    if decoded.len() < 5 {
        return Outcome::Fails("too short");
    }
    let (body, checksum) = decoded.split_at(decoded.len() - 4);
    if Sha256::digest(Sha256::digest(body))[..4] == *checksum {
        Outcome::Holds(Some("the checksum holds".to_owned()))
    } else {
        Outcome::Fails("the checksum does not hold")
    }
}

/// Base58 to bytes; at most 128 letters, because the work grows with their square.
fn base58(text: &[u8]) -> Option<Vec<u8>> {
    const LETTERS: &[u8; 58] = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    if text.len() > 128 {
        return None;
    }
    let mut bytes: Vec<u8> = Vec::with_capacity(text.len());
    for letter in text {
        let mut carry = LETTERS.iter().position(|known| known == letter)?;
        for byte in bytes.iter_mut().rev() {
            carry += usize::from(*byte) * 58;
            *byte = (carry & 0xff) as u8;
            carry >>= 8;
        }
        while carry > 0 {
            bytes.insert(0, (carry & 0xff) as u8);
            carry >>= 8;
        }
    }
    let zeros = text.iter().take_while(|&&letter| letter == b'1').count();
    bytes.splice(0..0, std::iter::repeat_n(0, zeros));
    Some(bytes)
}

/// NATS seeds and keys: base32 of prefix, 32 bytes and a CRC-16, lowest byte first.
pub(super) fn nkey(secret: &[u8], _matched: &[u8]) -> Outcome {
    let Ok(decoded) = data_encoding::BASE32_NOPAD.decode(secret) else { return Outcome::Fails("not base32") };
    let Some((body, checksum)) = decoded.split_last_chunk::<2>() else { return Outcome::Fails("too short") };
    let crc = crc16(body);
    if crc == u16::from_le_bytes(*checksum) {
        Outcome::Holds(Some("the checksum holds".to_owned()))
    } else {
        Outcome::Fails("the checksum does not hold")
    }
}

/// CRC-16/XMODEM.
pub(crate) fn crc16(bytes: &[u8]) -> u16 {
    bytes.iter().fold(0_u16, |crc, &byte| {
        (0..8).fold(
            crc ^ u16::from(byte) << 8,
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { crc << 1 ^ 0x1021 },
        )
    })
}

/// A key of 32 bytes in hex or base64.
pub(super) fn key_32(secret: &[u8], _matched: &[u8]) -> Outcome {
    key(secret, 32)
}

/// A key of 64 bytes in hex or base64.
pub(super) fn key_64(secret: &[u8], _matched: &[u8]) -> Outcome {
    key(secret, 64)
}

/// Decodes to the right length and is not made of few different bytes.
fn key(secret: &[u8], bytes: usize) -> Outcome {
    let secret = secret.strip_prefix(b"0x").unwrap_or(secret);
    let decoded =
        if secret.len() == 2 * bytes { data_encoding::HEXLOWER_PERMISSIVE.decode(secret).ok() } else { None };
    match decoded.or_else(|| alphabet::base64_any(secret)) {
        Some(decoded) if decoded.len() != bytes => Outcome::Fails("the decoded length is not that of a key"),
        Some(decoded) if placeholder::is_repetitive(&decoded) || placeholder::is_poor(&decoded, 3.5) => {
            Outcome::Fails("too regular for a key")
        }
        Some(_) => Outcome::Open,
        None => Outcome::Fails("neither hex nor base64"),
    }
}
