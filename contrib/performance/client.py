"""A POP3 client that keeps out of the way of what it measures.

Owns: one session, downloads, many sessions at once, and what this client itself could do at most.
Does not know: which server it talks to, where its mail is.
"""

import os
import socket
import ssl
import time

PASSWORD = "secret"
TIMEOUT = 300  # seconds
END = b"\r\n.\r\n"


class Session:
    """A connection that has read the greeting."""

    def __init__(self, port, tls=None, source=""):
        self.socket = socket.create_connection(("127.0.0.1", port), TIMEOUT, (source, 0))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = tls.wrap_socket(self.socket)
        self._answer()

    def say(self, command):
        """Sends a command, gives the one line of its answer."""
        self.socket.sendall(command.encode() + b"\r\n")
        return self._answer()

    def log_in(self, user):
        self.say("USER " + user)
        self.say("PASS " + PASSWORD)
        return self

    def fetch(self, command):
        """Sends a command whose answer has many lines, gives how many octets came."""
        self.socket.sendall(command.encode() + b"\r\n")
        octets, tail = 0, b""
        while not tail.endswith(END):
            got = self._receive()
            octets += len(got)
            tail = tail[-5:] + got if len(got) < 5 else got
            if octets == len(got) and got.startswith(b"-"):
                raise OSError(f"{command}: {got!r}")
        return octets

    def quit(self):
        """QUIT, and waits until the server has closed: then the maildrop is free again."""
        self.say("QUIT")
        try:
            while self.socket.recv(4096):
                pass
        except OSError:
            pass
        self.socket.close()

    def _answer(self):
        line = b""
        while not line.endswith(b"\n"):
            line += self._receive()
        if not line.startswith(b"+OK"):
            raise OSError(f"the server says {line!r}")
        return line.decode().rstrip()

    def _receive(self):
        got = self.socket.recv(262_144)
        if not got:
            raise OSError("the server has closed")
        return got


def tls_context():
    """For a server with a certificate that nobody vouches for."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def download_one_by_one(session, count, seconds):
    """RETR of each message, the next when the last is there; for so long at most. Gives MB/s (10^6 octets)."""
    octets, begin = 0, time.perf_counter()
    for number in range(1, count + 1):
        octets += session.fetch(f"RETR {number}")
        if time.perf_counter() - begin > seconds:
            break
    return octets / (time.perf_counter() - begin) / 1e6


def download_ahead(session, count, ahead=16):
    """RETR of each message, with so many under way. Gives MB/s (10^6 octets) and the octets."""
    begin = time.perf_counter()
    sent, done, octets, tail = 0, 0, 0, b""
    while done < count:
        until = min(count, done + ahead)
        # In batches of half the window, so that the client does not spend its time on writing.
        if until - sent >= ahead // 2 or (until == count and sent < until):
            session.socket.sendall(b"".join(b"RETR %d\r\n" % (number + 1) for number in range(sent, until)))
            sent = until
        got = session._receive()
        octets += len(got)
        done += (tail + got).count(END)
        tail = (tail + got)[-4:] if len(got) < 4 else got[-4:]
    return octets / (time.perf_counter() - begin) / 1e6, octets


def sessions_a_second(port, tls, users, seconds):
    """Whole sessions (connect, USER, PASS, STAT, QUIT), a client process for each user.

    Gives sessions a second, and the processor time that the client itself took for one, in microseconds.
    """
    start = time.monotonic() + 0.3
    before = os.times()
    readers = [_visitor(port, tls, user, f"127.0.0.{2 + at}", start, start + seconds) for at, user in enumerate(users)]
    rate, done = 0, 0
    for child, reader in readers:
        with os.fdopen(reader) as pipe:
            told = pipe.read()
        os.waitpid(child, 0)
        if told.startswith("failed"):
            raise OSError("a client " + told)
        # Each by its own time: its last session ends some time behind the others'.
        visits, took = told.split()
        rate += int(visits) / float(took)
        done += int(visits)
    after = os.times()
    busy = after.children_user + after.children_system - before.children_user - before.children_system
    return rate, busy / max(done, 1) * 1e6


def _visitor(port, tls, user, source, start, end):
    reader, writer = os.pipe()
    child = os.fork()
    if child:
        os.close(writer)
        return child, reader
    told, done = "failed", 0
    try:
        context = tls_context() if tls else None
        time.sleep(max(0, start - time.monotonic()))
        while time.monotonic() < end:
            session = Session(port, context, source).log_in(user)
            session.say("STAT")
            session.quit()
            done += 1
        told = f"{done} {time.monotonic() - start}"
    except Exception as error:
        told = f"failed: {type(error).__name__}: {error}"
    finally:
        os.write(writer, told.encode())
        os._exit(0)


def own_limit(count, octets, certificate, key, tls):
    """What `download_ahead` reaches with a program that sends one prepared stream, whatever it is asked. MB/s."""
    body = (b"The quick brown fox jumps over the lazy dog.\r\n" * (octets // 46 + 1))[:octets]
    listener = socket.create_server(("127.0.0.1", 0))
    child = os.fork()
    if child == 0:
        _send_prepared(listener, (b"+OK\r\n" + body + END) * count, certificate, key, tls)
    try:
        session = Session(listener.getsockname()[1], tls_context() if tls else None)
        speed = download_ahead(session, count)[0]
        session.socket.close()
        return speed
    finally:
        os.waitpid(child, 0)
        listener.close()


def _send_prepared(listener, stream, certificate, key, tls):
    try:
        listener.settimeout(20)
        peer = listener.accept()[0]
        peer.settimeout(60)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate, key)
            peer = context.wrap_socket(peer, server_side=True)
        peer.sendall(b"+OK\r\n")
        peer.recv(4096)
        for at in range(0, len(stream), 262_144):
            peer.sendall(stream[at : at + 262_144])
        # The commands are read last: they fit into the socket's buffer.
        while peer.recv(65_536):
            pass
    finally:
        os._exit(0)
