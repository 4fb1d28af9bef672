#!/usr/bin/env bash
# The main job. First on real input: this system's own package lists through a dying cluster, compared line for line by the demo's
# own check, which also gives the exit status.
set -euo pipefail
export PATH=$1:$PATH
input=$(mktemp)
TMPDIR=$(mktemp -d) # what the demo leaves behind would lie here
export TMPDIR
trap 'rm -rf "$input" "$TMPDIR"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
cat /var/lib/dpkg/info/*.list 2>/dev/null | head -n 120000 >"$input" || true
[ -s "$input" ] || find / -xdev 2>/dev/null | head -n 120000 >"$input"
lines=$(wc -l <"$input")
out=$(flotilla demo --file "$input" --rate 15000 --json | tail -n 1)
echo "$out"
grep -q "\"acked\":$lines," <<<"$out"
for key in lost duplicated out_of_order altered; do grep -q "\"$key\":0[,}]" <<<"$out"; done
grep -q "\"email\":$lines" <<<"$out"
grep -qE '"failover_ms":[0-9.]+,' <<<"$out"

# Without a terminal: plain lines, no escape sequences.
out=$(flotilla demo --messages 20000 --rate 8000)
! grep -q $'\033' <<<"$out" || fail "escape sequences without a terminal"
for line in 'kill -9 of node' 'ms after the kill' 'started again' 'Nothing acknowledged was lost'; do
    grep -q "$line" <<<"$out" || fail "no \"$line\" in $out"
done

# On a terminal of 80 columns: nothing is wider, and the cursor comes back.
if command -v script >/dev/null; then
    LC_ALL=C TERM=xterm script -qec 'stty cols 80 rows 24; flotilla demo --messages 20000 --rate 8000' /dev/null | tr -d '\r' >"$input"
    grep -q 'Nothing acknowledged was lost' "$input" || fail "on a terminal: $(cat "$input")"
    wide=$(sed 's/\x1b\[[0-9;?]*[a-zA-Z]//g' "$input" | LC_ALL=C awk 'length > 80')
    [ -z "$wide" ] || fail "wider than the terminal: $wide"
    [ "$(grep -o $'\033\\[?25[hl]' "$input" | tail -n 1)" = $'\033[?25h' ] || fail "the cursor is left hidden"
fi

# Ctrl-C, in a shell where background jobs do not ignore it.
set -m
flotilla demo >/dev/null &
demo=$!
until [ -n "$(ls "$TMPDIR"/*/node-3/pid 2>/dev/null)" ]; do sleep 0.05; done
kill -INT $demo
rc=0
wait $demo || rc=$?
[ $rc -eq 130 ] || fail "interrupted: exit $rc"
[ -z "$(ls "$TMPDIR")" ] || fail "left behind: $(ls "$TMPDIR")"
echo "all as it should be"
