//! Certificates that templates make.

use std::rc::Rc;

use jiff::{SignedDuration, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyPair, KeyUsagePurpose, SanType, SerialNumber,
};
use zeroize::Zeroizing;

use super::crypto::{self, keys};
use super::{Arguments, Entry, Param, of, pem};
use crate::template::run::Fail;
use crate::template::value::{Pair, Text, Value};

use Param::{Int, List, Pair as Cert, Text as Str};

type Made = Result<Value, Fail>;

/// Bits of the RSA keys of certificates.
const RSA_BITS: usize = 2048;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("buildCustomCert", of(&[Str, Str], build)),
    ("genCA", of(&[Str, Int], |a| authority(a, false))),
    ("genCAWithKey", of(&[Str, Int, Str], |a| authority(a, true))),
    ("genSelfSignedCert", of(&[Str, List, List, Int], |a| self_signed(a, false))),
    ("genSelfSignedCertWithKey", of(&[Str, List, List, Int, Str], |a| self_signed(a, true))),
    ("genSignedCert", of(&[Str, List, List, Int, Cert], |a| signed(a, false))),
    ("genSignedCertWithKey", of(&[Str, List, List, Int, Cert, Str], |a| signed(a, true))),
];

fn cannot() -> Fail {
    Fail::new("the certificate cannot be made")
}

fn pair(cert: Vec<u8>, key: Vec<u8>) -> Value {
    Value::Pair(Rc::new(Pair { cert: Text::new(cert), key: Text::new(key) }))
}

fn parameters(name: &Text, addresses: &Value, names: &Value, days: i64) -> Result<CertificateParams, Fail> {
    let mut parameters = CertificateParams::default();
    let mut subject = DistinguishedName::new();
    subject.push(DnType::CommonName, name.lossy().as_str());
    parameters.distinguished_name = subject;
    for address in texts(addresses)? {
        let address = address.text().and_then(|text| text.parse().ok());
        let address = address.ok_or_else(|| Fail::new("an address is no IP address"))?;
        parameters.subject_alt_names.push(SanType::IpAddress(address));
    }
    for name in texts(names)? {
        let name = name.lossy().as_str().try_into().map_err(|_| Fail::new("a name is no DNS name"))?;
        parameters.subject_alt_names.push(SanType::DnsName(name));
    }
    let mut serial = [0; 16];
    crypto::random(&mut serial)?;
    parameters.serial_number = Some(SerialNumber::from_slice(&serial));
    let now = Timestamp::now();
    let hours = days.checked_mul(24).ok_or_else(|| Fail::new("the number of days is too large"))?;
    let end = now
        .checked_add(SignedDuration::from_hours(hours))
        .map_err(|_| Fail::new("the date is out of range"))?;
    parameters.not_before = date(now)?;
    parameters.not_after = date(end)?;
    parameters.key_usages = vec![KeyUsagePurpose::KeyEncipherment, KeyUsagePurpose::DigitalSignature];
    parameters.extended_key_usages =
        vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
    parameters.is_ca = IsCa::ExplicitNoCa;
    Ok(parameters)
}

fn date(moment: Timestamp) -> Result<time::OffsetDateTime, Fail> {
    time::OffsetDateTime::from_unix_timestamp(moment.as_second())
        .map_err(|_| Fail::new("the date is out of range"))
}

fn texts(value: &Value) -> Result<Vec<Text>, Fail> {
    let Value::List(_, list) = value else { return Ok(Vec::new()) };
    list.0
        .iter()
        .map(|item| match item {
            Value::Text(text) => Ok(text.clone()),
            other => {
                Err(Fail::new(format!("a string is expected in a list, and {} is given", other.type_name())))
            }
        })
        .collect()
}

/// A key that is given, or a new one; as PKCS#8.
fn key(arguments: &mut Arguments<'_>, given: bool) -> Result<Zeroizing<Vec<u8>>, Fail> {
    if given { keys::from_pem(arguments.text().bytes()) } else { keys::new_rsa(RSA_BITS) }
}

fn signer(der: &[u8]) -> Result<KeyPair, Fail> {
    KeyPair::try_from(der).map_err(|_| Fail::new("this key cannot sign a certificate"))
}

fn authority(arguments: &mut Arguments<'_>, with_key: bool) -> Made {
    let (name, days) = (arguments.text(), arguments.int());
    let key = key(arguments, with_key)?;
    let mut parameters = parameters(&name, &Value::Nil, &Value::Nil, days)?;
    parameters.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    parameters.key_usages.push(KeyUsagePurpose::KeyCertSign);
    self_made(&parameters, &key)
}

fn self_made(parameters: &CertificateParams, key: &[u8]) -> Made {
    let certificate = parameters.self_signed(&signer(key)?).map_err(|_| cannot())?;
    Ok(pair(pem::encode("CERTIFICATE", certificate.der()), keys::block(key)?))
}

fn self_signed(arguments: &mut Arguments<'_>, with_key: bool) -> Made {
    let (name, addresses, names, days) =
        (arguments.text(), arguments.any(), arguments.any(), arguments.int());
    let key = key(arguments, with_key)?;
    self_made(&parameters(&name, &addresses, &names, days)?, &key)
}

fn signed(arguments: &mut Arguments<'_>, with_key: bool) -> Made {
    let (name, addresses, names, days) =
        (arguments.text(), arguments.any(), arguments.any(), arguments.int());
    let authority = arguments.pair();
    let key = key(arguments, with_key)?;
    let (block, _) =
        pem::decode(authority.cert.bytes()).ok_or_else(|| Fail::new("the authority is not PEM"))?;
    let authority_key = signer(&keys::from_pem(authority.key.bytes())?)?;
    let der = block.bytes.as_slice().into();
    let issuer =
        Issuer::from_ca_cert_der(&der, authority_key).map_err(|_| Fail::new("the authority is broken"))?;
    let mut parameters = parameters(&name, &addresses, &names, days)?;
    parameters.use_authority_key_identifier_extension = true;
    let certificate = parameters.signed_by(&signer(&key)?, &issuer).map_err(|_| cannot())?;
    Ok(pair(pem::encode("CERTIFICATE", certificate.der()), keys::block(&key)?))
}

fn build(arguments: &mut Arguments<'_>) -> Made {
    let (certificate, key) = (arguments.text(), arguments.text());
    let decoded = |text: &Text, what: &str| {
        super::encoding::decode64(text.bytes()).map_err(|_| Fail::new(format!("the {what} is not base64")))
    };
    let (certificate, key) = (decoded(&certificate, "certificate")?, decoded(&key, "key")?);
    let (block, _) = pem::decode(&certificate).ok_or_else(|| Fail::new("the certificate is not PEM"))?;
    pem::Certificate::parse(&block.bytes)?;
    keys::from_pem(&key)?;
    Ok(pair(certificate, key))
}
