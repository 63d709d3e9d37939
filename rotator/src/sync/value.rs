//! From documents to the values of a Secret: properties, whole secrets, decoding, keys.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use shared::secret::Secret;
use zeroize::Zeroizing;

use super::go_json::{Json, NotJson, Numbers, plain_float};
use super::json_path;
use crate::manifest::check::is_secret_key;
use crate::manifest::external_secret::{ConversionStrategy, DecodingStrategy, NullBytePolicy};

/// Values by key.
pub type Values = BTreeMap<String, Secret>;

/// Why a document does not give what was asked. Names keys and properties, never values.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// The property is not there.
    #[error("there is no property \"{property}\" in it; correct remoteRef.property, or add it to the store")]
    NoProperty {
        /// As the manifest says it.
        property: String,
    },
    /// The document is not JSON, or not an object where one is needed.
    #[error("{what} is not a JSON object; extract needs one")]
    NotAnObject {
        /// What was looked at.
        what: &'static str,
    },
    /// A value cannot be decoded.
    #[error("the value{of} is not {strategy}; correct decodingStrategy, or the value in the store")]
    NotDecodable {
        /// ` of "key"`, or nothing.
        of: String,
        /// The alphabet.
        strategy: &'static str,
    },
    /// Two keys become one.
    #[error("two keys become \"{key}\"; set conversionStrategy: Unicode, or rename one in the store")]
    Collision {
        /// The key.
        key: String,
    },
    /// A key that no Secret can have.
    #[error("the key \"{key}\" cannot be a key of a Secret (letters, digits, -, _ and .); rename it")]
    BadKey {
        /// The key.
        key: String,
    },
    /// A step of rewriting cannot be done.
    #[error(transparent)]
    Rewrite(#[from] super::rewrite::RewriteError),
    /// A zero byte where the policy forbids it.
    #[error("the value{of} holds a zero byte, and nullBytePolicy is Fail")]
    NullByte {
        /// ` of "key"`, or nothing.
        of: String,
    },
}

impl From<NotJson> for ValueError {
    fn from(_: NotJson) -> Self {
        Self::NotAnObject { what: "the secret" }
    }
}

/// One value of a document: the whole secret, a literal key, or else a JSON path.
///
/// # Errors
/// When the property is not there.
pub fn property(document: &[u8], property: Option<&str>) -> Result<Secret, ValueError> {
    let json = Json::parse(document)?;
    let Some(property) = property.filter(|property| !property.is_empty()) else {
        return Ok(secret(json.marshal(Numbers::Text)?));
    };
    if let Json::Map(entries) = &json
        && let Some(value) = entries.get(property)
    {
        return Ok(secret(bytes(&Json::open(value)?, Numbers::Text)?));
    }
    let text = json.marshal(Numbers::Text)?;
    by_path(&text, property)?.ok_or_else(|| ValueError::NoProperty { property: property.to_owned() })
}

/// Every key of an object, as `dataFrom.extract` gives it; with a property, of the object that lies there.
///
/// # Errors
/// When what lies there is no object.
pub fn extract(document: &[u8], at: Option<&str>) -> Result<Values, ValueError> {
    let object = property(document, at)?;
    object.expose(|text| {
        let Json::Map(entries) = Json::parse(text).map_err(|_| not_an_object(at))? else {
            return Err(not_an_object(at));
        };
        let value = |(key, raw): (String, &serde_json::value::RawValue)| {
            Ok((key, secret(bytes(&Json::open(raw)?, Numbers::Float)?)))
        };
        entries.into_iter().map(value).collect()
    })
}

fn not_an_object(property: Option<&str>) -> ValueError {
    ValueError::NotAnObject { what: if property.is_some() { "the property" } else { "the secret" } }
}

/// A value as bytes: text raw, `null` empty, everything else as Go writes it.
fn bytes(json: &Json<'_>, numbers: Numbers) -> Result<Zeroizing<Vec<u8>>, NotJson> {
    match json {
        Json::Null => Ok(Zeroizing::new(Vec::new())),
        Json::Text(text) => Ok(Zeroizing::new(text.as_bytes().to_vec())),
        Json::Number(text) if numbers == Numbers::Float => {
            Ok(Zeroizing::new(plain_float(text.parse().map_err(|_| NotJson)?).into_bytes()))
        }
        Json::Bool(_) | Json::Number(_) | Json::List(_) | Json::Map(_) => json.marshal(numbers),
    }
}

/// The same as a secret, for what was merged.
///
/// # Errors
/// When a string in it is no valid Unicode.
pub fn value_bytes(json: &Json<'_>, numbers: Numbers) -> Result<Secret, NotJson> {
    bytes(json, numbers).map(secret)
}

fn secret(mut bytes: Zeroizing<Vec<u8>>) -> Secret {
    Secret::new(std::mem::take(&mut *bytes))
}

/// A JSON path in the marshalled text.
fn by_path(text: &[u8], path: &str) -> Result<Option<Secret>, ValueError> {
    let text = std::str::from_utf8(text).map_err(|_| NotJson)?;
    let found = json_path::find(text, path)?;
    Ok(found.map(|found| Secret::copy_of(found.as_bytes())))
}

/// Decodes one value; `key` is for messages.
///
/// # Errors
/// When the text is not of the alphabet that the strategy names.
pub fn decode(strategy: DecodingStrategy, value: Secret, key: Option<&str>) -> Result<Secret, ValueError> {
    let fail = |strategy| ValueError::NotDecodable { of: of(key), strategy };
    match strategy {
        DecodingStrategy::None => Ok(value),
        DecodingStrategy::Base64 => {
            value.expose(|text| base64(text, &STANDARD)).ok_or_else(|| fail("base64"))
        }
        DecodingStrategy::Base64Url => {
            value.expose(|text| base64(text, &URL)).ok_or_else(|| fail("base64url"))
        }
        DecodingStrategy::Auto => {
            let decoded = value.expose(|text| base64(text, &STANDARD).or_else(|| base64(text, &URL)));
            Ok(decoded.unwrap_or(value))
        }
    }
}

fn of(key: Option<&str>) -> String {
    key.map_or_else(String::new, |key| format!(" of \"{key}\""))
}

/// Go's decoders want canonical padding and take any trailing bits.
const LIKE_GO: GeneralPurposeConfig = GeneralPurposeConfig::new()
    .with_decode_padding_mode(DecodePaddingMode::RequireCanonical)
    .with_decode_allow_trailing_bits(true);
const STANDARD: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::STANDARD, LIKE_GO);
const URL: GeneralPurpose = GeneralPurpose::new(&base64::alphabet::URL_SAFE, LIKE_GO);

/// Go's decoders pass over line ends wherever they stand.
fn base64(text: &[u8], engine: &GeneralPurpose) -> Option<Secret> {
    let joined: Zeroizing<Vec<u8>> =
        Zeroizing::new(text.iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect());
    engine.decode(&*joined).ok().map(Secret::new)
}

/// Decodes every value.
///
/// # Errors
/// At the first value that cannot be decoded.
pub fn decode_all(strategy: DecodingStrategy, values: Values) -> Result<Values, ValueError> {
    values
        .into_iter()
        .map(|(key, value)| {
            let value = decode(strategy, value, Some(&key))?;
            Ok((key, value))
        })
        .collect()
}

/// Refuses values with a zero byte where the policy says so.
///
/// # Errors
/// At the first such value.
pub fn check_null_bytes(policy: NullBytePolicy, value: &Secret, key: Option<&str>) -> Result<(), ValueError> {
    if policy == NullBytePolicy::Fail && value.expose(|bytes| bytes.contains(&0)) {
        return Err(ValueError::NullByte { of: of(key) });
    }
    Ok(())
}

/// Makes keys fit a Secret.
///
/// # Errors
/// When two keys become one.
pub fn convert_keys(strategy: ConversionStrategy, values: Values) -> Result<Values, ValueError> {
    let mut converted = Values::new();
    // A key without a name is dropped, as the operator does it.
    for (key, value) in values.into_iter().filter(|(key, _)| !key.is_empty()) {
        let key = convert_key(strategy, &key);
        if converted.insert(key.clone(), value).is_some() {
            return Err(ValueError::Collision { key });
        }
    }
    Ok(converted)
}

fn convert_key(strategy: ConversionStrategy, key: &str) -> String {
    let mut converted = String::with_capacity(key.len());
    for c in key.chars() {
        match strategy {
            _ if c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | '_') => converted.push(c),
            ConversionStrategy::Default => converted.push('_'),
            ConversionStrategy::Unicode => converted.push_str(&format!("_U{:04x}_", u32::from(c))),
        }
    }
    converted
}

/// Refuses keys that no Secret can have.
///
/// # Errors
/// At the first such key.
pub fn check_keys(values: &Values) -> Result<(), ValueError> {
    match values.keys().find(|key| !is_secret_key(key)) {
        Some(key) => {
            let key = key.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).take(80).collect();
            Err(ValueError::BadKey { key })
        }
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests;
