//! How places are named: for people, for code hosts, and as stable ids.

use std::collections::HashMap;
use std::path::{Component, Path};

use shared::finding::{Finding, GitCommit, GitPlace, Image, Location, State};

/// How many digits of a digest are shown: enough to tell the layers of one image apart.
const DIGEST_SHOWN: usize = 12;
/// How many digits of a digest a SARIF folder takes.
const DIGEST_FOLDER: usize = 8;
/// How many bytes of a hash an id takes: no two places of a report share one by chance.
const ID_BYTES: usize = 10;

/// The digits of `sha256:…`, cut.
pub fn short_digest(digest: &str) -> &str {
    cut(digest, DIGEST_SHOWN)
}

fn cut(digest: &str, digits: usize) -> &str {
    let hex = digest.rsplit_once(':').map_or(digest, |(_, hex)| hex);
    hex.get(..digits).unwrap_or(hex)
}

/// What people call an image: its first tag, else its digest, else nothing.
pub fn image_name(image: &Image) -> &str {
    image.tags.first().map_or_else(|| short_digest(&image.digest), String::as_str)
}

/// The path with the members of nested archives: `app.jar!config/application.yml`.
pub fn full_path(location: &Location) -> String {
    let mut path = location.path.clone();
    for entry in &location.entries {
        path.push('!');
        path.push_str(entry);
    }
    path
}

/// The place in one phrase: image, layer, path, line and column.
pub fn phrase(location: &Location) -> String {
    let mut phrase = String::new();
    if let Some(image) = &location.image {
        phrase.push_str(image_name(image));
        phrase.push_str(", ");
    }
    if let Some(layer) = &location.layer {
        phrase.push_str(&format!("layer {}, ", layer.index));
    }
    phrase.push_str(&format!("{}:{}:{}", full_path(location), location.line, location.column));
    phrase
}

/// What the state means to a person, where it is not simply there.
pub fn state_sentence(location: &Location) -> Option<String> {
    if let Some(git) = &location.git {
        return Some(git_sentence(git, location.state));
    }
    let by = match location.hidden_by.as_deref() {
        Some(layer) => format!(" by layer {}", short_digest(layer)),
        None => String::new(),
    };
    match location.state {
        State::Visible => None,
        State::Deleted => Some(format!("Deleted{by}, but everyone who pulls the image still gets it.")),
        State::Overwritten => {
            Some(format!("Overwritten{by}, but everyone who pulls the image still gets it."))
        }
        State::Config => {
            Some("In the image's configuration: everyone who pulls the image can read it.".to_owned())
        }
        State::Orphan => Some("In a blob that no manifest of the archive names.".to_owned()),
    }
}

/// How many digits of a commit are shown, as git shows them in large repositories.
const COMMIT_SHOWN: usize = 12;

/// What the history says of a place.
fn git_sentence(git: &GitPlace, state: State) -> String {
    let commit = |commit: &GitCommit| {
        let day = commit.author_date.get(..10).unwrap_or_default();
        format!("{} of {day}", commit.id.get(..COMMIT_SHOWN).unwrap_or_default())
    };
    let span = match (&git.first, &git.last) {
        (Some(first), Some(last)) if first == last => format!("In commit {}", commit(first)),
        (Some(first), Some(last)) => format!("From commit {} to {}", commit(first), commit(last)),
        _ => format!("In object {}", git.object.get(..COMMIT_SHOWN).unwrap_or_default()),
    };
    match state {
        State::Visible => format!("{span}."),
        State::Deleted => format!("{span}; deleted since, but everyone who clones still gets it."),
        State::Overwritten => format!("{span}; overwritten since, but everyone who clones still gets it."),
        State::Config | State::Orphan => {
            format!("{span}; no branch reaches it, but it is still in the repository.")
        }
    }
}

/// A relative URI for code hosts, percent-encoded and without colon: `layer-3-1a2b3c4d/app/.env` for images, the
/// path below the working folder for trees.
pub fn uri(location: &Location, working_folder: Option<&Path>) -> String {
    let mut uri = String::new();
    for segment in segments(location, working_folder) {
        if !uri.is_empty() {
            uri.push('/');
        }
        encode_segment(&segment, &mut uri);
    }
    uri
}

/// The same path as it is written in a file system.
pub fn relative_path(location: &Location, working_folder: Option<&Path>) -> String {
    segments(location, working_folder).join("/")
}

fn segments(location: &Location, working_folder: Option<&Path>) -> Vec<String> {
    let prefix = match (&location.layer, &location.image) {
        (Some(layer), _) => format!("layer-{}-{}", layer.index, cut(&layer.digest, DIGEST_FOLDER)),
        (None, Some(image)) => format!("image-{}", cut(&image.digest, DIGEST_FOLDER)),
        (None, None) => {
            let target = location.target.strip_prefix("git:").unwrap_or(&location.target);
            tree_prefix(target, &location.path, working_folder)
        }
    };
    let path = location.path.strip_prefix("config:").map(|field| format!("config/{field}"));
    let path = path.as_deref().unwrap_or(&location.path);
    prefix
        .split('/')
        .chain(path.split('/'))
        // `..` would lead out of the repository, and an empty segment would make the URI absolute.
        .filter(|segment| !matches!(*segment, "" | "." | ".."))
        .map(str::to_owned)
        .collect()
}

/// The folder that paths of a tree lie below, as seen from the working folder.
fn tree_prefix(target: &str, path: &str, working_folder: Option<&Path>) -> String {
    let target = Path::new(target);
    let relative = match working_folder {
        Some(folder) => target.strip_prefix(folder).unwrap_or(target),
        None => target,
    };
    let usable = relative.components().all(|part| matches!(part, Component::Normal(_) | Component::CurDir));
    if !usable || relative == Path::new("-") {
        return String::new();
    }
    // A target that is the file itself, not a folder around it.
    let folder = if relative.ends_with(path) { relative.parent() } else { Some(relative) };
    folder.map(|folder| folder.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Percent-encodes what RFC 3986 does not leave unreserved; the colon too, which would read as a scheme.
fn encode_segment(segment: &str, uri: &mut String) {
    for byte in segment.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            uri.push(char::from(byte));
        } else {
            uri.push_str(&format!("%{byte:02X}"));
        }
    }
}

/// One id for each location of each finding: a hash of rule, path, decode chain and ordinal. The id stays when
/// lines move, and when other files change.
pub fn ids(findings: &[Finding]) -> Vec<Vec<String>> {
    let mut ordinals: HashMap<[u8; 32], u64> = HashMap::new();
    findings
        .iter()
        .map(|finding| {
            finding
                .locations
                .iter()
                .map(|location| {
                    let place = place_hash(finding, location);
                    let ordinal = ordinals.entry(*place.as_bytes()).or_insert(0);
                    let mut hasher = blake3::Hasher::new();
                    hasher.update(place.as_bytes()).update(&ordinal.to_le_bytes());
                    *ordinal += 1;
                    let hash = hasher.finalize();
                    data_encoding::HEXLOWER.encode(&hash.as_bytes()[..ID_BYTES])
                })
                .collect()
        })
        .collect()
}

fn place_hash(finding: &Finding, location: &Location) -> blake3::Hash {
    let mut hasher = blake3::Hasher::new();
    let entries = location.entries.iter().map(String::as_str);
    let decoded = location.decoded.iter().map(String::as_str);
    // The empty part keeps members and decoders apart.
    let parts =
        [finding.rule.0.as_str(), &location.path].into_iter().chain(entries).chain([""]).chain(decoded);
    for part in parts {
        // The length keeps `a` + `bc` apart from `ab` + `c`.
        hasher.update(&(part.len() as u64).to_le_bytes()).update(part.as_bytes());
    }
    hasher.finalize()
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::uri;
    use crate::report::tests::{in_layer, in_tree};

    #[test]
    fn uris_are_relative_and_hold_no_colon() {
        assert_eq!(uri(&in_layer("app/a b:c#.env"), None), "layer-3-1a2b3c4d/app/a%20b%3Ac%23.env");
        let mut config = in_layer("config:Env[3]");
        config.layer = None;
        assert_eq!(uri(&config, None), "image-0f0f0f0f/config/Env%5B3%5D");
    }

    #[test]
    fn uris_of_trees_start_at_the_working_folder() {
        let here = Some(Path::new("/home/dev/project"));
        assert_eq!(uri(&in_tree(".", "src/a.rs"), here), "src/a.rs");
        assert_eq!(uri(&in_tree("src", "a.rs"), here), "src/a.rs");
        assert_eq!(uri(&in_tree("./src/", "a.rs"), here), "src/a.rs");
        assert_eq!(uri(&in_tree("/home/dev/project/src", "a.rs"), here), "src/a.rs");
        assert_eq!(uri(&in_tree("src/a.rs", "a.rs"), here), "src/a.rs");
        assert_eq!(uri(&in_tree("../other", "a.rs"), here), "a.rs");
        assert_eq!(uri(&in_tree("/elsewhere", "../../etc/passwd"), here), "etc/passwd");
        assert_eq!(uri(&in_tree("-", "-"), here), "-");
    }
}
