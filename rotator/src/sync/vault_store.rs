//! From a manifest's `provider.vault` to a client: every reference fetched, every default said.

use std::path::PathBuf;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use futures::future::BoxFuture;
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use kube::api::PostParams;
use shared::retry::Backoff;
use shared::secret::Secret;

use super::objects::Objects;
use super::stores::StoreError;
use crate::manifest::external_secret::StoreKind;
use crate::manifest::store::{
    CaProviderKind, JwtAuth, KubernetesAuth, KvVersion, RetrySettings, SecretKeyRef, ServiceAccountRef,
    VaultAuth, VaultSpec,
};
use crate::provider::Provider;
use crate::vault::{
    self, Auth, Client, ClientIdentity, CredentialError, Limits, Meter, Mint, Servers, Token, VaultConfig,
};

/// How long a service account's token lives that is made for one login, in seconds: the shortest that the API
/// server grants.
const TOKEN_SECONDS: i64 = 600;
/// Where a pod finds its own token.
const POD_TOKEN: &str = "/var/run/secrets/kubernetes.io/serviceaccount/token";

/// Who asks, and where references are looked up.
pub struct Context<'a> {
    /// The store's name in messages.
    pub store: &'a str,
    /// Its kind.
    pub kind: StoreKind,
    /// The namespace of the ExternalSecret (and of a SecretStore).
    pub namespace: &'a str,
    /// Where references are looked up.
    pub objects: &'a Objects<'a>,
    /// What stores of one server share.
    pub servers: &'a Servers,
    /// By what requests are counted.
    pub meter: &'a Meter,
}

impl Context<'_> {
    fn invalid(&self, what: impl Into<String>) -> StoreError {
        StoreError::Invalid { store: self.store.to_owned(), what: what.into() }
    }

    /// The namespace that a reference means. A SecretStore stays in its own: whoever writes one must not read
    /// another namespace with our rights.
    fn namespace_of<'a>(&'a self, named: Option<&'a str>) -> Result<&'a str, StoreError> {
        match (self.kind, named.filter(|named| !named.is_empty())) {
            (_, None) => Ok(self.namespace),
            (StoreKind::ClusterSecretStore, Some(named)) => Ok(named),
            (StoreKind::SecretStore, Some(named)) if named == self.namespace => Ok(named),
            (StoreKind::SecretStore, Some(named)) => Err(self.invalid(format!(
                "a SecretStore reads its own namespace only, not {named}; leave namespace out"
            ))),
        }
    }

    async fn secret(&self, reference: &SecretKeyRef, key_default: &str) -> Result<Secret, StoreError> {
        let namespace = self.namespace_of(reference.namespace.as_deref())?;
        let key = reference.key.as_deref().filter(|key| !key.is_empty()).unwrap_or(key_default);
        let found = self.objects.secret(namespace, &reference.name, key).await;
        found.map_err(|error| self.invalid(error.to_string()))
    }

    /// Text from a Secret without line ends around it: an editor adds them, and no server wants them.
    async fn text(&self, reference: &SecretKeyRef, key_default: &str) -> Result<Secret, StoreError> {
        let secret = self.secret(reference, key_default).await?;
        Ok(secret.expose(|bytes| Secret::copy_of(bytes.trim_ascii())))
    }
}

/// Makes the client of a store. Nothing is sent yet.
///
/// # Errors
/// When a reference or a setting is wrong.
pub async fn open(
    spec: &VaultSpec,
    retry: Option<&RetrySettings>,
    context: &Context<'_>,
) -> Result<Provider, StoreError> {
    let auth =
        spec.auth.as_ref().ok_or_else(|| context.invalid("no auth is given; add one to provider.vault"))?;
    let mut identity = None;
    if let (Some(cert), Some(key)) = (&spec.tls.cert_secret_ref, &spec.tls.key_secret_ref) {
        identity = Some(read_identity(context, cert, key).await?);
    }
    if let Some(cert) = auth.cert.as_ref().filter(|_| is_cert_login(auth)) {
        identity = Some(read_identity(context, &cert.client_cert, &cert.secret_ref).await?);
    }
    let config = VaultConfig {
        name: context.store.to_owned(),
        server: spec.server.clone(),
        path: spec.path.clone(),
        version: match spec.version {
            KvVersion::V1 => vault::KvVersion::V1,
            KvVersion::V2 => vault::KvVersion::V2,
        },
        namespace: spec.namespace.clone(),
        auth_namespace: auth.namespace.clone(),
        headers: spec.headers.iter().map(|(k, v)| (k.clone(), Secret::copy_of(v.as_bytes()))).collect(),
        ca_pem: authority(spec, context).await?,
        client_identity: identity,
        auth: resolve_auth(auth, context).await?,
        read_your_writes: spec.read_your_writes,
        forward_inconsistent: spec.forward_inconsistent,
        limits: limits(retry),
    };
    let server = context.servers.at(&config.server, config.limits.in_flight_max);
    match Client::of(config, &server, context.meter) {
        Ok(client) => Ok(Provider::Vault(Arc::new(client))),
        Err(error) => Err(context.invalid(error.problem)),
    }
}

fn is_cert_login(auth: &VaultAuth) -> bool {
    auth.token_secret_ref.is_none()
        && auth.app_role.is_none()
        && auth.kubernetes.is_none()
        && auth.ldap.is_none()
        && auth.user_pass.is_none()
        && auth.jwt.is_none()
}

fn limits(retry: Option<&RetrySettings>) -> Limits {
    let mut limits = Limits::default();
    if let Some(retry) = retry {
        let first = retry.retry_interval.map_or(limits.backoff.first, |interval| interval.0);
        let retries = retry.max_retries.unwrap_or(limits.backoff.retries);
        limits.backoff = Backoff { first, retries, ..limits.backoff };
    }
    limits
}

async fn read_identity(
    context: &Context<'_>,
    certificate: &SecretKeyRef,
    key: &SecretKeyRef,
) -> Result<ClientIdentity, StoreError> {
    let certificate = context.secret(certificate, "tls.crt").await?;
    let key_pem = context.secret(key, "tls.key").await?;
    // A certificate is public.
    Ok(ClientIdentity { certificate_pem: certificate.expose(<[u8]>::to_vec), key_pem })
}

async fn authority(spec: &VaultSpec, context: &Context<'_>) -> Result<Option<Vec<u8>>, StoreError> {
    if let Some(bundle) = spec.ca_bundle.as_deref().filter(|bundle| !bundle.is_empty()) {
        let pem = BASE64_STANDARD.decode(bundle.split_ascii_whitespace().collect::<String>());
        return pem.map(Some).map_err(|_| context.invalid("caBundle is not base64 of PEM certificates"));
    }
    let Some(provider) = &spec.ca_provider else { return Ok(None) };
    let namespace = context.namespace_of(provider.namespace.as_deref())?;
    let key = provider.key.as_deref().unwrap_or_default();
    match provider.kind {
        CaProviderKind::Secret => {
            let found = context.objects.secret(namespace, &provider.name, key).await;
            found
                .map(|pem| Some(pem.expose(<[u8]>::to_vec)))
                .map_err(|error| context.invalid(error.to_string()))
        }
        CaProviderKind::ConfigMap => {
            let found = context.objects.config(namespace, &provider.name, key).await;
            found.map(|pem| Some(pem.into_bytes())).map_err(|error| context.invalid(error.to_string()))
        }
    }
}

/// The first login that is given counts, in the operator's order.
async fn resolve_auth(auth: &VaultAuth, context: &Context<'_>) -> Result<Auth, StoreError> {
    if let Some(reference) = &auth.token_secret_ref {
        let token = context.secret(reference, "token").await?;
        // The operator cannot send it either; trimming would hide that the Secret is wrong.
        if token.expose(|token| token.iter().any(u8::is_ascii_control)) {
            let name = &reference.name;
            return Err(
                context.invalid(format!("the token in Secret {name} holds a line end; store it without"))
            );
        }
        return Ok(Auth::Token(token));
    }
    if let Some(role) = &auth.app_role {
        let role_id = match &role.role_ref {
            Some(reference) => {
                let id = context.text(reference, "").await?;
                id.expose(|id| String::from_utf8(id.to_vec()))
                    .map_err(|_| context.invalid("the role id is not text"))?
            }
            None => role.role_id.as_deref().unwrap_or_default().trim().to_owned(),
        };
        let secret_id = context.text(&role.secret_ref, "").await?;
        return Ok(Auth::AppRole { mount: role.path.clone(), role_id, secret_id });
    }
    if let Some(kubernetes) = &auth.kubernetes {
        return resolve_kubernetes(kubernetes, context).await;
    }
    if let Some(ldap) = &auth.ldap {
        let password = context.text(&ldap.secret_ref, "").await?;
        let mount = ldap.path.clone().unwrap_or_else(|| "ldap".to_owned());
        return Ok(Auth::Ldap { mount, username: ldap.username.trim().to_owned(), password });
    }
    if let Some(login) = &auth.user_pass {
        let password = context.text(&login.secret_ref, "").await?;
        let mount = login.path.clone().unwrap_or_else(|| "userpass".to_owned());
        return Ok(Auth::UserPass { mount, username: login.username.trim().to_owned(), password });
    }
    if let Some(jwt) = &auth.jwt {
        return resolve_jwt(jwt, context).await;
    }
    if let Some(cert) = &auth.cert {
        let role = Some(cert.vault_role.clone()).filter(|role| !role.is_empty());
        return Ok(Auth::Cert { mount: cert.path.clone(), role });
    }
    Err(context.invalid("no way to log in is given; add one to provider.vault.auth"))
}

async fn resolve_kubernetes(auth: &KubernetesAuth, context: &Context<'_>) -> Result<Auth, StoreError> {
    let jwt = if let Some(account) = &auth.service_account_ref {
        minted(account, &account.audiences, TOKEN_SECONDS, context)?
    } else if let Some(reference) = &auth.secret_ref {
        Token::Fixed(context.secret(reference, "token").await?)
    } else {
        Token::File(PathBuf::from(POD_TOKEN))
    };
    Ok(Auth::Kubernetes { mount: auth.mount_path.clone(), role: auth.role.clone(), jwt })
}

async fn resolve_jwt(auth: &JwtAuth, context: &Context<'_>) -> Result<Auth, StoreError> {
    let jwt = if let Some(reference) = &auth.secret_ref {
        Token::Fixed(context.text(reference, "").await?)
    } else if let Some(token) = &auth.kubernetes_service_account_token {
        let mut audiences =
            if token.audiences.is_empty() { vec!["vault".to_owned()] } else { token.audiences.clone() };
        audiences.extend(token.service_account_ref.audiences.iter().cloned());
        let seconds = token.expiration_seconds.unwrap_or(TOKEN_SECONDS);
        minted(&token.service_account_ref, &audiences, seconds, context)?
    } else {
        return Err(context.invalid("auth.jwt needs secretRef or kubernetesServiceAccountToken"));
    };
    Ok(Auth::Jwt { mount: auth.path.clone(), role: auth.role.clone(), jwt })
}

fn minted(
    account: &ServiceAccountRef,
    audiences: &[String],
    seconds: i64,
    context: &Context<'_>,
) -> Result<Token, StoreError> {
    let client = context.objects.cluster().ok_or_else(|| {
        context
            .invalid("a service account's token is made by a cluster; use --target cluster, or another auth")
    })?;
    let namespace = context.namespace_of(account.namespace.as_deref())?.to_owned();
    Ok(Token::Minted(Arc::new(Account {
        client: client.clone(),
        namespace,
        name: account.name.clone(),
        audiences: audiences.to_vec(),
        seconds,
    })))
}

/// A service account whose tokens are asked for when they are needed.
struct Account {
    client: kube::Client,
    namespace: String,
    name: String,
    audiences: Vec<String>,
    seconds: i64,
}

impl Mint for Account {
    fn mint(&self) -> BoxFuture<'_, Result<Secret, CredentialError>> {
        Box::pin(async {
            let full = format!("{}/{}", self.namespace, self.name);
            let api: Api<ServiceAccount> = Api::namespaced(self.client.clone(), &self.namespace);
            let request = TokenRequest {
                spec: Some(TokenRequestSpec {
                    audiences: Some(self.audiences.clone()),
                    expiration_seconds: Some(self.seconds),
                    ..TokenRequestSpec::default()
                }),
                ..TokenRequest::default()
            };
            let answer = api.create_token_request(&self.name, &PostParams::default(), &request).await;
            let answer = answer.map_err(|error| {
                let why = crate::target::cluster::words(&error);
                CredentialError(format!("no token for the service account {full}: {why}"))
            })?;
            let token = answer.status.and_then(|status| status.token).map(Secret::from_string);
            token.ok_or_else(|| CredentialError(format!("the API server gave no token for {full}")))
        })
    }
}
