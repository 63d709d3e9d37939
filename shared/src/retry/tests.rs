//! Delays stay inside their bounds for every seed.

use std::time::Duration;

use proptest::prelude::{any, prop_assert, proptest};

use super::{Backoff, Retry, retry_after};

const BOUNDS: Backoff = Backoff {
    first: Duration::from_millis(100),
    longest: Duration::from_secs(2),
    retries: 8,
    total: Duration::from_secs(20),
};

proptest! {
    #[test]
    fn delays_double_within_their_jitter_and_end(seed in any::<u64>()) {
        let mut attempts = BOUNDS.attempts(seed);
        let mut whole = BOUNDS.first;
        let mut sum = Duration::ZERO;
        let mut count = 0;
        while let Some(delay) = attempts.after(Retry::Backoff) {
            prop_assert!(delay >= whole / 2 && delay <= whole, "{delay:?} for {whole:?}");
            whole = (whole * 2).min(BOUNDS.longest);
            sum += delay;
            count += 1;
        }
        prop_assert!(count == BOUNDS.retries && attempts.made() == count);
        prop_assert!(sum <= BOUNDS.total);
    }

    #[test]
    fn a_servers_delay_is_never_cut_short(seed in any::<u64>(), asked in 0_u64..30_000) {
        let asked = Duration::from_millis(asked);
        match BOUNDS.attempts(seed).after(Retry::After(asked)) {
            Some(delay) => prop_assert!(delay >= asked && delay <= BOUNDS.total),
            None => prop_assert!(asked + BOUNDS.first > BOUNDS.total),
        }
    }
}

#[test]
fn what_cannot_pass_is_not_tried_again() {
    assert_eq!(BOUNDS.attempts(1).after(Retry::Never), None);
}

#[test]
fn the_same_seed_gives_the_same_delays_and_another_does_not() {
    let delays = |seed| {
        let mut attempts = BOUNDS.attempts(seed);
        std::iter::from_fn(|| attempts.after(Retry::Backoff)).collect::<Vec<_>>()
    };
    assert_eq!(delays(7), delays(7));
    assert_ne!(delays(7), delays(8));
}

#[test]
fn many_retries_and_long_delays_do_not_overflow() {
    let bounds =
        Backoff { first: Duration::MAX, longest: Duration::MAX, retries: u32::MAX, total: Duration::MAX };
    assert!(bounds.attempts(3).after(Retry::After(Duration::MAX)).is_some());
    let bounds = Backoff { first: Duration::ZERO, longest: Duration::ZERO, ..bounds };
    let mut attempts = bounds.attempts(3);
    for _ in 0..100 {
        let delay = attempts.after(Retry::Backoff).unwrap();
        assert!(delay > Duration::ZERO, "no busy loop");
    }
}

#[test]
fn retry_after_reads_seconds_and_dates() {
    let now = "1994-11-06T08:49:30Z".parse().unwrap();
    for (value, expected) in [
        ("120", Some(120)),
        (" 0 ", Some(0)),
        ("Sun, 06 Nov 1994 08:49:37 GMT", Some(7)),
        ("Sun, 06 Nov 1994 08:49:00 GMT", Some(0)),
        ("99999999999999999999999", Some(86_400)),
        ("-5", None),
        ("soon", None),
        ("", None),
    ] {
        assert_eq!(retry_after(value, now), expected.map(Duration::from_secs), "{value}");
    }
}
