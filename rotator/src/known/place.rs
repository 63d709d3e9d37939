//! Where a document lies, as manifests name it.

use crate::manifest::external_secret::{StoreKind, StoreRef};
use crate::manifest::object::Object;
use crate::manifest::postgresql::AdminRef;
use crate::manifest::rotation::RotationSpec;

/// Where a document lies. A store of a namespace is another one in another namespace; one of the whole cluster may
/// log in differently for each.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    /// The store.
    pub store: StoreRef,
    /// Whose.
    pub namespace: String,
    /// The path in it.
    pub path: String,
}

impl Place {
    /// Where a Rotation publishes.
    pub fn of_rotation(object: &Object<RotationSpec>) -> Self {
        let publish = &object.spec.publish;
        let (store, path) = (publish.store_ref.clone(), publish.key.clone());
        Self { store, namespace: object.namespace().to_owned(), path }
    }

    /// Where the credential of a target's administrator lies: the platform's, and of no namespace.
    pub fn of_admin(admin: &AdminRef) -> Self {
        Self { store: admin.store_ref.clone(), namespace: String::new(), path: admin.key.clone() }
    }

    /// Whether both are the same document.
    pub fn is_same_as(&self, other: &Self) -> bool {
        self.store == other.store
            && self.path == other.path
            && (self.store.kind == StoreKind::ClusterSecretStore || self.namespace == other.namespace)
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { store, namespace, path } = self;
        match store.kind {
            StoreKind::SecretStore => write!(f, "SecretStore {namespace}/{}: {path}", store.name),
            StoreKind::ClusterSecretStore => write!(f, "ClusterSecretStore {}: {path}", store.name),
        }
    }
}
