#!/usr/bin/env bash
# The Kubernetes server: no package registry has it, so it is built from its Go modules (testdata/kube).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
cd "$(dirname "$0")/../kube"

version=$(sed -n 's/^\tk8s.io\/kubernetes \(v[0-9.]*\)$/\1/p' go.mod)
# A change of any of these builds anew.
key=$(cat main.go go.mod go.sum | sha256sum | cut -c1-12)
place=$cache/kube-$version-$key

build() {
    local stamp=k8s.io/component-base/version minor=${version#v1.}
    # Strips symbols: half the size. The version is what clients are told.
    local link="-s -w -X $stamp.gitVersion=$version -X $stamp.gitMajor=1 -X $stamp.gitMinor=${minor%.*}"
    CGO_ENABLED=0 GOFLAGS=-mod=readonly GOTOOLCHAIN=local GOCACHE=$place.work \
        go build -v -trimpath -buildvcs=false -ldflags "$link" -o "$place.work/kube" . 2>&1 |
        every 200 '^[^ ]+$' 'of about 2,700 packages'
}

if [[ ! -x $place/kube ]]; then
    needed=$(sed -n 's/^go \([0-9]*\.[0-9]*\).*/\1/p' go.mod)
    found=$( (GOTOOLCHAIN=local go env GOVERSION 2>/dev/null || true) | sed 's/^go//')
    if [[ $(printf '%s\n%s\n' "$needed" "${found:-0}" | sort -V | head -n 1) != "$needed" ]]; then
        cannot "no Kubernetes suites: the server is built with Go $needed or newer, here is ${found:-none}" \
            "install Go (Debian's golang is older)"
    fi
    if ! timed "Kubernetes $version (about 90 MB of modules, 6 minutes on 2 cores, 3 GB while it builds, 140 MB kept)" \
        build; then
        cannot "the Kubernetes server could not be built (see above)" "its suites cannot run"
    fi
    mkdir -p "$place"
    mv "$place.work/kube" "$place/kube"
    rm -rf "$place.work"
fi
ln -sfnr "$place/kube" "$cache/bin/kube"
