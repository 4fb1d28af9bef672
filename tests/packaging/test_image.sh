#!/usr/bin/env bash
# test_image.sh BUILD_DIR: what the Docker image is made of, without Docker: its install step into an empty root, its entrypoint and
# its health check there as a user without rights; and the files for Compose, Kubernetes and systemd hold what they must.
set -euo pipefail
build=$(realpath "$1") source=$(realpath "$(dirname "$0")/../..")
work=$(mktemp -d)
node=
trap '[ -z "$node" ] || kill -9 $node 2>/dev/null || true; rm -rf "$work"' EXIT
fail() { echo "FAILED: $*" >&2; exit 1; }

FLOTILLA_BUILD_DIR=$build "$source/docker/steps.sh" install "$source" "$work/image"
programs=$work/image/usr/local
PATH=$programs/bin:$PATH flotilla-entrypoint flotilla --version >/dev/null || fail "flotilla --version"
for package in $("$source/docker/steps.sh" run-packages); do
    [ -z "$(command -v dpkg-query)" ] || dpkg-query -W "$package" >/dev/null 2>&1 || fail "run-packages has $package, with which nothing here runs"
done
# Every library that the programs load comes from one of those, or from what they need in turn.
ldd "$programs/bin/flotilla" "$programs/sbin/flotillad" | grep 'not found' && fail "libraries are missing"

as_stranger=()
chmod 755 "$work" "$work/image"
mkdir -m 777 "$work/data"
[ "$(id -u)" -ne 0 ] || as_stranger=(setpriv --reuid=10001 --regid=10001 --clear-groups)
export PATH=$programs/bin:$programs/sbin:$PATH
port=$((20000 + RANDOM % 20000))
start() { # HOSTNAME
    HOSTNAME=$1 FLOTILLA_NODE_ID=ordinal FLOTILLA_PEERS=3@127.0.0.1:$((port + 1)) FLOTILLA_DATA_DIR=$work/data/node FLOTILLA_CLIENT_PORT=$port \
        FLOTILLA_HTTP_PORT=$((port + 2)) FLOTILLA_KAFKA_PORT=0 FLOTILLA_ADVERTISE_HOST=localhost \
        "${as_stranger[@]}" flotilla-entrypoint >"$work/log" 2>&1 &
    node=$!
}
start no-number
wait $node && fail "a host name without a number was taken"
grep -q 'no number' "$work/log" || fail "$(cat "$work/log")"
FLOTILLA_HTTP_PORT=$((port + 2)) flotilla-healthcheck 2>/dev/null && fail "healthy without a node"
start flotilla-2
until FLOTILLA_HTTP_PORT=$((port + 2)) flotilla-healthcheck ready 2>/dev/null; do
    kill -0 $node 2>/dev/null && [ $SECONDS -lt 40 ] || fail "not ready: $(cat "$work/log")"
    sleep 0.05
done
FLOTILLA_HTTP_PORT=$((port + 2)) flotilla-healthcheck || fail "not alive"
flotilla cluster status --bootstrap localhost:$port | grep -qE '^ *3 ' || fail "it is not node 3: $(flotilla cluster status --bootstrap localhost:$port)"
kill -TERM $node
wait $node || fail "its end was not planned: $(tail -n 3 "$work/log")"
node=

if python3 -c 'import yaml' 2>/dev/null; then
    python3 "$source/tests/packaging/check_manifests.py" "$source" "$programs/sbin/flotillad"
fi
if command -v systemd-analyze >/dev/null; then
    mkdir -p "$work/units"
    sed "s|^ExecStart=flotillad|ExecStart=$programs/sbin/flotillad|; /^User=/d; /^Group=/d" "$source/docker/flotilla.service" >"$work/units/flotilla.service"
    out=$(systemd-analyze verify "$work/units/flotilla.service" 2>&1 | grep flotilla.service || true)
    [ -z "$out" ] || fail "$out"
fi
bash -n "$source"/docker/*.sh
sh -n "$source"/docker/debian/postinst && sh -n "$source"/docker/debian/prerm && sh -n "$source"/docker/debian/postrm
echo "as it should be"
