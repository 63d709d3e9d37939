//! YAML and JSON as a tree that remembers where each value stood.
//!
//! Every later complaint about a manifest is made against a path in this tree, so it can name file, line and
//! column. A tree may hold Secret manifests: nothing here is ever printed, and text is wiped on drop.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_saphyr::Spanned;
use zeroize::Zeroizing;

/// The largest manifest file that is read, in bytes. The API server refuses objects above about 1.5 MiB; this
/// leaves room for files of many documents.
pub const FILE_BYTES_MAX: u64 = 16 << 20;
/// The deepest nesting of a manifest. The deepest field of the kinds known here lies at twelve.
const DEPTH_MAX: usize = 64;
/// The most nodes in one file: bounds memory whatever the aliases in it say.
const NODES_MAX: usize = 1_000_000;

/// The most events that aliases may repeat. Manifests rarely have one alias.
const ALIASED_MAX: usize = 10_000;

/// Line and column of a value, both from 1, columns in characters. Both are 0 where no file is behind it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Place {
    /// The line, from 1.
    pub line: u32,
    /// The column, from 1.
    pub column: u32,
}

/// One value and where it stood.
pub struct Node {
    /// Where the value begins.
    pub place: Place,
    /// What it is.
    pub kind: Kind,
}

/// What a node holds.
pub enum Kind {
    /// Nothing: `null`, `~` or an empty value.
    Null,
    /// A truth value.
    Bool(bool),
    /// A number, as serde_json keeps it.
    Number(serde_json::Number),
    /// Text.
    Text(Zeroizing<String>),
    /// A sequence.
    List(Vec<Node>),
    /// A mapping in its written order: key, where the key stood, value.
    Map(Vec<(String, Place, Node)>),
}

impl Kind {
    /// What a person calls such a value.
    pub fn noun(&self) -> &'static str {
        match self {
            Self::Null => "nothing",
            Self::Bool(_) => "a truth value",
            Self::Number(_) => "a number",
            Self::Text(_) => "text",
            Self::List(_) => "a list",
            Self::Map(_) => "a mapping",
        }
    }
}

/// Why a file is not YAML. Holds no text of the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// Where reading stopped.
    pub place: Place,
    /// What is wrong, in a few words of our own.
    pub what: &'static str,
}

impl Node {
    /// Reads every document of a YAML (or JSON) file. Empty documents are left out.
    ///
    /// # Errors
    /// The first place where the text stops being YAML, repeats a key or passes a limit.
    pub fn parse_all(text: &str) -> Result<Vec<Self>, SyntaxError> {
        let options = serde_saphyr::options! {
            budget: serde_saphyr::budget! { max_depth: DEPTH_MAX, max_nodes: NODES_MAX },
            alias_limits: serde_saphyr::alias_limits! { max_total_replayed_events: ALIASED_MAX },
            duplicate_keys: serde_saphyr::DuplicateKeyPolicy::Error,
            with_snippet: false,
        };
        serde_saphyr::from_multiple_with_options(text, options).map_err(|error| SyntaxError {
            place: error.location().map(Place::from).unwrap_or_default(),
            what: syntax_words(error.without_snippet()),
        })
    }

    /// A tree from JSON that came from an API server: the places are unknown.
    pub fn from_json(value: serde_json::Value) -> Self {
        use serde_json::Value;
        let kind = match value {
            Value::Null => Kind::Null,
            Value::Bool(value) => Kind::Bool(value),
            Value::Number(number) => Kind::Number(number),
            Value::String(text) => Kind::Text(Zeroizing::new(text)),
            Value::Array(items) => Kind::List(items.into_iter().map(Self::from_json).collect()),
            Value::Object(entries) => Kind::Map(
                entries
                    .into_iter()
                    .map(|(key, value)| (key, Place::default(), Self::from_json(value)))
                    .collect(),
            ),
        };
        Self { place: Place::default(), kind }
    }

    /// The value under a key, if this is a mapping that has it.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.kind {
            Kind::Map(entries) => entries.iter().find(|(name, _, _)| name == key).map(|(_, _, value)| value),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => None,
        }
    }

    /// The text of this node, if it is text.
    pub fn text(&self) -> Option<&str> {
        match &self.kind {
            Kind::Text(text) => Some(text),
            Kind::Null | Kind::Bool(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => None,
        }
    }

    /// The place of the deepest node on a path such as `spec.data[2].secretKey`; of a mapping's entry the key.
    pub fn locate(&self, path: &str) -> Place {
        let mut node = self;
        let mut place = self.place;
        for step in steps(path) {
            let next = match (&node.kind, step) {
                (Kind::Map(entries), Step::Key(key)) => {
                    entries.iter().find(|(name, _, _)| name == key).map(|(_, at, value)| (*at, value))
                }
                (Kind::List(items), Step::Index(index)) => items.get(index).map(|item| (item.place, item)),
                _ => None,
            };
            let Some((at, value)) = next else { break };
            place = at;
            node = value;
        }
        place
    }
}

impl fmt::Debug for Node {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Node({} at {}:{})", self.kind.noun(), self.place.line, self.place.column)
    }
}

enum Step<'a> {
    Key(&'a str),
    Index(usize),
}

/// Splits `a.b[0]["c.d"]` into its steps. Keys with dots are written in `["…"]`.
fn steps(path: &str) -> Vec<Step<'_>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inner) = rest.strip_prefix("[\"") {
            let end = inner.find("\"]").unwrap_or(inner.len());
            steps.push(Step::Key(&inner[..end]));
            rest = inner.get(end + 2..).unwrap_or("");
        } else if let Some(inner) = rest.strip_prefix('[') {
            let end = inner.find(']').unwrap_or(inner.len());
            steps.push(inner[..end].parse().map_or(Step::Key(&inner[..end]), Step::Index));
            rest = inner.get(end + 1..).unwrap_or("");
        } else {
            let rest_of_key = rest.strip_prefix('.').unwrap_or(rest);
            let end = rest_of_key.find(['.', '[']).unwrap_or(rest_of_key.len());
            steps.push(Step::Key(&rest_of_key[..end]));
            rest = &rest_of_key[end..];
        }
    }
    steps
}

/// Our own words for a syntax error: the parser's own could quote the file.
fn syntax_words(error: &serde_saphyr::Error) -> &'static str {
    use serde_saphyr::Error as Yaml;
    match error {
        Yaml::DuplicateMappingKey { .. } => "this key stands twice in the same mapping",
        Yaml::Eof { .. } => "the document ends too early",
        Yaml::UnknownAnchor { .. } => "this alias names no anchor",
        Yaml::InvalidUtf8Input => "the file is not UTF-8",
        Yaml::AliasError { .. } => "this alias repeats too much; write its values out",
        Yaml::Budget { .. }
        | Yaml::AliasReplayLimitExceeded { .. }
        | Yaml::AliasExpansionLimitExceeded { .. }
        | Yaml::AliasReplayStackDepthExceeded { .. } => "the file is too deep or too large",
        _ => "this is not YAML (check the indentation, quotes and colons here)",
    }
}

impl From<serde_saphyr::Location> for Place {
    fn from(location: serde_saphyr::Location) -> Self {
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        Self { line: small(location.line()), column: small(location.column()) }
    }
}

impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let spanned = Spanned::<Kind>::deserialize(deserializer)?;
        Ok(Self { place: spanned.referenced.into(), kind: spanned.value })
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(KindVisitor)
    }
}

struct KindVisitor;

impl<'de> Visitor<'de> for KindVisitor {
    type Value = Kind;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a YAML value")
    }

    fn visit_unit<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_none<E>(self) -> Result<Kind, E> {
        Ok(Kind::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Kind, E> {
        Ok(Kind::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Kind, E> {
        Ok(Kind::Number(value.into()))
    }

    fn visit_f64<E: serde::de::Error>(self, value: f64) -> Result<Kind, E> {
        serde_json::Number::from_f64(value).map(Kind::Number).ok_or_else(|| E::custom("not a finite number"))
    }

    fn visit_str<E>(self, value: &str) -> Result<Kind, E> {
        Ok(Kind::Text(Zeroizing::new(value.to_owned())))
    }

    fn visit_string<E>(self, value: String) -> Result<Kind, E> {
        Ok(Kind::Text(Zeroizing::new(value)))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Kind, A::Error> {
        let mut list = Vec::new();
        while let Some(item) = items.next_element()? {
            list.push(item);
        }
        Ok(Kind::List(list))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Kind, A::Error> {
        let mut map: BTreeMap<String, ()> = BTreeMap::new();
        let mut list = Vec::new();
        while let Some(key) = entries.next_key::<Spanned<String>>()? {
            let place = key.referenced.into();
            let value = entries.next_value()?;
            if map.insert(key.value.clone(), ()).is_none() {
                list.push((key.value, place, value));
            }
        }
        Ok(Kind::Map(list))
    }
}

#[cfg(test)]
mod tests {
    use super::{Kind, Node, Place};

    #[test]
    fn values_know_their_places() {
        let text = "a: 1\nb:\n  - x: yes please\n  - \"k.d\": null\n---\n---\nc: [true, 1.5]\n";
        let documents = Node::parse_all(text).unwrap();
        assert_eq!(documents.len(), 2);
        assert_eq!(documents[0].locate("b[0].x"), Place { line: 3, column: 5 });
        assert_eq!(documents[0].locate("b[1][\"k.d\"]"), Place { line: 4, column: 5 });
        assert_eq!(documents[0].locate("b[7].x").line, 2);
        assert!(matches!(documents[1].get("c").unwrap().kind, Kind::List(_)));
    }

    #[test]
    fn syntax_errors_quote_nothing() {
        for text in ["a: 1\nb: [hunter2\n", "a: hunter2\na: 2\n", "a: *hunter2\n", "\t- hunter2: :\n  }"] {
            let error = Node::parse_all(text).unwrap_err();
            assert!(!format!("{error:?}").contains("hunter2"));
            assert!(error.place.line > 0, "{error:?}");
        }
    }

    #[test]
    fn alias_bombs_end() {
        let mut text = String::from("a0: &a0 [x,x,x,x,x,x,x,x,x,x]\n");
        for level in 1..12 {
            let previous = level - 1;
            let many = vec![format!("*a{previous}"); 10].join(",");
            text.push_str(&format!("a{level}: &a{level} [{many}]\n"));
        }
        assert_eq!(
            Node::parse_all(&text).unwrap_err().what,
            "this alias repeats too much; write its values out"
        );
        let deep = "[".repeat(5000);
        assert!(Node::parse_all(&deep).is_err());
    }
}
