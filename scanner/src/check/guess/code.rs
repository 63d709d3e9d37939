//! What a program wrote, and no person or machine drew: expressions, identifiers, names of algorithms, numbers, dates.

use super::shape::{runs, wordiness};

/// Expressions, paths, markup, urls, types, mail addresses.
pub(super) fn is_code(value: &[u8]) -> bool {
    let call = value.ends_with(b")")
        && value.iter().position(|&byte| byte == b'(').is_some_and(|at| {
            at > 0 && value[..at].iter().all(|byte| byte.is_ascii_alphanumeric() || b"_.:->".contains(byte))
        });
    // Base64 may begin with a slash too; a path reads like words.
    let (wordy, letters) = wordiness(value);
    let rooted = value.starts_with(b"/") && value.iter().filter(|&&byte| byte == b'/').count() >= 2;
    let path = (rooted && wordy * 2 >= letters)
        || [&b"./"[..], b"../", b"~/", b"C:\\"].iter().any(|start| value.starts_with(start));
    let relative =
        memchr::memmem::find(value, b"/./").is_some() || memchr::memmem::find(value, b"/../").is_some();
    let url = relative || memchr::memmem::find(value, b"://").is_some();
    let markup = value.starts_with(b"<") || value.starts_with(b"&") && value.ends_with(b";");
    // %s, %d, {0}, {name}: formats.
    let format = value.len() <= 24
        && (memchr::memmem::find(value, b"%s").is_some()
            || memchr::memmem::find(value, b"%d").is_some()
            || memchr::memmem::find(value, b"%v").is_some());
    let dotted = value.iter().filter(|&&byte| byte == b'.').count() >= 1
        && value.split(|&byte| byte == b'.').all(|word| {
            word.len() >= 2
                && word[0].is_ascii_alphabetic()
                && word.iter().all(|byte| byte.is_ascii_alphabetic() || *byte == b'_')
        });
    let escape =
        value.starts_with(b"\\") || value.iter().filter(|&&byte| byte == b'\\').count() * 4 > value.len();
    let selector = value.starts_with(b"#")
        && value[1..].iter().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(byte));
    let option = value.starts_with(b"--");
    // What stands between two strings: `"+name+"`.
    let between = value.len() > 2 && value.starts_with(b"+") && value.ends_with(b"+");
    let regex = [&b".*"[..], b"\\d", b"\\w", b"\\s", b"[^", b"(?", b"[a-z", b"[0-9", b"$)", b"+)"]
        .iter()
        .any(|piece| memchr::memmem::find(value, piece).is_some());
    // `Jobs[-1].JobId`, `Name$1`, `$2$3`, `1.3.6.1.5.5.7.3.1`.
    let member = memchr::memmem::find(value, b"].").is_some() || memchr::memmem::find(value, b"[-").is_some();
    // People put longer numbers behind a dollar sign.
    let numbered = value.iter().rposition(|byte| *byte == b'$').is_some_and(|at| {
        value[at + 1..].iter().all(u8::is_ascii_digit)
            && at + 1 < value.len()
            && value.len() - at <= if value[0] == b'$' || value[0].is_ascii_uppercase() { 3 } else { 2 }
            && value[..at]
                .iter()
                .all(|byte| byte.is_ascii_alphabetic() || *byte == b'$' || byte.is_ascii_digit())
            && (at == 0 || value[..at].iter().all(u8::is_ascii_alphabetic) || value[0] == b'$')
    });
    let identifier =
        value.iter().take_while(|byte| byte.is_ascii_digit() || **byte == b'.').filter(|byte| **byte == b'.');
    let object = identifier.count() >= 4;
    let glued = [
        &b"\" +"[..],
        b"' +",
        b"\" .",
        b"' .",
        b"',",
        b"\",",
        b"->",
        b"::",
        b"=>",
        b"();",
        b"&&",
        b"||",
        b"),",
        b"){",
        b")}",
        b"})",
        b"](",
        b"()",
        b"===",
        b"!==",
        b":{",
        b",{",
        b"void 0",
    ]
    .iter()
    .any(|piece| memchr::memmem::find(value, piece).is_some());
    let file = [
        &b".py"[..],
        b".js",
        b".ts",
        b".go",
        b".rs",
        b".java",
        b".html",
        b".json",
        b".xml",
        b".yml",
        b".yaml",
        b".txt",
        b".pem",
        b".key",
        b".crt",
        b".com",
        b".org",
        b".net",
        b".php",
        b".sh",
    ]
    .iter()
    .any(|end| value.ends_with(end));
    call || path
        || url
        || markup
        || format
        || dotted
        || escape
        || selector
        || option
        || regex
        || glued
        || file
        || member
        || numbered
        || object
        || between
        || matches!(value.first(), Some(b',' | b';' | b')'))
        || value.starts_with(b"[]")
        || value.starts_with(b"map[")
        || [b'{', b'[', b'('].iter().any(|open| value.last() == Some(open))
}

/// Whether a value is an identifier in camel case: three words or more that are long for chance, and few digits.
pub(super) fn is_camel(value: &[u8]) -> bool {
    if !value.iter().all(u8::is_ascii_alphanumeric) {
        return false;
    }
    let digits = value.iter().filter(|byte| byte.is_ascii_digit()).count();
    // Words begin with a capital, behind digits too; `RSAKey` is `RSA` and `Key`.
    let after_digit = value.windows(2).any(|pair| pair[0].is_ascii_digit() && pair[1].is_ascii_lowercase());
    let humps = value.windows(2).filter(|pair| !pair[0].is_ascii_uppercase() && pair[1].is_ascii_uppercase());
    let acronyms = value.windows(3).filter(|letters| {
        letters[0].is_ascii_uppercase() && letters[1].is_ascii_uppercase() && letters[2].is_ascii_lowercase()
    });
    let words = 1 + humps.count() + acronyms.count();
    let longest = runs(value).map(<[u8]>::len).max().unwrap_or(0);
    let small = value.iter().filter(|byte| byte.is_ascii_lowercase()).count();
    if after_digit || longest > 16 || small * 2 < value.len() - digits {
        return false;
    }
    words >= 3 && (value.len() - digits) >= 3 * words && digits * 4 <= value.len()
}

/// How many kinds of symbols a value has.
pub(super) fn distinct_symbols(value: &[u8]) -> usize {
    (b'!'..=b'~')
        .filter(|symbol| symbol.is_ascii_punctuation() && memchr::memchr(*symbol, value).is_some())
        .count()
}

/// Whether a value is words joined by hyphens or underscores: a name, whatever the words.
pub(super) fn is_joined(value: &[u8]) -> bool {
    let mut count = 0;
    let plain = value.split(|byte| b"-_.".contains(byte)).all(|piece| {
        count += 1;
        let letters = piece.iter().take_while(|byte| byte.is_ascii_alphabetic()).count();
        let one_case = piece[..letters].iter().skip(1).all(u8::is_ascii_lowercase)
            || piece[..letters].iter().all(u8::is_ascii_uppercase);
        let digits = piece.len() - letters;
        piece.len() <= 14 && one_case && digits <= 3 && piece[letters..].iter().all(u8::is_ascii_digit)
    });
    plain && count >= 3 && value.iter().any(u8::is_ascii_alphabetic)
}

/// Dates with a time, numbers of programs, versions, and addresses of network cards.
pub(super) fn is_stamp(value: &[u8]) -> bool {
    let shape = |pattern: &[u8]| {
        value.len() >= pattern.len()
            && value.iter().zip(pattern).all(|(byte, kind)| match kind {
                b'0' => byte.is_ascii_digit(),
                b'x' => byte.is_ascii_hexdigit(),
                kind => byte == kind,
            })
    };
    shape(b"0000-00-00T00:00")
        || shape(b"0000-00-00 00:00")
        || value.len() == 17 && shape(b"xx:xx:xx:xx:xx:xx")
}

/// Whether a value names an algorithm: `AWS4-HMAC-SHA256`, `aes-256-cbc`.
pub(super) fn is_algorithm(value: &[u8]) -> bool {
    value.len() <= 32
        && value.split(|byte| b"-_/+".contains(byte)).any(|piece| {
            let lower = piece.to_ascii_lowercase();
            [
                &b"hmac"[..],
                b"sha1",
                b"sha256",
                b"sha384",
                b"sha512",
                b"md5",
                b"aes",
                b"rsa",
                b"ecdsa",
                b"pbkdf2",
                b"pkcs1",
                b"scram",
            ]
            .contains(&lower.as_slice())
        })
}

/// Whether a value is a constant's name: short words in capitals, joined by underscores.
pub(super) fn is_constant(value: &[u8]) -> bool {
    let mut words = value.split(|byte| *byte == b'_');
    value.iter().filter(|byte| **byte == b'_').count() >= 2
        && value.iter().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || *byte == b'_')
        && words.all(|word| word.len() <= 16)
}

/// Whether every bracket closes the one that was opened last, as code has it.
pub(super) fn is_balanced(value: &[u8]) -> bool {
    let mut open = Vec::new();
    value.iter().all(|byte| match byte {
        b'(' | b'[' | b'{' => {
            open.push(*byte);
            true
        }
        b')' => open.pop() == Some(b'('),
        b']' => open.pop() == Some(b'['),
        b'}' => open.pop() == Some(b'{'),
        _ => true,
    }) && open.is_empty()
}
