#!/usr/bin/env bash
# How far one rotator reaches: 500 PostgreSQL credentials (or as many as the first argument says) from a published
# secret to `Proven`, with no grace, while applications log in. Needs what `make install` brings.
set -euo pipefail
cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-target}
cargo build --quiet --locked --release -p rotator
cargo build --quiet --locked --all-features -p rotator --example reach
exec "$target/debug/examples/reach" "$target/release/rotator" "${1:-500}"
