//! `make-image`: writes an image archive with values from files planted in it.

use std::fs;
use std::io::Read;
use std::path::PathBuf;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use serde_json::{Value, json};
use testdata::archive::{Compression, Tar};
use testdata::image::{Image, Layer};
use testdata::pack::{Packaging, pack};
use testdata::random::Random;
use testdata::traps::Trap;
use testdata::{token, traps};

/// Makes a container image archive, the same for the same seed and values.
///
/// Values to plant come from files or standard input (`-`), never from arguments: those can be read by every user of
/// the machine.
#[derive(Parser)]
#[command(version)]
struct Options {
    /// The archive to write; a folder for `--format oci-folder`.
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
    /// How the image is packed.
    #[arg(long, value_enum, default_value_t = Format::Docker)]
    format: Format,
    /// How layers of OCI formats are compressed.
    #[arg(long, value_enum, default_value_t = Codec::Gzip)]
    compression: Codec,
    /// Name and tag.
    #[arg(long, default_value = "keyturn/demo:latest")]
    tag: String,
    /// The seed of everything that is made up.
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// A file of the image with the content of another file.
    #[arg(long, value_name = "PATH=FILE")]
    plant: Vec<String>,
    /// The same, and a later layer deletes it.
    #[arg(long, value_name = "PATH=FILE")]
    plant_deleted: Vec<String>,
    /// An environment variable with the content of a file, without the line end.
    #[arg(long, value_name = "NAME=FILE")]
    plant_env: Vec<String>,
    /// Writes a synthetic token to a file, to be planted.
    #[arg(long, value_name = "FILE")]
    make_token: Option<PathBuf>,
    /// Fills a layer with so many MiB of text.
    #[arg(long, value_name = "MIB", default_value_t = 1)]
    fill: usize,
    /// Writes the image of all traps instead.
    #[arg(long, conflicts_with_all = ["plant", "plant_deleted", "plant_env"])]
    traps: bool,
    /// Lists the traps as JSON: name, token, layer, path, members, state.
    #[arg(long, value_name = "FILE", requires = "traps")]
    traps_list: Option<PathBuf>,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    /// `docker save` since version 25.
    Docker,
    /// `docker save` before.
    DockerLegacy,
    /// An OCI layout as an archive.
    Oci,
    /// An OCI layout as a folder.
    OciFolder,
}

#[derive(Clone, Copy, ValueEnum)]
enum Codec {
    None,
    Gzip,
    Zstd,
}

fn main() -> Result<()> {
    let options = Options::parse();
    if let Some(path) = &options.make_token {
        let token = token::github(&mut Random::new(options.seed));
        fs::write(path, token).with_context(|| format!("cannot write {}", path.display()))?;
    }
    let image = if options.traps {
        let built = traps::build(options.seed)?;
        if let Some(path) = &options.traps_list {
            fs::write(path, listed(&built.traps).to_string())
                .with_context(|| format!("cannot write {}", path.display()))?;
        }
        built.image
    } else {
        planted(&options)?
    };
    let compression = match options.compression {
        Codec::None => Compression::None,
        Codec::Gzip => Compression::Gzip,
        Codec::Zstd => Compression::Zstd,
    };
    let packaging = match options.format {
        Format::Docker => Packaging::DockerModern,
        Format::DockerLegacy => Packaging::DockerLegacy,
        Format::Oci | Format::OciFolder => Packaging::Oci(compression),
    };
    let files = pack(&[image], packaging)?;
    let out = options.out.display();
    match options.format {
        Format::OciFolder => files.write_to(&options.out).with_context(|| format!("cannot write to {out}")),
        _ => fs::write(&options.out, files.tar()).with_context(|| format!("cannot write {out}")),
    }
}

fn listed(traps: &[Trap]) -> Value {
    let one = |trap: &Trap| {
        json!({
            "name": trap.name, "token": trap.token, "layer": trap.layer, "path": trap.path,
            "entries": trap.entries, "state": trap.state,
        })
    };
    traps.iter().map(one).collect()
}

/// A small system, an application with the planted files, and a clean-up that deletes some of them.
fn planted(options: &Options) -> Result<Image> {
    let mut random = Random::new(options.seed);
    let base = Tar::new()
        .folder("etc/")
        .file("etc/os-release", b"ID=demo\nPRETTY_NAME=\"Demo Linux\"\n")
        .file("etc/passwd", b"root:x:0:0:root:/root:/bin/sh\n")
        .file("usr/bin/app", &random.bytes(64 << 10));
    let mut fill = Tar::new();
    for index in 0..options.fill {
        fill = fill.file(&format!("usr/share/doc/part-{index}.txt"), &random.prose(1 << 20));
    }
    let mut app = Tar::new().folder("app/");
    let mut clean = Tar::new();
    for plant in &options.plant {
        let (path, value) = value_of(plant)?;
        app = app.file(path, &value);
    }
    for plant in &options.plant_deleted {
        let (path, value) = value_of(plant)?;
        app = app.file(path, &value);
        let (folder, name) =
            path.rsplit_once('/').map_or((String::new(), path), |(f, n)| (format!("{f}/"), n));
        clean = clean.file(&format!("{folder}.wh.{name}"), b"");
    }
    let mut image = Image::new(&options.tag)
        .layer(Layer::new("ADD rootfs.tar / # buildkit", base))
        .layer(Layer::new("RUN install-docs # buildkit", fill))
        .layer(Layer::new("COPY . /app # buildkit", app));
    if !options.plant_deleted.is_empty() {
        image = image.layer(Layer::new("RUN rm -f /app/secrets # buildkit", clean));
    }
    image = image.variable("PATH", "/usr/bin:/bin");
    for plant in &options.plant_env {
        let (name, value) = value_of(plant)?;
        let value = String::from_utf8(value).with_context(|| format!("the value of {name} is not text"))?;
        image = image.variable(name, value.trim_end_matches(['\r', '\n']));
    }
    Ok(image)
}

/// Splits `PATH=FILE` at its last equals sign and reads the file.
fn value_of(plant: &str) -> Result<(&str, Vec<u8>)> {
    let Some((path, file)) = plant.rsplit_once('=') else {
        bail!("`{plant}` is not PATH=FILE: write for instance `app/.env=./value.txt`");
    };
    let mut value = Vec::new();
    if file == "-" {
        std::io::stdin().lock().read_to_end(&mut value).context("cannot read standard input")?;
    } else {
        value = fs::read(file).with_context(|| format!("cannot read {file}"))?;
    }
    Ok((path.trim_start_matches('/'), value))
}
