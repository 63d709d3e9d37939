//! When a Rotation is due: five-field cron in a time zone.
//!
//! Written as crontab users know it (Sunday is 0 or 7). In the hour that is skipped in spring a run happens at the
//! first moment after it; in the hour that is repeated in autumn it happens once.

use std::time::Duration;

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

/// A schedule in its time zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    cron: Cron,
    zone: TimeZone,
    /// How much later than its time a run starts: always the same for one Rotation.
    offset: SignedDuration,
    freezes: Vec<Window>,
}

/// A time in which no scheduled run starts: from each moment of a schedule, for so long.
#[derive(Clone, Debug)]
struct Window {
    cron: Cron,
    length: SignedDuration,
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
    /// A run would start after the next one.
    #[error("a jitter of {0:?} reaches into the next run; write less than the time between two runs")]
    Jitter(Duration),
    /// A window without an end.
    #[error(
        "a freeze of {0:?} lasts until the next one begins: nothing would ever run; write a shorter duration"
    )]
    Endless(Duration),
}

/// How far ahead intervals between two runs are compared: each hour, day and month of a schedule comes up in it.
const INTERVALS_COMPARED: usize = 64;
/// Windows that follow each other without a gap; beyond this there is no next run to tell.
const WINDOWS_MAX: usize = 64;

fn parse_cron(fields: &str) -> Result<Cron, ScheduleError> {
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(fields).map_err(|_| ScheduleError::Cron(fields.to_owned()))
}

fn signed(span: Duration) -> SignedDuration {
    SignedDuration::try_from(span).unwrap_or(SignedDuration::MAX)
}

impl Schedule {
    /// Parses five fields and a time zone's name.
    ///
    /// # Errors
    /// When either is not what it should be, or the time never comes.
    pub fn parse(fields: &str, zone: &str) -> Result<Self, ScheduleError> {
        let cron = parse_cron(fields)?;
        let zone = TimeZone::get(zone).map_err(|_| ScheduleError::Zone(zone.to_owned()))?;
        let schedule = Self { cron, zone, offset: SignedDuration::ZERO, freezes: Vec::new() };
        match schedule.after(Timestamp::UNIX_EPOCH) {
            Some(_) => Ok(schedule),
            None => Err(ScheduleError::Never(fields.to_owned())),
        }
    }

    /// The same, each run later by a part of `jitter` that depends on the uid alone: many Rotations with one
    /// schedule do not start together, and each starts at its own time again and again.
    ///
    /// # Errors
    /// When a run could start after the next one.
    pub fn with_jitter(mut self, jitter: Duration, uid: &str) -> Result<Self, ScheduleError> {
        if jitter.is_zero() {
            return Ok(self);
        }
        if self.shortest_interval().is_some_and(|interval| signed(jitter) >= interval) {
            return Err(ScheduleError::Jitter(jitter));
        }
        let hash = blake3::derive_key("keyturn 2026 schedule jitter/1", uid.as_bytes());
        let number = hash.first_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let seconds = number % jitter.as_secs().max(1);
        self.offset = signed(Duration::from_secs(seconds));
        Ok(self)
    }

    /// The same, with a window more in which no scheduled run starts.
    ///
    /// # Errors
    /// When the window is none, or never ends.
    pub fn with_freeze(mut self, fields: &str, length: Duration) -> Result<Self, ScheduleError> {
        let alone = Self {
            cron: parse_cron(fields)?,
            zone: self.zone.clone(),
            offset: SignedDuration::ZERO,
            freezes: Vec::new(),
        };
        if alone.after(Timestamp::UNIX_EPOCH).is_none() {
            return Err(ScheduleError::Never(fields.to_owned()));
        }
        if alone.shortest_interval().is_some_and(|interval| signed(length) >= interval) {
            return Err(ScheduleError::Endless(length));
        }
        self.freezes.push(Window { cron: alone.cron, length: signed(length) });
        Ok(self)
    }

    fn shortest_interval(&self) -> Option<SignedDuration> {
        let mut last = self.after(Timestamp::UNIX_EPOCH)?;
        let mut shortest = None;
        for _ in 0..INTERVALS_COMPARED {
            let Some(next) = self.after(last) else { break };
            let interval = next.duration_since(last);
            shortest = Some(shortest.map_or(interval, |s: SignedDuration| s.min(interval)));
            last = next;
        }
        shortest
    }

    /// The first time after `from` (not at it), freezes aside.
    pub fn after(&self, from: Timestamp) -> Option<Timestamp> {
        let from = from.checked_sub(self.offset).unwrap_or(Timestamp::MIN);
        let next = self.next_of(&self.cron, from)?;
        next.checked_add(self.offset).ok()
    }

    fn next_of(&self, cron: &Cron, from: Timestamp) -> Option<Timestamp> {
        let from = from.to_zoned(self.zone.clone());
        cron.find_next_occurrence(&from, false).ok().map(|next| next.timestamp())
    }

    /// When the freeze ends that `now` lies in, if it lies in one.
    pub fn frozen_until(&self, now: Timestamp) -> Option<Timestamp> {
        let ends = self.freezes.iter().filter_map(|window| {
            // The first beginning that is younger than the window is long: it covers now, if it has come.
            let from = now.checked_sub(window.length).ok()?;
            let begin = self.next_of(&window.cron, from).filter(|begin| *begin <= now)?;
            begin.checked_add(window.length).ok()
        });
        ends.max()
    }

    /// When a run that last began at `last` starts by itself: now, if that has come; freezes are waited for.
    pub fn next_start(&self, last: Timestamp, now: Timestamp) -> Option<Timestamp> {
        let mut start = self.after(last)?.max(now);
        for _ in 0..WINDOWS_MAX {
            match self.frozen_until(start) {
                Some(end) => start = end,
                None => return Some(start),
            }
        }
        None
    }

    /// Whether a run that last began at `last` is due now. One that was missed, however often, is due once; one
    /// that came in a freeze is due when that is over.
    pub fn is_due(&self, last: Timestamp, now: Timestamp) -> bool {
        self.after(last).is_some_and(|next| next <= now) && self.frozen_until(now).is_none()
    }
}

#[cfg(test)]
mod tests;
