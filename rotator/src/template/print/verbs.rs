//! `printf`: Go's verbs and flags.

use zeroize::Zeroizing;

use super::{Bytes, Style, float, push, quoted_with, write};
use crate::template::run::{Fail, Run};
use crate::template::value::Value;

/// Wider than this Go takes for a mistake.
const WIDTH_MAX: usize = 1_000_000;

/// Flags, width and precision of one verb.
#[derive(Clone, Copy, Default)]
struct Spec {
    plus: bool,
    minus: bool,
    sharp: bool,
    space: bool,
    zero: bool,
    /// `%+v`: with the names of fields.
    named: bool,
    width: Option<usize>,
    precision: Option<usize>,
}

/// `fmt.Sprintf`.
///
/// # Errors
/// When it is too large.
pub fn sprintf(run: &Run, format: &[u8], values: &[Value]) -> Result<Vec<u8>, Fail> {
    let mut printer =
        Printer { run, values, next: 0, reordered: false, good_index: true, out: Zeroizing::new(Vec::new()) };
    printer.all(format)?;
    Ok(std::mem::take(&mut *printer.out))
}

struct Printer<'a> {
    run: &'a Run,
    values: &'a [Value],
    next: usize,
    reordered: bool,
    good_index: bool,
    out: Bytes,
}

impl Printer<'_> {
    fn put(&mut self, bytes: &[u8]) -> Result<(), Fail> {
        push(self.run, &mut self.out, bytes)
    }

    fn all(&mut self, format: &[u8]) -> Result<(), Fail> {
        let mut rest = format;
        while let Some(at) = rest.iter().position(|byte| *byte == b'%') {
            let (text, after) = rest.split_at(at);
            self.put(text)?;
            rest = self.one(after.get(1..).unwrap_or_default())?;
        }
        self.put(rest)?;
        if !self.reordered && self.next < self.values.len() {
            self.put(b"%!(EXTRA ")?;
            let extra: Vec<&Value> = self.values.iter().skip(self.next).collect();
            for (index, value) in extra.into_iter().enumerate() {
                self.put(if index > 0 { b", " } else { b"" })?;
                self.typed(value)?;
            }
            self.put(b")")?;
        }
        Ok(())
    }

    /// `type=value`, as Go prints what fits nowhere.
    fn typed(&mut self, value: &Value) -> Result<(), Fail> {
        if matches!(value, Value::Nil) {
            return self.put(b"<nil>");
        }
        self.put(format!("{}=", value.type_name()).as_bytes())?;
        write(self.run, value, Style::Plain, 0, &mut self.out)
    }

    /// One verb after its `%`; what follows it.
    fn one<'f>(&mut self, format: &'f [u8]) -> Result<&'f [u8], Fail> {
        let mut spec = Spec::default();
        let mut rest = format;
        while let Some((flag, left)) = rest.split_first() {
            match flag {
                b'+' => spec.plus = true,
                b'-' => spec.minus = true,
                b'#' => spec.sharp = true,
                b' ' => spec.space = true,
                b'0' => spec.zero = true,
                _ => break,
            }
            rest = left;
        }
        self.good_index = true;
        rest = self.index(rest);
        if let Some(left) = rest.strip_prefix(b"*") {
            rest = left;
            match self.star() {
                Some(width) if width.unsigned_abs() <= WIDTH_MAX as u64 => {
                    spec.minus |= width < 0;
                    spec.width = usize::try_from(width.unsigned_abs()).ok();
                }
                _ => self.put(b"%!(BADWIDTH)")?,
            }
        } else {
            (spec.width, rest) = number(rest);
        }
        if let Some(left) = rest.strip_prefix(b".") {
            rest = self.index(left);
            if let Some(left) = rest.strip_prefix(b"*") {
                rest = left;
                match self.star().and_then(|precision| usize::try_from(precision).ok()) {
                    Some(precision) if precision <= WIDTH_MAX => spec.precision = Some(precision),
                    _ => self.put(b"%!(BADPREC)")?,
                }
            } else {
                let (precision, left) = number(rest);
                (spec.precision, rest) = (Some(precision.unwrap_or(0)), left);
            }
        }
        rest = self.index(rest);
        if spec.minus {
            spec.zero = false;
        }
        let Some(verb) = rest.utf8_chunks().next().and_then(|chunk| chunk.valid().chars().next()) else {
            self.put(b"%!(NOVERB)")?;
            return Ok(rest.get(1..).unwrap_or_default());
        };
        let rest = rest.get(verb.len_utf8()..).unwrap_or_default();
        if verb == 'v' && spec.plus {
            (spec.plus, spec.named) = (false, true);
        }
        if verb == '%' {
            self.put(b"%")?;
        } else if !self.good_index {
            self.put(format!("%!{verb}(BADINDEX)").as_bytes())?;
        } else if let Some(value) = self.values.get(self.next) {
            self.next += 1;
            self.value(value, verb, spec)?;
        } else {
            self.put(format!("%!{verb}(MISSING)").as_bytes())?;
        }
        Ok(rest)
    }

    /// `[3]` chooses an argument.
    fn index<'f>(&mut self, format: &'f [u8]) -> &'f [u8] {
        let Some(inner) = format.strip_prefix(b"[") else { return format };
        self.reordered = true;
        let Some(end) = inner.iter().position(|byte| *byte == b']') else {
            self.good_index = false;
            return inner;
        };
        let number: Option<usize> = inner
            .get(..end)
            .and_then(|digits| std::str::from_utf8(digits).ok())
            .and_then(|text| text.parse().ok());
        match number {
            Some(number) if (1..=self.values.len()).contains(&number) => self.next = number - 1,
            _ => self.good_index = false,
        }
        inner.get(end + 1..).unwrap_or_default()
    }

    fn star(&mut self) -> Option<i64> {
        let value = self.values.get(self.next)?;
        self.next += 1;
        match value {
            Value::Int(number) | Value::Int64(number) => Some(*number),
            _ => None,
        }
    }

    fn padded(&mut self, text: &[u8], spec: Spec) -> Result<(), Fail> {
        let width = spec.width.unwrap_or(0);
        let length = text.utf8_chunks().map(|c| c.valid().chars().count() + c.invalid().len()).sum::<usize>();
        let pad = vec![if spec.zero && !spec.minus { b'0' } else { b' ' }; width.saturating_sub(length)];
        self.run.length(pad.len())?;
        if spec.minus {
            self.put(text)?;
            self.put(&pad)
        } else {
            self.put(&pad)?;
            self.put(text)
        }
    }

    fn value(&mut self, value: &Value, verb: char, spec: Spec) -> Result<(), Fail> {
        self.run.step()?;
        match (value, verb) {
            (value, 'T') => self.padded(value.type_name().as_bytes(), spec),
            (Value::Nil, 'v') => self.padded(b"<nil>", spec),
            (Value::Nil, verb) => self.put(format!("%!{verb}(<nil>)").as_bytes()),
            (Value::Bool(value), 't' | 'v') => self.padded(value.to_string().as_bytes(), spec),
            (Value::Int(number) | Value::Int64(number), verb) => self.whole(value, *number, verb, spec),
            (Value::Float(number), verb) => self.float(value, *number, verb, spec),
            (Value::Text(text), verb) => self.text(value, text.bytes(), verb, spec),
            (Value::List(_, list), verb) if verb != 'p' && !(verb == 'v' && spec.sharp) => {
                self.put(b"[")?;
                for (index, item) in list.0.iter().enumerate() {
                    self.put(if index > 0 { b" " } else { b"" })?;
                    self.value(item, verb, spec)?;
                }
                self.put(b"]")
            }
            (Value::Map(map), verb) if verb != 'p' && !(verb == 'v' && spec.sharp) => {
                self.put(b"map[")?;
                for (index, (key, item)) in map.0.borrow().iter().enumerate() {
                    self.put(if index > 0 { b" " } else { b"" })?;
                    self.text(value, key.bytes(), verb, spec)?;
                    self.put(b":")?;
                    self.value(item, verb, spec)?;
                }
                self.put(b"]")
            }
            (Value::Strings(map), verb) if verb != 'p' && !(verb == 'v' && spec.sharp) => {
                self.put(b"map[")?;
                for (index, (key, item)) in map.iter().enumerate() {
                    self.put(if index > 0 { b" " } else { b"" })?;
                    self.text(value, key.bytes(), verb, spec)?;
                    self.put(b":")?;
                    self.text(value, item.bytes(), verb, spec)?;
                }
                self.put(b"]")
            }
            (value, 'v' | 's') if !spec.sharp => {
                let style = if spec.named { Style::Named } else { Style::Plain };
                let mut text = Zeroizing::new(Vec::new());
                write(self.run, value, style, 0, &mut text)?;
                self.padded(&text, spec)
            }
            (Value::Duration(_) | Value::Month(_) | Value::Weekday(_), verb) => {
                self.whole(value, value.whole().unwrap_or(0), verb, spec)
            }
            (value, verb) => self.bad(value, verb),
        }
    }

    fn bad(&mut self, value: &Value, verb: char) -> Result<(), Fail> {
        self.put(format!("%!{verb}(").as_bytes())?;
        self.typed(value)?;
        self.put(b")")
    }

    fn text(&mut self, value: &Value, text: &[u8], verb: char, spec: Spec) -> Result<(), Fail> {
        // A precision counts characters, for %x bytes.
        let cut: &[u8] = match (spec.precision, verb) {
            (Some(precision), 's' | 'v' | 'q') => cut(text, precision),
            (Some(precision), 'x' | 'X') => text.get(..precision.min(text.len())).unwrap_or(text),
            _ => text,
        };
        match verb {
            's' => self.padded(cut, spec),
            'v' if !spec.sharp => self.padded(cut, spec),
            'v' | 'q' => {
                let raw = spec.sharp && verb == 'q' && !cut.contains(&b'`');
                let raw =
                    raw && std::str::from_utf8(cut).is_ok_and(|text| !text.chars().any(char::is_control));
                let quoted = if raw { [b"`", cut, b"`"].concat() } else { quoted_with(cut, '"', spec.plus) };
                self.padded(&quoted, spec)
            }
            'x' | 'X' => {
                let mut hex = Zeroizing::new(Vec::with_capacity(cut.len() * 3 + 2));
                let prefix: &[u8] = match (spec.sharp, verb) {
                    (true, 'x') => b"0x",
                    (true, _) => b"0X",
                    (false, _) => b"",
                };
                for (index, byte) in cut.iter().enumerate() {
                    if spec.space && index > 0 {
                        hex.push(b' ');
                    }
                    if index == 0 || spec.space {
                        hex.extend_from_slice(prefix);
                    }
                    let digits = if verb == 'x' { format!("{byte:02x}") } else { format!("{byte:02X}") };
                    hex.extend_from_slice(digits.as_bytes());
                }
                self.padded(&hex, spec)
            }
            verb => self.bad(value, verb),
        }
    }

    fn whole(&mut self, value: &Value, number: i64, verb: char, spec: Spec) -> Result<(), Fail> {
        let size = number.unsigned_abs();
        let (digits, prefix) = match verb {
            'd' | 'v' => (size.to_string(), ""),
            'b' => (format!("{size:b}"), if spec.sharp { "0b" } else { "" }),
            'o' => (format!("{size:o}"), if spec.sharp { "0" } else { "" }),
            'O' => (format!("{size:o}"), "0o"),
            'x' => (format!("{size:x}"), if spec.sharp { "0x" } else { "" }),
            'X' => (format!("{size:X}"), if spec.sharp { "0X" } else { "" }),
            'c' | 'q' => {
                let c = u32::try_from(number).ok().and_then(char::from_u32).unwrap_or('\u{fffd}');
                let mut text = c.to_string().into_bytes();
                if verb == 'q' {
                    text = quoted_with(&text, '\'', spec.plus);
                }
                return self.padded(&text, spec);
            }
            'U' => {
                let mut text = format!("U+{size:04X}").into_bytes();
                let c = u32::try_from(number).ok().and_then(char::from_u32);
                if let Some(c) = c.filter(|c| spec.sharp && super::is_printable(*c)) {
                    text.extend_from_slice(format!(" '{c}'").as_bytes());
                }
                return self.padded(&text, Spec { zero: false, ..spec });
            }
            verb => return self.bad(value, verb),
        };
        let digits = match spec.precision {
            Some(0) if number == 0 => String::new(),
            Some(precision) => format!("{digits:0>precision$}"),
            None => digits,
        };
        let sign = sign(number < 0, spec);
        let with_zeros = spec.zero && spec.precision.is_none();
        self.number(sign, prefix, &digits, Spec { zero: with_zeros, ..spec })
    }

    /// Zeros go between the sign and the digits, blanks around all of it.
    fn number(&mut self, sign: &str, prefix: &str, digits: &str, spec: Spec) -> Result<(), Fail> {
        if spec.zero {
            let width = spec.width.unwrap_or(0).saturating_sub(sign.len());
            self.run.length(width)?;
            let text = format!("{sign}{prefix}{digits:0>width$}");
            return self.put(text.as_bytes());
        }
        self.padded(format!("{sign}{prefix}{digits}").as_bytes(), spec)
    }

    fn float(&mut self, value: &Value, number: f64, verb: char, spec: Spec) -> Result<(), Fail> {
        let size = number.abs();
        let text = match verb {
            'v' => float::general(size, spec.precision),
            'g' | 'G' => float::general(size, spec.precision),
            'f' | 'F' => float::plain(size, Some(spec.precision.unwrap_or(6))),
            'e' | 'E' => float::exponent(size, Some(spec.precision.unwrap_or(6))),
            verb => return self.bad(value, verb),
        };
        let text = if matches!(verb, 'G' | 'E') { text.to_uppercase() } else { text };
        let text = text.trim_start_matches('+');
        let spec = if number.is_finite() { spec } else { Spec { zero: false, ..spec } };
        self.number(sign(number.is_sign_negative(), spec), "", text, spec)
    }
}

fn sign(negative: bool, spec: Spec) -> &'static str {
    match (negative, spec.plus, spec.space) {
        (true, ..) => "-",
        (false, true, _) => "+",
        (false, false, true) => " ",
        (false, false, false) => "",
    }
}

/// Decimal digits at the start.
fn number(format: &[u8]) -> (Option<usize>, &[u8]) {
    let end = format.iter().position(|byte| !byte.is_ascii_digit()).unwrap_or(format.len());
    let (digits, rest) = format.split_at(end);
    let number = std::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    (number.filter(|number| *number <= WIDTH_MAX), rest)
}

/// The first characters.
fn cut(text: &[u8], characters: usize) -> &[u8] {
    let mut end = 0;
    for _ in 0..characters {
        let Some(rest) = text.get(end..).filter(|rest| !rest.is_empty()) else { return text };
        end += crate::template::functions::character_bytes(rest);
    }
    text.get(..end).unwrap_or(text)
}
