#!/usr/bin/env bash
# The README's first cluster and first failover, as they stand there.
set -euo pipefail
export PATH=$1:$PATH
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
directory=$(mktemp -d)
trap 'flotilla local destroy --dir "$directory/fleet" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

# The indented lines of both sections, but for the build, in a directory of this run's own.
awk '/^## /{ on = /^## First (cluster|failover)$/ } on && /^    / && !/\.\/run/' "$root/README.md" |
    sed "s|/tmp/fleet|$directory/fleet|g" >"$directory/commands"
[ "$(wc -l <"$directory/commands")" -ge 10 ] || { echo "FAILED: the README has lost its commands" >&2; exit 1; }
bash -euo pipefail "$directory/commands" >"$directory/out" 2>&1 || { cat "$directory/out" >&2; exit 1; }
# What the reader is to see: as many lines read back, and a cluster that is gone.
grep -qx 1000 "$directory/out" || { cat "$directory/out" >&2; exit 1; }
[ ! -e "$directory/fleet" ]
echo "the README holds"
