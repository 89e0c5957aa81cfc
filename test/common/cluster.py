"""cluster.py: nodes (nodes.py) that are asked by tenant, function and key: for workloads and their bench.

    with Nodes(BUILD, 3) as nodes:
        nodes.tenant("t", quota={...})
        nodes.put("t", "sgd", "sgd.wasm", chained=1024)     onto every node
        out = nodes[0].call("t", "sgd", b"input")           the output; raises CallFailed
        nodes[0].counter("wardmote_state_pulled_bytes_total")

tier: "redis" starts a redis-server as the global tier of all of them. A node that ended with an error, or whose
sanitizer complained, is an error at the end of the block."""
import os
import re
import urllib.parse

from nodes import Cluster, Node, Redis, metric


class CallFailed(Exception):
    def __init__(self, status, text):
        super().__init__(f"{status}: {text}")
        self.status, self.text = status, text


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


class TenantsNode(Node):
    timeout = 300

    def must(self, method, path, body=None):
        answer = self.ask(method, path, body)
        if answer.status >= 300:
            raise CallFailed(answer.status, answer.body.decode("utf-8", "replace")[:600])
        return answer

    def put(self, tenant, name, module, **limits):
        with open(module, "rb") as file:
            self.must("PUT", f"/v1/functions/{name}?" + urllib.parse.urlencode({"tenant": tenant, **limits}), file.read())

    def call(self, tenant, name, body=b"", headers=False):
        answer = self.must("POST", f"/v1/call/{name}?tenant={tenant}", body)
        code = int(answer.headers.get("Wardmote-Return-Code") or 0)
        if code:
            raise CallFailed(200, f"{name} returned {code}: {os.strerror(code)}; {answer.body[:300]!r}")
        return (answer.body, answer.headers) if headers else answer.body

    def get_state(self, tenant, key):
        return self.must("GET", f"/v1/state/{urllib.parse.quote(key)}?tenant={tenant}").body

    def counter(self, name):
        return metric(self, name)


class Nodes(Cluster):
    def __init__(self, build, count=1, tier="embedded", flags=()):
        self.redis = Redis(lasts=False).start() if tier == "redis" else None
        super().__init__(build, count, self.redis, flags, relays=False, node=TenantsNode)
        self.wait_alive()

    def __getitem__(self, index):
        return self.nodes[index]

    def __len__(self):
        return len(self.nodes)

    def __enter__(self):
        return self

    def __exit__(self, kind, *_):
        running = [node for node in self.nodes if node.alive()]
        bad = [f"{node.name} ended with {status}" for node in running if (status := node.stop())]
        said = "".join(node.log() for node in self.nodes)
        bad += re.findall(r"^.*(?:ERROR: \w*Sanitizer|runtime error:).*$", said, re.M)
        self.remove()
        if self.redis:
            self.redis.remove()
        if kind is None and bad:
            raise RuntimeError("; ".join(bad) + "\n" + said[-3000:])

    def tenant(self, name, quota=None):
        for node in self.nodes:
            node.tenant(name, **({"quota": quota} if quota else {}))

    def put(self, tenant, name, module, **limits):
        for node in self.nodes:
            node.put(tenant, name, module, **limits)

    def counter(self, name):
        return sum(node.counter(name) for node in self.nodes)

    def pids(self):
        redis = [self.redis.process.pid] if self.redis else []
        return [pid for node in self.nodes for pid in descendants(node.process.pid)] + redis
