#!/usr/bin/env bash
# What the image is made of, as steps that also run without Docker: the Dockerfile calls them, and so does the test
# (tests/packaging/test_image.sh).
#
#   steps.sh build-packages          Debian packages to build with
#   steps.sh run-packages            Debian packages to run with
#   steps.sh install SOURCE ROOT     builds a release of SOURCE into ROOT (programs, man pages, entrypoint, health check)
set -euo pipefail

build_packages="build-essential cmake ninja-build pkg-config protobuf-c-compiler libprotobuf-c-dev libuv1-dev libraft-dev
    libcmocka-dev libisal-dev zlib1g-dev liblz4-dev libzstd-dev libsnappy-dev libssl-dev libmicrohttpd-dev libjansson-dev
    libyaml-dev uthash-dev"
run_packages="libuv1 libraft2 libprotobuf-c1 libisal2 zlib1g liblz4-1 libzstd1 libsnappy1v5 libssl3 libmicrohttpd12
    libjansson4 libyaml-0-2"

install_into() {
    local source root=$2 build
    source=$(realpath "$1")
    build=${FLOTILLA_BUILD_DIR:-$(mktemp -d)}
    [ -f "$build/build.ninja" ] || cmake -S "$source" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release >/dev/null
    ninja -C "$build" flotilla flotillad flotilla_shared flotilla_static >/dev/null
    DESTDIR=$(realpath -m "$root") cmake --install "$build" --prefix /usr/local >/dev/null
    install -D -m 755 "$source/docker/entrypoint.sh" "$root/usr/local/bin/flotilla-entrypoint"
    install -D -m 755 "$source/docker/healthcheck.sh" "$root/usr/local/bin/flotilla-healthcheck"
    install -D -m 644 "$source/LICENSE" "$root/usr/share/doc/flotilla/LICENSE"
}

case "${1:-}" in
build-packages) echo $build_packages ;;
run-packages) echo $run_packages ;;
install) install_into "$2" "$3" ;;
*)
    echo "usage: steps.sh build-packages | run-packages | install SOURCE ROOT" >&2
    exit 2
    ;;
esac
