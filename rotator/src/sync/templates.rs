//! The templates of an ExternalSecret, fetched, and what they make.

use std::collections::BTreeMap;

use shared::secret::Secret;
use zeroize::Zeroizing;

use super::objects::ObjectError;
use super::stores::Stores;
use super::template::{self, TemplateError};
use super::value::{Values, decode};
use crate::manifest::external_secret::{
    DecodingStrategy, ExternalSecretSpec, Template, TemplateFrom, TemplateRef, TemplateScope,
};
use crate::manifest::object::Object;

/// What templates made: parts of the Secret.
#[derive(Debug, Default)]
pub struct Rendered {
    /// Keys and values.
    pub data: Values,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
}

/// Why the templates gave nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum TemplatesError {
    /// A template fails.
    #[error("{path}: the template fails: {error}")]
    Template {
        /// The field.
        path: String,
        /// Why.
        error: TemplateError,
    },
    /// An object with templates is not there.
    #[error("{path}: {error}")]
    Object {
        /// The field.
        path: String,
        /// Why.
        error: ObjectError,
    },
    /// A part of the Secret that no template can make.
    #[error("{path}: templates make Data, Labels or Annotations, nothing else")]
    Target {
        /// The field.
        path: String,
    },
    /// A value that was to be decoded is not of that alphabet.
    #[error("{path}: a value cannot be decoded; correct valuesDecodingStrategy")]
    Decoding {
        /// The field.
        path: String,
    },
}

enum Part {
    Data,
    Labels,
    Annotations,
}

impl Part {
    fn parse(name: Option<&str>, path: &str) -> Result<Self, TemplatesError> {
        match name.unwrap_or("data").to_ascii_lowercase().as_str() {
            "data" | "" => Ok(Self::Data),
            "labels" => Ok(Self::Labels),
            "annotations" => Ok(Self::Annotations),
            _ => Err(TemplatesError::Target { path: format!("{path}.target") }),
        }
    }
}

/// Renders everything: `templateFrom` in its order, then `data`, then metadata; later ones win.
///
/// # Errors
/// At the first template that fails.
pub async fn render(
    object: &Object<ExternalSecretSpec>,
    values: &Values,
    stores: &Stores<'_>,
) -> Result<Rendered, TemplatesError> {
    let mut rendered = Rendered::default();
    let Some(spec) = &object.spec.target.template else { return Ok(rendered) };
    let context = template::context(values);
    for (index, from) in spec.template_from.iter().enumerate() {
        let path = format!("spec.target.template.templateFrom[{index}]");
        let part = Part::parse(from.target.as_deref(), &path)?;
        for (key, text, scope) in texts(object.namespace(), from, &path, stores).await? {
            let fail = |error| TemplatesError::Template { path: path.clone(), error };
            let made = match scope {
                TemplateScope::Values => vec![(key, template::render(&text, &context).map_err(fail)?)],
                TemplateScope::KeysAndValues => template::render_keys(&text, &context).map_err(fail)?,
            };
            let strategy = from.values_decoding_strategy.unwrap_or_default();
            put(&mut rendered, &part, made, strategy, &path)?;
        }
    }
    render_own(spec, &context, &mut rendered)?;
    Ok(rendered)
}

/// The templates that stand in the manifest itself.
fn render_own(
    spec: &Template,
    context: &template::Context,
    rendered: &mut Rendered,
) -> Result<(), TemplatesError> {
    let parts = [
        (Part::Data, "data", &spec.data),
        (Part::Labels, "metadata.labels", &spec.metadata.labels),
        (Part::Annotations, "metadata.annotations", &spec.metadata.annotations),
    ];
    for (part, field, templates) in parts {
        for (key, text) in templates {
            let path = crate::manifest::decode::join(&format!("spec.target.template.{field}"), key);
            let made = template::render(text, context)
                .map_err(|error| TemplatesError::Template { path: path.clone(), error })?;
            put(rendered, &part, vec![(key.clone(), made)], DecodingStrategy::None, &path)?;
        }
    }
    Ok(())
}

fn put(
    rendered: &mut Rendered,
    part: &Part,
    made: Vec<(String, Zeroizing<Vec<u8>>)>,
    strategy: DecodingStrategy,
    path: &str,
) -> Result<(), TemplatesError> {
    for (key, text) in made {
        match part {
            Part::Data => {
                let value = decode(strategy, Secret::copy_of(&text), None)
                    .map_err(|_| TemplatesError::Decoding { path: path.to_owned() })?;
                rendered.data.insert(key, value);
            }
            // Labels and annotations are not secret: whoever writes such a template publishes what it prints.
            Part::Labels => {
                rendered.labels.insert(key, String::from_utf8_lossy(&text).into_owned());
            }
            Part::Annotations => {
                rendered.annotations.insert(key, String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
    Ok(())
}

type Text = (String, Zeroizing<String>, TemplateScope);

/// The texts of one `templateFrom`.
async fn texts(
    namespace: &str,
    from: &TemplateFrom,
    path: &str,
    stores: &Stores<'_>,
) -> Result<Vec<Text>, TemplatesError> {
    let mut texts = Vec::new();
    let fail = |error| TemplatesError::Object { path: path.to_owned(), error };
    if let Some(reference) = &from.config_map {
        for item in &reference.items {
            let text = stores.objects().config(namespace, &reference.name, &item.key).await.map_err(fail)?;
            texts.push((item.key.clone(), Zeroizing::new(text), item.template_as));
        }
    }
    if let Some(reference) = &from.secret {
        texts.extend(secret_texts(namespace, reference, path, stores).await?);
    }
    if let Some(literal) = &from.literal {
        texts.push((String::new(), Zeroizing::new(literal.clone()), TemplateScope::KeysAndValues));
    }
    Ok(texts)
}

async fn secret_texts(
    namespace: &str,
    reference: &TemplateRef,
    path: &str,
    stores: &Stores<'_>,
) -> Result<Vec<Text>, TemplatesError> {
    let mut texts = Vec::new();
    for item in &reference.items {
        let found = stores.objects().secret(namespace, &reference.name, &item.key).await;
        let found = found.map_err(|error| TemplatesError::Object { path: path.to_owned(), error })?;
        let text = found.expose(|bytes| String::from_utf8(bytes.to_vec())).map_err(|_| {
            TemplatesError::Template { path: path.to_owned(), error: TemplateError::new(0, "is not text") }
        })?;
        texts.push((item.key.clone(), Zeroizing::new(text), item.template_as));
    }
    Ok(texts)
}
