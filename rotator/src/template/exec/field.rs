//! Fields of values, and the methods of the few types that have some.

use crate::go_duration;
use jiff::Zoned;

use super::{Done, State, fail, no_key, text};
use crate::template::functions::{dates, semver};
use crate::template::parse::Operand;
use crate::template::value::Value;

impl State<'_> {
    /// `.a.b`; arguments belong to the last one.
    pub(super) fn fields(
        &mut self,
        dot: &Value,
        start: Value,
        names: &[String],
        operands: &[Operand],
        last: Option<Value>,
    ) -> Done<Value> {
        let mut value = start;
        let mut arguments = Vec::new();
        for operand in operands {
            arguments.push(self.any(dot, operand)?);
        }
        arguments.extend(last);
        for (index, name) in names.iter().enumerate() {
            let arguments =
                if index + 1 == names.len() { std::mem::take(&mut arguments) } else { Vec::new() };
            value = field(&value, name, &arguments)?;
        }
        if !arguments.is_empty() {
            return fail("what is no function is given arguments");
        }
        Ok(value)
    }
}

fn field(value: &Value, name: &str, arguments: &[Value]) -> Done<Value> {
    let made = match (value, arguments) {
        (Value::Time(time), arguments) => time_method(time, name, arguments)?,
        (Value::Version(version), arguments) => semver::method(version, name, arguments)?,
        (Value::Duration(nanoseconds), []) => duration_method(*nanoseconds, name),
        (Value::Month(month), []) if name == "String" => Some(Value::text(dates::month_name(*month))),
        (Value::Weekday(day), []) if name == "String" => Some(Value::text(dates::weekday_name(*day))),
        (Value::Pair(pair), []) => match name {
            "Cert" => Some(Value::Text(pair.cert.clone())),
            "Key" => Some(Value::Text(pair.key.clone())),
            _ => None,
        },
        (Value::Map(map), []) => {
            let found = map.0.borrow().get(&text(name)).cloned();
            return found.ok_or_else(|| no_key(name));
        }
        (Value::Strings(map), []) => {
            return map.get(&text(name)).cloned().map(Value::Text).ok_or_else(|| no_key(name));
        }
        (Value::Map(_) | Value::Strings(_), _) => {
            return fail(format!("{name} is no function and is given arguments"));
        }
        (Value::Nil, _) => return fail(format!("nil has no field {name}")),
        _ => None,
    };
    match made {
        Some(made) => Ok(made),
        None => fail(format!("{} has no field {name}, or it is called otherwise", value.type_name())),
    }
}

fn time_method(time: &Zoned, name: &str, arguments: &[Value]) -> Done<Option<Value>> {
    let int = |value: i64| Some(Value::Int(value));
    Ok(match (name, arguments) {
        ("Unix", []) => Some(Value::Int64(time.timestamp().as_second())),
        ("UnixMilli", []) => Some(Value::Int64(time.timestamp().as_millisecond())),
        ("UnixMicro", []) => Some(Value::Int64(time.timestamp().as_microsecond())),
        ("UnixNano", []) => {
            Some(Value::Int64(i64::try_from(time.timestamp().as_nanosecond()).unwrap_or(i64::MAX)))
        }
        ("Year", []) => int(time.year().into()),
        ("Month", []) => Some(Value::Month(time.month())),
        ("Day", []) => int(time.day().into()),
        ("YearDay", []) => int(time.day_of_year().into()),
        ("Hour", []) => int(time.hour().into()),
        ("Minute", []) => int(time.minute().into()),
        ("Second", []) => int(time.second().into()),
        ("Nanosecond", []) => int(time.subsec_nanosecond().into()),
        ("Weekday", []) => Some(Value::Weekday(time.weekday().to_sunday_zero_offset())),
        ("UTC", []) => Some(Value::Time(Box::new(time.with_time_zone(jiff::tz::TimeZone::UTC)))),
        ("Local", []) => Some(Value::Time(Box::new(time.with_time_zone(dates::local())))),
        ("IsZero", []) => Some(Value::Bool(dates::is_zero(time))),
        ("String", []) => Some(Value::text(dates::shown(time))),
        ("Format", [Value::Text(layout)]) => Some(Value::bytes(dates::format(time, layout.bytes()))),
        ("Add", [Value::Duration(nanoseconds)]) => {
            Some(Value::Time(Box::new(dates::moved(time, *nanoseconds)?)))
        }
        ("AddDate", [Value::Int(years), Value::Int(months), Value::Int(days)]) => {
            Some(Value::Time(Box::new(dates::moved_by_date(time, *years, *months, *days)?)))
        }
        ("Sub", [Value::Time(other)]) => Some(Value::Duration(dates::between(other, time))),
        ("After", [Value::Time(other)]) => Some(Value::Bool(time.timestamp() > other.timestamp())),
        ("Before", [Value::Time(other)]) => Some(Value::Bool(time.timestamp() < other.timestamp())),
        ("Equal", [Value::Time(other)]) => Some(Value::Bool(time.timestamp() == other.timestamp())),
        _ => None,
    })
}

#[expect(clippy::cast_precision_loss, reason = "Go's methods give a float64 too")]
fn duration_method(nanoseconds: i64, name: &str) -> Option<Value> {
    match name {
        "Hours" => Some(Value::Float(nanoseconds as f64 / 3.6e12)),
        "Minutes" => Some(Value::Float(nanoseconds as f64 / 6e10)),
        "Seconds" => Some(Value::Float(nanoseconds as f64 / 1e9)),
        "Milliseconds" => Some(Value::Int64(nanoseconds / 1_000_000)),
        "Microseconds" => Some(Value::Int64(nanoseconds / 1_000)),
        "Nanoseconds" => Some(Value::Int64(nanoseconds)),
        "String" => Some(Value::text(go_duration::shown(nanoseconds))),
        _ => None,
    }
}
