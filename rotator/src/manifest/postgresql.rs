//! The PostgreSQL part of a ClusterRotationTarget, and the reference to an administrator's credential.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::external_secret::StoreRef;

/// Where an administrator's credential lies. Only a target has one: who writes Rotations cannot choose it.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct AdminRef {
    /// A ClusterSecretStore. Its conditions on namespaces speak of ExternalSecrets and do not count here.
    pub store_ref: StoreRef,
    /// The path in it.
    pub key: String,
    /// Which properties of the path hold what.
    #[serde(default)]
    pub properties: AdminProperties,
}

/// Names of properties.
#[derive(Clone, Debug, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(default, deny_unknown_fields)]
pub struct AdminProperties {
    /// The account.
    pub username: String,
    /// The secret.
    pub password: String,
}

impl Default for AdminProperties {
    fn default() -> Self {
        Self { username: "username".into(), password: "password".into() }
    }
}

/// A PostgreSQL server, its read replicas and poolers.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgreSqlSpec {
    /// At least one that takes writes.
    pub endpoints: Vec<PostgreSqlEndpoint>,
    /// The database that logins are made to; by default postgres.
    #[serde(default = "postgres")]
    pub database: String,
    /// How connections are protected.
    #[serde(default)]
    pub tls: TlsSpec,
}

fn postgres() -> String {
    "postgres".to_owned()
}

/// An address.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct PostgreSqlEndpoint {
    /// Its name in journals and receipts.
    pub name: String,
    /// Host and port, as in `db:5432` or `[::1]:5432`.
    pub address: String,
    /// A streaming replica: logins are tested here after it has replayed the change, and nothing is set.
    #[serde(default)]
    pub read_only: bool,
    /// A PgBouncer: logins are tested here, and nothing is set. It must ask the server (`auth_query`).
    #[serde(default)]
    pub pgbouncer: bool,
    /// Another database than the target's, where a pooler does not serve that one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
}

/// How connections are protected.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct TlsSpec {
    /// By default verify-full.
    #[serde(default)]
    pub mode: TlsMode,
    /// A file of certificates (PEM) to trust instead of the system's. Relative to the manifest's folder.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_file: Option<String>,
    /// The same certificates (PEM) in the manifest itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_bundle: Option<String>,
    /// The name in the server's certificate, where it is not the address's host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub server_name: Option<String>,
}

/// Whether connections are encrypted. There is no mode that encrypts without knowing to whom.
#[derive(Clone, Copy, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "kebab-case")]
pub enum TlsMode {
    /// TLS 1.2 or 1.3, and the certificate must be valid for the host.
    #[default]
    VerifyFull,
    /// No TLS. A server that asks for a password in the clear is refused.
    Disable,
}
