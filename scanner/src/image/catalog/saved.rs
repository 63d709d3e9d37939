//! `manifest.json`, as `docker save` writes it: a list of images, their layers by the names of files.

use shared::coverage::Skipped;
use shared::finding::{Image, Layer};

use super::{Expected, ImageRecord, LayerRecord, MemberId, Members, Reader, Role, merge, sha256, shown};
use crate::image::document::{Descriptor, SavedImage};
use crate::unpack::label;

impl<M: Members> Reader<'_, M> {
    pub(super) fn saved(&mut self, member: MemberId) {
        self.catalog.roles.insert(member, Role::Description);
        let images = self.members.document(member).map(serde_json::from_slice::<Vec<SavedImage>>);
        let Some(Ok(images)) = images else {
            return self.skip(
                "manifest.json",
                Skipped::Corrupt,
                "manifest.json is not that of `docker save`".to_owned(),
            );
        };
        for image in images {
            self.saved_image(image);
        }
    }

    fn saved_image(&mut self, saved: SavedImage) {
        let tags = saved.repo_tags.unwrap_or_default();
        let member = self.members.find(&label::path(saved.config.as_bytes()));
        // The same image may be there under its OCI manifest.
        if member.is_some()
            && let Some(record) = self.catalog.images.iter_mut().find(|record| record.configuration == member)
        {
            // Docker writes both: the tag alone in index.json, and the name with the tag here.
            record.image.tags.retain(|tag| tag.contains([':', '/']) || tags.is_empty());
            return merge(&mut record.image.tags, &tags);
        }
        let digest = saved_digest(&saved.config).unwrap_or_else(|| {
            match member.and_then(|m| self.members.document(m)) {
                Some(bytes) => sha256(bytes),
                None => saved.config.clone(),
            }
        });
        if let Some(member) = member {
            self.expect(member, Expected { stored: saved_digest(&saved.config), diff_id: None });
        } else {
            self.skip(
                &shown(&saved.config),
                Skipped::MissingLayer,
                "the image's configuration is not there".to_owned(),
            );
        }
        let (configuration, platform) =
            self.configuration(member, &Descriptor { digest: digest.clone(), ..Descriptor::default() }, None);
        let created_by: Vec<Option<String>> =
            configuration.created_by().map(|line| line.map(str::to_owned)).collect();
        let diff_ids = configuration.rootfs.diff_ids.unwrap_or_default();
        let names = saved.layers.unwrap_or_default();
        if member.is_some() && diff_ids.len() != names.len() {
            let detail = format!(
                "manifest.json lists {} layers and the configuration {}",
                names.len(),
                diff_ids.len()
            );
            self.skip(&shown(&digest), Skipped::Corrupt, detail);
        }
        let mut layers = Vec::with_capacity(names.len());
        for (index, name) in names.iter().enumerate() {
            let diff_id = diff_ids.get(index).cloned();
            let stored = saved_digest(name).filter(|_| name.starts_with("blobs/"));
            let found = self.members.find(&label::path(name.as_bytes()));
            match found {
                Some(member) => {
                    self.catalog.roles.insert(member, Role::Layer);
                    self.expect(member, Expected { stored: stored.clone(), diff_id: diff_id.clone() });
                }
                None => {
                    let at = format!("{} layer {index}", shown(&digest));
                    self.skip(&at, Skipped::MissingLayer, format!("{} is not there", shown(name)));
                }
            }
            layers.push(LayerRecord {
                layer: Layer {
                    index,
                    digest: stored.unwrap_or_default(),
                    diff_id,
                    created_by: created_by.get(index).cloned().flatten(),
                },
                member: found,
            });
        }
        let selected = self.selects(platform.as_deref());
        let image = Image { digest: digest.clone(), tags, platform };
        self.add(ImageRecord { image, selected, configuration: member, layers }, &digest);
    }
}

/// The digest that a name of `docker save` claims: `blobs/sha256/HEX`, `HEX.json`, `HEX.tar`.
fn saved_digest(name: &str) -> Option<String> {
    let base = name.rsplit('/').next()?;
    let hex = base.strip_suffix(".json").or_else(|| base.strip_suffix(".tar")).unwrap_or(base);
    let is_hex = hex.len() == 64 && hex.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    is_hex.then(|| format!("sha256:{hex}"))
}
