#!/bin/sh
# Inside the copy that try.sh makes: sets one MTA up by the document's commands, and sees that its mail comes through poppet.
set -eu
export LC_ALL=C DEBIAN_FRONTEND=noninteractive
mta=$1
hostname mail.example.net
step() { echo "== $*"; }

# Tries a command for 20 seconds.
wait_for() {
    for _ in $(seq 200); do
        "$@" && return
        sleep 0.1
    done
    tail -n 20 /var/log/mta.log
    return 1
}
send() { printf 'Subject: %s\n\nbody\n' "$2" | sendmail "$1"; }
fetch() { curl --silent --user "$1:secret" pop3://127.0.0.1/1 >/fetched; }

step "users and Maildirs"
for user in ada bob; do
    id $user >/dev/null 2>&1 || useradd --create-home $user
done
id poppet >/dev/null 2>&1 || useradd --system poppet
rm -rf /etc/poppet /var/mail/ada /var/mail/bob
install -d -m 750 -g poppet /etc/poppet
install -m 640 -g poppet /dev/null /etc/poppet/users
owner=poppet mail='/var/mail/{user}'
if [ "$mta" = home ]; then
    owner=ada mail='{home}/Maildir'
elif [ "$mta" != dma ]; then
    sh -eu /maildirs.sh
fi
printf '[listen]\npop3 = ["127.0.0.1:110"]\n[mail]\nmaildir = "%s"\n[process]\nuser = "%s"\n' "$mail" "$owner" \
    >/etc/poppet/poppet.toml

step "$mta"
if [ -d /debs ]; then
    dpkg --force-all -r postfix exim4-daemon-light >/dev/null 2>&1 || true
    dpkg --force-depends -i /debs/*.deb
fi
case $mta in
postfix | home)
    postconf -e 'inet_interfaces = loopback-only' 'maillog_file = /var/log/mta.log' 'mynetworks_style = host'
    sh -eu /commands.sh
    postfix start
    ;;
opensmtpd)
    sh -eu /commands.sh
    smtpd -d >/var/log/mta.log 2>&1 &
    wait_for smtpctl show status >/dev/null
    ;;
dma)
    step "dma makes an mbox"
    send ada one
    wait_for test -s /var/mail/ada
    grep '^Subject: one' /var/mail/ada
    step "and has no way into a Maildir"
    rm /var/mail/ada
    sh -eu /maildirs.sh
    send ada two
    sleep 2
    mailq | grep 'To.*ada'
    [ -z "$(find /var/mail/ada -type f)" ]
    step 'all is well'
    exit
    ;;
esac

step "one message"
to=ada@example.org
[ "$mta" != home ] || to=ada
poppet check
poppet serve &
send $to one
wait_for fetch ada
cat /fetched
grep -q '^Subject: one' /fetched
find /var/mail/ada /home/ada/Maildir -name '[0-9]*' -exec stat --format='%n %a %U' {} + 2>/dev/null || true

step "fifty, while a client fetches and deletes"
for n in $(seq 50); do send $to "number $n"; done &
python3 /take.py 110 51

if [ "$mta" = home ]; then
    step "and nobody else's"
    echo secret | poppet hash bob | sed 's|$|::::/home/bob::|' >>/etc/poppet/users
    send bob one
    wait_for test -d /home/bob/Maildir/new
    curl --silent --verbose --user bob:secret pop3://127.0.0.1/ 2>/said && exit 1
    grep 'SYS/PERM' /said
    poppet check | grep '^error: .*bob'
fi
step 'all is well'
