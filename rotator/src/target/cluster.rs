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

/// Longer than any name of an object.
const NAME_CHARS_MAX: usize = 253;

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
        kube::Error::Api(status)
            if matches!(status.code, 400 | 403 | 422) && denied_by(&status.message).is_some() =>
        {
            denied_by(&status.message).unwrap_or_default()
        }
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

/// Who refused, where it was neither our rights nor the object: a quota, a policy or a webhook, by name. The rest of
/// such a message may quote the object, and with it a value.
fn denied_by(message: &str) -> Option<String> {
    let name = |before: &str, end: char| {
        let (_, rest) = message.split_once(before)?;
        let name: String = rest.split(end).next()?.chars().take(NAME_CHARS_MAX).collect();
        // Names of objects have no other characters.
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.' | ':');
        (!name.is_empty() && name.chars().all(plain)).then_some(name)
    };
    if let Some(quota) = name("exceeded quota: ", ',') {
        return Some(format!(
            "the quota {quota} of the namespace is full; raise it, or remove what it counts"
        ));
    }
    if let Some(policy) = name("ValidatingAdmissionPolicy '", '\'') {
        return Some(format!("the admission policy {policy} refuses it; see what that policy wants"));
    }
    let webhook = name("admission webhook \"", '"')?;
    Some(format!("the admission webhook {webhook} refuses it; see what that webhook wants"))
}

#[cfg(test)]
mod tests {
    use super::denied_by;

    #[test]
    fn who_refuses_is_named_and_nothing_is_quoted() {
        for (message, wanted) in [
            (
                "secrets \"a\" is forbidden: exceeded quota: small, requested: count/secrets=1, used: count/secrets=1",
                Some("the quota small"),
            ),
            (
                "secrets \"a\" is forbidden: ValidatingAdmissionPolicy 'no-a' with binding 'b' denied request: hunter2",
                Some("the admission policy no-a"),
            ),
            (
                "admission webhook \"x.example.com\" denied the request: hunter2",
                Some("the admission webhook x.example"),
            ),
            ("admission webhook \"<b>hunter2\" denied the request", None),
            ("secrets is forbidden: User \"u\" cannot create resource \"secrets\" in API group \"\"", None),
        ] {
            let said = denied_by(message);
            assert_eq!(said.is_some(), wanted.is_some(), "{message}");
            assert!(said.is_none_or(|said| said.starts_with(wanted.unwrap()) && !said.contains("hunter2")));
        }
    }
}
