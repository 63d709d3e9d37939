//! One image that hides a distinct token in each place where a scanner may fail to look.

use std::io;

use tar::EntryType;

use crate::archive::{Compression, Tar, ar, cpio, header, zip};
use crate::chunked;
use crate::image::{Image, Layer};
use crate::random::Random;
use crate::token;

mod formats;

/// A hidden token, and where a scanner has to report it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What is hard about it.
    pub name: &'static str,
    /// It is written in other letters, such as base64: its bytes are nowhere.
    pub encoded: bool,
    /// The token, found nowhere else.
    pub token: String,
    /// The layer, from 0; none for the configuration.
    pub layer: Option<usize>,
    /// The path of the location.
    pub path: String,
    /// Members of nested archives.
    pub entries: Vec<String>,
    /// `visible`, `deleted`, `overwritten` or `config`.
    pub state: &'static str,
    /// Further places of the same bytes: layer, path, state.
    pub also_at: Vec<(usize, String, &'static str)>,
}

/// The image and its traps.
#[derive(Clone, Debug)]
pub struct TrapImage {
    /// Three layers that hide each other's files, and one for each unusual compression.
    pub image: Image,
    /// All of them.
    pub traps: Vec<Trap>,
}

struct Hider {
    random: Random,
    traps: Vec<Trap>,
}

impl Hider {
    fn trap(
        &mut self,
        name: &'static str,
        layer: Option<usize>,
        path: &str,
        state: &'static str,
    ) -> &mut Trap {
        let token = token::github(&mut self.random);
        self.traps.push(Trap {
            name,
            encoded: false,
            token,
            layer,
            path: path.to_owned(),
            entries: Vec::new(),
            state,
            also_at: Vec::new(),
        });
        let last = self.traps.len() - 1;
        &mut self.traps[last]
    }

    /// A line with a new token.
    fn line(&mut self, name: &'static str, layer: usize, path: &str, state: &'static str) -> Vec<u8> {
        line(self.trap(name, Some(layer), path, state))
    }

    /// A line with a new token that lies inside an archive.
    fn nested(&mut self, name: &'static str, path: &str, entries: &[&str]) -> Vec<u8> {
        let trap = self.trap(name, Some(0), path, "visible");
        trap.entries = entries.iter().map(ToString::to_string).collect();
        line(trap)
    }
}

fn line(trap: &Trap) -> Vec<u8> {
    format!("first line\ntoken = \"{}\"\n", trap.token).into_bytes()
}

/// Builds the image.
///
/// # Errors
/// Those of the compressors; writing to memory, they have none to make.
pub fn build(seed: u64) -> io::Result<TrapImage> {
    let mut hider = Hider { random: Random::new(seed), traps: Vec::new() };
    let mut base = states_below(&mut hider, Tar::new());
    base = tar_forms(&mut hider, base);
    base = nested(&mut hider, base)?;
    base = formats::hide(&mut hider, base)?;
    let mut image = Image::new("traps:latest")
        .layer(Layer::new("COPY base / # first", base))
        .layer(Layer::new("RUN rm -rf # second", changes(&mut hider)))
        .layer(Layer::new("COPY top / # third", top(&mut hider)));
    for layer in packed_layers(&mut hider)? {
        image = image.layer(layer);
    }
    let token = hider.trap("environment variable", None, "config:Env[1]", "config").token.clone();
    image = image.variable("PATH", "/bin").variable("API_TOKEN", &token);
    let token = hider.trap("label", None, "config:Labels.build.key", "config").token.clone();
    image.labels.push(("build.key".to_owned(), token));
    let token = hider
        .trap("build argument in the history", None, "config:history[7].created_by", "config")
        .token
        .clone();
    image.history.push(format!("ARG TOKEN={token}"));
    let token = hider.trap("command", None, "config:Cmd", "config").token.clone();
    image.command = vec!["serve".to_owned(), "--token".to_owned(), token];
    let token = hider.trap("entry point", None, "config:Entrypoint", "config").token.clone();
    image.entry_point = vec!["sh".to_owned(), "-c".to_owned(), format!("login {token}")];
    let token =
        hider.trap("created_by of a layer", None, "config:history[1].created_by", "config").token.clone();
    image.layers[1].created_by = format!("RUN curl -H token:{token}");
    Ok(TrapImage { image, traps: hider.traps })
}

/// Files of the lowest layer that upper layers hide.
fn states_below(hider: &mut Hider, tar: Tar) -> Tar {
    let hard_linked = {
        let trap = hider.trap("hard link: two names", Some(0), "links/name", "deleted");
        trap.also_at = vec![(0, "links/other".to_owned(), "visible")];
        line(trap)
    };
    tar.file("etc/plain", &hider.line("plain file", 0, "etc/plain", "visible"))
        .file("./dotted/./path", &hider.line("name with dots", 0, "dotted/path", "visible"))
        .file("/rooted", &hider.line("absolute name", 0, "rooted", "visible"))
        .file("a/../../../climbs", &hider.line("name that leads out", 0, "../../climbs", "visible"))
        .file("gone/file", &hider.line("whiteout", 0, "gone/file", "deleted"))
        .file("gonedir/sub/file", &hider.line("whiteout of a folder", 0, "gonedir/sub/file", "deleted"))
        .file("opaque/old", &hider.line("opaque marker", 0, "opaque/old", "deleted"))
        .file("changed", &hider.line("overwritten by an upper layer", 0, "changed", "overwritten"))
        .file(
            "tree/sub/key",
            &hider.line("folder replaced by a symbolic link", 0, "tree/sub/key", "overwritten"),
        )
        .file("leaf/sub/key", &hider.line("folder replaced by a file", 0, "leaf/sub/key", "overwritten"))
        .file("becomes", &hider.line("file replaced by a folder", 0, "becomes", "overwritten"))
        .file("back", &hider.line("deleted and made again", 0, "back", "deleted"))
        .file("twice", &hider.line("twice in one layer: first", 0, "twice", "overwritten"))
        .file("twice", &hider.line("twice in one layer: last", 0, "twice", "visible"))
        .file("links/name", &hard_linked)
        .hard_link("links/other", "links/name")
        .file(
            "node_modules/pkg/index.js",
            &hider.line("node_modules", 0, "node_modules/pkg/index.js", "visible"),
        )
        .file(
            "usr/lib/python3/site-packages/x/y.py",
            &hider.line("site-packages", 0, "usr/lib/python3/site-packages/x/y.py", "visible"),
        )
        .file("app/.git/config", &hider.line(".git in an image", 0, "app/.git/config", "visible"))
        .file("root/.bash_history", &hider.line("shell history", 0, "root/.bash_history", "visible"))
}

/// Unusual forms of tar entries.
fn tar_forms(hider: &mut Hider, tar: Tar) -> Tar {
    let long = format!("{}/key", "long-name/".repeat(20).trim_end_matches('/'));
    let gnu = format!("{}/key", "gnu-name/".repeat(30).trim_end_matches('/'));
    let pax = hider.line("PAX long name", 0, &long, "visible");
    let gnu_data = hider.line("GNU long name", 0, &gnu, "visible");
    let bytes = hider.line("name that is not UTF-8", 0, "caf%E9", "visible");
    let odd = hider.line("unknown entry type", 0, "odd-type", "visible");
    let contiguous = hider.line("contiguous file", 0, "contiguous", "visible");
    let sized = hider.line("size only in PAX", 0, "pax-size", "visible");
    let base256 = hider.line("base-256 size", 0, "base256", "visible");
    let sparse = hider.line("GNU sparse file with extended headers", 0, "sparse", "visible");
    let link_size = hider.line("after a link that claims a size", 0, "after-link", "visible");
    let global = hider.line("after a global PAX header", 0, "after-global", "visible");

    let mut size256 = header(EntryType::Regular, b"base256", &[], 0);
    size256.as_old_mut().size = [0x80, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    size256.as_old_mut().size[11] = u8::try_from(base256.len()).unwrap_or(0);
    size256.set_cksum();

    let mut old_sparse = tar::Header::new_gnu();
    old_sparse.set_entry_type(EntryType::GNUSparse);
    old_sparse.as_old_mut().name[..6].copy_from_slice(b"sparse");
    old_sparse.set_size(sparse.len() as u64);
    old_sparse.as_mut_bytes()[482] = 1;
    old_sparse.set_cksum();
    // One further header of sparse areas, and no more.
    let mut sparse_data = vec![0; 512];
    sparse_data.extend_from_slice(&sparse);

    let link = header(EntryType::Symlink, b"claims", b"etc/plain", 4096);
    tar.file(&long, &pax)
        .gnu_long_name(&gnu)
        .file("gnu-name", &gnu_data)
        .file_named_by_bytes(b"caf\xe9", &bytes)
        .entry(EntryType::new(b'?'), "odd-type", "", &odd)
        .entry(EntryType::Continuous, "contiguous", "", &contiguous)
        .pax(&[("size", sized.len().to_string().as_bytes())])
        .header_and_data(&header(EntryType::Regular, b"pax-size", &[], 0), &sized)
        .header_and_data(&size256, &base256)
        .header_and_data(&old_sparse, &sparse_data)
        .header_and_data(&link, &[])
        .file("after-link", &link_size)
        .entry(EntryType::XGlobalHeader, "pax_global_header", "", b"20 comment=abcdefgh\n")
        .file("after-global", &global)
}

/// Archives inside the lowest layer.
fn nested(hider: &mut Hider, mut tar: Tar) -> io::Result<Tar> {
    let compressed: [(&'static str, &str, &'static str, Compression); 7] = [
        ("gzip file", "nested/notes.gz", "notes", Compression::Gzip),
        ("gzip file of several members", "nested/members.gz", "members", Compression::GzipMembers),
        ("zstd file", "nested/notes.zst", "notes", Compression::Zstd),
        ("zstd file with skippable frames", "nested/frames.zst", "frames", Compression::ZstdFrames),
        ("bzip2 file", "nested/notes.bz2", "notes", Compression::Bzip2),
        ("xz file", "nested/notes.xz", "notes", Compression::Xz),
        ("lz4 file", "nested/notes.lz4", "notes", Compression::Lz4),
    ];
    for (name, path, inner, compression) in compressed {
        let mut data = hider.random.prose(150 << 10);
        data.extend_from_slice(&hider.nested(name, path, &[inner]));
        tar = tar.file(path, &compression.pack(&data)?);
    }
    let inner =
        Tar::new().file("in/key", &hider.nested("tar in a layer", "nested/a.tar", &["in/key"])).finish();
    tar = tar.file("nested/a.tar", &inner);
    let inner =
        Tar::new().file("in/key", &hider.nested("tar.gz in a layer", "nested/a.tgz", &["in/key"])).finish();
    tar = tar.file("nested/a.tgz", &Compression::Gzip.pack(&inner)?);
    let inner =
        Tar::new().file("in/key", &hider.nested("tar.xz in a layer", "nested/a.txz", &["in/key"])).finish();
    tar = tar.file("nested/a.txz", &Compression::Xz.pack(&inner)?);

    let stored = hider.nested("stored in a zip", "nested/a.zip", &["stored"]);
    let deflated = hider.nested("deflated in a zip", "nested/a.zip", &["dir/deflated"]);
    tar = tar.file("nested/a.zip", &zip(&[("stored", &stored, false), ("dir/deflated", &deflated, true)])?);
    let jar = zip(&[(
        "k.properties",
        &hider.nested("jar in a war", "nested/a.war", &["lib/x.jar", "k.properties"]),
        true,
    )])?;
    tar = tar.file("nested/a.war", &zip(&[("lib/x.jar", &jar, false)])?);

    let control = hider.nested("deb package", "nested/a.deb", &["data.tar.xz", "etc/key"]);
    let data = Compression::Xz.pack(&Tar::new().file("./etc/key", &control).finish())?;
    tar = tar.file("nested/a.deb", &ar(&[("debian-binary", b"2.0\n"), ("data.tar.xz", &data)]));
    let initrd = cpio(&[
        ("init", b"#!/bin/sh\n"),
        ("etc/key", &hider.nested("cpio in gzip", "nested/initrd", &["initrd", "etc/key"])),
    ]);
    tar = tar.file("nested/initrd", &Compression::Gzip.pack(&initrd)?);
    Ok(tar)
}

/// The middle layer: what it hides, and what it hides itself in.
fn changes(hider: &mut Hider) -> Tar {
    Tar::new()
        .file("gone/.wh.file", &hider.line("inside a whiteout", 1, "gone/.wh.file", "visible"))
        .file(".wh.gonedir", b"")
        .file(
            "opaque/before",
            &hider.line("beside an opaque marker, before it", 1, "opaque/before", "visible"),
        )
        .file("opaque/.wh..wh..opq", b"")
        .file("opaque/after", &hider.line("beside an opaque marker, after it", 1, "opaque/after", "visible"))
        .file("changed", &hider.line("what overwrites", 1, "changed", "visible"))
        .symbolic_link("tree", "/elsewhere")
        .file("leaf", &hider.line("a file in place of a folder", 1, "leaf", "visible"))
        .file("becomes/inner", &hider.line("in a folder in place of a file", 1, "becomes/inner", "visible"))
        .folder("becomes")
        .file(".wh.back", b"")
        .file("links/.wh.name", b"")
        .hard_link("links/third", "links/other")
        .file("middle", &hider.line("deleted in the top layer", 1, "middle", "deleted"))
}

/// Layers whose compression needs much memory, or comes in many pieces.
fn packed_layers(hider: &mut Hider) -> io::Result<Vec<Layer>> {
    let forms = [
        ("layer of xz -9", "packed/xz", Compression::XzNine),
        ("layer of zstd --long=27", "packed/long", Compression::ZstdLong),
        ("layer of eStargz", "packed/stargz", Compression::EStargz),
        ("layer of zstd:chunked", "packed/chunked", Compression::ZstdChunked),
    ];
    let mut layers = Vec::new();
    for (index, (name, path, compression)) in (3..).zip(forms) {
        let before = hider.random.prose(70 << 10);
        let mut tar = Tar::new().file(&format!("{path}-before"), &before);
        tar = tar.file(path, &hider.line(name, index, path, "visible"));
        if compression == Compression::EStargz {
            tar = chunked::with_table(tar)?;
        }
        layers.push(Layer::new(&format!("COPY {path} / # {index}"), tar).stored(compression));
    }
    Ok(layers)
}

fn top(hider: &mut Hider) -> Tar {
    if let Some(linked) = hider.traps.iter_mut().find(|trap| trap.name == "hard link: two names") {
        // A link of an upper layer to a name that is still there.
        linked.also_at.push((1, "links/third".to_owned(), "visible"));
    }
    Tar::new()
        .file("back", &hider.line("made again", 2, "back", "visible"))
        .file(".wh.middle", b"")
        .file("last", &hider.line("last file of the top layer", 2, "last", "visible"))
}
