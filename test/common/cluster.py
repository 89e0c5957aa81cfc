#!/usr/bin/python3
"""cluster.py: nodes of this machine for tests and benches: started, given functions, called, stopped.

    with Nodes(BUILD, 3) as nodes:
        nodes.tenant("t", quota={...})
        nodes.put("t", "sgd", "sgd.wasm", chained=1024)     onto every node
        out = nodes[0].call("t", "sgd", b"input")           the output; raises CallFailed
        nodes[0].counter("wardmote_state_pulled_bytes_total")

Each node keeps its data in a temporary folder and is reached over its socket there; several are
peers on ports of loopback that were free. tier: "redis" starts a redis-server as the global tier of all
of them. Whatever happens, at the end no process and no folder is left: each node runs in a
process group of its own, and asks to be killed when this process dies. A node that ended with an
error, or whose sanitizer complained, is an error at the end of the block."""
import ctypes
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import urllib.parse


class CallFailed(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


class Unix(http.client.HTTPConnection):
    def __init__(self, path, timeout=300):
        super().__init__("localhost", timeout=timeout)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


def free_ports(count):
    held = [socket.socket() for _ in range(count)]
    for one in held:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in held]
    for one in held:
        one.close()
    return ports


def die_with_parent():
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG


def start(args, log):
    return subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=log, stderr=log, process_group=0,
                            preexec_fn=die_with_parent)


def stop(process, seconds=20, asked=False):
    """asked: it has had its SIGTERM; a second one would end a node at once."""
    if process and process.poll() is None:
        if not asked:
            process.terminate()
        try:
            process.wait(seconds)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def descendants(pid):
    """The process and all below it that exist now."""
    found, todo = [], [pid]
    while todo:
        one = todo.pop()
        found.append(one)
        try:
            for task in os.listdir(f"/proc/{one}/task"):
                with open(f"/proc/{one}/task/{task}/children") as file:
                    todo += [int(word) for word in file.read().split()]
        except OSError:
            pass
    return found


def pss_bytes(pids):
    """Memory of these processes, what several share counted once (its parts, once for each)."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup") as file:
                total += int(re.search(r"^Pss:\s+(\d+)", file.read(), re.M).group(1)) << 10
        except (OSError, AttributeError):
            pass
    return total


class Redis:
    def __init__(self, folder):
        self.port = free_ports(1)[0]
        self.log = open(os.path.join(folder, "redis.log"), "wb")
        self.process = start(["redis-server", "--port", str(self.port), "--bind", "127.0.0.1", "--save", "",
                              "--appendonly", "no", "--dir", folder, "--daemonize", "no"], self.log)
        for _ in range(200):
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        stop(self.process)
        raise RuntimeError("redis-server does not start")

    def stop(self):
        stop(self.process)
        self.log.close()


class Node:
    def __init__(self, program, folder, name, flags):
        self.name, self.folder = name, os.path.join(folder, name)
        self.socket = os.path.join(self.folder, "node.sock")
        self.log_path = self.folder + ".log"
        self.log = open(self.log_path, "wb")
        self.process = start([program, "--data", self.folder, "--name", name, *flags], self.log)

    def wait(self):
        for _ in range(500):
            if self.process.poll() is not None:
                raise RuntimeError(f"{self.name} ended: " + self.messages())
            if os.path.exists(self.socket):
                try:
                    if self.ask("GET", "/healthz")[0] == 200:
                        return
                except OSError:
                    pass
            time.sleep(0.02)
        raise RuntimeError(f"{self.name} does not get ready: " + self.messages())

    def messages_all(self):
        with open(self.log_path, errors="replace") as file:
            return file.read()

    def messages(self):
        return self.messages_all()[-2000:]

    def ask(self, method, path, body=None, timeout=300, full=False):
        connection = Unix(self.socket, timeout)
        try:
            connection.request(method, path, json.dumps(body) if isinstance(body, (dict, list)) else body)
            answer = connection.getresponse()
            data = answer.read()
            return (answer.status, data, answer.headers) if full else (answer.status, data)
        finally:
            connection.close()

    def must(self, method, path, body=None, **more):
        status, data, headers = self.ask(method, path, body, full=True, **more)
        if status >= 300:
            raise CallFailed(status, data.decode("utf-8", "replace")[:600])
        return data, headers

    def put(self, tenant, name, module, **limits):
        with open(module, "rb") as file:
            self.must("PUT", f"/v1/functions/{name}?" + urllib.parse.urlencode({"tenant": tenant, **limits}),
                      file.read())

    def call(self, tenant, name, body=b"", headers=False):
        data, got = self.must("POST", f"/v1/call/{name}?tenant={tenant}", body)
        code = int(got.get("Wardmote-Return-Code") or 0)
        if code:
            raise CallFailed(200, f"{name} returned {code}: {os.strerror(code)}; {data[:300]!r}")
        return (data, got) if headers else data

    def get_state(self, tenant, key):
        return self.must("GET", f"/v1/state/{urllib.parse.quote(key)}?tenant={tenant}")[0]

    def put_state(self, tenant, key, data):
        self.must("PUT", f"/v1/state/{urllib.parse.quote(key)}?tenant={tenant}", data)

    def counter(self, name):
        text = self.must("GET", "/metrics")[0].decode()
        return sum(float(value) for value in re.findall(rf"^{name}(?:{{[^}}]*}})? (\S+)$", text, re.M))

    def pids(self):
        return descendants(self.process.pid)

    def stop(self, asked=False):
        stop(self.process, 40, asked)
        self.log.close()


class Nodes:
    def __init__(self, build, count=1, tier="embedded", flags=()):
        self.build, self.items, self.redis = os.path.abspath(build), [], None
        self.folder = tempfile.mkdtemp(prefix=f"wm-nodes-{os.getpid()}-")
        try:
            self.begin(count, tier, list(flags))
        except BaseException:
            self.stop()
            raise

    def begin(self, count, tier, flags):
        if tier == "redis":
            self.redis = Redis(self.folder)
            flags += ["--tier", f"redis:127.0.0.1:{self.redis.port}"]
        if count > 1:
            key = os.path.join(self.folder, "cluster.key")
            with open(os.open(key, os.O_CREAT | os.O_WRONLY, 0o600), "wb") as file:
                file.write(os.urandom(32))
            ports = free_ports(count)
            peers = ",".join(f"n{i + 1}=127.0.0.1:{port}" for i, port in enumerate(ports))
            flags += ["--cluster-key", key, "--peers", peers]
        for i in range(count):
            self.items.append(Node(os.path.join(self.build, "wardmote-node"), self.folder, f"n{i + 1}",
                                   ["--listen", "127.0.0.1:0", *flags]))
        for node in self.items:
            node.wait()
        if count > 1:
            self.wait_for_peers()

    def wait_for_peers(self):
        for _ in range(500):
            told = [json.loads(node.must("GET", "/v1/node")[0]) for node in self.items]
            if all(json.dumps(one).count('"alive"') >= len(self.items) - 1 for one in told):
                return
            time.sleep(0.02)
        raise RuntimeError(f"the nodes do not hear each other: {told}")

    def __getitem__(self, index):
        return self.items[index]

    def __len__(self):
        return len(self.items)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        killed = [node for node in self.items if node.process.poll() is not None]
        said = self.stop()
        if kind is None:
            bad = [f"{node.name} ended with {node.process.returncode}" for node in self.items
                   if node not in killed and node.process.returncode != 0]
            bad += re.findall(r"^.*(?:ERROR: \w*Sanitizer|runtime error:).*$", said, re.M)
            if bad:
                raise RuntimeError("; ".join(bad) + "\n" + said[-3000:])

    def tenant(self, name, quota=None):
        for node in self.items:
            node.must("PUT", f"/v1/tenants/{name}", {"quota": quota} if quota else {})

    def put(self, tenant, name, module, **limits):
        for node in self.items:
            node.put(tenant, name, module, **limits)

    def counter(self, name):
        return sum(node.counter(name) for node in self.items)

    def pids(self):
        redis = [self.redis.process.pid] if self.redis else []
        return [pid for node in self.items for pid in node.pids()] + redis

    def stop(self):
        for node in self.items:
            if node.process.poll() is None:
                node.process.terminate()
        for node in self.items:
            node.stop(asked=True)
        if self.redis:
            self.redis.stop()
        said = "".join(node.messages_all() for node in self.items)
        shutil.rmtree(self.folder, ignore_errors=True)
        return said
