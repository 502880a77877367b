#!/usr/bin/env python3
"""Measures poppet, Dovecot and Courier side by side, over the same Maildirs, and writes results.json.

Owns: what is measured, in which order, how often.
Does not know: how a server is started (servers.py), how a Maildir is laid (maildirs.py), how results look (draw.py).

Python 3.9 or later, its standard library, and openssl. As root it measures the peers that it finds; otherwise poppet
only. All traffic stays on loopback. docs/PERFORMANCE.md tells what the figures mean.
"""

import argparse
import json
import os
import platform
import resource
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True  # no caches in the source tree

import client
import maildirs
import servers
from client import Session

NAMES = {"poppet": "poppet", "dovecot": "Dovecot", "dovecot-hp": "Dovecot hp", "courier": "Courier"}
SESSIONS_AT_ONCE = 16
AHEAD = 16
IDLE_MESSAGES = 3
ENOUGH = 15.0  # seconds, after which nothing is measured once more


class Place:
    """The folder of a measurement: its mail, which later runs use again, and what servers write."""

    def __init__(self, folder):
        self.folder = os.path.abspath(folder)
        self.mail, self.state = self.folder + "/mail", self.folder + "/state"
        os.makedirs(self.mail, exist_ok=True)
        os.makedirs(self.state, exist_ok=True)
        if os.geteuid() == 0:
            os.chown(self.mail, *maildirs.OWNER)
        os.chmod(self.folder, 0o755)
        self.certificate, self.key = servers.certify(self.state)

    def maildir(self, user):
        return f"{self.mail}/{user}"


def main():
    options = arguments()
    descriptors = raise_descriptors(3 * max(options.idle + options.idle_poppet) + 1000)
    # A session takes a server of one process two: its socket, and the lock on its maildrop.
    options.idle, options.idle_poppet = (
        sorted({min(step, descriptors // 2 - 500) for step in steps}) for steps in (options.idle, options.idle_poppet)
    )
    # So that servers are ended then, too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended"))
    begin = time.monotonic()
    temporary = None if options.folder else tempfile.mkdtemp(prefix="performance-")
    try:
        place = Place(options.folder or temporary)
        results = measure(place, options)
    finally:
        if temporary:
            shutil.rmtree(temporary)
    results["seconds"] = round(time.monotonic() - begin)
    with open(options.results, "w") as file:
        json.dump(results, file, indent=1)
        file.write("\n")
    say(f"{options.results} is written; all took {results['seconds']} s")


def measure(place, options):
    for count in options.messages:
        say(f"laying {count:,} messages")
        maildirs.lay(place.maildir(f"m{count}"), count)
    maildirs.lay(place.maildir("download"), options.download, mixed=True)
    idle = max(options.idle + options.idle_poppet)
    for user in idle_users(idle) + rate_users():
        maildirs.lay(place.maildir(user), IDLE_MESSAGES)
    os.sync()
    users = [f"m{count}" for count in options.messages] + ["download"] + rate_users()
    results = {
        "date": time.strftime("%Y-%m-%d"),
        "machine": machine(place),
        "quick": options.quick,
        "download_messages": options.download,
        "client": own_limits(place, options),
        "servers": [],
        "skipped": [],
    }
    for slug in options.servers:
        try:
            results["servers"].append(measure_server(slug, place, users, options))
        except (servers.Missing, OSError) as error:
            say(f"{NAMES[slug]}: skipped: {error}")
            results["skipped"].append({"name": NAMES[slug], "why": str(error)})
    return results


def measure_server(slug, place, users, options):
    for user in users + idle_users(max(options.idle + options.idle_poppet)):
        maildirs.forget(place.maildir(user))
    server = start(slug, place, users, options)
    try:
        say(f"{server.name} {server.version}")
        limit = max(options.messages) if slug == "poppet" else options.peers_up_to
        told = {"name": server.name, "version": server.version, "note": server.note}
        time.sleep(1)
        told["memory_kib"] = server.memory()
        told["messages"] = []
        for count in (count for count in options.messages if count <= limit):
            told["messages"].append(messages(server, place, count, options.runs))
            say("  " + ", ".join(f"{name} {value:,}" for name, value in told["messages"][-1].items()))
        told["download"] = download(server, place, options)
        say("  " + ", ".join(f"{name} {value}" for name, value in told["download"].items()))
        told["sessions"] = sessions(server, options)
        say("  " + ", ".join(f"{name} {value}" for name, value in told["sessions"].items()))
    finally:
        server.stop()
    steps = options.idle_poppet if slug == "poppet" else options.idle
    # Started anew for each: what earlier work has left in memory is not the idle sessions'.
    told["idle_plain"] = idle(slug, place, options, steps, False)
    told["idle_tls"] = idle(slug, place, options, steps, True)
    return told


def start(slug, place, users, options):
    if slug == "poppet":
        return servers.Poppet(place, users, options.poppet)
    if slug == "courier":
        return servers.Courier(place, users, options.courier)
    return {"dovecot": servers.Dovecot, "dovecot-hp": servers.DovecotHighPerformance}[slug](place, users)


def messages(server, place, count, runs):
    """All that depends on how many messages there are. Milliseconds, KiB."""
    user = f"m{count}"
    maildir = place.maildir(user)

    def forget():
        maildirs.forget(maildir)
        server.forget(user)

    told = {"count": count}
    told["first_login_ms"] = smallest(runs, lambda: log_in(server, user, count), before=forget)
    told["later_login_ms"] = smallest(runs + 2, lambda: log_in(server, user, count))
    delivered = []

    def deliver():
        delivered.append(maildirs.deliver(maildir, len(delivered)))
        time.sleep(0.1)

    told["delivered_login_ms"] = smallest(runs, lambda: log_in(server, user, count + len(delivered)), before=deliver)
    for name in delivered:
        maildirs.take_back(maildir, name)
    log_in(server, user, count)
    session = Session(server.plain).log_in(user)
    told["uidl_ms"] = smallest(runs, lambda: timed(lambda: session.fetch("UIDL")))
    told["list_ms"] = smallest(runs, lambda: timed(lambda: session.fetch("LIST")))
    time.sleep(0.5)
    told["memory_kib"] = server.memory()
    session.quit()
    return told


def log_in(server, user, count):
    """Milliseconds from the connection to the answer to STAT."""
    begin = time.perf_counter()
    session = Session(server.plain).log_in(user)
    stat = session.say("STAT")
    took = (time.perf_counter() - begin) * 1000
    session.quit()
    if int(stat.split()[1]) != count:
        raise SystemExit(f"{server.name}: {user} has {count} messages, but STAT says {stat}")
    return took


def download(server, place, options):
    """MB/s of a whole Maildir, by the way and by how many RETR are under way."""
    told = {}
    for way, port, tls in ways(server):
        for name in ("one_by_one", "ahead"):
            best = None
            for _ in range(options.runs if port else 0):
                session = Session(port, tls).log_in("download")
                least_octets = int(session.say("STAT").split()[2])
                if name == "ahead":
                    speed, octets = client.download_ahead(session, options.download, AHEAD)
                    if octets < least_octets:
                        raise SystemExit(f"{server.name}: {octets} octets came of {least_octets}")
                else:
                    speed = client.download_one_by_one(session, options.download, options.seconds)
                session.quit()
                best = max(best or 0, speed)
            told[f"{way}_{name}_mb_s"] = best and round(best, 1)
    return told


def sessions(server, options):
    told = {}
    for way, port, tls in ways(server):
        best, client_us = None, None
        for _ in range(2 if port else 0):
            rate, used = client.sessions_a_second(port, bool(tls), rate_users(), options.seconds)
            best, client_us = max(best or 0, rate), least(client_us, used)
        told[f"{way}_per_s"] = best and round(best)
        told[f"{way}_client_us"] = client_us and round(client_us)
    return told


def idle(slug, place, options, steps, tls):
    """Memory of the whole server while so many sessions have logged in and say nothing more. KiB."""
    # poppet learns of users as they come, so that those of later steps take no memory yet.
    server = start(slug, place, idle_users(1 if slug == "poppet" else max(steps)), options)
    told, opened = [], []
    port, context = (server.tls, client.tls_context()) if tls else (server.plain, None)
    try:
        begin = time.monotonic()
        for step in [0] + steps:
            if port is None or time.monotonic() - begin > options.idle_seconds:
                break
            server.know(idle_users(max(step, 1)))
            try:
                for user in idle_users(step)[len(opened) :]:
                    opened.append(Session(port, context).log_in(user))
            except OSError as error:
                say(f"  no more than {len(opened)} idle sessions: {error}")
                break
            time.sleep(1)
            told.append({"sessions": step, "memory_kib": server.memory()})
        # The first session of all is still there: nobody was thrown out meanwhile.
        if opened:
            opened[0].say("NOOP")
    finally:
        for session in opened:
            session.socket.close()
        server.stop()
    steps_told = ", ".join(f"{it['sessions']:,}: {it['memory_kib']:,}" for it in told)
    say(f"  idle, {'TLS' if tls else 'plain'}: {steps_told}")
    return told


def ways(server):
    return ("plain", server.plain, None), ("tls", server.tls, client.tls_context())


def own_limits(place, options):
    count, octets = options.download, 12_000
    told = {"cores": os.cpu_count()}
    for way, tls in (("plain", False), ("tls", True)):
        speed = max(client.own_limit(count, octets, place.certificate, place.key, tls) for _ in range(options.runs))
        told[f"{way}_ahead_mb_s"] = round(speed)
    say(f"this client's own limit: {told}")
    return told


def smallest(runs, measure_once, before=lambda: None):
    best, spent = None, 0
    for _ in range(runs):
        before()
        took = measure_once()
        best, spent = least(best, took), spent + took
        if spent > ENOUGH * 1000:
            break
    return round(best, 3)


def least(a, b):
    return b if a is None else min(a, b)


def timed(action):
    begin = time.perf_counter()
    action()
    return (time.perf_counter() - begin) * 1000


def idle_users(count):
    return [f"e{number}" for number in range(count)]


def rate_users():
    return [f"r{number}" for number in range(SESSIONS_AT_ONCE)]


def machine(place):
    with open("/proc/cpuinfo") as cpuinfo:
        models = [line.split(":", 1)[1].strip() for line in cpuinfo if line.startswith("model name")]
    with open("/proc/mounts") as mounts:
        fields = [line.split() for line in mounts]
    fits = [it[1:3] for it in fields if (place.folder + "/").startswith(it[1].rstrip("/") + "/")]
    return {
        "processor": models[0] if models else platform.machine(),
        "cores": os.cpu_count(),
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        "kernel": platform.release(),
        "file_system": max(fits, key=lambda fit: len(fit[0]))[1],
        "python": platform.python_version(),
    }


def raise_descriptors(wanted):
    """For the client, and for the servers, which inherit it. Gives how many there may be."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (max(most, wanted), max(most, wanted)))
        return max(most, wanted)
    except (ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
        return most


def say(line):
    print(time.strftime("%H:%M:%S ") + line, file=sys.stderr, flush=True)


def numbers(text):
    return sorted(int(part.replace("_", "")) for part in text.split(","))


def arguments():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description="Measures poppet beside Dovecot and Courier; writes results.json.")
    parser.add_argument("--poppet", default=here + "/../../target/release/poppet", help="the program (a release build)")
    parser.add_argument("--courier", help="folder into which Courier's packages were unpacked")
    parser.add_argument("--folder", help="where the mail is laid, and stays (default: a temporary one)")
    parser.add_argument("--results", default=here + "/results.json", help="the file to write")
    parser.add_argument("--servers", default=",".join(NAMES), help="of: " + ",".join(NAMES))
    parser.add_argument("--messages", type=numbers, default="1000,10000,100000,1000000", help="sizes of maildrops")
    parser.add_argument("--peers-up-to", type=int, default=100_000, help="the largest maildrop for the peers")
    parser.add_argument("--download", type=int, default=5_000, help="messages to download, 12 KiB on average")
    parser.add_argument("--idle", type=numbers, default="1,10,100,1000", help="idle sessions")
    parser.add_argument("--idle-poppet", type=numbers, default="1,10,100,1000,10000", help="the same for poppet")
    parser.add_argument("--idle-seconds", type=float, default=60, help="after which no more idle sessions are opened")
    parser.add_argument("--runs", type=int, default=3, help="how often; the smallest time counts")
    parser.add_argument("--seconds", type=float, default=3, help="of a run that counts sessions or slow downloads")
    parser.add_argument("--quick", action="store_true", help="small sizes, some seconds: whether it works at all")
    options = parser.parse_args()
    if options.quick:
        options.messages, options.download, options.runs, options.seconds = [100, 1000], 200, 1, 0.3
        options.idle = options.idle_poppet = [1, 10]
        servers.SETTLED = 0
    options.servers = options.servers.split(",")
    if unknown := [slug for slug in options.servers if slug not in NAMES]:
        parser.error(f"no such server: {unknown[0]}")
    return options


if __name__ == "__main__":
    main()
