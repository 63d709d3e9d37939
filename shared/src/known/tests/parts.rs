//! Parts of secrets that leak alone.

use super::super::parts::{Kind, of};
use super::super::{KnownFileBuilder, KnownIndex, ValueState};
use super::{STRONG, alphanumeric, fresh, id_key, issue, key, scan, signer, trusted};
use crate::secret::Secret;

fn parts(value: &str) -> Vec<(Kind, String)> {
    let parts = of(&Secret::from_string(value.into()));
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    parts.iter().map(|part| (part.kind(), part.value().expose(text))).collect()
}

#[test]
fn the_password_inside_a_url() {
    let found = parts("postgres://app:aaaabbbbccccdddd%2Feeee@db:5432/x");
    assert_eq!(found[1], (Kind::UrlPassword, "aaaabbbbccccdddd%2Feeee".into()));
    assert_eq!(found[2], (Kind::UrlPasswordDecoded, "aaaabbbbccccdddd/eeee".into()));
    assert_eq!(parts("redis://:aaaa@bbbb:cccc@dddd@h/0")[1].1, "aaaa@bbbb:cccc@dddd");
    for plain in
        ["https://example.com/a:b@c", "no url: x://", "https://user@example.com/aaaaaaaaaaaaaaaa", "://a:b@c"]
    {
        assert_eq!(parts(plain).len(), 1, "{plain}");
    }
}

#[test]
fn each_string_of_a_json_secret_and_what_is_inside_it() {
    let found = parts(
        r#"{"url": "amqp://u:qqqqwwwweeeerrrr@h", "list": ["short", "zzzzxxxxccccvvvv\n", 5, null, true, 1.5]}"#,
    );
    let kinds: Vec<_> = found.iter().skip(1).map(|(kind, text)| (*kind, text.as_str())).collect();
    assert_eq!(
        kinds,
        [
            (Kind::JsonValue, "amqp://u:qqqqwwwweeeerrrr@h"),
            (Kind::UrlPassword, "qqqqwwwweeeerrrr"),
            (Kind::JsonValue, "zzzzxxxxccccvvvv\n"),
            (Kind::Trimmed, "zzzzxxxxccccvvvv"),
        ]
    );
    assert_eq!(parts("{not json at all, but long enough").len(), 1);
}

#[test]
fn each_line_of_a_private_key_and_none_of_a_certificate() {
    let (one, two) = (String::from_utf8(alphanumeric(1, 64)), String::from_utf8(alphanumeric(2, 40)));
    let (one, two) = (one.unwrap(), two.unwrap());
    let pem = |name: &str| format!("-----BEGIN {name}-----\n{one}\r\n  {two}\nshort\n-----END {name}-----");
    let lines: Vec<_> =
        parts(&pem("RSA PRIVATE KEY")).into_iter().filter(|(kind, _)| *kind == Kind::KeyLine).collect();
    assert_eq!(lines, [(Kind::KeyLine, one.clone()), (Kind::KeyLine, two.clone())]);
    assert_eq!(parts(&pem("CERTIFICATE")).len(), 1);
}

#[test]
fn of_a_long_value_the_beginning_is_known() {
    let long = String::from_utf8(alphanumeric(1, 10_000)).unwrap();
    assert_eq!(parts(&long), [(Kind::Beginning, long[..4_096].to_owned())]);
}

#[test]
fn deep_and_wide_documents_end() {
    let deep = "[".repeat(100_000);
    assert_eq!(parts(&deep).len(), 1);
    let wide = format!("[{}\"x\"]", "\"aaaabbbbccccdddd\",".repeat(100_000));
    assert!(parts(&wide).len() <= 4_096);
    let mut nested = String::from("aaaabbbbccccdddd");
    for _ in 0..12 {
        nested = serde_json::to_string(&[nested]).unwrap();
    }
    assert!(parts(&nested).len() <= 10);
}

#[test]
fn a_leaked_part_is_found_by_itself() {
    let password = String::from_utf8(alphanumeric(3, 32)).unwrap();
    let secret = Secret::from_string(format!("{{\"dsn\": \"mysql://app:{password}@db/x\"}}"));
    let (key, id_key) = (key(), id_key());
    let mut builder = KnownFileBuilder::new(&key, &id_key);
    builder.add_with_parts(&secret, ValueState::Current, STRONG);
    let built = builder.build(issue(), &signer()).unwrap();
    let index = KnownIndex::open(&built.file, &key, &trusted(), fresh()).unwrap();
    let hits = scan(&index, format!("ENV DB_PASSWORD={password}\n").as_bytes());
    assert!(matches!(hits.as_slice(), [hit] if hit.start == 16 && hit.id == id_key.id(password.as_bytes())));
}
