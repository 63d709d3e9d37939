//! Guessing with care: does a value in a secret's place look like one?
//!
//! `random` asks whether a value looks drawn at random, for tokens that only their context names. `password` asks
//! whether a value looks like a password that somebody uses. Both judge the value and the name it is assigned to;
//! neither proves anything, so the best answer is [`Outcome::Open`].
//!
//! Source: our own measurements over ordinary source trees; letter pairs after Norvig, "English Letter Frequency
//! Counts" (2013).

use super::{Outcome, alphabet, placeholder};

mod name;
mod shape;

/// Whether the value looks drawn at random.
pub(super) fn random(secret: &[u8], matched: &[u8]) -> Outcome {
    if let Some(why) = common_faults(secret, matched) {
        return Outcome::Fails(why);
    }
    if shape::is_random(secret) { Outcome::Open } else { Outcome::Fails("made of words") }
}

/// Whether the value looks like a password, or, where the name asks for a token, like a token.
pub(super) fn password(secret: &[u8], matched: &[u8]) -> Outcome {
    if let Some(why) = common_faults(secret, matched) {
        return Outcome::Fails(why);
    }
    let site = name::Site::of(secret, matched);
    if site.kind == name::Kind::None {
        return Outcome::Fails("the name says that something else stands here");
    }
    if site.kind != name::Kind::Password && shape::is_random(secret) {
        return Outcome::Open;
    }
    if !site.quoted {
        return if shape::is_bare_password(secret, site.operator) {
            Outcome::Open
        } else {
            Outcome::Fails("an unquoted value that could be code or prose")
        };
    }
    match (site.kind, shape::Text::of(secret)) {
        (_, shape::Text::Code) => Outcome::Fails("code or markup"),
        (_, shape::Text::Prose) => Outcome::Fails("a sentence"),
        (_, shape::Text::Strong) => Outcome::Open,
        (name::Kind::Password, shape::Text::Phrase | shape::Text::Word) => Outcome::Open,
        (name::Kind::Token, shape::Text::Phrase) => Outcome::Open,
        (name::Kind::Token, shape::Text::Word) if site.operator == name::Operator::Compares => Outcome::Open,
        (name::Kind::Token | name::Kind::None, shape::Text::Word | shape::Text::Phrase) => {
            Outcome::Fails("a word in a token's place")
        }
    }
}

/// What rules both out.
fn common_faults(secret: &[u8], matched: &[u8]) -> Option<&'static str> {
    if secret.is_empty() || !secret.iter().any(u8::is_ascii_alphanumeric) {
        return Some("no letter and no digit");
    }
    if placeholder::is_reference(secret) {
        return Some("a reference to a secret that is kept elsewhere");
    }
    if placeholder::is_placeholder(secret) {
        return Some("a placeholder");
    }
    let near = &matched[..matched.len().min(256)];
    if memchr::memmem::find(near, b"sha256-").is_some() || memchr::memmem::find(near, b"sha512-").is_some() {
        return Some("a hash for integrity");
    }
    None
}
