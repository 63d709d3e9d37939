//! New secrets, to a policy, from the operating system's random source.

use shared::secret::Secret;
use zeroize::Zeroizing;

/// The least strength of a generated secret, in bits.
pub const BITS_MIN: f64 = 128.0;

/// How a secret looks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Policy {
    alphabet: Vec<u8>,
    length: usize,
}

/// Why a policy cannot be followed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum PolicyError {
    /// Too weak.
    #[error(
        "{length} characters of an alphabet of {alphabet} give {bits:.0} bits; at least {BITS_MIN:.0} are needed: use a length of {needed}"
    )]
    Weak {
        /// Characters asked for.
        length: usize,
        /// Distinct characters.
        alphabet: usize,
        /// Strength in bits.
        bits: f64,
        /// The length that is enough.
        needed: usize,
    },
    /// No alphabet is left.
    #[error("the alphabet has fewer than two characters after the forbidden ones are taken out")]
    NoAlphabet,
    /// Too long.
    #[error("a length of {0} is more than any target takes; use at most {LENGTH_MAX}")]
    Long(usize),
}

/// Longer than any password field that we know.
const LENGTH_MAX: usize = 1024;

impl Policy {
    /// A policy of `length` characters out of `alphabet` without `forbidden`. Characters are ASCII: every
    /// target takes them, and one character is one byte.
    ///
    /// # Errors
    /// When the result would have less than 128 bits, or more characters than a target takes.
    pub fn new(length: usize, alphabet: &str, forbidden: &str) -> Result<Self, PolicyError> {
        let mut characters: Vec<u8> =
            alphabet.bytes().filter(|b| b.is_ascii_graphic() && !forbidden.as_bytes().contains(b)).collect();
        characters.sort_unstable();
        characters.dedup();
        if characters.len() < 2 {
            return Err(PolicyError::NoAlphabet);
        }
        if length > LENGTH_MAX {
            return Err(PolicyError::Long(length));
        }
        #[expect(clippy::cast_precision_loss, reason = "both are below 1,025")]
        let (bits_each, bits) = {
            let each = (characters.len() as f64).log2();
            (each, each * length as f64)
        };
        if bits < BITS_MIN {
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "1 to 128")]
            let needed = (BITS_MIN / bits_each).ceil() as usize;
            return Err(PolicyError::Weak { length, alphabet: characters.len(), bits, needed });
        }
        Ok(Self { alphabet: characters, length })
    }

    /// The characters of a named alphabet: `alphanumeric`, `hex`, `base64url`, `printable`.
    pub fn alphabet(name: &str) -> Option<&'static str> {
        Some(match name {
            "alphanumeric" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
            "hex" => "0123456789abcdef",
            "base64url" => "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_",
            "printable" => {
                "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789!#$%&()*+,-./:;<=>?@[]^_{|}~"
            }
            _ => return None,
        })
    }

    /// log2 of the number of values that the policy can give.
    #[expect(clippy::cast_precision_loss, reason = "both are below 1,025")]
    pub fn bits(&self) -> f64 {
        (self.alphabet.len() as f64).log2() * self.length as f64
    }

    /// Whether a value can have come from this policy.
    pub fn fits(&self, value: &[u8]) -> bool {
        value.len() == self.length && value.iter().all(|byte| self.alphabet.contains(byte))
    }

    /// Makes one secret; `fill` fills a buffer with random bytes.
    ///
    /// # Errors
    /// The error of `fill`.
    pub fn make<E>(&self, mut fill: impl FnMut(&mut [u8]) -> Result<(), E>) -> Result<Secret, E> {
        // Bytes at or above the largest multiple of the alphabet's size are thrown away: no character is
        // likelier than another.
        let size = self.alphabet.len();
        let limit = 256 - 256 % size;
        let mut secret = Zeroizing::new(Vec::with_capacity(self.length));
        let mut random = Zeroizing::new([0_u8; 64]);
        while secret.len() < self.length {
            fill(&mut *random)?;
            for &byte in random.iter() {
                if usize::from(byte) < limit && secret.len() < self.length {
                    secret.push(self.alphabet[usize::from(byte) % size]);
                }
            }
        }
        Ok(Secret::new(std::mem::take(&mut *secret)))
    }
}

#[cfg(test)]
mod tests {
    use super::{Policy, PolicyError};

    fn system(buffer: &mut [u8]) -> Result<(), getrandom::Error> {
        getrandom::fill(buffer)
    }

    #[test]
    fn secrets_follow_their_policy_and_differ() {
        let policy = Policy::new(32, Policy::alphabet("alphanumeric").unwrap(), "0Oo1Il").unwrap();
        let one = policy.make(system).unwrap();
        let two = policy.make(system).unwrap();
        assert_eq!(one.len(), 32);
        assert!(!one.same_as(&two));
        one.expose(|b| assert!(b.iter().all(|c| c.is_ascii_alphanumeric() && !b"0Oo1Il".contains(c))));
    }

    #[test]
    fn every_character_is_as_likely_as_the_others() {
        let policy = Policy::new(1000, "abc", "").unwrap();
        let mut counts = [0_u32; 3];
        for _ in 0..30 {
            let secret = policy.make(system).unwrap();
            secret.expose(|b| b.iter().for_each(|c| counts[usize::from(c - b'a')] += 1));
        }
        // 10,000 each; six standard deviations are 490.
        assert!(counts.iter().all(|&c| (9_510..10_490).contains(&c)), "{counts:?}");
    }

    #[test]
    fn weak_policies_are_refused_with_the_length_that_is_enough() {
        let weak = Policy::new(16, Policy::alphabet("alphanumeric").unwrap(), "").unwrap_err();
        assert!(matches!(weak, PolicyError::Weak { needed: 22, .. }), "{weak}");
        assert!(weak.to_string().contains("use a length of 22"), "{weak}");
        assert_eq!(Policy::new(64, "a", "").unwrap_err(), PolicyError::NoAlphabet);
        assert_eq!(Policy::new(4096, "ab", "").unwrap_err(), PolicyError::Long(4096));
    }
}
