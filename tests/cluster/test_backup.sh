#!/usr/bin/env bash
# "Back up and restore a partition" of docs/operations.md: a topic's records into another topic, and whole nodes byte for byte.
set -euo pipefail
export PATH=$1:$PATH
directory=$(mktemp -d)
cluster=$directory/c
trap 'flotilla local destroy --dir "$cluster" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
records() { flotilla consume "$1" --from beginning --exit-at-end --format '%k\t%s\n'; }
same() { cmp -s <(sort "$1") <(sort "$2") || fail "$3: $(diff <(sort "$1") <(sort "$2") | head -5)"; }
orders() { for ((i = $1; i < $2; i++)); do printf 'key-%d\torder %d of café\n' $((i % 97)) "$i"; done; }
tab=$(printf '\t')

flotilla local start --nodes 3 --dir "$cluster" >/dev/null
eval "$(flotilla local env --dir "$cluster")"
flotilla topic create orders --partitions 3 >/dev/null
flotilla topic create orders-restored --partitions 5 >/dev/null
orders 0 5000 >"$directory/sent"
flotilla produce orders --key-separator "$tab" <"$directory/sent" >/dev/null

# While the cluster runs: what a topic holds, into another one.
records orders | gzip >"$directory/orders.gz"
gzip -dc "$directory/orders.gz" | flotilla produce orders-restored --key-separator "$tab" >/dev/null
records orders-restored >"$directory/restored"
same "$directory/sent" "$directory/restored" "the restored topic is not the topic"
# The records of a key are in order: they came from one partition, and went to one.
[ "$(grep "^key-7$tab" "$directory/restored")" = "$(grep "^key-7$tab" "$directory/sent")" ] || fail "a key's records changed places"

# All nodes stopped (the hard way, which leaves less in order), verified, copied.
flotilla local stop --now --dir "$cluster" >/dev/null
for n in 1 2 3; do
    flotilla log verify "$cluster/node-$n/data" >/dev/null || fail "node $n: damage before the copy"
    tar --sparse -cf "$directory/node-$n.tar" -C "$cluster/node-$n" data
done
flotilla local start --dir "$cluster" >/dev/null
orders 5000 6000 | flotilla produce orders --key-separator "$tab" >/dev/null
[ "$(records orders | wc -l)" -eq 6000 ] || fail "records are missing after the start"

# All of them are lost; a majority has copies, the third begins with nothing.
flotilla local stop --now --dir "$cluster" >/dev/null
rm -rf "$cluster"/node-?/data
for n in 1 3; do tar -xf "$directory/node-$n.tar" -C "$cluster/node-$n"; done
flotilla local start --dir "$cluster" >/dev/null
records orders >"$directory/back"
same "$directory/sent" "$directory/back" "the cluster is not as it was"
for ((i = 0; i < 300; i++)); do
    [ "$(flotilla cluster status --json | grep -o '"under_replicated":[0-9]*')" = '"under_replicated":0' ] && break
    sleep 0.05
done
flotilla local stop --now --dir "$cluster" >/dev/null
for n in 1 2 3; do flotilla log verify "$cluster/node-$n/data" >/dev/null || fail "node $n: damage after the restoration"; done
echo "backed up and restored"
