//! Hashes of passwords, random texts, ciphers, keys.

use aes::Aes256;
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bcrypt::Version as BcryptVersion;
use cbc::cipher::block_padding::{NoPadding, Pkcs7};
use cbc::cipher::{BlockModeDecrypt as _, BlockModeEncrypt as _, KeyIvInit as _};
use hmac::{Hmac, KeyInit as _, Mac as _};
use rsa::pkcs8::DecodePrivateKey as _;
use sha1::Sha1;
use sha2::{Digest as _, Sha256, Sha512};
use zeroize::Zeroizing;

use super::{Arguments, Entry, Param, of, pem};
use crate::template::run::Fail;
use crate::template::value::{Text, Value};

pub(super) mod keys;
mod master;

use Param::{Int, Text as Str, Uint32, Word};

type Made = Result<Value, Fail>;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("bcrypt", of(&[Str], |a| Ok(Value::text(bcrypted(&a.text()))))),
    ("decryptAES", of(&[Str, Str], decrypt)),
    ("derivePassword", of(&[Uint32, Str, Str, Str, Str], master::derive)),
    ("encryptAES", of(&[Str, Str], encrypt)),
    ("genPrivateKey", of(&[Str], keys::generate)),
    ("htpasswd", of(&[Str, Str, Word], htpasswd)),
    ("randAlpha", of(&[Int], |a| random_text(a, |c| c.is_ascii_alphabetic()))),
    ("randAlphaNum", of(&[Int], |a| random_text(a, |c| c.is_ascii_alphanumeric()))),
    ("randAscii", of(&[Int], |a| random_text(a, |c| (' '..='~').contains(&c)))),
    ("randBytes", of(&[Int], random_bytes)),
    ("randInt", of(&[Int, Int], random_int)),
    ("randNumeric", of(&[Int], |a| random_text(a, |c| c.is_ascii_digit()))),
    ("rsaDecrypt", of(&[Str, Str, Str, Str], rsa_decrypt)),
    ("shuffle", of(&[Str], shuffle)),
    ("uuidv4", of(&[], uuid)),
];

/// bcrypt takes no more.
const BCRYPT_BYTES_MAX: usize = 72;
/// Go's default.
const BCRYPT_COST: u32 = 10;

pub(super) fn random(bytes: &mut [u8]) -> Result<(), Fail> {
    getrandom::fill(bytes).map_err(|_| Fail::new("the machine gives no random bytes"))
}

/// Below a bound, all values alike.
fn random_below(bound: u64) -> Result<u64, Fail> {
    let zone = u64::MAX - u64::MAX % bound.max(1);
    loop {
        let mut bytes = [0; 8];
        random(&mut bytes)?;
        let value = u64::from_le_bytes(bytes);
        if value < zone {
            return Ok(value % bound.max(1));
        }
    }
}

fn random_text(arguments: &mut Arguments<'_>, allowed: fn(char) -> bool) -> Made {
    let count = usize::try_from(arguments.int()).unwrap_or(0);
    arguments.run.length(count)?;
    let mut text = Vec::with_capacity(count);
    while text.len() < count {
        let mut bytes = Zeroizing::new([0; 64]);
        random(bytes.as_mut_slice())?;
        let fitting = bytes.iter().map(|byte| byte & 0x7f).filter(|byte| allowed(char::from(*byte)));
        text.extend(fitting.take(count - text.len()));
    }
    Ok(Value::bytes(text))
}

fn random_bytes(arguments: &mut Arguments<'_>) -> Made {
    let count = usize::try_from(arguments.int()).map_err(|_| Fail::new("the count is negative"))?;
    arguments.run.length(count)?;
    let mut bytes = Zeroizing::new(vec![0; count]);
    random(&mut bytes)?;
    Ok(Value::text(BASE64_STANDARD.encode(&*bytes)))
}

fn random_int(arguments: &mut Arguments<'_>) -> Made {
    let (least, bound) = (arguments.int(), arguments.int());
    let room = bound.checked_sub(least).and_then(|room| u64::try_from(room).ok()).filter(|room| *room > 0);
    let room = room.ok_or_else(|| Fail::new("the second number must be larger"))?;
    let offset = i64::try_from(random_below(room)?).unwrap_or(0);
    Ok(Value::Int(least + offset))
}

fn shuffle(arguments: &mut Arguments<'_>) -> Made {
    let text = arguments.text();
    let mut characters: Zeroizing<Vec<char>> = Zeroizing::new(text.lossy().chars().collect());
    for last in (1..characters.len()).rev() {
        let other = usize::try_from(random_below(last as u64 + 1)?).unwrap_or(0);
        characters.swap(last, other);
    }
    Ok(Value::text(characters.iter().collect::<String>()))
}

/// RFC 9562, version 4.
fn uuid(_: &mut Arguments<'_>) -> Made {
    let mut bytes = [0; 16];
    random(&mut bytes)?;
    let value = u128::from_be_bytes(bytes) & !(0xf << 76) & !(0b11 << 62) | (4 << 76) | (0b10 << 62);
    let hex = format!("{value:032x}");
    let groups: Vec<&str> =
        [0..8, 8..12, 12..16, 16..20, 20..32].into_iter().filter_map(|range| hex.get(range)).collect();
    Ok(Value::text(groups.join("-")))
}

/// sprig gives its error in place of the hash.
fn bcrypted(text: &Text) -> String {
    if text.bytes().len() > BCRYPT_BYTES_MAX {
        return "failed to encrypt string with bcrypt: bcrypt: password length exceeds 72 bytes".to_owned();
    }
    let mut salt = [0; 16];
    if random(&mut salt).is_err() {
        return "failed to encrypt string with bcrypt: no random bytes".to_owned();
    }
    match bcrypt::hash_with_salt(text.bytes(), BCRYPT_COST, salt) {
        Ok(parts) => parts.format_for_version(BcryptVersion::TwoA),
        Err(_) => "failed to encrypt string with bcrypt: the text cannot be hashed".to_owned(),
    }
}

fn htpasswd(arguments: &mut Arguments<'_>) -> Made {
    let (user, password, algorithm) = (arguments.text(), arguments.text(), arguments.text());
    if user.bytes().contains(&b':') {
        return Ok(Value::bytes([b"invalid username: ", user.bytes()].concat()));
    }
    let hash = match algorithm.bytes() {
        b"sha" => format!("{{SHA}}{}", BASE64_STANDARD.encode(Sha1::digest(password.bytes()))),
        _ => bcrypted(&password),
    };
    Ok(Value::bytes([user.bytes(), b":", hash.as_bytes()].concat()))
}

/// The password itself is the key, filled up with zeros or cut.
fn aes_key(password: &Text) -> Zeroizing<[u8; 32]> {
    let mut key = Zeroizing::new([0; 32]);
    for (slot, byte) in key.iter_mut().zip(password.bytes()) {
        *slot = *byte;
    }
    key
}

fn encrypt(arguments: &mut Arguments<'_>) -> Made {
    let (password, text) = (arguments.text(), arguments.text());
    if text.bytes().is_empty() {
        return Ok(Value::text(""));
    }
    let mut vector = [0; 16];
    random(&mut vector)?;
    let cipher = cbc::Encryptor::<Aes256>::new((&*aes_key(&password)).into(), (&vector).into());
    let sealed = cipher.encrypt_padded_vec::<Pkcs7>(text.bytes());
    Ok(Value::text(BASE64_STANDARD.encode([vector.as_slice(), &sealed].concat())))
}

fn decrypt(arguments: &mut Arguments<'_>) -> Made {
    let (password, text) = (arguments.text(), arguments.text());
    if text.bytes().is_empty() {
        return Ok(Value::text(""));
    }
    let broken = || Fail::new("the text was not encrypted so, or with another password");
    let bytes = super::encoding::decode64(text.bytes()).map_err(|_| broken())?;
    let (vector, sealed) = bytes.split_first_chunk::<16>().ok_or_else(broken)?;
    let cipher = cbc::Decryptor::<Aes256>::new((&*aes_key(&password)).into(), vector.into());
    let mut opened = Zeroizing::new(cipher.decrypt_padded_vec::<NoPadding>(sealed).map_err(|_| broken())?);
    // The last byte says how many are padding, whatever the others are.
    let padding = opened.last().map_or(0, |last| usize::from(*last));
    let kept = opened.len().checked_sub(padding).ok_or_else(broken)?;
    opened.truncate(kept);
    Ok(Value::bytes(std::mem::take(&mut *opened)))
}

fn rsa_decrypt(arguments: &mut Arguments<'_>) -> Made {
    let (scheme, hash, sealed, key) =
        (arguments.text(), arguments.text(), arguments.text(), arguments.text());
    match scheme.bytes() {
        b"None" => return Ok(Value::Text(sealed)),
        b"RSA-OAEP" => {}
        _ => return Err(Fail::new("the scheme is None or RSA-OAEP")),
    }
    let der = keys::from_pem(key.bytes())?;
    let key = rsa::RsaPrivateKey::from_pkcs8_der(&der).map_err(|_| Fail::new("this is not an RSA key"))?;
    let opened = match hash.bytes() {
        b"SHA1" => key.decrypt(rsa::Oaep::<Sha1>::new(), sealed.bytes()),
        b"SHA512" => key.decrypt(rsa::Oaep::<Sha512>::new(), sealed.bytes()),
        _ => key.decrypt(rsa::Oaep::<Sha256>::new(), sealed.bytes()),
    };
    opened.map(Value::bytes).map_err(|_| Fail::new("the text cannot be decrypted with this key"))
}

fn hmac_sha256(key: &[u8], parts: &[&[u8]]) -> Result<Zeroizing<Vec<u8>>, Fail> {
    let mut mac = Hmac::<Sha256>::new_from_slice(key).map_err(|_| Fail::new("the key has no length"))?;
    for part in parts {
        mac.update(part);
    }
    Ok(Zeroizing::new(mac.finalize().into_bytes().to_vec()))
}
