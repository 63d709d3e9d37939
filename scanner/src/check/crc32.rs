//! Tokens that end in a CRC-32 of what stands before.
//!
//! Sources: GitHub, "Behind GitHub's new authentication token formats" (2021) and "Announcing npm's new access token
//! format" (2021): six base62 digits, zero-padded, over the random part. GitLab handbook, "Routable tokens": the last
//! seven characters are a CRC-32 in base36 over everything before, the two before them the payload's length.
//! Grafana, "Service account tokens": `glsa_`, 32 random characters, `_`, the CRC-32 in hex.

use super::{Outcome, alphabet, structure};

/// GitHub: `ghp_`, `gho_`, `ghu_`, `ghs_`, `ghr_` and 36 characters. Fine-grained tokens publish no checksum, so
/// they stay open.
pub(super) fn github(secret: &[u8], _matched: &[u8]) -> Outcome {
    match secret.iter().position(|&byte| byte == b'_') {
        Some(3) if secret.len() == 40 => base62(&secret[4..]),
        _ => Outcome::Open,
    }
}

/// npm: `npm_` and 36 characters.
pub(super) fn npm(secret: &[u8], _matched: &[u8]) -> Outcome {
    match secret.strip_prefix(b"npm_") {
        Some(body) if body.len() == 36 => base62(body),
        _ => Outcome::Fails("an npm token has 36 characters after its prefix"),
    }
}

/// The last six digits are the base62 CRC-32 of the bytes before them.
fn base62(body: &[u8]) -> Outcome {
    let (random, digits) = body.split_at(body.len() - 6);
    if alphabet::to_base(crc32fast::hash(random), alphabet::BASE62, 6) == digits {
        Outcome::Holds(Some("the token's checksum holds".to_owned()))
    } else {
        Outcome::Fails("the token's checksum does not hold")
    }
}

/// GitLab: `glpat-PAYLOAD.LLCCCCCCC`, or `glpat-PAYLOAD.VV.LLCCCCCCC` with a version, where L is the payload's length
/// and C the checksum, both in base36. Other shapes stay open.
pub(super) fn gitlab_routable(secret: &[u8], _matched: &[u8]) -> Outcome {
    let Some(dot) = secret.iter().rposition(|&byte| byte == b'.') else { return Outcome::Open };
    let tail = &secret[dot + 1..];
    if tail.len() != 9 {
        return Outcome::Open;
    }
    let (body, digits) = secret.split_at(secret.len() - 7);
    if alphabet::to_base(crc32fast::hash(body), alphabet::BASE36, 7) == digits {
        Outcome::Holds(Some("the token's checksum holds".to_owned()))
    } else {
        Outcome::Fails("the token's checksum does not hold")
    }
}

/// Grafana: service accounts end in a CRC-32 in hex; Cloud tokens hold JSON.
pub(super) fn grafana(secret: &[u8], matched: &[u8]) -> Outcome {
    let Some(body) = secret.strip_prefix(b"glsa_") else { return structure::structure(secret, matched) };
    let Some((random, digits)) = body.split_at_checked(32) else { return Outcome::Open };
    // Grafana hashes the prefix too in some releases; either proves the token.
    let holds = [random, &secret[..secret.len().min(5 + 32)]]
        .iter()
        .any(|hashed| format!("_{:08x}", crc32fast::hash(hashed)).as_bytes().eq_ignore_ascii_case(digits));
    if holds { Outcome::Holds(Some("the token's checksum holds".to_owned())) } else { Outcome::Open }
}
