//! What a server's refusal means. Its text is never kept: it may quote a statement.

use std::error::Error as _;

use super::connect::AskedInTheClear;
use super::settings::DoorKind;

/// Why something was not done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// The secret is wrong.
    Refused,
    /// The secret was not wrong (or not looked at), and the account may not log in anywhere.
    NoLogin,
    /// No line of pg_hba.conf lets this account in from here: that says nothing of the secret.
    NotLetIn,
    /// The administrator's rights do not reach that far.
    Denied,
    /// A check of the server (passwordcheck) does not take the new password.
    Rejected,
    /// Anything else: time may heal it. A short class.
    Lost(String),
}

impl Failure {
    pub(super) fn lost(class: &str) -> Self {
        Self::Lost(class.to_owned())
    }

    /// What an error of the client means at this door.
    pub(super) fn of(error: &tokio_postgres::Error, kind: DoorKind) -> Self {
        if let Some(told) = error.as_db_error() {
            return classify(told.code().code(), told.routine(), told.message(), kind);
        }
        let source = error.source();
        if source.and_then(|source| source.downcast_ref::<std::io::Error>()).is_some_and(is_in_the_clear) {
            return Self::lost("asks for the password in the clear");
        }
        Self::lost(if is_of_tls(error) {
            "no TLS with a trusted certificate"
        } else if error.is_closed() {
            "connection lost"
        } else {
            "unreachable"
        })
    }

    /// A short class for journals and people.
    pub(super) fn class(&self) -> &str {
        match self {
            Self::Refused => "login refused",
            Self::NoLogin => "role without LOGIN",
            Self::NotLetIn => "pg_hba.conf lets the account not in",
            Self::Denied => "denied",
            Self::Rejected => "rejected",
            Self::Lost(class) => class,
        }
    }
}

/// The client library tells this kind of failure by its own text alone.
fn is_of_tls(error: &tokio_postgres::Error) -> bool {
    error.to_string().starts_with("error performing TLS handshake")
}

fn is_in_the_clear(error: &std::io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<AskedInTheClear>())
}

/// How PgBouncer refuses a login. Until 1.20 it gives every error the same code, and it speaks English alone.
const POOLER_REFUSES: [&str; 3] =
    ["SASL authentication failed", "password authentication failed", "no such user"];

/// Codes of PostgreSQL's appendix A, and the routine of the server's source that raised it.
fn classify(code: &str, routine: Option<&str>, message: &str, kind: DoorKind) -> Failure {
    match code {
        "08P01" if kind == DoorKind::Pooler && POOLER_REFUSES.contains(&message) => Failure::Refused,
        "28P01" => Failure::Refused,
        // The role has NOLOGIN or is gone, which is looked at after the password; PgBouncer does not use this code.
        "28000" if routine == Some("InitializeSessionUserId") => Failure::NoLogin,
        "28000" if kind != DoorKind::Pooler => Failure::NotLetIn,
        "42501" => Failure::Denied,
        "22023" | "23514" | "42939" => Failure::Rejected,
        "53300" => Failure::lost("too many connections"),
        "55P03" | "57014" => Failure::lost("timeout"),
        "57P01" | "57P02" | "57P03" => Failure::lost("starting or stopping"),
        "25006" => Failure::lost("read-only server"),
        "3D000" => Failure::lost("no such database"),
        code if code.starts_with("08") => Failure::lost("unreachable"),
        code => Failure::Lost(format!("SQLSTATE {code}")),
    }
}

#[cfg(test)]
mod tests {
    use super::{DoorKind, Failure, classify};

    #[test]
    fn only_the_servers_word_on_the_login_is_a_refusal() {
        let primary = |code, routine| classify(code, routine, "", DoorKind::Primary);
        let pooler = |code, message| classify(code, None, message, DoorKind::Pooler);
        assert_eq!(primary("28P01", Some("auth_failed")), Failure::Refused);
        assert_eq!(primary("28000", Some("InitializeSessionUserId")), Failure::NoLogin);
        assert_eq!(primary("28000", Some("ClientAuthentication")), Failure::NotLetIn);
        assert_eq!(primary("28000", None), Failure::NotLetIn);
        for code in ["53300", "57P03", "57P01", "08006", "XX000", "3D000", "42501", "08P01"] {
            assert_ne!(primary(code, None), Failure::Refused, "{code}");
            assert_ne!(pooler(code, "server login has been failing"), Failure::Refused, "{code}");
        }
        assert_eq!(pooler("08P01", "SASL authentication failed"), Failure::Refused);
        assert_eq!(
            classify("08P01", None, "SASL authentication failed", DoorKind::Primary),
            Failure::lost("unreachable")
        );
    }
}
