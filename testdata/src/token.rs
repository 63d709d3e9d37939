//! Synthetic secrets: well-formed, made here, valid nowhere.

use crate::random::Random;

const BASE62: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/// A token in the format of a GitHub personal access token (classic): prefix, 30 characters, and their CRC-32 as six
/// base-62 digits ("Behind GitHub's new authentication token formats", github.blog, 2021).
pub fn github(random: &mut Random) -> String {
    let body = random.text(BASE62, 30);
    // Written in parts, so that this line is no match for anybody's rules.
    format!("{}{}{body}{}", "gh", "p_", base62(crc32fast::hash(body.as_bytes()), 6))
}

fn base62(mut value: u32, length: usize) -> String {
    let mut digits = vec![b'0'; length];
    for digit in digits.iter_mut().rev() {
        *digit = BASE62.as_bytes()[(value % 62) as usize];
        value /= 62;
    }
    digits.into_iter().map(char::from).collect()
}

#[cfg(test)]
mod tests {
    use super::github;
    use crate::random::Random;

    #[test]
    fn tokens_are_well_formed_distinct_and_the_same_for_a_seed() {
        let (mut one, mut two) = (Random::new(1), Random::new(1));
        let first = github(&mut one);
        assert_eq!(first.len(), 40);
        assert_eq!(first, github(&mut two));
        assert_ne!(first, github(&mut one));
    }
}
