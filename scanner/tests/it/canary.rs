//! The canary: a known value is planted wherever a target can hold one, and everything that the program writes is
//! searched for it, in every encoding.

use std::path::Path;

use scanner::rules::example;

use crate::program::{Bench, image_archive, tar_of, token};

const FORMATS: [&str; 8] = ["text", "json", "jsonl", "sarif", "junit", "gitlab", "github", "html"];

/// The forms in which a value could leave.
pub fn forms(value: &str) -> Vec<String> {
    let bytes = value.as_bytes();
    let utf16: Vec<u8> = bytes.iter().flat_map(|byte| [*byte, 0]).collect();
    let mut forms = vec![
        value.to_owned(),
        data_encoding::HEXLOWER.encode(bytes),
        data_encoding::HEXUPPER.encode(bytes),
        data_encoding::HEXLOWER.encode(&utf16),
        bytes.iter().map(|byte| format!("%{byte:02X}")).collect(),
        bytes.iter().map(|byte| format!("%{byte:02x}")).collect(),
        value.chars().rev().collect(),
        String::from_utf8(utf16.clone()).unwrap(),
    ];
    // Base64 of the value at each of the three offsets in which it may stand in a longer text, without the
    // characters that its neighbours share.
    for encoded in [bytes, &utf16] {
        for offset in 0..3 {
            let mut padded = vec![0; offset];
            padded.extend_from_slice(encoded);
            let text = data_encoding::BASE64.encode(&padded);
            forms.push(text[4..text.len() - 4].to_owned());
            forms.push(data_encoding::BASE64URL_NOPAD.encode(&padded)[4..text.len() - 5].to_owned());
        }
    }
    forms
}

/// Searches a text for a value in each form.
#[track_caller]
pub fn clean(what: &str, text: &str, values: &[String]) {
    for value in values {
        for form in forms(value) {
            assert!(!text.contains(&form), "{what} holds a planted value");
        }
        // A JSON report could hold it in pieces: the longest part that no public prefix explains.
        let tail = &value[value.len() / 2..];
        assert!(!text.contains(tail), "{what} holds half of a planted value");
    }
}

/// Scans a target with every format and all logs, and searches everything that was written.
#[track_caller]
pub fn scan_is_clean(bench: &Bench, target: &str, values: &[String]) {
    let arguments: Vec<String> =
        FORMATS.iter().map(|format| format!("--format={format}=out.{format}")).collect();
    let mut all = vec!["scan", target, "-vvv", "--write-baseline", "baseline.toml"];
    all.extend(arguments.iter().map(String::as_str));
    let run = bench.run(&all);
    assert_eq!(run.code, 1, "{}{}", run.stdout, run.stderr);
    clean("standard output", &run.stdout, values);
    clean("standard error", &run.stderr, values);
    for name in FORMATS.iter().map(|format| format!("out.{format}")).chain(["baseline.toml".to_owned()]) {
        let text = read(&bench.path(&name));
        assert!(text.len() > 50, "{name} is empty");
        clean(&name, &text, values);
    }
    assert!(read(&bench.path("out.json")).contains("[redacted]"), "names are masked, not left out");
}

fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap()
}

/// A password without shape: only its assignment says what it is.
fn password() -> String {
    example::make("{alnum:28}", &mut example::seeded(77)).unwrap()
}

#[test]
fn the_search_for_the_canary_sees_it() {
    let value = token(5);
    for form in forms(&value) {
        let caught =
            std::panic::catch_unwind(|| clean("a text", &format!("x{form}y"), std::slice::from_ref(&value)));
        assert!(caught.is_err());
    }
}

#[test]
fn a_tree_with_secrets_in_content_and_names() {
    let bench = Bench::new();
    bench.keep_key();
    let (token, password) = (token(5), password());
    let encoded = data_encoding::BASE64URL_NOPAD.encode(token.as_bytes());
    let hex = data_encoding::HEXLOWER.encode(password.as_bytes());
    bench.write("t/app/.env", format!("GITHUB_TOKEN={token}\nDB_PASSWORD={password}\n"));
    bench.write(&format!("t/{token}/a.txt"), format!("token = {token}\n"));
    bench.write(&format!("t/backup-{password}.sql"), format!("db_password = \"{password}\"\n"));
    bench.write(&format!("t/{encoded}.json"), format!("{{\"token\": \"{token}\"}}"));
    bench.write(&format!("t/{hex}.yml"), format!("password: {password}\n"));
    std::os::unix::fs::symlink("nowhere", bench.path(&format!("t/link-{token}"))).unwrap();
    scan_is_clean(&bench, "t", &[token, password]);
}

#[test]
fn a_target_that_is_named_like_a_secret() {
    let bench = Bench::new();
    let token = token(6);
    let run = bench.run(&["scan", &format!("{token}/nosuch")]);
    assert_eq!(run.code, 2);
    assert!(run.stderr.contains("[redacted]/nosuch"), "the error names what it can");
    clean("the error", &run.stderr, std::slice::from_ref(&token));
    bench.write(&format!("{token}/a"), format!("token = {token}\n"));
    bench.keep_key();
    scan_is_clean(&bench, &token, std::slice::from_ref(&token));
}

#[test]
fn an_image_with_secrets_in_every_part() {
    let bench = Bench::new();
    bench.keep_key();
    let (token, label, argument, password) = (token(7), token(8), token(9), password());
    let layers = [
        tar_of(&[
            ("app/.env", format!("GITHUB_TOKEN={token}\nDB_PASSWORD={password}\n").as_bytes()),
            (&format!("app/{token}/{password}.txt"), format!("token {token}").as_bytes()),
        ]),
        tar_of(&[("app/.wh..env", b""), (&format!("srv/{label}"), format!("token {label}").as_bytes())]),
    ];
    let config = serde_json::json!({
        "config": {
            "Env": ["PATH=/bin", format!("GITHUB_TOKEN={token}")],
            "Labels": { "vcs-token": label, label.clone(): "x" },
            "Cmd": ["run", "--password", password],
        },
        "history": [
            { "created_by": format!("|1 GITHUB_TOKEN={argument} /bin/sh -c git clone https://x:{argument}@github.com/a/b") },
            { "created_by": format!("/bin/sh -c mysql -p{password} # {}", data_encoding::BASE64.encode(token.as_bytes())) },
        ],
    });
    let archive = image_archive(&layers, config, &format!("shop/api:{token}"));
    bench.write("image.tar", &archive);
    let values = [token, label, argument, password];
    scan_is_clean(&bench, "image.tar", &values);
    // A truncated archive has no manifest: everything is a plain file then.
    bench.write("cut.tar", &archive[..archive.len() - 3000]);
    scan_is_clean(&bench, "cut.tar", &values);
}
