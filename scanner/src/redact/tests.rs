use shared::fingerprint::FingerprintKey;
use shared::secret::Redacted;

use super::{Found, MASK, Redactor};
use crate::matcher::Engine;
use crate::rules::RuleSet;

/// An engine with one rule for `TKN-` and twelve letters, and a redactor that knows one secret without shape.
fn with_redactor(check: impl FnOnce(&mut Redactor<'_>)) {
    let rules = "version = 1\n[[rule]]\nid = \"sample\"\ndescription = \"Sample\"\n\
                 regex = '''\\b(?P<secret>TKN-[a-z]{12})\\b'''\nsecret = \"secret\"\n";
    let rules = RuleSet::from_text("sample.toml", rules).unwrap();
    let key = FingerprintKey::from_bytes([3; 32]);
    let mut found = Found::default();
    found.insert(key.fingerprint(Redacted::new(b"plain-Value.7=x")), 15);
    let engine = Engine::new(rules, key).unwrap();
    check(&mut Redactor::new(&engine, found));
}

#[test]
fn what_a_rule_finds_is_masked() {
    with_redactor(|redactor| {
        let line = format!("RUN login --token {}{} # ü", "TKN-", "abcdefghijkl");
        assert_eq!(redactor.text(&line), "RUN login --token [redacted] # ü");
        assert_eq!(redactor.text("COPY . /app"), "COPY . /app");
    });
}

#[test]
fn a_secret_found_elsewhere_is_masked_in_any_form() {
    with_redactor(|redactor| {
        let secret = b"plain-Value.7=x";
        let utf16: Vec<u8> = secret.iter().flat_map(|byte| [*byte, 0]).collect();
        let forms = [
            String::from_utf8(secret.to_vec()).unwrap(),
            data_encoding::BASE64.encode(secret),
            data_encoding::BASE64URL_NOPAD.encode(secret),
            data_encoding::HEXLOWER.encode(secret),
            data_encoding::HEXUPPER.encode(secret),
            secret.iter().map(|byte| format!("%{byte:02X}")).collect(),
            data_encoding::BASE64.encode(&utf16),
        ];
        for form in forms {
            for text in [
                form.clone(),
                format!("../{form}.tar"),
                format!("backup/{form}/db.sql"),
                format!("PW={form} b"),
            ] {
                let masked = redactor.text(&text);
                assert!(masked.contains(MASK) && !masked.contains(&form), "{masked}");
            }
        }
        assert_eq!(redactor.text("oldplain-Value.7=xy"), "old[redacted]y");
        assert_eq!(redactor.text("plain-Value.8=x"), "plain-Value.8=x");
    });
}
