//! The Secret that should be: a pure function of the ExternalSecret, the values and the Secret that is there.

use std::collections::BTreeMap;
use std::fmt;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret as KubeSecret;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use shared::secret::Secret;
use zeroize::Zeroize;

use super::mark;
use super::templates::Rendered;
use super::value::Values;
use crate::manifest::check::REFUSED_TYPES;
use crate::manifest::external_secret::{CreationPolicy, ExternalSecretSpec, MergePolicy};
use crate::manifest::object::Object;

/// A Secret object whose values are wiped on drop and never printed.
pub struct SecretObject(KubeSecret);

impl SecretObject {
    /// Takes an object over.
    pub fn new(secret: KubeSecret) -> Self {
        Self(secret)
    }

    /// The object, for the length of one call.
    pub fn expose<T>(&self, open: impl FnOnce(&KubeSecret) -> T) -> T {
        open(&self.0)
    }

    /// The object itself, for the call that sends it.
    pub(crate) fn as_kube(&self) -> &KubeSecret {
        &self.0
    }

    /// Its metadata.
    pub fn meta(&self) -> &ObjectMeta {
        &self.0.metadata
    }

    /// Its keys, sorted.
    pub fn keys(&self) -> Vec<String> {
        self.0.data.iter().flatten().map(|(key, _)| key.clone()).collect()
    }

    /// A label's value.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.0.metadata.labels.as_ref()?.get(name).map(String::as_str)
    }

    /// An annotation's value.
    pub fn annotation(&self, name: &str) -> Option<&str> {
        self.0.metadata.annotations.as_ref()?.get(name).map(String::as_str)
    }

    /// Whether nobody may change it.
    pub fn is_immutable(&self) -> bool {
        self.0.immutable == Some(true)
    }

    /// The hash of its data as it is, whatever its annotation says.
    pub fn data_hash(&self) -> String {
        mark::data_hash(self.0.data.iter().flatten().map(|(key, value)| (key.as_str(), value.0.as_slice())))
    }

    /// Whether it is as we left it: marked, and its data not changed since.
    pub fn is_intact(&self) -> bool {
        self.label(mark::MANAGED) == Some("true")
            && self.annotation(mark::DATA_HASH) == Some(self.data_hash().as_str())
    }

    /// The owner that controls it.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.0.metadata.owner_references.iter().flatten().find(|owner| owner.controller == Some(true))
    }

    /// The keys whose values differ from another's, sorted: added, changed or removed.
    pub fn keys_changed(&self, before: &Self) -> Vec<String> {
        let empty = BTreeMap::new();
        let (new, old) = (self.0.data.as_ref().unwrap_or(&empty), before.0.data.as_ref().unwrap_or(&empty));
        let mut keys: Vec<String> =
            new.iter().filter(|(k, v)| old.get(*k) != Some(v)).map(|(k, _)| k.clone()).collect();
        keys.extend(old.keys().filter(|key| !new.contains_key(*key)).cloned());
        keys.sort();
        keys
    }

    /// Whether writing `self` over `before` would change anything.
    pub fn same_as(&self, before: &Self) -> bool {
        self.0 == before.0
    }

    /// The Secret with nothing but our label added; none if it is there already.
    pub fn labelled(&self) -> Option<Self> {
        if self.label(mark::MANAGED) == Some("true") {
            return None;
        }
        let mut copy = self.duplicate();
        let labels = copy.0.metadata.labels.get_or_insert_default();
        labels.insert(mark::MANAGED.to_owned(), "true".to_owned());
        Some(copy)
    }

    /// The same metadata over another's data and type: all that may be changed of an immutable Secret.
    pub fn with_data_of(&self, other: &Self) -> Self {
        let mut copy = other.duplicate();
        copy.0.metadata = self.0.metadata.clone();
        copy
    }

    /// A copy for the API server, without the server's own record of fields: it keeps that itself.
    pub fn copy_without_record(&self) -> Self {
        let mut copy = self.duplicate();
        copy.0.metadata.managed_fields = None;
        copy
    }

    /// A second copy, named so that it shows in a review.
    fn duplicate(&self) -> Self {
        Self(self.0.clone())
    }
}

impl Drop for SecretObject {
    fn drop(&mut self) {
        for value in self.0.data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.0.zeroize();
        }
        for value in self.0.string_data.iter_mut().flat_map(BTreeMap::values_mut) {
            value.zeroize();
        }
    }
}

impl fmt::Debug for SecretObject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretObject")
            .field("name", &self.0.metadata.name)
            .field("keys", &self.keys())
            .finish()
    }
}

/// Why a Secret cannot be made as asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RenderError {
    /// Another ExternalSecret owns it.
    #[error("the Secret belongs to ExternalSecret {owner}; give this one another target name")]
    OwnedByAnother {
        /// The owner.
        owner: String,
    },
    /// Another controller owns it.
    #[error(
        "the Secret belongs to {kind} {name}; give this ExternalSecret another target name, or use Merge"
    )]
    OwnedByController {
        /// The owner's kind.
        kind: String,
        /// The owner's name.
        name: String,
    },
    /// A type that would give away the cluster.
    #[error("Secrets of the type {kind} are credentials of the cluster and are refused")]
    RefusedType {
        /// The type.
        kind: String,
    },
    /// The Secret is immutable and not as it should be.
    #[error("the Secret is immutable and cannot be changed; delete it, and it is made anew")]
    Immutable,
}

/// Who the Secret is made for.
#[derive(Clone, Debug)]
pub struct Maker {
    /// The ExternalSecret's uid, where it lives in a cluster.
    pub uid: Option<String>,
}

/// The Secret that should be there.
///
/// Guarantees: pure; an unchanged input gives an equal object. Foreign labels and annotations of an existing Secret
/// stay; foreign keys stay with Merge and CreateOrMerge only.
///
/// # Errors
/// When the Secret belongs to somebody else or has a type that is refused.
pub fn render(
    object: &Object<ExternalSecretSpec>,
    existing: Option<&SecretObject>,
    (values, rendered): (&Values, &Rendered),
    maker: &Maker,
) -> Result<SecretObject, RenderError> {
    let target = &object.spec.target;
    let mut secret = existing.map_or_else(|| SecretObject(empty(object)), SecretObject::duplicate);
    let owners = secret.0.metadata.owner_references.take().unwrap_or_default();
    secret.0.metadata.owner_references = owner_references(object, maker, owners)?;
    if target.immutable {
        secret.0.immutable = Some(true);
    }
    let manager = mark::field_manager(object.name());
    let managed = Managed::of(&secret.0.metadata, &manager);

    let mut data = secret.0.data.take().unwrap_or_default();
    let keeps = matches!(target.creation_policy, CreationPolicy::Merge | CreationPolicy::CreateOrMerge);
    for (key, mut value) in std::mem::take(&mut data) {
        if keeps && !managed.data.contains(&key) {
            data.insert(key, value);
        } else {
            value.0.zeroize();
        }
    }

    let labels = secret.0.metadata.labels.get_or_insert_default();
    labels.retain(|key, _| !managed.labels.contains(key));
    let annotations = secret.0.metadata.annotations.get_or_insert_default();
    annotations.retain(|key, _| !managed.annotations.contains(key));
    if target.template.is_none() {
        labels.extend(object.meta.labels.iter().flatten().map(own));
        annotations.extend(object.meta.annotations.iter().flatten().map(own));
    } else {
        labels.extend(rendered.labels.iter().map(own));
        annotations.extend(rendered.annotations.iter().map(own));
    }
    let finalizers = target.template.iter().flat_map(|template| &template.metadata.finalizers);
    for finalizer in finalizers {
        let all = secret.0.metadata.finalizers.get_or_insert_default();
        if !all.contains(finalizer) {
            all.push(finalizer.clone());
        }
    }
    let template = target.template.as_ref();
    if let Some(kind) = template.and_then(|template| template.kind.as_ref()).filter(|kind| !kind.is_empty()) {
        secret.0.type_ = Some(kind.clone());
    }
    if let Some(kind) = secret.0.type_.as_ref().filter(|kind| REFUSED_TYPES.contains(&kind.as_str())) {
        return Err(RenderError::RefusedType { kind: kind.clone() });
    }
    let with_values = template.is_none_or(|template| {
        template.merge_policy == MergePolicy::Merge
            || (template.data.is_empty() && template.template_from.is_empty())
    });
    for (key, value) in values.iter().filter(|_| with_values).chain(&rendered.data) {
        data.insert(key.clone(), ByteString(value.expose(<[u8]>::to_vec)));
    }
    secret.0.data = Some(data);
    finish(object, &mut secret);
    Ok(secret)
}

/// The marks, which come last: nothing that a manifest copies may forge them.
fn finish(object: &Object<ExternalSecretSpec>, secret: &mut SecretObject) {
    let hash = secret.data_hash();
    let labels = secret.0.metadata.labels.get_or_insert_default();
    match object.spec.target.creation_policy {
        CreationPolicy::Owner => {
            labels.insert(mark::CREATED_BY.to_owned(), mark::owner_hash(object.namespace(), object.name()));
        }
        CreationPolicy::Orphan
        | CreationPolicy::Merge
        | CreationPolicy::CreateOrMerge
        | CreationPolicy::None => {
            labels.remove(mark::CREATED_BY);
        }
    }
    labels.insert(mark::MANAGED.to_owned(), "true".to_owned());
    let annotations = secret.0.metadata.annotations.get_or_insert_default();
    annotations.insert(mark::DATA_HASH.to_owned(), hash);
}

fn own((key, value): (&String, &String)) -> (String, String) {
    (key.clone(), value.clone())
}

fn empty(object: &Object<ExternalSecretSpec>) -> KubeSecret {
    KubeSecret {
        metadata: ObjectMeta {
            name: Some(object.spec.target_name(object.name()).to_owned()),
            namespace: Some(object.namespace().to_owned()),
            ..ObjectMeta::default()
        },
        type_: Some("Opaque".to_owned()),
        ..KubeSecret::default()
    }
}

/// Our reference is there with creation policy Owner, and only then; others' stay.
fn owner_references(
    object: &Object<ExternalSecretSpec>,
    maker: &Maker,
    mut owners: Vec<OwnerReference>,
) -> Result<Option<Vec<OwnerReference>>, RenderError> {
    // The version of the API may change, and the uid does with a new cluster: group, kind and name decide.
    let is_ours = |owner: &OwnerReference| {
        owner.kind == mark::OWNER_KIND && owner.api_version.starts_with("external-secrets.io/")
    };
    let controller = owners.iter().find(|owner| owner.controller == Some(true));
    if let Some(owner) = controller.filter(|owner| is_ours(owner) && owner.name != object.name()) {
        return Err(RenderError::OwnedByAnother { owner: owner.name.clone() });
    }
    if object.spec.target.creation_policy == CreationPolicy::Owner {
        if let Some(owner) = controller.filter(|owner| !is_ours(owner)) {
            return Err(RenderError::OwnedByController {
                kind: owner.kind.clone(),
                name: owner.name.clone(),
            });
        }
        if let Some(uid) = &maker.uid {
            let wanted = OwnerReference {
                api_version: mark::OWNER_API_VERSION.to_owned(),
                kind: mark::OWNER_KIND.to_owned(),
                name: object.name().to_owned(),
                uid: uid.clone(),
                controller: Some(true),
                block_owner_deletion: Some(true),
            };
            match owners.iter_mut().find(|owner| is_ours(owner) && owner.name == object.name()) {
                Some(owner) => *owner = wanted,
                None => owners.push(wanted),
            }
        }
    } else {
        owners.retain(|owner| !(is_ours(owner) && owner.name == object.name()));
    }
    Ok(if owners.is_empty() { None } else { Some(owners) })
}

/// What we wrote before, by the API server's own record: these keys are removed where they are no longer wanted.
#[derive(Debug, Default)]
struct Managed {
    data: Vec<String>,
    labels: Vec<String>,
    annotations: Vec<String>,
}

impl Managed {
    fn of(meta: &ObjectMeta, manager: &str) -> Self {
        let mut managed = Self::default();
        let entries = meta.managed_fields.iter().flatten();
        for entry in entries.filter(|entry| entry.manager.as_deref() == Some(manager)) {
            let Some(fields) = &entry.fields_v1 else { continue };
            managed.data.extend(field_names(&fields.0, &["f:data"]));
            managed.labels.extend(field_names(&fields.0, &["f:metadata", "f:labels"]));
            managed.annotations.extend(field_names(&fields.0, &["f:metadata", "f:annotations"]));
        }
        managed
    }
}

fn field_names(fields: &serde_json::Value, path: &[&str]) -> Vec<String> {
    let found = path.iter().try_fold(fields, |value, step| value.get(step));
    let names = found.and_then(serde_json::Value::as_object).into_iter().flatten();
    names.filter_map(|(name, _)| name.strip_prefix("f:").map(str::to_owned)).collect()
}

/// Values for tests and for messages: how many keys, never what they hold.
impl From<&SecretObject> for Values {
    fn from(secret: &SecretObject) -> Self {
        secret.0.data.iter().flatten().map(|(key, value)| (key.clone(), Secret::copy_of(&value.0))).collect()
    }
}
