#!/usr/bin/env bash
# Makes the corpus of the benches: a real image of about 1.9 GB in several packagings, and a real tree.
#
# Layers: a Debian root with Python; the Go toolchain and a JDK of this machine; node_modules of packages that many
# projects use; a small layer with planted synthetic credentials, and one that deletes some of them. Everything comes
# through the ordinary clients of Debian and npm, and lies outside of the repository.
#
# usage: benches/corpus.sh [FOLDER]        needs root (debootstrap), npm, go, java, umoci, skopeo
set -euo pipefail
cd "$(dirname "$0")/.."

folder=${1:-${KEYTURN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyturn}/corpus}
mkdir -p "$folder"
say() { printf 'corpus: %s\n' "$*" >&2; }

for program in debootstrap umoci skopeo npm go javac python3; do
    if ! command -v "$program" >/dev/null; then
        say "$program is missing: install it (Debian: apt-get install debootstrap umoci skopeo npm), then try again"
        exit 2
    fi
done

# once NAME COMMAND...: a step that leaves a stamp, so that a second run goes on where the first one stopped.
once() {
    local name=$1
    shift
    [[ -e $folder/.$name ]] && return
    say "$name"
    "$@"
    touch "$folder/.$name"
}

debian() {
    rm -rf "$folder/debian"
    debootstrap --variant=minbase --include=python3 bookworm "$folder/debian" >"$folder/debian.log"
    rm -rf "$folder/debian/var/cache/apt/archives"
}

toolchains() {
    local java
    java=$(dirname "$(dirname "$(readlink -f "$(command -v javac)")")")
    mkdir -p "$folder/toolchains/usr/local" "$folder/toolchains/usr/lib/jvm"
    cp -a "$(go env GOROOT)" "$folder/toolchains/usr/local/go"
    cp -a "$java" "$folder/toolchains/usr/lib/jvm/jdk"
}

node_modules() {
    mkdir -p "$folder/modules/app"
    printf '{"name":"corpus","private":true}\n' >"$folder/modules/app/package.json"
    (cd "$folder/modules/app" && npm install --silent --ignore-scripts --no-audit --no-fund \
        next@14 webpack@5 typescript@5 eslint@8 jest@29 aws-sdk@2 express@4 prisma@5)
}

planted() {
    rm -rf "$folder/planted" "$folder/deleted"
    python3 benches/plant.py "$folder/planted" "$folder/planted.json"
    # What a `RUN rm` leaves: a whiteout in a layer of its own.
    mkdir -p "$folder/deleted/app"
    touch "$folder/deleted/app/.wh.deleted.env"
}

image() {
    rm -rf "$folder/oci"
    umoci init --layout "$folder/oci"
    umoci new --image "$folder/oci:app"
    local layer
    for layer in debian toolchains modules planted deleted; do
        tar -C "$folder/$layer" --sort=name --numeric-owner -cf "$folder/$layer.tar" .
        umoci raw add-layer --image "$folder/oci:app" --history.created_by "COPY $layer /" "$folder/$layer.tar"
        rm "$folder/$layer.tar"
    done
    umoci gc --layout "$folder/oci"
}

archive() {
    rm -f "$folder/app.tar"
    skopeo copy --quiet "oci:$folder/oci:app" "docker-archive:$folder/app.tar:bench/app:1"
}

zstd_layout() {
    rm -rf "$folder/oci-zstd"
    skopeo copy --quiet --dest-compress-format zstd --dest-compress "oci:$folder/oci:app" "oci:$folder/oci-zstd:app"
}

once debian debian
once toolchains toolchains
once modules node_modules
once planted planted
once image image
once archive archive
once zstd zstd_layout
du -sh --apparent-size "$folder/app.tar" "$folder/oci" "$folder/oci-zstd" "$folder/modules/app/node_modules"
