#!/usr/bin/env bash
# flotilla doctor: finds what is wrong, says what to do, and keeps quiet about what is right.
set -euo pipefail
export PATH=$1:$PATH
directory=$(mktemp -d)
trap 'flotilla local stop --now --dir "$directory/c" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }
# finds STATE CHECK TEXT -- NODE OPTIONS...: a finding in that state, with this text in what was found
finds() {
    local state=$1 check=$2 text=$3 out
    shift 4
    out=$(flotilla doctor --json -- "$@") || true
    grep -F "\"check\":\"$check\",\"state\":\"$state\"" <<<"$out" | grep -F -- "$text" >/dev/null || fail "$* should be \"$state\" for \"$text\": $out"
    # Whatever is not fine comes with advice.
    ! grep -v '"state":"ok"' <<<"$out" | grep -F '"advice":""' || fail "no advice"
}

export FLOTILLA_DATA_DIR=$directory/data FLOTILLA_CLIENT_PORT=0 FLOTILLA_PEER_PORT=0 FLOTILLA_HTTP_PORT=0 FLOTILLA_KAFKA_PORT=0

finds ok sync 'fdatasync' --
finds ok room 'are free' --
finds ok addresses '127.0.0.1' --
env -u FLOTILLA_DATA_DIR flotilla local start --nodes 1 --dir "$directory/c" >/dev/null
eval "$(flotilla local env --dir "$directory/c")"
port=${FLOTILLA_BOOTSTRAP##*:}
finds consider ports "client-port $port is in use" -- --client-port "$port"
finds ok addresses "node 2 answers" -- --node-id 1 --peers "1@127.0.0.1:1,2@127.0.0.1:$port"
flotilla local stop --dir "$directory/c" >/dev/null
finds consider addresses "node 2 does not answer" -- --node-id 1 --peers "1@127.0.0.1:1,2@127.0.0.1:$port"
finds change addresses 'advertise-host no-such-host.invalid' -- --advertise-host no-such-host.invalid
finds change addresses 'told to connect to 127.0.0.1' -- --node-id 1 --peers 1@127.0.0.1:1,2@192.0.2.7:2 --advertise-host 127.0.0.1
finds change addresses '192.0.2.7 is this node' -- --node-id 2 --peers 1@127.0.0.1:1,2@192.0.2.7:2
finds change ports 'client-port 9192 on 192.0.2.7' -- --listen-host 192.0.2.7 --client-port 9192
finds change memory 'the node may use' -- --clients-bytes 60GiB --produce-bytes 64GiB
(ulimit -n 200 && finds consider files '200 open files' -- --max-connections 50)
(ulimit -n 200 && finds change files 'max-connections is 5000' -- --max-connections 5000)
[ ! -w /dev/shm ] || finds change disk tmpfs -- --data-dir /dev/shm/flotilla-doctor

flotilla doctor >"$directory/out" || fail "$(cat "$directory/out")"
[ ! -e "$directory/data" ] || fail "it left something behind"
status=0
flotilla doctor -- --node-idd 1 2>"$directory/err" || status=$?
[ $status -eq 2 ] && grep -q 'did you mean' "$directory/err" || fail "a wrong setting: $status, $(cat "$directory/err")"
echo "as it should be"
