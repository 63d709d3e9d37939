//! The values of a template, with Go's types.

use std::cell::RefCell;
use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;
use std::rc::Rc;

use jiff::Zoned;
use zeroize::Zeroizing;

/// A Go string: any bytes. Wiped when the last holder drops it, and never printed by `Debug`.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Text(Rc<Zeroizing<Vec<u8>>>);

impl Text {
    /// Takes bytes over.
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Rc::new(Zeroizing::new(bytes)))
    }

    /// The bytes.
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The text; bytes that are no UTF-8 become U+FFFD, as Go's functions on characters see them.
    pub fn lossy(&self) -> Zeroizing<String> {
        Zeroizing::new(String::from_utf8_lossy(&self.0).into_owned())
    }

    /// The text, if it is UTF-8.
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl PartialOrd for Text {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Text {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self::new(text.as_bytes().to_vec())
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self::new(text.into_bytes())
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Text({} bytes)", self.0.len())
    }
}

/// A `map[string]interface{}`, which `set` and its like change in place.
pub type Entries = BTreeMap<Text, Value>;

/// What a shared map holds. Dropping it takes no stack, however deep it nests.
#[derive(Default)]
pub struct Map(pub RefCell<Entries>);

/// What a shared list holds. Dropping it takes no stack, however deep it nests.
#[derive(Default)]
pub struct List(pub Vec<Value>);

impl Drop for Map {
    fn drop(&mut self) {
        drop_flat(std::mem::take(self.0.get_mut()).into_values().collect());
    }
}

impl Drop for List {
    fn drop(&mut self) {
        drop_flat(std::mem::take(&mut self.0));
    }
}

fn drop_flat(mut values: Vec<Value>) {
    while let Some(value) = values.pop() {
        match value {
            Value::Map(map) => {
                if let Some(mut map) = Rc::into_inner(map) {
                    values.extend(std::mem::take(map.0.get_mut()).into_values());
                }
            }
            Value::List(_, list) => {
                if let Some(mut list) = Rc::into_inner(list) {
                    values.append(&mut list.0);
                }
            }
            _ => {}
        }
    }
}

/// The Go type of a list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Items {
    /// `[]interface {}`
    Any,
    /// `[]string`
    Texts,
    /// `[]int`
    Ints,
    /// `[][]interface {}`
    Lists,
}

/// A certificate and its key, in PEM: what `genCA` and its like give.
#[derive(Clone, Default)]
pub struct Pair {
    /// The certificate.
    pub cert: Text,
    /// The key.
    pub key: Text,
}

/// A value.
#[derive(Clone, Default)]
pub enum Value {
    /// nil
    #[default]
    Nil,
    /// bool
    Bool(bool),
    /// int
    Int(i64),
    /// int64
    Int64(i64),
    /// float64
    Float(f64),
    /// string
    Text(Text),
    /// `map[string]string`
    Strings(Rc<BTreeMap<Text, Text>>),
    /// `map[string]interface {}`
    Map(Rc<Map>),
    /// A slice.
    List(Items, Rc<List>),
    /// time.Time
    Time(Box<Zoned>),
    /// time.Duration, in nanoseconds
    Duration(i64),
    /// time.Month
    Month(i8),
    /// time.Weekday, Sunday 0
    Weekday(i8),
    /// sprig's certificate
    Pair(Rc<Pair>),
    /// `*semver.Version`
    Version(Rc<super::functions::semver::Version>),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// Bytes as a text.
    pub fn bytes(bytes: Vec<u8>) -> Self {
        Self::Text(Text::new(bytes))
    }

    /// A `map[string]string`.
    pub fn strings(entries: BTreeMap<Text, Text>) -> Self {
        Self::Strings(Rc::new(entries))
    }

    /// A `map[string]interface {}`.
    pub fn map(entries: Entries) -> Self {
        Self::Map(Rc::new(Map(RefCell::new(entries))))
    }

    /// An `[]interface {}`.
    pub fn list(values: Vec<Self>) -> Self {
        Self::List(Items::Any, Rc::new(List(values)))
    }

    /// An `[]string`.
    pub fn texts(texts: Vec<Text>) -> Self {
        Self::List(Items::Texts, Rc::new(List(texts.into_iter().map(Self::Text).collect())))
    }

    /// Go's name of the type, as `%T` prints it.
    pub fn type_name(&self) -> &'static str {
        match self {
            Self::Nil => "<nil>",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Strings(_) => "map[string]string",
            Self::Map(_) => "map[string]interface {}",
            Self::List(Items::Any, _) => "[]interface {}",
            Self::List(Items::Texts, _) => "[]string",
            Self::List(Items::Ints, _) => "[]int",
            Self::List(Items::Lists, _) => "[][]interface {}",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Month(_) => "time.Month",
            Self::Weekday(_) => "time.Weekday",
            Self::Pair(_) => "sprig.certificate",
            Self::Version(_) => "*semver.Version",
        }
    }

    /// Go's name of the kind.
    pub fn kind_name(&self) -> &'static str {
        match self {
            Self::Nil => "invalid",
            Self::Bool(_) => "bool",
            Self::Int(_) | Self::Month(_) | Self::Weekday(_) => "int",
            Self::Int64(_) | Self::Duration(_) => "int64",
            Self::Float(_) => "float64",
            Self::Text(_) => "string",
            Self::Strings(_) | Self::Map(_) => "map",
            Self::List(..) => "slice",
            Self::Time(_) | Self::Pair(_) => "struct",
            Self::Version(_) => "ptr",
        }
    }

    /// What counts as true in `if`, `with`, `and`, `or` and `not`.
    pub fn is_true(&self) -> bool {
        match self {
            Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) | Self::Duration(value) => *value != 0,
            Self::Month(value) | Self::Weekday(value) => *value != 0,
            Self::Float(value) => *value != 0.0,
            Self::Text(text) => !text.bytes().is_empty(),
            Self::Strings(map) => !map.is_empty(),
            Self::Map(map) => !map.0.borrow().is_empty(),
            Self::List(_, list) => !list.0.is_empty(),
            Self::Time(_) | Self::Pair(_) | Self::Version(_) => true,
        }
    }

    /// Whole numbers of any type.
    pub fn whole(&self) -> Option<i64> {
        match self {
            Self::Int(value) | Self::Int64(value) | Self::Duration(value) => Some(*value),
            Self::Month(value) | Self::Weekday(value) => Some(i64::from(*value)),
            _ => None,
        }
    }
}

/// The type and no value.
impl fmt::Debug for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.type_name())
    }
}
