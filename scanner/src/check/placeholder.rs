//! Values that stand where a secret would: empty, starred out, `your-token-here`, `${VARIABLE}`.

use std::sync::LazyLock;

use aho_corasick::AhoCorasick;

use super::alphabet;

/// Words that people write into examples and tests. Compared without case, anywhere in the value.
const STAND_INS: &[&str] = &[
    "example",
    "placeholder",
    "changeme",
    "change_me",
    "change-me",
    "your_",
    "your-",
    "randompass",
    "yourpass",
    "yourtoken",
    "yoursecret",
    "yourkey",
    "yourapi",
    "yourbase",
    "goes-here",
    "goes_here",
    "keyvault(",
    "opensesame",
    "replace_",
    "replaceme",
    "replace-",
    "insert_",
    "insert-",
    "dummy",
    "fake",
    "redacted",
    "xxxx",
    "todo",
    "undefined",
    "not_real",
    "not-real",
    "notreal",
    "real_",
    "<your",
    "my_secret",
    "my-secret",
    "my_token",
    "my-token",
    "my_password",
    "my-password",
    "my_api",
    "my-api",
    "mysecret",
    "mytoken",
    "some_secret",
    "some-secret",
    "some_token",
    "sometoken",
    "some-token",
    "1234567890abcdef",
    "0123456789abcdef",
    "abcdefghijklmnop",
    "deadbeef",
    "aaaaaaaa",
    "00000000",
    "asdfasdf",
    "_here",
    "-here",
    "lorem",
    "ipsum",
    "foobar",
    "sample",
    "hidden",
    "masked",
    "secret_key_here",
    "****",
];

/// [`STAND_INS`], looked for together. They are few and fixed, so that building cannot fail.
static STAND_IN: LazyLock<Option<AhoCorasick>> =
    LazyLock::new(|| AhoCorasick::builder().ascii_case_insensitive(true).build(STAND_INS).ok());

/// Whether the value holds a word that marks it as a stand-in.
pub(crate) fn has_stand_in(value: &[u8]) -> bool {
    STAND_IN.as_ref().is_some_and(|words| words.is_match(value))
}

/// Whether the value repeats so much that nobody drew it at random: one letter, `abcabcabc`, mostly one character.
pub(crate) fn is_repetitive(value: &[u8]) -> bool {
    if value.len() < 4 {
        return value.iter().all(|byte| Some(byte) == value.first());
    }
    let mut counts = [0_u32; 256];
    for &byte in value {
        counts[usize::from(byte)] += 1;
    }
    let most = counts.iter().copied().max().unwrap_or(0) as usize;
    if most * 2 > value.len() && value.len() >= 6 {
        return true;
    }
    // A period of up to a third of the length, for the whole value.
    (1..=value.len() / 3).any(|period| value.iter().zip(&value[period..]).all(|(a, b)| a == b))
}

/// Whether the value counts up or down, by bytes or along a keyboard row.
pub(crate) fn is_sequence(value: &[u8]) -> bool {
    if value.len() < 6 {
        return false;
    }
    let steps = value.windows(2).filter(|pair| pair[0].abs_diff(pair[1]) == 1).count();
    steps * 4 >= (value.len() - 1) * 3
}

/// Whether the value refers to a secret that is kept elsewhere: a variable, a template, a call, a path of a vault.
pub(crate) fn is_reference(value: &[u8]) -> bool {
    let starts = [
        &b"${"[..],
        b"$(",
        b"{{",
        b"<%",
        b"#{",
        b"%(",
        b"%{",
        b"$[",
        b"[[",
        b"@@",
        b"${{",
        b"vault:",
        b"secret://",
        b"arn:aws:",
        b"op://",
        b"ref+",
        b"ENC[",
        b"$ANSIBLE_VAULT",
        b"!vault",
        b"projects/",
        b"process.env",
        b"os.environ",
        b"os.getenv",
        b"System.getenv",
        b"env.",
        b"ENV[",
        b"env(",
        b"getenv",
        b"config.",
        b"self.",
        b"this.",
        b"var.",
        b"local.",
        b"data.",
        b"module.",
        b"secrets.",
        b"{env:",
        b"file://",
        b"keyring:",
        b"AQICAH",
    ];
    if starts.iter().any(|start| value.starts_with(start)) {
        return true;
    }
    if value.first() == Some(&b'$')
        && value.len() > 1
        && value[1..].iter().all(|&byte| byte.is_ascii_alphanumeric() || byte == b'_')
    {
        // `$2y` and the like are hashes; `$NAME` and `$name` are variables.
        return value[1].is_ascii_alphabetic() || value[1] == b'_';
    }
    if value.first() == Some(&b'%') && value.last() == Some(&b'%') && value.len() > 2 {
        return true;
    }
    let wrapped = |open, close| value.first() == Some(&open) && value.last() == Some(&close);
    if value.len() > 2
        && (wrapped(b'<', b'>') || wrapped(b'{', b'}') || wrapped(b'[', b']') || wrapped(b'(', b')'))
    {
        return true;
    }
    // The length of an RSA block of 4096 bits, in base64: a SealedSecret's ciphertext.
    if value.len() > 300
        && value.starts_with(b"Ag")
        && value[2..].iter().take(1).all(|byte| (b'A'..=b'D').contains(byte))
    {
        return true;
    }
    memchr::memmem::find(value, b"${").is_some_and(|at| {
        memchr::memchr(b'}', &value[at..]).is_some_and(|end| {
            value[at + 2..at + end]
                .iter()
                .all(|&byte| byte.is_ascii_alphanumeric() || b"_.:- ".contains(&byte))
        })
    }) || memchr::memmem::find(value, b"{{").is_some_and(|at| {
        memchr::memmem::find(&value[at..], b"}}").is_some_and(|end| {
            value[at + 2..at + end]
                .iter()
                .all(|&byte| byte.is_ascii_alphanumeric() || b"_.:-| \"'$()".contains(&byte))
        })
    })
}

/// The plain cases, all of them: no secret at all stands here.
pub(crate) fn is_placeholder(value: &[u8]) -> bool {
    value.is_empty()
        || value.ends_with(b"...")
        || is_repetitive(value)
        || is_sequence(value)
        || is_reference(value)
        || has_stand_in(value)
}

/// Whether a token of this length is drawn from too few characters: 20 letters of which 3 differ.
pub(crate) fn is_poor(value: &[u8], bits: f64) -> bool {
    alphabet::entropy(value) < bits
}
