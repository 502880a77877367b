#!/bin/sh
# Builds a poppet that needs no library of the machine that it runs on, for this processor and any Linux; then tries it.
# usage: contrib/build-static.sh     the program's path is the last line; a target folder of its own, two minutes
# Users of the system are read from /etc/passwd by poppet itself, so glibc's name services are not missed.
set -eu
cd "$(dirname "$0")/.."
target=$(uname -m)-unknown-linux-gnu
folder=${CARGO_TARGET_DIR:-target}/static
built=$folder/$target/release/poppet

RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target "$target" --target-dir "$folder"
if readelf --program-headers --wide "$built" | grep -q INTERP; then
    echo "$built wants a loader: it is not static" >&2
    exit 1
fi
contrib/smoke.sh "$built"
stat --format="%s octets" "$built"
echo "$built"
