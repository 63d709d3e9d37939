//! A canary value goes through every way in which Rust shows a value, and must not come out.

use std::panic::{AssertUnwindSafe, catch_unwind};

use super::{Redacted, Secret};

const CANARY: &str = "c4n4ry-horse-staple";

/// Any form in which the canary could have come out: as text, as the numbers of a byte slice, as hex.
fn shows_canary(text: &str) -> bool {
    let numbers = CANARY.bytes().take(4).map(|b| b.to_string()).collect::<Vec<_>>().join(", ");
    let hex: String = CANARY.bytes().take(6).map(|b| format!("{b:02x}")).collect();
    text.contains(CANARY) || text.contains(&numbers) || text.to_lowercase().contains(&hex)
}

#[test]
fn no_formatting_shows_a_secret() {
    let secret = Secret::from_string(CANARY.into());
    let redacted = Redacted::new(CANARY.as_bytes());
    for text in [
        format!("{secret:?}"),
        format!("{secret:#?}"),
        format!("{:?}", Some(&secret)),
        format!("{redacted:?}"),
        format!("{redacted:#?}"),
        format!("{:?}", vec![redacted]),
    ] {
        assert!(!shows_canary(&text), "{text}");
        assert!(text.contains("19 bytes"), "{text}");
    }
}

#[test]
fn a_panic_message_with_a_secret_shows_its_length_alone() {
    let secret = Secret::from_string(CANARY.into());
    let message = catch_unwind(AssertUnwindSafe(|| {
        let failed: Result<(), &Secret> = std::hint::black_box(Err(&secret));
        failed.unwrap();
    }))
    .unwrap_err();
    let message = message.downcast_ref::<String>().unwrap();
    assert!(message.contains("Secret(19 bytes)"), "{message}");
    assert!(!shows_canary(message), "{message}");
}

#[test]
fn the_check_for_the_canary_sees_it_in_each_form() {
    assert!(shows_canary(&format!("x{CANARY}x")));
    assert!(shows_canary(&format!("{:?}", CANARY.as_bytes())));
    assert!(shows_canary("63346E347279"));
    assert!(!shows_canary("an ordinary line"));
}

#[test]
fn secrets_compare_by_content() {
    let one = Secret::from_string(CANARY.into());
    assert!(one.same_as(&one.duplicate()));
    assert!(!one.same_as(&Secret::from_string("c4n4ry-horse-stapl3".into())));
    assert!(!one.same_as(&Secret::from_string("short".into())));
}

#[test]
fn a_stream_longer_than_its_limit_is_refused() {
    let mut exact = CANARY.as_bytes();
    assert_eq!(Secret::read_from(&mut exact, CANARY.len()).unwrap().len(), CANARY.len());
    let mut long = CANARY.as_bytes();
    let refused = Secret::read_from(&mut long, CANARY.len() - 1).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::FileTooLarge);
}
