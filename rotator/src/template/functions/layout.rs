//! Go's time layouts: the reference time `Mon Jan 2 15:04:05 MST 2006` written as times are wanted.

use jiff::Zoned;
use jiff::civil::DateTime;
use jiff::tz::{Offset, TimeZone};

use super::dates::{month_name, weekday_name};

/// A piece of a layout.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Part {
    LongMonth,
    Month,
    NumberMonth,
    ZeroMonth,
    LongWeekday,
    Weekday,
    Day,
    UnderDay,
    ZeroDay,
    UnderYearDay,
    ZeroYearDay,
    Hour24,
    Hour12,
    ZeroHour12,
    Minute,
    ZeroMinute,
    Second,
    ZeroSecond,
    LongYear,
    Year,
    UpperHalf,
    LowerHalf,
    Zone,
    /// Digits of an offset: with `Z` for UTC, with colons, with minutes, with seconds.
    Offset(bool, bool, bool, bool),
    /// `.000`: so many digits, always; after `,` or `.`.
    Fraction(u8, usize),
    /// `.999`: as many digits as are needed.
    ShortFraction(u8, usize),
}

const WORDS: [(&str, Part); 34] = [
    ("January", Part::LongMonth),
    ("Jan", Part::Month),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::Weekday),
    ("MST", Part::Zone),
    ("002", Part::ZeroYearDay),
    ("01", Part::ZeroMonth),
    ("02", Part::ZeroDay),
    ("03", Part::ZeroHour12),
    ("04", Part::ZeroMinute),
    ("05", Part::ZeroSecond),
    ("06", Part::Year),
    ("15", Part::Hour24),
    ("1", Part::NumberMonth),
    ("2006", Part::LongYear),
    ("2", Part::Day),
    ("__2", Part::UnderYearDay),
    ("_2006", Part::LongYear),
    ("_2", Part::UnderDay),
    ("3", Part::Hour12),
    ("4", Part::Minute),
    ("5", Part::Second),
    ("PM", Part::UpperHalf),
    ("pm", Part::LowerHalf),
    ("-07:00:00", Part::Offset(false, true, true, true)),
    ("-070000", Part::Offset(false, false, true, true)),
    ("-07:00", Part::Offset(false, true, true, false)),
    ("-0700", Part::Offset(false, false, true, false)),
    ("-07", Part::Offset(false, false, false, false)),
    ("Z07:00:00", Part::Offset(true, true, true, true)),
    ("Z070000", Part::Offset(true, false, true, true)),
    ("Z07:00", Part::Offset(true, true, true, false)),
    ("Z0700", Part::Offset(true, false, true, false)),
    ("Z07", Part::Offset(true, false, false, false)),
];

/// The piece at the start of a layout, and its length.
fn part_at(layout: &[u8]) -> Option<(Part, usize)> {
    for (word, part) in &WORDS {
        if layout.starts_with(word.as_bytes()) {
            // `Jan` in `Janet` is no month.
            let is_name = matches!(part, Part::Month | Part::Weekday);
            let goes_on = layout.get(word.len()).is_some_and(u8::is_ascii_lowercase);
            if is_name && goes_on {
                continue;
            }
            // `_2006` is a blank that stays, and a year.
            return Some(if *word == "_2006" { return None } else { (*part, word.len()) });
        }
    }
    let separator = *layout.first().filter(|byte| matches!(byte, b'.' | b','))?;
    let digit = *layout.get(1).filter(|byte| matches!(byte, b'0' | b'9'))?;
    let digits = layout.iter().skip(1).take_while(|byte| **byte == digit).count();
    if layout.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let part = if digit == b'0' {
        Part::Fraction(separator, digits)
    } else {
        Part::ShortFraction(separator, digits)
    };
    Some((part, 1 + digits))
}

/// Writes a time by a layout.
pub(super) fn format(time: &Zoned, layout: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(layout.len() + 8);
    let mut rest = layout;
    while let Some(byte) = rest.first() {
        match part_at(rest) {
            Some((part, length)) => {
                out.extend_from_slice(written(time, part).as_bytes());
                rest = rest.get(length..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = rest.get(1..).unwrap_or_default();
            }
        }
    }
    out
}

fn written(time: &Zoned, part: Part) -> String {
    let hour = time.hour();
    let hour12 = if hour % 12 == 0 { 12 } else { hour % 12 };
    let short = |name: &str| name.get(..3).unwrap_or_default().to_owned();
    match part {
        Part::LongMonth => month_name(time.month()).to_owned(),
        Part::Month => short(month_name(time.month())),
        Part::NumberMonth => time.month().to_string(),
        Part::ZeroMonth => format!("{:02}", time.month()),
        Part::LongWeekday => weekday_name(time.weekday().to_sunday_zero_offset()).to_owned(),
        Part::Weekday => short(weekday_name(time.weekday().to_sunday_zero_offset())),
        Part::Day => time.day().to_string(),
        Part::UnderDay => format!("{:2}", time.day()),
        Part::ZeroDay => format!("{:02}", time.day()),
        Part::UnderYearDay => format!("{:3}", time.day_of_year()),
        Part::ZeroYearDay => format!("{:03}", time.day_of_year()),
        Part::Hour24 => format!("{hour:02}"),
        Part::Hour12 => hour12.to_string(),
        Part::ZeroHour12 => format!("{hour12:02}"),
        Part::Minute => time.minute().to_string(),
        Part::ZeroMinute => format!("{:02}", time.minute()),
        Part::Second => time.second().to_string(),
        Part::ZeroSecond => format!("{:02}", time.second()),
        Part::LongYear => format!("{:04}", time.year()),
        Part::Year => format!("{:02}", time.year().rem_euclid(100)),
        Part::UpperHalf => if hour >= 12 { "PM" } else { "AM" }.to_owned(),
        Part::LowerHalf => if hour >= 12 { "pm" } else { "am" }.to_owned(),
        Part::Zone => zone_name(time),
        Part::Offset(z, colons, minutes, seconds) => offset(time, z, colons, minutes, seconds),
        Part::Fraction(separator, digits) => {
            let all = format!("{:09}", time.subsec_nanosecond());
            format!("{}{}", char::from(separator), all.get(..digits.min(9)).unwrap_or_default())
        }
        Part::ShortFraction(separator, digits) => {
            let all = format!("{:09}", time.subsec_nanosecond());
            let kept = all.get(..digits.min(9)).unwrap_or_default().trim_end_matches('0');
            if kept.is_empty() { String::new() } else { format!("{}{kept}", char::from(separator)) }
        }
    }
}

fn zone_name(time: &Zoned) -> String {
    let zone = time.time_zone();
    if *zone == TimeZone::UTC {
        return "UTC".to_owned();
    }
    if zone.iana_name().is_none() {
        // A zone without a name is shown by its offset.
        return offset(time, false, false, true, false);
    }
    zone.to_offset_info(time.timestamp()).abbreviation().to_owned()
}

fn offset(time: &Zoned, z: bool, colons: bool, minutes: bool, seconds: bool) -> String {
    let total = time.offset().seconds();
    if z && total == 0 {
        return "Z".to_owned();
    }
    let sign = if total < 0 { '-' } else { '+' };
    let size = total.unsigned_abs();
    let colon = if colons { ":" } else { "" };
    let mut text = format!("{sign}{:02}", size / 3600);
    if minutes {
        text.push_str(&format!("{colon}{:02}", size / 60 % 60));
    }
    if seconds {
        text.push_str(&format!("{colon}{:02}", size % 60));
    }
    text
}

/// What has been read of a time.
struct Read {
    year: i16,
    month: i8,
    day: i8,
    year_day: Option<i16>,
    hour: i8,
    minute: i8,
    second: i8,
    nanosecond: i32,
    afternoon: Option<bool>,
    offset: Option<Offset>,
}

/// Reads a time by a layout; a time without a zone is UTC.
pub(super) fn parse(layout: &str, text: &str) -> Option<Zoned> {
    let mut read = Read {
        year: 0,
        month: 1,
        day: 1,
        year_day: None,
        hour: 0,
        minute: 0,
        second: 0,
        nanosecond: 0,
        afternoon: None,
        offset: None,
    };
    let (mut layout, mut text) = (layout.as_bytes(), text);
    while let Some(byte) = layout.first() {
        match part_at(layout) {
            Some((part, length)) => {
                layout = layout.get(length..)?;
                let is_second = matches!(part, Part::Second | Part::ZeroSecond);
                text = take(&mut read, part, text)?;
                // A fraction may follow seconds even where the layout has none.
                let has_own = part_at(layout)
                    .is_some_and(|(next, _)| matches!(next, Part::Fraction(..) | Part::ShortFraction(..)));
                if is_second && !has_own && text.starts_with(['.', ',']) {
                    text = fraction(&mut read, text, None)?;
                }
            }
            None if *byte == b' ' => {
                if !text.is_empty() && !text.starts_with(' ') {
                    return None;
                }
                layout = layout.get(1..)?;
                text = text.trim_start_matches(' ');
                while layout.first() == Some(&b' ') {
                    layout = layout.get(1..)?;
                }
            }
            None => {
                let rest = text.as_bytes().strip_prefix(&[*byte])?;
                text = text.get(text.len() - rest.len()..)?;
                layout = layout.get(1..)?;
            }
        }
    }
    if !text.is_empty() {
        return None;
    }
    zoned(&read)
}

fn zoned(read: &Read) -> Option<Zoned> {
    let hour = match read.afternoon {
        Some(true) if read.hour < 12 => read.hour + 12,
        Some(false) if read.hour == 12 => 0,
        _ => read.hour,
    };
    let mut civil =
        DateTime::new(read.year, read.month, read.day, hour, read.minute, read.second, read.nanosecond)
            .ok()?;
    if let Some(day) = read.year_day {
        civil = civil.with().day_of_year(day).build().ok()?;
    }
    let zone = match read.offset {
        Some(offset) if offset.seconds() != 0 => TimeZone::fixed(offset),
        _ => TimeZone::UTC,
    };
    civil.to_zoned(zone).ok()
}

/// Up to `most` digits at the start, at least `least` of them.
fn digits(text: &str, least: usize, most: usize) -> Option<(i32, &str)> {
    let count = text.bytes().take(most).take_while(u8::is_ascii_digit).count();
    if count < least {
        return None;
    }
    let (number, rest) = text.split_at(count);
    Some((number.parse().ok()?, rest))
}

fn name(text: &str, count: i8, named: fn(i8) -> &'static str, long: bool) -> Option<(i8, &str)> {
    (0..=count).find_map(|number| {
        let full = named(number);
        let wanted = if long { full } else { full.get(..3)? };
        let start = text.get(..wanted.len()).filter(|_| !wanted.is_empty())?;
        start.eq_ignore_ascii_case(wanted).then(|| (number, text.get(wanted.len()..).unwrap_or_default()))
    })
}

fn fraction<'t>(read: &mut Read, text: &'t str, digits: Option<usize>) -> Option<&'t str> {
    let inner = text.strip_prefix(['.', ','])?;
    let count = inner.bytes().take_while(u8::is_ascii_digit).count();
    if digits.is_some_and(|digits| digits != count) || count == 0 {
        return None;
    }
    let kept = inner.get(..count.min(9))?;
    read.nanosecond = format!("{kept:0<9}").parse().ok()?;
    inner.get(count..)
}

fn take<'t>(read: &mut Read, part: Part, text: &'t str) -> Option<&'t str> {
    let small = |number: i32| i8::try_from(number).ok();
    Some(match part {
        Part::LongMonth | Part::Month => {
            let (month, rest) = name(text, 12, month_name, part == Part::LongMonth)?;
            read.month = month;
            rest
        }
        Part::LongWeekday | Part::Weekday => name(text, 6, weekday_name, part == Part::LongWeekday)?.1,
        Part::NumberMonth | Part::ZeroMonth => {
            let (month, rest) = digits(text, if part == Part::ZeroMonth { 2 } else { 1 }, 2)?;
            read.month = small(month)?;
            rest
        }
        Part::Day | Part::UnderDay | Part::ZeroDay => {
            let text = if part == Part::UnderDay { text.strip_prefix(' ').unwrap_or(text) } else { text };
            let (day, rest) = digits(text, if part == Part::ZeroDay { 2 } else { 1 }, 2)?;
            read.day = small(day)?;
            rest
        }
        Part::UnderYearDay | Part::ZeroYearDay => {
            let text = if part == Part::UnderYearDay { text.trim_start_matches(' ') } else { text };
            let (day, rest) = digits(text, if part == Part::ZeroYearDay { 3 } else { 1 }, 3)?;
            read.year_day = i16::try_from(day).ok();
            rest
        }
        Part::Hour24 | Part::Hour12 | Part::ZeroHour12 => {
            let (hour, rest) = digits(text, if part == Part::ZeroHour12 { 2 } else { 1 }, 2)?;
            if part != Part::Hour24 && hour > 12 {
                return None;
            }
            read.hour = small(hour)?;
            rest
        }
        Part::Minute | Part::ZeroMinute => {
            let (minute, rest) = digits(text, if part == Part::ZeroMinute { 2 } else { 1 }, 2)?;
            read.minute = small(minute)?;
            rest
        }
        Part::Second | Part::ZeroSecond => {
            let (second, rest) = digits(text, if part == Part::ZeroSecond { 2 } else { 1 }, 2)?;
            read.second = small(second)?;
            rest
        }
        Part::LongYear => {
            let (year, rest) = digits(text, 4, 4)?;
            read.year = i16::try_from(year).ok()?;
            rest
        }
        Part::Year => {
            let (year, rest) = digits(text, 2, 2)?;
            read.year = i16::try_from(if year >= 69 { 1900 + year } else { 2000 + year }).ok()?;
            rest
        }
        Part::UpperHalf | Part::LowerHalf => {
            let (half, rest) = text.split_at_checked(2)?;
            let (am, pm) = if part == Part::UpperHalf { ("AM", "PM") } else { ("am", "pm") };
            read.afternoon = Some(if half == pm {
                true
            } else if half == am {
                false
            } else {
                return None;
            });
            rest
        }
        Part::Zone => {
            if let Some(rest) = text.strip_prefix("UTC") {
                read.offset = Some(Offset::UTC);
                return Some(rest);
            }
            let count = text.bytes().take_while(u8::is_ascii_uppercase).count();
            if !(3..=5).contains(&count) {
                return None;
            }
            // Go gives a name that it does not know no offset.
            read.offset = Some(Offset::UTC);
            text.get(count..)?
        }
        Part::Offset(z, colons, minutes, seconds) => {
            if let Some(rest) = text.strip_prefix('Z').filter(|_| z) {
                read.offset = Some(Offset::UTC);
                return Some(rest);
            }
            let (sign, mut rest) = text.split_at_checked(1)?;
            let direction = match sign {
                "+" => 1,
                "-" => -1,
                _ => return None,
            };
            let mut total = 0;
            for (index, wanted) in [true, minutes, seconds].into_iter().enumerate() {
                if wanted {
                    if index > 0 && colons {
                        rest = rest.strip_prefix(':')?;
                    }
                    let (number, left) = digits(rest, 2, 2)?;
                    total += number * [3600, 60, 1].get(index)?;
                    rest = left;
                }
            }
            read.offset = Some(Offset::from_seconds(direction * total).ok()?);
            rest
        }
        Part::Fraction(_, digits) => fraction(read, text, Some(digits))?,
        Part::ShortFraction(..) if text.starts_with(['.', ',']) => fraction(read, text, None)?,
        Part::ShortFraction(..) => text,
    })
}
