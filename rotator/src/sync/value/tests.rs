//! Values as the operator gives them; the recorded cases hold many more.

use shared::secret::Secret;

use super::{ValueError, check_keys, convert_keys, decode, extract, property};
use crate::manifest::external_secret::{ConversionStrategy, DecodingStrategy};

const DOCUMENT: &[u8] =
    br#"{"user":"admin","a.b":"literal","a":{"b":"nested","c":{"d":1}},"list":[1,"two",{"n":"x"}],
    "num":1.50,"n":null,"t":true,"html":"<b>","o":{"z":"<&>","f":2.0},"empty":""}"#;

fn read(path: &str) -> Result<String, ValueError> {
    property(DOCUMENT, Some(path)).map(|secret| text(&secret))
}

fn text(secret: &Secret) -> String {
    secret.expose(|bytes| String::from_utf8(bytes.to_vec()).unwrap())
}

#[test]
fn a_literal_key_comes_before_a_path() {
    for (path, expected) in [
        ("user", "admin"),
        ("a.b", "literal"),
        ("a.c.d", "1"),
        ("list.1", "two"),
        ("list.#", "3"),
        ("num", "1.50"),
        ("n", ""),
        ("t", "true"),
        ("html", "<b>"),
        ("o", "{\"f\":2.0,\"z\":\"\\u003c\\u0026\\u003e\"}"),
        ("empty", ""),
        ("a.c", "{\"d\":1}"),
    ] {
        assert_eq!(read(path).unwrap(), expected, "{path}");
    }
    assert_eq!(read("nope"), Err(ValueError::NoProperty { property: "nope".into() }));
}

#[test]
fn a_whole_secret_is_gos_json() {
    let whole = text(&property(br#"{"b":1.50,"a":"<"}"#, None).unwrap());
    assert_eq!(whole, r#"{"a":"\u003c","b":1.50}"#);
}

#[test]
fn extract_gives_every_key() {
    let values = extract(DOCUMENT, None).unwrap();
    let shown: Vec<_> = values.into_iter().map(|(key, value)| format!("{key}={}", text(&value))).collect();
    assert_eq!(
        shown.join(" "),
        "a={\"b\":\"nested\",\"c\":{\"d\":1}} a.b=literal empty= html=<b> list=[1,\"two\",{\"n\":\"x\"}] n= num=1.5 \
         o={\"f\":2,\"z\":\"\\u003c\\u0026\\u003e\"} t=true user=admin"
    );
    assert!(matches!(extract(DOCUMENT, Some("list")), Err(ValueError::NotAnObject { .. })));
    assert!(matches!(extract(DOCUMENT, Some("user")), Err(ValueError::NotAnObject { .. })));
    assert_eq!(extract(DOCUMENT, Some("a.c")).unwrap().len(), 1);
}

#[test]
fn decoding_is_gos() {
    let decoded = |strategy, value: &str| {
        decode(strategy, Secret::copy_of(value.as_bytes()), None).map(|secret| text(&secret))
    };
    assert_eq!(decoded(DecodingStrategy::Base64, "aGVs\nbG8=").unwrap(), "hello");
    assert!(decoded(DecodingStrategy::Base64, "aGVsbG8").is_err());
    assert!(decoded(DecodingStrategy::Base64, "aGVsbG8_").is_err());
    assert_eq!(decoded(DecodingStrategy::Base64Url, "aGVsbG8_").unwrap(), "hello?");
    assert_eq!(decoded(DecodingStrategy::Auto, "not base64!").unwrap(), "not base64!");
    assert_eq!(decoded(DecodingStrategy::Auto, "aGVsbG8_").unwrap(), "hello?");
}

#[test]
fn keys_are_made_to_fit_or_refused() {
    let values =
        |keys: &[&str]| keys.iter().map(|key| ((*key).to_owned(), Secret::new(Vec::new()))).collect();
    let keys = |strategy, given: &[&str]| {
        convert_keys(strategy, values(given)).map(|values| values.into_keys().collect::<Vec<_>>())
    };
    assert_eq!(keys(ConversionStrategy::Default, &["a/b", "c"]).unwrap(), ["a_b", "c"]);
    assert_eq!(keys(ConversionStrategy::Unicode, &["a/b", "😀"]).unwrap(), ["_U1f600_", "a_U002f_b"]);
    assert!(matches!(keys(ConversionStrategy::Default, &["a/b", "a b"]), Err(ValueError::Collision { .. })));
    assert!(check_keys(&values(&["a/b"])).is_err());
}
