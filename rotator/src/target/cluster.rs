//! A cluster's Secrets.
//!
//! A Secret is created or replaced whole, against the resourceVersion that was read: a change by somebody else in
//! between is a conflict and never lost. This is the operator's own way; with server-side apply a foreign key in a
//! Secret of ours could not be taken out again. The field manager is the operator's too, so that the API server's
//! record of who wrote which key serves both.

use k8s_openapi::api::core::v1::Secret as KubeSecret;
use kube::Api;
use kube::api::{DeleteParams, PostParams, Preconditions};

use super::TargetError;
use crate::sync::secret::SecretObject;

/// A connection to an API server.
pub struct Cluster {
    client: kube::Client,
}

impl Cluster {
    /// Uses a client that is connected.
    pub fn new(client: kube::Client) -> Self {
        Self { client }
    }

    /// The connection.
    pub fn client(&self) -> &kube::Client {
        &self.client
    }

    fn api(&self, namespace: &str) -> Api<KubeSecret> {
        Api::namespaced(self.client.clone(), namespace)
    }

    /// The Secret that is there.
    ///
    /// # Errors
    /// When the API server does not give it.
    pub async fn read(&self, namespace: &str, name: &str) -> Result<Option<SecretObject>, TargetError> {
        let found = self.api(namespace).get_opt(name).await;
        found.map(|found| found.map(SecretObject::new)).map_err(|error| refused("reading", &error))
    }

    /// Creates the Secret, or replaces the one that was read.
    ///
    /// # Errors
    /// [`TargetError::Conflict`] when it changed since.
    pub async fn write(
        &self,
        secret: &SecretObject,
        before: Option<&SecretObject>,
        manager: &str,
    ) -> Result<(), TargetError> {
        let meta = secret.meta();
        let api = self.api(meta.namespace.as_deref().unwrap_or_default());
        let params = PostParams { field_manager: Some(manager.to_owned()), ..PostParams::default() };
        let body = secret.copy_without_record();
        // The answer holds the values as well: taken over, so that they are wiped.
        let answer = match before {
            None => api.create(&params, body.as_kube()).await.map(SecretObject::new),
            Some(_) => {
                let name = meta.name.as_deref().unwrap_or_default();
                api.replace(name, &params, body.as_kube()).await.map(SecretObject::new)
            }
        };
        answer.map(drop).map_err(|error| refused("writing", &error))
    }

    /// Removes the Secret if it is still the one that was read.
    ///
    /// # Errors
    /// When it changed since or the API server refuses.
    pub async fn delete(&self, secret: &SecretObject) -> Result<(), TargetError> {
        let meta = secret.meta();
        let api = self.api(meta.namespace.as_deref().unwrap_or_default());
        let params = DeleteParams {
            preconditions: Some(Preconditions {
                uid: meta.uid.clone(),
                resource_version: meta.resource_version.clone(),
            }),
            ..DeleteParams::default()
        };
        match api.delete(meta.name.as_deref().unwrap_or_default(), &params).await {
            Ok(_) => Ok(()),
            Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
            Err(error) => Err(refused("deleting", &error)),
        }
    }
}

fn refused(action: &'static str, error: &kube::Error) -> TargetError {
    match error {
        kube::Error::Api(status) if status.code == 409 => TargetError::Conflict,
        _ => TargetError::Refused { action, why: words(error) },
    }
}

/// What an API server's refusal means, in our words. Its own text can quote what was sent, so of it only the reason
/// (one word) and the code are told.
pub fn words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => match status.code {
            401 => "the API server does not accept our credentials (401); renew the kubeconfig or token"
                .to_owned(),
            403 => "the API server does not allow it (403); grant it in a Role".to_owned(),
            404 => "it does not exist in the cluster (404)".to_owned(),
            409 => "somebody else changed it at the same time (409); run again".to_owned(),
            413 => "it is too large (413); a Secret holds at most 1 MiB".to_owned(),
            422 => "the API server finds it invalid (422); see the type, its required keys and the size"
                .to_owned(),
            429 => "the API server is overloaded (429); run again".to_owned(),
            code => {
                let reason: String =
                    status.reason.chars().filter(char::is_ascii_alphanumeric).take(40).collect();
                format!("the API server answers {code} {reason}")
            }
        },
        kube::Error::Auth(_) => "the credentials of the kubeconfig cannot be used".to_owned(),
        kube::Error::HyperError(_) | kube::Error::Service(_) => {
            "the API server does not answer; check its address and that it runs".to_owned()
        }
        kube::Error::SerdeError(_) => "the API server's answer cannot be read".to_owned(),
        _ => "the API server cannot be reached".to_owned(),
    }
}
