//! From the files of an archive or a layout to its images: who names which layer, in which order, with which digest.
//!
//! A pure function of the members' names and the small JSON documents among them, so that it does not matter
//! whether the manifest came first or last, and from a folder or an archive.

mod names;
mod saved;

use std::collections::{HashMap, HashSet};

use sha2::{Digest, Sha256};
use shared::coverage::{Excluded, Skipped};
use shared::finding::{Image, Layer};

pub(crate) use self::names::Names;
use super::document::{Configuration, Described, Descriptor, Platform, SavedImage};

/// A member of the outer archive or folder, by its place there.
pub(crate) type MemberId = u32;

/// What an archive or a folder holds.
pub(crate) trait Members {
    /// The member that a name leads to, links followed.
    fn find(&self, name: &str) -> Option<MemberId>;
    /// The bytes of a member that is small enough to be a document.
    fn document(&self, member: MemberId) -> Option<&[u8]>;
}

/// What a member is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Role {
    /// A layer's tar archive, or another file that a manifest lists as a layer.
    Layer,
    Configuration,
    /// A manifest, an index, an attestation, Docker's older metadata.
    Description,
}

/// One image.
#[derive(Debug)]
pub(crate) struct ImageRecord {
    pub(crate) image: Image,
    /// Whether the options ask for its platform.
    pub(crate) selected: bool,
    pub(crate) configuration: Option<MemberId>,
    pub(crate) layers: Vec<LayerRecord>,
}

/// One layer of one image.
#[derive(Debug)]
pub(crate) struct LayerRecord {
    /// Its `digest` is empty if only hashing tells it.
    pub(crate) layer: Layer,
    /// None if it is missing.
    pub(crate) member: Option<MemberId>,
}

/// What a member's bytes must hash to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Expected {
    /// The stored bytes.
    pub(crate) stored: Option<String>,
    /// The uncompressed bytes.
    pub(crate) diff_id: Option<String>,
}

/// All images, and what is wrong with them.
#[derive(Debug, Default)]
pub(crate) struct Catalog {
    pub(crate) images: Vec<ImageRecord>,
    pub(crate) roles: HashMap<MemberId, Role>,
    /// One layer may be named twice, with different claims.
    pub(crate) expected: HashMap<MemberId, Vec<Expected>>,
    pub(crate) skipped: Vec<(String, Skipped, String)>,
    pub(crate) excluded: Vec<(String, Excluded)>,
}

/// Indexes may name indexes; nobody needs more levels, and a cycle ends at a document that was seen.
const INDEX_DEPTH_MAX: u32 = 8;

/// An archive with more images than this is no archive of images.
const IMAGES_MAX: usize = 10_000;

/// Whether an archive or folder claims to hold images.
pub(crate) fn is_image(members: &impl Members) -> bool {
    let document = |name| members.find(name).and_then(|member| members.document(member));
    let saved = document("manifest.json")
        .is_some_and(|bytes| serde_json::from_slice::<Vec<SavedImage>>(bytes).is_ok());
    let indexed = || {
        let index = document("index.json").and_then(|bytes| serde_json::from_slice::<Described>(bytes).ok());
        index.is_some_and(|index| {
            index.manifests.is_some_and(|list| list.iter().all(|d| d.blob_name().is_some()))
        })
    };
    saved || members.find("oci-layout").is_some() || indexed()
}

/// Finds all images. `platform` is `os/architecture[/variant]`, or none for all.
pub(crate) fn catalog(members: &impl Members, platform: Option<&str>) -> Catalog {
    let mut reader = Reader { members, platform, catalog: Catalog::default(), seen: HashSet::new() };
    for name in ["oci-layout", "repositories"] {
        if let Some(member) = members.find(name) {
            reader.catalog.roles.insert(member, Role::Description);
        }
    }
    match members.find("index.json") {
        Some(member) => reader.index(member, "index.json", &[], 0),
        None if members.find("oci-layout").is_some() => {
            reader.skip("index.json", Skipped::MissingLayer, "an OCI layout without index.json".to_owned());
        }
        None => {}
    }
    if let Some(member) = members.find("manifest.json") {
        reader.saved(member);
    }
    reader.catalog
}

struct Reader<'a, M> {
    members: &'a M,
    platform: Option<&'a str>,
    catalog: Catalog,
    /// Documents that were read as an index or manifest.
    seen: HashSet<MemberId>,
}

impl<M: Members> Reader<'_, M> {
    fn skip(&mut self, at: &str, reason: Skipped, detail: String) {
        self.catalog.skipped.push((at.to_owned(), reason, detail));
    }

    fn index(&mut self, member: MemberId, name: &str, tags: &[String], depth: u32) {
        self.catalog.roles.insert(member, Role::Description);
        if depth > INDEX_DEPTH_MAX {
            return self.skip(name, Skipped::Limit, format!("indexes nest deeper than {INDEX_DEPTH_MAX}"));
        }
        let Some(described) = self.described(member, name) else { return };
        match described.manifests {
            Some(manifests) => self.list(name, &manifests, tags, depth),
            // Only index.json itself gets here without being an index.
            None => self.skip(name, Skipped::Unsupported, "an index without `manifests`".to_owned()),
        }
    }

    fn list(&mut self, name: &str, manifests: &[Descriptor], tags: &[String], depth: u32) {
        // A platform that was not pulled is not in the archive; that is no gap unless nothing is there at all.
        let present = |descriptor: &Descriptor| self.find(descriptor).is_some();
        let any = manifests.iter().any(present);
        for descriptor in manifests {
            let Some(member) = self.find(descriptor) else {
                let at = format!("{name}: {}", shown(&descriptor.digest));
                if any && depth > 0 {
                    self.catalog.excluded.push((at, Excluded::AbsentPlatform));
                } else {
                    self.skip(
                        &at,
                        Skipped::MissingLayer,
                        "the index names a manifest that is not there".to_owned(),
                    );
                }
                continue;
            };
            let mut tags = tags.to_vec();
            if let Some(reference) = descriptor.reference()
                && !tags.iter().any(|tag| tag == reference)
            {
                tags.push(reference.to_owned());
            }
            self.manifest(member, descriptor, &tags, depth + 1);
        }
    }

    fn manifest(&mut self, member: MemberId, descriptor: &Descriptor, tags: &[String], depth: u32) {
        let name = descriptor.digest.clone();
        self.expect(member, Expected { stored: Some(name.clone()), diff_id: None });
        if !self.seen.insert(member) {
            // Named twice: by several tags, or by itself.
            if let Some(record) = self.catalog.images.iter_mut().find(|record| record.image.digest == name) {
                merge(&mut record.image.tags, tags);
            }
            return;
        }
        self.catalog.roles.insert(member, Role::Description);
        let Some(described) = self.described(member, &name) else { return };
        if descriptor.is_attestation() {
            self.catalog.excluded.push((name, Excluded::Attestation));
            for blob in described.config.iter().chain(described.layers.iter().flatten()) {
                if let Some(member) = self.find(blob) {
                    self.catalog.roles.entry(member).or_insert(Role::Description);
                    self.expect(member, Expected { stored: Some(blob.digest.clone()), diff_id: None });
                }
            }
            return;
        }
        if let Some(manifests) = described.manifests {
            if depth > INDEX_DEPTH_MAX {
                return self.skip(
                    &name,
                    Skipped::Limit,
                    format!("indexes nest deeper than {INDEX_DEPTH_MAX}"),
                );
            }
            return self.list(&name, &manifests, tags, depth);
        }
        let (Some(config), Some(layers)) = (described.config, described.layers) else {
            let detail =
                format!("a manifest of schema version {}, which is not read", described.schema_version);
            return self.skip(&name, Skipped::Unsupported, detail);
        };
        let config_member = self.find(&config);
        let (configuration, platform) =
            self.configuration(config_member, &config, descriptor.platform.as_ref());
        if let Some(member) = config_member {
            self.expect(member, Expected { stored: Some(config.digest.clone()), diff_id: None });
        } else {
            self.skip(&name, Skipped::MissingLayer, "the image's configuration is not there".to_owned());
        }
        let created_by: Vec<Option<String>> =
            configuration.created_by().map(|line| line.map(str::to_owned)).collect();
        let diff_ids = configuration.rootfs.diff_ids.unwrap_or_default();
        let layers = layers.iter().enumerate().map(|(index, layer)| {
            let layer_member = self.find(layer);
            let diff_id = diff_ids.get(index).cloned();
            self.layer(&name, index, layer, layer_member, diff_id.clone());
            let created_by = created_by.get(index).cloned().flatten();
            LayerRecord {
                layer: Layer { index, digest: layer.digest.clone(), diff_id, created_by },
                member: layer_member,
            }
        });
        let layers = layers.collect();
        self.add(
            ImageRecord {
                selected: self.selects(platform.as_deref()),
                image: Image { digest: name.clone(), tags: tags.to_vec(), platform },
                configuration: config_member,
                layers,
            },
            &name,
        );
    }

    /// Notes what a layer must hash to, or that it is not there.
    fn layer(
        &mut self,
        name: &str,
        index: usize,
        layer: &Descriptor,
        found: Option<MemberId>,
        diff_id: Option<String>,
    ) {
        if let Some(member) = found {
            self.catalog.roles.insert(member, Role::Layer);
            return self.expect(member, Expected { stored: Some(layer.digest.clone()), diff_id });
        }
        let at = format!("{} layer {index}", shown(name));
        let digest = shown(&layer.digest);
        if layer.is_foreign() {
            self.skip(
                &at,
                Skipped::ForeignLayer,
                format!("{digest} lies on another server: pull it and scan again"),
            );
        } else {
            self.skip(&at, Skipped::MissingLayer, format!("{digest} is not there"));
        }
    }

    fn add(&mut self, record: ImageRecord, name: &str) {
        if self.catalog.images.len() >= IMAGES_MAX {
            return self.skip(name, Skipped::Limit, format!("more than {IMAGES_MAX} images in one target"));
        }
        if !record.selected {
            self.catalog.excluded.push((name.to_owned(), Excluded::OtherPlatform));
        }
        self.catalog.images.push(record);
    }

    fn find(&self, descriptor: &Descriptor) -> Option<MemberId> {
        self.members.find(&descriptor.blob_name()?)
    }

    fn expect(&mut self, member: MemberId, expected: Expected) {
        let all = self.catalog.expected.entry(member).or_default();
        if !all.contains(&expected) {
            all.push(expected);
        }
    }

    fn described(&mut self, member: MemberId, name: &str) -> Option<Described> {
        let Some(bytes) = self.members.document(member) else {
            self.skip(name, Skipped::Limit, "a manifest or index of more than 8 MiB".to_owned());
            return None;
        };
        let described = serde_json::from_slice(bytes).ok();
        if described.is_none() {
            self.skip(name, Skipped::Corrupt, "a manifest or index that is no JSON of that kind".to_owned());
        }
        described
    }

    fn configuration(
        &mut self,
        member: Option<MemberId>,
        named: &Descriptor,
        platform: Option<&Platform>,
    ) -> (Configuration, Option<String>) {
        let mut configuration = Configuration::default();
        if let Some(member) = member {
            self.catalog.roles.insert(member, Role::Configuration);
            match self.members.document(member).map(serde_json::from_slice) {
                Some(Ok(read)) => configuration = read,
                None => self.skip(
                    &shown(&named.digest),
                    Skipped::Limit,
                    "a configuration of more than 8 MiB".to_owned(),
                ),
                Some(Err(_)) if named.is_image_configuration() => {
                    let detail = "a configuration that is no JSON of that kind; searched whole";
                    self.skip(&shown(&named.digest), Skipped::Corrupt, detail.to_owned());
                }
                // An artifact's configuration may be anything.
                Some(Err(_)) => {}
            }
        }
        let own = configuration.platform.text();
        (configuration, own.or_else(|| platform.and_then(Platform::text)))
    }

    /// `linux/arm` takes all its variants.
    fn selects(&self, platform: Option<&str>) -> bool {
        let Some(wanted) = self.platform else { return true };
        platform.is_some_and(|is| {
            is == wanted || is.strip_prefix(wanted).is_some_and(|variant| variant.starts_with('/'))
        })
    }
}

fn merge(into: &mut Vec<String>, tags: &[String]) {
    for tag in tags {
        if !into.contains(tag) {
            into.push(tag.clone());
        }
    }
}

/// `sha256:…` of bytes.
pub(crate) fn sha256(bytes: &[u8]) -> String {
    digest_text(&Sha256::digest(bytes))
}

/// A finished digest as images write it.
pub(crate) fn digest_text(digest: &[u8]) -> String {
    format!("sha256:{}", data_encoding::HEXLOWER.encode(digest))
}

/// Names from a manifest, short enough for a line.
fn shown(name: &str) -> String {
    name.chars().take(80).collect()
}
