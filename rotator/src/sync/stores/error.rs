//! Why a store cannot be used.

/// Why a store cannot be used. One line that names the store and what to do; no secret.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// There is no such store.
    #[error("there is no {kind} {name}; create it, or correct the reference")]
    Missing {
        /// SecretStore or ClusterSecretStore.
        kind: &'static str,
        /// `namespace/name`, or the name.
        name: String,
    },
    /// The store belongs to another controller.
    #[error("{store}: another controller serves this store ({controller}); left alone")]
    OtherController {
        /// The store.
        store: String,
        /// The controller's name.
        controller: String,
    },
    /// A ClusterSecretStore that this namespace may not use.
    #[error("{store}: the namespace {namespace} may not use this store; see its conditions")]
    NotAllowed {
        /// The store.
        store: String,
        /// The namespace.
        namespace: String,
    },
    /// The store's own manifest is wrong.
    #[error("{store}: {what}")]
    Invalid {
        /// The store.
        store: String,
        /// What is wrong and what to do.
        what: String,
    },
}
