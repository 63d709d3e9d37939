//! Times. The local zone is UTC, as in the operator's image.

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Span, Timestamp, Zoned};

use super::layout;
use super::{Arguments, Entry, Param, of};
use crate::go_duration;
use crate::template::run::Fail;
use crate::template::value::Value;

use Param::{Any, Text as Str, Time};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("ago", of(&[Any], ago)),
    ("date", of(&[Str, Any], |a| in_zone(a, Order::LayoutFirst, false))),
    ("dateInZone", of(&[Str, Any, Str], |a| in_zone(a, Order::LayoutFirst, true))),
    ("dateModify", of(&[Str, Time], |a| modified(a, false))),
    ("date_in_zone", of(&[Str, Any, Str], |a| in_zone(a, Order::LayoutFirst, true))),
    ("date_modify", of(&[Str, Time], |a| modified(a, false))),
    ("duration", of(&[Any], duration)),
    ("durationRound", of(&[Any], duration_round)),
    ("htmlDate", of(&[Any], |a| in_zone(a, Order::Html, false))),
    ("htmlDateInZone", of(&[Any, Str], |a| in_zone(a, Order::Html, true))),
    ("mustDateModify", of(&[Str, Time], |a| modified(a, true))),
    ("mustToDate", of(&[Str, Str], |a| to_date(a, true))),
    ("must_date_modify", of(&[Str, Time], |a| modified(a, true))),
    ("now", of(&[], |a| Ok(time(a.run.now.to_zoned(local()))))),
    ("toDate", of(&[Str, Str], |a| to_date(a, false))),
    ("unixEpoch", of(&[Time], |a| Ok(Value::text(a.time()?.timestamp().as_second().to_string())))),
];

const NAMES_OF_MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
const NAMES_OF_DAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// The zone that counts as local.
pub fn local() -> TimeZone {
    TimeZone::UTC
}

/// From 1.
pub fn month_name(month: i8) -> &'static str {
    usize::try_from(month - 1).ok().and_then(|index| NAMES_OF_MONTHS.get(index)).copied().unwrap_or("")
}

/// Sunday is 0.
pub fn weekday_name(day: i8) -> &'static str {
    usize::try_from(day).ok().and_then(|index| NAMES_OF_DAYS.get(index)).copied().unwrap_or("")
}

fn time(zoned: Zoned) -> Value {
    Value::Time(Box::new(zoned))
}

/// Go's zero time.
fn zero() -> Zoned {
    jiff::civil::date(1, 1, 1).to_zoned(TimeZone::UTC).unwrap_or_default()
}

/// Whether this is Go's zero time.
pub fn is_zero(time: &Zoned) -> bool {
    time.timestamp() == zero().timestamp()
}

/// As `{{ time }}` prints it.
pub fn shown(time: &Zoned) -> String {
    String::from_utf8(format(time, b"2006-01-02 15:04:05.999999999 -0700 MST")).unwrap_or_default()
}

/// As JSON has it.
pub fn rfc3339(time: &Zoned) -> String {
    String::from_utf8(format(time, b"2006-01-02T15:04:05.999999999Z07:00")).unwrap_or_default()
}

/// By a Go layout.
pub fn format(time: &Zoned, layout: &[u8]) -> Vec<u8> {
    layout::format(time, layout)
}

/// So many nanoseconds later.
///
/// # Errors
/// Beyond the year 9999.
pub fn moved(time: &Zoned, nanoseconds: i64) -> Result<Zoned, Fail> {
    time.checked_add(SignedDuration::from_nanos(nanoseconds))
        .map_err(|_| Fail::new("the date is out of range"))
}

/// So many years, months and days later; the 31st of a shorter month flows into the next one, as in Go.
///
/// # Errors
/// Beyond the year 9999.
pub fn moved_by_date(time: &Zoned, years: i64, months: i64, days: i64) -> Result<Zoned, Fail> {
    let out_of_range = || Fail::new("the date is out of range");
    let day = i64::from(time.day()) - 1;
    let first = time.with().day(1).build().map_err(|_| out_of_range())?;
    let span =
        Span::new().try_years(years).and_then(|span| span.try_months(months)).map_err(|_| out_of_range())?;
    let moved = first.checked_add(span).map_err(|_| out_of_range())?;
    let span = Span::new().try_days(day.saturating_add(days)).map_err(|_| out_of_range())?;
    moved.checked_add(span).map_err(|_| out_of_range())
}

/// Nanoseconds from one to the other.
pub fn between(from: &Zoned, to: &Zoned) -> i64 {
    let nanoseconds = to.timestamp().as_nanosecond() - from.timestamp().as_nanosecond();
    i64::try_from(nanoseconds).unwrap_or(if nanoseconds < 0 { i64::MIN } else { i64::MAX })
}

#[derive(Clone, Copy, PartialEq)]
enum Order {
    LayoutFirst,
    Html,
}

/// A time, or seconds since 1970; anything else is now.
fn moment(value: &Value, now: Timestamp) -> Timestamp {
    match value {
        Value::Time(time) => time.timestamp(),
        Value::Int(seconds) | Value::Int64(seconds) => Timestamp::from_second(*seconds).unwrap_or(now),
        _ => now,
    }
}

fn in_zone(arguments: &mut Arguments<'_>, order: Order, named: bool) -> Made {
    let layout = if order == Order::Html { None } else { Some(arguments.text()) };
    let value = arguments.any();
    let zone =
        if named { arguments.text().text().map(str::to_owned).unwrap_or_default() } else { String::new() };
    let zone = match zone.as_str() {
        "" | "UTC" | "Local" => TimeZone::UTC,
        name => TimeZone::get(name).unwrap_or(TimeZone::UTC),
    };
    let moment = moment(&value, arguments.run.now).to_zoned(zone);
    let layout = layout.as_ref().map_or(&b"2006-01-02"[..], |layout| layout.bytes());
    Ok(Value::bytes(format(&moment, layout)))
}

fn modified(arguments: &mut Arguments<'_>, must: bool) -> Made {
    let text = arguments.text();
    let start = arguments.time()?;
    match text.text().and_then(go_duration::parse) {
        Some(nanoseconds) => Ok(time(moved(&start, nanoseconds)?)),
        None if must => Err(Fail::new("this is not a duration")),
        None => Ok(time(start)),
    }
}

fn to_date(arguments: &mut Arguments<'_>, must: bool) -> Made {
    let (layout, text) = (arguments.text(), arguments.text());
    let parsed = layout.text().zip(text.text()).and_then(|(layout, text)| layout::parse(layout, text));
    match parsed {
        Some(parsed) => Ok(time(parsed)),
        None if must => Err(Fail::new("the text is no date of this layout")),
        None => Ok(time(zero())),
    }
}

fn ago(arguments: &mut Arguments<'_>) -> Made {
    let now = arguments.run.now;
    let then = match arguments.any() {
        Value::Nil => now,
        value => moment(&value, now),
    };
    let nanoseconds = now.as_nanosecond() - then.as_nanosecond();
    let half = if nanoseconds < 0 { -500_000_000 } else { 500_000_000 };
    let seconds = i64::try_from((nanoseconds + half) / 1_000_000_000).unwrap_or(i64::MAX);
    Ok(Value::text(go_duration::shown(seconds.saturating_mul(1_000_000_000))))
}

fn duration(arguments: &mut Arguments<'_>) -> Made {
    let seconds = match arguments.any() {
        Value::Text(text) => text.text().and_then(|text| text.parse().ok()).unwrap_or(0),
        Value::Int64(seconds) => seconds,
        _ => 0_i64,
    };
    Ok(Value::text(go_duration::shown(seconds.wrapping_mul(1_000_000_000))))
}

fn duration_round(arguments: &mut Arguments<'_>) -> Made {
    let nanoseconds = match arguments.any() {
        Value::Text(text) => text.text().and_then(go_duration::parse).unwrap_or(0),
        Value::Int64(nanoseconds) => nanoseconds,
        Value::Time(time) => between(&time, &arguments.run.now.to_zoned(TimeZone::UTC)),
        _ => 0,
    };
    let size = nanoseconds.unsigned_abs();
    let hour = 3_600_000_000_000_u64;
    let units = [
        (hour * 24 * 365, "y"),
        (hour * 24 * 30, "mo"),
        (hour * 24, "d"),
        (hour, "h"),
        (60_000_000_000, "m"),
        (1_000_000_000, "s"),
    ];
    let unit = units.iter().find(|(length, _)| size > *length);
    Ok(Value::text(unit.map_or_else(|| "0s".to_owned(), |(length, name)| format!("{}{name}", size / length))))
}
