//! How fast known files are built, opened and scanned with: `cargo run --release -p shared --example known_speed`.
//!
//! Corpus: 64 MiB each of random bytes, of base64 text and of source-like text with long runs of blanks and
//! zeros. Each scan must find the 100 values that were planted. The peer is a plain sum over the same bytes.

use std::time::Instant;

use jiff::{SignedDuration, Timestamp};
use shared::known::{
    Freshness, IdKey, Issue, KnownFileBuilder, KnownIndex, KnownKey, Nonce, Strength, ValueState,
};
use shared::secret::Secret;
use shared::signing::{PrivateKey, TrustedKeys};

const BYTES: usize = 64 << 20;
const PLANTED: usize = 100;

fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed << 40;
    let words = std::iter::repeat_with(move || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    });
    words.flat_map(u64::to_le_bytes).take(length).collect()
}

/// Seconds of the processor that this thread has used: other programs do not count.
fn spent() -> f64 {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    let nanoseconds = text.split(' ').next().and_then(|first| first.parse::<f64>().ok());
    nanoseconds.unwrap_or_default() / 1e9
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let out = &mut std::io::stdout();
    let base64 = data_encoding::BASE64.encode(&random(2, BYTES / 4 * 3)).into_bytes();
    let mut text = Vec::with_capacity(BYTES);
    let mut line = 0_usize;
    while text.len() < BYTES {
        let indent = " ".repeat(line % 7 * 4);
        let name = &base64[line % 1_000..line % 1_000 + 9];
        text.extend(
            format!(
                "{indent}let {} = compute(first, second); // line {line}\n",
                String::from_utf8_lossy(name)
            )
            .bytes(),
        );
        if line.is_multiple_of(1_000) {
            text.extend(vec![0; 20_000]);
        }
        line += 1;
    }
    let corpora = [("random", random(1, BYTES)), ("base64", base64), ("text", text)];
    for count in [0, 1, 1_000, 10_000, 100_000] {
        measure(out, count, &corpora)?;
    }
    Ok(())
}

fn measure(
    out: &mut dyn std::io::Write,
    count: usize,
    corpora: &[(&str, Vec<u8>)],
) -> Result<(), Box<dyn std::error::Error>> {
    let (key, id_key) = (KnownKey::from_bytes([7; 32]), IdKey::from_bytes([8; 32]));
    let signer = PrivateKey::from_seed(&[9; 32]);
    let values: Vec<Vec<u8>> = (0..count).map(|n| random(n as u64 + 10, 32)).collect();
    let now = Timestamp::now();
    let issue = Issue {
        generation: 1,
        created: now,
        expires: now + SignedDuration::from_hours(1),
        nonce: Nonce([3; 24]),
    };

    let started = Instant::now();
    let mut builder = KnownFileBuilder::new(&key, &id_key);
    for value in &values {
        builder.add(&Secret::copy_of(value), ValueState::Current, Strength::Generated { bits: 256.0 });
    }
    let built = builder.build(issue, &signer)?;
    let build = started.elapsed();
    let trusted = TrustedKeys::new(vec![signer.public()]);
    let started = Instant::now();
    let index = KnownIndex::open(&built.file, &key, &trusted, Freshness { now, generation_seen: 0 })?;
    let open = started.elapsed();
    writeln!(
        out,
        "{count} values: built in {build:.3?}, opened in {open:.3?}, {:.2} MB, {} included",
        built.file.len() as f64 / 1e6,
        index.len()
    )?;
    for (name, corpus) in corpora {
        let mut haystack = corpus.clone();
        let planted = values.iter().take(PLANTED).enumerate();
        planted.for_each(|(n, value)| haystack[n * 601_003..n * 601_003 + 32].copy_from_slice(value));
        let best = |run: &mut dyn FnMut() -> usize| {
            let mut best = f64::MAX;
            for _ in 0..5 {
                let started = spent();
                std::hint::black_box(run());
                best = best.min(spent() - started);
            }
            best * 1e9 / haystack.len() as f64
        };
        let mut found = 0;
        let cost = best(&mut || {
            found = 0;
            index.scan(&haystack, &mut |_| found += 1);
            found
        });
        let sum = best(&mut || haystack.iter().map(|&byte| usize::from(byte)).sum());
        let expected = index.len().min(PLANTED);
        writeln!(out, "  {name}: {cost:.3} ns/byte, {found} found of {expected}; sum {sum:.3} ns/byte")?;
        if found < expected {
            return Err("a planted value was missed".into());
        }
    }
    Ok(())
}
