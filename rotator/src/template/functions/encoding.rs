//! Alphabets and checksums.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use data_encoding::{BASE32, HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::Digest;

use super::{Arguments, Entry, Param, of};
use crate::template::run::Fail;
use crate::template::value::{Text, Value};

use Param::Text as Str;

pub(super) const FUNCTIONS: &[Entry] = &[
    ("adler32sum", of(&[Str], |a| Ok(Value::text(adler32(a.text().bytes()).to_string())))),
    ("b32dec", of(&[Str], b32dec)),
    ("b32enc", of(&[Str], |a| Ok(Value::text(BASE32.encode(a.text().bytes()))))),
    ("b64dec", of(&[Str], |a| Ok(b64dec(&a.text())))),
    ("b64enc", of(&[Str], |a| Ok(Value::text(BASE64_STANDARD.encode(a.text().bytes()))))),
    ("hexdec", of(&[Str], hexdec)),
    ("sha1sum", of(&[Str], |a| Ok(Value::text(HEXLOWER.encode(&sha1::Sha1::digest(a.text().bytes())))))),
    ("sha256sum", of(&[Str], |a| Ok(Value::text(HEXLOWER.encode(&sha2::Sha256::digest(a.text().bytes())))))),
    ("sha512sum", of(&[Str], |a| Ok(Value::text(HEXLOWER.encode(&sha2::Sha512::digest(a.text().bytes())))))),
];

/// RFC 1950.
fn adler32(bytes: &[u8]) -> u32 {
    let (mut a, mut b) = (1_u32, 0_u32);
    for byte in bytes {
        a = (a + u32::from(*byte)) % 65_521;
        b = (b + a) % 65_521;
    }
    (b << 16) | a
}

/// What Go's decoder takes: canonical padding, any trailing bits, line ends anywhere. Where it stops is the place in
/// Go's message, which sprig gives instead of a value.
pub(super) fn decode64(text: &[u8]) -> Result<Vec<u8>, usize> {
    let mut places = Vec::with_capacity(text.len());
    let mut clean = zeroize::Zeroizing::new(Vec::with_capacity(text.len()));
    for (place, byte) in text.iter().enumerate().filter(|(_, byte)| !matches!(byte, b'\n' | b'\r')) {
        places.push(place);
        clean.push(*byte);
    }
    let at = |index: usize| places.get(index).copied().unwrap_or(text.len());
    let is_digit = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let digits = clean.iter().take_while(|byte| is_digit(byte)).count();
    let rest = clean.get(digits..).unwrap_or_default();
    let wanted: &[u8] = match digits % 4 {
        0 => b"",
        2 => b"==",
        3 => b"=",
        _ => {
            return Err(if rest.is_empty() { text.len() - digits % 4 } else { at(digits) });
        }
    };
    if rest == wanted {
        let unpadded = clean.get(..digits).unwrap_or_default();
        return base64_digits().decode(unpadded).map_err(|_| 0);
    }
    if rest.is_empty() {
        return Err(text.len() - digits % 4);
    }
    let same = rest.iter().zip(wanted).take_while(|(a, b)| a == b).count();
    if rest.len() > wanted.len() && same == wanted.len() {
        return Err(at(digits + same));
    }
    // The second sign of two is missing: Go names the first.
    let back = usize::from(same == 1 && wanted.len() == 2);
    Err(if rest.len() > same { at(digits + same) - back } else { text.len() })
}

fn base64_digits() -> base64::engine::GeneralPurpose {
    use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::RequireNone)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config)
}

fn b64dec(text: &Text) -> Value {
    match decode64(text.bytes()) {
        Ok(bytes) => Value::bytes(bytes),
        Err(place) => Value::text(format!("illegal base64 data at input byte {place}")),
    }
}

fn b32dec(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let text = arguments.text();
    let clean: Vec<u8> = text.bytes().iter().copied().filter(|byte| !matches!(byte, b'\n' | b'\r')).collect();
    Ok(match BASE32.decode(&clean) {
        Ok(bytes) => Value::bytes(bytes),
        Err(error) => Value::text(format!("illegal base32 data at input byte {}", error.position)),
    })
}

fn hexdec(arguments: &mut Arguments<'_>) -> Result<Value, Fail> {
    let text = arguments.text();
    let bytes = HEXLOWER_PERMISSIVE.decode(text.bytes());
    bytes.map(Value::bytes).map_err(|_| Fail::new("the text is not hexadecimal"))
}
