//! Private keys: made, and turned from one format into another.

use pkcs8::der::asn1::OctetStringRef;
use pkcs8::der::{AnyRef, Decode, Encode};
use pkcs8::spki::AlgorithmIdentifierRef;
use pkcs8::{ObjectIdentifier, PrivateKeyInfoRef};
use rsa::pkcs1;
use rsa::pkcs8::EncodePrivateKey as _;
use sec1::{EcParameters, EcPrivateKey};
use zeroize::Zeroizing;

use super::{pem, random};
use crate::template::functions::Arguments;
use crate::template::run::Fail;
use crate::template::value::Value;

/// id-ecPublicKey
pub(in crate::template::functions) const EC: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
/// Ed25519, RFC 8410
pub(in crate::template::functions) const ED25519: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.3.101.112");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
/// Name, OID and bytes of a coordinate.
pub(in crate::template::functions) const NIST_CURVES: [(&str, ObjectIdentifier, usize); 3] = [
    ("P-256", P256, 32),
    ("P-384", ObjectIdentifier::new_unwrap("1.3.132.0.34"), 48),
    ("P-521", ObjectIdentifier::new_unwrap("1.3.132.0.35"), 66),
];
/// Bits of the RSA keys of `genPrivateKey`.
const RSA_BITS: usize = 4096;

type Der = Zeroizing<Vec<u8>>;

fn broken() -> Fail {
    Fail::new("this is not a private key that is known here (RSA, EC or Ed25519)")
}

/// A PKCS#8 key around what an algorithm keeps.
fn pkcs8(algorithm: AlgorithmIdentifierRef<'_>, inner: &[u8]) -> Result<Der, Fail> {
    let inner = OctetStringRef::new(inner).map_err(|_| broken())?;
    PrivateKeyInfoRef::new(algorithm, inner).to_der().map(Zeroizing::new).map_err(|_| broken())
}

/// An EC key in PKCS#8, without its curve inside, as Go writes it.
pub(in crate::template::functions) fn ec_pkcs8(
    curve: ObjectIdentifier,
    scalar: &[u8],
    point: Option<&[u8]>,
) -> Result<Der, Fail> {
    let key = EcPrivateKey { private_key: scalar, parameters: None, public_key: point };
    let inner = Zeroizing::new(key.to_der().map_err(|_| broken())?);
    pkcs8(AlgorithmIdentifierRef { oid: EC, parameters: Some(AnyRef::from(&curve)) }, &inner)
}

/// An Ed25519 key in PKCS#8.
pub(in crate::template::functions) fn ed25519_pkcs8(seed: &[u8]) -> Result<Der, Fail> {
    if seed.len() != 32 {
        return Err(broken());
    }
    let inner = OctetStringRef::new(seed).and_then(|seed| seed.to_der()).map_err(|_| broken())?;
    pkcs8(AlgorithmIdentifierRef { oid: ED25519, parameters: None }, &Zeroizing::new(inner))
}

fn rsa_pkcs8(pkcs1: &[u8]) -> Result<Der, Fail> {
    pkcs1::RsaPrivateKeyRef::from_der(pkcs1).map_err(|_| broken())?;
    pkcs8(AlgorithmIdentifierRef { oid: pkcs1::ALGORITHM_OID, parameters: Some(AnyRef::NULL) }, pkcs1)
}

/// Any private key in DER as PKCS#8: PKCS#1, PKCS#8 or SEC 1.
pub(in crate::template::functions) fn normal(der: &[u8]) -> Result<Der, Fail> {
    if let Ok(key) = rsa_pkcs8(der) {
        return Ok(key);
    }
    if let Ok(info) = PrivateKeyInfoRef::try_from(der) {
        let inner = info.private_key.as_bytes();
        return match info.algorithm.oid {
            pkcs1::ALGORITHM_OID => rsa_pkcs8(inner),
            EC => {
                let curve = info.algorithm.parameters_oid().map_err(|_| broken())?;
                let key = EcPrivateKey::from_der(inner).map_err(|_| broken())?;
                ec_pkcs8(curve, key.private_key, key.public_key)
            }
            ED25519 => ed25519_pkcs8(<&OctetStringRef>::from_der(inner).map_err(|_| broken())?.as_bytes()),
            _ => Err(broken()),
        };
    }
    let key = EcPrivateKey::from_der(der).map_err(|_| broken())?;
    let curve = key.parameters.and_then(|parameters| parameters.named_curve()).ok_or_else(broken)?;
    ec_pkcs8(curve, key.private_key, key.public_key)
}

/// The private key of the first PEM block, as PKCS#8.
pub(in crate::template::functions) fn from_pem(text: &[u8]) -> Result<Der, Fail> {
    let (block, _) = pem::decode(text).ok_or_else(|| Fail::new("the key is not PEM"))?;
    normal(&block.bytes)
}

/// A key in the PEM block that sprig chooses for its kind.
pub(in crate::template::functions) fn block(der: &[u8]) -> Result<Vec<u8>, Fail> {
    let info = PrivateKeyInfoRef::try_from(der).map_err(|_| broken())?;
    let inner = info.private_key.as_bytes();
    match info.algorithm.oid {
        pkcs1::ALGORITHM_OID => Ok(pem::encode("RSA PRIVATE KEY", inner)),
        EC => {
            let curve = info.algorithm.parameters_oid().map_err(|_| broken())?;
            let key = EcPrivateKey::from_der(inner).map_err(|_| broken())?;
            let with_curve = EcPrivateKey { parameters: Some(EcParameters::NamedCurve(curve)), ..key };
            let der = Zeroizing::new(with_curve.to_der().map_err(|_| broken())?);
            Ok(pem::encode("EC PRIVATE KEY", &der))
        }
        _ => Ok(pem::encode("PRIVATE KEY", der)),
    }
}

/// A new RSA key, as PKCS#8.
pub(in crate::template::functions) fn new_rsa(bits: usize) -> Result<Der, Fail> {
    let mut source = rsa::rand_core::UnwrapErr(getrandom::SysRng);
    let key = rsa::RsaPrivateKey::new(&mut source, bits).map_err(|_| Fail::new("no RSA key can be made"))?;
    let der = key.to_pkcs8_der().map_err(|_| broken())?;
    Ok(Zeroizing::new(der.as_bytes().to_vec()))
}

fn new_ecdsa() -> Result<Der, Fail> {
    let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)
        .map_err(|_| Fail::new("no ECDSA key can be made"))?;
    normal(&Zeroizing::new(key.serialize_der()))
}

pub(super) fn generate(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let kind = arguments.text();
    let key = match kind.bytes() {
        b"" | b"rsa" => new_rsa(RSA_BITS)?,
        b"ecdsa" => new_ecdsa()?,
        b"ed25519" => {
            let mut seed = Zeroizing::new([0; 32]);
            random(seed.as_mut_slice())?;
            ed25519_pkcs8(seed.as_slice())?
        }
        // FIPS 186-5 has withdrawn it; whoever still needs one makes it elsewhere.
        b"dsa" => return Err(Fail::new("DSA keys are not made any more")),
        other => return Ok(Value::bytes([b"Unknown type ", other].concat())),
    };
    Ok(Value::bytes(block(&key)?))
}
