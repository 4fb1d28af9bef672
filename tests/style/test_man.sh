#!/usr/bin/env bash
# The man pages in the tree are what the programs print, and the formatter has nothing to complain about.
#   tests/style/test_man.sh BUILD_DIR [--write]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
build=$1
failures=0

check() {
    local page=$1 fresh
    shift
    fresh=$(mktemp)
    "$@" >"$fresh"
    [ "${write:-}" = yes ] && cp "$fresh" "$page"
    if ! cmp -s "$fresh" "$page"; then
        echo "$page is not what \`$*\` prints; tests/style/test_man.sh BUILD_DIR --write puts it right" >&2
        failures=$((failures + 1))
    fi
    if command -v groff >/dev/null; then
        local complaints
        complaints=$(groff -man -Tutf8 -ww "$fresh" 2>&1 >/dev/null)
        [ -z "$complaints" ] || { echo "$page: $complaints" >&2; failures=$((failures + 1)); }
    fi
    rm -f "$fresh"
}

[ "${2:-}" = --write ] && write=yes
check docs/man/flotilla.1 "$build/flotilla" man
check docs/man/flotillad.8 "$build/flotillad" --man
exit $((failures > 0))
