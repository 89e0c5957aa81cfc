"""nodes.py: real nodes, for tests and benches that look at them from outside.

    node = Node(build)                      a folder of its own, a port of its own; .start() again after .kill()
    node.ask("PUT", "/v1/functions/f", module)
    node.call("f", b"input")                Answer: .status, .body, .headers
    build_guest(build, "test/e2e/faaslet/chaos.c")    the bytes of a compiled Faaslet, compiled once
    Cluster(build, 3)                       .nodes of one cluster, each reached by the others through .relays

And what TAP programs here share: Tap. Whatever happens, no process and no folder is left at the end of the program;
when it is killed, its processes are too. node.py has a node that is asked by commands, cluster.py several that are
asked by tenant and key."""
import atexit
import collections
import hashlib
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
Answer = collections.namedtuple("Answer", "status body headers")
started = []


class Tap:
    """One line for each test; with arguments, only those whose names are among them."""

    def __init__(self, only=()):
        self.count = self.failed = 0
        self.only = list(only)
        self.tests = []

    def test(self, function):
        self.tests.append(function)
        return function

    def note(self, *words):
        print("#", *words)
        sys.stdout.flush()

    def run(self):
        for function in self.tests:
            name = function.__name__.replace("_", " ")
            if self.only and function.__name__ not in self.only:
                continue
            self.count += 1
            begun = time.monotonic()
            try:
                reason = function()
                skipped = f" # SKIP {reason}" if isinstance(reason, str) else ""
                print(f"ok {self.count} - {name}{skipped}")
            except Exception as why:  # whatever it is, the next tests still run
                self.failed += 1
                print(f"not ok {self.count} - {name}")
                for line in f"{type(why).__name__}: {why}".splitlines():
                    print("#", line)
                trace = why.__traceback__
                while trace:
                    print(f"#   {trace.tb_frame.f_code.co_filename}:{trace.tb_lineno}")
                    trace = trace.tb_next
            print(f"# {time.monotonic() - begun:.1f} s")
            sys.stdout.flush()
        return self.finish()

    def finish(self):
        print(f"1..{self.count}")
        return 1 if self.failed or not self.count else 0


def check(condition, *shown):
    if not condition:
        raise AssertionError(" ".join(str(s) for s in shown) or "check failed")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def build_guest(build, source, *flags):
    """Compiled once for each content of the source and of the SDK."""
    path = os.path.join(ROOT, source)
    digest = hashlib.sha256()
    for part in (path, os.path.join(ROOT, "sdk/faaslet.h")):
        digest.update(open(part, "rb").read())
    digest.update(" ".join(flags).encode())
    where = os.path.join(build, "test-guests")
    os.makedirs(where, exist_ok=True)
    out = os.path.join(where, f"{os.path.basename(source)}-{digest.hexdigest()[:16]}.wasm")
    if not os.path.exists(out):
        part = f"{out}.{os.getpid()}"
        done = subprocess.run([os.path.join(build, "wardmote"), "build", *(flags or ("--faaslet",)), path, "-o", part],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if done.returncode:
            raise RuntimeError(f"{source}: {done.stdout}")
        os.rename(part, out)
    with open(out, "rb") as f:
        return f.read()


def within(netns):
    """Before a command that is to run in that namespace. Not `ip netns exec`: that hides the control groups."""
    return ["nsenter", f"--net=/run/netns/{netns}", "--"] if netns else []


def begin(command, netns=None, **options):
    """A process that ends with this one."""
    return subprocess.Popen(["setpriv", "--pdeathsig", "KILL", "--"] + within(netns) + command, **options)


class Unix(http.client.HTTPConnection):
    """HTTP to a socket whose path may be longer than sun_path: through its folder."""

    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        here = os.open(os.path.dirname(self.path), os.O_PATH)
        try:
            self.sock.connect(f"/proc/self/fd/{here}/{os.path.basename(self.path)}")
        finally:
            os.close(here)


class Node:
    timeout = 30  # of a request, in seconds

    def __init__(self, build, *flags, start=True, env=None, netns=None, name=None):
        self.build, self.flags, self.netns, self.name = os.path.abspath(build), list(flags), netns, name
        self.flags += ["--name", name] if name else []
        self.data = tempfile.mkdtemp(prefix=f"wm-chaos-{os.getpid()}-")
        self.port = free_port()
        self.address = "127.0.0.1"
        self.env = dict(os.environ, WARDMOTE_WASMC=os.path.join(self.build, "wardmote-wasmc"), **(env or {}))
        self.process = None
        self.starts = 0
        started.append(self)
        if start:
            self.start()

    def start(self, wait_s=20):
        log = open(self.data + ".log", "ab")
        command = [os.path.join(self.build, "wardmote-node"), "--data", self.data, "--listen",
                   f"{self.address}:{self.port}", *self.flags]
        until = time.monotonic() + wait_s
        while True:
            self.process = begin(command, self.netns, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, env=self.env)
            line = self.process.stdout.readline()
            if line.startswith(b"listening on"):
                break
            self.process.stdout.close()
            status = self.process.wait()
            if time.monotonic() > until:
                raise RuntimeError(f"the node does not start (status {status}): {self.log()[-2000:]}")
            time.sleep(0.1)
        log.close()
        self.starts += 1
        return self

    def log(self):
        with open(self.data + ".log", errors="replace") as f:
            return f.read()

    def alive(self):
        return self.process is not None and self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        self.process.send_signal(number)
        status = self.process.wait(60)
        self.process.stdout.close()
        return status

    def workers(self):
        return [pid for pid, name in children(self.process.pid) if name.startswith("wardmote-worker"[:15])]

    def connect(self, timeout=None, unix=True):
        timeout = timeout or self.timeout
        return Unix(self.data + "/node.sock", timeout) if unix else \
            http.client.HTTPConnection(self.address, self.port, timeout=timeout)

    def ask(self, method, path, body=None, timeout=None, token=None, headers=None, unix=None):
        """One request on a connection of its own; without a token as the node's administrator."""
        connection = self.connect(timeout, not token if unix is None else unix)
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = "Bearer " + token
        try:
            return ask(connection, method, path, body, headers)
        finally:
            connection.close()

    def json(self, method, path, body=None, **options):
        answer = self.ask(method, path, body, **options)
        check(answer.status < 300, method, path, answer.status, answer.body[:500])
        return json.loads(answer.body) if answer.body else None

    def put(self, name, module, tenant=None, query=""):
        parts = ([f"tenant={tenant}"] if tenant else []) + ([query] if query else [])
        return self.json("PUT", f"/v1/functions/{name}?" + "&".join(parts), module, timeout=120)

    def call(self, name, body=b"", tenant=None, query="", **options):
        parts = ([f"tenant={tenant}"] if tenant else []) + ([query] if query else [])
        return self.ask("POST", f"/v1/call/{name}?" + "&".join(parts), body, **options)

    def tenant(self, name, **settings):
        return self.json("PUT", f"/v1/tenants/{name}", settings)

    def token(self, tenant, role):
        return self.json("POST", f"/v1/tenants/{tenant}/tokens", {"role": role})["token"]

    def stop(self):
        """Its exit status; 0 of one that is not running."""
        return self.kill(signal.SIGTERM) if self.alive() else 0

    def remove(self):
        if self.alive():
            self.kill()
        shutil.rmtree(self.data, ignore_errors=True)
        if os.path.exists(self.data + ".log") and not os.environ.get("KEEP_LOGS"):
            os.unlink(self.data + ".log")


class Relay:
    """relay.c before a port of loopback; .port is its own. In namespaces: listen_ns and connect_ns."""

    def __init__(self, build, port, listen_ns=None, connect_ns=None, seed=1):
        options = ["--seed", str(seed)]
        for option, name in (("--listen-ns", listen_ns), ("--connect-ns", connect_ns)):
            options += [option, name] if name else []
        self.process = begin([os.path.join(build, "test/relay"), *options, "127.0.0.1:0", f"127.0.0.1:{port}"],
                             stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        line = self.process.stdout.readline()
        check(line.startswith("listening "), "no relay before port", port)
        self.port = int(line.rsplit(":", 1)[1])
        started.append(self)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        check(answer and not answer.startswith("error"), line, answer)
        return answer

    def remove(self):
        self.process.kill()
        self.process.wait()


class Cluster:
    """Nodes n1 ... of one cluster. Each reaches each other one through a relay: .relays[from, to], from 0.

    relays False: without; then one node is one without peers. nets: a namespace for each, and one more for Redis, which
    each node then reaches through a relay too (to: "redis"). node: the class of the nodes."""

    def __init__(self, build, count, redis=None, flags=(), nets=None, relays=True, node=Node, start=True):
        ports = [free_port() for _ in range(count)]
        nets = nets or [None] * count
        pairs = [(a, b) for a in range(count) for b in range(count) if relays and a != b]
        self.relays = {(a, b): Relay(build, ports[b], nets[a], nets[b]) for a, b in pairs}
        if redis and redis.netns:
            self.relays.update({(a, "redis"): Relay(build, redis.port, nets[a], redis.netns) for a in range(count)})
        with tempfile.NamedTemporaryFile("wb", prefix=f"wm-key-{os.getpid()}-", delete=False) as f:
            f.write(os.urandom(32))
            self.key = f.name
        started.append(self)
        self.nodes = []
        for a in range(count):
            all_flags = list(flags)
            if count > 1 or relays:
                at = [self.relays[a, b].port if (a, b) in self.relays else ports[b] for b in range(count)]
                peers = ",".join(f"n{b + 1}=127.0.0.1:{port}" for b, port in enumerate(at))
                all_flags += ["--cluster-key", self.key, "--peers", peers]
            if redis:
                all_flags += ["--tier", f"redis:127.0.0.1:{self.relays.get((a, 'redis'), redis).port}"]
            self.nodes.append(node(build, *all_flags, start=start, netns=nets[a], name=f"n{a + 1}"))

    def wait_alive(self, seconds=15):
        """Those that run see each other."""
        up = [node for node in self.nodes if node.alive()]
        names = {node.name for node in up}

        def seen():
            told = [node.json("GET", "/v1/node").get("peers", []) for node in up]
            return all(p["state"] in ("alive", "this node") for peers in told for p in peers if p["name"] in names)
        check(wait_for(seen, seconds), "the nodes do not find each other")

    def links_of(self, a):
        return [self.relays[link] for link in self.relays if a in link]

    def put(self, name, module):
        for node in self.nodes:
            node.put(name, module)

    def remove(self):
        for node in self.nodes:
            node.remove()
        for relay in self.relays.values():
            relay.remove()
        if os.path.exists(self.key):
            os.unlink(self.key)


def ask(connection, method, path, body=None, headers=None):
    if isinstance(body, (dict, list)):
        body = json.dumps(body)
    connection.request(method, path, body, headers or {})
    answer = connection.getresponse()
    return Answer(answer.status, answer.read(), answer.headers)


def children(pid):
    """(process, name) of each child."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as f:
                    name, rest = re.match(r"\d+ \((.*)\) (.*)", f.read(), re.S).groups()
            except (OSError, AttributeError):
                continue
            if int(rest.split()[1]) == pid and rest[0] != "Z":
                found.append((int(entry), name))
    return found


def gone(pid):
    try:
        with open(f"/proc/{pid}/stat") as f:
            return f.read().rsplit(")", 1)[1].split()[0] in "ZX"
    except OSError:
        return True


def memory_kb(pid, field="VmRSS"):
    with open(f"/proc/{pid}/status") as f:
        return int(re.search(field + r":\s+(\d+)", f.read()).group(1))


def descriptors(pid):
    return len(os.listdir(f"/proc/{pid}/fd"))


def metric(node, name):
    text = node.ask("GET", "/metrics").body.decode()
    found = re.findall(r"^" + name + r"(?:\{[^}]*\})? (\S+)$", text, re.M)
    return sum(float(value) for value in found)


def wait_for(what, seconds, step=0.05):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if what():
            return True
        time.sleep(step)
    return bool(what())


class Redis:
    """lasts: what it has acknowledged is on the disk."""

    def __init__(self, netns=None, lasts=True):
        self.netns, self.lasts = netns, lasts
        self.folder = tempfile.mkdtemp(prefix=f"wm-redis-{os.getpid()}-")
        self.port = free_port()
        self.process = None
        started.append(self)

    @staticmethod
    def here():
        return shutil.which("redis-server") is not None

    def start(self):
        self.process = begin(
            ["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--dir", self.folder, "--appendonly",
             "yes" if self.lasts else "no", "--appendfsync", "always", "--save", "", "--logfile", self.folder + "/log",
             "--unixsocket", self.folder + "/socket"], self.netns, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        def up():
            try:
                with socket.socket(socket.AF_UNIX) as s:
                    s.settimeout(1)
                    s.connect(self.folder + "/socket")
                    s.sendall(b"PING\r\n")
                    return s.recv(64).startswith(b"+PONG")
            except OSError:
                return False
        check(wait_for(up, 20), "redis does not start")
        return self

    def kill(self):
        self.process.kill()
        self.process.wait()

    def remove(self):
        if self.process and self.process.poll() is None:
            self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)


def seed_of(arguments):
    """SEED of the environment, or a fresh one; printed, so that a run can be played again."""
    seed = int(os.environ.get("SEED") or random.SystemRandom().getrandbits(32))
    print(f"# SEED={seed}")
    return seed


@atexit.register
def remove_all():
    for thing in reversed(started):
        try:
            thing.remove()
        except Exception as why:
            print(f"# {why}", file=sys.stderr)


signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
