#!/usr/bin/env bash
# cargo-deny, which holds the dependencies to .deny.toml (licences, bans, sources).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

version=0.20.2
place=$cache/cargo-deny-$version

# Unoptimised: built in a minute instead of three, and a run still takes two seconds. It has nothing to do with
# this repository's target folder and flags.
build() {
    env -u RUSTFLAGS CARGO_TARGET_DIR="$place.work" CARGO_INCREMENTAL=0 CARGO_PROFILE_DEV_DEBUG=0 \
        cargo install --color never --locked --debug --no-default-features --root "$place" \
        --version "=$version" cargo-deny 2>&1 | every 50 '^ +Compiling' 'of about 140 crates'
}

if [[ ! -x $place/bin/cargo-deny ]]; then
    if ! timed "cargo-deny $version (one minute on 2 cores, 26 MB kept)" build; then
        cannot "cargo-deny $version could not be built (see above)" "licences stay unchecked"
    fi
    rm -rf "$place.work"
fi
ln -sfnr "$place/bin/cargo-deny" "$cache/bin/cargo-deny"
