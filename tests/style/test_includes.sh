#!/usr/bin/env bash
# The rooms of node/ stand in an order, and each may include only what stands above it; libuv, libraft and protobuf stay where
# they belong; the client and the tool see the node only where said here.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."

rooms=(base env storage consensus cluster broker group server)
failures=0
complain() { echo "$1" >&2; failures=$((failures + 1)); }

rank() {
    local i
    for i in "${!rooms[@]}"; do [ "${rooms[$i]}" = "$1" ] && { echo "$i"; return; }; done
    echo 99
}

sources() { find "$@" -name '*.c' -o -name '*.h'; }

for room in "${rooms[@]}"; do
    own=$(rank "$room")
    while IFS=: read -r file include; do
        other=$(sed -E 's|.*"node/([a-z]+)/.*|\1|' <<<"$include")
        [ "$(rank "$other")" -le "$own" ] || complain "$file: node/$room must not include node/$other, which stands below it"
    done < <(grep -RHoE '#include "node/[a-z]+/' "node/$room" || true)
done

# only PATTERN REGEX PLACE...: who else includes it?
only() {
    local what=$1 regex=$2 hit
    shift 2
    while read -r hit; do
        for place in "$@"; do [[ $hit == $place* ]] && continue 2; done
        complain "$hit: includes $what, which only $* may"
    done < <(sources node proto client tests | xargs grep -lE "$regex" || true)
}
only '<uv.h>' '#include <uv\.h>' node/env/ node/main.c client/driver/
only '<raft.h>' '#include <raft(\.h|/)' node/consensus/ tests/unit/consensus/
only 'the node' '#include "node/' node/ tests/ client/cli/cmd_log.c client/cli/doctor/doctor.h
only 'the driver of the client' '#include "client/driver/' client/driver/ client/api/
only 'the inside of the client' '#include "client/(core|driver|api)/' client/core/ client/driver/ client/api/ tests/
only 'the client' '#include "client/' client/ tests/

[ "$failures" -eq 0 ] && echo "the rooms are in order"
exit $((failures > 0))
