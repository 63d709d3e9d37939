//! AWS access key ids.
//!
//! Source: AWS, "IAM identifiers" (prefixes); Aidan Steele and Tal Be'ery, "A short note on AWS KEY ID" (the account's
//! number stands in the base32 after the prefix).

use super::{Outcome, placeholder};

/// Decodes the account's number out of the id. Ids are base32; other letters prove that it is none.
pub(super) fn key_id(secret: &[u8], _matched: &[u8]) -> Outcome {
    if secret.len() != 20 || placeholder::is_repetitive(secret) || secret.ends_with(b"EXAMPLE") {
        return Outcome::Fails("a placeholder");
    }
    let Some(body) = secret.get(4..) else { return Outcome::Open };
    let mut decoded = 0_u128;
    for &letter in body {
        let digit = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'2'..=b'7' => letter - b'2' + 26,
            // Ids from before 2019 and made-up ones: keep them, without the proof.
            _ => return Outcome::Open,
        };
        decoded = decoded << 5 | u128::from(digit);
    }
    // Ten bytes; the account is bits 1 to 40 of the first six.
    let account = (decoded >> 39) & 0xff_ffff_ffff;
    // Ids that begin with another letter are older than this scheme.
    if account < 1_000_000_000_000 && matches!(secret[4], b'Q'..=b'Z' | b'2'..=b'7') {
        Outcome::Holds(Some(format!("AWS account {account:012}")))
    } else {
        Outcome::Open
    }
}
