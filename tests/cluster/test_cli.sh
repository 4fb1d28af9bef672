#!/usr/bin/env bash
# The tool as a user has it: a cluster by hand, every command, and what wrong input gets for an answer.
set -euo pipefail
export PATH=$1:$PATH
directory=$(mktemp -d)
trap 'kill $(jobs -p) 2>/dev/null || true; flotilla local destroy --dir "$directory/c" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
# expect STATUS PATTERN COMMAND...: exit status (a pattern) and a pattern in the output of either kind
expect() {
    local status=$1 pattern=$2 out rc=0
    shift 2
    out=$("$@" 2>&1) || rc=$?
    # shellcheck disable=SC2053
    [[ $rc = $status ]] || fail "$*: exit $rc instead of $status: $out"
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

expect 1 'orders/0: offset 99999 is out of range: it holds 0 up to' flotilla consume orders --partition 0 --from 99999
expect 0 '^0$' sh -c "flotilla consume orders --from end --exit-at-end | wc -l"
expect 0 '^5001$' sh -c "flotilla consume orders --from -1h --exit-at-end | wc -l"
expect 0 '^0$' sh -c "flotilla consume orders --from 2100-01-01 --exit-at-end | wc -l"
expect 1 'has no partition 8' flotilla consume orders --partition 8
expect 1 'has no partition 8' flotilla produce orders --partition 8 <<<x
expect 1 'max.message.bytes=100000' sh -c "head -c 200000 /dev/zero | tr '\\0' x | flotilla produce orders"
expect 0 '"value_base64":"AP8="' sh -c "flotilla topic create binary --partitions 1 >&2; printf '\\000\\377\n' | flotilla produce binary; flotilla consume binary --exit-at-end --json"
# Output that nobody takes: the reader that leaves is no error, a full disk is one.
expect 0 '^[0-9v]+$' bash -c "set -o pipefail; flotilla consume orders --from beginning | head -n 1"
expect 1 'standard output' bash -c "flotilla consume orders --from beginning --exit-at-end >/dev/full"
# Ctrl-C ends the input, not what is under way.
expect 130 '1 records sent, 1 acknowledged' bash -c "
  mkfifo '$directory/fifo'; exec 3<>'$directory/fifo'; echo last >&3
  flotilla produce binary --file '$directory/fifo' & producer=\$!
  until flotilla consume binary --from beginning --exit-at-end | grep -q last; do sleep 0.05; done
  kill -INT \$producer; wait \$producer"

# A group goes on where it stopped.
flotilla consume orders --group email --count 2000 >"$directory/a"
flotilla consume orders --group email --exit-at-end >"$directory/b"
sort -n "$directory/a" "$directory/b" | grep -v v | cmp - "$directory/in" || fail "a group's offsets are off"

# Two members share the topics; what the group does is shown, and moved once nobody is in it.
seq 5001 6000 | flotilla produce orders
flotilla consume orders --group pair >"$directory/a" & one=$!
flotilla consume 'ord*' --group pair -X group.instance.id=till-7 >"$directory/b" & two=$!
read_all() { for ((i = 0; i < 200; i++)); do [ "$(cat "$directory/a" "$directory/b" | wc -l)" -ge 6001 ] && return; sleep 0.05; done; return 1; }
read_all || fail "two members have not read everything"
expect 0 'pair +stable +2 +flotilla +sticky' flotilla group list
expect 0 'group pair: stable, 2 members, sticky' flotilla group describe pair
expect 0 'orders +7 .* till-7|orders +7 .*[0-9a-f-]{36}' flotilla group describe pair
expect 0 'till-7 +flotilla +127.0.0.1 .* orders [0-7]' flotilla group members pair
expect 0 '"instance":"till-7"' flotilla group members pair --json
expect 1 'group pair has members' flotilla group reset pair --to earliest
expect 1 'group pair: the group has members' flotilla group delete pair
kill "$one"; wait "$one" || [ $? -eq 130 ] || fail "a member did not end in order"
expect 0 'group pair: stable, 1 member,' flotilla group describe pair
kill "$two"; wait "$two" || true # static: its place is kept for the session's time
[ "$(sort "$directory/a" "$directory/b" | wc -l)" -eq 6001 ] || fail "two members have read records twice"
flotilla consume orders --group solo --count 100 >/dev/null
expect 0 '"lag":[0-9]+,"lag_ms":[0-9]+' flotilla group describe solo --json
expect 0 'nothing was changed' flotilla group reset solo --to earliest --dry-run
expect 0 'group solo was reset' flotilla group reset solo --to latest
expect 0 'lag 0 records' flotilla group describe solo
expect 0 'orders +0 +[0-9]+ +[0-9]+ +-1' flotilla group reset solo --shift-by -1
expect 0 '"before":[0-9]+,"after":0' flotilla group reset solo --to 0 --partition 3 --json
expect 0 'after":[1-9]' flotilla group reset solo --to 2100-01-01 --json
expect 2 'either --to WHERE or --shift-by' flotilla group reset solo
expect 0 'deleted solo' flotilla group delete solo
expect 1 'unknown group' flotilla group describe solo

expect 0 'draining and leads 0' flotilla cluster drain 1 --timeout 20s
expect 0 'may lead again' flotilla cluster drain 1 --undo
expect 1 'no node 9' flotilla cluster drain 9
expect 0 'node 2 logs at debug' flotilla cluster log-level 2 debug
expect 0 'log_level=debug' flotilla local logs 2 --lines 1000 --dir "$directory/c"
expect 1 'trace, debug, info, warn or error' flotilla cluster log-level 2 chatty
flotilla cluster log-level 2 info >/dev/null

# A cluster that is not well still says so at once.
expect 0 'holds a cluster of 3 nodes' flotilla local start --nodes 5 --dir "$directory/c"
flotilla local kill 3 --dir "$directory/c"
expect 1 'node 3 does not run' flotilla local kill 3 --dir "$directory/c"
says_down() { for ((i = 0; i < 100; i++)); do timeout 2 flotilla cluster status | grep -qE '^ *3 +down' && return; sleep 0.05; done; return 1; }
says_down || fail "no word of the node that is down"
flotilla local kill 2 --dir "$directory/c"
lost_majority() { for ((i = 0; i < 100; i++)); do timeout 2 flotilla cluster status | grep -q 'no majority' && return; sleep 0.05; done; return 1; }
lost_majority || fail "no word of the lost majority"
# Unknown (3) if the survivor was the controller and took it, else certainly not done (1).
expect '[13]' 'majority' flotilla topic create late --timeout 1s
flotilla local restart 2 --dir "$directory/c"
flotilla local restart 3 --dir "$directory/c"
flotilla local start --dir "$directory/c" >/dev/null
expect 0 'deleted' flotilla topic delete orders
# Every node hears of it, each in its own time.
for ((i = 0; i < 200; i++)); do flotilla topic describe orders >/dev/null 2>&1 || break; sleep 0.05; done
expect 1 'no topic orders' flotilla topic describe orders

# The command line itself.
expect 2 'did you mean --partitions' flotilla topic create x --partitoins 3
expect 2 'did you mean "topic create"' flotilla topic creat x
expect 2 'out of range' flotilla topic create x --partitions 0
expect 2 'missing argument' flotilla topic create
expect 2 'takes no value' flotilla topic list --json=yes
expect 2 'unknown option --now' flotilla local status --now
expect 0 'Usage: flotilla topic create' flotilla help topic create
expect 0 'topic delete' flotilla help topic
expect 2 '' flotilla topic
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

# Colours on a terminal only, and not against NO_COLOR.
if command -v script >/dev/null; then
    on_terminal() { TERM=xterm script -qec "$*" /dev/null; }
    expect 0 $'\033' on_terminal "flotilla local status --dir $directory/c"
    ! NO_COLOR=1 on_terminal "flotilla local status --dir $directory/c" | grep -q $'\033' || fail "NO_COLOR is ignored"
    ! TERM=dumb script -qec "flotilla local status --dir $directory/c" /dev/null | grep -q $'\033' || fail "a dumb terminal gets colours"
fi

# Offline.
expect 0 '0 damaged places' flotilla log verify "$data"
expect 0 'barrier' flotilla log dump "$data"
expect 0 '"kind":"summary"' flotilla log dump --json --records "$data"
flotilla local start --dir "$directory/c" >/dev/null
expect 1 'in use' env P1="$(echo "$FLOTILLA_BOOTSTRAP" | sed 's/,.*//; s/.*://')" bash -c "
  timeout 20 flotillad --listen-host=127.0.0.1 --client-port=\$P1 --peer-port=0 --http-port=0 --kafka-port=0 --node-id=1 --data-dir='$directory/y'"
http=${FLOTILLA_HTTP#http://}
get() { exec 3<>"/dev/tcp/${http%:*}/${http#*:}"; printf 'GET %s HTTP/1.0\r\n\r\n' "$1" >&3; cat <&3; exec 3>&-; }
expect 0 '200' get /livez
expect 0 'flotilla_' get /metrics
expect 0 '404' get /nothing
# until_shows PATTERN COMMAND...: waits at most half a minute for the pattern in the output
until_shows() {
    local pattern=$1 end=$((SECONDS + 30)) out
    shift
    until out=$("$@" 2>&1) && grep -qE -- "$pattern" <<<"$out"; do
        [ $SECONDS -lt $end ] || fail "$*: not within 30 s: \"$pattern\"; last: $out"
        sleep 0.05
    done
}
until_shows ' 200 ' get /readyz
flotilla local kill 2 --dir "$directory/c"
flotilla local kill 3 --dir "$directory/c"
until_shows ' 503 ' get /readyz # without a majority it is alive, and not ready
expect 0 ' 200 ' get /livez
flotilla local restart 2 --dir "$directory/c"
until_shows ' 200 ' get /readyz
flotilla local destroy --dir "$directory/c"
[ ! -e "$directory/c" ] || fail "destroy left something behind"
echo "all as it should be"
