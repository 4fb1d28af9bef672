#!/usr/bin/env bash
# Every example of client/examples, as its first lines say, against a cluster of its own.
set -euo pipefail
export PATH=$1:$PATH
directory=$(mktemp -d)
trap 'flotilla local destroy --dir "$directory/c" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# prints WHAT COMMAND...: it succeeds, and what it prints holds this line
prints() {
    local line=$1 out
    shift
    out=$(timeout 60 "$@") || fail "$*: exit $?: $out"
    grep -qx -- "$line" <<<"$out" || fail "$*: no \"$line\" in: $out"
}

flotilla local start --nodes 3 --dir "$directory/c" >/dev/null
eval "$(flotilla local env --dir "$directory/c")"
for topic in hello questions answers; do flotilla topic create "$topic" >/dev/null; done
flotilla topic create orders --partitions 6 >/dev/null
flotilla topic create jobs --partitions 1 >/dev/null

prints 'read: hello' example_hello "$FLOTILLA_BOOTSTRAP"
prints '3000 acknowledged, 0 failed, 0 unknown' example_orders "$FLOTILLA_BOOTSTRAP" 1000
# Each order's steps are in order, in one partition.
flotilla consume orders --from beginning --exit-at-end --format '%p %k %s\n' | sort -s -k2,2 >"$directory/steps"
awk '{ steps[$2] = steps[$2] substr($3, index($3, "step") + 7, 1); places[$2 " " $1]++ }
     END { for (k in steps) if (steps[k] != "cps") exit 1; n = 0; for (k in places) n++; exit n != 1000 }' \
    "$directory/steps" || fail "the steps of an order are not in order"
prints 'email: 3000 records' example_fan_out "$FLOTILLA_BOOTSTRAP" orders 3000

# Two workers share the records, and one hands over to the other.
example_worker "$FLOTILLA_BOOTSTRAP" pair orders >"$directory/one" 2>"$directory/one.log" & one=$!
example_worker "$FLOTILLA_BOOTSTRAP" pair 'ord*' >"$directory/two" 2>"$directory/two.log" & two=$!
for ((i = 0; i < 200; i++)); do [ "$(cat "$directory/one" "$directory/two" | wc -l)" -ge 3000 ] && break; sleep 0.1; done
kill "$one" && wait "$one" || fail "a worker did not end in order: $(cat "$directory/one.log")"
for ((i = 0; i < 100; i++)); do [ "$(grep -c ^reading "$directory/two.log")" -ge 6 ] && break; sleep 0.1; done
kill "$two" && wait "$two" || fail "a worker did not end in order: $(cat "$directory/two.log")"
[ "$(sort "$directory/one" "$directory/two" | uniq | wc -l)" -eq 3000 ] || fail "the workers have not processed everything"
[ "$(cat "$directory/one" "$directory/two" | wc -l)" -eq 3000 ] || fail "the workers have processed records twice"
flotilla group describe pair | grep -q 'lag 0 records' || fail "the workers have not committed everything"

example_request_reply "$FLOTILLA_BOOTSTRAP" serve 2 & service=$!
prints '42' example_request_reply "$FLOTILLA_BOOTSTRAP" ask 20 22
prints '7' example_request_reply "$FLOTILLA_BOOTSTRAP" ask 3 4
wait "$service" || fail "the service failed"
prints 'sent 400, done 400' example_levelling "$FLOTILLA_BOOTSTRAP" 4 100

# Killed in mid-work and started again: still one effect each, which the table's key sees to.
if command -v example_accounts >/dev/null; then
    timeout -s KILL 0.3 example_accounts "$FLOTILLA_BOOTSTRAP" orders "$directory/db" 3000 >/dev/null 2>&1 || true
    prints '3000 records, each with one effect' example_accounts "$FLOTILLA_BOOTSTRAP" orders "$directory/db" 3000
fi
echo "all examples do what they say"
