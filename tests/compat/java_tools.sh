#!/usr/bin/env bash
# The Java client through Kafka's own command-line tools. Prints "pass FEATURE" or "fail FEATURE REASON".
set -uo pipefail
b=(--bootstrap-server "$KAFKA_BOOTSTRAP")
t=${COMPAT_PREFIX:-compat}
failed=0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

tool() { timeout 120 java -Xmx256m -cp "$COMPAT_JARS/*" "$1" "${@:2}" 2>&1 | grep -v 'SLF4J\|StatusLogger\|WARN'; }
fail() { echo "$*"; return 1; }
has() { grep -q -- "$1" <<<"$2" || fail "no \"$1\" in: ${2:0:300}"; }
topic() { tool org.apache.kafka.tools.TopicCommand "${b[@]}" --create --topic "$1" --partitions "${2:-3}" --replication-factor 3 >/dev/null; }
perf() { # TOPIC RECORDS SETTING=VALUE...
    local properties=() p
    for p in "${@:3}"; do properties+=(--command-property "$p"); done
    has "^$2 records sent" "$(tool org.apache.kafka.tools.ProducerPerformance --topic "$1" --num-records "$2" --record-size 100 --throughput -1 \
        --bootstrap-server "$KAFKA_BOOTSTRAP" "${properties[@]}")"
}
total() { tool org.apache.kafka.tools.GetOffsetShell "${b[@]}" --topic "$1" "${@:2}" | awk -F: '{n += $3} END {print n}'; }
same() { [ "$1" = "$2" ] || fail "got $1, not $2"; }

create() {
    topic "$t-create" 3 && has 'PartitionCount: 3.*ReplicationFactor: 3' "$(tool org.apache.kafka.tools.TopicCommand "${b[@]}" --describe --topic "$t-create")"
}
produce() { topic "$t-p" && perf "$t-p" 20000 enable.idempotence=false && same "$(total "$t-p")" 20000; }
idempotence() { topic "$t-i" && perf "$t-i" 20000 && same "$(total "$t-i")" 20000; } # the default
codec() {
    topic "$t-$1" && perf "$t-$1" 5000 "compression.type=$1" &&
        has ', 5000, ' "$(tool org.apache.kafka.tools.ConsumerPerformance "${b[@]}" --topic "$t-$1" --num-records 5000 --group "$t-$1")"
}
time_() { same "$(total "$t-p" --time 1600000000000)" 0 && same "$(total "$t-p" --time -1)" 20000; }
group() {
    has ', 20000, ' "$(tool org.apache.kafka.tools.ConsumerPerformance "${b[@]}" --topic "$t-p" --num-records 20000 --group "$t-g")" &&
        has "$t-g" "$(tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "${b[@]}" --list)" &&
        has " $t-p " "$(tool org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "${b[@]}" --describe --group "$t-g")"
}
offset() { # of a group, moved and deleted
    local command=(org.apache.kafka.tools.consumer.group.ConsumerGroupCommand "${b[@]}" --group "$t-g")
    has "$t-p *0 *7$" "$(tool "${command[@]}" --reset-offsets --topic "$t-p:0" --to-offset 7 --execute | sed 's/ *$//')" &&
        has 'Successful' "$(tool "${command[@]}" --delete-offsets --topic "$t-p")" &&
        has 'successful' "$(tool "${command[@]}" --delete)"
}
configs() {
    has Completed "$(tool kafka.admin.ConfigCommand "${b[@]}" --alter --topic "$t-p" --add-config retention.ms=1000000)" &&
        has 'retention.ms=1000000' "$(tool kafka.admin.ConfigCommand "${b[@]}" --describe --topic "$t-p")"
}
delete_records() {
    echo "{\"partitions\":[{\"topic\":\"$t-p\",\"partition\":0,\"offset\":5}],\"version\":1}" >"$work/records.json"
    has 'low_watermark: 5' "$(tool org.apache.kafka.tools.DeleteRecordsCommand "${b[@]}" --offset-json-file "$work/records.json")"
}
log_dirs() { has "$t-p-0" "$(tool org.apache.kafka.tools.LogDirsCommand "${b[@]}" --describe --topic-list "$t-p")"; }
kill_() {
    topic "$t-kill" 1
    tool org.apache.kafka.tools.ProducerPerformance --topic "$t-kill" --num-records 8000 --record-size 100 --throughput 1000 \
        --bootstrap-server "$KAFKA_BOOTSTRAP" >"$work/kill" &
    sleep 4
    "$COMPAT_KILL" "$t-kill" >/dev/null
    wait $!
    has '^8000 records sent' "$(cat "$work/kill")" && same "$(total "$t-kill")" 8000
}

run() { # FEATURE COMMAND...
    local reason feature=$1
    [ -z "${COMPAT_FEATURES:-}" ] || [ "${EXTRA:-}" ] || grep -qw -- "$feature" <<<"$COMPAT_FEATURES" || return 0
    if reason=$("${@:2}" 2>&1); then echo "pass $feature"; else
        echo "fail $feature ${reason//$'\n'/ }"
        failed=1
    fi
}
run create create
run produce produce
for c in gzip snappy lz4 zstd; do run $c codec $c; done
run idempotence idempotence
run time time_
run group group
run offset offset
EXTRA=1 run configs configs
EXTRA=1 run delete-records delete_records
EXTRA=1 run log-dirs log_dirs
run kill kill_
exit $failed
