//! What reaches the log, and what does not.

use std::io::Write;
use std::sync::{Arc, Mutex};

use super::{Form, Verbosity, subscriber};
use crate::secret::Secret;

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

fn logged(verbosity: Verbosity, form: Form, act: impl FnOnce()) -> String {
    let log = Log::default();
    let writer = log.clone();
    tracing::subscriber::with_default(subscriber(verbosity, form, move || writer.clone()), act);
    log.text()
}

#[test]
fn a_secret_in_a_log_line_is_its_length() {
    let canary = "c4n4ry-horse-staple";
    for form in [Form::Text { color: true }, Form::Text { color: false }, Form::Json] {
        let text = logged(Verbosity::Trace, form, || {
            let secret = Secret::from_string(canary.into());
            tracing::error!(?secret, "could not set {:?}", &secret);
        });
        assert!(text.contains("Secret(19 bytes)") && !text.contains(canary), "{text}");
    }
}

#[test]
fn flags_raise_our_levels_and_never_those_of_libraries() {
    let all = || {
        tracing::error!("own error");
        tracing::info!("own info");
        tracing::trace!("own trace");
        tracing::warn!(target: "hyper", "library warning");
        tracing::debug!(target: "hyper", "library debug");
    };
    let lines = |verbosity| logged(verbosity, Form::Json, all).lines().count();
    assert_eq!(lines(Verbosity::from_flags(true, 3)), 1);
    assert_eq!(lines(Verbosity::from_flags(false, 0)), 2);
    assert_eq!(lines(Verbosity::from_flags(false, 1)), 3);
    assert_eq!(lines(Verbosity::from_flags(false, 9)), 4);
}

#[test]
fn each_json_line_is_an_object_with_time_level_and_fields() {
    let text = logged(Verbosity::Usual, Form::Json, || tracing::warn!(store = "vault", "sealed\nagain"));
    assert_eq!(text.lines().count(), 1, "{text}");
    let line: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(
        (&line["level"], &line["store"], &line["message"]),
        (&"WARN".into(), &"vault".into(), &"sealed\nagain".into())
    );
    assert!(line["timestamp"].as_str().unwrap().ends_with('Z'));
}

#[test]
fn names_from_outside_cannot_steer_a_terminal() {
    let text = logged(Verbosity::Usual, Form::Text { color: false }, || {
        tracing::warn!(name = "\u{1b}[2Jx", "file \u{1b}]0;title\u{7} skipped");
    });
    assert!(!text.contains('\u{1b}') && !text.contains('\u{7}'), "{text:?}");
}

#[test]
fn a_reader_that_went_away_ends_the_log_and_not_the_program() {
    struct Closed;
    impl Write for Closed {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Err(std::io::ErrorKind::BrokenPipe.into())
        }
    }
    let subscriber = subscriber(Verbosity::Usual, Form::Json, || Closed);
    tracing::subscriber::with_default(subscriber, || tracing::error!("to nobody"));
}
