#!/bin/sh
# The life of a Debian package on a copy-on-write copy of this machine, in namespaces of its own: installed, started,
# upgraded, removed, purged. usage: unshare --mount --pid --fork debian.sh FOLDER OLD.deb NEW.deb PORT
set -eu
folder=$1 old=$2 new=$3 port=$4

cd "$(dirname "$0")"
. ./copy.sh
cp "$old" "$folder/root/old.deb"
cp "$new" "$folder/root/new.deb"
cd "$folder/root"

cat >life.sh <<'LIFE'
set -eu
export DEBIAN_FRONTEND=noninteractive LC_ALL=C
step() { echo "== $*"; }
fetch() {
    for tries in $(seq 200); do
        [ "$tries" = 200 ] && exit 1
        curl --silent --user ada:secret "pop3://127.0.0.1:$port/1" && break
        sleep 0.1
    done | grep -q '^Subject: kept'
}
serve() {
    setpriv --reuid poppet --regid poppet --init-groups poppet serve &
    server=$!
    fetch
    kill "$server"
    wait "$server"
}

step installed
dpkg --force-depends -i old.deb
id poppet
stat --format='%n %a %U %G' /etc/poppet /etc/poppet/poppet.toml /etc/poppet/users
runuser -u poppet -- poppet check || [ $? = 78 ]

step started
sed -i "s/^pop3 = .*/pop3 = [\"127.0.0.1:$port\"]/" /etc/poppet/poppet.toml
echo secret | poppet hash ada >>/etc/poppet/users
install -d -o poppet -g poppet /var/mail/ada /var/mail/ada/new /var/mail/ada/cur /var/mail/ada/tmp
printf 'Subject: kept\n\n.\n' >/var/mail/ada/new/1.first
chown poppet: /var/mail/ada/new/1.first
runuser -u poppet -- poppet check
serve
sum=$(cat /etc/poppet/poppet.toml /etc/poppet/users | md5sum)

step upgraded
dpkg --force-depends -i new.deb
dpkg-query --show poppet
[ "$sum" = "$(cat /etc/poppet/poppet.toml /etc/poppet/users | md5sum)" ]
runuser -u poppet -- test -r /etc/poppet/poppet.toml
serve

step removed
dpkg -r poppet
[ ! -e /usr/bin/poppet ]
[ "$sum" = "$(cat /etc/poppet/poppet.toml /etc/poppet/users | md5sum)" ]

step purged
dpkg -P poppet
[ ! -e /etc/poppet ]
left=$(find /etc /usr /var/lib -xdev -name '*poppet*' -newer /life.sh)
[ -z "$left" ] || { echo "left behind: $left"; exit 1; }
[ -n "$(find /var/mail/ada -name '1.first*' -type f)" ]
step done
LIFE
port=$port chroot . sh life.sh
