#!/usr/bin/env bash
# The scan step for any CI system: scans one target, leaves all reports in a folder, ends with the scanner's code.
#
#   deploy/ci/scan.sh app.tar                    an archive, a folder, git:. (anything that `scanner scan` takes)
#   deploy/ci/scan.sh image:shop/app:1.4.0       an image of the local Docker, through `docker save`
#
# Settings, from the environment:
#   KEYTURN_SCANNER   the program (default: scanner on PATH)
#   KEYTURN_OUT       the folder of the reports (default: keyturn-reports)
#   KEYTURN_POLICY, KEYTURN_BASELINE, KEYTURN_FINGERPRINT_KEY   files, outside of what is scanned
#   KEYTURN_FAIL_ON   known, checked, shaped, guessed or never (default: the policy's)
#
# Exit codes are the scanner's: 0 pass, 1 blocked, 2 mistake, 3 something was not seen.
set -euo pipefail

if (($# != 1)); then
    sed -n '2,/^$/s/^# \{0,1\}//p' "$0" >&2
    exit 2
fi
target=$1 out=${KEYTURN_OUT:-keyturn-reports}
mkdir -p "$out"

if [[ $target == image:* ]]; then
    archive=$(mktemp "${TMPDIR:-/tmp}/keyturn-image-XXXXXX.tar")
    trap 'rm -f "$archive"' EXIT
    docker save --output "$archive" "${target#image:}"
    target=$archive
fi

arguments=(scan "$target" --format text)
for report in json sarif junit html gitlab; do
    arguments+=(--format "$report=$out/keyturn.$report")
done
if [[ -n ${KEYTURN_POLICY:-} ]]; then arguments+=(--policy "$KEYTURN_POLICY"); fi
if [[ -n ${KEYTURN_BASELINE:-} ]]; then arguments+=(--baseline "$KEYTURN_BASELINE"); fi
if [[ -n ${KEYTURN_FINGERPRINT_KEY:-} ]]; then arguments+=(--fingerprint-key "$KEYTURN_FINGERPRINT_KEY"); fi
if [[ -n ${KEYTURN_FAIL_ON:-} ]]; then arguments+=(--fail-on "$KEYTURN_FAIL_ON"); fi

code=0
"${KEYTURN_SCANNER:-scanner}" "${arguments[@]}" || code=$?
echo "$code" >"$out/exit-code"
exit "$code"
