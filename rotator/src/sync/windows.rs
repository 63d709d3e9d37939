//! Windows in which refreshes by the interval may happen, or may not. Pure.
//!
//! As the operator's: only refreshes by the interval look at them; the first sync and a changed manifest do not.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};

use crate::go_duration;
use crate::manifest::external_secret::{SyncWindow, SyncWindows, WindowKind};

/// When a window opens.
enum Opening {
    /// By five fields of cron, or a word for them.
    Cron(Box<Cron>),
    /// `@every 1h`, counted from nowhere: it is open if it lasts as long.
    Every(i64),
}

fn parsed(window: &SyncWindow) -> Option<Opening> {
    if let Some(every) = window.schedule.strip_prefix("@every ") {
        return go_duration::parse(every.trim()).map(Opening::Every);
    }
    let schedule = if window.schedule == "@midnight" { "@daily" } else { window.schedule.as_str() };
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(schedule).ok().map(Box::new).map(Opening::Cron)
}

/// The first schedule that is none.
pub fn broken(windows: &SyncWindows) -> Option<&str> {
    windows.windows.iter().find(|window| parsed(window).is_none()).map(|window| window.schedule.as_str())
}

/// Whether a window is open: from each moment of its schedule (UTC) for its duration, both ends included.
fn is_open(window: &SyncWindow, now: Timestamp) -> bool {
    let length = SignedDuration::try_from(window.duration.0).unwrap_or(SignedDuration::MAX);
    match parsed(window) {
        None => false,
        Some(Opening::Every(nanoseconds)) => i128::from(nanoseconds) <= length.as_nanos(),
        Some(Opening::Cron(cron)) => {
            let opened = cron.find_previous_occurrence(&now.to_zoned(TimeZone::UTC), true);
            opened.is_ok_and(|opened| now.duration_since(opened.timestamp()) <= length)
        }
    }
}

/// Whether a refresh may happen now.
pub fn allow(windows: Option<&SyncWindows>, now: Timestamp) -> bool {
    let Some(windows) = windows.filter(|windows| !windows.windows.is_empty()) else { return true };
    let any_open = windows.windows.iter().any(|window| is_open(window, now));
    match windows.kind {
        WindowKind::Allow => any_open,
        WindowKind::Deny => !any_open,
    }
}

#[cfg(test)]
mod tests {
    use super::{allow, broken};
    use crate::manifest::external_secret::{SyncWindow, SyncWindows, WindowKind};

    fn windows(kind: WindowKind, schedule: &str, duration: &str) -> SyncWindows {
        let window = SyncWindow { schedule: schedule.to_owned(), duration: duration.parse().unwrap() };
        SyncWindows { kind, windows: vec![window] }
    }

    #[test]
    fn windows_open_with_their_schedule_and_close_after_their_duration() {
        for (at, open) in [
            ("2026-06-01T22:00:00Z", true),
            ("2026-06-01T22:30:00Z", true),
            ("2026-06-02T00:00:00Z", true),
            ("2026-06-02T00:00:01Z", false),
            ("2026-06-01T21:00:00Z", false),
            ("2026-06-02T22:30:00Z", true),
        ] {
            let at = at.parse().unwrap();
            assert_eq!(allow(Some(&windows(WindowKind::Allow, "0 22 * * *", "2h")), at), open, "{at}");
            assert_eq!(allow(Some(&windows(WindowKind::Deny, "0 22 * * *", "2h")), at), !open, "{at}");
        }
        let now = "2026-06-01T22:00:00Z".parse().unwrap();
        assert!(allow(None, now));
        assert!(allow(Some(&SyncWindows { kind: WindowKind::Allow, windows: Vec::new() }), now));
        assert!(!allow(Some(&windows(WindowKind::Allow, "0 0 30 2 *", "1m")), now));
        for (schedule, open) in
            [("@daily", true), ("@midnight", true), ("@every 1h", true), ("@every 30h", false)]
        {
            assert_eq!(allow(Some(&windows(WindowKind::Allow, schedule, "23h")), now), open, "{schedule}");
        }
        assert_eq!(broken(&windows(WindowKind::Allow, "nope", "1h")), Some("nope"));
    }
}
