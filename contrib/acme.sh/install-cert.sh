#!/bin/sh
# Has acme.sh put a certificate where poppet looks for it, now and after each renewal.
# usage, as the user that runs acme.sh, root as a rule: contrib/acme.sh/install-cert.sh DOMAIN [FOLDER [GROUP]]
# First: acme.sh --issue --domain DOMAIN, with whatever proves to the authority that the domain is yours.
#
# There is nothing to reload: poppet looks at the files every minute. Until both are written, the pair does not match,
# which the log says once, and the certificate before stays.
# Started as root, poppet reads a key that is root's alone. Without root, name its group, poppet, as the third argument.
set -eu
[ $# -ge 1 ] || { sed -n '2,3s/^# //p' "$0" >&2; exit 2; }
domain=$1
folder=${2:-/etc/poppet}
group=${3:-}

# acme.sh writes into files that are there and leaves their rights alone; a new one would be for everybody to read.
key=$folder/privkey.pem
[ -e "$key" ] || (umask 077 && : >"$key")
if [ -n "$group" ]; then
    chgrp "$group" "$key"
    chmod 640 "$key"
fi
exec acme.sh --install-cert --domain "$domain" --key-file "$key" --fullchain-file "$folder/fullchain.pem"
