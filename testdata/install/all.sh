#!/usr/bin/env bash
# Everything that the tests need and a machine with rustup, gcc, make, python3 and go lacks.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

for part in debian python openbao kube unseal cosign deny; do
    "$(dirname "$0")/$part.sh"
done
