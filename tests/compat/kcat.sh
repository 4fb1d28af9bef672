#!/usr/bin/env bash
# kcat, which is librdkafka as Debian has it. Prints "pass FEATURE" or "fail FEATURE REASON".
set -uo pipefail
b=(-b "$KAFKA_BOOTSTRAP")
prefix=${COMPAT_PREFIX:-compat}
failed=0

fail() { echo "$*"; return 1; }
produce() { kcat "${b[@]}" -P -t "$1" "${@:2}" 2>&1; }
consume() { timeout 30 kcat "${b[@]}" -C -q -e -t "$1" "${@:2}"; }
same() { [ "$1" = "$2" ] || fail "got $(head -c 60 <<<"$1"), not $(head -c 60 <<<"$2")"; }

create() { kcat "${b[@]}" -L -t "$prefix-create" 2>&1 | grep -q 'with [0-9]* partitions' || fail "not created on demand"; }
plain() { seq 1 1000 | produce "$prefix-plain" && same "$(consume "$prefix-plain" | sort -n | md5sum)" "$(seq 1 1000 | md5sum)"; }
keys() {
    for i in $(seq 1 200); do echo "k$((i % 5)):$i"; done | produce "$prefix-keys" -K:
    same "$(consume "$prefix-keys" -f '%k/%p\n' | sort -u | wc -l)" 5
}
codec() { seq 1 2000 | produce "$prefix-$1" -z "$1" && same "$(consume "$prefix-$1" | sort -n | md5sum)" "$(seq 1 2000 | md5sum)"; }
idempotence() {
    seq 1 2000 | produce "$prefix-once" -X enable.idempotence=true &&
        same "$(consume "$prefix-once" | sort -n | md5sum)" "$(seq 1 2000 | md5sum)"
}
headers() { echo v | produce "$prefix-headers" -H a=b -H c=d && same "$(consume "$prefix-headers" -f '%h=%s\n')" "a=b,c=d=v"; }
end() {
    seq 1 10 | produce "$prefix-end" -p 0
    kcat "${b[@]}" -C -q -t "$prefix-end" -p 0 -o end -c 1 >"$work/end" 2>/dev/null &
    local reader=$!
    for _ in $(seq 1 50); do
        echo new | produce "$prefix-end" -p 0
        sleep 0.2
        kill -0 $reader 2>/dev/null || break
    done
    wait $reader
    same "$(cat "$work/end")" new
}
offset() { seq 1 100 | produce "$prefix-offset" -p 0 && same "$(consume "$prefix-offset" -p 0 -o 42 -c 2 -f '%o ')" "42 43 "; }
from_time() {
    seq 1 10 | produce "$prefix-time" -p 0
    sleep 1.1
    local middle=$(($(date +%s%3N) - 500))
    echo late | produce "$prefix-time" -p 0
    same "$(consume "$prefix-time" -p 0 -o "s@$middle")" late
}
resume() {
    seq 1 100 | produce "$prefix-resume" -p 0
    local group=(-G "$prefix-group" -X auto.offset.reset=earliest -q)
    timeout 40 kcat "${b[@]}" "${group[@]}" -c 60 "$prefix-resume" >"$work/one" 2>/dev/null
    timeout 40 kcat "${b[@]}" "${group[@]}" -c 40 "$prefix-resume" >"$work/two" 2>/dev/null
    same "$(cat "$work/one" "$work/two" | md5sum)" "$(seq 1 100 | md5sum)"
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
run() { # FEATURE COMMAND...
    local reason feature=$1
    [ -z "${COMPAT_FEATURES:-}" ] || grep -qw -- "$feature" <<<"$COMPAT_FEATURES" || return 0
    if reason=$("${@:2}" 2>&1); then echo "pass $feature"; else
        echo "fail $feature ${reason//$'\n'/ }"
        failed=1
    fi
}
run create create
run produce plain
run keys keys
for codec in gzip snappy lz4 zstd; do run $codec codec $codec; done
run idempotence idempotence
run headers headers
run end end
run offset offset
run time from_time
run resume resume
exit $failed
