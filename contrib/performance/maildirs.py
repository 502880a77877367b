"""Maildirs to measure with: how they are laid, delivered to, and brought back to what they were.

Does not know: any server.
"""

import os
import random

OWNER = 8, 8  # mail and its group on Debian; used as root only
OCTETS = 500, 3500  # of a small message, evenly spread; an ext4 file takes 4 KiB of disk either way


def lay(path, count, mixed=False):
    """Puts `count` messages into `path`/cur: small ones, or `mixed`, of 12 KiB on average.

    What an earlier run has laid is read instead, so that it is in memory as if it were fresh.
    All are read already (flag S), and no name tells a size, so that each server has to find out. The same each time.
    """
    laid = path + f".laid-{count}"
    if os.path.exists(laid):
        return warm(path)
    os.makedirs(path, exist_ok=True)
    if os.geteuid() == 0:
        os.chown(path, *OWNER)
    workers = min(os.cpu_count(), 1 + count // 20_000)
    children = []
    for worker in range(workers):
        child = os.fork()
        if child == 0:
            os._exit(_lay_share(path, range(worker, count, workers), mixed))
        children.append(child)
    if any([os.waitpid(child, 0)[1] for child in children]):
        raise OSError(f"cannot lay {path}")
    open(laid, "w").close()


def _lay_share(path, share, mixed):
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(OWNER[1])
        os.setuid(OWNER[0])
    for folder in ("new", "cur", "tmp"):
        os.makedirs(f"{path}/{folder}", exist_ok=True)
    cur = os.open(path + "/cur", os.O_RDONLY)
    for number in share:
        name = f"{1_600_000_000 + number}.M{number % 1_000_000:06}P4711.host.example.org:2,S"
        file = os.open(name, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600, dir_fd=cur)
        os.write(file, _message(number, mixed))
        os.close(file)
    return 0


def _message(number, mixed):
    draw = random.Random(number)
    octets = int(draw.lognormvariate(8.3, 1.5)) if mixed else draw.randint(*OCTETS)
    head = (
        f"Return-Path: <bob@example.org>\nFrom: Bob <bob@example.org>\nTo: Ada <ada@example.net>\n"
        f"Subject: Message {number}\nMessage-ID: <{number}@example.org>\nDate: Mon, 14 Sep 2020 12:26:40 +0000\n\n"
    )
    return head.encode() + LINES[: max(0, min(octets, len(LINES)) - len(head))] + b"\n"


def warm(path):
    """Reads every message, so that no server pays for the disk."""
    for entry in os.scandir(path + "/cur"):
        with open(entry.path, "rb", 0) as file:
            file.read()


def deliver(path, number):
    """One more message, as a delivery agent puts it there; gives its name."""
    name = f"{1_700_000_000 + number}.M0P{number}.host.example.org"
    with open(f"{path}/tmp/{name}", "wb") as file:
        file.write(_message(number, False))
    if os.geteuid() == 0:
        os.chown(f"{path}/tmp/{name}", *OWNER)
    os.rename(f"{path}/tmp/{name}", f"{path}/new/{name}")
    return name


def take_back(path, name):
    """Removes a delivered message, wherever a server has put it and whatever flags it has now."""
    for folder in ("new", "cur"):
        for suffix in ("", ":2,", ":2,S"):
            try:
                os.unlink(f"{path}/{folder}/{name}{suffix}")
            except FileNotFoundError:
                pass


def forget(path):
    """Removes what servers have written beside the messages."""
    for entry in os.scandir(path):
        if entry.is_file(follow_symlinks=False):
            os.unlink(entry.path)


# One line in forty begins with a dot, as in mail that quotes code.
LINES = b"".join(
    b"%sThe quick brown fox jumps over the lazy dog, line %04d.\n" % (b"." * (number % 40 == 0), number)
    for number in range(9000)
)
