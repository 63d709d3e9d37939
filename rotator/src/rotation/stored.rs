//! Journal and publication in a store: two paths, each written with check-and-set.

use std::collections::BTreeMap;

use shared::journal::{PhaseName, Record};
use shared::secret::Secret;

use crate::json_text::{self, Piece};
use crate::provider::{Key, Provider, ReadError, WriteError};
use crate::rotation::context::{
    CasError, Credential, Freeze, Journal, LoadError, NoAnswer, Publication, PublicationError, Published,
};
use crate::rotation::failpoint::reach;
use crate::rotation::freeze;
use crate::rotation::pairs::Neighbour;

/// Versions of a journal: the last few runs, each of which writes some dozen, and a backup to compare with.
const VERSIONS_KEPT: u64 = 16;
/// A published path holds a few properties; one beyond this is no credential.
const DOCUMENT_BYTES_MAX: usize = 1024 * 1024;

/// The journal of one Rotation at a path of a store.
pub struct StoredJournal {
    provider: Provider,
    path: String,
    neighbours: Vec<StoredNeighbour>,
}

/// The journal of a Rotation that is paired with another.
pub struct StoredNeighbour {
    /// `namespace/name`.
    pub name: String,
    /// Whether it goes first when both are due.
    pub goes_first: bool,
    /// Its journal.
    pub journal: StoredJournal,
}

impl StoredJournal {
    /// The journal of `namespace/name`: below `keyturn/journal/`, where the policies that we ship guard it.
    pub fn new(provider: Provider, namespace: &str, name: &str) -> Self {
        Self { provider, path: format!("keyturn/journal/{namespace}/{name}"), neighbours: Vec::new() }
    }

    /// The same, paired with these.
    #[must_use]
    pub fn with_neighbours(mut self, neighbours: Vec<StoredNeighbour>) -> Self {
        self.neighbours = neighbours;
        self
    }
}

/// The failure in the machine's words; the details go to the log.
pub(crate) fn no_answer(error: &ReadError) -> NoAnswer {
    let class = match error {
        ReadError::NotFound { .. } => "missing",
        ReadError::Denied { .. } => "denied",
        ReadError::LoginRefused { .. } => "login refused",
        ReadError::Sealed { .. } => "sealed",
        ReadError::Unreachable { .. } => "unreachable",
        ReadError::RateLimited { .. } => "rate limited",
        ReadError::Unexpected { .. } | ReadError::Unsupported { .. } | ReadError::File(_) => "store",
    };
    NoAnswer { what: error.to_string(), class: class.to_owned() }
}

fn cas_error(error: &WriteError) -> CasError {
    match error {
        WriteError::Cas { at, .. } => CasError::Conflict(at.to_string()),
        WriteError::Refused(error) => no_answer(error).into(),
        WriteError::Unknown { .. } | WriteError::CasRequired { .. } | WriteError::NotAnObject { .. } => {
            NoAnswer { what: error.to_string(), class: "store".into() }.into()
        }
    }
}

impl Journal for StoredJournal {
    async fn load(&self) -> Result<Option<(u64, Record)>, LoadError> {
        match self.provider.read(&Key::latest(&self.path)).await {
            Ok(document) => Ok(Some((document.version.unwrap_or(0), Record::parse(document.json())?))),
            Err(ReadError::NotFound { .. }) => Ok(None),
            Err(error) => Err(no_answer(&error).into()),
        }
    }

    async fn store(&self, record: &Record, version: u64) -> Result<u64, CasError> {
        let json = record
            .to_store()
            .map_err(|_| NoAnswer { what: "the journal has no JSON form".into(), class: "bug".into() })?;
        let phase = record.phase.name();
        // Once a run: whoever else can write there must not overwrite it unseen, or leave no version to go back to.
        if phase == PhaseName::Planned
            && let Err(error) = self.provider.guard(&self.path, VERSIONS_KEPT).await
        {
            tracing::warn!(path = %self.path, %error, "the journal is not guarded against blind writes");
        }
        reach(format_args!("before journal {phase}"));
        let written = self.provider.write(&self.path, json, Some(version)).await;
        reach(format_args!("after journal {phase}"));
        written.map_err(|error| cas_error(&error))
    }

    async fn frozen(&self) -> Result<Option<Freeze>, NoAnswer> {
        freeze::read(&self.provider).await
    }

    async fn neighbours(&self) -> Result<Vec<Neighbour>, NoAnswer> {
        let mut all = Vec::with_capacity(self.neighbours.len());
        for StoredNeighbour { name, goes_first, journal } in &self.neighbours {
            let record = match journal.load().await {
                Ok(loaded) => loaded.map(|(_, record)| record),
                Err(LoadError::NoAnswer(lost)) => return Err(lost),
                Err(LoadError::Unusable(error)) => {
                    let class = format!("journal of {name}");
                    return Err(NoAnswer { what: error.to_string(), class });
                }
            };
            all.push(Neighbour { name: name.clone(), goes_first: *goes_first, record });
        }
        Ok(all)
    }
}

/// The path that consumers read.
pub struct StoredPublication {
    provider: Provider,
    key: String,
    username: Option<String>,
    password: String,
    account: String,
}

impl StoredPublication {
    /// A path whose property `password` holds the secret and `username` (where it is named) the account. Without
    /// `username` the account is always `account`.
    pub fn new(
        provider: Provider,
        key: String,
        username: Option<String>,
        password: String,
        account: String,
    ) -> Self {
        Self { provider, key, username, password, account }
    }

    fn incomplete(&self, property: &str) -> PublicationError {
        PublicationError::Incomplete(property.to_owned())
    }

    fn credential(&self, json: &Secret) -> Result<Credential, PublicationError> {
        json.expose(|bytes| {
            let properties = json_text::properties(bytes).ok_or_else(|| self.incomplete(&self.password))?;
            let text = |name: &str| {
                properties
                    .get(name)
                    .and_then(|raw| json_text::string(raw))
                    .ok_or_else(|| self.incomplete(name))
            };
            let secret = text(&self.password)?;
            let account = match &self.username {
                None => self.account.clone(),
                Some(name) => text(name)?.expose(|b| String::from_utf8_lossy(b).into_owned()),
            };
            Ok(Credential { account, secret })
        })
    }
}

impl Publication for StoredPublication {
    async fn read(&self) -> Result<Option<Published>, PublicationError> {
        match self.provider.read(&Key::latest(&self.key)).await {
            Ok(document) => Ok(Some(Published {
                version: document.version.unwrap_or(0),
                credential: self.credential(document.json())?,
            })),
            Err(ReadError::NotFound { .. }) => Ok(None),
            Err(error) => Err(no_answer(&error).into()),
        }
    }

    async fn earlier(&self, version: u64) -> Result<Option<Published>, PublicationError> {
        let key = Key { path: self.key.clone(), version: Some(version) };
        match self.provider.read(&key).await {
            Ok(document) => Ok(Some(Published { version, credential: self.credential(document.json())? })),
            Err(ReadError::NotFound { .. }) => Ok(None),
            Err(error) => Err(no_answer(&error).into()),
        }
    }

    async fn publish(&self, credential: &Credential, version: u64) -> Result<u64, CasError> {
        // Other properties of the path are somebody else's, and stay.
        let before = match self.provider.read(&Key::latest(&self.key)).await {
            Ok(document) if document.version == Some(version) => Some(document),
            Ok(_) => return Err(CasError::Conflict(self.key.clone())),
            Err(ReadError::NotFound { .. }) if version == 0 => None,
            Err(ReadError::NotFound { .. }) => return Err(CasError::Conflict(self.key.clone())),
            Err(error) => return Err(no_answer(&error).into()),
        };
        let json = match &before {
            Some(document) => document.json().expose(|bytes| self.document(bytes, credential)),
            None => self.document(b"{}", credential),
        };
        let json = json.ok_or_else(|| NoAnswer { what: self.key.clone(), class: "not text".into() })?;
        reach(format_args!("before publish"));
        let written = self.provider.write(&self.key, json, Some(version)).await;
        reach(format_args!("after publish"));
        written.map_err(|error| cas_error(&error))
    }
}

impl StoredPublication {
    fn document(&self, before: &[u8], credential: &Credential) -> Option<Secret> {
        let old = json_text::properties(before)?;
        credential.secret.expose(|bytes| {
            let mut pieces: BTreeMap<String, Piece<'_>> =
                old.iter().map(|(name, raw)| (name.clone(), Piece::Raw(raw))).collect();
            pieces.insert(self.password.clone(), Piece::Text(std::str::from_utf8(bytes).ok()?));
            if let Some(username) = &self.username {
                pieces.insert(username.clone(), Piece::Text(&credential.account));
            }
            json_text::object(&pieces, DOCUMENT_BYTES_MAX).ok()
        })
    }
}
