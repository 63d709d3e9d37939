//! From the tree to typed manifests, with every mistake collected.
//!
//! An unknown field is noted and passed over, a value of the wrong type is noted and left out, so that one run
//! names everything that is wrong in a document and not only the first thing. Messages name fields and kinds of
//! values, never the values: a manifest may be a Secret.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::fmt;

use serde::de::{
    DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error as _, Expected, IntoDeserializer,
    MapAccess, SeqAccess, Unexpected, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;

use super::node::{Kind, Node, Place};

/// One thing that is wrong with a document.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mistake {
    /// Where it stands in the file (zero without a file).
    pub place: Place,
    /// The field, as in `spec.data[0].secretKey`.
    pub path: String,
    /// What is wrong and what to write instead.
    pub what: String,
}

/// The most mistakes that are looked for in one document.
const MISTAKES_MAX: usize = 50;

/// Reads a node as `T`; `path` is where the node lies in its document.
///
/// # Errors
/// Every mistake found, in the order of the document.
pub fn decode<T: DeserializeOwned>(node: &Node, path: &str) -> Result<T, Vec<Mistake>> {
    let notes = Notes::default();
    let mut last = None;
    while notes.mistakes.borrow().len() < MISTAKES_MAX {
        let reader = Reader { node, path: path.to_owned(), notes: &notes };
        match T::deserialize(reader) {
            Ok(value) => {
                last = Some(value);
                break;
            }
            Err(error) => {
                // A field that is missing only because it was left out after a mistake is no second mistake.
                let known = notes.mistakes.borrow().iter().any(|mistake| {
                    error.missing.is_some_and(|field| mistake.path == join(&error.path, field))
                });
                let new = !known && notes.left_out.borrow_mut().insert(error.path.clone());
                if new {
                    notes.note(error.into_mistake());
                } else {
                    break;
                }
            }
        }
    }
    let mistakes = notes.mistakes.into_inner();
    match last {
        Some(value) if mistakes.is_empty() => Ok(value),
        _ => {
            let mut mistakes: Vec<_> = mistakes.into_iter().collect();
            mistakes.sort();
            Err(mistakes)
        }
    }
}

#[derive(Default)]
struct Notes {
    mistakes: RefCell<BTreeSet<Mistake>>,
    left_out: RefCell<BTreeSet<String>>,
}

impl Notes {
    fn note(&self, mistake: Mistake) {
        self.mistakes.borrow_mut().insert(mistake);
    }
}

/// A path with one more field.
pub fn join(path: &str, field: &str) -> String {
    if field.is_empty() || field.contains(['.', '[', ']', '"']) {
        format!("{path}[\"{field}\"]")
    } else if path.is_empty() {
        field.to_owned()
    } else {
        format!("{path}.{field}")
    }
}

/// Why a value does not fit: structured by serde, worded here.
#[derive(Debug)]
struct Misfit {
    place: Option<Place>,
    path: String,
    what: String,
    missing: Option<&'static str>,
}

impl Misfit {
    fn new(what: String) -> Self {
        Self { place: None, path: String::new(), what, missing: None }
    }

    /// The innermost reader that saw the error says where.
    fn at(mut self, node: &Node, path: &str) -> Self {
        if self.place.is_none() {
            self.place = Some(node.place);
            path.clone_into(&mut self.path);
        }
        self
    }

    fn into_mistake(self) -> Mistake {
        Mistake { place: self.place.unwrap_or_default(), path: self.path, what: self.what }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl std::error::Error for Misfit {}

impl serde::de::Error for Misfit {
    /// Only our own types say this, and none of them quotes a value.
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::new(message.to_string())
    }

    fn invalid_type(found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        let (noun, hint) = match found {
            Unexpected::Bool(_) => ("a truth value", "; put it in quotes if text is meant"),
            Unexpected::Unsigned(_) | Unexpected::Signed(_) | Unexpected::Float(_) => {
                ("a number", "; put it in quotes if text is meant")
            }
            Unexpected::Str(_) | Unexpected::Char(_) | Unexpected::Bytes(_) => ("text", ""),
            Unexpected::Unit | Unexpected::Option => ("nothing", ""),
            Unexpected::Seq => ("a list", ""),
            Unexpected::Map => ("a mapping", ""),
            _ => ("something else", ""),
        };
        let wanted = wanted(expected);
        let hint = if wanted == "text" { hint } else { "" };
        Self::new(format!("{noun} stands here, {wanted} is needed{hint}"))
    }

    fn invalid_value(_found: Unexpected<'_>, expected: &dyn Expected) -> Self {
        Self::new(format!("this value does not fit; {} is needed", wanted(expected)))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        Self::new(format!("\"{}\" is not known here; write {}", short(variant), choices(expected)))
    }

    fn unknown_field(field: &str, expected: &'static [&'static str]) -> Self {
        Self::new(unknown_field_words(field, expected))
    }

    fn missing_field(field: &'static str) -> Self {
        Self { missing: Some(field), ..Self::new(format!("the field \"{field}\" is missing; add it")) }
    }

    fn duplicate_field(field: &'static str) -> Self {
        Self::new(format!("the field \"{field}\" stands twice"))
    }
}

/// serde's names of wanted things, in our words.
fn wanted(expected: &dyn Expected) -> String {
    let text = expected.to_string();
    match text.as_str() {
        "a string" => "text".to_owned(),
        "a map" => "a mapping".to_owned(),
        "a sequence" => "a list".to_owned(),
        "a boolean" => "true or false".to_owned(),
        other if other.starts_with("struct ") => "a mapping".to_owned(),
        other if other.starts_with("enum ") || other.starts_with("variant of enum") => "one word".to_owned(),
        other if ["u8", "u16", "u32", "u64", "i32", "i64"].contains(&other) => "a whole number".to_owned(),
        _ => text,
    }
}

fn short(text: &str) -> String {
    text.chars().take(60).filter(|c| !c.is_control()).collect()
}

fn choices(names: &[&str]) -> String {
    match names {
        [] => "nothing here".to_owned(),
        [one] => (*one).to_owned(),
        [first @ .., last] => format!("{} or {last}", first.join(", ")),
    }
}

fn unknown_field_words(field: &str, expected: &[&str]) -> String {
    let lower = field.to_ascii_lowercase();
    let near = expected.iter().find(|name| {
        let name = name.to_ascii_lowercase();
        name == lower || distance(&name, &lower) <= 2
    });
    match near {
        Some(name) => format!("unknown field \"{}\"; did you mean \"{name}\"?", short(field)),
        None => format!("unknown field \"{}\"; known here: {}", short(field), expected.join(", ")),
    }
}

/// Levenshtein distance of two short words; long ones count as far apart.
fn distance(left: &str, right: &str) -> usize {
    if left.len() > 40 || right.len() > 40 {
        return usize::MAX;
    }
    let right: Vec<char> = right.chars().collect();
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, b) in right.iter().enumerate() {
            let replaced = diagonal + usize::from(a != *b);
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or(usize::MAX)
}

struct Reader<'a> {
    node: &'a Node,
    path: String,
    notes: &'a Notes,
}

impl<'a> Reader<'a> {
    fn child(&self, node: &'a Node, path: String) -> Self {
        Self { node, path, notes: self.notes }
    }

    fn locate<T>(&self, result: Result<T, Misfit>) -> Result<T, Misfit> {
        result.map_err(|misfit| misfit.at(self.node, &self.path))
    }

    fn visit_any<'de, V: Visitor<'de>>(
        &self,
        fields: Option<&'static [&'static str]>,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        match &self.node.kind {
            Kind::Null => visitor.visit_unit(),
            Kind::Bool(value) => visitor.visit_bool(*value),
            Kind::Number(number) => {
                if let Some(value) = number.as_u64() {
                    visitor.visit_u64(value)
                } else if let Some(value) = number.as_i64() {
                    visitor.visit_i64(value)
                } else {
                    visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN))
                }
            }
            Kind::Text(text) => visitor.visit_str(text),
            Kind::List(items) => visitor.visit_seq(ListReader { parent: self, items, next: 0 }),
            Kind::Map(entries) => visitor.visit_map(MapReader { parent: self, entries, next: 0, fields }),
        }
    }
}

impl<'de> Deserializer<'de> for Reader<'_> {
    type Error = Misfit;

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        let result = self.visit_any(None, visitor);
        self.locate(result)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Misfit> {
        match self.node.kind {
            Kind::Null => visitor.visit_none(),
            Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) | Kind::Map(_) => {
                visitor.visit_some(self)
            }
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let result = self.visit_any(Some(fields), visitor);
        self.locate(result)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _name: &'static str,
        _variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Misfit> {
        let result = match &self.node.kind {
            Kind::Text(text) => visitor.visit_enum(Word(text)),
            other => Err(Misfit::new(format!("{} stands here, one word is needed", other.noun()))),
        };
        self.locate(result)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 u8 u16 u32 u64 f32 f64 char str string bytes byte_buf unit unit_struct seq tuple
        tuple_struct map identifier ignored_any
    }
}

struct ListReader<'a> {
    parent: &'a Reader<'a>,
    items: &'a [Node],
    next: usize,
}

impl<'de> SeqAccess<'de> for ListReader<'_> {
    type Error = Misfit;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, Misfit> {
        while let Some(node) = self.items.get(self.next) {
            let path = format!("{}[{}]", self.parent.path, self.next);
            self.next += 1;
            if !self.parent.notes.left_out.borrow().contains(&path) {
                let value = seed.deserialize(self.parent.child(node, path.clone()));
                return value.map(Some).map_err(|misfit| misfit.at(node, &path));
            }
        }
        Ok(None)
    }
}

struct MapReader<'a> {
    parent: &'a Reader<'a>,
    entries: &'a [(String, Place, Node)],
    next: usize,
    fields: Option<&'static [&'static str]>,
}

impl<'de> MapAccess<'de> for MapReader<'_> {
    type Error = Misfit;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, Misfit> {
        while let Some((key, place, value)) = self.entries.get(self.next) {
            self.next += 1;
            let path = join(&self.parent.path, key);
            if let Some(fields) = self.fields.filter(|fields| !fields.contains(&key.as_str())) {
                let what = unknown_field_words(key, fields);
                self.parent.notes.note(Mistake { place: *place, path, what });
                continue;
            }
            // A null field is an absent field, as the API server sees it.
            if self.fields.is_some() && matches!(value.kind, Kind::Null) {
                continue;
            }
            if !self.parent.notes.left_out.borrow().contains(&path) {
                return seed.deserialize(key.as_str().into_deserializer()).map(Some);
            }
        }
        Ok(None)
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, Misfit> {
        let (key, _, node) = self
            .next
            .checked_sub(1)
            .and_then(|at| self.entries.get(at))
            .ok_or_else(|| Misfit::custom("no value"))?;
        let path = join(&self.parent.path, key);
        seed.deserialize(self.parent.child(node, path.clone())).map_err(|misfit| misfit.at(node, &path))
    }
}

/// An enum of plain words.
struct Word<'a>(&'a str);

impl<'de> EnumAccess<'de> for Word<'_> {
    type Error = Misfit;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), Misfit> {
        let value = seed.deserialize(self.0.into_deserializer())?;
        Ok((value, self))
    }
}

impl<'de> VariantAccess<'de> for Word<'_> {
    type Error = Misfit;

    fn unit_variant(self) -> Result<(), Misfit> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, _seed: T) -> Result<T::Value, Misfit> {
        Err(Misfit::custom("one word is needed"))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _len: usize, _visitor: V) -> Result<V::Value, Misfit> {
        Err(Misfit::custom("one word is needed"))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        _fields: &'static [&'static str],
        _visitor: V,
    ) -> Result<V::Value, Misfit> {
        Err(Misfit::custom("one word is needed"))
    }
}
