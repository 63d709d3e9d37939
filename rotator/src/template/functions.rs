//! What templates can call: Go's own functions, sprig's, and those of External Secrets Operator.
//!
//! Functions that read the machine (`env`, `expandenv`, `getHostByName`) do not exist.

use std::collections::HashMap;
use std::sync::LazyLock;

use super::run::{Fail, Run};
use super::value::{Entries, Items, Map, Pair, Text, Value};
use jiff::Zoned;
use std::rc::Rc;

mod builtin;
mod cases;
pub mod cast;
mod certificates;
mod crypto;
pub mod dates;
mod decimal;
mod defaults;
mod dicts;
mod encoding;
mod json;
mod jwk;
mod layout;
mod lists;
mod math;
mod paths;
mod pem;
mod pkcs12;
mod regexes;
pub mod semver;
mod strings;
mod url;
mod yaml;
mod yaml_in;

/// The type of a parameter. Go converts nothing by itself: an int64 is no int.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Param {
    /// `interface{}`
    Any,
    /// `string`
    Text,
    /// A named string type, which only constants have.
    Word,
    /// `int`
    Int,
    /// `uint32`, which only constants have.
    Uint32,
    /// `bool`
    Bool,
    /// `float64`
    Float,
    /// `map[string]interface{}`
    Map,
    /// `[]interface{}`
    List,
    /// `time.Time`
    Time,
    /// sprig's certificate
    Pair,
}

impl Param {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Any => "a value",
            Self::Text | Self::Word => "a string",
            Self::Int => "an int",
            Self::Uint32 => "a uint32",
            Self::Bool => "a bool",
            Self::Float => "a float64",
            Self::Map => "a map[string]interface {}",
            Self::List => "a []interface {}",
            Self::Time => "a time.Time",
            Self::Pair => "a certificate",
        }
    }

    /// Takes a value of this type.
    ///
    /// # Errors
    /// When it has another one.
    pub fn check(self, value: Value) -> Result<Value, Fail> {
        let fits = match (self, &value) {
            (Self::Any, _)
            | (Self::Text, Value::Text(_))
            | (Self::Int, Value::Int(_))
            | (Self::Bool, Value::Bool(_))
            | (Self::Float, Value::Float(_))
            | (Self::Map, Value::Map(_))
            | (Self::List, Value::List(Items::Any, _))
            | (Self::Time, Value::Time(_))
            | (Self::Pair, Value::Pair(_)) => true,
            (Self::Map, Value::Nil) => return Ok(Value::map(Entries::new())),
            (Self::List, Value::Nil) => return Ok(Value::list(Vec::new())),
            _ => false,
        };
        if fits {
            return Ok(value);
        }
        Err(Fail::new(format!("{} is expected, and {} is given", self.name(), value.type_name())))
    }
}

/// A function.
pub struct Function {
    /// Its fixed parameters.
    pub params: &'static [Param],
    /// The type of any number of further ones.
    pub rest: Option<Param>,
    /// The work.
    pub call: Call,
}

/// What a function does with its arguments, which have the right types.
pub type Call = fn(&mut Arguments<'_>) -> Result<Value, Fail>;

/// A name and its function.
type Entry = (&'static str, Function);

/// A function of fixed parameters.
const fn of(params: &'static [Param], call: Call) -> Function {
    Function { params, rest: None, call }
}

/// A function that takes more of one type.
const fn many(params: &'static [Param], rest: Param, call: Call) -> Function {
    Function { params, rest: Some(rest), call }
}

/// The arguments of one call, in their order.
pub struct Arguments<'a> {
    /// The render.
    pub run: &'a Run,
    values: std::vec::IntoIter<Value>,
}

impl<'a> Arguments<'a> {
    /// Arguments of the function's types.
    pub fn new(run: &'a Run, values: Vec<Value>) -> Self {
        Self { run, values: values.into_iter() }
    }

    fn any(&mut self) -> Value {
        self.values.next().unwrap_or_default()
    }

    fn rest(&mut self) -> Vec<Value> {
        self.values.by_ref().collect()
    }

    fn text(&mut self) -> Text {
        match self.any() {
            Value::Text(text) => text,
            _ => Text::default(),
        }
    }

    fn texts(&mut self) -> Vec<Text> {
        let rest = self.rest();
        rest.into_iter()
            .filter_map(|value| match value {
                Value::Text(text) => Some(text),
                _ => None,
            })
            .collect()
    }

    fn int(&mut self) -> i64 {
        self.any().whole().unwrap_or_default()
    }

    fn bool(&mut self) -> bool {
        matches!(self.any(), Value::Bool(true))
    }

    fn map(&mut self) -> Rc<Map> {
        match self.any() {
            Value::Map(map) => map,
            _ => Rc::default(),
        }
    }

    fn time(&mut self) -> Result<Zoned, Fail> {
        match self.any() {
            Value::Time(time) => Ok(*time),
            _ => Err(Fail::new("a time is expected")),
        }
    }

    fn pair(&mut self) -> Rc<Pair> {
        match self.any() {
            Value::Pair(pair) => pair,
            _ => Rc::default(),
        }
    }
}

/// The two that stop where it is decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Logic {
    /// `and`
    And,
    /// `or`
    Or,
}

/// Whether a name is `and` or `or`.
pub fn logic(name: &str) -> Option<Logic> {
    match name {
        "and" => Some(Logic::And),
        "or" => Some(Logic::Or),
        _ => None,
    }
}

/// Whether a name is `and` or `or`.
pub fn is_logic(name: &str) -> bool {
    logic(name).is_some()
}

static ALL: LazyLock<HashMap<&'static str, &'static Function>> = LazyLock::new(|| {
    let groups: [&'static [Entry]; 18] = [
        builtin::FUNCTIONS,
        strings::FUNCTIONS,
        cases::FUNCTIONS,
        encoding::FUNCTIONS,
        lists::FUNCTIONS,
        dicts::FUNCTIONS,
        defaults::FUNCTIONS,
        math::FUNCTIONS,
        dates::FUNCTIONS,
        json::FUNCTIONS,
        yaml::FUNCTIONS,
        crypto::FUNCTIONS,
        certificates::FUNCTIONS,
        pem::FUNCTIONS,
        pkcs12::FUNCTIONS,
        regexes::FUNCTIONS,
        semver::FUNCTIONS,
        paths::FUNCTIONS,
    ];
    let more: [&'static [Entry]; 2] = [url::FUNCTIONS, jwk::FUNCTIONS];
    groups.into_iter().chain(more).flatten().map(|(name, function)| (*name, function)).collect()
});

/// The first document of a YAML text; none if it is no YAML.
pub fn read_yaml(run: &Run, text: &str) -> Option<Value> {
    yaml_in::read(run, text).ok()
}

/// How many bytes the first character takes.
pub fn character_bytes(text: &[u8]) -> usize {
    strings::character_bytes(text)
}

/// The function of a name.
pub fn find(name: &str) -> Option<&'static Function> {
    ALL.get(name).copied()
}

/// The names of all functions, sorted.
pub fn names() -> Vec<&'static str> {
    let mut names: Vec<&'static str> = ALL.keys().copied().chain(["and", "or"]).collect();
    names.sort_unstable();
    names
}
