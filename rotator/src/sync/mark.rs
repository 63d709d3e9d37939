//! The marks by which External Secrets Operator knows its Secrets. With them reproduced a migration, in either
//! direction, rewrites nothing.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use data_encoding::HEXLOWER;
use sha3::{Digest, Sha3_224};

/// The label of every Secret that is managed: `"true"`.
pub const MANAGED: &str = "reconcile.external-secrets.io/managed";
/// The label that names the owning ExternalSecret by [`owner_hash`]; with creation policy Owner only.
pub const CREATED_BY: &str = "reconcile.external-secrets.io/created-by";
/// The annotation with [`data_hash`].
pub const DATA_HASH: &str = "reconcile.external-secrets.io/data-hash";
/// The API version and kind of owner references.
pub const OWNER_API_VERSION: &str = "external-secrets.io/v1";
/// The kind of owner references.
pub const OWNER_KIND: &str = "ExternalSecret";

/// Who wrote which field, in a Secret's `managedFields`: one manager for each ExternalSecret, the operator's own
/// name, so that keys that either of us wrote are known to both.
pub fn field_manager(external_secret: &str) -> String {
    format!("externalsecrets.external-secrets.io/{external_secret}")
}

/// Hex SHA3-224 of the data as Go's `%+v` prints a `map[string][]byte`: `map[key:[1 2 3] …]`, keys sorted.
pub fn data_hash<'a>(data: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> String {
    let sorted: BTreeMap<&str, &[u8]> = data.into_iter().collect();
    let mut hasher = Sha3_224::new();
    hasher.update(b"map[");
    for (index, (key, value)) in sorted.into_iter().enumerate() {
        if index > 0 {
            hasher.update(b" ");
        }
        hasher.update(key.as_bytes());
        hasher.update(b":[");
        for (at, byte) in value.iter().enumerate() {
            if at > 0 {
                hasher.update(b" ");
            }
            // One number at a time, on the stack: the decimal text of a secret is the secret.
            let digits = [b'0' + byte / 100, b'0' + byte / 10 % 10, b'0' + byte % 10];
            let start = usize::from(*byte < 100) + usize::from(*byte < 10);
            hasher.update(&digits[start..]);
        }
        hasher.update(b"]");
    }
    hasher.update(b"]");
    HEXLOWER.encode(&hasher.finalize())
}

/// The label that names an owner: hex SHA3-224 of `namespace/name`.
pub fn owner_hash(namespace: &str, name: &str) -> String {
    HEXLOWER.encode(&Sha3_224::digest(format!("{namespace}/{name}")))
}

/// What `status.syncedResourceVersion` says: the generation, and a hash of the annotations and labels as Go prints
/// them.
pub fn resource_version(
    generation: i64,
    labels: &BTreeMap<String, String>,
    annotations: &BTreeMap<String, String>,
) -> String {
    let mut text = String::from("{annotations:");
    go_map(&mut text, annotations);
    text.push_str(" labels:");
    go_map(&mut text, labels);
    text.push('}');
    format!("{generation}-{}", HEXLOWER.encode(&Sha3_224::digest(text)))
}

fn go_map(text: &mut String, map: &BTreeMap<String, String>) {
    text.push_str("map[");
    for (index, (key, value)) in map.iter().enumerate() {
        let separator = if index > 0 { " " } else { "" };
        // Writing to a String cannot fail.
        let _ = write!(text, "{separator}{key}:{value}");
    }
    text.push(']');
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::{data_hash, owner_hash, resource_version};

    // Recorded from the operator.
    #[test]
    fn marks_equal_the_operators() {
        assert_eq!(
            data_hash([("k", b"v1".as_slice())]),
            "a196772fd1769e42e0abe6c50f86a622d07a926297d5b9eadd59785c"
        );
        assert_eq!(owner_hash("bench", "es"), "2e754ff052ff79ac29cf157132fa53eef98224ebc9dd321d53e5b0e9");
        assert_eq!(
            resource_version(1, &BTreeMap::new(), &BTreeMap::new()),
            "1-f47fe3c0b255b6dd8047cdffa772587bb829efe7a1cb70febeda2eb2"
        );
    }
}
