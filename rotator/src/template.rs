//! Go's text/template, with the functions that External Secrets Operator gives to its templates.
//!
//! Users bring templates that were written for the operator, so what counts is the same bytes and the same refusals:
//! types are Go's (an `int64` is no `int`), strings are bytes, a missing key is an error. A text becomes tokens
//! ([`lex`]), a tree ([`parse`]) and, with the values, bytes ([`exec`]); [`value`] says what values there are,
//! [`print`] how Go prints them, and [`functions`] what can be called. Sources: the documentation of Go's
//! text/template, fmt and time packages, and of sprig.
//!
//! Guarantees: no I/O, no clock of its own for decisions, no panic on any input; time, output, values and nesting are
//! limited ([`run`]); every text that is made is wiped when it is dropped; errors name places, functions and keys of
//! the template and never a value.

pub mod exec;
pub mod functions;
pub mod go_regex;
pub mod lex;
pub mod parse;
pub mod print;
pub mod run;
pub mod value;

use std::collections::BTreeMap;

use zeroize::Zeroizing;

pub use self::run::{Fail, TemplateError};
pub use self::value::{Text, Value};

/// Renders one template over a map of texts.
///
/// # Errors
/// When it is no template, or fails; names the place, and no value.
pub fn render(text: &str, data: BTreeMap<Text, Text>) -> Result<Zeroizing<Vec<u8>>, TemplateError> {
    let tree = parse::parse(text)?;
    exec::execute(&tree, &Value::strings(data))
}

/// Keys and their texts.
pub type Texts = Vec<(String, Zeroizing<Vec<u8>>)>;

/// Keys and texts of a YAML mapping; none if it is something else. A key without a value has an empty one.
pub fn yaml_texts(text: &[u8]) -> Option<Texts> {
    let text = std::str::from_utf8(text).ok()?;
    let map = match functions::read_yaml(&run::Run::start(), text)? {
        Value::Nil => return Some(Vec::new()),
        Value::Map(map) => map,
        _ => return None,
    };
    let entries = map.0.borrow();
    let pairs = entries.iter().map(|(key, value)| {
        let value = match value {
            Value::Nil => Zeroizing::new(Vec::new()),
            Value::Text(text) => Zeroizing::new(text.bytes().to_vec()),
            _ => return None,
        };
        Some((key.text()?.to_owned(), value))
    });
    pairs.collect()
}

#[cfg(test)]
mod tests;
