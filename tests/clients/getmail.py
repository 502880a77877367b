"""What getmail6 writes for messages that it got: its own code is asked.

Reads and writes messages one behind the other, each with its length as 8 octets, big-endian, before it.
"""

import sys

from getmailcore.message import Message

while length := sys.stdin.buffer.read(8):
    octets = sys.stdin.buffer.read(int.from_bytes(length, "big"))
    # As its retriever has it: one empty line more than there are.
    lines = octets.split(b"\r\n")
    written = Message(fromlines=lines).flatten(delivered_to=False, received=False)
    sys.stdout.buffer.write(len(written).to_bytes(8, "big") + written)
