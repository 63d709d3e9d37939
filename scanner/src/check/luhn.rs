//! The Luhn digit sum. Source: ISO/IEC 7812-1, annex B.

use super::Outcome;

/// Numbers of 12 to 19 digits, spaces and hyphens aside, whose digit sum ends in 0.
pub(super) fn luhn(secret: &[u8], _matched: &[u8]) -> Outcome {
    let digits: Vec<u32> =
        secret.iter().filter(|byte| byte.is_ascii_digit()).map(|byte| u32::from(byte - b'0')).collect();
    let sum: u32 = digits
        .iter()
        .rev()
        .enumerate()
        .map(|(place, &digit)| if place % 2 == 0 { digit } else { digit * 2 / 10 + digit * 2 % 10 })
        .sum();
    let plausible = (12..=19).contains(&digits.len()) && digits.iter().any(|&digit| digit != digits[0]);
    if plausible && sum.is_multiple_of(10) {
        Outcome::Holds(None)
    } else {
        Outcome::Fails("the digit sum does not hold")
    }
}
