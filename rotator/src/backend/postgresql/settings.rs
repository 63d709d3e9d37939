//! What a manifest says of a PostgreSQL target, parsed and valid.

use std::collections::BTreeSet;

use super::tls::Tls;
use crate::manifest::external_secret::StoreKind;
use crate::manifest::object::Object;
use crate::manifest::postgresql::{AdminRef, PostgreSqlEndpoint, PostgreSqlSpec};
use crate::manifest::problem::Problem;
use crate::manifest::rotation::ClusterRotationTargetSpec;
use crate::rotation::spec::{Endpoint, Strategy};

/// PostgreSQL cuts longer names off, and the rest would be another role's name.
const NAME_BYTES_MAX: usize = 63;
/// Each endpoint is asked several times in every run.
const ENDPOINTS_MAX: usize = 64;

/// A PostgreSQL target.
pub struct Settings {
    pub(super) doors: Vec<Door>,
    pub(super) tls: Tls,
    endpoints: Vec<Endpoint>,
    admin: AdminRef,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Door {
    /// `target/endpoint`, for messages.
    pub(super) label: String,
    pub(super) name: String,
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) database: String,
    pub(super) kind: DoorKind,
}

/// What stands behind an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum DoorKind {
    /// A server that takes writes.
    Primary,
    /// A server that follows one.
    Replica,
    /// A PgBouncer.
    Pooler,
}

impl Settings {
    /// Reads the manifest.
    ///
    /// # Errors
    /// Every mistake.
    pub fn parse(
        target: &Object<ClusterRotationTargetSpec>,
        spec: &PostgreSqlSpec,
        admin: Option<&AdminRef>,
    ) -> Result<Self, Vec<Problem>> {
        let mut problems = Vec::new();
        let mut complain = |path: String, what: &str| {
            problems.push(target.problem("ClusterRotationTarget", &path, what.to_owned()));
        };
        let admin = match admin {
            Some(admin) if admin.store_ref.kind != StoreKind::ClusterSecretStore => {
                complain(
                    "spec.adminRef.storeRef.kind".into(),
                    "a target of the whole cluster reads from a ClusterSecretStore; write that kind",
                );
                None
            }
            Some(admin) => Some(admin.clone()),
            None => {
                complain("spec".into(), "add adminRef: where the administrator's credential lies");
                None
            }
        };
        let mut doors = Vec::new();
        let mut names = BTreeSet::new();
        for (index, endpoint) in spec.endpoints.iter().enumerate() {
            let at = format!("spec.postgresql.endpoints[{index}]");
            if endpoint.name.is_empty() {
                complain(format!("{at}.name"), "give it a name; journals and receipts speak of it");
            } else if !names.insert(&endpoint.name) {
                complain(format!("{at}.name"), "two endpoints have this name; rename one");
            }
            match parse_address(&endpoint.address) {
                Some((host, port)) => doors.push(door(target.name(), spec, endpoint, host, port)),
                None => complain(format!("{at}.address"), "write host and port, as in db:5432 or [::1]:5432"),
            }
        }
        if !spec.endpoints.iter().any(|e| !e.read_only && !e.pgbouncer) {
            complain("spec.postgresql.endpoints".into(), "name at least one server that takes writes");
        }
        if spec.endpoints.len() > ENDPOINTS_MAX {
            complain("spec.postgresql.endpoints".into(), "more than 64 endpoints; make two targets of them");
        }
        let tls = match Tls::parse(&spec.tls, &target.origin) {
            Ok(tls) => Some(tls),
            Err((field, what)) => {
                complain(format!("spec.postgresql.tls.{field}"), &what);
                None
            }
        };
        match (admin, tls) {
            (Some(admin), Some(tls)) if problems.is_empty() => {
                let endpoints = doors.iter().map(Door::endpoint).collect();
                Ok(Self { doors, tls, endpoints, admin })
            }
            _ => Err(problems),
        }
    }

    /// The endpoints, as the machine knows them.
    pub fn endpoints(&self) -> &[Endpoint] {
        &self.endpoints
    }

    /// Where the administrator's credential lies.
    pub fn admin(&self) -> &AdminRef {
        &self.admin
    }

    pub(super) fn door(&self, endpoint: &str) -> Option<&Door> {
        self.doors.iter().find(|door| door.name == endpoint)
    }

    /// Those of a kind.
    pub(super) fn of_kind(&self, kind: DoorKind) -> impl Iterator<Item = &Door> {
        self.doors.iter().filter(move |door| door.kind == kind)
    }
}

impl Door {
    fn endpoint(&self) -> Endpoint {
        Endpoint { name: self.name.clone(), read_only: self.kind != DoorKind::Primary }
    }
}

fn door(target: &str, spec: &PostgreSqlSpec, endpoint: &PostgreSqlEndpoint, host: &str, port: u16) -> Door {
    let kind = match (endpoint.pgbouncer, endpoint.read_only) {
        (true, _) => DoorKind::Pooler,
        (false, true) => DoorKind::Replica,
        (false, false) => DoorKind::Primary,
    };
    Door {
        label: format!("{target}/{}", endpoint.name),
        name: endpoint.name.clone(),
        host: host.to_owned(),
        port,
        database: endpoint.database.clone().unwrap_or_else(|| spec.database.clone()),
        kind,
    }
}

/// Host and port; an IPv6 address stands in brackets.
fn parse_address(address: &str) -> Option<(&str, u16)> {
    let (host, port) = address.rsplit_once(':')?;
    let host = match host.strip_prefix('[') {
        Some(inner) => inner.strip_suffix(']')?,
        None if host.contains(':') => return None,
        None => host,
    };
    let port = port.parse().ok().filter(|&port| port != 0)?;
    let good = !host.is_empty() && !host.contains(|c: char| c.is_whitespace() || c.is_control() || c == '/');
    good.then_some((host, port))
}

/// What PostgreSQL cannot do for a Rotation, with the path in the Rotation; none, if it can.
pub fn unsuited(strategy: &Strategy, role: Option<&str>) -> Option<(&'static str, String)> {
    let accounts: Vec<&str> = match strategy {
        Strategy::Dual { .. } => {
            let what = "a PostgreSQL role has one password; write alternating, or single with allowOutage";
            return Some(("spec.strategy", what.to_owned()));
        }
        Strategy::Alternating { accounts } => {
            let Some(role) = role else {
                let what = "name the role that both accounts belong to and that owns the objects";
                return Some(("spec.strategy.alternating", format!("{what}: add role")));
            };
            if accounts.iter().any(|account| account == role) {
                let what = "the role owns the objects and is not one of the accounts; name another";
                return Some(("spec.strategy.alternating.role", what.to_owned()));
            }
            accounts.iter().map(String::as_str).chain([role]).collect()
        }
        Strategy::Single { account } => vec![account],
    };
    let bad =
        |name: &&&str| name.is_empty() || name.len() > NAME_BYTES_MAX || name.chars().any(char::is_control);
    accounts.iter().find(bad).map(|name| {
        let shown = name.escape_default();
        ("spec.strategy", format!("`{shown}` is no name of a role: 1 to 63 bytes, no control characters"))
    })
}

#[cfg(test)]
mod tests {
    use super::{parse_address, unsuited};
    use crate::rotation::spec::Strategy;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        assert_eq!(parse_address("db:5432"), Some(("db", 5432)));
        assert_eq!(parse_address("[::1]:5432"), Some(("::1", 5432)));
        assert_eq!(parse_address("10.0.0.7:6432"), Some(("10.0.0.7", 6432)));
        for wrong in
            ["", "db", "db:", ":5432", "db:0", "db:65536", "::1:5432", "[::1:5432", "/tmp:5432", "a b:1"]
        {
            assert_eq!(parse_address(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_that_postgresql_would_cut_off_are_refused() {
        let single = |account: String| Strategy::Single { account };
        assert!(unsuited(&single("a".repeat(63)), None).is_none());
        for wrong in ["a".repeat(64), String::new(), "a\0b".to_owned()] {
            assert!(unsuited(&single(wrong.clone()), None).is_some(), "{wrong:?}");
        }
    }

    #[test]
    fn two_accounts_need_a_role_of_their_own() {
        let two = Strategy::Alternating { accounts: ["orders_a".into(), "orders_b".into()] };
        assert!(unsuited(&two, Some("orders")).is_none());
        assert!(unsuited(&two, None).is_some_and(|(_, what)| what.contains("add role")));
        assert!(unsuited(&two, Some("orders_a")).is_some());
        assert!(unsuited(&Strategy::Dual { account: "orders".into() }, None).is_some());
    }
}
