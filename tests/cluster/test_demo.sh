#!/usr/bin/env bash
# The main job on real input: this system's own package lists through a dying cluster, compared line for line by the demo's
# own check, which also gives the exit status.
set -euo pipefail
export PATH=$1:$PATH
input=$(mktemp)
trap 'rm -f "$input"' EXIT
cat /var/lib/dpkg/info/*.list 2>/dev/null | head -n 120000 >"$input" || true
[ -s "$input" ] || find / -xdev 2>/dev/null | head -n 120000 >"$input"
lines=$(wc -l <"$input")
out=$(flotilla demo --file "$input" --rate 15000 --json | tail -n 1)
echo "$out"
grep -q "\"acked\":$lines," <<<"$out"
for key in lost duplicated out_of_order altered; do grep -q "\"$key\":0[,}]" <<<"$out"; done
grep -q "\"email\":$lines" <<<"$out"
