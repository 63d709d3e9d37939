//! From a ClusterRotationTarget to a target that can be opened: parsed once, every mistake named with its place.

use std::path::Path;

use super::any::AnyBackend;
use super::htpasswd::Htpasswd;
use super::postgresql::{PostgreSql, Settings};
use crate::manifest::object::{Object, Origin};
use crate::manifest::postgresql::AdminRef;
use crate::manifest::problem::Problem;
use crate::manifest::rotation::{ClusterRotationTargetSpec, HtpasswdSpec};
use crate::provider::Provider;
use crate::rotation::context::Backend as _;
use crate::rotation::spec::{Endpoint, Strategy};

const KIND: &str = "ClusterRotationTarget";

/// A target as its manifest describes it; nothing was asked yet.
pub enum Definition {
    /// An htpasswd file.
    Htpasswd(Htpasswd),
    /// A PostgreSQL server.
    PostgreSql(Settings),
}

/// Reads a target.
///
/// # Errors
/// Every mistake.
pub fn define(target: &Object<ClusterRotationTargetSpec>) -> Result<Definition, Vec<Problem>> {
    let complain = |path: &str, what: &str| Err(vec![target.problem(KIND, path, what.to_owned())]);
    let spec = &target.spec;
    match (&spec.htpasswd, &spec.postgresql) {
        (Some(htpasswd), None) if spec.admin_ref.is_none() => self::htpasswd(target, htpasswd),
        (Some(_), None) => complain("spec.adminRef", "an htpasswd file has no administrator; leave this out"),
        (None, Some(postgresql)) => {
            Settings::parse(target, postgresql, spec.admin_ref.as_ref()).map(Definition::PostgreSql)
        }
        (None, None) => complain("spec", "no backend is given; write htpasswd or postgresql"),
        (Some(_), Some(_)) => complain("spec", "two backends are given; a target has exactly one"),
    }
}

fn htpasswd(
    target: &Object<ClusterRotationTargetSpec>,
    spec: &HtpasswdSpec,
) -> Result<Definition, Vec<Problem>> {
    let complain = |path: &str, what: String| Err(vec![target.problem(KIND, path, what)]);
    let Origin::File { file, .. } = &target.origin else {
        let what = "an htpasswd file is read from --config only, never from a cluster".to_owned();
        return complain("spec.htpasswd", what);
    };
    let path = file.parent().unwrap_or(Path::new(".")).join(&spec.path);
    match Htpasswd::new(path, spec.probe.as_deref()) {
        Ok(backend) => Ok(Definition::Htpasswd(backend)),
        Err(error) => complain("spec.htpasswd.probe", error.to_string()),
    }
}

impl Definition {
    /// The addresses, in the manifest's order.
    pub fn endpoints(&self) -> &[Endpoint] {
        match self {
            Self::Htpasswd(backend) => backend.endpoints(),
            Self::PostgreSql(settings) => settings.endpoints(),
        }
    }

    /// Whose credential must be read before the target can be changed.
    pub fn admin(&self) -> Option<&AdminRef> {
        match self {
            Self::Htpasswd(_) => None,
            Self::PostgreSql(settings) => Some(settings.admin()),
        }
    }

    /// What this kind of target cannot do for a Rotation, with the path in the Rotation; none, if it can.
    pub fn unsuited(&self, strategy: &Strategy, role: Option<&str>) -> Option<(&'static str, String)> {
        match self {
            Self::Htpasswd(_) => match strategy {
                Strategy::Dual { .. } => Some((
                    "spec.strategy",
                    "one line of an htpasswd file holds one password; write alternating, or single with allowOutage"
                        .to_owned(),
                )),
                Strategy::Alternating { .. } | Strategy::Single { .. } => None,
            },
            Self::PostgreSql(_) => super::postgresql::unsuited(strategy, role),
        }
    }

    /// The target, ready to be driven. `admin` is the store of [`Self::admin`].
    pub fn open(
        self,
        strategy: &Strategy,
        role: Option<&str>,
        admin: Option<Provider>,
    ) -> Option<AnyBackend> {
        match self {
            Self::Htpasswd(backend) => Some(AnyBackend::Htpasswd(backend)),
            Self::PostgreSql(settings) => {
                let backend = PostgreSql::new(settings, admin?, strategy, role);
                Some(AnyBackend::PostgreSql(Box::new(backend)))
            }
        }
    }
}
