//! A secret inside the journal.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::secret::Secret;

/// A secret inside the journal. This is the one place where a [`Secret`] is serialised: as base64, into the
/// store that keeps journals, and nowhere else.
#[derive(Debug)]
pub struct Plaintext(pub Secret);

impl Serialize for Plaintext {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let text = Zeroizing::new(self.0.expose(|bytes| data_encoding::BASE64.encode(bytes)));
        serializer.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Plaintext {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Zeroizing::new(String::deserialize(deserializer)?);
        // The text of the decoding error names a position and a symbol; the symbol is part of a secret.
        let bytes = data_encoding::BASE64
            .decode(text.as_bytes())
            .map_err(|_| serde::de::Error::custom("a journalled value is not base64"))?;
        Ok(Self(Secret::new(bytes)))
    }
}

impl JsonSchema for Plaintext {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Plaintext".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "contentEncoding": "base64",
            "description": "A secret, in the journal alone; finished records have none.",
        })
    }
}
