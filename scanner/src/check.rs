//! Offline checks: what a secret's own bytes say about whether it is one.
//!
//! A rule names a check; the engine runs it on each match, before the match becomes a finding. A check reads the
//! bytes it is given and the clock, nothing else: no network, no file. It never panics, whatever the bytes, and its
//! answer never holds a part of the secret.
//!
//! | check | what it looks at | used by rules for |
//! |---|---|---|
//! | `github-crc32` | CRC-32 in base62 at the end | GitHub tokens |
//! | `npm-crc32` | the same | npm tokens |
//! | `gitlab-routable` | CRC-32 in base36 and the length of the payload | routable GitLab tokens |
//! | `grafana` | CRC-32 in hex, or the JSON inside | Grafana service accounts and Cloud tokens |
//! | `jwt` | header, claims, expiry, known test keys | JSON Web Tokens |
//! | `aws-key-id` | base32 that holds the account's number | AWS access keys |
//! | `azure-cask` | the signature and its place in the decoded key | Azure keys |
//! | `pem` | DER, OpenSSH or PGP structure; encrypted, truncated or public | private keys |
//! | `pkcs12`, `java-keystore`, `keystore-base64` | whether a key is inside, and whether a password that everybody tries opens it | keystores |
//! | `url` | user, password, host of a URL | connection strings, basic authentication in URLs |
//! | `basic-auth` | base64 of `user:password` | HTTP headers, container registry logins, `.npmrc` |
//! | `google-service-account` | the fields around a private key | Google service accounts |
//! | `structure` | fields inside base64, by the token's prefix | PyPI, Sentry, Supabase, Discord, Mapbox and others |
//! | `bech32`, `base58check`, `nkey` | checksums of these encodings | age keys, wallets, NATS seeds |
//! | `luhn` | the digit sum | card numbers |
//! | `key-32`, `key-64` | length after decoding hex or base64 | raw keys |
//! | `random` | whether a value looks drawn at random | tokens named by their context |
//! | `seed` | base32 or hex that is not made of words | seeds for one-time passwords |
//! | `prefixed` | the same, for what stands behind a prefix | tokens known by their prefix alone |
//! | `token` | the same, and whether the words before it name a token | tokens announced by words |
//! | `password-call` | the same, and what the function's name is about | arguments of functions |
//! | `password-value`, `password-strong` | the value alone, where its place leaves no doubt | SQL, command lines, configuration files |
//! | `password-setting` | the same, and whether it closes a list of arguments | lines of configuration files |
//! | `password-told` | letters with digits or symbols | sentences and tables |
//! | `key-argument` | whether a value is no word and no name | keys given to functions of cryptography |
//! | `named-value` | the name in quotes or an element, and the value | XML, property lists, arguments |
//! | `password` | whether a value looks like a password somebody uses | assignments to passwords |

pub(crate) mod alphabet;
mod aws;
mod azure;
mod basic;
mod crc32;
mod encoded;
mod google;
mod guess;
mod jwt;
mod keystore;
mod luhn;
mod pem;
mod placeholder;
mod structure;
mod url;
mod words;

pub(crate) use encoded::{bech32_sum, crc16};

#[cfg(test)]
mod tests;

/// What a check says about one match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// A checksum or an inner structure holds: the finding becomes *checked*. The note says what was learnt, in
    /// words that may be published (an account's number, an expiry).
    Holds(Option<String>),
    /// Nothing speaks against it and nothing proves it: the confidence stays what the rule says.
    Open,
    /// It cannot be a secret of this kind. The rule's `fails` says what happens: `discard` or `guessed`.
    Fails(&'static str),
    /// It is one, but worth less than it looks (expired, signed with a published key, encrypted): one step down.
    Weak(&'static str),
}

/// One offline check.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    name: &'static str,
    run: fn(secret: &[u8], matched: &[u8]) -> Outcome,
    /// Whether it holds by chance alone less than once in sixty thousand.
    checksum: bool,
}

const fn checksum(name: &'static str, run: fn(&[u8], &[u8]) -> Outcome) -> Check {
    Check { name, run, checksum: true }
}

const fn other(name: &'static str, run: fn(&[u8], &[u8]) -> Outcome) -> Check {
    Check { name, run, checksum: false }
}

/// Every check. The table above says what each looks at.
const CHECKS: &[Check] = &[
    other("aws-key-id", aws::key_id),
    other("azure-cask", azure::cask),
    checksum("base58check", encoded::base58check),
    other("basic-auth", basic::basic_auth),
    checksum("bech32", encoded::bech32),
    checksum("github-crc32", crc32::github),
    checksum("gitlab-routable", crc32::gitlab_routable),
    other("google-service-account", google::service_account),
    other("grafana", crc32::grafana),
    other("java-keystore", keystore::java),
    other("jwt", jwt::jwt),
    other("key-32", encoded::key_32),
    other("key-64", encoded::key_64),
    other("key-argument", guess::key_argument),
    other("keystore-base64", keystore::base64),
    other("luhn", luhn::luhn),
    other("named-value", guess::named_value),
    checksum("nkey", encoded::nkey),
    checksum("npm-crc32", crc32::npm),
    other("password", guess::password),
    other("password-call", guess::password_call),
    other("password-setting", guess::password_setting),
    other("password-strong", guess::password_strong),
    other("password-told", guess::password_told),
    other("password-value", guess::password_value),
    other("pem", pem::private_key),
    other("pkcs12", keystore::pkcs12),
    other("prefixed", guess::prefixed),
    other("random", guess::random),
    other("seed", guess::seed),
    other("structure", structure::structure),
    other("token", guess::token),
    other("url", url::url),
];

/// The check of this name, if there is one.
pub fn find(name: &str) -> Option<Check> {
    CHECKS.iter().find(|check| check.name == name).copied()
}

/// The names of all checks, in alphabetical order.
pub fn names() -> impl Iterator<Item = &'static str> {
    CHECKS.iter().map(|check| check.name)
}

impl Check {
    /// The name by which rules call it.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it verifies a checksum: when it holds, no word in the value and no lack of randomness makes a
    /// placeholder of it.
    pub fn is_checksum(&self) -> bool {
        self.checksum
    }

    /// Looks at one match. `secret` is the rule's secret group, `matched` the whole match that contains it.
    pub fn run(&self, secret: &[u8], matched: &[u8]) -> Outcome {
        (self.run)(secret, matched)
    }
}
