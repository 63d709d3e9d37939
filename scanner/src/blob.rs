//! What comes out of a source, and where it came from.
//!
//! A [`Source`] walks a target and hands every piece of content, a [`Blob`], to a [`Sink`], from many threads and in
//! no promised order. A blob carries its [`Provenance`]: not a finished location, but enough to ask the source for
//! all its [`Site`]s once the whole target is known. The manifest of an image may come last in its archive, and one
//! layer may belong to several images; so the state of a file is known only at the end.

use std::io::Read;
use std::sync::Arc;

use shared::coverage::Coverage;
use shared::finding::{GitPlace, Image, Layer, ScannedImage, State};

/// Where a blob came from, cheap to clone; enough to find every location of it once the target is known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Provenance {
    /// Which target, in the order of the command line.
    pub target: u32,
    /// What kind of place.
    pub origin: Origin,
    /// A label of the outer file: without a leading `./` or `/`, bytes that are not UTF-8 percent-encoded. Never
    /// used to open anything. The final path is in [`Site::path`].
    pub path: Arc<str>,
    /// Members of nested archives, outermost first.
    pub entries: Vec<Arc<str>>,
}

/// The kind of place that a blob comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Origin {
    /// A file of a folder, a single file, or a member of an archive that is no image.
    File,
    /// An entry of a tar archive that is, or may turn out to be, a layer of an image.
    Entry {
        /// The archive, as the source counts them.
        blob: u32,
        /// The entry's place in the archive, from 0, counting every header.
        ordinal: u32,
    },
    /// A part of a file of the image's own description: configuration, manifest, index.
    Config {
        /// The description file, as the source counts them.
        document: u32,
    },
    /// Standard input.
    Stream,
    /// An object of a git repository, named by the path: `object:ID`, `commit:ID`, `tag:ID`.
    Object {
        /// The repository, as the source counts them.
        repository: u32,
    },
}

/// The bytes of a blob.
pub enum Content<'a> {
    /// All of them, in memory or mapped.
    Slice(&'a [u8]),
    /// To be read once, front to back. An error of the reader is noted in the coverage by the source that made it;
    /// what was read until then counts as searched.
    Stream {
        /// The bytes.
        reader: &'a mut dyn Read,
        /// How many bytes the container claims; untrusted.
        size_hint: Option<u64>,
    },
}

/// One piece of content.
pub struct Blob<'a> {
    /// Where it came from.
    pub provenance: Provenance,
    /// Its bytes.
    pub content: Content<'a>,
}

/// Whether the walk goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Flow {
    /// More blobs, please.
    Continue,
    /// The run ends early, on an interrupt for instance: no further blobs.
    Stop,
}

/// Takes blobs. Called from many threads at once.
pub trait Sink: Sync {
    /// Searches one blob.
    fn blob(&self, blob: Blob<'_>) -> Flow;

    /// Says that so many more stored bytes of the target are done, for a progress bar.
    fn progress(&self, _bytes_stored: u64) {}
}

/// A target that can be walked.
pub trait Source: Send + Sync {
    /// Walks the target, in parallel where it can, and says what was seen. `bytes_decoded` is left at zero: the
    /// engine knows what it searched. Call it once, from inside the thread pool that shall do the work.
    fn blobs(&self, sink: &dyn Sink) -> Coverage;

    /// Prepares [`Source::locate`] for the blobs that had hits, and says what could not be told of them.
    fn resolve(&self, _hits: &[&Provenance]) -> Coverage {
        Coverage::default()
    }

    /// All places of a blob, after [`Source::blobs`]: one for each image that holds it, and for each hard link.
    /// Empty when the blob belongs to an image that the options leave out.
    fn locate(&self, provenance: &Provenance) -> Vec<Site>;

    /// The images of the target with their layers, after [`Source::blobs`]. The caller puts in the target's name.
    fn images(&self) -> Vec<ScannedImage> {
        Vec::new()
    }

    /// How many stored bytes there are to walk, if that is known beforehand.
    fn bytes_stored(&self) -> Option<u64> {
        None
    }
}

/// One place of a blob: a location without the position inside the blob.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Site {
    /// The image, for targets that are images.
    pub image: Option<Image>,
    /// The layer. Its `created_by` is not redacted yet.
    pub layer: Option<Layer>,
    /// The history, for repositories.
    pub git: Option<GitPlace>,
    /// The outer file, or `config:Env[3]`.
    pub path: String,
    /// Members of nested archives, outermost first.
    pub entries: Vec<String>,
    /// Whether the running container sees it.
    pub state: State,
    /// The layer that deletes or overwrites it, as `sha256:…` of the stored blob.
    pub hidden_by: Option<String>,
}
