//! Each check on values that are made here, so that no secret stands in the source.

use crate::rules::example::{make, seeded};

use super::{CHECKS, Outcome, find, jwt};

fn made(template: &str, seed: u64) -> String {
    make(template, &mut seeded(seed)).unwrap()
}

/// Runs a check on a secret that is its whole match.
fn run(check: &str, secret: &str) -> Outcome {
    run_in(check, secret, secret)
}

fn run_in(check: &str, secret: &str, matched: &str) -> Outcome {
    find(check).unwrap().run(secret.as_bytes(), matched.as_bytes())
}

#[track_caller]
fn holds(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Holds(_)), "{outcome:?}");
}

#[track_caller]
fn fails(outcome: &Outcome) {
    assert!(matches!(outcome, Outcome::Fails(_)), "{outcome:?}");
}

/// Another last letter: what a typing error or a made-up token has.
fn altered(text: &str) -> String {
    let last = if text.ends_with('7') { "8" } else { "7" };
    format!("{}{last}", &text[..text.len() - 1])
}

#[test]
fn checks_are_found_by_name_and_listed_in_order() {
    assert!(CHECKS.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(CHECKS.iter().all(|check| find(check.name()).is_some()));
    assert!(find("no-such-check").is_none());
}

#[test]
fn no_bytes_make_a_check_panic() {
    let mut random = seeded(3);
    let mut texts: Vec<Vec<u8>> =
        (0..300).map(|length| (0..length).map(|_| (random() >> 17) as u8).collect()).collect();
    for start in [
        "ghp_",
        "npm_",
        "glpat-x.",
        "eyJ.",
        "-----BEGIN PRIVATE KEY-----",
        "AGE-SECRET-KEY-1",
        "sntrys_",
        "pk.",
        "glsa_",
        "sk-",
        "{{${%",
        "é\u{301}",
    ] {
        texts.push(start.as_bytes().to_vec());
        texts.push([start.as_bytes(), &[0xff; 40]].concat());
    }
    for check in CHECKS {
        for text in &texts {
            check.run(text, text);
            check.run(text, b"");
            check.run(b"", text);
        }
    }
}

#[test]
fn github_and_npm_tokens_end_in_their_checksum() {
    for (check, template) in
        [("github-crc32", "ghp_{base62:30}{crc32:6}"), ("npm-crc32", "npm_{base62:30}{crc32:6}")]
    {
        let token = made(template, 1);
        holds(&run(check, &token));
        fails(&run(check, &altered(&token)));
    }
    // Fine-grained tokens publish no checksum.
    assert_eq!(run("github-crc32", &made("github_pat_{base62:22}_{base62:59}", 1)), Outcome::Open);
}

#[test]
fn the_published_checksum_of_a_known_text_is_met() {
    // CRC-32 of "123456789" is cbf43926 (the check value of the algorithm's own tables).
    assert_eq!(
        super::alphabet::to_base(crc32fast::hash(b"123456789"), super::alphabet::BASE62, 6),
        b"3jZRME"
    );
}

#[test]
fn routable_gitlab_tokens_end_in_their_checksum() {
    let token = made("glpat-{base64url:27}.01.12{crc32:36}", 2);
    holds(&run("gitlab-routable", &token));
    fails(&run("gitlab-routable", &altered(&token)));
    assert_eq!(run("gitlab-routable", &made("glpat-{base62:20}", 2)), Outcome::Open);
}

#[test]
fn grafana_tokens_carry_a_checksum_or_their_organisation() {
    holds(&run("grafana", &made("glsa_{base62:32}_{crc32:hex}", 4)));
    assert_eq!(run("grafana", &made("glsa_{base62:32}_00000000", 4)), Outcome::Open);
    let cloud = made("glc_{b64:{{\"o\":\"1\",\"n\":\"{word}\",\"k\":\"{base62:24}\"}}}", 4);
    holds(&run("grafana", &cloud));
}

#[test]
fn an_access_key_id_names_its_account() {
    let Outcome::Holds(Some(note)) = run("aws-key-id", &made("{awskey:AKIA}", 5)) else {
        panic!("not proven")
    };
    let account = note.strip_prefix("AWS account ").unwrap();
    assert!(account.len() == 12 && account.bytes().all(|digit| digit.is_ascii_digit()));
    fails(&run("aws-key-id", &format!("AKIA{}", "X".repeat(16))));
    fails(&run("aws-key-id", &format!("AKIA{}EXAMPLE", "IOSFODNN7")));
}

#[test]
fn web_tokens_are_graded_by_their_time_and_their_key() {
    let now = jiff::Timestamp::from_second(1_800_000_000).unwrap();
    let judge = |template: &str| jwt::judge(made(template, 6).as_bytes(), now);
    holds(&judge("{jwt}"));
    holds(&judge("{jwt:1900000000}"));
    assert_eq!(judge("{jwt:1700000000}"), Outcome::Weak("expired"));
    fails(&judge("eyJ{base62:20}.eyJ{base62:20}.{base62:20}"));
    let unsigned = judge("{b64url:{{\"alg\":\"none\"}}}.{b64url:{{\"sub\":\"x\"}}}.");
    assert_eq!(unsigned, Outcome::Weak("an unsigned token"));
}

#[test]
fn private_keys_are_graded_by_what_they_hold() {
    let pem = |label: &str, body: &str| format!("-----BEGIN {label}-----\n{body}\n-----END {label}-----");
    let der = made("{der:300}", 7);
    holds(&run("pem", &pem("RSA PRIVATE KEY", &der)));
    // As a string in source code, with its line breaks written out and a quote at each line's end.
    holds(&run("pem", &pem("PRIVATE KEY", &der.replace('\n', "\\n\" +\n\""))));
    holds(&run("pem", &pem("OPENSSH PRIVATE KEY", &made("{openssh:200}", 7))));
    let encrypted = format!("Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00\n\n{der}");
    assert_eq!(run("pem", &pem("RSA PRIVATE KEY", &encrypted)), Outcome::Weak("encrypted with a passphrase"));
    let half = &der[..der.len() / 2];
    assert_eq!(run("pem", &pem("PRIVATE KEY", half)), Outcome::Weak("truncated"));
    fails(&run("pem", &pem("PRIVATE KEY", "***")));
    fails(&run("pem", &pem("PRIVATE KEY", &made("{base64:24}", 7))));
}

#[test]
fn passwords_in_addresses_are_told_from_references_and_stand_ins() {
    let url =
        |password: &str, host: &str| run_in("url", password, &format!("postgres://app:{password}@{host}/db"));
    let web =
        |password: &str, host: &str| run_in("url", password, &format!("https://app:{password}@{host}/db"));
    let password = made("{password:12}", 8);
    assert_eq!(url(&password, "db.internal"), Outcome::Open);
    assert!(matches!(url(&password, "localhost"), Outcome::Weak(_)));
    assert!(matches!(url("password", "db.internal"), Outcome::Weak(_)));
    for reference in ["${PASSWORD}", "$PASSWORD", "{{ password }}", "%(password)s", "****", "<password>"] {
        fails(&url(reference, "db.internal"));
    }
    fails(&web("password", "example.com"));
    fails(&web("1111", "host.internal"));
}

#[test]
fn basic_authentication_holds_a_user_and_a_password() {
    holds(&run("basic-auth", &made("{b64:{word}:{password:12}}", 9)));
    fails(&run("basic-auth", &made("{b64:no colon in {word}}", 9)));
    assert!(matches!(run("basic-auth", &made("{b64:user:password}", 9)), Outcome::Weak(_)));
}

#[test]
fn encodings_with_a_checksum_hold_or_fail() {
    for (check, template) in [("bech32", "{age}"), ("nkey", "{nkey}"), ("base58check", "{wif}")] {
        for seed in 0..20 {
            let key = made(template, seed);
            holds(&run(check, &key));
            let mut broken = key.into_bytes();
            let middle = broken.len() / 2;
            broken[middle] = if broken[middle] == b'Q' { b'P' } else { b'Q' };
            fails(&run(check, std::str::from_utf8(&broken).unwrap()));
        }
    }
}

#[test]
fn raw_keys_have_the_length_of_a_key() {
    for template in ["{hex:64}", "0x{hex:64}", "{base64:43}="] {
        assert_eq!(run("key-32", &made(template, 10)), Outcome::Open);
    }
    assert_eq!(run("key-64", &made("{base64:86}==", 10)), Outcome::Open);
    fails(&run("key-32", &made("{hex:62}", 10)));
    fails(&run("key-32", &"0".repeat(64)));
}

#[test]
fn azure_keys_are_proven_by_their_signature() {
    holds(&run("azure-cask", &made("{base62:52}JQQJ99{base62:26}", 11)));
    holds(&run("azure-cask", &made("{base64:76}+ASt{base64:6}==", 11)));
    assert_eq!(run("azure-cask", &made("{base64:86}==", 11)), Outcome::Open);
    fails(&run("azure-cask", &"A".repeat(84)));
}

#[test]
fn a_service_account_is_whole_or_open() {
    let key = format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----", made("{der:300}", 12));
    let file = format!("\"private_key\": \"{key}\", \"client_email\": \"a\", \"project_id\": \"b\"");
    holds(&run_in("google-service-account", &key, &file));
    assert_eq!(run("google-service-account", &key), Outcome::Open);
}

#[test]
fn tokens_are_proven_by_the_fields_inside() {
    for template in [
        "pypi-AgEIcHlwaS5vcmc{base64url:80}",
        "sntrys_{b64:{{\"iat\":1,\"org\":\"{word}\"}}}_{base62:43}",
        "ABSK{b64:BedrockAPIKey-x:{base64:60}}",
        "sk-{base62:20}T3BlbkFJ{base62:20}",
        "sk.{b64url:{{\"u\":\"{word}\",\"a\":\"{alnum:20}\"}}}.{base64url:22}",
        "{b64url:{[1-9]:1}{digits:17}}.{base64url:6}.{base64url:38}",
    ] {
        holds(&run("structure", &made(template, 13)));
    }
    let public = made("pk.{b64url:{{\"u\":\"{word}\",\"a\":\"{alnum:20}\"}}}.{base64url:22}", 13);
    assert_eq!(run("structure", &public), Outcome::Weak("a public token"));
    assert_eq!(run("structure", &made("pypi-{base62:80}", 13)), Outcome::Open);
}

#[test]
fn card_numbers_have_a_digit_sum() {
    let card = made("{luhn:16}", 14);
    holds(&run("luhn", &card));
    fails(&run("luhn", &altered(&card)));
    fails(&run("luhn", "4444444444444444"));
}

#[test]
fn random_values_are_told_from_words() {
    for template in ["{base62:24}", "{hex:32}", "{base64:40}", "{alnum:32}", "{uuid}", "{base64url:43}"] {
        for seed in 0..40 {
            let value = made(template, seed);
            assert_eq!(run("random", &value), Outcome::Open, "{template}");
        }
    }
    for words in [
        "some_function_name",
        "com.example.package.Class",
        "path/to/a/file2.txt",
        "getAuthenticationToken",
        "MAX_TOKEN_LENGTH_2",
        "aaaaaaaaaaaaaaaaaaaaaaaa",
        "your-api-key-goes-here",
        "xxxxxxxxxxxxxxxxxxxxxxxx",
        "${API_TOKEN}",
        "oauthlib.oauth2.rfc6749.errors",
    ] {
        fails(&run("random", words));
    }
}

#[test]
fn passwords_are_judged_by_name_operator_and_shape() {
    let strong = made("{password:12}", 15);
    for text in [
        "db_password = \"{}\"",
        "'password' => '{}'",
        "password: {}",
        "let pwd: String = \"{}\"",
        "if (\"{}\" == password)",
    ] {
        assert_eq!(run_in("password", &strong, &text.replace("{}", &strong)), Outcome::Open, "{text}");
    }
    for (value, text) in [
        ("Password", "password_label = \"Password\""),
        ("hunter22x", "password_hint = \"hunter22x\""),
        ("return", "\"pass\", \"return\""),
        ("typing.Optional[bytes]", "password: typing.Optional[bytes]"),
        ("get_password()", "password = get_password()"),
        ("Enter your password", "password = \"Enter your password\""),
        ("identifier", "token = \"identifier\""),
        ("${DB_PASSWORD}", "password = \"${DB_PASSWORD}\""),
        ("password", "password = \"password\""),
    ] {
        fails(&run_in("password", value, text));
    }
}

#[test]
fn values_in_unmistakable_places_are_taken_as_they_are() {
    for check in ["password-value", "password-strong"] {
        assert_eq!(run(check, &made("{password:10}", 16)), Outcome::Open);
        fails(&run(check, "${PASSWORD}"));
        fails(&run(check, "%s"));
    }
    assert_eq!(run("password-value", "centipede"), Outcome::Open);
    fails(&run("password-strong", "centipede"));
}

#[test]
fn words_before_a_value_announce_a_token() {
    let value = made("{alnum:32}", 17);
    assert_eq!(run_in("token", &value, &format!("acme SECRET {value}")), Outcome::Open);
    fails(&run_in("token", &value, &format!("acme public key {value}")));
}
