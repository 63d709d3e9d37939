//! Whether to try again, and when.
//!
//! An error answers one question, [`Retry`]; nobody reads its text. [`Attempts`] turns the answers into delays:
//! exponential with jitter, bounded in number and in total, and never shorter than a server asked for.

use std::time::Duration;

use jiff::Timestamp;

/// What an error says about trying the same thing again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Retry {
    /// The same request will fail again: wrong input, refused credentials, a missing permission.
    Never,
    /// It may pass: a connection that broke, a server that starts or is sealed.
    Backoff,
    /// The server named a time, counted from its answer (`Retry-After`).
    After(Duration),
}

/// The bounds of a series of attempts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The delay after the first failure, before jitter. At least a millisecond is used.
    pub first: Duration,
    /// The longest single delay of our own choosing.
    pub longest: Duration,
    /// How often to try again.
    pub retries: u32,
    /// All delays together; a delay that would pass this ends the series instead.
    pub total: Duration,
}

impl Backoff {
    /// For a server on the network in the foreground of a command: six retries within half a minute.
    pub const NETWORK: Self = Self {
        first: Duration::from_millis(200),
        longest: Duration::from_secs(10),
        retries: 6,
        total: Duration::from_secs(30),
    };

    /// A series of attempts; `seed` decides the jitter, so that a simulation reproduces it. Two programs that
    /// failed together must not use the same seed.
    pub fn attempts(self, seed: u64) -> Attempts {
        Attempts { bounds: self, state: seed, made: 0, waited: Duration::ZERO }
    }
}

/// A series of attempts at one thing.
#[derive(Clone, Debug)]
pub struct Attempts {
    bounds: Backoff,
    state: u64,
    made: u32,
    waited: Duration,
}

impl Attempts {
    /// How long to wait before the next attempt, or `None` to give up with the error at hand.
    ///
    /// Guarantees: at most `retries` delays, their sum at most `total`; each of our own is between half of and
    /// the whole of `first · 2ⁿ`, at most `longest`; one that the server named is never cut short.
    pub fn after(&mut self, retry: Retry) -> Option<Duration> {
        if self.made >= self.bounds.retries {
            return None;
        }
        let doubled = self.bounds.first.saturating_mul(1_u32.checked_shl(self.made).unwrap_or(u32::MAX));
        let whole =
            doubled.clamp(Duration::from_millis(1), self.bounds.longest.max(Duration::from_millis(1)));
        let jittered = whole / 2 + self.part_of(whole / 2);
        let delay = match retry {
            Retry::Never => return None,
            Retry::Backoff => jittered,
            // Jitter comes on top: a server that sends everyone away for a second must not meet all at once.
            Retry::After(asked) => asked.saturating_add(self.part_of(jittered)),
        };
        let waited = self.waited.saturating_add(delay);
        if waited > self.bounds.total {
            return None;
        }
        self.made += 1;
        self.waited = waited;
        Some(delay)
    }

    /// How many delays were given so far.
    pub fn made(&self) -> u32 {
        self.made
    }

    /// An evenly distributed part of a duration, by SplitMix64 (Steele, Lea and Flood, OOPSLA 2014).
    fn part_of(&mut self, whole: Duration) -> Duration {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^= mixed >> 31;
        // 53 bits fill a double exactly.
        whole.mul_f64((mixed >> 11) as f64 / (1_u64 << 53) as f64)
    }
}

/// Reads the value of a `Retry-After` header: seconds, or a date (RFC 9110, 10.2.3). A date that has passed is
/// zero. Anything else is `None`; a day is the longest that is believed.
pub fn retry_after(value: &str, now: Timestamp) -> Option<Duration> {
    const LONGEST: Duration = Duration::from_secs(24 * 60 * 60);
    let value = value.trim();
    let asked = if !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit are more than a day too.
        Duration::from_secs(value.parse().unwrap_or(u64::MAX))
    } else {
        let date = jiff::fmt::rfc2822::parse(value).ok()?.timestamp();
        Duration::try_from(date.duration_since(now)).unwrap_or(Duration::ZERO)
    };
    Some(asked.min(LONGEST))
}

#[cfg(test)]
mod tests;
