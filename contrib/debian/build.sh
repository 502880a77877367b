#!/bin/sh
# Makes a Debian package of a program that is built already.
# usage: contrib/debian/build.sh BINARY [FOLDER [REVISION]]     the package's path is the last line
# Needs dpkg-dev and binutils. DEBFULLNAME and DEBEMAIL say who answers for the package; else git's user does.
set -eu
[ $# -ge 1 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }
binary=$(realpath "$1")
out=$(realpath "${2:-.}")
cd "$(dirname "$0")/../.."

version=$(sed -n 's/^version = "\(.*\)"/\1/p' Cargo.toml | head -n 1)-${3:-1}
who="${DEBFULLNAME:-$(git config user.name)} <${DEBEMAIL:-$(git config user.email)}>"
case $(LC_ALL=C readelf --file-header "$binary" | sed -n 's/^ *Machine: *//p') in
*X86-64*) architecture=amd64 ;;
AArch64) architecture=arm64 ;;
ARM) architecture=armhf ;;
*) echo "$binary: for no processor that this script knows" >&2; exit 1 ;;
esac

tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
umask 022
place() { # MODE FILE GOAL
    install -D -m "$1" "$2" "$tree/root/$3"
}
pack() { # FILE GOAL
    mkdir -p "$tree/root/$(dirname "$2")"
    gzip -9n <"$1" >"$tree/root/$2"
}

doc=usr/share/doc/poppet
place 755 "$binary" usr/bin/poppet
"${STRIP:-strip}" "$tree/root/usr/bin/poppet"
for unit in contrib/systemd/*.service contrib/systemd/*.socket; do
    place 644 "$unit" "usr/lib/systemd/system/${unit##*/}"
done
place 644 contrib/completions/poppet.bash usr/share/bash-completion/completions/poppet
place 644 contrib/completions/_poppet usr/share/zsh/vendor-completions/_poppet
place 644 contrib/completions/poppet.fish usr/share/fish/vendor_completions.d/poppet.fish
for page in docs/man/*; do
    pack "$page" "usr/share/man/man${page##*.}/${page##*/}.gz"
done
for page in README.md docs/*.md contrib/poppet.toml; do
    place 644 "$page" "$doc/${page##*/}"
done
pack CHANGELOG.md "$doc/changelog.gz"

# A fresh installation has no certificate, and with these lines it would not start.
sed 's/^pop3s = /#&/; /^\[tls\]/,/^\[mail\]/{/^\[tls\]\|^certificate\|^private-key/s/^/#/}' \
    contrib/poppet.toml >"$tree/poppet.toml"
place 640 "$tree/poppet.toml" etc/poppet/poppet.toml
chmod 750 "$tree/root/etc/poppet"

cat >"$tree/changelog" <<CHANGES
poppet ($version) unstable; urgency=medium

  * What is new is told in changelog.gz.

 -- $who  $(date -R -d "@${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || date +%s)}")
CHANGES
pack "$tree/changelog" "$doc/changelog.Debian.gz"
{
    printf '%s\n' "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/" "" \
        "Files: *" "Copyright: the authors of poppet" "License: MIT or Apache-2.0" "" "License: MIT"
    sed '1,2d; s/^$/./; s/^/ /' LICENSE-MIT
    printf '\n%s\n %s\n' "License: Apache-2.0" "On Debian systems it is in /usr/share/common-licenses/Apache-2.0."
} >"$tree/copyright"
place 644 "$tree/copyright" "$doc/copyright"

mkdir "$tree/root/DEBIAN" "$tree/debian"
if readelf --dynamic "$tree/root/usr/bin/poppet" | grep -q NEEDED; then
    echo "Source: poppet" >"$tree/debian/control"
    libraries=$(cd "$tree" && dpkg-shlibdeps -O root/usr/bin/poppet 2>/dev/null | sed -n 's/^shlibs:Depends=//p')
else
    printf '%s\n' "# So that it runs wherever there is a Linux, whatever its libc." \
        "poppet: statically-linked-binary [usr/bin/poppet]" >"$tree/overrides"
    place 644 "$tree/overrides" usr/share/lintian/overrides/poppet
fi
cat >"$tree/root/DEBIAN/control" <<CONTROL
Package: poppet
Version: $version
Architecture: $architecture
Maintainer: $who
Installed-Size: $(du -ks --exclude=DEBIAN "$tree/root" | cut -f1)
Depends: ${libraries:+$libraries, }adduser
Provides: pop3-server
Section: mail
Priority: optional
Description: POP3 server for Maildirs
 One process, one thread for all clients, TLS built in, and one configuration
 file that fits on a screen. For one person's mail, or a small house's, on a
 small machine. It delivers nothing: whatever writes Maildirs does that.
CONTROL
echo /etc/poppet/poppet.toml >"$tree/root/DEBIAN/conffiles"
for script in postinst prerm postrm; do
    install -m 755 "contrib/debian/$script" "$tree/root/DEBIAN/$script"
done
(cd "$tree/root" && find usr -type f -print0 | sort -z | xargs -0 md5sum >DEBIAN/md5sums)

package=$out/poppet_${version}_$architecture.deb
dpkg-deb --root-owner-group -Zxz --build "$tree/root" "$package" >/dev/null
echo "$package"
