#!/usr/bin/env bash
# cosign, which checks the attestations of `scanner attest`: no package registry has the program, so it is built from its
# Go modules.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

version=2.5.3
place=$cache/cosign-$version

# Its modules, with the clients of all clouds, are kept apart and thrown away with everything else.
build() {
    GOBIN=$place.work/bin GOMODCACHE=$place.work/modules GOCACHE=$place.work/build GOFLAGS=-modcacherw CGO_ENABLED=0 \
        GOTOOLCHAIN=local go install -v -trimpath -ldflags '-s -w' \
        "github.com/sigstore/cosign/v2/cmd/cosign@v$version" 2>&1 | every 200 '^[^ :]+$' 'of about 1,900 packages'
}

if [[ ! -x $place/cosign ]]; then
    needed=1.24
    found=$( (GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true) | sed 's/^go//')
    if [[ $(printf '%s\n%s\n' "$needed" "${found:-0}" | sort -V | head -n 1) != "$needed" ]]; then
        cannot "no cosign: it is built with Go $needed or newer, here is ${found:-none}" \
            "install Go (Debian's golang is older)"
    fi
    rm -rf "$place.work"
    if ! timed "cosign $version (3.2 GB while it builds: 1,900 packages, about 5 minutes on 2 cores, 104 MB kept)" build; then
        rm -rf "$place.work"
        cannot "cosign $version could not be built (see above)" "the test that checks an attestation with it cannot run"
    fi
    mkdir -p "$place"
    mv "$place.work/bin/cosign" "$place/cosign"
    rm -rf "$place.work"
fi
ln -sfnr "$place/cosign" "$cache/bin/cosign"
