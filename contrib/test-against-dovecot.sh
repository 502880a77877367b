#!/bin/sh
# Runs the black-box tests against Dovecot's POP3 server, which proves the tests: a case that no server can fail is none.
# Needs root, dovecot-pop3d 2.3 and openssl. All of it stays on loopback and in a temporary folder.
# usage: contrib/test-against-dovecot.sh [arguments of cargo test]; KEEP=FILE keeps the whole output
# The cases that Dovecot fails are listed at the end. There are many, for its answers differ from ours by design.
set -eu
folder=$(mktemp -d)
plain=${PLAIN_PORT:-11810} tls=${TLS_PORT:-11895}
dovecot=
cleanup() {
    # The whole group, and not by asking: a child that reads a device through a Maildir never comes back.
    [ -z "$dovecot" ] || kill -s KILL -- "-$dovecot" || true
    rm -rf "$folder"
}
trap cleanup EXIT
trap 'exit 1' INT TERM HUP
chmod 755 "$folder"
mkdir "$folder/run" "$folder/lib" "$folder/mail" "$folder/index"
chown mail:mail "$folder/mail" "$folder/index"
(
    cd "$folder"
    openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 30 -subj "/CN=test authority"
    openssl req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj "/CN=localhost"
    printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\nbasicConstraints=CA:false\n' > names
    openssl x509 -req -in request.pem -CA ca.pem -CAkey ca.key -CAcreateserial -days 30 -out cert.pem -extfile names
) 2> "$folder/openssl.log"
cat > "$folder/dovecot.conf" <<C
base_dir = $folder/run
state_dir = $folder/lib
log_path = $folder/log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <$folder/cert.pem
ssl_key = <$folder/key.pem
disable_plaintext_auth = no
auth_mechanisms = plain login
auth_failure_delay = 0
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:$folder/mail/%u:INDEX=$folder/index/%u
mail_max_userip_connections = 0
pop3_lock_session = yes
pop3_uidl_format = %f
passdb {
  driver = static
  args = password=secret
}
userdb {
  driver = static
  args = uid=mail gid=mail home=$folder/mail/%u allow_all_users=yes
}
service anvil {
  # No waiting after wrong passwords.
  unix_listener anvil-auth-penalty {
    mode = 0
  }
}
service pop3-login {
  inet_listener pop3 {
    port = $plain
  }
  inet_listener pop3s {
    port = $tls
    ssl = yes
  }
}
C
setsid dovecot -F -c "$folder/dovecot.conf" &
dovecot=$!
until [ -f "$folder/run/master.pid" ]; do sleep 1; done
export POPPET_UNDER_TEST="127.0.0.1:$plain" POPPET_UNDER_TEST_TLS="127.0.0.1:$tls" POPPET_UNDER_TEST_CA="$folder/ca.pem"
export POPPET_UNDER_TEST_MAILDIR="$folder/mail/{user}" RUST_BACKTRACE=0
timeout 900 cargo test --no-fail-fast --test rfc1939 --test protocol --test cut --test truth --test hostile "$@" -- --test-threads=16 > "$folder/out" 2>&1 || true
[ -z "${KEEP:-}" ] || cp "$folder/out" "$KEEP"
grep -E '^test result|^test .* FAILED$' "$folder/out"
