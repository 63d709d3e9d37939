//! PKCS#12 files in and out. What is written is encrypted with AES-256 and PBKDF2, as the operator's.

use p12_keystore::{
    Certificate as StoreCertificate, EncryptionAlgorithm, KeyStore, KeyStoreEntry, MacAlgorithm,
    Pkcs12Archive, PrivateKey as StoreKey, PrivateKeyChain,
};

use super::crypto::keys;
use super::pem::{self, Certificate};
use super::{Arguments, Entry, Param, of};
use crate::template::run::Fail;
use crate::template::value::{Text, Value};

use Param::Text as Str;

type Made = Result<Value, Fail>;

/// Rounds of PBKDF2, as go-pkcs12's modern encoder.
const ITERATIONS: u32 = 2048;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("fullPemToPkcs12", of(&[Str, Str], |a| from_pem(a, true, false))),
    ("fullPemToPkcs12Pass", of(&[Str, Str, Str], |a| from_pem(a, true, true))),
    ("pemToPkcs12", of(&[Str, Str], |a| from_pem(a, false, false))),
    ("pemToPkcs12Pass", of(&[Str, Str, Str], |a| from_pem(a, false, true))),
    ("pemTruststoreToPKCS12", of(&[Str], |a| truststore(&a.text(), &Text::default()))),
    ("pemTruststoreToPKCS12Pass", of(&[Str, Str], |a| truststore(&a.text(), &a.text()))),
    ("pkcs12cert", of(&[Str], |a| certificates(&Text::default(), &a.text()))),
    ("pkcs12certPass", of(&[Str, Str], |a| certificates(&a.text(), &a.text()))),
    ("pkcs12key", of(&[Str], |a| key(&Text::default(), &a.text()))),
    ("pkcs12keyPass", of(&[Str, Str], |a| key(&a.text(), &a.text()))),
];

fn opened(password: &Text, file: &Text) -> Result<Pkcs12Archive, Fail> {
    let broken = || Fail::new("this is not a PKCS#12 file, or it has another password");
    let password = password.text().ok_or_else(broken)?;
    let archive = Pkcs12Archive::from_pkcs12(file.bytes(), password).map_err(|_| broken())?;
    if archive.keys.len() != 1 || archive.certs.is_empty() {
        return Err(Fail::new("the PKCS#12 file does not hold one key and its certificate"));
    }
    Ok(archive)
}

fn key(password: &Text, file: &Text) -> Made {
    let archive = opened(password, file)?;
    let key = archive.keys.first().ok_or_else(|| Fail::new("the PKCS#12 file holds no key"))?;
    let der = keys::normal(key.key.as_der())?;
    Ok(Value::bytes(pem::encode("PRIVATE KEY", &der)))
}

/// In the order of the chain if they are one, else as they lie in the file.
fn certificates(password: &Text, file: &Text) -> Made {
    let archive = opened(password, file)?;
    let parsed: Result<Vec<Certificate>, Fail> =
        archive.certs.iter().map(|bag| Certificate::parse(bag.cert.as_der())).collect();
    let parsed = parsed?;
    let chain = pem::ordered(&parsed).unwrap_or(parsed);
    Ok(Value::bytes(chain.iter().flat_map(Certificate::pem).collect()))
}

fn written(store: &KeyStore, password: &Text) -> Made {
    use base64::Engine;
    let password = password.text().ok_or_else(|| Fail::new("the password is not text"))?;
    let writer = store
        .writer(password)
        .encryption_algorithm(EncryptionAlgorithm::PbeWithHmacSha256AndAes256)
        .encryption_iterations(ITERATIONS)
        .mac_algorithm(MacAlgorithm::HmacSha256)
        .mac_iterations(ITERATIONS);
    let file = writer.write().map_err(|_| Fail::new("the PKCS#12 file cannot be made"))?;
    Ok(Value::text(base64::prelude::BASE64_STANDARD.encode(file)))
}

fn store_certificate(certificate: &Certificate) -> Result<StoreCertificate, Fail> {
    StoreCertificate::from_der(&certificate.der).map_err(|_| Fail::new("this is not a certificate"))
}

fn from_pem(arguments: &mut Arguments<'_>, whole_chain: bool, with_password: bool) -> Made {
    let (certificates, key) = (arguments.text(), arguments.text());
    let password = if with_password { arguments.text() } else { Text::default() };
    let all = pem::certificates(certificates.bytes())?;
    let wanted = if whole_chain { all.len() } else { 1 };
    let chain: Result<Vec<StoreCertificate>, Fail> = all.iter().take(wanted).map(store_certificate).collect();
    let chain = chain?;
    if chain.is_empty() {
        return Err(Fail::new("the text holds no certificate"));
    }
    let key = StoreKey::from_der(&keys::from_pem(key.bytes())?)
        .map_err(|_| Fail::new("this is not a private key"))?;
    let mut store = KeyStore::new();
    store.add_entry("1", KeyStoreEntry::PrivateKeyChain(PrivateKeyChain::new(b"1".as_slice(), key, chain)));
    written(&store, &password)
}

fn truststore(certificates: &Text, password: &Text) -> Made {
    let mut store = KeyStore::new();
    for (index, certificate) in pem::certificates(certificates.bytes())?.iter().enumerate() {
        store.add_entry(&format!("{index}"), KeyStoreEntry::Certificate(store_certificate(certificate)?));
    }
    written(&store, password)
}
