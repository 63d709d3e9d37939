//! Go templates: the text of a template and the values in, text out.
//!
//! The engine is gtmpl-ng with its sprig functions and its limits. Two things of Go are added here: a key that is
//! missing is an error and never `<no value>`, and functions that read the machine or make randomness of their own
//! seed do not exist.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

use gtmpl_ng::{Context, Limits, Template, Value};
use zeroize::Zeroizing;

use super::value::Values;

mod functions;
mod missing;

/// A render that takes longer is a loop.
const TIME_MAX: Duration = Duration::from_secs(5);
/// A Secret holds at most 1 MiB.
const OUTPUT_BYTES_MAX: usize = 1 << 20;
/// Functions of the engine that are not offered: the operator has none of that name, or the engine's gives other
/// bytes than the operator's (recorded cases). A refused template is seen; a wrong Secret is not.
const ABSENT: [&str; 20] = [
    "abbrevboth",
    "add1f",
    "addf",
    "divf",
    "getHostByName",
    "htpasswd",
    "include",
    "lookup",
    "mulf",
    "mustToYaml",
    "required",
    "seq",
    "squote",
    "subf",
    "title",
    "toToml",
    "toYaml",
    "toYamlPretty",
    "tpl",
    "untitle",
];
/// What the engine prints for a key that is not there.
const NO_VALUE: &str = "<no value>";

/// Why a template gives nothing. The engine's text can quote values, so none of it is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TemplateError {
    /// It is no template, or uses a function that does not exist.
    #[error("is not a valid template, or uses a function that does not exist")]
    Invalid,
    /// It failed while it was rendered.
    #[error("fails: a key that is not there, a wrong argument, or a limit")]
    Failed,
    /// A template that makes keys and values printed something else.
    #[error("does not print YAML of keys and text values")]
    NotYaml,
}

/// The values as a template sees them. Values that are not text are left out: no template can use them.
pub fn context(values: &Values) -> HashMap<String, Value> {
    let text = |value: &shared::secret::Secret| value.expose(|bytes| String::from_utf8(bytes.to_vec()).ok());
    values.iter().filter_map(|(key, value)| Some((key.clone(), Value::String(text(value)?)))).collect()
}

/// Renders one template.
///
/// # Errors
/// When it is none, or fails.
pub fn render(text: &str, data: &HashMap<String, Value>) -> Result<Zeroizing<String>, TemplateError> {
    let limits = Limits::default().with_output_bytes(OUTPUT_BYTES_MAX).with_deadline(TIME_MAX);
    let mut template = Template::with_limits(limits);
    for (name, function) in gtmpl_ng::all_functions::all_functions() {
        if !ABSENT.contains(&name) {
            template.add_func(name, function);
        }
    }
    for (name, function) in functions::OWN {
        template.add_func(name, *function);
    }
    if !missing::is_complete(text, data) {
        return Err(TemplateError::Failed);
    }
    // A panic inside the engine is a failed template; the hook of the process prints no payload.
    let rendered = catch_unwind(AssertUnwindSafe(|| {
        template.parse(text).map_err(|_| TemplateError::Invalid)?;
        let context = Context::from(Value::Map(data.clone()));
        template.render(&context).map(Zeroizing::new).map_err(|_| TemplateError::Failed)
    }));
    let rendered = rendered.unwrap_or(Err(TemplateError::Failed))?;
    let given = |value: &Value| matches!(value, Value::String(text) if text.contains(NO_VALUE));
    if rendered.contains(NO_VALUE) && !text.contains(NO_VALUE) && !data.values().any(given) {
        return Err(TemplateError::Failed);
    }
    Ok(rendered)
}

/// Renders a template that prints YAML: keys and text values.
///
/// # Errors
/// When it fails or prints something else.
pub fn render_keys(
    text: &str,
    data: &HashMap<String, Value>,
) -> Result<Vec<(String, Zeroizing<String>)>, TemplateError> {
    use crate::manifest::node::{Kind, Node};
    let rendered = render(text, data)?;
    let documents = Node::parse_all(&rendered).map_err(|_| TemplateError::NotYaml)?;
    let Some(document) = documents.into_iter().next() else { return Ok(Vec::new()) };
    match document.kind {
        Kind::Null => Ok(Vec::new()),
        Kind::Map(entries) => entries
            .into_iter()
            .map(|(key, _, value)| match value.kind {
                Kind::Text(text) => Ok((key, text)),
                Kind::Null => Ok((key, Zeroizing::new(String::new()))),
                Kind::Bool(_) | Kind::Number(_) | Kind::List(_) | Kind::Map(_) => Err(TemplateError::NotYaml),
            })
            .collect(),
        Kind::Bool(_) | Kind::Number(_) | Kind::Text(_) | Kind::List(_) => Err(TemplateError::NotYaml),
    }
}

#[cfg(test)]
mod tests {
    use shared::secret::Secret;

    use super::{TemplateError, Values, context, render, render_keys};

    fn values() -> Values {
        let secret = |text: &str| Secret::copy_of(text.as_bytes());
        [("user".to_owned(), secret("ada")), ("json".to_owned(), secret("{\"a\":[1,2]}"))].into()
    }

    #[test]
    fn templates_render_and_missing_keys_fail() {
        let data = context(&values());
        for (text, expected) in [
            ("{{ .user | upper | b64enc }}", Ok("QURB")),
            ("{{ (fromJson .json).a | len }}", Ok("2")),
            ("{{ .nope }}", Err(TemplateError::Failed)),
            ("{{ .nope | default \"x\" }}", Err(TemplateError::Failed)),
            ("{{ if .nope }}a{{ end }}", Err(TemplateError::Failed)),
            ("{{ if false }}{{ .nope }}{{ end }}", Ok("")),
            ("{{ \" .nope \" }}", Ok(" .nope ")),
            ("{{/* .nope */}}{{ with .user }}{{ . }}{{ end }}", Ok("ada")),
            ("{{ or .user .nope }}", Ok("ada")),
            ("{{ .user | quote }} {{ squote .user 1 }}", Ok("\"ada\" 'ada' '1'")),
            ("{{ seq 2 -1 }},{{ seq 0 2 10 }},{{ seq 3 }}", Ok("2 1 0 -1,0 2 4 6 8 10,1 2 3")),
            ("{{ dict \"a\" 1 | toYaml }}", Err(TemplateError::Invalid)),
            ("{{ env \"HOME\" }}", Err(TemplateError::Invalid)),
            ("{{ .user", Err(TemplateError::Invalid)),
            ("{{ range 100000000 }}{{ end }}", Err(TemplateError::Failed)),
        ] {
            assert_eq!(
                render(text, &data).as_deref().map(String::as_str).map_err(|e| *e),
                expected,
                "{text}"
            );
        }
    }

    #[test]
    fn keys_and_values_come_from_yaml() {
        let data = context(&values());
        let keys = render_keys("{{ .user }}_key: \"x\"\nb: z\n", &data).unwrap();
        let shown: Vec<_> = keys.iter().map(|(key, value)| format!("{key}={}", value.as_str())).collect();
        assert_eq!(shown, ["ada_key=x", "b=z"]);
        assert_eq!(render_keys("a: 1", &data), Err(TemplateError::NotYaml));
        assert_eq!(render_keys("{{ if false }}x{{ end }}", &data), Ok(Vec::new()));
    }
}
