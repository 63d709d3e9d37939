//! Writes the fuzzers' first corpora: `cargo run -p testdata --example corpus -- scanner/fuzz/corpus`.

use std::path::PathBuf;

use anyhow::{Context, Result};
use testdata::samples;

fn main() -> Result<()> {
    let root = PathBuf::from(std::env::args_os().nth(1).context("name the folder to write to")?);
    for reader in samples::READERS {
        let folder = root.join(reader);
        std::fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
        for (index, bytes) in samples::of(reader)?.iter().enumerate() {
            let path = folder.join(format!("sample-{index}"));
            std::fs::write(&path, bytes).with_context(|| format!("cannot write {}", path.display()))?;
        }
        if let Some(text) = samples::dictionary(reader) {
            let path = folder.join("parts");
            std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
    }
    Ok(())
}
