//! Images: which layers they have, what each layer holds, and what the running container sees of it.
//!
//! Layers are searched one by one and never merged. The state of a file is a question to the finished set: for each
//! image that has its layer, which later layer hides it?

pub(crate) mod catalog;
pub(crate) mod document;
pub(crate) mod index;
pub(crate) mod layer;

use std::collections::HashMap;

use shared::finding::{ScannedImage, ScannedLayer, State};

use self::catalog::{Catalog, ImageRecord, LayerRecord, MemberId, Role};
use self::index::Paths;
use self::layer::{Scanned, WHOLE};
use crate::blob::{Origin, Provenance, Site};

/// The prefix of paths that lie in an image's configuration.
pub(crate) const CONFIGURATION: &str = "config:";

/// Everything that was learned about a target that holds images, or that was none after all.
#[derive(Debug, Default)]
pub(crate) struct ImageSet {
    /// None: an archive of files.
    pub(crate) catalog: Option<Catalog>,
    pub(crate) scanned: HashMap<MemberId, Scanned>,
    /// The stored bytes of members.
    pub(crate) sizes: HashMap<MemberId, u64>,
    pub(crate) paths: Paths,
}

impl ImageSet {
    /// All places of a blob.
    pub(crate) fn locate(&self, at: &Provenance) -> Vec<Site> {
        let Some(catalog) = &self.catalog else { return vec![whole(at)] };
        match at.origin {
            Origin::Config { document } => configuration(catalog, document, at),
            Origin::Entry { blob, ordinal } => self.entry(catalog, blob, ordinal, at),
            Origin::File | Origin::Stream | Origin::Object { .. } => vec![whole(at)],
        }
    }

    /// The images that the options ask for, with all their layers.
    pub(crate) fn images(&self) -> Vec<ScannedImage> {
        let images = self.catalog.iter().flat_map(|catalog| &catalog.images).filter(|image| image.selected);
        images
            .map(|record| {
                let layers = record.layers.iter().map(|layer| ScannedLayer {
                    layer: self.described(layer),
                    bytes: layer.member.and_then(|member| self.sizes.get(&member).copied()),
                });
                ScannedImage { target: String::new(), image: record.image.clone(), layers: layers.collect() }
            })
            .collect()
    }

    fn entry(&self, catalog: &Catalog, member: MemberId, ordinal: u32, at: &Provenance) -> Vec<Site> {
        let mut named = false;
        let mut sites = Vec::new();
        for image in &catalog.images {
            for (index, layer) in image.layers.iter().enumerate() {
                if layer.member != Some(member) {
                    continue;
                }
                named = true;
                if image.selected {
                    sites.extend(self.in_layer(image, index, ordinal, at));
                }
            }
        }
        if !named {
            let described =
                catalog.roles.get(&member) == Some(&Role::Description) || is_old_metadata(&at.path);
            let state = if described { State::Config } else { State::Orphan };
            sites.push(Site { state, ..whole(at) });
        }
        sites
    }

    fn in_layer(&self, image: &ImageRecord, index: usize, ordinal: u32, at: &Provenance) -> Vec<Site> {
        let layer = &image.layers[index];
        let site = |index: usize, path: &str, (state, hidden_by): (State, Option<String>)| Site {
            image: Some(image.image.clone()),
            layer: Some(self.described(&image.layers[index])),
            git: None,
            path: path.to_owned(),
            entries: at.entries.iter().skip(1).map(ToString::to_string).collect(),
            state,
            hidden_by,
        };
        let (Some((path, _)), true) = (at.entries.split_first(), ordinal != WHOLE) else {
            let mut whole = whole(at);
            whole.image = Some(image.image.clone());
            whole.layer = Some(self.described(layer));
            return vec![whole];
        };
        let mut sites = Vec::new();
        let own = self.index_of(layer);
        let links = own.into_iter().flat_map(|own| own.links_to_entry(ordinal));
        for (ordinal, path) in std::iter::once((ordinal, &**path)).chain(links) {
            sites.push(site(index, path, self.state(image, index, ordinal, path)));
            // A link of an upper layer to this path, while it was there.
            let lineage = self.paths.lineage(path);
            for upper in index + 1..image.layers.len() {
                let Some(above) = self.index_of(&image.layers[upper]) else { continue };
                let target = lineage.last().copied().unwrap_or_default();
                for (ordinal, path) in above.links_to_lower(target) {
                    sites.push(site(upper, path, self.state(image, upper, ordinal, path)));
                }
                if above.hides(&lineage).is_some() {
                    break;
                }
            }
        }
        sites
    }

    /// Whether the running container sees an entry, and which layer hides it if not.
    fn state(&self, image: &ImageRecord, index: usize, ordinal: u32, path: &str) -> (State, Option<String>) {
        let lineage = self.paths.lineage(path);
        let own = &image.layers[index];
        if self.index_of(own).is_some_and(|own| own.replaces_within(&lineage, ordinal)) {
            return (State::Overwritten, Some(self.digest(own)));
        }
        for upper in &image.layers[index + 1..] {
            if let Some(state) = self.index_of(upper).and_then(|above| above.hides(&lineage)) {
                return (state, Some(self.digest(upper)));
            }
        }
        (State::Visible, None)
    }

    fn index_of(&self, layer: &LayerRecord) -> Option<&index::LayerIndex> {
        self.scanned.get(&layer.member?)?.index.as_ref()
    }

    /// The layer with the digest that hashing told, where the manifest gives none.
    fn described(&self, layer: &LayerRecord) -> shared::finding::Layer {
        shared::finding::Layer { digest: self.digest(layer), ..layer.layer.clone() }
    }

    fn digest(&self, layer: &LayerRecord) -> String {
        if !layer.layer.digest.is_empty() {
            return layer.layer.digest.clone();
        }
        let scanned = layer.member.and_then(|member| self.scanned.get(&member));
        let hashed = scanned.and_then(|scanned| scanned.stored.clone());
        hashed.or_else(|| layer.layer.diff_id.clone()).unwrap_or_default()
    }
}

/// A part of a configuration belongs to every image that has it; other documents are files.
fn configuration(catalog: &Catalog, document: MemberId, at: &Provenance) -> Vec<Site> {
    let mut named = false;
    let mut sites = Vec::new();
    for image in catalog.images.iter().filter(|image| image.configuration == Some(document)) {
        named = true;
        if image.selected {
            sites.push(Site { image: Some(image.image.clone()), state: State::Config, ..whole(at) });
        }
    }
    if !named {
        let described = catalog.roles.contains_key(&document) || is_old_metadata(&at.path);
        let state = if described { State::Config } else { State::Orphan };
        sites.push(Site { state, ..whole(at) });
    }
    sites
}

/// What Docker wrote beside each layer before there was a configuration.
pub(crate) fn is_old_metadata(path: &str) -> bool {
    path.ends_with("/json") || path.ends_with("/VERSION") || path == "repositories"
}

/// A place named by the outer file.
fn whole(at: &Provenance) -> Site {
    Site {
        image: None,
        layer: None,
        git: None,
        path: at.path.to_string(),
        entries: at.entries.iter().map(ToString::to_string).collect(),
        state: State::Visible,
        hidden_by: None,
    }
}

/// A place in an archive of files, or in a compressed file: the first member is the outer file.
pub(crate) fn in_archive(at: &Provenance) -> Site {
    let mut site = whole(at);
    if !site.entries.is_empty() {
        site.path = site.entries.remove(0);
    }
    site
}
