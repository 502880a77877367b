#!/bin/sh
# Builds a static poppet for another processor on Debian 12 (amd64), with Debian's own compilers, and tries it under qemu.
# usage: contrib/build-cross.sh arm64|armhf     the program's path is the last line
# Debian's packages are unpacked below target/cross and not installed: a gigabyte for each. Needs apt, cargo and gcc, and
# for the trial qemu-user-static and curl.
set -eu
cd "$(dirname "$0")/.."
case ${1:-} in
arm64) triple=aarch64-linux-gnu target=aarch64-unknown-linux-gnu qemu=qemu-aarch64-static ;;
armhf) triple=arm-linux-gnueabihf target=armv7-unknown-linux-gnueabihf qemu=qemu-arm-static ;;
*) sed -n '2,5s/^# //p' "$0" >&2; exit 2 ;;
esac
processor=$1
cross=$(realpath -m "${CARGO_TARGET_DIR:-target}/cross/$processor")
mkdir -p "$cross/apt/lists/partial" "$cross/cache/archives/partial" "$cross/debs" "$cross/root"
touch "$cross/apt/status"

# An apt that knows the other processor, with lists of its own: this machine's are left alone.
cat >"$cross/apt.conf" <<CONF
Dir::State "$cross/apt";
Dir::State::status "$cross/apt/status";
Dir::Cache "$cross/cache";
APT::Architecture "amd64";
APT::Architectures { "amd64"; "$processor"; };
CONF
[ "$(id -u)" != 0 ] || echo 'APT::Sandbox::User "root";' >>"$cross/apt.conf"
export APT_CONFIG="$cross/apt.conf"

# Compiler and both standard libraries must be of one version; what the other processor has decides.
apt-get update -q || echo "some lists could not be had; going on with the others" >&2
version=$(apt-cache madison "libstd-rust-web-dev:$processor" | awk -F ' *[|] *' 'NR == 1 { print $2 }')
library=libstd-rust-web-$(echo "$version" | cut -d. -f1,2)
llvm=$(apt-cache depends "$library=$version" | sed -n 's/^ *Depends: \(libllvm[0-9]*\)$/\1/p')
(
    cd "$cross/debs"
    rm -f ./*.deb
    apt-get download -q "rustc-web:amd64=$version" "$library:amd64=$version" "$llvm:amd64" \
        "libstd-rust-web-dev:amd64=$version" "libstd-rust-web-dev:$processor=$version" \
        "gcc-12-$triple" "cpp-12-$triple" "binutils-$triple" "libgcc-12-dev-$processor-cross" \
        "libgcc-s1-$processor-cross" "libc6-$processor-cross" "libc6-dev-$processor-cross" \
        "linux-libc-dev-$processor-cross"
    for package in *.deb; do
        dpkg -x "$package" "$cross/root"
    done
)

root=$cross/root
upper=$(echo "$target" | tr a-z- A-Z_)
lower=$(echo "$target" | tr - _)
export LD_LIBRARY_PATH="$root/usr/lib/x86_64-linux-gnu"
export RUSTC="$root/usr/bin/rustc"
export PATH="$root/usr/bin:$PATH"
export "CC_$lower=$root/usr/bin/$triple-gcc-12" "AR_$lower=$root/usr/bin/$triple-ar" "CFLAGS_$lower=--sysroot=$root"
export "CARGO_TARGET_${upper}_LINKER=$root/usr/bin/$triple-gcc-12"
export "CARGO_TARGET_${upper}_RUSTFLAGS=-C link-arg=--sysroot=$root -C target-feature=+crt-static"
cargo build --release --target "$target" --target-dir "$cross/target"

built=$cross/target/$target/release/poppet
unset LD_LIBRARY_PATH
# With the allocator set, poppet does not start itself a second time, which needs binfmt_misc here.
MALLOC_ARENA_MAX=1 contrib/smoke.sh "$qemu" "$built"
stat --format="%s octets" "$built"
echo "$built"
