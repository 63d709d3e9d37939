//! Arithmetic: whole numbers wrap as Go's, floats go through decimals.

use super::decimal::Decimal;
use super::{Arguments, Entry, Param, cast, many, of};
use crate::template::exec::ints;
use crate::template::run::{Fail, Run};
use crate::template::value::Value;

use Param::{Any, Float, Int, Text as Str};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("add", many(&[], Any, |a| Ok(Value::Int64(folded(0, &a.rest(), i64::wrapping_add))))),
    ("add1", of(&[Any], |a| Ok(Value::Int64(cast::to_int(&a.any()).wrapping_add(1))))),
    ("add1f", of(&[Any], |a| Ok(Value::Float(decimals(&a.any(), &[Value::Int(1)], Decimal::plus)?)))),
    ("addf", many(&[], Any, |a| Ok(Value::Float(decimals(&Value::Int(0), &a.rest(), Decimal::plus)?)))),
    ("atoi", of(&[Str], |a| Ok(Value::Int(a.text().text().and_then(atoi).unwrap_or(0))))),
    ("biggest", many(&[Any], Any, |a| chosen(a, i64::max))),
    ("ceil", of(&[Any], |a| Ok(Value::Float(cast::to_float(&a.any()).ceil())))),
    ("div", of(&[Any, Any], |a| divided(a, i64::wrapping_div))),
    ("divf", many(&[Any], Any, |a| Ok(Value::Float(decimals(&a.any(), &a.rest(), Decimal::over)?)))),
    ("float64", of(&[Any], |a| Ok(Value::Float(cast::to_float(&a.any()))))),
    ("floor", of(&[Any], |a| Ok(Value::Float(cast::to_float(&a.any()).floor())))),
    ("int", of(&[Any], |a| Ok(Value::Int(cast::to_int(&a.any()))))),
    ("int64", of(&[Any], |a| Ok(Value::Int64(cast::to_int(&a.any()))))),
    ("max", many(&[Any], Any, |a| chosen(a, i64::max))),
    ("maxf", many(&[Any], Any, |a| chosen_float(a, f64::max))),
    ("min", many(&[Any], Any, |a| chosen(a, i64::min))),
    ("minf", many(&[Any], Any, |a| chosen_float(a, f64::min))),
    ("mod", of(&[Any, Any], |a| divided(a, i64::wrapping_rem))),
    (
        "mul",
        many(&[Any], Any, |a| Ok(Value::Int64(folded(cast::to_int(&a.any()), &a.rest(), i64::wrapping_mul)))),
    ),
    ("mulf", many(&[Any], Any, |a| Ok(Value::Float(decimals(&a.any(), &a.rest(), Decimal::times)?)))),
    ("round", many(&[Any, Int], Float, round)),
    ("seq", many(&[], Int, seq)),
    (
        "sub",
        of(&[Any, Any], |a| Ok(Value::Int64(cast::to_int(&a.any()).wrapping_sub(cast::to_int(&a.any()))))),
    ),
    ("subf", many(&[Any], Any, |a| Ok(Value::Float(decimals(&a.any(), &a.rest(), Decimal::minus)?)))),
    ("toDecimal", of(&[Any], to_decimal)),
    ("until", of(&[Int], until)),
    ("untilStep", of(&[Int, Int, Int], |a| Ok(ints(steps(a.run, a.int(), a.int(), a.int())?)))),
];

fn folded(first: i64, values: &[Value], step: fn(i64, i64) -> i64) -> i64 {
    values.iter().fold(first, |sum, value| step(sum, cast::to_int(value)))
}

fn decimals(
    first: &Value,
    values: &[Value],
    step: fn(Decimal, &Decimal) -> Result<Decimal, Fail>,
) -> Result<f64, Fail> {
    let mut result = Decimal::of(cast::to_float(first))?;
    for value in values {
        result = step(result, &Decimal::of(cast::to_float(value))?)?;
    }
    Ok(result.float())
}

/// `strconv.Atoi`: decimal only.
fn atoi(text: &str) -> Option<i64> {
    text.parse().ok()
}

fn chosen(arguments: &mut Arguments<'_>, choose: fn(i64, i64) -> i64) -> Made {
    let first = cast::to_int(&arguments.any());
    Ok(Value::Int64(folded(first, &arguments.rest(), choose)))
}

fn chosen_float(arguments: &mut Arguments<'_>, choose: fn(f64, f64) -> f64) -> Made {
    let first = cast::to_float(&arguments.any());
    let either = |a: f64, b: f64| if a.is_nan() || b.is_nan() { f64::NAN } else { choose(a, b) };
    Ok(Value::Float(arguments.rest().iter().map(cast::to_float).fold(first, either)))
}

fn divided(arguments: &mut Arguments<'_>, divide: fn(i64, i64) -> i64) -> Made {
    let (a, b) = (cast::to_int(&arguments.any()), cast::to_int(&arguments.any()));
    if b == 0 {
        return Err(Fail::new("divides by zero"));
    }
    Ok(Value::Int64(divide(a, b)))
}

fn round(arguments: &mut Arguments<'_>) -> Made {
    let value = cast::to_float(&arguments.any());
    let places = i32::try_from(arguments.int()).unwrap_or(i32::MAX);
    let on = match arguments.rest().first() {
        Some(Value::Float(on)) => *on,
        _ => 0.5,
    };
    let scale = 10f64.powi(places);
    let digits = scale * value;
    let rounded = if digits.fract() >= on { digits.ceil() } else { digits.floor() };
    Ok(Value::Float(rounded / scale))
}

fn to_decimal(arguments: &mut Arguments<'_>) -> Made {
    let text = super::strings::strval(arguments.run, &arguments.any())?;
    let number = text.text().and_then(|text| i64::from_str_radix(text, 8).ok());
    Ok(Value::Int64(number.unwrap_or(0)))
}

fn until(arguments: &mut Arguments<'_>) -> Made {
    let count = arguments.int();
    Ok(ints(steps(arguments.run, 0, count, if count < 0 { -1 } else { 1 })?))
}

fn steps(run: &Run, start: i64, stop: i64, step: i64) -> Result<Vec<i64>, Fail> {
    let mut numbers = Vec::new();
    let (down, mut next) = (stop < start, start);
    if (down && step >= 0) || (!down && step <= 0) {
        return Ok(numbers);
    }
    while if down { next > stop } else { next < stop } {
        run.step()?;
        numbers.push(next);
        match next.checked_add(step) {
            Some(following) => next = following,
            None => break,
        }
    }
    Ok(numbers)
}

/// `seq end`, `seq start end` or `seq start step end`, as text with spaces, ends included.
fn seq(arguments: &mut Arguments<'_>) -> Made {
    let numbers: Vec<i64> = arguments.rest().iter().filter_map(Value::whole).collect();
    let direction = |start: i64, end: i64| if end < start { -1 } else { 1 };
    let (start, step, end) = match numbers[..] {
        [end] => (1, direction(1, end), end),
        [start, end] => (start, direction(start, end), end),
        [start, step, end] if end < start && step > 0 => (start, 0, start),
        [start, step, end] => (start, step, end),
        _ => (0, 0, 0),
    };
    let past = end.saturating_add(direction(start, end));
    let texts: Vec<String> = steps(arguments.run, start, past, step)?.iter().map(i64::to_string).collect();
    Ok(Value::text(texts.join(" ")))
}
