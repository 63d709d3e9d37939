# shellcheck shell=bash
# What the install scripts share. Each of them can be run alone, is done at once when its part is there, and
# exits with 0 also when it cannot bring its part: the tests that need it then skip, or, with
# KEYTURN_REQUIRE_SERVERS=1 (CI), the script fails.
set -euo pipefail

# Where everything that is not a Debian package goes: outside of the repository, shared by all its clones.
# The fixtures look into its `bin`.
cache=${KEYTURN_CACHE:-${XDG_CACHE_HOME:-$HOME/.cache}/keyturn}
mkdir -p "$cache/bin"

# Two installs at once (two clones, one cache) wait for each other.
if [[ ${KEYTURN_LOCK_HELD:-} != "$cache" ]]; then
    exec 9>"$cache/lock"
    flock 9
    export KEYTURN_LOCK_HELD=$cache
fi

say() { printf 'install: %s\n' "$*" >&2; }

# cannot WHAT_IS_MISSING WHAT_TO_DO: ends the script.
cannot() {
    say "$1; $2"
    if [[ ${KEYTURN_REQUIRE_SERVERS:-} == 1 ]]; then exit 1; fi
    exit 0
}

# timed TEXT COMMAND...: names the step with its size before, and its time after.
timed() {
    local text=$1 start=$SECONDS
    shift
    say "$text"
    # Written out: inside of an `if` the shell would go on after a failure.
    "$@" || return
    say "done in $((SECONDS - start)) s"
}

# every N MATCH TEXT: shows of a build's output a line for every Nth that matches MATCH, as "  COUNT TEXT", and
# all that looks like a message.
every() {
    awk -v step="$1" -v match_="$2" -v text="$3" \
        '$0 ~ match_ { if (++count % step == 0) print "  " count " " text; fflush(); next }
        /^(error|warning|#|go: [^df])|:[0-9]+:[0-9]+:/ { talk = 1 }
        talk { print; fflush() }' >&2
}
