//! The operator's own template functions whose results another program must accept: OpenSSL reads what we make, and we
//! read what it makes. Keys and certificates are made here.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair, SanType};
use rotator::template::{Text, render};
use shared::require;
use shared::testkit::{Authority, Missing, find};

fn openssl() -> Result<PathBuf, Missing> {
    find("openssl", "Debian's openssl")
}

struct Desk {
    openssl: PathBuf,
    folder: tempfile::TempDir,
}

impl Desk {
    fn new(openssl: PathBuf) -> Self {
        Self { openssl, folder: tempfile::tempdir().expect("a folder") }
    }

    fn write(&self, name: &str, bytes: &[u8]) {
        std::fs::write(self.folder.path().join(name), bytes).expect("a file");
    }

    /// Runs OpenSSL, and gives what it said on both streams.
    #[track_caller]
    fn run(&self, words: &[&str]) -> (bool, Vec<u8>, String) {
        let ended = Command::new(&self.openssl).args(words).current_dir(self.folder.path()).output();
        let ended = ended.expect("openssl");
        (ended.status.success(), ended.stdout, String::from_utf8_lossy(&ended.stderr).into_owned())
    }

    #[track_caller]
    fn good(&self, words: &[&str]) -> Vec<u8> {
        let (good, out, said) = self.run(words);
        assert!(good, "{words:?}: {said}");
        out
    }
}

fn made(template: &str, values: &[(&str, &[u8])]) -> Result<Vec<u8>, String> {
    let values: BTreeMap<Text, Text> =
        values.iter().map(|(name, bytes)| (Text::from(*name), Text::new(bytes.to_vec()))).collect();
    render(template, values).map(|made| made.to_vec()).map_err(|error| error.to_string())
}

#[track_caller]
fn text(template: &str, values: &[(&str, &[u8])]) -> String {
    String::from_utf8(made(template, values).expect("a text")).expect("UTF-8")
}

#[test]
fn names_of_a_certificate_come_by_kind() {
    let mut params =
        CertificateParams::new(vec!["b.example".to_owned(), "*.a.example".to_owned()]).expect("names");
    params.subject_alt_names.push(SanType::URI("https://c.example/x".try_into().expect("a URI")));
    params.subject_alt_names.push(SanType::Rfc822Name("d@e.example".try_into().expect("a mail")));
    params.subject_alt_names.push(SanType::IpAddress("10.0.0.7".parse().expect("an address")));
    params.subject_alt_names.push(SanType::IpAddress("2001:db8::7".parse().expect("an address")));
    let key = KeyPair::generate().expect("a key");
    let certificate = params.self_signed(&key).expect("a certificate").pem();
    let names = text("{{ certSANs .c | join \"|\" }}", &[("c", certificate.as_bytes())]);
    assert_eq!(names, "b.example|*.a.example|10.0.0.7|2001:db8::7|d@e.example|https://c.example/x");
    let none = CertificateParams::default().self_signed(&key).expect("a certificate").pem();
    assert_eq!(text("{{ certSANs .c | len }}", &[("c", none.as_bytes())]), "0");
    assert!(made("{{ certSANs .c }}", &[("c", b"no certificate")]).is_err());
}

#[test]
fn what_openssl_encrypts_is_decrypted() {
    let desk = Desk::new(require!(openssl()));
    desk.write("plain", b"canary \xff\x00 bytes");
    desk.good(&["genpkey", "-algorithm", "RSA", "-pkeyopt", "rsa_keygen_bits:2048", "-out", "key.pem"]);
    desk.good(&["pkey", "-in", "key.pem", "-pubout", "-out", "public.pem"]);
    let key = desk.good(&["pkey", "-in", "key.pem"]);
    let old = desk.good(&["rsa", "-in", "key.pem", "-traditional"]);
    assert!(old.starts_with(b"-----BEGIN RSA"));
    for (digest, hash) in [("sha1", "SHA1"), ("sha256", "SHA256"), ("sha512", "SHA512"), ("sha256", "None")] {
        let md = format!("rsa_oaep_md:{digest}");
        let sealed = desk.good(&[
            "pkeyutl",
            "-encrypt",
            "-pubin",
            "-inkey",
            "public.pem",
            "-in",
            "plain",
            "-pkeyopt",
            "rsa_padding_mode:oaep",
            "-pkeyopt",
            &md,
        ]);
        let template = format!("{{{{ rsaDecrypt \"RSA-OAEP\" \"{hash}\" .sealed .key }}}}");
        for key in [&key, &old] {
            let opened = made(&template, &[("sealed", &sealed), ("key", key)]).expect("it is decrypted");
            assert_eq!(opened, b"canary \xff\x00 bytes", "{hash}");
        }
        let other = if hash == "SHA1" { "SHA512" } else { "SHA1" };
        let template = format!("{{{{ rsaDecrypt \"RSA-OAEP\" \"{other}\" .sealed .key }}}}");
        let error = made(&template, &[("sealed", &sealed), ("key", &key)]).expect_err("another hash");
        assert!(error.contains("cannot be decrypted"), "{error}");
    }
    assert_eq!(
        made("{{ rsaDecrypt \"None\" \"\" .sealed .key }}", &[("sealed", b"as is"), ("key", b"")]).unwrap(),
        b"as is"
    );
}

#[test]
fn openssl_opens_the_containers_that_are_made() {
    let desk = Desk::new(require!(openssl()));
    let authority = Authority::new("an authority");
    let issued = authority.server(&["www.example"]);
    let chain = issued.certificate.clone() + authority.pem();
    let values: [(&str, &[u8]); 2] = [("c", chain.as_bytes()), ("k", issued.key.as_bytes())];
    for (template, password, certificates, keys) in [
        ("{{ pemToPkcs12 .c .k }}", "", 1, 1),
        ("{{ pemToPkcs12Pass .c .k \"open sesame\" }}", "open sesame", 1, 1),
        ("{{ fullPemToPkcs12 .c .k }}", "", 2, 1),
        ("{{ fullPemToPkcs12Pass .c .k \"open sesame\" }}", "open sesame", 2, 1),
        ("{{ pemTruststoreToPKCS12 .c }}", "", 2, 0),
        ("{{ pemTruststoreToPKCS12Pass .c \"open sesame\" }}", "open sesame", 2, 0),
    ] {
        let file = BASE64_STANDARD.decode(text(template, &values)).expect("base64");
        desk.write("store.p12", &file);
        let pass = format!("pass:{password}");
        let words = ["pkcs12", "-in", "store.p12", "-passin", &pass, "-nodes", "-info"];
        let (good, opened, said) = desk.run(&words);
        assert!(good, "{template}: {said}");
        let opened = String::from_utf8(opened).expect("PEM");
        assert_eq!(opened.matches("BEGIN CERTIFICATE").count(), certificates, "{template}");
        assert_eq!(opened.matches("PRIVATE KEY-----\n").count() / 2, keys, "{template}");
        assert!(said.contains("AES-256-CBC") && said.to_lowercase().contains("sha256"), "{template}: {said}");
        // What is in it is what went in, byte for byte.
        let body = |pem: &str| pem.lines().filter(|line| !line.starts_with("-----")).collect::<String>();
        let flat: String = opened.lines().collect();
        assert!(flat.contains(&body(&issued.certificate)), "{template}");
        if keys > 0 {
            assert!(flat.contains(&body(&issued.key)), "{template}");
            let words = ["pkcs12", "-in", "store.p12", "-passin", "pass:wrong", "-nodes"];
            assert!(!desk.run(&words).0, "{template}: any password opens it");
        }
    }
}

#[test]
fn what_openssl_packs_is_unpacked() {
    let desk = Desk::new(require!(openssl()));
    // With the ids of their keys, by which a chain is put in order.
    let authority_key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.use_authority_key_identifier_extension = true;
    let authority = params.self_signed(&authority_key).expect("an authority").pem();
    let issuer = Issuer::new(params, authority_key);
    let key = KeyPair::generate().expect("a key");
    let mut params = CertificateParams::new(vec!["www.example".to_owned()]).expect("a name");
    params.is_ca = IsCa::ExplicitNoCa;
    params.use_authority_key_identifier_extension = true;
    let certificate = params.signed_by(&key, &issuer).expect("a certificate").pem();
    desk.write("key.pem", key.serialize_pem().as_bytes());
    desk.write("cert.pem", certificate.as_bytes());
    desk.write("ca.pem", authority.as_bytes());
    desk.good(&[
        "pkcs12",
        "-export",
        "-inkey",
        "key.pem",
        "-in",
        "cert.pem",
        "-certfile",
        "ca.pem",
        "-passout",
        "pass:x",
        "-out",
        "f",
    ]);
    let file = std::fs::read(desk.folder.path().join("f")).expect("a file");
    let values: [(&str, &[u8]); 1] = [("f", &file)];
    let plain = |text: &str| text.replace('\r', "");
    let certificates = text("{{ pkcs12certPass \"x\" .f }}", &values);
    assert_eq!(plain(&certificates), plain(&(certificate + &authority)), "the leaf first");
    assert_eq!(plain(&text("{{ pkcs12keyPass \"x\" .f }}", &values)), plain(&key.serialize_pem()));
    assert!(made("{{ pkcs12keyPass \"y\" .f }}", &values).is_err());
}

#[test]
fn small_ones() {
    assert_eq!(text("{{ hello }}", &[]), "Hello!");
    // Known from the documentation of Apache's htpasswd: SHA-1 of "password" in base64.
    let password = ["pass", "word"].concat();
    let line = text("{{ htpasswd \"ada\" .p \"sha\" }}", &[("p", password.as_bytes())]);
    assert_eq!(line, "ada:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=");
    assert!(
        text("{{ htpasswd \"ada\" .p \"bcrypt\" }}", &[("p", password.as_bytes())])
            .starts_with("ada:$2a$10$")
    );
}
