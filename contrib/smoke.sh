#!/bin/sh
# Starts the demo of a program just built, types the curl lines that it prints, and ends it.
# usage: contrib/smoke.sh COMMAND...     COMMAND runs poppet: a path, or qemu-aarch64-static and a path
# Needs curl, and ports 1110 and 1995 of 127.0.0.1.
set -eu
[ $# -gt 0 ] || { sed -n '2,4s/^# //p' "$0" >&2; exit 2; }

folder=$(mktemp -d)
"$@" demo >"$folder/said" 2>&1 &
demo=$!
end() {
    if kill -TERM "$demo" 2>/dev/null; then wait "$demo" || true; fi
    rm -rf "$folder"
}
trap end EXIT
fail() {
    echo "$*" >&2
    cat "$folder/said" >&2
    exit 1
}

tries=0
until curl --silent --output "$folder/greeting" --user nobody:nothing pop3://127.0.0.1:1110/ || [ $? = 67 ]; do
    tries=$((tries + 1))
    if [ $tries = 300 ] || ! kill -0 "$demo" 2>/dev/null; then fail "the demo does not come up"; fi
    sleep 0.1
done

sed -n 's/^ *\(curl .*\)/\1/p' "$folder/said" >"$folder/lines"
[ -s "$folder/lines" ] || fail "the demo prints no curl line"
while read -r line; do
    sh -c "$line" >>"$folder/mail" 2>>"$folder/said" </dev/null || fail "failed: $line"
done <"$folder/lines"
grep -q '^Subject: ' "$folder/mail" || fail "none of that fetched a message"
echo "$*: the demo gave $(wc -c <"$folder/mail") octets to $(wc -l <"$folder/lines") curls"
