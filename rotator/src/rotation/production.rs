//! The world outside: a store, a target, consumers and receipts as the manifests name them.

use std::path::PathBuf;

use shared::fingerprint::FingerprintKey;
use shared::receipt::RotationRef;
use shared::signing::PrivateKey;

use crate::backend::AnyBackend;
use crate::backend::define::Definition;
use crate::manifest::Manifests;
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::rotation::acknowledged::Everyone;
use crate::rotation::context::{Context, World};
use crate::rotation::discovered::Discovered;
use crate::rotation::issue::ReceiptBook;
use crate::rotation::resolve::{Resolved, role};
use crate::rotation::schedule::Schedule;
use crate::rotation::spec::{Spec, Strategy};
use crate::rotation::stored::{StoredJournal, StoredPublication};
use crate::rotation::system::{SystemClock, SystemMaker, holder, is_gone};
use crate::sync::stores::{StoreError, Stores};
use crate::target::Target;

/// The parts that run against real servers and files.
pub struct Production<'a>(std::marker::PhantomData<&'a ()>);

impl<'a> World for Production<'a> {
    type Journal = StoredJournal;
    type Publication = StoredPublication;
    type Backend = AnyBackend;
    type Consumers = Everyone<'a>;
    type Clock = SystemClock;
    type Maker = SystemMaker;
    type Receipts = ReceiptBook;
}

/// Key files and the folder of receipts.
pub struct Keys {
    /// Names secrets.
    pub fingerprint_key: PathBuf,
    /// Signs receipts.
    pub receipt_key: PathBuf,
    /// Keeps receipts.
    pub receipts: PathBuf,
}

/// Why a Rotation cannot be driven.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The fingerprint key.
    #[error(transparent)]
    Fingerprint(#[from] shared::fingerprint::KeyError),
    /// The receipt key.
    #[error(transparent)]
    Receipt(#[from] shared::signing::KeyFileError),
    /// A store: the one that is published to, or the one of the target's administrator.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The target needs an administrator and has none: an error of this program.
    #[error("the target has no administrator")]
    NoAdmin,
}

/// One Rotation, ready to be driven.
pub struct Ready<'a> {
    /// The parts.
    pub context: Context<Production<'a>>,
    /// What the machine is to do.
    pub spec: Spec,
    /// When it is due.
    pub schedule: Schedule,
}

/// The target of a Rotation.
///
/// # Errors
/// When a store that it needs cannot be opened.
pub async fn open_backend(
    object: &Object<RotationSpec>,
    strategy: &Strategy,
    definition: Definition,
    stores: &Stores<'_>,
) -> Result<AnyBackend, OpenError> {
    let admin = match definition.admin() {
        Some(reference) => Some(stores.open_for_targets(&reference.store_ref).await?.provider().clone()),
        None => None,
    };
    definition.open(strategy, role(object), admin).ok_or(OpenError::NoAdmin)
}

/// Puts the parts of one Rotation together.
///
/// # Errors
/// When a key cannot be read or a store cannot be opened.
pub async fn ready<'a>(
    object: &Object<RotationSpec>,
    resolved: Resolved,
    stores: &Stores<'_>,
    manifests: &'a Manifests,
    target: &'a Target,
    keys: &Keys,
) -> Result<Ready<'a>, OpenError> {
    let Resolved { spec, schedule, backend } = resolved;
    let publish = &object.spec.publish;
    let provider = stores.open(&publish.store_ref, object.namespace()).await?.provider().clone();
    let backend = open_backend(object, &spec.strategy, backend, stores).await?;
    let fingerprint_key = FingerprintKey::read(&keys.fingerprint_key)?;
    let receipts = ReceiptBook {
        provider: provider.clone(),
        folder: keys.receipts.clone(),
        key: PrivateKey::read(&keys.receipt_key)?,
        names: FingerprintKey::read(&keys.fingerprint_key)?,
        rotation: RotationRef {
            namespace: object.namespace().to_owned(),
            name: object.name().to_owned(),
            uid: spec.uid.clone(),
        },
        part: publish.properties.password.clone(),
    };
    let discovered = Discovered::new(object, manifests, target);
    let consumers = Everyone::new(discovered, object, &provider);
    let context = Context {
        holder: holder(),
        is_gone,
        journal: StoredJournal::new(provider.clone(), object.namespace(), object.name()),
        publication: StoredPublication::new(
            provider,
            publish.key.clone(),
            publish.properties.username.clone(),
            publish.properties.password.clone(),
            spec.strategy.next_slot(None).to_owned(),
        ),
        backend,
        consumers,
        clock: SystemClock,
        maker: SystemMaker::new(fingerprint_key),
        receipts,
    };
    Ok(Ready { context, spec, schedule })
}
