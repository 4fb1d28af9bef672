#!/usr/bin/env bash
# Builds @confluentinc/kafka-javascript where its prebuilt binary cannot be had: its npm package lacks what librdkafka's
# own build needs, so that of the Python package confluent-kafka is taken, and its C++ face is built from the sources here.
#
#   build_confluent.sh NODE_MODULES DIRECTORY_OF_LIBRDKAFKA
set -euo pipefail
modules=$1 package=$1/@confluentinc/kafka-javascript prefix=$1/../librdkafka
mkdir -p "$prefix/include" "$prefix/objects"
prefix=$(cd "$prefix" && pwd)
cp "$2"/librdkafka*.so.1 "$prefix"
ln -sf "$(basename "$2"/librdkafka*.so.1)" "$prefix/librdkafka.so"
cp "$package"/deps/librdkafka/src/rdkafka*.h "$package"/deps/librdkafka/src-cpp/rdkafkacpp.h "$prefix/include"
touch "$package/deps/librdkafka/config.h"
for source in "$package"/deps/librdkafka/src-cpp/*.cpp; do
    g++ -fPIC -O1 -std=c++17 -I"$package/deps/librdkafka/src" -c "$source" -o "$prefix/objects/$(basename "$source" .cpp).o"
done
ar rcs "$prefix/librdkafka++.a" "$prefix"/objects/*.o

nodedir=()
[ -d /usr/include/node ] && nodedir=(--nodedir=/usr)
export PATH="$PATH:$(npm root -g)/npm/node_modules/node-gyp/bin" BUILD_LIBRDKAFKA=0
# Before Debian's older headers, which the package looks for.
export CXX="g++ -I$prefix/include" LDFLAGS="-L$prefix -Wl,-rpath,$prefix"
tool=$(cd "$modules/.bin" && pwd)/node-pre-gyp
cd "$package"
"$tool" install --build-from-source "${nodedir[@]}"
