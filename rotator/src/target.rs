//! Where Secrets go.

use std::path::PathBuf;

/// A target as it is named on the command line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetName {
    /// The cluster of the kubeconfig, or the one that this pod runs in.
    Cluster,
    /// A folder.
    Folder(PathBuf),
}

impl std::str::FromStr for TargetName {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text.split_once(':') {
            None if text == "cluster" => Ok(Self::Cluster),
            Some(("dir", path)) if !path.is_empty() => Ok(Self::Folder(path.into())),
            _ => Err("write cluster or dir:PATH"),
        }
    }
}
