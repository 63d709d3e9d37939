//! `dataFrom.find`: whole secrets below a path, by name or by custom metadata.

use super::gather::{Asked, GatherError};
use super::stores::Store;
use super::value::{self, Values};
use crate::manifest::external_secret::Find;
use crate::provider::{Key, ReadError};
use crate::template::go_regex::compile;

/// The most secrets that one `find` reads. A Secret holds 1 MiB, so more could not be kept.
const SECRETS_MAX: usize = 10_000;
/// The deepest folder that is walked.
const DEPTH_MAX: usize = 32;

/// Reads every secret that fits; a name beats tags. Keys are the paths below the mount.
///
/// # Errors
/// When the store cannot be listed or a secret that fits cannot be read.
pub(super) async fn find(asked: &Asked<'_>, find: &Find) -> Result<Values, GatherError> {
    let store = asked.open().await?;
    let mut values = Values::new();
    for (path, name) in paths(asked, &store, find).await? {
        let key = Key::latest(&path);
        let read = store.read(&key).await;
        asked.record(&store, &key, &read);
        let document = match read {
            Ok(document) => document,
            // A list names deleted secrets too.
            Err(ReadError::NotFound { .. }) => continue,
            Err(error) => return Err(asked.read_error(error)),
        };
        let whole = document.json().expose(|json| value::property(json, None));
        values.insert(name, whole.map_err(|error| asked.misfit(&path, error))?);
    }
    Ok(values)
}

/// The path of every secret that fits, sorted, each with the key that it has in a Secret.
///
/// # Errors
/// When the store cannot be listed.
pub(super) async fn paths(
    asked: &Asked<'_>,
    store: &Store,
    find: &Find,
) -> Result<Vec<(String, String)>, GatherError> {
    let expression = find.name.as_ref().and_then(|name| name.regexp.as_deref());
    let regex = match expression.map(compile) {
        Some(Some(regex)) => Some(regex),
        Some(None) => return Err(asked.wrong("name.regexp", "this is not a regular expression")),
        None => None,
    };
    let start =
        find.path.as_deref().map(|path| format!("{}/", path.trim_end_matches('/'))).unwrap_or_default();
    // A slash at the end of the path stands twice in the keys, as the operator has it.
    let named = find.path.as_deref().map(|path| format!("{path}/")).unwrap_or_default();
    let mut fitting = Vec::new();
    for path in walk(asked, store, start.clone()).await? {
        let name = format!("{named}{}", path.get(start.len()..).unwrap_or_default());
        let fits = match &regex {
            Some(regex) => regex.is_match(name.as_bytes()),
            None => has_tags(asked, store, &path, find).await?,
        };
        if fits {
            fitting.push((path, name));
        }
    }
    Ok(fitting)
}

/// Every secret below a folder, sorted. The stack is our own, and bounded: a server says how deep it is.
async fn walk(asked: &Asked<'_>, store: &Store, start: String) -> Result<Vec<String>, GatherError> {
    let mut folders = vec![(start, 0)];
    let mut paths = Vec::new();
    while let Some((folder, depth)) = folders.pop() {
        let names = store.list(&folder).await.map_err(|error| asked.read_error(error))?;
        for name in names {
            let path = format!("{folder}{name}");
            if !name.ends_with('/') {
                paths.push(path);
            } else if depth < DEPTH_MAX {
                folders.push((path, depth + 1));
            } else {
                return Err(asked.wrong("path", "the folders below it are too deep; name a deeper path"));
            }
            if paths.len() > SECRETS_MAX {
                return Err(asked.wrong("path", "more than 10,000 secrets lie below it; name a deeper path"));
            }
        }
    }
    paths.sort();
    Ok(paths)
}

async fn has_tags(asked: &Asked<'_>, store: &Store, path: &str, find: &Find) -> Result<bool, GatherError> {
    match store.metadata(path).await {
        Ok(metadata) => {
            Ok(find.tags.iter().all(|(key, value)| metadata.custom_metadata.get(key) == Some(value)))
        }
        Err(ReadError::NotFound { .. }) => Ok(false),
        Err(error) => Err(asked.read_error(error)),
    }
}
