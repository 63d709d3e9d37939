//! What can be said of manifests without any server: references, names, intervals, duplicates.
//!
//! Types were checked while loading. Here each rule speaks of what the API server or the operator would refuse
//! later, so that a mistake costs a second on a laptop and not a failed sync.

use std::collections::BTreeMap;

use super::Manifests;
use super::external_secret::{
    CreationPolicy, DataFrom, ExternalSecretSpec, RemoteRef, Rewrite, StoreKind, StoreRef,
};
use super::load::is_dns_name;
use super::object::Object;
use super::problem::Problem;
use super::rotation::RotationSpec;
use super::store::{FileSpec, SecretKeyRef, SecretStoreSpec, VaultSpec};
use crate::rotation::pairs;
use crate::rotation::resolve::resolve;
use crate::sync::windows;
use crate::template::go_regex::compile;

/// The longest key of a Secret.
const KEY_LENGTH_MAX: usize = 253;

/// Every problem of every object, in no special order.
pub fn check(manifests: &Manifests) -> Vec<Problem> {
    let mut problems = Vec::new();
    for store in &manifests.stores {
        check_store(store, "SecretStore", &store.spec, &mut problems);
    }
    for store in &manifests.cluster_stores {
        check_store(store, "ClusterSecretStore", &store.spec.0, &mut problems);
    }
    for external_secret in &manifests.external_secrets {
        problems.extend(check_external_secret(external_secret));
        if external_secret.spec.data.is_empty() && external_secret.spec.data_from.is_empty() {
            let what = "nothing to read; add data or dataFrom";
            problems.push(external_secret.problem("ExternalSecret", "spec", what));
        }
        if let Some(schedule) = external_secret.spec.sync_windows.as_ref().and_then(windows::broken) {
            let what =
                format!("`{schedule}` is not a schedule; write five fields, as in \"0 22 * * *\" (UTC)");
            problems.push(external_secret.problem("ExternalSecret", "spec.syncWindows", &what));
        }
        check_references(external_secret, manifests, &mut problems);
    }
    for object in &manifests.cluster_external_secrets {
        let spec = &object.spec;
        if spec.namespaces.is_empty()
            && spec.namespace_selectors.is_empty()
            && spec.namespace_selector.is_none()
        {
            let what = "no namespace is chosen; add namespaceSelectors or namespaces";
            problems.push(object.problem("ClusterExternalSecret", "spec", what));
        }
    }
    check_twice("SecretStore", &manifests.stores, &mut problems);
    check_twice("ClusterSecretStore", &manifests.cluster_stores, &mut problems);
    check_twice("ExternalSecret", &manifests.external_secrets, &mut problems);
    check_twice("Secret", &manifests.secrets, &mut problems);
    check_twice("ClusterRotationTarget", &manifests.rotation_targets, &mut problems);
    check_twice("Rotation", &manifests.rotations, &mut problems);
    for rotation in &manifests.rotations {
        problems.extend(resolve(rotation, manifests).err().unwrap_or_default());
    }
    problems.extend(account_conflicts(manifests).into_values());
    problems.extend(pairs::check(manifests));
    check_targets(manifests, &mut problems);
    problems
}

/// Two Rotations of one account would each take away what the other has set. The problem of every Rotation that
/// shares one, by `namespace/name`.
pub fn account_conflicts(manifests: &Manifests) -> BTreeMap<String, Problem> {
    struct Owner<'m> {
        rotation: &'m Object<RotationSpec>,
        path: String,
    }
    let mut owners: BTreeMap<(&str, &str), Vec<Owner<'_>>> = BTreeMap::new();
    for rotation in &manifests.rotations {
        for (path, account) in rotation.spec.strategy.accounts() {
            owners
                .entry((&rotation.spec.target_ref.name, account))
                .or_default()
                .push(Owner { rotation, path });
        }
    }
    let mut conflicts = BTreeMap::new();
    for ((target, account), owners) in owners {
        for Owner { rotation, path } in &owners {
            let name = rotation.full_name();
            // One that names an account twice, or that is there twice, has a problem of its own.
            let Some(other) =
                owners.iter().map(|owner| owner.rotation.full_name()).find(|other| *other != name)
            else {
                continue;
            };
            let what = format!("{other} rotates {account} of {target} too; one of the two must go");
            conflicts.insert(name, rotation.problem("Rotation", path, what));
        }
    }
    conflicts
}

/// The problems of one store by itself.
pub fn check_store<S>(object: &Object<S>, kind: &str, spec: &SecretStoreSpec, problems: &mut Vec<Problem>) {
    let mut complain = |path: &str, what: String| problems.push(object.problem(kind, path, what));
    match (&spec.provider.vault, &spec.provider.file) {
        (None, None) => complain("spec.provider", "no provider is given; write vault or file".to_owned()),
        (Some(_), Some(_)) => {
            complain("spec.provider", "two providers are given; a store has exactly one".to_owned());
        }
        (Some(vault), None) => check_vault(vault, kind, object.namespace(), &mut complain),
        (None, Some(file)) => check_file(file, &mut complain),
    }
    for (index, condition) in spec.conditions.iter().enumerate() {
        for (number, pattern) in condition.namespace_regexes.iter().enumerate() {
            if compile(pattern).is_none() {
                let path = format!("spec.conditions[{index}].namespaceRegexes[{number}]");
                complain(&path, "this is not a regular expression".to_owned());
            }
        }
    }
}

fn check_file(file: &FileSpec, complain: &mut impl FnMut(&str, String)) {
    for (field, value) in [("path", &file.path), ("keyFile", &file.key_file)] {
        if value.is_empty() {
            complain(&format!("spec.provider.file.{field}"), "this is empty; write a file's path".to_owned());
        }
    }
}

fn check_vault(vault: &VaultSpec, kind: &str, namespace: &str, complain: &mut impl FnMut(&str, String)) {
    const AT: &str = "spec.provider.vault";
    match reqwest::Url::parse(&vault.server) {
        Ok(url) if !matches!(url.scheme(), "http" | "https") || !url.has_host() => {
            complain(&format!("{AT}.server"), "write an address as in https://vault.example:8200".to_owned());
        }
        Ok(url) if !url.username().is_empty() || url.password().is_some() => {
            complain(&format!("{AT}.server"), "an address must not hold a password; use auth".to_owned());
        }
        Ok(_) => {}
        Err(_) => {
            complain(&format!("{AT}.server"), "write an address as in https://vault.example:8200".to_owned());
        }
    }
    let mut references: Vec<(&str, &SecretKeyRef)> = Vec::new();
    if let Some(auth) = &vault.auth {
        if let Some(reference) = &auth.token_secret_ref {
            references.push(("auth.tokenSecretRef", reference));
        }
        if let Some(role) = &auth.app_role {
            references.push(("auth.appRole.secretRef", &role.secret_ref));
            if let Some(reference) = &role.role_ref {
                references.push(("auth.appRole.roleRef", reference));
            }
            if role.role_id.as_deref().unwrap_or_default().is_empty() && role.role_ref.is_none() {
                complain(&format!("{AT}.auth.appRole"), "add roleId or roleRef".to_owned());
            }
        }
        if let Some(kubernetes) = &auth.kubernetes {
            if let Some(reference) = &kubernetes.secret_ref {
                references.push(("auth.kubernetes.secretRef", reference));
            }
            if kubernetes.role.is_empty() {
                complain(&format!("{AT}.auth.kubernetes.role"), "this is empty; write the role".to_owned());
            }
            let account = kubernetes.service_account_ref.as_ref();
            if let Some(account) = account.filter(|_| kind == "SecretStore")
                && account.namespace.as_deref().is_some_and(|other| other != namespace)
            {
                let path = format!("{AT}.auth.kubernetes.serviceAccountRef.namespace");
                complain(&path, "a SecretStore uses its own namespace only; leave this out".to_owned());
            }
        }
        for (field, login) in [("ldap", &auth.ldap), ("userPass", &auth.user_pass)] {
            if let Some(login) = login {
                references.push((
                    if field == "ldap" { "auth.ldap.secretRef" } else { "auth.userPass.secretRef" },
                    &login.secret_ref,
                ));
            }
        }
        if let Some(reference) = auth.jwt.as_ref().and_then(|jwt| jwt.secret_ref.as_ref()) {
            references.push(("auth.jwt.secretRef", reference));
        }
        if let Some(cert) = &auth.cert {
            references.push(("auth.cert.clientCert", &cert.client_cert));
            references.push(("auth.cert.secretRef", &cert.secret_ref));
        }
    }
    for (field, reference) in
        [("tls.certSecretRef", &vault.tls.cert_secret_ref), ("tls.keySecretRef", &vault.tls.key_secret_ref)]
    {
        if let Some(reference) = reference {
            references.push((field, reference));
        }
    }
    for (field, reference) in references {
        if reference.name.is_empty() {
            complain(&format!("{AT}.{field}"), "the Secret's name is missing; add name".to_owned());
        }
        if kind == "SecretStore" && reference.namespace.as_deref().is_some_and(|other| other != namespace) {
            let path = format!("{AT}.{field}.namespace");
            complain(&path, "a SecretStore reads its own namespace only; leave this out".to_owned());
        }
    }
}

/// The problems of one ExternalSecret by itself.
pub fn check_external_secret(object: &Object<ExternalSecretSpec>) -> Vec<Problem> {
    let mut problems = Vec::new();
    let spec = &object.spec;
    let mut complain = |path: &str, what: &str| problems.push(object.problem("ExternalSecret", path, what));
    for (index, entry) in spec.data.iter().enumerate() {
        let path = format!("spec.data[{index}].secretKey");
        if !is_secret_key(&entry.secret_key) {
            complain(&path, "not a valid key of a Secret: letters, digits, -, _ and . only, at most 253");
        }
        check_remote(&entry.remote_ref, &format!("spec.data[{index}].remoteRef"), &mut complain);
        if entry.source_ref.as_ref().is_some_and(|source| source.generator_ref.is_some()) {
            complain(&format!("spec.data[{index}].sourceRef.generatorRef"), GENERATORS);
        }
    }
    for (index, from) in spec.data_from.iter().enumerate() {
        check_from(from, &format!("spec.dataFrom[{index}]"), &mut complain);
    }
    if let Some(name) = spec.target.name.as_deref().filter(|name| !name.is_empty() && !is_dns_name(name)) {
        let _ = name;
        complain("spec.target.name", "not a valid name: lower-case letters, digits, - and . only");
    }
    if let Some(template) = &spec.target.template {
        if let Some(kind) = &template.kind
            && REFUSED_TYPES.contains(&kind.as_str())
        {
            complain(
                "spec.target.template.type",
                "Secrets of this type are credentials of the cluster; refused",
            );
        }
        for key in template.data.keys().filter(|key| !is_secret_key(key)) {
            let path = super::decode::join("spec.target.template.data", key);
            complain(&path, "not a valid key of a Secret: letters, digits, -, _ and . only, at most 253");
        }
    }
    problems
}

/// Types of Secrets that would give away the cluster (CVE-2026-42876).
pub const REFUSED_TYPES: [&str; 2] = ["kubernetes.io/service-account-token", "bootstrap.kubernetes.io/token"];

const GENERATORS: &str = "generators of values are not supported; put the value into the store";

fn check_remote(remote: &RemoteRef, path: &str, complain: &mut impl FnMut(&str, &str)) {
    if remote.key.trim_matches('/').is_empty() {
        complain(&format!("{path}.key"), "this is empty; write the secret's path in the store");
    }
    if let Some(version) = remote.version.as_deref().filter(|version| !version.is_empty())
        && version.parse::<u64>().is_err()
    {
        complain(&format!("{path}.version"), "not a version; write a number in quotes, or leave it out");
    }
}

fn check_from(from: &DataFrom, path: &str, complain: &mut impl FnMut(&str, &str)) {
    let generator = from.source_ref.as_ref().is_some_and(|source| source.generator_ref.is_some());
    if generator {
        complain(&format!("{path}.sourceRef.generatorRef"), GENERATORS);
    }
    match (&from.extract, &from.find) {
        (None, None) if !generator => complain(path, "add extract or find"),
        (Some(extract), _) => check_remote(extract, &format!("{path}.extract"), complain),
        _ => {}
    }
    if let Some(expression) = from.find.as_ref().and_then(|find| find.name.as_ref()?.regexp.as_ref())
        && compile(expression).is_none()
    {
        complain(&format!("{path}.find.name.regexp"), "this is not a regular expression");
    }
    for (index, step) in from.rewrite.iter().enumerate() {
        check_rewrite(step, &format!("{path}.rewrite[{index}]"), complain);
    }
}

fn check_rewrite(step: &Rewrite, path: &str, complain: &mut impl FnMut(&str, &str)) {
    let given = [step.regexp.is_some(), step.transform.is_some(), step.merge.is_some()];
    if given.iter().filter(|given| **given).count() != 1 {
        complain(path, "write exactly one of regexp, transform and merge");
    }
    if let Some(regexp) = &step.regexp
        && compile(&regexp.source).is_none()
    {
        complain(&format!("{path}.regexp.source"), "this is not a regular expression");
    }
}

/// Whether the API server takes this key in a Secret.
pub fn is_secret_key(key: &str) -> bool {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    !key.is_empty()
        && key.len() <= KEY_LENGTH_MAX
        && key.bytes().all(good)
        && key != "."
        && !key.starts_with("..")
}

/// Every store that is named exists and serves this namespace.
fn check_references(object: &Object<ExternalSecretSpec>, manifests: &Manifests, problems: &mut Vec<Problem>) {
    let mut complain =
        |path: String, what: String| problems.push(object.problem("ExternalSecret", &path, what));
    let mut default_needed = false;
    let mut named: Vec<(String, &StoreRef)> = Vec::new();
    let sources =
        object.spec.data.iter().enumerate().map(|(i, d)| (format!("spec.data[{i}]"), &d.source_ref));
    let more =
        object.spec.data_from.iter().enumerate().map(|(i, d)| (format!("spec.dataFrom[{i}]"), &d.source_ref));
    for (path, source) in sources.chain(more) {
        match source {
            Some(source) if source.store_ref.is_some() => {
                named.extend(
                    source.store_ref.as_ref().map(|store| (format!("{path}.sourceRef.storeRef"), store)),
                );
            }
            Some(source) if source.generator_ref.is_some() => {}
            _ => default_needed = true,
        }
    }
    match &object.spec.secret_store_ref {
        Some(store) => named.push(("spec.secretStoreRef".to_owned(), store)),
        None if default_needed => {
            complain("spec".to_owned(), "no store is named; add secretStoreRef".to_owned());
        }
        None => {}
    }
    for (path, store) in named {
        if store.name.is_empty() {
            complain(path, "the store's name is missing; add name".to_owned());
            continue;
        }
        let exists = match store.kind {
            StoreKind::SecretStore => manifests
                .stores
                .iter()
                .any(|known| known.name() == store.name && known.namespace() == object.namespace()),
            StoreKind::ClusterSecretStore => {
                manifests.cluster_stores.iter().any(|known| known.name() == store.name)
            }
        };
        if !exists {
            let what = match store.kind {
                StoreKind::SecretStore => format!(
                    "there is no SecretStore {}/{} in these files; add it, or name one that is there",
                    object.namespace(),
                    store.name
                ),
                StoreKind::ClusterSecretStore => format!(
                    "there is no ClusterSecretStore {} in these files; add it, or name one that is there",
                    store.name
                ),
            };
            complain(format!("{path}.name"), what);
        }
    }
}

fn check_twice<S>(kind: &str, objects: &[Object<S>], problems: &mut Vec<Problem>) {
    let mut seen: BTreeMap<(&str, &str), &Object<S>> = BTreeMap::new();
    for object in objects {
        match seen.get(&(object.namespace(), object.name())) {
            None => {
                seen.insert((object.namespace(), object.name()), object);
            }
            Some(first) => {
                let what = format!("the same name stands twice, first in {}; rename one", place_of(first));
                problems.push(object.problem(kind, "metadata.name", what));
            }
        }
    }
}

fn place_of<S>(object: &Object<S>) -> String {
    let place = object.origin.locate("metadata.name");
    let file = object.origin.file().map(|file| file.display().to_string()).unwrap_or_default();
    format!("{file}:{}", place.line)
}

/// Two ExternalSecrets that own one Secret would write it in turn for ever.
fn check_targets(manifests: &Manifests, problems: &mut Vec<Problem>) {
    let mut owners: BTreeMap<(&str, &str), &Object<ExternalSecretSpec>> = BTreeMap::new();
    let owning = manifests.external_secrets.iter().filter(|object| {
        matches!(object.spec.target.creation_policy, CreationPolicy::Owner | CreationPolicy::Orphan)
    });
    for object in owning {
        let target = object.spec.target_name(object.name());
        match owners.get(&(object.namespace(), target)) {
            None => {
                owners.insert((object.namespace(), target), object);
            }
            Some(first) if first.name() == object.name() => {}
            Some(first) => {
                let what = format!(
                    "the Secret {}/{target} is already made by ExternalSecret {}; give one another target",
                    object.namespace(),
                    first.name()
                );
                problems.push(object.problem("ExternalSecret", "spec.target.name", what));
            }
        }
    }
}
