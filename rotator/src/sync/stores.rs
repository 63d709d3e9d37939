//! Opens the stores that ExternalSecrets name, each once.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use tokio::sync::{Mutex, OnceCell};

use super::objects::Objects;
use super::vault_store;
use crate::audit::Audit;
use crate::file_store::FileStore;
use crate::manifest::Manifests;
use crate::manifest::external_secret::{StoreKind, StoreRef};
use crate::manifest::object::{Origin, full_name};
use crate::manifest::problem::Problem;
use crate::manifest::store::{FileSpec, SecretStoreSpec, StoreCondition};
use crate::provider::{Document, Key, Metadata, Pass, Provider, ReadError};
use crate::template::go_regex::compile;
use crate::vault::{Meter, Servers};

mod error;

pub use error::StoreError;

/// The controller that serves a store, where the store names one.
pub const CONTROLLER: &str = "keyturn";

/// The stores of one run.
pub struct Stores<'a> {
    manifests: &'a Manifests,
    objects: Objects<'a>,
    opened: Mutex<HashMap<StoreId, Opened>>,
    audit: Option<Arc<Audit>>,
    marked_only: bool,
    servers: Servers,
    meter: Meter,
}

type Opened = Arc<OnceCell<Result<Arc<Store>, StoreError>>>;

/// A store that is open for one round.
pub struct Store {
    pass: Pass,
    /// Why nothing more is asked of it in this round.
    down: OnceLock<ReadError>,
}

impl Store {
    /// The store itself, for what outlives a round.
    pub fn provider(&self) -> &Provider {
        self.pass.provider()
    }

    /// Its name in messages.
    pub fn name(&self) -> &str {
        self.pass.provider().name()
    }

    /// How the login is called: the method and the role or user, never a credential.
    pub fn identity(&self) -> Option<String> {
        match self.pass.provider() {
            Provider::Vault(client) => Some(client.identity()),
            Provider::File(_) => None,
        }
    }

    /// Reads a path's metadata.
    ///
    /// # Errors
    /// As the provider's.
    pub async fn metadata(&self, path: &str) -> Result<Metadata, ReadError> {
        self.pass.provider().metadata(path).await
    }

    /// As [`Provider::turn`].
    pub async fn turn(&self) {
        self.pass.provider().turn().await;
    }

    /// The names directly below a folder.
    ///
    /// # Errors
    /// As the provider's.
    pub async fn list(&self, prefix: &str) -> Result<Vec<String>, ReadError> {
        self.pass.provider().list(prefix).await
    }

    /// Reads a document, each once in a round.
    ///
    /// A store that does not answer, is sealed or refuses the login (after the client's own repetitions) is not
    /// asked again in this round: a thousand ExternalSecrets would wait for it one after another, and a thousand
    /// refused logins lock an account.
    ///
    /// # Errors
    /// As the provider's.
    pub async fn read(&self, key: &Key) -> Result<Arc<Document>, ReadError> {
        if let Some(error) = self.down.get() {
            return Err(error.clone());
        }
        let result = self.pass.read(key).await;
        if let Err(
            error @ (ReadError::Sealed { .. }
            | ReadError::Unreachable { .. }
            | ReadError::LoginRefused { .. }),
        ) = &result
        {
            // The first reason stays.
            let _ = self.down.set(error.clone());
        }
        result
    }
}

/// How a store stands after a round.
pub struct Standing {
    /// Its kind.
    pub kind: StoreKind,
    /// Its namespace; empty for a ClusterSecretStore.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Whether it serves, or why not in one line.
    pub result: Result<(), String>,
}

/// One login: a store, and for stores of the whole cluster whose references name no namespace, that of the user.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct StoreId {
    kind: StoreKind,
    name: String,
    namespace: String,
    reader: Reader,
}

/// For whom a store is opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Reader {
    /// An object of a namespace: a ClusterSecretStore may refuse it.
    Namespace,
    /// An object of the whole cluster.
    Platform,
}

impl<'a> Stores<'a> {
    /// Nothing is opened yet.
    pub fn new(manifests: &'a Manifests, objects: Objects<'a>) -> Self {
        Self {
            manifests,
            objects,
            opened: Mutex::default(),
            audit: None,
            marked_only: false,
            servers: Servers::default(),
            meter: Meter::default(),
        }
    }

    /// Each access is put on record.
    #[must_use]
    pub fn audited(self, audit: Option<Arc<Audit>>) -> Self {
        Self { audit, ..self }
    }

    /// What servers are asked is bounded together with other runs of the process.
    #[must_use]
    pub fn sharing(self, servers: &Servers) -> Self {
        Self { servers: servers.clone(), ..self }
    }

    /// What servers are asked is counted.
    #[must_use]
    pub fn metered(self, meter: &Meter) -> Self {
        Self { meter: meter.clone(), ..self }
    }

    /// Serves only stores that name this controller: another one may serve the others.
    #[must_use]
    pub fn marked_only(self, marked_only: bool) -> Self {
        Self { marked_only, ..self }
    }

    /// Where accesses are recorded.
    pub fn audit(&self) -> Option<&Audit> {
        self.audit.as_deref()
    }

    /// Whether this controller serves the store; one that is not there is nobody's.
    pub fn serves(&self, reference: &StoreRef, namespace: &str) -> bool {
        let controller = match reference.kind {
            StoreKind::SecretStore => {
                let mut stores = self.manifests.stores.iter();
                stores
                    .find(|store| store.name() == reference.name && store.namespace() == namespace)
                    .map(|store| store.spec.controller.as_str())
            }
            StoreKind::ClusterSecretStore => {
                let mut stores = self.manifests.cluster_stores.iter();
                stores
                    .find(|store| store.name() == reference.name)
                    .map(|store| store.spec.0.controller.as_str())
            }
        };
        controller.is_none_or(|controller| self.is_ours(controller))
    }

    fn is_ours(&self, controller: &str) -> bool {
        controller == CONTROLLER || (controller.is_empty() && !self.marked_only)
    }

    /// What is known of each store that was asked for: whether it serves, or why not.
    pub async fn standings(&self) -> Vec<Standing> {
        let opened = self.opened.lock().await;
        let standing = |(id, cell): (&StoreId, &Opened)| {
            let result = match cell.get()? {
                Ok(store) => store.down.get().map_or(Ok(()), |error| Err(error.to_string())),
                Err(StoreError::Invalid { what, .. }) => Err(what.clone()),
                Err(_) => return None,
            };
            let namespace =
                if id.kind == StoreKind::SecretStore { id.namespace.clone() } else { String::new() };
            Some(Standing { kind: id.kind, namespace, name: id.name.clone(), result })
        };
        opened.iter().filter_map(standing).collect()
    }

    /// Forgets what was read, and keeps every login that serves.
    pub async fn begin_round(&self) {
        let mut opened = self.opened.lock().await;
        opened.retain(|_, cell| matches!(cell.get(), Some(Ok(store)) if store.down.get().is_none()));
        for cell in opened.values_mut() {
            if let Some(Ok(store)) = cell.get() {
                let provider = store.pass.provider().clone();
                let fresh = Store { pass: Pass::new(provider), down: OnceLock::new() };
                *cell = Arc::new(OnceCell::new_with(Some(Ok(Arc::new(fresh)))));
            }
        }
    }

    /// Where referred objects are looked up.
    pub fn objects(&self) -> &Objects<'a> {
        &self.objects
    }

    /// Opens a store for a namespace, or gives the one that is open.
    ///
    /// # Errors
    /// Why it cannot be used; the same for all who ask.
    pub async fn open(&self, reference: &StoreRef, namespace: &str) -> Result<Arc<Store>, StoreError> {
        self.open_once(reference, namespace, Reader::Namespace).await
    }

    /// Opens a store for a ClusterRotationTarget. Such a target belongs to whoever runs the cluster, as a
    /// ClusterSecretStore does: its conditions, which keep namespaces from reading it, do not count.
    ///
    /// # Errors
    /// Why it cannot be used; the same for all who ask.
    pub async fn open_for_targets(&self, reference: &StoreRef) -> Result<Arc<Store>, StoreError> {
        self.open_once(reference, "", Reader::Platform).await
    }

    async fn open_once(
        &self,
        reference: &StoreRef,
        namespace: &str,
        reader: Reader,
    ) -> Result<Arc<Store>, StoreError> {
        let (kind, name) = (reference.kind, reference.name.clone());
        let id = StoreId { kind, name, namespace: namespace.to_owned(), reader };
        let cell = Arc::clone(self.opened.lock().await.entry(id).or_default());
        cell.get_or_init(|| self.make(reference, namespace, reader)).await.clone()
    }

    /// Ends every login that was made.
    pub async fn close(&self) {
        let opened: Vec<Opened> = self.opened.lock().await.drain().map(|(_, cell)| cell).collect();
        for cell in opened {
            if let Some(Ok(store)) = cell.get()
                && let Provider::Vault(client) = store.pass.provider()
            {
                client.close().await;
            }
        }
    }

    async fn make(
        &self,
        reference: &StoreRef,
        namespace: &str,
        reader: Reader,
    ) -> Result<Arc<Store>, StoreError> {
        let kind = reference.kind.name();
        let (full, spec, origin) = match reference.kind {
            StoreKind::SecretStore => {
                let full = full_name(namespace, &reference.name);
                let store = self
                    .manifests
                    .stores
                    .iter()
                    .find(|store| store.name() == reference.name && store.namespace() == namespace);
                let store = store.ok_or_else(|| self.missing(kind, &full))?;
                (full, &store.spec, &store.origin)
            }
            StoreKind::ClusterSecretStore => {
                let store = self.manifests.cluster_stores.iter().find(|store| store.name() == reference.name);
                let store = store.ok_or_else(|| self.missing(kind, &reference.name))?;
                (reference.name.clone(), &store.spec.0, &store.origin)
            }
        };
        let store = format!("{kind} {full}");
        if !self.is_ours(&spec.controller) {
            let controller =
                if spec.controller.is_empty() { "nobody yet; see --adopt" } else { &spec.controller };
            return Err(StoreError::OtherController { store, controller: controller.to_owned() });
        }
        let guarded = reference.kind == StoreKind::ClusterSecretStore && reader == Reader::Namespace;
        if guarded && !self.allows(spec, namespace).await {
            return Err(StoreError::NotAllowed { store, namespace: namespace.to_owned() });
        }
        let provider = self.provider(reference.kind, &store, spec, origin, namespace).await?;
        Ok(Arc::new(Store { pass: Pass::new(provider), down: OnceLock::new() }))
    }

    /// A store that is not there, or one that could not be read: then its mistakes are the reason.
    fn missing(&self, kind: &'static str, full: &str) -> StoreError {
        let object = format!("{kind} {full}");
        let mistakes: Vec<&Problem> =
            self.manifests.unreadable.iter().filter(|problem| problem.object == object).collect();
        match mistakes.first() {
            None => StoreError::Missing { kind, name: full.to_owned() },
            Some(problem) => {
                StoreError::Invalid { store: object, what: format!("{}: {}", problem.path, problem.what) }
            }
        }
    }

    async fn provider(
        &self,
        kind: StoreKind,
        store: &str,
        spec: &SecretStoreSpec,
        origin: &Origin,
        namespace: &str,
    ) -> Result<Provider, StoreError> {
        let invalid = |what: String| StoreError::Invalid { store: store.to_owned(), what };
        match (&spec.provider.vault, &spec.provider.file) {
            (Some(vault), None) => {
                let context = vault_store::Context {
                    store,
                    kind,
                    namespace,
                    objects: &self.objects,
                    servers: &self.servers,
                    meter: &self.meter,
                };
                vault_store::open(vault, spec.retry_settings.as_ref(), &context).await
            }
            (None, Some(file)) => open_file(store, file, origin),
            (None, None) => Err(invalid("no provider is given; write vault or file".to_owned())),
            (Some(_), Some(_)) => Err(invalid("two providers are given; a store has exactly one".to_owned())),
        }
    }

    /// Whether a ClusterSecretStore serves a namespace: with no condition all, else where one matches.
    async fn allows(&self, spec: &SecretStoreSpec, namespace: &str) -> bool {
        if spec.conditions.is_empty() {
            return true;
        }
        for condition in &spec.conditions {
            if self.condition_allows(condition, namespace).await {
                return true;
            }
        }
        false
    }

    async fn condition_allows(&self, condition: &StoreCondition, namespace: &str) -> bool {
        if condition.namespaces.iter().any(|name| name == namespace) {
            return true;
        }
        let matches =
            |pattern: &String| compile(pattern).is_some_and(|regex| regex.is_match(namespace.as_bytes()));
        if condition.namespace_regexes.iter().any(matches) {
            return true;
        }
        match &condition.namespace_selector {
            None => false,
            Some(selector) => match self.objects.namespace_labels(namespace).await {
                Some(labels) => selector.matches(&labels),
                None => false,
            },
        }
    }
}

/// A file store of a manifest file. Paths are relative to that file's folder.
fn open_file(store: &str, spec: &FileSpec, origin: &Origin) -> Result<Provider, StoreError> {
    let invalid = |what: String| StoreError::Invalid { store: store.to_owned(), what };
    let Origin::File { file, .. } = origin else {
        // Whoever may create a SecretStore could otherwise name any file of this machine.
        return Err(invalid("a file store is read from --config only, never from a cluster".to_owned()));
    };
    let folder = file.parent().unwrap_or(Path::new("."));
    let at = |path: &str| -> PathBuf { folder.join(path) };
    FileStore::open(store, &at(&spec.path), &at(&spec.key_file))
        .map(|store| Provider::File(Arc::new(store)))
        .map_err(|error| invalid(error.to_string()))
}
