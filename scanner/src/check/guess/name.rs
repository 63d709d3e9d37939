//! The name a value is assigned to, and how.

use crate::check::words::{Words, words};

/// What a name promises.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A password: words are plausible values.
    Password,
    /// A secret that a person may have chosen.
    Secret,
    /// A token or key: random values.
    Token,
    /// The name is about secrets but does not hold one (`password_label`, `token_url`), or is no name.
    None,
}

/// How value and name are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operator {
    /// `=`, `=>`, a call.
    Equals,
    /// `:` and `:=`.
    Colon,
    /// `==`, `!=` and friends.
    Compares,
    /// `"name", "value"`: arguments of a call, or members of a list.
    Comma,
    /// Words: `the password is "…"`, `--password …`.
    Prose,
}

/// Where a value stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct Site {
    pub(super) kind: Kind,
    pub(super) operator: Operator,
    pub(super) quoted: bool,
    /// Single quotes where they cannot make a string: after `@` or an empty `[]` in C and its heirs.
    pub(super) odd_quote: bool,
}

/// What may stand between a name and its operator: types, and the words of `name="password" value="…"`, of
/// `variable "password" { type = string default = "…" }`, of `Dim password As String` and of `{ get; set; }`.
static TYPES: Words = words!("string str text varchar char as get set init value default type");

/// Words that name a password, in the languages that people write code in.
static PASSWORD_WORDS: Words = words!(
    "password passwords passwd passwort passphrase pass pwd passw pw passcode kennwort motdepasse mdp \
contrasena contraseña clave senha parola haslo hasło wachtwoord lozinka sifre şifre salasana losenord lösenord adgangskode \
passord jelszo jelszó heslo psk userpass dbpass storepass keypass"
);

/// The ones that are unmistakable inside a longer word: `ftppassword`, `rootpasswd2`.
const PASSWORD_PARTS: &str =
    "password passwd passwort passphrase kennwort motdepasse contrasena wachtwoord adgangskode";

/// Words that name a secret, a token or a key, whole or at the end of a longer word.
static TOKEN_WORDS: Words = words!(
    "secret secrets secrete secretes token tokens key keys apikey apikeys bearer credential credentials cred creds auth \
authorization salt pepper nonce dsn pat jwt crypt seed signature geheim geheimnis chave clave klucz schluessel kunci sas hash"
);

/// Last words of names that are about a secret without holding it.
static ABOUT: Words = words!(
    "label labels hint hints field fields input inputs file files filename filepath path paths url urls uri uris type types name names id ids \
length len size policy policies regex regexp pattern patterns prompt title message messages msg error errors err text placeholder \
format formats expiry expires expiration ttl header headers param params parameter parameters class classes style styles icon min max count version \
algorithm algorithms alg encoder encoding reset prefix suffix column col env var ref refs endpoint host attr attribute property \
properties dir directory location encryption hasher hashers scope scopes issuer audience status state enabled required help description desc info question template \
store stores manager provider providers service kind mode rule rules strength confirm confirmation mismatch forgot change changed update link \
button form selector locator xpath index idx position offset handler callback validator generator fingerprint digest checksum sha \
sha1 sha256 md5 algo usage schema group alias arn region mask char chars visible verify invalid incorrect missing wrong empty \
public pub source sources list lists map table cache event events test tests spec module modules package packages function method methods \
view views component dialog screen page controller factory builder parser lexer filter option options config settings exception \
request response result results object resource resources mapping delimiter separator sep regexes iterator stream value_from valuefrom \
lifetime duration age timeout interval limit limits quota date time timestamp created updated at is has hashed cb fn func func_name tag tags \
grant grants exchange manager_class policy_name vars words word set sets unset get getter setter minlength maxlength"
);

/// Words whose end looks like a secret's name and is not.
static UNRELATED: Words = words!(
    "bypass compass encompass surpass trespass monkey keyboard turkey hockey hotkey keyword keywords keyframe keycode \
keypress keydown keyup passed passive passenger passport author tokenizer primarykey foreignkey sortkey partitionkey cachekey \
publickey publickeys public_keys csrf csrftoken csrfmiddlewaretoken multipass subpass renderpass onepass firstpass secondpass typekey rowkey idempotencykey objectkey keyvalue \
whiskey jockey donkey mickey verificationkey nextpagetoken pagetoken continuationtoken nexttoken startkey endkey indexkey mapkey dictkey groupkey \
requesttoken actiontoken uploadtoken sharedsecret exportersecret shortcutkey accesskey_attr surrogatekey lookupkey statekey configkey sitekey site_key registrykey hkey paginationtoken synctoken changetoken invisibletoken \
publickeytoken recvkeys recvkey expectedtoken unexpectedtoken nexttok tokentype keyid resourcekey routingkey messagekey i18nkey translationkey localekey datakey"
);

impl Site {
    /// Reads the match around the secret. The name stands before the secret, or after it in a turned-round comparison.
    pub(super) fn of(secret: &[u8], matched: &[u8]) -> Self {
        let at = position(secret, matched);
        let (before, after) = (&matched[..at], matched.get(at + secret.len()..).unwrap_or_default());
        let quote = before.last().copied();
        let quoted = matches!(quote, Some(b'"' | b'\'' | b'`')) || before.ends_with(b"&quot;");
        let turned = after.len() > 2 && compares(&after[..after.len().min(8)]);
        let (name, joint): (&[u8], &[u8]) = if turned {
            let start = after.iter().position(|byte| byte.is_ascii_alphabetic()).unwrap_or(after.len());
            (name_at(&after[start..]), &after[..start])
        } else {
            split_name(before)
        };
        let operator = match joint {
            joint if compares(joint) => Operator::Compares,
            joint if memchr::memchr(b':', joint).is_some() => Operator::Colon,
            joint if memchr::memchr(b'=', joint).is_some() => Operator::Equals,
            joint if memchr::memchr(b',', joint).is_some() => Operator::Comma,
            joint if memchr::memchr2(b'(', b'>', joint).is_some() => Operator::Equals,
            _ => Operator::Prose,
        };
        let odd_quote = quote == Some(b'\'')
            && (joint.ends_with(b"@'") || joint.starts_with(b"[]") || before.ends_with(b"@'"));
        // `--- PASS: TestName` and `"PASS"` are verdicts of tests.
        let verdict = name == b"PASS" && matches!(operator, Operator::Colon | Operator::Comma);
        // The working folder.
        let verdict = verdict || name == b"PWD" || name == b"OLDPWD";
        // `token.KIND, "text"` is a row of a table.
        let quoted_name = matches!(joint.first(), Some(b'"' | b'\'' | b'`' | b'\\'));
        let row = operator == Operator::Comma && !quoted_name && name.contains(&b'.');
        let kind = if verdict || row { Kind::None } else { kind_of(name) };
        Self { kind, operator, quoted, odd_quote }
    }
}

/// Where the secret stands in its match: the last place, which is behind the name.
fn position(secret: &[u8], matched: &[u8]) -> usize {
    // A turned comparison has its value first.
    let first = memchr::memmem::find(matched, secret).unwrap_or(matched.len());
    let last = memchr::memmem::rfind(matched, secret).unwrap_or(matched.len());
    if first <= 1 { first } else { last }
}

fn compares(text: &[u8]) -> bool {
    memchr::memmem::find(text, b"==").is_some() || memchr::memmem::find(text, b"!=").is_some()
}

/// Bytes of names in configuration and code.
fn is_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'-' | b'.' | b'$') || byte >= 0x80
}

/// The name at the beginning of a text.
fn name_at(text: &[u8]) -> &[u8] {
    &text[..text.iter().position(|byte| !is_name(*byte)).unwrap_or(text.len())]
}

/// The last name before the operator, and what stands between it and the value.
fn split_name(before: &[u8]) -> (&[u8], &[u8]) {
    // A type between name and operator (`let token: String = "…"`) belongs to the joint: take the name before the
    // first operator.
    let Some(operator) =
        before.iter().position(|byte| matches!(byte, b'=' | b':' | b',' | b'(' | b'!' | b'>'))
    else {
        // `ENV DB_PASSWORD …`, `--password …`: the last word is the name.
        let is_letter = |byte: &u8| byte.is_ascii_alphanumeric() || *byte >= 0x80;
        let end = before.iter().rposition(is_letter).map_or(0, |place| place + 1);
        let start = before[..end].iter().rposition(|byte| !is_name(*byte)).map_or(0, |place| place + 1);
        return (&before[start..end], &before[end..]);
    };
    // A call's name stands before the parenthesis or is its first argument: `setProperty("password", "…")`.
    if before[operator] == b'(' {
        let called = before[..operator].iter().rposition(|byte| !is_name(*byte)).map_or(0, |place| place + 1);
        let inside = before[operator..].iter().position(|byte| byte.is_ascii_alphabetic());
        if let Some(start) = inside.map(|place| operator + place) {
            let name = name_at(&before[start..]);
            return (name, &before[start + name.len()..]);
        }
        return (&before[called..operator], &before[operator..]);
    }
    let end = before[..operator].iter().rposition(|byte| is_name(*byte)).map_or(0, |place| place + 1);
    let mut start = before[..end].iter().rposition(|byte| !is_name(*byte)).map_or(0, |place| place + 1);
    let mut stop = end;
    // `var token string = "…"`, `db_pass[0] = …`: the word before is the name.
    while (TYPES.has(&String::from_utf8_lossy(&before[start..stop]).to_ascii_lowercase())
        || before[start..stop].iter().all(u8::is_ascii_digit))
        && let Some(place) = before[..start].iter().rposition(|byte| is_name(*byte))
    {
        stop = place + 1;
        start = before[..stop].iter().rposition(|byte| !is_name(*byte)).map_or(0, |place| place + 1);
    }
    (&before[start..stop], &before[stop..])
}

/// What the first name before the secret that is about one promises: `name="Password" type="String"><value>`.
pub(super) fn first_kind(before: &[u8]) -> Kind {
    // Names of elements and attributes say nothing.
    let of_markup = |name: &&[u8]| matches!(*name, b"key" | b"name" | b"string" | b"value");
    let names = before.split(|byte| !is_name(*byte)).filter(|name| name.len() > 1 && !of_markup(name));
    names.map(kind_of).find(|kind| *kind != Kind::None).unwrap_or(Kind::None)
}

/// Splits a name into words and judges it by them, the last ones first.
pub(super) fn kind_of(name: &[u8]) -> Kind {
    if name.len() > 64 {
        return Kind::None;
    }
    let words = words(name);
    let flat: String = words.concat();
    let two = words.iter().rev().take(2).rev().map(String::as_str).collect::<String>();
    let last = words.last().map(String::as_str).unwrap_or_default();
    if UNRELATED.has(last)
        || UNRELATED.has(&two)
        || flat.ends_with("publickeytoken")
        || looks_encoded(name, &words)
    {
        return Kind::None;
    }
    if words.len() > 1 && (ABOUT.has(last) || (last == "id" && !flat.ends_with("keyid"))) {
        return Kind::None;
    }
    // `pass_by_value`, `pass_through`: a verb.
    let verb = |pair: &[String]| {
        pair[0] == "pass"
            && ["by", "through", "in", "on", "to", "as", "for", "over", "if", "the"]
                .contains(&pair[1].as_str())
    };
    if words.windows(2).any(verb) {
        return Kind::None;
    }
    let is_password = |word: &String| {
        let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        PASSWORD_WORDS.has(word)
            || PASSWORD_PARTS.split_ascii_whitespace().any(|part| word.contains(part))
            || (word.len() > 4
                && ["pass", "pwd"].iter().any(|end| word.ends_with(end))
                && !UNRELATED.has(word))
    };
    let joined = || PASSWORD_PARTS.split_ascii_whitespace().any(|part| flat.contains(part));
    if words.iter().any(is_password) || PASSWORD_WORDS.has(&two) || joined() {
        return Kind::Password;
    }
    let is_token = |word: &&String| {
        let word = word.trim_end_matches(|letter: char| letter.is_ascii_digit());
        TOKEN_WORDS.has(word)
            || ["secret", "token", "apikey", "key", "credentials", "keys"]
                .iter()
                .any(|end| word.ends_with(end))
    };
    match words.iter().rev().find(is_token) {
        Some(word) if word.contains("secret") => Kind::Secret,
        Some(_) if words.iter().any(|word| word.contains("secret")) => Kind::Secret,
        Some(_) => Kind::Token,
        None => Kind::None,
    }
}

/// A stretch of base64 or hex is no name: short words, digits between them.
fn looks_encoded(name: &[u8], words: &[String]) -> bool {
    let digits = name.iter().filter(|byte| byte.is_ascii_digit()).count();
    words.len() > 6 || (digits > 4 && words.len() > 3) || std::str::from_utf8(name).is_err()
}

/// Words of a name: at `_`, `-`, `.` and before capitals.
fn words(name: &[u8]) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut lower_before = false;
    let mut open = false;
    for letter in String::from_utf8_lossy(name).chars() {
        if !letter.is_alphanumeric() {
            open = false;
            lower_before = false;
            continue;
        }
        if !open || (letter.is_uppercase() && lower_before) {
            words.push(String::new());
            open = true;
        }
        if let Some(word) = words.last_mut() {
            word.extend(letter.to_lowercase());
        }
        lower_before = letter.is_lowercase() || letter.is_ascii_digit();
    }
    words
}
