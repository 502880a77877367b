#!/bin/sh
# Tries what docs/DELIVERY.md says of one MTA, on a copy-on-write copy of this machine, in namespaces of its own that have
# no network: the document's own commands, then a message by the MTA's own sendmail, fetched through poppet by curl, then 50
# more while a client fetches and deletes.
#
# usage, as root: contrib/delivery/try.sh postfix|home|opensmtpd|dma BINARY [FOLDER]
# The MTA is the machine's own, or in the copy alone what lies in FOLDER:
#   apt-get download postfix; or opensmtpd libevent-2.1-7; or dma
# Needs curl, python3, iproute2, util-linux. Takes some ten seconds.
set -eu
mta=$1 binary=$(realpath "$2") debs=${3:+$(realpath "$3")}
repository=$(realpath "$(dirname "$0")/../..")

if [ -z "${POPPET_COPY:-}" ]; then
    POPPET_COPY=$(mktemp -d)
    export POPPET_COPY
    code=0
    unshare --mount --pid --net --uts --fork "$0" "$mta" "$binary" ${debs:+"$debs"} || code=$?
    rmdir "$POPPET_COPY"
    exit $code
fi

export PATH="$PATH:/usr/sbin:/sbin"
folder=$POPPET_COPY
# shellcheck disable=SC1091
. "$repository/tests/contrib/copy.sh"
ip link set lo up

# The first block of commands below a heading of the document; the password is typed by a pipe.
commands() {
    awk -v heading="## $1" '/^## / { on = $0 == heading } /^```$/ && code { exit } code; on && /^```sh/ { code = 1 }' \
        "$repository/docs/DELIVERY.md" | sed 's/poppet hash/echo secret | &/'
}

cd "$folder/root"
cp "$binary" usr/bin/poppet
cp "$repository/contrib/delivery/life.sh" "$repository/contrib/delivery/take.py" .
[ -z "$debs" ] || cp -r "$debs" debs
commands 'The Maildirs' >maildirs.sh
case $mta in
postfix) commands Postfix ;;
opensmtpd) commands OpenSMTPD ;;
home) commands 'Mail of one user of the system' ;;
dma) ;;
*) echo "$mta: which is that?" >&2 && exit 64 ;;
esac >commands.sh
exec chroot . sh /life.sh "$mta"
