//! What one render may cost, and how it fails.

use std::cell::Cell;
use std::fmt;
use std::time::{Duration, Instant};

use super::value::{Entries, Map, Text, Value};

/// A render that takes longer is a loop.
const TIME_MAX: Duration = Duration::from_secs(5);
/// Actions, elements and nested values that one render may touch.
const STEPS_MAX: u32 = 2_000_000;
/// How deep values, actions and templates may nest: each level takes stack.
pub const DEPTH_MAX: usize = 60;
/// A Secret holds at most 1 MiB; a text on its way to one may be somewhat longer.
pub const TEXT_BYTES_MAX: usize = 4 << 20;

/// Why a template gives nothing: where, and what. Names of the template's own text only; never a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TemplateError {
    /// The line, from 1; 0 where there is none.
    pub line: usize,
    /// What is wrong.
    pub what: String,
}

impl TemplateError {
    /// An error at a line.
    pub fn new(line: usize, what: impl Into<String>) -> Self {
        Self { line, what: what.into() }
    }
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.line {
            0 | 1 => f.write_str(&self.what),
            line => write!(f, "line {line}: {}", self.what),
        }
    }
}

impl std::error::Error for TemplateError {}

/// Why a function gives nothing, without its place. Says no value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fail(pub String);

impl Fail {
    /// A failure.
    pub fn new(what: impl Into<String>) -> Self {
        Self(what.into())
    }
}

/// One render under way.
pub struct Run {
    steps: Cell<u32>,
    until: Instant,
    /// The time that `now` gives, one for the whole render.
    pub now: jiff::Timestamp,
}

impl Run {
    /// Starts.
    pub fn start() -> Self {
        Self { steps: Cell::new(0), until: Instant::now() + TIME_MAX, now: jiff::Timestamp::now() }
    }

    /// Counts one step.
    ///
    /// # Errors
    /// When there were too many, or it takes too long.
    pub fn step(&self) -> Result<(), Fail> {
        let steps = self.steps.get() + 1;
        self.steps.set(steps);
        if steps > STEPS_MAX || (steps.is_multiple_of(1024) && Instant::now() > self.until) {
            return Err(Fail::new("takes too long: a loop, or too many values"));
        }
        Ok(())
    }

    /// Counts a level of nesting.
    ///
    /// # Errors
    /// When it is too deep.
    pub fn deeper(&self, depth: usize) -> Result<usize, Fail> {
        self.step()?;
        if depth >= DEPTH_MAX {
            return Err(Fail::new(format!("nests deeper than {DEPTH_MAX} levels")));
        }
        Ok(depth + 1)
    }

    /// Checks a length before so much is made.
    ///
    /// # Errors
    /// When it is too long.
    pub fn length(&self, bytes: usize) -> Result<(), Fail> {
        if bytes > TEXT_BYTES_MAX {
            return Err(Fail::new(format!("makes a text of more than {TEXT_BYTES_MAX} bytes")));
        }
        Ok(())
    }

    /// Puts a value into a map that may be shared.
    ///
    /// # Errors
    /// When the map would hold itself: nothing could print it, and nobody would ever wipe it.
    pub fn insert(&self, map: &Map, key: Text, value: Value) -> Result<(), Fail> {
        if self.holds(&value, map, 0)? {
            return Err(Fail::new("puts a dictionary into itself"));
        }
        map.0.borrow_mut().insert(key, value);
        Ok(())
    }

    fn holds(&self, value: &Value, map: &Map, depth: usize) -> Result<bool, Fail> {
        let depth = self.deeper(depth)?;
        match value {
            Value::Map(inner) if std::ptr::eq(inner.as_ref(), map) => Ok(true),
            Value::Map(inner) => {
                let entries: Entries = inner.0.borrow().clone();
                for value in entries.values() {
                    if self.holds(value, map, depth)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            Value::List(_, list) => {
                for value in &list.0 {
                    if self.holds(value, map, depth)? {
                        return Ok(true);
                    }
                }
                Ok(false)
            }
            _ => Ok(false),
        }
    }
}
