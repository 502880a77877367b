#!/bin/sh
# The init script under OpenRC on a copy of this machine, in namespaces of its own: installed as docs/INSTALL.md says,
# checked, started, reloaded, killed, stopped.
# usage: unshare --mount --pid --fork openrc.sh FOLDER REPOSITORY BINARY OPENRC PORT
# OPENRC is a folder with Debian's packages openrc, librc1 and libeinfo1, or / where OpenRC is installed.
set -eu
folder=$1 repository=$2 binary=$3 openrc=$4 port=$5
cd "$(dirname "$0")"
. ./copy.sh

cd "$folder/root"
# Only the copy gets OpenRC, and none of what its packages would do to the other services.
[ "$openrc" = / ] || dpkg --root="$PWD" --force-depends --unpack "$openrc"/*.deb
mkdir -p etc/conf.d etc/insserv.conf.d etc/runlevels/default run/lock repository/target/static
touch etc/insserv.conf
cp -r "$repository/contrib" repository
cp "$binary" repository/target/static/poppet
# There is no certificate; and what this machine lets nobody raise must not fail the test.
cat >usr/local/bin/editor <<EDITOR
#!/bin/sh
sed -i 's/^pop3s/#&/; s/^pop3 = .*/pop3 = ["127.0.0.1:$port"]/; s/^\\[tls/#&/; s/^cert/#&/; s/^private/#&/' "\$1"
echo rc_ulimit= >>/etc/conf.d/poppet
EDITOR
chmod 755 usr/local/bin/editor
# What the document has for Gentoo.
awk '/^## .*Gentoo/ { on = 1 } /^```/ && code { exit } code; on && /^```sh/ { code = 1 }' "$repository/docs/INSTALL.md" |
    sed 's|target/static[^ ]*|target/static/poppet|; s/poppet hash/echo secret | &/' >repository/install.sh
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
asked() { poppet status | grep -q '^logins: [1-9]'; }
ends() { ! kill -0 "$1" 2>/dev/null; }
# The keeper, or the server alone: whom supervise-daemon minds.
minded() { pgrep -o -x poppet; }
another() { it=$(minded) && [ "$it" != "$1" ]; }

step installed
grep -q '^rc-service poppet checkconfig$' /repository/install.sh
(cd /repository && sh -ex install.sh)
printf 'Subject: kept\n\n.\n' >/var/mail/ada/new/1.first
eventually fetched
asked
/etc/init.d/poppet status
stat --format='%n %a %U %G' /var/log/poppet /var/log/poppet/poppet.log /run/poppet

step reloaded
first=$(minded)
/etc/init.d/poppet reload
fetched
[ "$first" = "$(minded)" ]

step killed
kill -KILL "$first"
eventually another "$first"
eventually fetched
asked

step stopped
last=$(minded)
/etc/init.d/poppet stop
eventually ends "$last"
if /etc/init.d/poppet status; then exit 1; fi
cat /var/log/poppet/poppet.log

step refused
echo '[nonsense]' >>/etc/poppet/poppet.toml
if /etc/init.d/poppet checkconfig; then exit 1; fi
if /etc/init.d/poppet start; then exit 1; fi
step done
LIFE
port=$port chroot . sh life.sh
