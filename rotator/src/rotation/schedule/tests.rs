//! Times as crontab users expect them, and the edges where clocks are changed.

use std::collections::BTreeSet;
use std::time::Duration;

use jiff::Timestamp;

use super::{Schedule, ScheduleError};

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn next(fields: &str, zone: &str, from: &str) -> String {
    Schedule::parse(fields, zone).unwrap().after(at(from)).unwrap().to_string()
}

#[test]
fn sunday_is_0_and_7_as_crontab_users_know_it() {
    // 2026-03-01 is a Sunday.
    assert_eq!(next("0 2 * * 0", "Etc/UTC", "2026-02-25T00:00:00Z"), "2026-03-01T02:00:00Z");
    assert_eq!(next("0 2 * * 7", "Etc/UTC", "2026-02-25T00:00:00Z"), "2026-03-01T02:00:00Z");
    assert_eq!(next("0 2 * * 1", "Etc/UTC", "2026-02-25T00:00:00Z"), "2026-03-02T02:00:00Z");
    assert_eq!(next("0 2 * * 0", "Etc/UTC", "2026-03-01T02:00:00Z"), "2026-03-08T02:00:00Z");
}

#[test]
fn a_zone_moves_the_hour_with_daylight_saving() {
    assert_eq!(next("0 4 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T02:00:00Z");
    assert_eq!(next("0 4 * * *", "Europe/Berlin", "2026-03-27T12:00:00Z"), "2026-03-28T03:00:00Z");
}

#[test]
fn the_hour_that_spring_skips_comes_at_once_and_the_one_that_autumn_repeats_comes_once() {
    // Clocks go from 02:00 to 03:00 on 2026-03-29, and from 03:00 back to 02:00 on 2026-10-25.
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z"), "2026-03-29T01:00:00Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-24T12:00:00Z"), "2026-10-25T00:30:00Z");
    assert_eq!(next("30 2 * * *", "Europe/Berlin", "2026-10-25T00:30:00Z"), "2026-10-26T01:30:00Z");
}

#[test]
fn missed_runs_are_due_once() {
    let schedule = Schedule::parse("0 2 * * 0", "Etc/UTC").unwrap();
    assert!(schedule.is_due(at("2026-01-01T00:00:00Z"), at("2026-03-03T00:00:00Z")));
    assert!(!schedule.is_due(at("2026-03-03T00:00:00Z"), at("2026-03-03T00:00:01Z")));
    assert!(schedule.is_due(at("2026-03-01T01:59:59Z"), at("2026-03-01T02:00:00Z")));
}

#[test]
fn what_is_no_schedule_is_refused_in_one_line() {
    for fields in ["", "* * * *", "0 0 2 * * 0", "61 * * * *", "@weekly x", "a b c d e"] {
        assert!(matches!(Schedule::parse(fields, "Etc/UTC"), Err(ScheduleError::Cron(_))), "{fields}");
    }
    let zone = Schedule::parse("0 2 * * 0", "Mars/Olympus").unwrap_err();
    assert!(zone.to_string().contains("Europe/Berlin"), "{zone}");
    assert!(matches!(Schedule::parse("0 0 30 2 *", "Etc/UTC"), Err(ScheduleError::Never(_))));
}

#[test]
fn an_interval_goes_through_the_skipped_and_the_repeated_hour() {
    let times = |from: &str, count: usize| -> Vec<String> {
        let schedule = Schedule::parse("*/30 * * * *", "Europe/Berlin").unwrap();
        let first = schedule.after(at(from)).unwrap();
        std::iter::successors(Some(first), |last| schedule.after(*last))
            .take(count)
            .map(|time| time.strftime("%H:%M").to_string())
            .collect()
    };
    // Spring: half past one is followed by three o'clock, half an hour later.
    assert_eq!(times("2026-03-29T00:00:00Z", 3), ["00:30", "01:00", "01:30"]);
    // Autumn: the repeated hour has its half hours too; nothing comes twice at one moment, nothing stands still.
    let autumn = times("2026-10-24T23:30:00Z", 5);
    let distinct: BTreeSet<&String> = autumn.iter().collect();
    assert_eq!((autumn[0].as_str(), distinct.len()), ("00:00", 5), "{autumn:?}");
}

#[test]
fn zones_without_whole_hours_and_with_half_hour_changes_work() {
    assert_eq!(next("15 6 * * *", "Asia/Kathmandu", "2026-01-01T00:00:00Z"), "2026-01-01T00:30:00Z");
    // Lord Howe goes forward by half an hour, from 02:00 to 02:30 on 2026-10-04 (at 15:30 UTC the day before).
    assert_eq!(next("15 2 * * *", "Australia/Lord_Howe", "2026-10-03T12:00:00Z"), "2026-10-03T15:30:00Z");
}

#[test]
fn jitter_is_a_property_of_the_rotation() {
    let plain = Schedule::parse("0 2 * * *", "Etc/UTC").unwrap();
    let of = |uid: &str| {
        plain
            .clone()
            .with_jitter(Duration::from_secs(1800), uid)
            .unwrap()
            .after(at("2026-03-01T00:00:00Z"))
            .unwrap()
    };
    assert_eq!(of("uid-1"), of("uid-1"));
    let starts: BTreeSet<Timestamp> = (0..50).map(|n| of(&format!("uid-{n}"))).collect();
    assert!(starts.len() > 40, "they spread: {}", starts.len());
    let (first, last) = (starts.first().unwrap(), starts.last().unwrap());
    assert!(*first >= at("2026-03-01T02:00:00Z") && *last < at("2026-03-01T02:30:00Z"), "{first} to {last}");
    let schedule = plain.clone().with_jitter(Duration::from_secs(1800), "uid-7").unwrap();
    let start = of("uid-7");
    assert!(schedule.is_due(at("2026-02-28T12:00:00Z"), start));
    assert!(!schedule.is_due(at("2026-02-28T12:00:00Z"), start - jiff::SignedDuration::from_secs(1)));
    assert!(!schedule.is_due(start, start + jiff::SignedDuration::from_hours(23)), "once a day");
    let long = plain.with_jitter(Duration::from_secs(24 * 3600), "uid-7").unwrap_err();
    assert!(matches!(long, ScheduleError::Jitter(_)), "{long}");
}

#[test]
fn no_run_starts_in_a_freeze_and_what_was_missed_starts_once_after_it() {
    let christmas = Schedule::parse("0 2 * * *", "Europe/Berlin")
        .unwrap()
        .with_freeze("0 0 20 12 *", Duration::from_secs(14 * 24 * 3600))
        .unwrap();
    let last = at("2026-12-19T01:00:00Z");
    assert!(
        christmas.is_due(last, at("2026-12-20T22:59:59Z"))
            == christmas.frozen_until(at("2026-12-20T22:59:59Z")).is_none()
    );
    assert!(!christmas.is_due(last, at("2026-12-19T23:00:00Z")), "the freeze has begun");
    assert!(!christmas.is_due(last, at("2027-01-02T22:59:59Z")), "it is not over");
    assert!(christmas.is_due(last, at("2027-01-02T23:00:00Z")), "it is over");
    assert_eq!(christmas.next_start(last, at("2026-12-25T00:00:00Z")).unwrap(), at("2027-01-02T23:00:00Z"));
    assert_eq!(christmas.next_start(last, at("2026-12-19T12:00:00Z")).unwrap(), at("2027-01-02T23:00:00Z"));
    let after = at("2027-01-02T23:00:00Z");
    assert_eq!(christmas.next_start(after, after).unwrap(), at("2027-01-03T01:00:00Z"));
    let plain = || Schedule::parse("0 2 * * *", "Etc/UTC").unwrap();
    assert!(matches!(
        plain().with_freeze("0 0 * * *", Duration::from_secs(86_400)),
        Err(ScheduleError::Endless(_))
    ));
    assert!(matches!(
        plain().with_freeze("0 0 30 2 *", Duration::from_secs(1)),
        Err(ScheduleError::Never(_))
    ));
    assert!(matches!(plain().with_freeze("daily", Duration::from_secs(1)), Err(ScheduleError::Cron(_))));
}
