#!/bin/sh
# The Debian package under a real systemd, in a container of systemd-nspawn: both services are started, asked, killed,
# reloaded, upgraded, and taken away again. Too long for CI, and it fetches a Debian of some 300 MB.
# usage, as root: contrib/systemd/try.sh PACKAGE.deb [FOLDER]    FOLDER keeps that Debian for the next time
# Needs debootstrap, systemd-container, openssl. The container has a network of its own.
set -eu
[ $# -ge 1 ] || { sed -n '2,5s/^# //p' "$0" >&2; exit 2; }
package=$(realpath "$1")
folder=$(realpath -m "${2:-$(mktemp -d)}")
debian=$folder/debian
root=$folder/root

mkdir -p "$folder"
[ -e "$debian/usr/bin/curl" ] || debootstrap --variant=minbase --include=systemd,systemd-sysv,curl bookworm "$debian"
rm -rf "$root"
cp -a "$debian" "$root"
cp "$package" "$root/root/poppet.deb"
mkdir -p "$root/etc/poppet"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 90 -subj /CN=localhost \
    -addext subjectAltName=DNS:localhost -keyout "$root/etc/poppet/privkey.pem" \
    -out "$root/etc/poppet/fullchain.pem" 2>/dev/null
chmod 600 "$root/etc/poppet/privkey.pem"

cat >"$root/root/try.sh" <<'TRY'
set -eu
step() { echo "== $*"; }
fetched() {
    curl --silent --cacert /etc/poppet/fullchain.pem --user ada:secret pop3s://localhost/1 | grep -q '^Subject: kept'
    curl --silent --user ada:secret pop3://localhost/1 | grep -q '^Subject: kept'
}
none_is_active() {
    if systemctl is-active "$@"; then exit 1; fi
}
main_process() { systemctl show --value --property MainPID "$1"; }
is_poppets() {
    grep -q "^Uid:$(printf '\t%s\t%s\t%s\t%s' $2 $2 $2 $2)$" "/proc/$1/status"
    grep -q '^NoNewPrivs:.1$' "/proc/$1/status"
    grep -q '^CapBnd:.0000000000000000$' "/proc/$1/status"
}
trap 'journalctl --no-pager --output cat -u poppet -u poppet-unprivileged | tail -n 40' EXIT

step installed, and nothing started
dpkg -i /root/poppet.deb
none_is_active poppet.service poppet-unprivileged.service
uid=$(id -u poppet)
sed -i 's/^#pop3s/pop3s/; s/^#\[tls\]/[tls]/; s/^#\(certificate = "[^"]*poppet.fullchain\)/\1/
    s/^#\(private-key = "[^"]*poppet.privkey\)/\1/' /etc/poppet/poppet.toml
echo secret | poppet hash ada >>/etc/poppet/users
install -d -o poppet -g poppet /var/mail/ada /var/mail/ada/cur /var/mail/ada/new /var/mail/ada/tmp
printf 'Subject: kept\n\n.\n' | install -o poppet -g poppet /dev/stdin /var/mail/ada/new/1.first
poppet check

step started as root, with a key that is root\'s alone
systemctl enable --now poppet.service
fetched
keeper=$(main_process poppet.service)
server=$(cat "/proc/$keeper/task/$keeper/children")
is_poppets "${server% }" "$uid"
systemctl reload poppet.service
fetched

step server killed
kill -KILL $server
# The port is open all the while.
fetched
[ "$keeper" = "$(main_process poppet.service)" ]

step upgraded
dpkg -i /root/poppet.deb
[ "$keeper" != "$(main_process poppet.service)" ]
fetched

step never root
chgrp poppet /etc/poppet/privkey.pem
chmod 640 /etc/poppet/privkey.pem
systemctl disable poppet.service
systemctl enable poppet-unprivileged.service
systemctl start poppet-unprivileged.service
none_is_active poppet.service
fetched
server=$(main_process poppet-unprivileged.service)
is_poppets "$server" "$uid"
[ "$(readlink "/proc/$server/ns/net")" != "$(readlink /proc/1/ns/net)" ]
systemctl reload poppet-unprivileged.service
systemctl restart poppet-unprivileged.service
fetched

step a key of root by LoadCredential
chown root:root /etc/poppet/privkey.pem
chmod 600 /etc/poppet/privkey.pem
mkdir /etc/systemd/system/poppet-unprivileged.service.d
printf '%s\n' '[Service]' LoadCredential=fullchain.pem:/etc/poppet/fullchain.pem \
    LoadCredential=privkey.pem:/etc/poppet/privkey.pem >/etc/systemd/system/poppet-unprivileged.service.d/override.conf
cp /etc/poppet/poppet.toml /root/poppet.toml
sed -i 's#"/etc/poppet/\([a-z]*\.pem\)"#"/run/credentials/poppet-unprivileged.service/\1"#' /etc/poppet/poppet.toml
systemctl daemon-reload
systemctl restart poppet-unprivileged.service
fetched

step removed and purged
dpkg -P poppet
none_is_active poppet-unprivileged.service poppet-pop3.socket poppet-pop3s.socket
[ ! -e /etc/poppet/users ]
[ -e /etc/poppet/privkey.pem ]
[ -n "$(find /var/mail/ada -name '1.first*' -type f)" ]
trap - EXIT
step done
TRY

# nspawn's own filter would hide Landlock.
systemd-nspawn --quiet --register=no --keep-unit --private-network --directory="$root" --console=pipe \
    --system-call-filter="landlock_add_rule landlock_create_ruleset landlock_restrict_self" /sbin/init \
    >"$folder/console" 2>&1 &
container=$!
inside() {
    nsenter --target "$init" --mount --uts --ipc --net --pid timeout 120 "$@"
}
end() {
    kill -RTMIN+4 "${init:-$container}" 2>/dev/null || true
    wait "$container" || true
    rm -rf "$root"
}
trap end EXIT
for tries in $(seq 120); do
    [ "$tries" != 120 ] || { cat "$folder/console"; exit 1; }
    sleep 1
    init=$(ps -o pid= --ppid "$container" | tr -d ' ')
    if [ -n "$init" ] && inside systemctl is-active --quiet multi-user.target 2>/dev/null; then break; fi
done
inside sh /root/try.sh
