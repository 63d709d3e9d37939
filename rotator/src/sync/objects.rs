//! The Secrets, ConfigMaps and namespaces that stores and templates refer to: from the manifests first, then from
//! the cluster, if there is one.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret as KubeSecret};
use kube::Api;
use shared::secret::Secret;

use super::secret::SecretObject;
use crate::manifest::Manifests;

/// Where referred objects are looked up.
pub struct Objects<'a> {
    manifests: &'a Manifests,
    cluster: Option<kube::Client>,
}

/// Why a referred value is not there. Names objects and keys only.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ObjectError {
    /// There is no such object.
    #[error("there is no {kind} {name}{hint}")]
    Missing {
        /// Secret or ConfigMap.
        kind: &'static str,
        /// `namespace/name`.
        name: String,
        /// Where it was looked for.
        hint: &'static str,
    },
    /// The object has no such key.
    #[error("{kind} {name} has no key \"{key}\"; add it, or correct the reference")]
    NoKey {
        /// Secret or ConfigMap.
        kind: &'static str,
        /// `namespace/name`.
        name: String,
        /// The key.
        key: String,
    },
    /// The API server did not give it.
    #[error("{kind} {name} cannot be read: {why}")]
    Refused {
        /// Secret or ConfigMap.
        kind: &'static str,
        /// `namespace/name`.
        name: String,
        /// Why, in our words.
        why: String,
    },
}

impl<'a> Objects<'a> {
    /// Looks in the manifests, and then in the cluster if there is one.
    pub fn new(manifests: &'a Manifests, cluster: Option<kube::Client>) -> Self {
        Self { manifests, cluster }
    }

    /// The cluster, if there is one.
    pub fn cluster(&self) -> Option<&kube::Client> {
        self.cluster.as_ref()
    }

    fn missing(&self, kind: &'static str, name: String) -> ObjectError {
        let hint = if self.cluster.is_some() {
            "; create it, or correct the reference"
        } else {
            " in these files; add it, or correct the reference"
        };
        ObjectError::Missing { kind, name, hint }
    }

    /// One value of a Secret.
    ///
    /// # Errors
    /// When the Secret or the key is not there.
    pub async fn secret(&self, namespace: &str, name: &str, key: &str) -> Result<Secret, ObjectError> {
        let full = format!("{namespace}/{name}");
        let no_key = || ObjectError::NoKey { kind: "Secret", name: full.clone(), key: key.to_owned() };
        let known = self.manifests.secrets.iter().find(|s| s.name() == name && s.namespace() == namespace);
        if let Some(known) = known {
            return known.spec.get(key).map(Secret::duplicate).ok_or_else(no_key);
        }
        let Some(client) = &self.cluster else { return Err(self.missing("Secret", full)) };
        let api: Api<KubeSecret> = Api::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|error| ObjectError::Refused {
            kind: "Secret",
            name: full.clone(),
            why: crate::target::cluster::words(&error),
        })?;
        let Some(found) = found.map(SecretObject::new) else { return Err(self.missing("Secret", full)) };
        let value =
            found.expose(|secret| secret.data.as_ref()?.get(key).map(|value| Secret::copy_of(&value.0)));
        value.ok_or_else(no_key)
    }

    /// One text of a ConfigMap.
    ///
    /// # Errors
    /// When the ConfigMap or the key is not there.
    pub async fn config(&self, namespace: &str, name: &str, key: &str) -> Result<String, ObjectError> {
        let full = format!("{namespace}/{name}");
        let no_key = || ObjectError::NoKey { kind: "ConfigMap", name: full.clone(), key: key.to_owned() };
        let known =
            self.manifests.config_maps.iter().find(|c| c.name() == name && c.namespace() == namespace);
        if let Some(known) = known {
            return known.spec.data.get(key).cloned().ok_or_else(no_key);
        }
        let Some(client) = &self.cluster else { return Err(self.missing("ConfigMap", full)) };
        let api: Api<ConfigMap> = Api::namespaced(client.clone(), namespace);
        let found = api.get_opt(name).await.map_err(|error| ObjectError::Refused {
            kind: "ConfigMap",
            name: full.clone(),
            why: crate::target::cluster::words(&error),
        })?;
        let Some(found) = found else { return Err(self.missing("ConfigMap", full)) };
        found.data.and_then(|mut data| data.remove(key)).ok_or_else(no_key)
    }

    /// A namespace's labels; none where the namespace is not known.
    pub async fn namespace_labels(&self, name: &str) -> Option<BTreeMap<String, String>> {
        if let Some(known) = self.manifests.namespaces.iter().find(|known| known.name() == name) {
            return Some(with_own_name(known.meta.labels.clone(), name));
        }
        let api: Api<Namespace> = Api::all(self.cluster.clone()?);
        let found = api.get_opt(name).await.ok()??;
        Some(with_own_name(found.metadata.labels, name))
    }
}

/// A namespace's labels with its name among them: the API server sets that on every namespace, a manifest seldom writes it.
pub(super) fn with_own_name(
    labels: Option<BTreeMap<String, String>>,
    name: &str,
) -> BTreeMap<String, String> {
    let mut labels = labels.unwrap_or_default();
    labels.entry("kubernetes.io/metadata.name".to_owned()).or_insert_with(|| name.to_owned());
    labels
}
