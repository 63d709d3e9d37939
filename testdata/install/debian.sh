#!/usr/bin/env bash
# Debian packages with the servers and tools of the tests. Services are neither started nor enabled: a fixture
# starts its own, on loopback, in its own folder.
# shellcheck source-path=SCRIPTDIR source=common.sh
. "$(dirname "$0")/common.sh"

# program, package, who needs it. A package is looked for by its program, so that other systems count too.
wanted='
etcd        etcd-server    Kubernetes suites
initdb      postgresql     PostgreSQL suites
pgbouncer   pgbouncer      PostgreSQL suites
skopeo      skopeo         image suites
umoci       umoci          image suites
bindfs      bindfs         image suites
htpasswd    apache2-utils  registry suites
shellcheck  shellcheck     make lint
yamllint    yamllint       make lint
chromium    chromium       HTML report suites
chromedriver chromium-driver HTML report suites
jq          jq             pipeline suites
faketime    faketime       clock suites
openssl     openssl        template suites
'

has() {
    PATH="$PATH:/usr/sbin:/sbin" command -v "$1" >/dev/null || compgen -G "/usr/lib/postgresql/*/bin/$1" >/dev/null
}

packages=() lost=()
while read -r program package who; do
    if [[ -n $program ]] && ! has "$program"; then
        packages+=("$package")
        lost+=("no $program for the $who")
    fi
done <<<"$wanted"
if ((${#packages[@]} == 0)); then exit 0; fi

if ! command -v apt-get >/dev/null || ((EUID != 0)); then
    for line in "${lost[@]}"; do say "$line"; done
    cannot "those cannot run" "install as root what Debian calls ${packages[*]}"
fi

# A package's script asks this file before it starts a service. One that is there already stays as it is.
policy=/usr/sbin/policy-rc.d
if [[ ! -e $policy ]]; then
    printf '#!/bin/sh\nexit 101\n' >"$policy"
    chmod 755 "$policy"
    trap 'rm -f "$policy"' EXIT
fi

# Packages enable their services for the next boot all the same.
disable_services() {
    local unit
    for unit in etcd postgresql pgbouncer; do
        if [[ " ${packages[*]} " == *" $unit"* ]]; then systemctl disable --quiet "$unit" || true; fi
    done
}

apt() { DEBIAN_FRONTEND=noninteractive apt-get -y -q -o Dpkg::Use-Pty=0 "$@" >&2; }

timed "Debian's package lists (about 20 MB)" apt update
timed "Debian packages ${packages[*]} (all of them: about 200 MB, most of it the browser)" apt install --no-install-recommends "${packages[@]}"
if command -v systemctl >/dev/null; then disable_services; fi
