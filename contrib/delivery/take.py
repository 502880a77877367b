"""Fetches and deletes the mail of ada until so many messages have come, each once, and nothing remains.

usage: take.py PORT HOW-MANY
"""

import poplib
import sys
import time

port, expected = int(sys.argv[1]), int(sys.argv[2])
subjects, ids, sessions = [], [], 0
until = time.monotonic() + 60
while len(subjects) < expected:
    if time.monotonic() > until:
        sys.exit(f"{len(subjects)} of {expected} have come: {sorted(subjects)}")
    client = poplib.POP3("127.0.0.1", port, timeout=20)
    client.user("ada")
    client.pass_("secret")
    for line in client.uidl()[1]:
        number, unique_id = line.decode().split()
        text = client.retr(int(number))[1]
        subjects += [row.decode() for row in text if row.startswith(b"Subject: ")]
        ids.append(unique_id)
        client.dele(int(number))
    client.quit()
    sessions += 1
client = poplib.POP3("127.0.0.1", port, timeout=20)
client.user("ada")
client.pass_("secret")
remain = client.stat()[0]
client.quit()
assert len(subjects) == len(set(subjects)) == len(set(ids)) == expected, sorted(subjects)
assert remain == 0, remain
print(f"{len(subjects)} messages in {sessions} sessions, each once, and none remains")
