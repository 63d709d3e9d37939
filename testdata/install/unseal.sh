#!/usr/bin/env bash
# Opens SealedSecrets with the library of their controller (testdata/unseal), for the tests of `rotator seal`.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/../unseal"

# A change of any of these builds anew.
key=$(cat main.go go.mod go.sum | sha256sum | cut -c1-12)
place=$cache/unseal-$key

build() {
    CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOCACHE=$place.work \
        go build -v -trimpath -buildvcs=false -ldflags '-s -w' -o "$place.work/unseal" . 2>&1 |
        every 100 '^[^ ]+$' 'of about 450 packages'
}

if [[ ! -x $place/unseal ]]; then
    needed=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
    found=$( (GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true) | sed 's/^go//')
    if [[ $(printf '%s\n%s\n' "$needed" "${found:-0}" | sort -V | head -n 1) != "$needed" ]]; then
        cannot "no suites of Sealed Secrets: their library is built with Go $needed or newer, here is ${found:-none}" \
            "install Go (Debian's golang is older)"
    fi
    if ! timed "Sealed Secrets' library (about 40 s on 2 cores, 28 MB kept)" build; then
        cannot "the library of Sealed Secrets could not be built (see above)" "its suites cannot run"
    fi
    mkdir -p "$place"
    mv "$place.work/unseal" "$place/unseal"
    rm -rf "$place.work"
fi
ln -sfnr "$place/unseal" "$cache/bin/unseal"
