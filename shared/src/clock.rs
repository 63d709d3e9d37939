//! Time as a value.
//!
//! Code that asks for the time takes a [`Clock`]; production gives it [`SystemClock`], tests and the simulation a
//! [`TestClock`] that moves only when told. Wall time (schedules, expiry) can jump; durations are measured with
//! [`Clock::elapsed`], which cannot.

use std::sync::Arc;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use jiff::Timestamp;

/// Where the time comes from.
pub trait Clock: Send + Sync {
    /// The wall time, to the precision of the system.
    fn now(&self) -> Timestamp;

    /// The time since this clock was made; never goes back.
    fn elapsed(&self) -> Duration;
}

/// The operating system's clocks.
#[derive(Clone, Copy, Debug)]
pub struct SystemClock {
    started: Instant,
}

impl SystemClock {
    /// A clock whose [`elapsed`](Clock::elapsed) begins now.
    pub fn new() -> Self {
        Self { started: Instant::now() }
    }
}

impl Default for SystemClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }

    fn elapsed(&self) -> Duration {
        self.started.elapsed()
    }
}

/// A clock that moves only when told. Copies share one time.
#[derive(Clone, Debug)]
pub struct TestClock(Arc<Mutex<Hands>>);

#[derive(Debug)]
struct Hands {
    wall: Timestamp,
    elapsed: Duration,
}

impl TestClock {
    /// A clock that stands at this time.
    pub fn at(wall: Timestamp) -> Self {
        Self(Arc::new(Mutex::new(Hands { wall, elapsed: Duration::ZERO })))
    }

    /// Lets time pass. The wall time stops at the end of time (the year 9999).
    pub fn advance(&self, by: Duration) {
        self.with(|hands| {
            hands.wall = hands.wall.saturating_add(by).unwrap_or(Timestamp::MAX);
            hands.elapsed = hands.elapsed.saturating_add(by);
        });
    }

    /// Moves the wall time alone, forth or back, as an administrator or NTP does.
    pub fn jump_to(&self, wall: Timestamp) {
        self.with(|hands| hands.wall = wall);
    }

    fn with<T>(&self, act: impl FnOnce(&mut Hands) -> T) -> T {
        // A test that panicked while it held the hands left them whole: each change is one assignment.
        act(&mut self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner))
    }
}

impl Clock for TestClock {
    fn now(&self) -> Timestamp {
        self.with(|hands| hands.wall)
    }

    fn elapsed(&self) -> Duration {
        self.with(|hands| hands.elapsed)
    }
}

impl<C: Clock + ?Sized> Clock for &C {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn elapsed(&self) -> Duration {
        (**self).elapsed()
    }
}

impl<C: Clock + ?Sized> Clock for Arc<C> {
    fn now(&self) -> Timestamp {
        (**self).now()
    }

    fn elapsed(&self) -> Duration {
        (**self).elapsed()
    }
}

#[cfg(test)]
mod tests {
    use super::{Clock, SystemClock, TestClock};
    use std::time::Duration;

    #[test]
    fn a_test_clock_moves_only_when_told() {
        let clock = TestClock::at("2026-03-01T02:00:00Z".parse().unwrap());
        let copy = clock.clone();
        assert_eq!(clock.now(), copy.now());
        copy.advance(Duration::from_secs(90));
        assert_eq!(clock.now().to_string(), "2026-03-01T02:01:30Z");
        clock.jump_to("2020-01-01T00:00:00Z".parse().unwrap());
        assert_eq!(
            copy.elapsed(),
            Duration::from_secs(90),
            "a jump of the wall time is not time that passed"
        );
        clock.advance(Duration::MAX);
        assert_eq!(clock.now(), jiff::Timestamp::MAX);
    }

    #[test]
    fn the_system_clock_goes_forward() {
        let clock = SystemClock::new();
        let before = clock.elapsed();
        assert!(clock.elapsed() >= before);
        assert!(clock.now() > "2026-01-01T00:00:00Z".parse().unwrap());
    }
}
