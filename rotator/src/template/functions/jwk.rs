//! JSON Web Keys to PEM: RSA, EC (P-256, P-384, P-521) and Ed25519. RFC 7517, 7518, 8037.

use data_encoding::BASE64URL_NOPAD;
use pkcs8::ObjectIdentifier;
use pkcs8::der::asn1::{BitStringRef, UintRef};
use pkcs8::der::{AnyRef, Encode};
use pkcs8::spki::{AlgorithmIdentifierRef, SubjectPublicKeyInfoRef};
use rsa::pkcs1;
use rsa::pkcs8::EncodePrivateKey as _;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::crypto::keys::{EC, ED25519, NIST_CURVES};
use super::{Arguments, Entry, Param, of, pem};
use crate::json_text;
use crate::template::run::Fail;
use crate::template::value::Value;

use Param::Text as Str;

pub(super) const FUNCTIONS: &[Entry] =
    &[("jwkPrivateKeyPem", of(&[Str], private)), ("jwkPublicKeyPem", of(&[Str], public))];

/// The members of a key.
struct Jwk<'a>(std::collections::BTreeMap<String, &'a RawValue>);

type Bytes = Zeroizing<Vec<u8>>;

fn broken() -> Fail {
    Fail::new("this is not a JSON Web Key of a kind that is known")
}

impl Jwk<'_> {
    fn text(&self, name: &str) -> Option<Zeroizing<String>> {
        let value = json_text::string(self.0.get(name)?)?;
        value.expose(|bytes| String::from_utf8(bytes.to_vec()).ok()).map(Zeroizing::new)
    }

    fn bytes(&self, name: &str) -> Result<Bytes, Fail> {
        let text = self.text(name).ok_or_else(broken)?;
        let digits = text.trim_end_matches('=').as_bytes();
        BASE64URL_NOPAD.decode(digits).map(Zeroizing::new).map_err(|_| broken())
    }

    fn is_private(&self) -> bool {
        self.0.contains_key("d")
    }
}

fn algorithm<'a>(oid: ObjectIdentifier, parameters: Option<AnyRef<'a>>) -> AlgorithmIdentifierRef<'a> {
    AlgorithmIdentifierRef { oid, parameters }
}

fn public(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let text = arguments.text();
    let jwk = Jwk(json_text::properties(text.bytes()).ok_or_else(broken)?);
    if jwk.is_private() {
        return Err(Fail::new("the key is private"));
    }
    let kind = jwk.text("kty").ok_or_else(broken)?;
    let key_der;
    let curve;
    let (algorithm, bits): (AlgorithmIdentifierRef<'_>, Bytes) = match kind.as_str() {
        "RSA" => {
            let (modulus, exponent) = (jwk.bytes("n")?, jwk.bytes("e")?);
            let key = pkcs1::RsaPublicKey {
                modulus: UintRef::new(&modulus).map_err(|_| broken())?,
                public_exponent: UintRef::new(&exponent).map_err(|_| broken())?,
            };
            key_der = key.to_der().map_err(|_| broken())?;
            (algorithm(pkcs1::ALGORITHM_OID, Some(AnyRef::NULL)), Zeroizing::new(key_der))
        }
        "EC" => {
            let (oid, point) = point(&jwk)?;
            curve = oid;
            (algorithm(EC, Some(AnyRef::from(&curve))), point)
        }
        "OKP" if jwk.text("crv").as_deref().map(String::as_str) == Some("Ed25519") => {
            (algorithm(ED25519, None), jwk.bytes("x")?)
        }
        _ => return Err(broken()),
    };
    let key = BitStringRef::from_bytes(&bits).map_err(|_| broken())?;
    let der =
        SubjectPublicKeyInfoRef { algorithm, subject_public_key: key }.to_der().map_err(|_| broken())?;
    Ok(Value::bytes(pem::encode("PUBLIC KEY", &der)))
}

/// The curve and the uncompressed point.
fn point(jwk: &Jwk<'_>) -> Result<(ObjectIdentifier, Bytes), Fail> {
    let name = jwk.text("crv").ok_or_else(broken)?;
    let (_, oid, size) =
        NIST_CURVES.iter().find(|(known, _, _)| *known == name.as_str()).ok_or_else(broken)?;
    let mut point = Zeroizing::new(vec![4]);
    for name in ["x", "y"] {
        let coordinate = jwk.bytes(name)?;
        let missing = size.checked_sub(coordinate.len()).ok_or_else(broken)?;
        point.extend(std::iter::repeat_n(0, missing));
        point.extend_from_slice(&coordinate);
    }
    Ok((*oid, point))
}

fn private(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let text = arguments.text();
    let jwk = Jwk(json_text::properties(text.bytes()).ok_or_else(broken)?);
    if !jwk.is_private() {
        return Err(Fail::new("the key is not private"));
    }
    let kind = jwk.text("kty").ok_or_else(broken)?;
    let der: Bytes = match kind.as_str() {
        "RSA" => rsa_private(&jwk)?,
        "EC" => {
            let (oid, point) = point(&jwk)?;
            let scalar = jwk.bytes("d")?;
            let size = NIST_CURVES.iter().find(|(_, known, _)| *known == oid).map_or(0, |(_, _, size)| *size);
            let mut padded = Zeroizing::new(vec![0; size.saturating_sub(scalar.len())]);
            padded.extend_from_slice(&scalar);
            super::crypto::keys::ec_pkcs8(oid, &padded, Some(&point))?
        }
        "OKP" if jwk.text("crv").as_deref().map(String::as_str) == Some("Ed25519") => {
            super::crypto::keys::ed25519_pkcs8(&jwk.bytes("d")?)?
        }
        _ => return Err(broken()),
    };
    Ok(Value::bytes(pem::encode("PRIVATE KEY", &der)))
}

fn rsa_private(jwk: &Jwk<'_>) -> Result<Bytes, Fail> {
    let number = |name: &str| Ok(rsa::BoxedUint::from_be_slice_vartime(&jwk.bytes(name)?));
    let primes = vec![number("p")?, number("q")?];
    let key = rsa::RsaPrivateKey::from_components(number("n")?, number("e")?, number("d")?, primes);
    let key = key.map_err(|_| Fail::new("the parts of the RSA key do not fit one another"))?;
    let der = key.to_pkcs8_der().map_err(|_| broken())?;
    Ok(Zeroizing::new(der.as_bytes().to_vec()))
}
