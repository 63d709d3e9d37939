use std::collections::{BTreeMap, BTreeSet};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use serde_json::Value as Json;

use super::functions;
use super::{Text, render};

const VECTORS: &str = include_str!("../../../testdata/templates/vectors.jsonl");
const VALUES: &str = include_str!("../../../testdata/templates/values.json");

/// Templates where we differ on purpose: how they begin, and why.
const DIFFERENT: &[(&str, &str)] = &[];

/// The operator's own functions, which the recorded cases and `tests/it/template_functions.rs` call.
const OF_THE_OPERATOR: &[&str] = &[
    "certSANs",
    "filterCertChain",
    "filterPEM",
    "fullPemToPkcs12",
    "fullPemToPkcs12Pass",
    "hello",
    "hexdec",
    "htpasswd",
    "jwkPrivateKeyPem",
    "jwkPublicKeyPem",
    "pemToPkcs12",
    "pemToPkcs12Pass",
    "pemTruststoreToPKCS12",
    "pemTruststoreToPKCS12Pass",
    "pkcs12cert",
    "pkcs12certPass",
    "pkcs12key",
    "pkcs12keyPass",
    "rsaDecrypt",
];

fn values() -> BTreeMap<Text, Text> {
    let values: BTreeMap<String, String> = serde_json::from_str(VALUES).unwrap();
    let bytes = |text: String| match text.strip_prefix("b64:") {
        Some(encoded) => BASE64_STANDARD.decode(encoded).unwrap(),
        None => text.into_bytes(),
    };
    values.into_iter().map(|(key, text)| (Text::from(key), Text::new(bytes(text)))).collect()
}

fn vectors() -> Vec<(String, Option<Vec<u8>>)> {
    let vector = |line: &str| {
        let vector: Json = serde_json::from_str(line).unwrap();
        let made = match (&vector["text"], &vector["base64"]) {
            (Json::String(text), _) => Some(text.clone().into_bytes()),
            (_, Json::String(encoded)) => Some(BASE64_STANDARD.decode(encoded).unwrap()),
            _ => None,
        };
        (vector["template"].as_str().unwrap().to_owned(), made)
    };
    VECTORS.lines().map(vector).collect()
}

#[test]
fn templates_give_what_go_gives() {
    let values = values();
    let mut wrong = Vec::new();
    for (template, expected) in vectors() {
        let made = render(&template, values.clone());
        let same = match (&made, &expected) {
            (Ok(made), Some(expected)) => **made == *expected,
            (Err(_), None) => true,
            _ => false,
        };
        let listed = DIFFERENT.iter().any(|(start, _)| template.starts_with(start));
        if same == listed {
            let shown = made.as_ref().map(|made| String::from_utf8_lossy(made).into_owned());
            let expected = expected.map(|expected| String::from_utf8_lossy(&expected).into_owned());
            wrong.push(format!("{template}\n   gives {shown:?}\n   not   {expected:?}"));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), vectors().len(), wrong.join("\n"));
}

#[test]
fn every_function_has_a_vector() {
    let all: String = vectors().into_iter().map(|(template, _)| template).collect::<Vec<_>>().join("\n");
    let words: BTreeSet<&str> = all.split(|c: char| !(c.is_alphanumeric() || c == '_')).collect();
    let missing: Vec<&str> = functions::names()
        .into_iter()
        .filter(|name| !words.contains(name) && !OF_THE_OPERATOR.contains(name))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
