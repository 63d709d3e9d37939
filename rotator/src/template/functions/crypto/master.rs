//! `derivePassword`: Master Password's algorithm, version 3 (masterpassword.app).

use zeroize::Zeroizing;

use super::hmac_sha256;
use crate::template::functions::Arguments;
use crate::template::run::Fail;
use crate::template::value::Value;

const SEED: &[u8] = b"com.lyndir.masterpassword";

/// The shapes of each type of password.
fn shapes(kind: &[u8]) -> Option<&'static [&'static str]> {
    Some(match kind {
        b"maximum" => &["anoxxxxxxxxxxxxxxxxx", "axxxxxxxxxxxxxxxxxno"],
        b"long" => &[
            "CvcvnoCvcvCvcv",
            "CvcvCvcvnoCvcv",
            "CvcvCvcvCvcvno",
            "CvccnoCvcvCvcv",
            "CvccCvcvnoCvcv",
            "CvccCvcvCvcvno",
            "CvcvnoCvccCvcv",
            "CvcvCvccnoCvcv",
            "CvcvCvccCvcvno",
            "CvcvnoCvcvCvcc",
            "CvcvCvcvnoCvcc",
            "CvcvCvcvCvccno",
            "CvccnoCvccCvcv",
            "CvccCvccnoCvcv",
            "CvccCvccCvcvno",
            "CvcvnoCvccCvcc",
            "CvcvCvccnoCvcc",
            "CvcvCvccCvccno",
            "CvccnoCvcvCvcc",
            "CvccCvcvnoCvcc",
            "CvccCvcvCvccno",
        ],
        b"medium" => &["CvcnoCvc", "CvcCvcno"],
        b"short" => &["Cvcn"],
        b"basic" => &["aaanaaan", "aannaaan", "aaannaaa"],
        b"pin" => &["nnnn"],
        _ => return None,
    })
}

/// The characters of each class of a shape.
fn class(letter: u8) -> &'static [u8] {
    match letter {
        b'V' => b"AEIOU",
        b'C' => b"BCDFGHJKLMNPQRSTVWXYZ",
        b'v' => b"aeiou",
        b'c' => b"bcdfghjklmnpqrstvwxyz",
        b'A' => b"AEIOUBCDFGHJKLMNPQRSTVWXYZ",
        b'a' => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz",
        b'n' => b"0123456789",
        b'o' => b"@&%?,=[]_:-+*$#!'^~;()/.",
        _ => b"AEIOUaeiouBCDFGHJKLMNPQRSTVWXYZbcdfghjklmnpqrstvwxyz0123456789!@#$%^&*()",
    }
}

pub(super) fn derive(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let counter = u32::try_from(arguments.int()).unwrap_or(0);
    let (kind, password) = (arguments.text(), arguments.text());
    let (user, site) = (arguments.text(), arguments.text());
    let Some(shapes) = shapes(kind.bytes()) else {
        return Ok(Value::bytes([b"cannot find password template ", kind.bytes()].concat()));
    };
    let length = |text: &[u8]| u32::try_from(text.len()).unwrap_or(u32::MAX).to_be_bytes();
    let salt = [SEED, &length(user.bytes()), user.bytes()].concat();
    let parameters = scrypt::Params::new(15, 8, 2).map_err(|_| Fail::new("cannot derive a key"))?;
    let mut key = Zeroizing::new([0; 64]);
    scrypt::scrypt(password.bytes(), &salt, &parameters, key.as_mut_slice())
        .map_err(|_| Fail::new("cannot derive a key"))?;
    let parts = [SEED, &length(site.bytes()), site.bytes(), &counter.to_be_bytes()];
    let seed = hmac_sha256(key.as_slice(), &parts)?;
    let byte = |index: usize| seed.get(index).map_or(0, |byte| usize::from(*byte));
    let shape = shapes.get(byte(0) % shapes.len()).copied().unwrap_or_default();
    let characters = shape.bytes().enumerate().filter_map(|(index, letter)| {
        let class = class(letter);
        class.get(byte(index + 1) % class.len()).copied()
    });
    Ok(Value::bytes(characters.collect()))
}
