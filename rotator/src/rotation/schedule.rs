//! When a Rotation is due: five-field cron in a time zone.
//!
//! Written as crontab users know it (Sunday is 0 or 7). In the hour that is skipped in spring a run happens at the
//! first moment after it; in the hour that is repeated in autumn it happens once.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::Timestamp;
use jiff::tz::TimeZone;

/// A schedule in its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
}

/// Why a schedule cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ScheduleError {
    /// Not five fields of cron.
    #[error("`{0}` is not a schedule; write five fields, as in \"0 2 * * 0\" (Sundays at 02:00)")]
    Cron(String),
    /// No such time zone.
    #[error("`{0}` is not a time zone; write an IANA name, as in Europe/Berlin or Etc/UTC")]
    Zone(String),
    /// Valid, but it never comes: the thirtieth of February.
    #[error("`{0}` never comes")]
    Never(String),
}

impl Schedule {
    /// Parses five fields and a time zone's name.
    ///
    /// # Errors
    /// When either is not what it should be, or the time never comes.
    pub fn parse(fields: &str, zone: &str) -> Result<Self, ScheduleError> {
        let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
        let cron = parser.parse(fields).map_err(|_| ScheduleError::Cron(fields.to_owned()))?;
        let zone = TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        let schedule = Self { cron, zone };
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(fields.to_owned())),
        }
    }

    /// The first time after `from` (not at it).
    pub fn after(&self, from: Timestamp) -> Option<Timestamp> {
        let from = from.to_zoned(self.zone.clone());
        self.cron.find_next_occurrence(&from, false).ok().map(|next| next.timestamp())
    }

    /// Whether a run that last began at `last` is due now. One that was missed, however often, is due once.
    pub fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        self.after(last).is_some_and(|next| next <= now)
    }
}

#[cfg(test)]
mod tests {
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
}
