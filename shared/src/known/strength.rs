//! How hard a value is to guess, never overstated.

/// What is known about how a value came to be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Strength {
    /// Generated to a policy that gives this many bits.
    Generated {
        /// log2 of the number of values that the policy can give.
        bits: f64,
    },
    /// Anything: [`estimate`] tells.
    Unknown,
}

/// Bits of one letter that is part of something like a word: Shannon found 0.6 to 1.3 for English text (Prediction
/// and Entropy of Printed English, 1951); names and abbreviations have more.
const WORD_LETTER_BITS: f64 = 1.5;
/// Bits of a character that continues a run, a sequence or a repetition.
const PREDICTED_BITS: f64 = 0.5;
/// The most frequent pairs of letters in English. A random pair is one of them once in five, a pair of a word three
/// times in four.
const PAIRS: &str = "th he in er an re on at en nd ti es or te of ed is it al ar st to nt ng se ha as ou io le ve co me \
    de hi ri ro ic ne ea ra ce li ch ll be ma si om ur ca el ta la ns di fo ho pe ec pr no ct us ac ot \
    il tr ly nc et ut ss so rs un lo wa ge ie wh ee wi em ad ol rt po we na ul ni ts mo ow pa im mi ai \
    sh ir su id os ia am fi ci vi pl ig tu ev ld ry mp fe bl ab gh ty op wo sa ay ex ke fr oo av ag if \
    ap gr od bo sp rd do uc";

pub(super) fn bits_of(strength: Strength, value: &[u8]) -> f64 {
    match strength {
        // No policy gives more than the bytes can hold.
        Strength::Generated { bits } => bits.min(value.len() as f64 * 8.0),
        Strength::Unknown => estimate(value),
    }
}

/// A conservative estimate of a value's strength in bits: what an attacker must search who knows words, patterns,
/// repetitions, the alphabet in use, and everything around the secret.
///
/// Of a URL, JSON, a connection string or a text only the strongest token counts: the rest is known. Base64 and
/// hex of a text count as the text. Each character of a token counts as much as the alphabet in use gives, and no
/// more than the characters' own frequencies do; a character that continues a run, a sequence (`abc`, `321`) or an
/// earlier part of the value, half a bit; a letter of something like a word, one and a half.
pub fn estimate(value: &[u8]) -> f64 {
    let is_separator = separators(value);
    value.split(|byte| is_separator(*byte)).map(token_bits).fold(0.0, f64::max)
}

/// What separates the tokens of a structured value. A random password holds these characters too: it is only
/// split when the whole looks like a structure.
fn separators(value: &[u8]) -> impl Fn(u8) -> bool {
    let has = |byte: u8| value.contains(&byte);
    let url = value.windows(3).any(|window| window == b"://");
    let json = value.first().is_some_and(|first| b"{[\"".contains(first)) && has(b'"');
    let fields = has(b'=') && (has(b';') || has(b'&') || has(b'\n'));
    let text = value.trim_ascii().iter().any(u8::is_ascii_whitespace);
    // Random bytes hold all of this by chance, and a structure is a text.
    let printable = value.iter().all(|byte| !byte.is_ascii_control() || byte.is_ascii_whitespace());
    let structured = (url || json || fields || text) && printable && std::str::from_utf8(value).is_ok();
    move |byte| {
        structured && (byte.is_ascii_whitespace() || b",;&?={}[]<>\"'".contains(&byte))
            || structured && url && b"/:@".contains(&byte)
    }
}

fn token_bits(token: &[u8]) -> f64 {
    match decoded_text(token) {
        Some(text) => character_bits(token).min(character_bits(&text)),
        None => token.split(|&byte| byte == b'.').map(segment_bits).sum::<f64>().min(character_bits(token)),
    }
}

/// A part between dots: JSON web tokens are such parts in base64.
fn segment_bits(segment: &[u8]) -> f64 {
    match decoded_text(segment) {
        // Known claims: an attacker reads them in any other token of the same issuer.
        Some(text) if text.starts_with(b"{") => 0.0,
        Some(text) => character_bits(segment).min(character_bits(&text)),
        None => character_bits(segment),
    }
}

/// What base64 or hex decodes to, if that is a text: for random bytes the odds are below one in a million.
fn decoded_text(token: &[u8]) -> Option<zeroize::Zeroizing<Vec<u8>>> {
    let unpadded = token.strip_suffix(b"==").or_else(|| token.strip_suffix(b"=")).unwrap_or(token);
    let encodings =
        [&data_encoding::HEXLOWER_PERMISSIVE, &data_encoding::BASE64_NOPAD, &data_encoding::BASE64URL_NOPAD];
    let mut decoded = encodings.iter().filter_map(|encoding| encoding.decode(unpadded).ok());
    let is_text = |byte: &u8| byte.is_ascii_graphic() || byte.is_ascii_whitespace();
    let text = decoded.find(|bytes| {
        bytes.len() >= 8 && bytes.iter().filter(|b| is_text(b)).count() * 10 >= bytes.len() * 9
    });
    text.map(zeroize::Zeroizing::new)
}

fn character_bits(value: &[u8]) -> f64 {
    let (alphabet, blank) = alphabet(value);
    let each = alphabet.min(frequency_bits(value));
    let words = word_letters(value);
    let predicted = predicted(value);
    let bits = |index: usize| match (predicted[index], words[index]) {
        _ if blank.contains(&value[index]) => 0.0,
        (true, _) => PREDICTED_BITS,
        (false, true) => WORD_LETTER_BITS.min(each),
        (false, false) => each,
    };
    // Four bits of a random UUID say its version, two its variant (RFC 9562).
    let fixed = if is_uuid(value) { 6.0 } else { 0.0 };
    ((0..value.len()).map(bits).sum::<f64>() - fixed).max(0.0)
}

fn is_uuid(value: &[u8]) -> bool {
    value.len() == 36 && [8, 13, 18, 23].iter().all(|&at| value[at] == b'-') && hexadecimal(value)
}

fn hexadecimal(value: &[u8]) -> bool {
    let of = |upper: bool| {
        value.iter().all(|byte| match byte {
            b'-' | b':' | b'0'..=b'9' => true,
            b'a'..=b'f' => !upper,
            b'A'..=b'F' => upper,
            _ => false,
        })
    };
    of(true) || of(false)
}

/// log2 of the smallest usual alphabet that has all characters, and the characters that carry nothing.
fn alphabet(value: &[u8]) -> (f64, &'static [u8]) {
    let any = |test: fn(&u8) -> bool| value.iter().any(test);
    if hexadecimal(value) {
        return (if any(u8::is_ascii_alphabetic) { 4.0 } else { 10_f64.log2() }, b"-:");
    }
    let size = 10 * usize::from(any(u8::is_ascii_digit))
        + 26 * usize::from(any(u8::is_ascii_lowercase))
        + 26 * usize::from(any(u8::is_ascii_uppercase))
        + 4 * usize::from(any(|byte| byte.is_ascii_punctuation() || *byte == b' '))
        + 128 * usize::from(any(|byte| !byte.is_ascii() || byte.is_ascii_control()));
    ((size.max(1) as f64).log2(), b"")
}

/// The empirical entropy of a character, corrected for the few characters that it is seen from (Miller 1955).
fn frequency_bits(value: &[u8]) -> f64 {
    let mut counts = [0_u32; 256];
    value.iter().for_each(|&byte| counts[usize::from(byte)] += 1);
    let length = value.len().max(1) as f64;
    let seen = counts.iter().filter(|&&count| count > 0);
    let entropy: f64 = seen.clone().map(|&count| f64::from(count) / length).map(|p| -p * p.log2()).sum();
    entropy + (seen.count().saturating_sub(1)) as f64 / (2.0 * length * std::f64::consts::LN_2)
}

/// Characters that continue a run or a sequence, or repeat three or more that came before.
fn predicted(value: &[u8]) -> Vec<bool> {
    let step = |index: usize| i16::from(value[index]) - i16::from(value[index - 1]);
    let mut predicted: Vec<bool> = (0..value.len())
        .map(|index| match index {
            0 => false,
            1 => step(1) == 0,
            _ => step(index) == 0 || (step(index).abs() == 1 && step(index) == step(index - 1)),
        })
        .collect();
    // The places of each triple; values have at most a few thousand bytes.
    let mut earlier = std::collections::HashMap::new();
    let mut index = 0;
    while index + 3 <= value.len() {
        let triple = [value[index], value[index + 1], value[index + 2]];
        if let Some(&at) = earlier.get(&triple) {
            let same = (0..value.len() - index).take_while(|&n| value[at + n] == value[index + n]).count();
            predicted[index..index + same].fill(true);
            (index..index + same).for_each(|at| remember(&mut earlier, value, at));
            index += same;
        } else {
            remember(&mut earlier, value, index);
            index += 1;
        }
    }
    predicted
}

fn remember(earlier: &mut std::collections::HashMap<[u8; 3], usize>, value: &[u8], at: usize) {
    if let Some(triple) = value[at..].first_chunk::<3>() {
        earlier.entry(*triple).or_insert(at);
    }
}

/// Letters of runs that look like words: at least three letters, two thirds of whose pairs are frequent.
fn word_letters(value: &[u8]) -> Vec<bool> {
    let mut words = vec![false; value.len()];
    let mut start = 0;
    for run in value.split_inclusive(|byte| !byte.is_ascii_alphabetic()) {
        let letters = run.len() - usize::from(run.last().is_some_and(|byte| !byte.is_ascii_alphabetic()));
        // `dataBase` is two words; `DATABASE` and `Database` are one.
        let mut from = 0;
        for to in 1..=letters {
            let ends = to == letters || (run[to].is_ascii_uppercase() && run[to - 1].is_ascii_lowercase());
            if ends {
                if is_word(&run[from..to]) {
                    words[start + from..start + to].fill(true);
                }
                from = to;
            }
        }
        start += run.len();
    }
    words
}

fn is_word(letters: &[u8]) -> bool {
    let pairs = letters.len().saturating_sub(1);
    let frequent = letters.windows(2).filter(|pair| {
        let pair = [pair[0].to_ascii_lowercase(), pair[1].to_ascii_lowercase()];
        PAIRS.split_ascii_whitespace().any(|known| known.as_bytes() == pair)
    });
    pairs >= 2 && frequent.count() * 3 >= pairs * 2
}

/// Whether the value is made to be seen: a certificate, a public key.
pub(super) fn is_public(value: &[u8]) -> bool {
    const PUBLIC: [&[u8]; 7] = [
        b"-----BEGIN CERTIFICATE",
        b"-----BEGIN TRUSTED CERTIFICATE",
        b"-----BEGIN PUBLIC KEY",
        b"-----BEGIN RSA PUBLIC KEY",
        b"-----BEGIN PGP PUBLIC KEY",
        b"ssh-",
        b"ecdsa-sha2-",
    ];
    let text = value.trim_ascii_start();
    // A bundle may hold both; a private key anywhere makes it a secret.
    PUBLIC.iter().any(|begin| text.starts_with(begin))
        && !value.windows(11).any(|window| window == b"PRIVATE KEY")
}
