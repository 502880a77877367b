#!/bin/sh
# The init script under OpenRC on a copy of this machine, in namespaces of its own: checked, started, reloaded, killed,
# stopped. usage: unshare --mount --pid --fork openrc.sh FOLDER REPOSITORY BINARY OPENRC PORT
# OPENRC is a folder with Debian's packages openrc, librc1 and libeinfo1, or / where OpenRC is installed.
set -eu
folder=$1 repository=$2 binary=$3 openrc=$4 port=$5
cd "$(dirname "$0")"
. ./copy.sh

cd "$folder/root"
# Only the copy gets OpenRC, and none of what its packages would do to the other services.
[ "$openrc" = / ] || dpkg --root="$PWD" --force-depends --unpack "$openrc"/*.deb
install -m 755 "$binary" usr/bin/poppet
install -m 755 "$repository/contrib/openrc/poppet.initd" etc/init.d/poppet
install -D -m 644 "$repository/contrib/openrc/poppet.confd" etc/conf.d/poppet
# What this machine lets nobody raise must not fail the test.
echo 'rc_ulimit=' >>etc/conf.d/poppet
touch etc/insserv.conf
mkdir -p etc/insserv.conf.d run/lock etc/poppet etc/runlevels/default
# A machine that OpenRC has started.
for state in daemons exclusive failed hotplugged inactive options scheduled started starting stopping tmp wasinactive; do
    mkdir -p "run/openrc/$state"
done
touch run/openrc/softlevel
# What needs the network is started here without it.
printf '#!/sbin/openrc-run\ndepend() { provide net localmount; }\nstart() { :; }\n' >etc/init.d/nothing
chmod 755 etc/init.d/nothing

cat >life.sh <<'LIFE'
set -eu
export LC_ALL=C
step() { echo "== $*"; }
eventually() {
    for tries in $(seq 200); do
        if "$@"; then return; fi
        sleep 0.1
    done
    echo "not within 20 seconds: $*"
    cat /var/log/poppet/poppet.log || true
    exit 1
}
fetched() { curl --silent --user ada:secret "pop3://127.0.0.1:$port/1" | grep -q '^Subject: kept'; }
ends() { ! kill -0 "$1" 2>/dev/null; }
# The keeper, or the server alone: whom supervise-daemon minds.
minded() { pgrep -o -x poppet; }
another() { it=$(minded) && [ "$it" != "$1" ]; }

getent passwd poppet >/dev/null || useradd --system poppet
install -d -o poppet -g poppet /var/mail/ada /var/mail/ada/new /var/mail/ada/cur /var/mail/ada/tmp
printf 'Subject: kept\n\n.\n' >/var/mail/ada/new/1.first
chown poppet: /var/mail/ada/new/1.first
echo secret | poppet hash ada >/etc/poppet/users
chgrp -R poppet /etc/poppet

step refused
printf '[listen]\npop3 = ["127.0.0.1:%s"]\nnonsense = 1\n' "$port" >/etc/poppet/poppet.toml
if /etc/init.d/poppet checkconfig; then exit 1; fi
if /etc/init.d/poppet start; then exit 1; fi

step started
printf '[listen]\npop3 = ["127.0.0.1:%s"]\n' "$port" >/etc/poppet/poppet.toml
/etc/init.d/poppet checkconfig
/etc/init.d/poppet start
eventually fetched
/etc/init.d/poppet status
stat --format='%n %a %U %G' /var/log/poppet /var/log/poppet/poppet.log

step reloaded
first=$(minded)
/etc/init.d/poppet reload
fetched
[ "$first" = "$(minded)" ]

step killed
kill -KILL "$first"
eventually another "$first"
eventually fetched

step stopped
last=$(minded)
/etc/init.d/poppet stop
eventually ends "$last"
if /etc/init.d/poppet status; then exit 1; fi
cat /var/log/poppet/poppet.log
step done
LIFE
port=$port chroot . sh life.sh
