//! A single file: an archive, a compressed file or just bytes.

use std::sync::Arc;

use shared::coverage::{Coverage, Skipped};

use super::SourceOptions;
use super::images::ImageSource;
use super::stream::StreamSource;
use crate::blob::{Origin, Provenance, Sink, Site, Source};
use crate::image::in_archive;
use crate::image::index::Paths;
use crate::image::layer::LayerScan;
use crate::mmap::Mapped;
use crate::unpack::format::{Format, HEAD_BYTES};
use crate::unpack::{self, Nesting, label};
use crate::walk::{Place, Walk};

/// A file that holds no images.
struct FileSource {
    target: String,
    options: SourceOptions,
    map: Arc<Mapped>,
    format: Format,
}

/// Tells what the file is, and opens it as that.
pub(super) fn open(target: &str, map: Arc<Mapped>, options: &SourceOptions) -> Box<dyn Source> {
    let head = &map.bytes()[..map.bytes().len().min(HEAD_BYTES)];
    let format = Format::of(head);
    match format {
        Format::Tar => {
            if let Some(images) = ImageSource::from_archive(target, &map, options) {
                return Box::new(images);
            }
        }
        // An image may be compressed as a whole: `docker save … | gzip`.
        Format::Compressed(_) => return Box::new(StreamSource::compressed(target, map, options)),
        _ => {}
    }
    Box::new(FileSource { target: target.to_owned(), options: options.clone(), map, format })
}

impl FileSource {
    fn search(&self, walk: &Walk<'_>) {
        let bytes = self.map.bytes();
        let name: Arc<str> = label::path(self.target.as_bytes()).into();
        let target = self.options.target;
        // Over: the walk remembers why it ended.
        let _ = if self.format == Format::Tar {
            let paths = Paths::default();
            let nesting = Nesting::TARGET.inner();
            let scan = LayerScan {
                walk,
                paths: &paths,
                target,
                member: 0,
                name,
                is_layer: false,
                verify_diff_id: false,
                nesting,
            };
            scan.tar_slice(bytes).map(|_| ())
        } else {
            let at = Provenance { target, origin: Origin::File, path: name, entries: Vec::new() };
            unpack::slice(walk, at, bytes, Nesting::TARGET)
        };
        walk.count_stored(bytes.len() as u64);
    }
}

impl Source for FileSource {
    fn blobs(&self, sink: &dyn Sink) -> Coverage {
        let walk = Walk::new(sink, &self.options.limits, &self.target);
        if self.map.bytes().is_empty() {
            walk.skip(&Place::Target, Skipped::Empty, "the file is empty".to_owned());
        } else {
            self.search(&walk);
        }
        if self.map.changed() {
            walk.skip(&Place::Target, Skipped::ChangedWhileRead, None);
        }
        walk.finish()
    }

    fn locate(&self, provenance: &Provenance) -> Vec<Site> {
        vec![in_archive(provenance)]
    }

    fn bytes_stored(&self) -> Option<u64> {
        Some(self.map.bytes().len() as u64)
    }
}
