//! Consumers that the sync knows: every Secret that is made from the published path.

use std::collections::BTreeMap;

use shared::clock::SystemClock;
use shared::journal::Moved;

use crate::manifest::Manifests;
use crate::manifest::external_secret::{ExternalSecretSpec, StoreRef};
use crate::manifest::object::Object;
use crate::manifest::rotation::RotationSpec;
use crate::rotation::context::{Consumer, ConsumerState, Consumers, NoAnswer};
use crate::rotation::rollout::Rollout;
use crate::rotation::workloads::Mark;
use crate::sync::objects::Objects;
use crate::sync::outcome::Outcome;
use crate::sync::stores::Stores;
use crate::sync::{Round, Wanted};
use crate::target::Target;

/// How many Secrets are brought up to date at once.
const CONCURRENCY: usize = 8;

/// The Secrets that are made from one published path.
pub struct Discovered<'a> {
    manifests: &'a Manifests,
    target: &'a Target,
    users: Vec<Object<ExternalSecretSpec>>,
    uid: String,
}

impl<'a> Discovered<'a> {
    /// Finds them among the manifests; none, where the Rotation does not want them looked for.
    pub fn new(rotation: &Object<RotationSpec>, manifests: &'a Manifests, target: &'a Target) -> Self {
        let uid = super::resolve::uid(rotation);
        Self { manifests, target, users: users(rotation, manifests).cloned().collect(), uid }
    }
}

/// The names of what is made from the published path: `namespace/name` of each Secret.
pub fn names(rotation: &Object<RotationSpec>, manifests: &Manifests) -> Vec<String> {
    users(rotation, manifests).map(secret_name).collect()
}

/// The ExternalSecrets that read the published path; none, where the Rotation does not want them looked for.
pub(crate) fn users<'m>(
    rotation: &Object<RotationSpec>,
    manifests: &'m Manifests,
) -> impl Iterator<Item = &'m Object<ExternalSecretSpec>> {
    let wanted = rotation.spec.consumers.discover;
    manifests.external_secrets.iter().filter(move |object| wanted && uses(object, rotation))
}

/// `namespace/name` of the Secret that an ExternalSecret makes.
pub(crate) fn secret_name(object: &Object<ExternalSecretSpec>) -> String {
    format!("{}/{}", object.namespace(), object.spec.target_name(object.name()))
}

/// Whether any value of the ExternalSecret comes from the path that the Rotation publishes.
fn uses(object: &Object<ExternalSecretSpec>, rotation: &Object<RotationSpec>) -> bool {
    let publish = &rotation.spec.publish;
    // A store of a namespace is another store in another namespace, even under the same name.
    let same_store = |reference: &StoreRef| {
        reference.name == publish.store_ref.name
            && reference.kind == publish.store_ref.kind
            && (reference.kind.serves_cluster() || object.namespace() == rotation.namespace())
    };
    let default = object.spec.secret_store_ref.as_ref();
    let store_of = |source: Option<&StoreRef>| source.or(default).is_some_and(same_store);
    let entries = object.spec.data.iter().any(|entry| {
        entry.remote_ref.key == publish.key
            && store_of(entry.source_ref.as_ref().and_then(|source| source.store_ref.as_ref()))
    });
    let extracts = object.spec.data_from.iter().any(|from| {
        from.extract.as_ref().is_some_and(|extract| extract.key == publish.key)
            && store_of(from.source_ref.as_ref().and_then(|source| source.store_ref.as_ref()))
    });
    entries || extracts
}

impl Consumers for Discovered<'_> {
    /// Syncs each Secret; it has moved when it holds what the path holds now, which is the version asked for or a
    /// later one.
    async fn observe(
        &self,
        version: u64,
        moved: &BTreeMap<String, Moved>,
    ) -> Result<Vec<Consumer>, NoAnswer> {
        if self.users.is_empty() {
            return Ok(Vec::new());
        }
        // A round remembers what it has read; each look at the consumers reads anew.
        let client = self.target.client();
        let stores = Stores::new(self.manifests, Objects::new(self.manifests, client.cloned()));
        let clock = SystemClock::new();
        let round = Round {
            events: None,
            stores: &stores,
            target: self.target,
            reports_to: None,
            clock: &clock,
            concurrency: CONCURRENCY,
            everything: true,
        };
        let wanted: Vec<Wanted> = self.users.iter().cloned().map(Wanted::of_file).collect();
        let reports = round.run(&wanted).await;
        stores.close().await;
        let mut consumers: Vec<Consumer> = reports
            .into_iter()
            .map(|report| {
                let state = match &report.result {
                    Ok(Outcome::Created { .. } | Outcome::Changed { .. } | Outcome::Unchanged) => {
                        ConsumerState::Moved
                    }
                    Ok(_) | Err(_) => ConsumerState::Moving,
                };
                if let Err(error) = &report.result {
                    tracing::warn!(secret = %report.secret, %error, "not brought up to date");
                }
                Consumer { name: report.secret, state }
            })
            .collect();
        // Who is restarted before its Secret is up to date would read the old one again.
        if let Some(client) = client
            && consumers.iter().all(|consumer| consumer.state == ConsumerState::Moved)
        {
            let secrets: Vec<String> = consumers.iter().map(|consumer| consumer.name.clone()).collect();
            let rollout =
                Rollout { client, mark: Mark::new(&self.uid, version), restart: true, changed: moved };
            consumers.extend(rollout.observe(&secrets).await?);
        }
        Ok(consumers)
    }
}
