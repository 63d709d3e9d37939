//! Reads manifests from a file or a folder.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use super::Manifests;
use super::decode::{Mistake, decode};
use super::node::{FILE_BYTES_MAX, Kind, Node};
use super::object::{Object, Origin, full_name};
use super::problem::Problem;

/// Files with more manifests than this in one folder are a mistake in the path.
const FILES_MAX: usize = 10_000;
/// Folders below the one that was named.
const FOLDERS_DEPTH_MAX: usize = 8;
/// The namespace of an object that names none, as `kubectl` does it.
const NAMESPACE_DEFAULT: &str = "default";

/// The API group of ExternalSecrets and their stores.
pub const GROUP: &str = "external-secrets.io";

/// Reads every manifest under `path`: a file, or a folder with all its `.yaml`, `.yml` and `.json` files.
/// Objects of other kinds are counted and left alone.
pub fn load(path: &Path) -> (Manifests, Vec<Problem>) {
    let mut manifests = Manifests::default();
    let mut problems = Vec::new();
    let mut files = Vec::new();
    collect_files(path, 0, &mut files, &mut problems);
    if files.is_empty() && problems.is_empty() {
        problems.push(Problem::of_file(path, "no .yaml, .yml or .json file is in this folder"));
    }
    for file in files {
        load_file(file, &mut manifests, &mut problems);
    }
    (manifests, problems)
}

fn collect_files(path: &Path, depth: usize, files: &mut Vec<PathBuf>, problems: &mut Vec<Problem>) {
    let metadata = match std::fs::metadata(path) {
        Ok(metadata) => metadata,
        Err(error) => {
            problems.push(Problem::of_file(path, format!("cannot be read: {}", io_words(&error))));
            return;
        }
    };
    if !metadata.is_dir() {
        files.push(path.to_owned());
        return;
    }
    let entries = match std::fs::read_dir(path).and_then(Iterator::collect::<Result<Vec<_>, _>>) {
        Ok(entries) => entries,
        Err(error) => {
            problems.push(Problem::of_file(path, format!("cannot be read: {}", io_words(&error))));
            return;
        }
    };
    let mut paths: Vec<_> = entries.into_iter().map(|entry| entry.path()).collect();
    paths.sort();
    for path in paths {
        let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        // Mounted ConfigMaps keep their versions in folders that begin with two dots.
        if name.starts_with('.') {
            continue;
        }
        let wanted = [".yaml", ".yml", ".json"].iter().any(|end| name.ends_with(end));
        if path.is_dir() {
            if depth < FOLDERS_DEPTH_MAX {
                collect_files(&path, depth + 1, files, problems);
            } else {
                problems.push(Problem::of_file(&path, "this folder lies too deep; name it itself"));
            }
        } else if wanted {
            if files.len() >= FILES_MAX {
                problems.push(Problem::of_file(
                    &path,
                    format!("more than {FILES_MAX} files; name a smaller folder"),
                ));
                return;
            }
            files.push(path);
        }
    }
}

/// The usual reasons in plain words; the rest as the system says it.
pub(crate) fn io_words(error: &std::io::Error) -> String {
    match error.kind() {
        std::io::ErrorKind::NotFound => "there is no such file or folder".to_owned(),
        std::io::ErrorKind::PermissionDenied => "permission denied (check its owner and mode)".to_owned(),
        std::io::ErrorKind::InvalidData => "the file is not UTF-8 text".to_owned(),
        _ => error.to_string(),
    }
}

fn load_file(file: PathBuf, manifests: &mut Manifests, problems: &mut Vec<Problem>) {
    let text = match read_text(&file) {
        Ok(text) => text,
        Err(what) => {
            problems.push(Problem::of_file(file, what));
            return;
        }
    };
    match Node::parse_all(&text) {
        Ok(documents) => {
            let file = Arc::new(file);
            for tree in documents {
                let origin = Origin::File { file: Arc::clone(&file), tree: Arc::new(tree) };
                add(origin, manifests, problems);
            }
        }
        Err(error) => {
            let mut problem = Problem::of_file(file, error.what);
            problem.place = error.place;
            problems.push(problem);
        }
    }
}

fn read_text(file: &Path) -> Result<Zeroizing<String>, String> {
    let cannot = |error: std::io::Error| format!("cannot be read: {}", io_words(&error));
    let handle = File::open(file).map_err(cannot)?;
    let mut text = Zeroizing::new(String::new());
    handle.take(FILE_BYTES_MAX + 1).read_to_string(&mut text).map_err(cannot)?;
    if text.len() as u64 > FILE_BYTES_MAX {
        return Err(format!("larger than {} MiB; split it into several files", FILE_BYTES_MAX >> 20));
    }
    Ok(text)
}

/// Adds one document to what is known.
fn add(origin: Origin, manifests: &mut Manifests, problems: &mut Vec<Problem>) {
    let Origin::File { tree, .. } = &origin else { return };
    let tree = Arc::clone(tree);
    if matches!(tree.kind, Kind::Null) {
        return;
    }
    let complain = |path: &str, what: String| {
        Problem::of_mistake(
            origin.file(),
            "",
            Mistake { place: tree.locate(path), path: path.to_owned(), what },
        )
    };
    let (Some(api_version), Some(kind)) =
        (tree.get("apiVersion").and_then(Node::text), tree.get("kind").and_then(Node::text))
    else {
        problems
            .push(complain("", "this is no Kubernetes object; apiVersion and kind are missing".to_owned()));
        return;
    };
    let group = api_version.split_once('/').map_or("", |(group, _)| group);
    match (api_version, kind) {
        ("external-secrets.io/v1", "SecretStore") => {
            keep(object(origin, kind, true, "spec"), &mut manifests.stores, problems);
        }
        ("external-secrets.io/v1", "ClusterSecretStore") => {
            keep(object(origin, kind, false, "spec"), &mut manifests.cluster_stores, problems);
        }
        ("external-secrets.io/v1", "ExternalSecret") => {
            keep(object(origin, kind, true, "spec"), &mut manifests.external_secrets, problems);
        }
        ("external-secrets.io/v1", "ClusterExternalSecret") => {
            keep(object(origin, kind, false, "spec"), &mut manifests.cluster_external_secrets, problems);
        }
        ("keyturn.dev/v1alpha1", "ClusterRotationTarget") => {
            keep(object(origin, kind, false, "spec"), &mut manifests.rotation_targets, problems);
        }
        ("keyturn.dev/v1alpha1", "Rotation") => {
            keep(object(origin, kind, true, "spec"), &mut manifests.rotations, problems);
        }
        ("v1", "Secret") => keep(object(origin, kind, true, ""), &mut manifests.secrets, problems),
        ("v1", "ConfigMap") => keep(object(origin, kind, true, ""), &mut manifests.config_maps, problems),
        ("v1", "Namespace") => match metadata(&tree, kind, false, &origin) {
            Ok(meta) => manifests.namespaces.push(Object { meta, spec: (), origin }),
            Err(mut found) => problems.append(&mut found),
        },
        ("v1", "List") => {
            let what = "a List of objects is not read; write its items as documents of their own".to_owned();
            problems.push(complain("kind", what));
        }
        (_, "SecretStore" | "ClusterSecretStore" | "ExternalSecret" | "ClusterExternalSecret")
            if group == GROUP =>
        {
            problems.push(complain(
                "apiVersion",
                "this version is not known; write external-secrets.io/v1".to_owned(),
            ));
        }
        _ if group == GROUP || group.ends_with(".external-secrets.io") || group == "keyturn.dev" => {
            problems.push(complain("kind", format!("the kind {} is not supported yet", printable(kind))));
        }
        _ => manifests.others += 1,
    }
}

fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(60).collect()
}

fn keep<S>(result: Result<Object<S>, Vec<Problem>>, list: &mut Vec<Object<S>>, problems: &mut Vec<Problem>) {
    match result {
        Ok(object) => list.push(object),
        Err(mut found) => problems.append(&mut found),
    }
}

/// Reads one object; `field` is where its specification lies, empty for objects without one (Secrets).
fn object<S: DeserializeOwned>(
    origin: Origin,
    kind: &str,
    namespaced: bool,
    field: &str,
) -> Result<Object<S>, Vec<Problem>> {
    let Origin::File { tree, .. } = &origin else { return Err(Vec::new()) };
    let tree = Arc::clone(tree);
    object_from(&tree, origin, kind, namespaced, field)
}

/// Reads one object from its tree.
///
/// # Errors
/// Every mistake in its metadata and specification.
pub fn object_from<S: DeserializeOwned>(
    tree: &Node,
    origin: Origin,
    kind: &str,
    namespaced: bool,
    field: &str,
) -> Result<Object<S>, Vec<Problem>> {
    let mut problems = Vec::new();
    let meta = match metadata(tree, kind, namespaced, &origin) {
        Ok(meta) => Some(meta),
        Err(mut found) => {
            problems.append(&mut found);
            None
        }
    };
    let name = meta.as_ref().map_or_else(String::new, |meta: &ObjectMeta| {
        full_name(meta.namespace.as_deref().unwrap_or_default(), meta.name.as_deref().unwrap_or_default())
    });
    let object = format!("{kind} {name}");
    let node = if field.is_empty() { Some(tree) } else { tree.get(field) };
    let spec = match node {
        Some(node) => decode(node, field).map_err(|mistakes| {
            let problem = |mistake| Problem::of_mistake(origin.file(), object.trim_end(), mistake);
            problems.extend(mistakes.into_iter().map(problem));
        }),
        None => {
            let what = format!("the field \"{field}\" is missing; add it");
            let mistake = Mistake { place: tree.place, path: String::new(), what };
            problems.push(Problem::of_mistake(origin.file(), object.trim_end(), mistake));
            Err(())
        }
    };
    match (meta, spec) {
        (Some(meta), Ok(spec)) => Ok(Object { meta, spec, origin }),
        _ => Err(problems),
    }
}

/// Reads an object's metadata and gives it its namespace.
fn metadata(tree: &Node, kind: &str, namespaced: bool, origin: &Origin) -> Result<ObjectMeta, Vec<Problem>> {
    let complain = |path: &str, what: &str| {
        let mistake = Mistake { place: tree.locate(path), path: path.to_owned(), what: what.to_owned() };
        vec![Problem::of_mistake(origin.file(), kind, mistake)]
    };
    let Some(node) = tree.get("metadata") else {
        return Err(complain("", "the field \"metadata\" is missing; add it with a name"));
    };
    let mut meta: ObjectMeta = decode(node, "metadata").map_err(|mistakes| {
        mistakes
            .into_iter()
            .map(|mistake| Problem::of_mistake(origin.file(), kind, mistake))
            .collect::<Vec<_>>()
    })?;
    match meta.name.as_deref() {
        None | Some("") => return Err(complain("metadata", "the name is missing; add metadata.name")),
        Some(name) if !is_dns_name(name) => {
            let what = "not a valid name: lower-case letters, digits, - and . only, at most 253 characters";
            return Err(complain("metadata.name", what));
        }
        Some(_) => {}
    }
    if !namespaced {
        meta.namespace = None;
        return Ok(meta);
    }
    match meta.namespace.as_deref() {
        None | Some("") => meta.namespace = Some(NAMESPACE_DEFAULT.to_owned()),
        Some(namespace) if namespace.len() > 63 || namespace.contains('.') || !is_dns_name(namespace) => {
            let what = "not a valid namespace: lower-case letters, digits and - only, at most 63 characters";
            return Err(complain("metadata.namespace", what));
        }
        Some(_) => {}
    }
    Ok(meta)
}

/// RFC 1123 subdomain, as the API server wants names.
pub fn is_dns_name(name: &str) -> bool {
    let good = |part: &str| {
        let inner = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
        let ends = part.bytes().next().is_some_and(inner) && part.bytes().last().is_some_and(inner);
        ends && part.bytes().all(|byte| inner(byte) || byte == b'-')
    };
    name.len() <= 253 && name.split('.').all(good)
}
