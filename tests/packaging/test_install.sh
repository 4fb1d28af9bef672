#!/usr/bin/env bash
# test_install.sh BUILD_DIR: installs into an empty directory, and builds and runs an outside project against that copy.
set -euo pipefail
build=$(cd "$1" && pwd)
outside=$(cd "$(dirname "$0")/outside" && pwd)
examples=$(cd "$(dirname "$0")/../../client/examples" && pwd)
directory=$(mktemp -d)
prefix=$directory/prefix
trap '"$prefix/bin/flotilla" local destroy --dir "$directory/c" >/dev/null 2>&1 || true; rm -rf "$directory"' EXIT

fail() { echo "FAILED: $*" >&2; exit 1; }
quietly() { "$@" >"$directory/out" 2>&1 || { cat "$directory/out" >&2; fail "$*"; }; }

quietly cmake --install "$build" --prefix "$prefix"
for file in bin/flotilla sbin/flotillad include/flotilla.h share/man/man1/flotilla.1 share/man/man3/libflotilla.3; do
    [ -e "$prefix/$file" ] || fail "$file is not installed"
done
library=$(find "$prefix" -name libflotilla.so)
archive=$(find "$prefix" -name libflotilla.a)
readelf -d "$library" | grep -q 'SONAME.*libflotilla\.so\.0' || fail "the library has no soname"
for symbols in "-D $library" "-g $archive"; do
    # shellcheck disable=SC2086
    shown=$(nm --defined-only $symbols | awk 'NF == 3 { print $3 }' | grep -vE '^(flotilla_[a-z][a-z_]*|FLOTILLA_0)(@.*)?$' || true)
    [ -z "$shown" ] || fail "$symbols shows what is not in flotilla.h: $shown"
done

export PKG_CONFIG_PATH=$(dirname "$library")/pkgconfig LD_LIBRARY_PATH=$(dirname "$library")
# shellcheck disable=SC2046
quietly cc -Wall -Wextra -Wpedantic -Werror -std=c99 -o "$directory/by_pkg_config" "$examples/hello.c" $(pkg-config --cflags --libs flotilla)
quietly cmake -S "$outside" -B "$directory/outside" -DEXAMPLES="$examples" -DCMAKE_PREFIX_PATH="$prefix" -DCMAKE_BUILD_TYPE=Debug
quietly cmake --build "$directory/outside"
quietly "$directory/outside/modern"

PATH=$prefix/bin:$prefix/sbin:$PATH
quietly flotilla local start --nodes 3 --dir "$directory/c"
eval "$(flotilla local env --dir "$directory/c")"
quietly flotilla topic create hello --partitions 3
for program in "$directory/by_pkg_config" "$directory/outside/hello" "$directory/outside/hello_static"; do
    "$program" "$FLOTILLA_BOOTSTRAP" | grep -q 'read: hello' || fail "$program did not read what it sent"
done
echo "an installed copy is good to build against"
