//! Keys of attestations: ECDSA on P-256, as PEM or in cosign's key file.
//!
//! cosign's file is PEM around JSON: scrypt makes a key of the password, and NaCl's secretbox holds the private key
//! as PKCS#8 (<https://github.com/sigstore/cosign/blob/main/specs/SIGNATURE_SPEC.md>; the encryption is that of
//! go-securesystemslib's `encrypted`).

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use crypto_secretbox::aead::{Aead, KeyInit};
use crypto_secretbox::{Nonce, XSalsa20Poly1305};
use data_encoding::BASE64;
use p256::ecdsa::signature::{Signer, Verifier};
use p256::ecdsa::{DerSignature, SigningKey as P256Key, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey, DecodePublicKey};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::transit::{self, Transit, TransitError};

/// More than any key file.
const BYTES_MAX: u64 = 64 * 1024;
const COSIGN_BEGIN: [&str; 2] =
    ["-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----", "-----BEGIN ENCRYPTED COSIGN PRIVATE KEY-----"];
/// scrypt's cost that is accepted: cosign writes N = 65,536, r = 8, p = 1, which takes 64 MiB.
const LOG_N_MAX: u8 = 18;
const R_MAX: u32 = 16;
const P_MAX: u32 = 4;

/// Why a key could not be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// The system refuses it.
    #[error("the key {} cannot be read: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// Others may read it.
    #[error("the key {}: others may read it (mode {mode:04o}); run `chmod 600` on it", path.display())]
    TooOpen {
        /// The file.
        path: PathBuf,
        /// Its permission bits.
        mode: u32,
    },
    /// Another kind of key, or none.
    #[error("the key {}: expected an ECDSA P-256 {half} key in PEM; make a pair with `cosign generate-key-pair`", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// `private` or `public`.
        half: &'static str,
    },
    /// cosign's file, and the password is not there or wrong.
    #[error("the key {}: it is encrypted, and COSIGN_PASSWORD {what}", path.display())]
    Password {
        /// The file.
        path: PathBuf,
        /// What is wrong with the password.
        what: &'static str,
    },
    /// A server has it.
    #[error(transparent)]
    Transit(#[from] TransitError),
}

/// A private key.
pub enum SigningKey {
    /// Read from a file; wiped on drop by the crate that holds it.
    Here(Box<P256Key>),
    /// In a server, which signs.
    Transit(Transit),
}

impl SigningKey {
    /// Reads a key that its owner alone may read, or finds the server that has it.
    ///
    /// # Errors
    /// When it cannot be read, is open to others, is of another kind, or its password is wrong.
    pub fn read(path: &Path, password: Option<Zeroizing<String>>) -> Result<Self, KeyError> {
        if let Some(name) = transit_name(path) {
            return Ok(Self::Transit(Transit::new(name)?));
        }
        let io = |source| KeyError::Io { path: path.to_owned(), source };
        let kind = || KeyError::Kind { path: path.to_owned(), half: "private" };
        let file = File::open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.mode() & 0o7777;
        if mode & 0o077 != 0 {
            return Err(KeyError::TooOpen { path: path.to_owned(), mode });
        }
        // Reserved at once, so that the text does not move and leave copies behind.
        let mut text = Zeroizing::new(String::with_capacity(8192));
        file.take(8192).read_to_string(&mut text).map_err(io)?;
        if COSIGN_BEGIN.iter().any(|begin| text.trim_start().starts_with(begin)) {
            let password =
                password.ok_or(KeyError::Password { path: path.to_owned(), what: "is not set" })?;
            let encrypted = Encrypted::parse(&text).ok_or_else(kind)?;
            let wrong =
                || KeyError::Password { path: path.to_owned(), what: "is wrong, or the file is damaged" };
            let der = encrypted.open(&password).ok_or_else(wrong)?;
            return P256Key::from_pkcs8_der(&der).map(Box::new).map(Self::Here).map_err(|_| kind());
        }
        let key = P256Key::from_pkcs8_pem(text.trim()).ok();
        let key = key.or_else(|| p256::SecretKey::from_sec1_pem(text.trim()).ok().map(P256Key::from));
        key.map(Box::new).map(Self::Here).ok_or_else(kind)
    }

    /// Signs SHA-256 of a message; the signature is DER, as Go and openssl have it. Of a key that is here it is
    /// deterministic (RFC 6979).
    ///
    /// # Errors
    /// When the server that has the key does not sign.
    pub fn sign(&self, message: &[u8]) -> Result<Vec<u8>, KeyError> {
        match self {
            Self::Here(key) => {
                let signature: DerSignature = key.sign(message);
                Ok(signature.as_bytes().to_vec())
            }
            Self::Transit(transit) => Ok(transit.sign(message)?),
        }
    }
}

/// The name of a key that a server has.
fn transit_name(path: &Path) -> Option<&str> {
    path.to_str()?.strip_prefix(transit::SCHEME)
}

/// cosign's encrypted key.
#[derive(Deserialize)]
struct Encrypted {
    kdf: Kdf,
    cipher: Cipher,
    ciphertext: String,
}

#[derive(Deserialize)]
struct Kdf {
    name: String,
    params: Params,
    salt: String,
}

#[derive(Deserialize)]
struct Params {
    #[serde(rename = "N")]
    n: u64,
    r: u32,
    p: u32,
}

#[derive(Deserialize)]
struct Cipher {
    name: String,
    nonce: String,
}

impl Encrypted {
    fn parse(text: &str) -> Option<Self> {
        let body: String = text.lines().filter(|line| !line.contains("-----")).map(str::trim).collect();
        let json = BASE64.decode(body.as_bytes()).ok()?;
        let parsed: Self = serde_json::from_slice(&json).ok()?;
        (parsed.kdf.name == "scrypt" && parsed.cipher.name == "nacl/secretbox").then_some(parsed)
    }

    fn open(&self, password: &str) -> Option<Zeroizing<Vec<u8>>> {
        let Params { n, r, p } = self.kdf.params;
        let log_n = u8::try_from(n.checked_ilog2()?).ok()?;
        if !n.is_power_of_two() || log_n > LOG_N_MAX || r > R_MAX || p > P_MAX {
            return None;
        }
        let salt = BASE64.decode(self.kdf.salt.as_bytes()).ok()?;
        let nonce: [u8; 24] = BASE64.decode(self.cipher.nonce.as_bytes()).ok()?.try_into().ok()?;
        let ciphertext = BASE64.decode(self.ciphertext.as_bytes()).ok()?;
        let mut key = Zeroizing::new([0; 32]);
        let params = scrypt::Params::new(log_n, r, p).ok()?;
        scrypt::scrypt(password.as_bytes(), &salt, &params, &mut *key).ok()?;
        let cipher = XSalsa20Poly1305::new_from_slice(&*key).ok()?;
        cipher.decrypt(&Nonce::from(nonce), ciphertext.as_slice()).ok().map(Zeroizing::new)
    }
}

/// A public key.
pub struct PublicKey(VerifyingKey);

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// When it cannot be read, or is of another kind.
    pub fn read(path: &Path) -> Result<Self, KeyError> {
        let mut text = String::new();
        if let Some(name) = transit_name(path) {
            text = Transit::new(name)?.public_pem()?;
            let key = VerifyingKey::from_public_key_pem(text.trim());
            return key.map(Self).map_err(|_| KeyError::Kind { path: path.to_owned(), half: "public" });
        }
        File::open(path)
            .and_then(|file| file.take(BYTES_MAX).read_to_string(&mut text))
            .map_err(|source| KeyError::Io { path: path.to_owned(), source })?;
        let key = VerifyingKey::from_public_key_pem(text.trim());
        key.map(Self).map_err(|_| KeyError::Kind { path: path.to_owned(), half: "public" })
    }

    /// Whether a DER signature is this key's, over SHA-256 of the message.
    pub fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::from_bytes(signature).is_ok_and(|signature| self.0.verify(message, &signature).is_ok())
    }
}
