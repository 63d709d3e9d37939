//! How a store logs in.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A key of a Secret.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyRef {
    /// The Secret's name.
    #[serde(default)]
    pub name: String,
    /// Its namespace (ClusterSecretStore only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// The key in it; each use says its default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

/// A service account that logs in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq, Eq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountRef {
    /// Its name.
    pub name: String,
    /// Its namespace (ClusterSecretStore only).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// Audiences of the token; none: the API server's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
}

/// How to log in; the first field that is given counts.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct VaultAuth {
    /// The namespace to log in to, where it is not the store's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<String>,
    /// A token in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// AppRole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app_role: Option<AppRoleAuth>,
    /// Kubernetes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes: Option<KubernetesAuth>,
    /// LDAP.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ldap: Option<PasswordAuth>,
    /// JWT and OIDC.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jwt: Option<JwtAuth>,
    /// A client certificate.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cert: Option<CertAuth>,
    /// User name and password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_pass: Option<PasswordAuth>,
}

/// AppRole's two halves.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct AppRoleAuth {
    /// The mount of the auth method (`approle`).
    #[serde(default = "default_app_role_path")]
    pub path: String,
    /// The role id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_id: Option<String>,
    /// The role id from a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub role_ref: Option<SecretKeyRef>,
    /// The secret id.
    pub secret_ref: SecretKeyRef,
}

fn default_app_role_path() -> String {
    "approle".to_owned()
}

/// A service account's token, or one from a Secret, or the pod's own.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct KubernetesAuth {
    /// The mount of the auth method (`kubernetes`).
    #[serde(default = "default_kubernetes_path")]
    pub mount_path: String,
    /// A token is asked for this account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub service_account_ref: Option<ServiceAccountRef>,
    /// A token lies in this Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// The role at the server.
    pub role: String,
}

fn default_kubernetes_path() -> String {
    "kubernetes".to_owned()
}

/// User name and password (`ldap` and `userPass`).
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct PasswordAuth {
    /// The mount of the auth method.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// The user.
    pub username: String,
    /// The password.
    #[serde(default)]
    pub secret_ref: SecretKeyRef,
}

/// A signed token.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct JwtAuth {
    /// The mount of the auth method (`jwt`).
    #[serde(default = "default_jwt_path")]
    pub path: String,
    /// The role at the server.
    #[serde(default)]
    pub role: String,
    /// A token in a Secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
    /// A token asked for a service account.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kubernetes_service_account_token: Option<ServiceAccountToken>,
}

fn default_jwt_path() -> String {
    "jwt".to_owned()
}

/// A service account's token with its own audiences and life.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct ServiceAccountToken {
    /// The account.
    pub service_account_ref: ServiceAccountRef,
    /// Audiences (`vault` when none are given).
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub audiences: Vec<String>,
    /// Its life in seconds (600).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expiration_seconds: Option<i64>,
}

/// A client certificate that logs in.
#[derive(Clone, Debug, Default, Deserialize, Serialize, JsonSchema, PartialEq)]
#[serde(rename_all = "camelCase")]
pub struct CertAuth {
    /// The mount of the auth method (`cert`).
    #[serde(default = "default_cert_path")]
    pub path: String,
    /// The role at the server.
    #[serde(default)]
    pub vault_role: String,
    /// The certificate.
    #[serde(default)]
    pub client_cert: SecretKeyRef,
    /// Its key.
    #[serde(default)]
    pub secret_ref: SecretKeyRef,
}

fn default_cert_path() -> String {
    "cert".to_owned()
}
