//! One object: its metadata, its specification and where it came from.

use std::path::PathBuf;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::decode::Mistake;
use super::node::{Node, Place};
use super::problem::Problem;

/// An object whose specification is valid.
#[derive(Clone, Debug)]
pub struct Object<S> {
    /// Name, namespace, labels, annotations and what the API server adds.
    pub meta: ObjectMeta,
    /// The specification.
    pub spec: S,
    /// Where it came from.
    pub origin: Origin,
}

/// Where an object came from.
#[derive(Clone, Debug)]
pub enum Origin {
    /// A file; the tree gives line and column of each field.
    File {
        /// The file.
        file: Arc<PathBuf>,
        /// The document.
        tree: Arc<Node>,
    },
    /// The API server.
    Cluster,
}

impl Origin {
    /// The file, if there is one.
    pub fn file(&self) -> Option<PathBuf> {
        match self {
            Self::File { file, .. } => Some(file.as_ref().clone()),
            Self::Cluster => None,
        }
    }

    /// Where a field stands.
    pub fn locate(&self, path: &str) -> Place {
        match self {
            Self::File { tree, .. } => tree.locate(path),
            Self::Cluster => Place::default(),
        }
    }
}

impl<S> Object<S> {
    /// The name; never empty for an object that was loaded.
    pub fn name(&self) -> &str {
        self.meta.name.as_deref().unwrap_or_default()
    }

    /// The namespace; empty for objects of the whole cluster.
    pub fn namespace(&self) -> &str {
        self.meta.namespace.as_deref().unwrap_or_default()
    }

    /// `namespace/name`, or the name alone.
    pub fn full_name(&self) -> String {
        full_name(self.namespace(), self.name())
    }

    /// A problem with one field of this object.
    pub fn problem(&self, kind: &str, path: &str, what: impl Into<String>) -> Problem {
        let mistake = Mistake { place: self.origin.locate(path), path: path.to_owned(), what: what.into() };
        Problem::of_mistake(self.origin.file(), &format!("{kind} {}", self.full_name()), mistake)
    }
}

/// `namespace/name`, or the name alone where there is no namespace.
pub fn full_name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}
