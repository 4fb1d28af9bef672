#!/usr/bin/env bash
# The tool as a user has it: a cluster by hand, every command, and what wrong input gets for an answer.
set -euo pipefail
export PATH=$1:$PATH
directory=$(mktemp -d)
trap 'flotilla local destroy --dir "$directory/c" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# expect STATUS PATTERN COMMAND...: exit status and a pattern in the output of either kind
expect() {
    local status=$1 pattern=$2 out rc=0
    shift 2
    out=$("$@" 2>&1) || rc=$?
    [ "$rc" -eq "$status" ] || fail "$*: exit $rc instead of $status: $out"
    grep -qE -- "$pattern" <<<"$out" || fail "$*: no \"$pattern\" in: $out"
}

expect 0 'running' flotilla local start --nodes 3 --dir "$directory/c"
eval "$(flotilla local env --dir "$directory/c")"
expect 0 'FLOTILLA_HTTP=http' flotilla local env --dir "$directory/c"
expect 0 '^ *1 +running' flotilla local status --dir "$directory/c"

expect 0 'created orders' flotilla topic create orders --partitions 6 --replicas 3 --config retention.ms=3600000
expect 1 'exists' flotilla topic create orders
expect 1 'invalid topic name' flotilla topic create 'or ders'
expect 1 'retention.ms' flotilla topic create other --config retention.mss=1
expect 1 'replicas' flotilla topic create other --replicas 5
expect 0 'orders' flotilla topic list
expect 0 'HIGH WATERMARK' flotilla topic describe orders
expect 1 'nosuch' flotilla topic describe nosuch
expect 0 '"leader":[123]' flotilla topic describe orders --json
expect 0 'altered' flotilla topic alter orders --partitions 8 --config max.message.bytes=100000
expect 1 'partitions' flotilla topic alter orders --partitions 2
expect 0 'controller' flotilla cluster status

seq 1 5000 >"$directory/in"
flotilla produce orders --file "$directory/in"
flotilla consume orders --from beginning --exit-at-end | sort -n | cmp - "$directory/in" || fail "not what was produced"
expect 0 '"acknowledged":1,' flotilla produce orders --json --header a=b --key-separator : <<<'k:v'
expect 0 '^[0-9]/[0-9]+ k=v a=b$' sh -c "flotilla consume orders --from beginning --exit-at-end --format '%p/%o %k=%s %h\n' | grep a=b"
expect 1 'nosuch' flotilla produce nosuch <<<x
expect 0 '^3$' sh -c "flotilla consume orders --from beginning --count 3 | wc -l"

# A group goes on where it stopped.
flotilla consume orders --group email --count 2000 >"$directory/a"
flotilla consume orders --group email --exit-at-end >"$directory/b"
sort -n "$directory/a" "$directory/b" | grep -v v | cmp - "$directory/in" || fail "a group's offsets are off"

expect 0 'draining and leads 0' flotilla cluster drain 1 --timeout 20s
expect 0 'may lead again' flotilla cluster drain 1 --undo
expect 0 'deleted' flotilla topic delete orders
# Every node hears of it, each in its own time.
for ((i = 0; i < 200; i++)); do flotilla topic describe orders >/dev/null 2>&1 || break; sleep 0.05; done
expect 1 'no topic orders' flotilla topic describe orders

# The command line itself.
expect 2 'did you mean --partitions' flotilla topic create x --partitoins 3
expect 2 'did you mean "topic create"' flotilla topic creat x
expect 2 'out of range' flotilla topic create x --partitions 0
expect 2 'missing argument' flotilla topic create
expect 2 'unknown token' flotilla consume x --format '%q'
expect 3 'no node of 127.0.0.1:1 answers' flotilla cluster status --bootstrap 127.0.0.1:1 --timeout 2s
for command in 'topic create' produce consume 'cluster status' 'local start' 'bench produce' 'log dump' demo; do
    # shellcheck disable=SC2086
    expect 0 'Examples:' flotilla $command --help
done

# A node that must not start says why.
data=$directory/c/node-1/data
id=$(grep -o '"cluster_id": *"[^"]*"' "$directory/c/cluster.json" | cut -d'"' -f4)
node() { timeout 20 flotillad --listen-host=127.0.0.1 --client-port="${P1:-0}" --peer-port=0 --http-port=0 --kafka-port=0 "$@"; }
expect 1 'in use by another process' node --node-id=1 --data-dir="$data" --cluster-id="$id"
flotilla local stop --dir "$directory/c"
expect 1 'node 1' node --node-id=2 --data-dir="$data" --cluster-id="$id"
expect 1 'cluster' node --node-id=1 --data-dir="$data" --cluster-id=another
expect 2 'did you mean' node --node-id=1 --data-dirr="$data"
expect 2 'node-id' node --node-id=zero --data-dir="$directory/x"
printf 'node-id: 1\ndata-dri: %s\n' "$directory/x" >"$directory/bad.yaml"
expect 2 'data-dir' node --config="$directory/bad.yaml"

# Offline.
expect 0 '0 damaged places' flotilla log verify "$data"
expect 0 'barrier' flotilla log dump "$data"
flotilla local start --dir "$directory/c" >/dev/null
expect 1 'in use' env P1="$(echo "$FLOTILLA_BOOTSTRAP" | sed 's/,.*//; s/.*://')" bash -c "
  timeout 20 flotillad --listen-host=127.0.0.1 --client-port=\$P1 --peer-port=0 --http-port=0 --node-id=1 --data-dir='$directory/y'"
http=${FLOTILLA_HTTP#http://}
get() { exec 3<>"/dev/tcp/${http%:*}/${http#*:}"; printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3; cat <&3; exec 3>&-; }
expect 0 '200' get /livez
expect 0 'flotilla_' get /metrics
expect 0 '404' get /nothing
flotilla local destroy --dir "$directory/c"
[ ! -e "$directory/c" ] || fail "destroy left something behind"
echo "all as it should be"
