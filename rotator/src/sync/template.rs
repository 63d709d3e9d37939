//! The templates of ExternalSecrets: values in, a value or keys and values out.

use std::collections::BTreeMap;

use shared::secret::Secret;
use zeroize::Zeroizing;

use super::value::Values;
use crate::template::{self, Text};

/// Why a template gives nothing: where it stands in the text, and what; never a value.
pub type TemplateError = template::TemplateError;

/// The values as a template sees them.
pub type Context = BTreeMap<Text, Text>;

/// What a template of keys and values printed, if it is no such thing.
const NOT_KEYS: &str = "does not print YAML of keys and text values";

/// The values as a template sees them.
pub fn context(values: &Values) -> Context {
    let text = |value: &Secret| value.expose(|bytes| Text::new(bytes.to_vec()));
    values.iter().map(|(key, value)| (Text::from(key.as_str()), text(value))).collect()
}

/// Renders one template.
///
/// # Errors
/// When it is none, or fails.
pub fn render(text: &str, data: &Context) -> Result<Zeroizing<Vec<u8>>, TemplateError> {
    template::render(text, data.clone())
}

/// Renders a template that prints YAML: keys and text values.
///
/// # Errors
/// When it fails or prints something else.
pub fn render_keys(text: &str, data: &Context) -> Result<template::Texts, TemplateError> {
    let rendered = render(text, data)?;
    let not_keys = || TemplateError::new(0, NOT_KEYS);
    template::yaml_texts(&rendered).ok_or_else(not_keys)
}

#[cfg(test)]
mod tests {
    use shared::secret::Secret;

    use super::{Values, context, render_keys};

    #[test]
    fn keys_and_values_come_from_yaml() {
        let values: Values = [("user".to_owned(), Secret::copy_of(b"ada"))].into();
        let data = context(&values);
        let keys = render_keys("{{ .user }}_key: \"x\"\nb: z\nc: ~\n", &data).unwrap();
        let shown: Vec<_> =
            keys.iter().map(|(key, value)| format!("{key}={}", String::from_utf8_lossy(value))).collect();
        assert_eq!(shown, ["ada_key=x", "b=z", "c="]);
        for text in ["a: 1", "a: true", "a: [b]", "just text", "a: {b: c}", "- a", "a: 'b"] {
            assert!(render_keys(text, &data).is_err(), "{text}");
        }
        assert_eq!(render_keys("{{ if false }}x{{ end }}", &data).unwrap(), Vec::new());
    }
}
