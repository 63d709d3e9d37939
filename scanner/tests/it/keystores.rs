//! Keystores made by openssl and by Java's keytool, as people make them.

use std::path::Path;
use std::process::Command;

use shared::require;
use shared::testkit::find;

use crate::program::Bench;

/// Runs a tool in the bench's folder; it has to succeed.
fn run(bench: &Bench, program: &Path, arguments: &[&str]) {
    let output = Command::new(program).args(arguments).current_dir(bench.path("files")).output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// What a scan says of each file: its rule and its confidence.
fn graded(bench: &Bench) -> Vec<(String, String, String)> {
    let run = bench.run(&["scan", "files", "--format", "json"]);
    let report: serde_json::Value = serde_json::from_str(&run.stdout).unwrap();
    let mut graded = Vec::new();
    for finding in report["findings"].as_array().unwrap() {
        for place in finding["locations"].as_array().unwrap() {
            let word = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
            graded.push((word(&place["path"]), word(&finding["rule"]), word(&finding["confidence"])));
        }
    }
    graded.sort();
    graded
}

fn row(name: &str, rule: &str, confidence: &str) -> (String, String, String) {
    (name.to_owned(), rule.to_owned(), confidence.to_owned())
}

#[test]
fn a_pkcs12_file_is_graded_by_its_password() {
    let openssl = require!(find("openssl", "Debian's package openssl"));
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("files")).unwrap();
    let new =
        ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    let names = ["-subj", "/CN=x", "-keyout", "../key.pem", "-out", "../cert.pem"];
    run(&bench, &openssl, &[&new[..], &names[..]].concat());
    let export = |file: &str, password: &str, more: &[&str]| {
        let password = format!("pass:{password}");
        let pair = ["pkcs12", "-export", "-inkey", "../key.pem", "-in", "../cert.pem", "-out", file];
        run(&bench, &openssl, &[&pair[..], &["-passout", &password], more].concat());
    };
    export("easy.p12", "changeit", &[]);
    export("empty.p12", "", &[]);
    export(
        "old.pfx",
        "password",
        &["-macalg", "sha1", "-keypbe", "PBE-SHA1-3DES", "-certpbe", "PBE-SHA1-3DES"],
    );
    export("strong.p12", &format!("Zq{}!x{}", std::process::id(), 77_123), &[]);
    let certificates =
        ["pkcs12", "-export", "-nokeys", "-in", "../cert.pem", "-out", "certs.p12", "-passout"];
    run(&bench, &openssl, &[&certificates[..], &["pass:changeit"]].concat());
    assert_eq!(
        graded(&bench),
        [
            row("easy.p12", "pkcs12-keystore", "checked"),
            row("empty.p12", "pkcs12-keystore", "checked"),
            row("old.pfx", "pkcs12-keystore", "checked"),
            row("strong.p12", "pkcs12-keystore", "guessed"),
        ]
    );
}

#[test]
fn a_keystore_of_java_is_graded_by_its_password() {
    let keytool = require!(find("keytool", "a JDK or JRE, as Debian's default-jre-headless"));
    let bench = Bench::new();
    std::fs::create_dir_all(bench.path("files")).unwrap();
    let strong = format!("Zq{}!x{}", std::process::id(), 77_123);
    for (file, kind, password) in [
        ("easy.jks", "JKS", "changeit"),
        ("easy.jceks", "JCEKS", "changeit"),
        ("easy.p12", "PKCS12", "changeit"),
        ("strong.jks", "JKS", strong.as_str()),
    ] {
        let pair =
            ["-genkeypair", "-alias", "k", "-keyalg", "EC", "-groupname", "secp256r1", "-dname", "CN=x"];
        let store = ["-storetype", kind, "-keystore", file, "-storepass", password, "-keypass", password];
        run(&bench, &keytool, &[&pair[..], &store[..]].concat());
    }
    let secret = ["-genseckey", "-alias", "s", "-keyalg", "AES", "-keysize", "128", "-storetype", "JCEKS"];
    let store = ["-keystore", "secret.jceks", "-storepass", "changeit", "-keypass", "changeit"];
    run(&bench, &keytool, &[&secret[..], &store[..]].concat());
    let export =
        ["-exportcert", "-alias", "k", "-keystore", "easy.jks", "-storepass", "changeit", "-file", "../c"];
    run(&bench, &keytool, &export);
    let import = ["-importcert", "-noprompt", "-alias", "c", "-file", "../c", "-storetype", "JKS"];
    run(&bench, &keytool, &[&import[..], &["-keystore", "trust.jks", "-storepass", "changeit"]].concat());
    assert_eq!(
        graded(&bench),
        [
            row("easy.jceks", "java-keystore", "checked"),
            row("easy.jks", "java-keystore", "checked"),
            row("easy.p12", "pkcs12-keystore", "checked"),
            row("secret.jceks", "java-keystore", "checked"),
            row("strong.jks", "java-keystore", "guessed"),
        ]
    );
}
