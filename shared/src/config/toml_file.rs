//! TOML: spans in bytes become lines and columns.

use serde::Deserialize;

use super::collect::{Noting, PlacedKey};
use super::{Collector, Place, Problems, Source, without_values};

impl PlacedKey for toml::Spanned<String> {
    fn name(&self) -> &str {
        self.get_ref()
    }

    fn place(&self, text: &str) -> Place {
        Place::of_byte(text, self.span().start)
    }
}

pub(super) fn read<'de, T: Deserialize<'de>>(source: &'de Source, problems: &mut Problems) -> Option<T> {
    let collector = Collector::new(source.text());
    let value = toml::Deserializer::parse(source.text()).and_then(|deserializer| {
        T::deserialize(Noting::<_, toml::Spanned<String>>::new(deserializer, &collector))
    });
    source.take_unknown(collector.into_unknown(), problems);
    value
        .map_err(|error| {
            let start = error.span().map_or(0, |span| span.start);
            let (what, instead) = explain(error.message());
            problems.push(source.problem(Place::of_byte(source.text(), start), what, instead));
        })
        .ok()
}

/// Splits serde's message into what is wrong and what to write instead.
fn explain(message: &str) -> (String, String) {
    if let Some(field) = message.strip_prefix("missing field `").and_then(|rest| rest.strip_suffix('`')) {
        return (format!("`{field}` is missing"), format!("add `{field} = …`"));
    }
    let message = without_values(message);
    match message.split_once(", expected ") {
        Some((what, expected)) => (what.to_owned(), format!("expected {expected}")),
        None => (message, String::new()),
    }
}
