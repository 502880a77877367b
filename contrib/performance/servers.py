"""The servers that are measured: how each is configured, started on loopback, and ended.

Owns: configurations, processes, what a process takes of memory.
Does not know: what is measured.

A server here is an object with `name`, `version`, `note`, `plain` and `tls` (ports; `tls` may be None), made by
starting it. Its users have the password `secret` and the Maildir MAIL/USER.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import time

from client import PASSWORD, Session
from maildirs import OWNER

# Seconds. A younger users file might still change within the same tick, so poppet reads it again at each login.
SETTLED = 3


class Missing(Exception):
    """This machine has not what the server needs."""


class Server:
    """What all have in common: a folder of its own, one process that all others descend from, an end."""

    note = ""

    def __init__(self, place, users):
        self.folder, self.mail, self.users = f"{place.state}/{self.slug}", place.mail, users
        self.certificate, self.key = place.certificate, place.key
        self.plain, self.tls = free_ports(2)
        shutil.rmtree(self.folder, ignore_errors=True)
        os.makedirs(self.folder)
        self.processes = []

    def run(self, *command, **settings):
        with open(self.folder + "/log", "ab") as log:
            streams = {"stdin": subprocess.DEVNULL, "stdout": log, "stderr": log}
            self.processes.append(subprocess.Popen(command, start_new_session=True, **streams, **settings))

    def ready(self):
        """Waits until each port greets."""
        for port in filter(None, (self.plain, self.tls)):
            until = time.monotonic() + 15
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), 1).close()
                    break
                except OSError:
                    if time.monotonic() > until or any(it.poll() is not None for it in self.processes):
                        self.stop()
                        with open(self.folder + "/log", errors="replace") as log:
                            raise Missing("does not start: " + log.read()[-500:])
                    time.sleep(0.05)
        Session(self.plain).quit()

    def stop(self):
        for process in reversed(self.processes):
            descendants = family([process.pid])[1:]
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            # Sessions of a peer may outlive its listener.
            for pid in family(descendants):
                try:
                    os.kill(pid, signal.SIGTERM)
                except ProcessLookupError:
                    pass
        self.processes = []

    def know(self, users):
        """From now on there are these users; where users cost memory, only these do."""

    def forget(self, user):
        """Removes what the server remembers of a user outside the Maildir."""

    def memory(self):
        """PSS of all its processes, in KiB: pages that several share are divided among them."""
        return sum(proportional(pid) for pid in family([it.pid for it in self.processes]))


class Poppet(Server):
    name, slug = "poppet", "poppet"

    def __init__(self, place, users, binary):
        super().__init__(place, users)
        # Whoever owns the mail must be able to reach the program.
        shutil.copy(binary, self.folder + "/poppet")
        self.version = output(self.folder + "/poppet", "--version").split()[-1]
        with open(self.folder + "/poppet.toml", "w") as file:
            file.write(POPPET.format(it=self))
        settings = {}
        if os.geteuid() == 0:
            settings = {"user": OWNER[0], "group": OWNER[1], "extra_groups": []}
        self.know(users)
        self.run(self.folder + "/poppet", "serve", "--config", self.folder + "/poppet.toml", **settings)
        self.ready()


    def know(self, users):
        with open(self.folder + "/users.new", "w") as file:
            file.writelines(f"{user}:{{PLAIN}}{PASSWORD}\n" for user in users)
        os.chmod(self.folder + "/users.new", 0o600)
        if os.geteuid() == 0:
            os.chown(self.folder + "/users.new", *OWNER)
        os.rename(self.folder + "/users.new", self.folder + "/users")
        time.sleep(SETTLED)


class Dovecot(Server):
    name, slug = "Dovecot", "dovecot"
    note = "as installed, its limits raised"
    login, pop3 = "", ""

    def __init__(self, place, users):
        needs_root()
        if not shutil.which("dovecot") or not os.path.exists("/usr/lib/dovecot/pop3"):
            raise Missing("needs dovecot-pop3d")
        super().__init__(place, users)
        self.version = output("dovecot", "--version").split()[0]
        for folder in ("run", "lib", "index"):
            os.mkdir(f"{self.folder}/{folder}")
        os.chown(self.folder + "/index", *OWNER)
        with open(self.folder + "/dovecot.conf", "w") as file:
            file.write(DOVECOT.format(it=self))
        self.run("dovecot", "-F", "-c", self.folder + "/dovecot.conf")
        self.ready()

    def forget(self, user):
        shutil.rmtree(f"{self.folder}/index/{user}", ignore_errors=True)


class DovecotHighPerformance(Dovecot):
    name, slug = "Dovecot hp", "dovecot-hp"
    note = "its high-performance mode: processes serve many clients"
    login = f"service_count = 0\n  process_min_avail = {os.cpu_count()}\n  client_limit = 2000"
    pop3 = "service_count = 0\n  client_limit = 200"


class Courier(Server):
    """Courier, from a folder into which its packages were unpacked.

    It has its paths built in, so it runs in a mount namespace of its own, where that folder lies over `/`.
    """

    name, slug = "Courier", "courier"
    note = "as installed, its limits raised"

    def __init__(self, place, users, unpacked):
        needs_root()
        if not unpacked or not os.path.exists(unpacked + "/usr/lib/courier/courier/courierpop3d"):
            raise Missing("needs the folder that courier-pop was unpacked into: --courier")
        super().__init__(place, users)
        unpacked = os.path.abspath(unpacked)
        self.version = courier_version(unpacked)
        for folder in ("etc", "run/authdaemon", "place/courier"):
            os.makedirs(f"{self.folder}/{folder}")
        hashed = output("openssl", "passwd", "-1", PASSWORD).strip()
        owner, group = OWNER
        self.write("etc/authdaemonrc", AUTHDAEMONRC)
        user = f"uid={owner}|gid={group}|home={self.mail}|mail={self.mail}/{{0}}|systempw={hashed}\n"
        self.write("etc/userdb", "".join(f"{it}\t{user.format(it)}" for it in users))
        with open(self.certificate) as certificate, open(self.key) as key:
            self.write("etc/pop3d.pem", key.read() + certificate.read())
        # One process holds the name space: the others are its children, so that memory and the end are found by it.
        self.write("start", COURIER.format(it=self, unpacked=unpacked))
        self.run("unshare", "--mount", "sh", self.folder + "/start")
        self.ready()

    def write(self, path, text):
        with open(f"{self.folder}/{path}", "w") as file:
            os.chmod(file.fileno(), 0o600)
            file.write(text)

    def memory(self):
        shell = self.processes[0].pid
        return super().memory() - proportional(shell)


def family(pids):
    """These processes and all that descend from them."""
    children = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as stat:
                    parent = int(stat.read().rpartition(")")[2].split()[1])
            except (FileNotFoundError, ProcessLookupError):
                continue
            children.setdefault(parent, []).append(int(entry))
    found = list(pids)
    for pid in found:
        found += children.get(pid, [])
    return found


def proportional(pid):
    try:
        with open(f"/proc/{pid}/smaps_rollup") as rollup:
            return int(re.search(r"^Pss:\s+(\d+)", rollup.read(), re.M)[1])
    except (FileNotFoundError, ProcessLookupError, TypeError):
        return 0


def free_ports(count):
    """Ports that nobody has, below those that the kernel gives to clients."""
    found, port = [], 12_000 + os.getpid() % 5_000
    while len(found) < count:
        port += 1
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
                found.append(port)
            except OSError:
                pass
    return found


def certify(folder):
    """A key and a certificate for localhost, ECDSA P-256 as public authorities give them today."""
    certificate, key = folder + "/cert.pem", folder + "/key.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    output(*command.split(), *names, "-keyout", key, "-out", certificate)
    if os.geteuid() == 0:
        os.chown(key, *OWNER)
    return certificate, key


def courier_version(unpacked):
    try:
        import gzip
        with gzip.open(unpacked + "/usr/share/doc/courier-pop/changelog.Debian.gz", "rt") as changes:
            return re.search(r"\((.*?)\)", changes.readline())[1]
    except OSError:
        return "?"


def needs_root():
    if os.geteuid() != 0:
        raise Missing("needs root")


def output(*command):
    return subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE).stdout


POPPET = """\
[listen]
pop3 = ["127.0.0.1:{it.plain}"]
pop3s = ["127.0.0.1:{it.tls}"]
[tls]
certificate = "{it.certificate}"
private-key = "{it.key}"
[mail]
maildir = "{it.mail}/{{user}}"
[users]
file = "users"
[limits]
connections = 100000
connections-per-address = 100000
"""

DOVECOT = """\
base_dir = {it.folder}/run
state_dir = {it.folder}/lib
log_path = {it.folder}/log
protocols = pop3
listen = 127.0.0.1
ssl = yes
ssl_cert = <{it.certificate}
ssl_key = <{it.key}
disable_plaintext_auth = no
mail_uid = mail
mail_gid = mail
first_valid_uid = 1
first_valid_gid = 1
mail_location = maildir:{it.mail}/%u:INDEX={it.folder}/index/%u
mail_max_userip_connections = 0
default_client_limit = 40000
default_process_limit = 2000
passdb {{
  driver = static
  args = password=secret
}}
userdb {{
  driver = static
  args = uid=mail gid=mail home={it.mail}/%u allow_all_users=yes
}}
service pop3-login {{
  inet_listener pop3 {{
    port = {it.plain}
  }}
  inet_listener pop3s {{
    port = {it.tls}
    ssl = yes
  }}
  {it.login}
  vsz_limit = 2G
}}
service pop3 {{
  process_limit = 2000
  {it.pop3}
  vsz_limit = 4G
}}
"""

AUTHDAEMONRC = """\
authmodulelist="authuserdb"
authmodulelistorig="authuserdb"
daemons=5
authdaemonvar=/run/courier/authdaemon
DEBUG_LOGIN=0
DEFAULTOPTIONS=""
LOGGEROPTS=""
"""

COURIER = """\
set -e
over() {{ mount -t overlay overlay -o "lowerdir=$1" "$2"; }}
over "{unpacked}/usr:/usr" /usr
over "{unpacked}/etc:/etc" /etc
over "{it.folder}/place:/run" /run
mount --bind {it.folder}/etc /etc/courier
mount --bind {it.folder}/run /run/courier
makeuserdb
trap 'kill $(jobs -p); exit 0' TERM
/usr/lib/courier/courier-authlib/authdaemond &
export POP3AUTH= MAILDIRPATH=Maildir
tcpd="couriertcpd -address=127.0.0.1 -maxprocs=4000 -maxperip=4000 -maxperc=4000 -nodnslookup -noidentlookup"
pop3="/usr/lib/courier/courier/courierpop3login /usr/lib/courier/courier/courierpop3d Maildir"
POP3_TLS=0 $tcpd {it.plain} $pop3 &
TLS_CERTFILE=/etc/courier/pop3d.pem TLS_VERIFYPEER=NONE POP3_TLS=1 POP3_STARTTLS=NO \\
    $tcpd {it.tls} /usr/bin/couriertls -server -tcpd -user=mail $pop3 &
wait
"""
