#!/usr/bin/env bash
# A client that was written from the documents speaks with a cluster.
set -euo pipefail
export PATH=$1:$PATH
command -v python3 >/dev/null || { echo "skipped: no python3" >&2; exit 77; }
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
directory=$(mktemp -d)
trap 'flotilla local destroy --dir "$directory/c" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

flotilla local start --nodes 3 --dir "$directory/c" >/dev/null
eval "$(flotilla local env --dir "$directory/c")"
python3 -B "$root/tests/cluster/protocol_client.py" "$root/proto/client.proto" "${FLOTILLA_BOOTSTRAP%%,*}"
