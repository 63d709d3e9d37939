//! Targets that are read once, front to back: standard input, archives compressed as a whole, files on a network.
//!
//! `docker save … | scanner scan -` may name its layers last. So everything that can be a layer is searched as one
//! when it comes by, small documents are kept, and the images are put together at the end.

mod tour;

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::AsFd;
use std::sync::{Arc, OnceLock};

use shared::coverage::{Coverage, Skipped};
use shared::finding::ScannedImage;

use self::tour::Tour;
use super::SourceOptions;
use crate::batch::Spare;
use crate::blob::{Content, Origin, Provenance, Sink, Site, Source};
use crate::image::{ImageSet, in_archive};
use crate::mmap::{Mapped, Stamp};
use crate::unpack::compression::decode;
use crate::unpack::format::{Codec, Format, HEAD_BYTES};
use crate::unpack::tar::{StreamWalk, TarError, read_full};
use crate::unpack::window::now_or_never;
use crate::unpack::{self, Nesting, broken, label, tar_broken};
use crate::walk::{Over, Place, Walk, Watched};

/// A target that is read once.
pub(super) struct StreamSource {
    target: String,
    options: SourceOptions,
    input: Input,
    set: OnceLock<Option<ImageSet>>,
}

enum Input {
    Standard,
    Compressed(Arc<Mapped>),
    /// A file that is read and not mapped, as it was when it was opened.
    File(File, Stamp),
}

impl StreamSource {
    /// Standard input.
    pub(super) fn standard_input(options: &SourceOptions) -> Self {
        Self::new("-", Input::Standard, options)
    }

    /// A file that is compressed as a whole.
    pub(super) fn compressed(target: &str, map: Arc<Mapped>, options: &SourceOptions) -> Self {
        Self::new(target, Input::Compressed(map), options)
    }

    /// A file that is read from front to back, whatever it holds.
    ///
    /// # Errors
    /// When the system says nothing of it.
    pub(super) fn file(target: &str, file: File, options: &SourceOptions) -> io::Result<Self> {
        let stamp = Stamp::of(&file)?;
        Ok(Self::new(target, Input::File(file, stamp), options))
    }

    fn new(target: &str, input: Input, options: &SourceOptions) -> Self {
        Self { target: target.to_owned(), options: options.clone(), input, set: OnceLock::new() }
    }

    /// The provenance of the stream itself.
    fn whole(&self) -> Provenance {
        let path = if self.target == "-" { "-".to_owned() } else { label::path(self.target.as_bytes()) };
        let (origin, path) = (Origin::Stream, path.into());
        Provenance { target: self.options.target, origin, path, entries: Vec::new() }
    }

    fn search(&self, walk: &Walk<'_>, reader: &mut dyn Read) -> Result<Option<ImageSet>, Over> {
        let mut head = vec![0; 1 << 16];
        let count = match read_full(reader, &mut head) {
            Ok(count) => count,
            Err(error) => {
                walk.skip(&Place::Target, Skipped::Unreadable, error.kind().to_string());
                return Ok(None);
            }
        };
        head.truncate(count);
        if head.is_empty() {
            walk.skip(&Place::Target, Skipped::Empty, "there is nothing to read".to_owned());
            return Ok(None);
        }
        let format = Format::of(&head[..head.len().min(HEAD_BYTES)]);
        let mut input = Watched::new(head.chain(reader));
        let (set, error) = match format {
            Format::Tar => self.archive(walk, &mut input)?,
            Format::Compressed(codec) => self.decompressed(walk, codec, &head, &mut input)?,
            _ => (None, unpack::stream(walk, self.whole(), &mut input, None, Nesting::TARGET)?),
        };
        if let Some(error) = input.error {
            walk.skip(&Place::Target, Skipped::Unreadable, error.kind().to_string());
        } else if let Some(error) = error {
            broken(walk, &self.whole(), Nesting::TARGET, "the stream is damaged or cut off", Some(&error));
        }
        Ok(set)
    }

    fn decompressed(
        &self,
        walk: &Walk<'_>,
        codec: Codec,
        head: &[u8],
        input: &mut dyn Read,
    ) -> Result<(Option<ImageSet>, Option<io::Error>), Over> {
        let Some(window) = now_or_never(walk, &self.whole(), codec, head) else {
            walk.emit(self.whole(), Content::Stream { reader: input, size_hint: None })?;
            return Ok((None, None));
        };
        let at = self.whole();
        let mut decoded = match decode(walk, (&at, codec), input, window, Nesting::TARGET) {
            Ok(decoded) => decoded,
            Err(error) => return Ok((None, Some(error))),
        };
        let mut head = [0; HEAD_BYTES];
        let count = match read_full(&mut decoded, &mut head) {
            Ok(count) => count,
            Err(error) => return Ok((None, Some(error))),
        };
        let head = &head[..count];
        let mut whole = head.chain(decoded);
        if Format::of(head) == Format::Tar {
            return self.archive(walk, &mut whole);
        }
        let inner = unpack::member(&at, codec.inner_name(&at.path).to_owned());
        Ok((None, unpack::stream(walk, inner, &mut whole, None, Nesting::TARGET.inner())?))
    }

    /// Searches a tar archive that may turn out to hold images. Returns the reader's error, if it failed.
    fn archive(
        &self,
        walk: &Walk<'_>,
        reader: &mut dyn Read,
    ) -> Result<(Option<ImageSet>, Option<io::Error>), Over> {
        let spare = Spare::default();
        let mut tour = Tour::new(walk, &self.options, &spare);
        let mut members = StreamWalk::new(reader);
        let error = rayon::in_place_scope(|scope| {
            let searched = loop {
                match members.next() {
                    Ok(Some(entry)) => match tour.entry(scope, &entry, &mut members) {
                        Ok(None) => {}
                        Ok(error) => break Ok(error),
                        Err(over) => break Err(over),
                    },
                    Ok(None) => break Ok(None),
                    Err(TarError::Read(error)) => break Ok(Some(error)),
                    Err(error) => {
                        tar_broken(walk, &self.whole(), Nesting::TARGET, &error);
                        break Ok(None);
                    }
                }
            };
            tour.search_rest();
            searched
        })?;
        if error.is_none() && !members.ended() {
            broken(
                walk,
                &self.whole(),
                Nesting::TARGET,
                "the tar archive has no end marker: it may be cut off",
                None,
            );
        }
        Ok((Some(tour.images()?), error))
    }
}

/// Counts what is read of the target.
struct Progress<'a, R> {
    reader: R,
    walk: &'a Walk<'a>,
}

impl<R: Read> Read for Progress<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(buffer)?;
        self.walk.count_stored(count as u64);
        Ok(count)
    }
}

impl Source for StreamSource {
    fn blobs(&self, sink: &dyn Sink) -> Coverage {
        let walk = Walk::new(sink, &self.options.limits, &self.target);
        let searched = match &self.input {
            Input::Standard => match io::stdin().as_fd().try_clone_to_owned() {
                Ok(input) => self.search(&walk, &mut Progress { reader: File::from(input), walk: &walk }),
                Err(error) => {
                    walk.skip(&Place::Target, Skipped::Unreadable, error.kind().to_string());
                    Ok(None)
                }
            },
            Input::Compressed(map) => {
                let searched = self.search(&walk, &mut Progress { reader: map.bytes(), walk: &walk });
                if map.changed() {
                    walk.skip(&Place::Target, Skipped::ChangedWhileRead, None);
                }
                searched
            }
            Input::File(file, before) => {
                let searched = self.search(&walk, &mut Progress { reader: file, walk: &walk });
                if Stamp::of(file).ok() != Some(*before) {
                    walk.skip(&Place::Target, Skipped::ChangedWhileRead, None);
                }
                searched
            }
        };
        let _ = self.set.set(searched.ok().flatten());
        walk.finish()
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        match (self.set.get(), provenance.origin) {
            (Some(Some(set)), Origin::Entry { .. } | Origin::Config { .. }) => set.locate(provenance),
            _ => vec![in_archive(provenance)],
        }
    }

    fn images(&self) -> Vec<ScannedImage> {
        self.set.get().and_then(Option::as_ref).map(ImageSet::images).unwrap_or_default()
    }

    fn bytes_stored(&self) -> Option<u64> {
        match &self.input {
            Input::Standard => None,
            Input::Compressed(map) => Some(map.bytes().len() as u64),
            Input::File(file, _) => file.metadata().ok().map(|meta| meta.len()),
        }
    }
}
