#!/usr/bin/env python3
"""kill -9 of workers, the node and Redis under load: what was acknowledged is still there.

    chaos.py BUILD [--rounds N] [embedded|redis]...

Each round: clients upload functions, start asynchronous calls, push values, append to lists and add to counters;
at a random moment a process is killed; what the script kills but for workers it starts again, as systemd does
with Restart=always. Then everything that was ever acknowledged is looked for:

  uploads         are listed, and answer with the mark that was theirs
  asynchronous    of an idempotent function: end with the right output; of another: so, or as node-died or
  results         worker-died; what was once seen done stays as it was until it is read
  pushed values   every block has its checksum and a number not below the last acknowledged one
  lists           an acknowledged element is at the index that was told
  counters        are between what was acknowledged and what was asked for

Knows nothing of how the node keeps things. SEED=N plays the same decisions again."""
import json
import os
import random
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import (Node, Redis, Tap, ask, build_guest, check, gone, seed_of, wait_for)  # noqa: E402

MARK = b"@@MARK@@" + b"0" * 32
ENDED_BADLY = ("node-died", "worker-died")
BLOCK = 4096
TROUBLE = (OSError, ConnectionError, EOFError, __import__("http.client").client.HTTPException)


class Load:
    """What clients do, and what they were promised."""

    def __init__(self, node, module, seed, prefix=""):
        self.node, self.module = node, module
        self.prefix = prefix    # of names and keys, where several nodes have a load each
        self.fresh = {}         # client -> how often it has left its keys for others, then
        self.random = random.Random(seed)
        self.lock = threading.Lock()
        self.stopping = False
        self.uploads = {}       # name -> mark, acknowledged
        self.calls = {}         # id -> (input, idempotent)
        self.results = {}       # id -> result, seen done and not read
        self.pushed = {}        # key -> (length, acknowledged, tried)
        self.lists = {}         # key -> {index: number}
        self.counters = {}      # key -> (acknowledged, tried)
        self.done = dict.fromkeys(("uploads", "calls", "pushes", "appends", "adds", "sync", "refused"), 0)
        self.took = {}          # kind of work -> seconds of each
        self.wrong = []
        self.number = 0

    def next(self):
        with self.lock:
            self.number += 1
            return self.number

    def count(self, what):
        with self.lock:
            self.done[what] += 1

    def run(self):
        self.stopping = False
        self.threads = [threading.Thread(target=self.client, args=(work, i, self.random.getrandbits(64)), daemon=True)
                        for i, work in enumerate((self.upload, self.start, self.start, self.push, self.push,
                                                  self.push, self.append, self.add, self.sync))]
        for thread in self.threads:
            thread.start()

    def stop(self):
        self.stopping = True
        for thread in self.threads:
            thread.join(60)
            check(not thread.is_alive(), "a client hangs: its request is not answered")

    def client(self, work, i, seed):
        numbers = random.Random(seed)
        connection = None
        while not self.stopping:
            try:
                connection = connection or self.node.connect(40)
                begun = time.monotonic()
                work(connection, i, numbers)
                self.took.setdefault(work.__name__, []).append(time.monotonic() - begun)
            except TROUBLE:
                if connection:
                    connection.close()
                connection = None
                time.sleep(0.01)
            except Exception as why:
                self.wrong.append(f"{work.__name__}: {type(why).__name__}: {why}")
                return
        if connection:
            connection.close()

    def upload(self, connection, i, numbers):
        name = f"{self.prefix}up{self.next()}"
        mark = b"@@MARK@@" + b"%032x" % numbers.getrandbits(128)
        module = self.module.replace(MARK, mark)
        answer = ask(connection, "PUT", f"/v1/functions/{name}", module)
        if answer.status == 201:
            with self.lock:
                self.uploads[name] = mark
            self.count("uploads")
        else:
            self.count("refused")
        time.sleep(0.05)

    def start(self, connection, i, numbers):
        idempotent = numbers.random() < 0.5
        text = b"E " + b"%d:%x" % (self.next(), numbers.getrandbits(4 * numbers.randrange(1, 40)))
        name = "idem" if idempotent else "once"
        answer = ask(connection, "POST", f"/v1/call/{name}?async=1", text)
        if answer.status == 202:
            with self.lock:
                self.calls[json.loads(answer.body)["id"]] = (text, idempotent)
            self.count("calls")
        else:
            self.count("refused")
        time.sleep(0.02)

    def push(self, connection, i, numbers):
        # One client a key: what it tries is ordered.
        key = f"{self.prefix}push{i}-{self.fresh.get(i, 0)}-{numbers.randrange(3)}"
        blocks = {0: 1, 1: 20, 2: 60}[int(key[-1])]
        length, acknowledged, tried = self.pushed.get(key, (blocks * BLOCK, 0, 0))
        tried += 1
        self.pushed[key] = (length, acknowledged, tried)
        answer = ask(connection, "POST", "/v1/call/once", b"P %s %d %d" % (key.encode(), length, tried))
        if answer.status == 200 and answer.body == b"ok %d" % tried:
            self.pushed[key] = (length, tried, tried)
            self.count("pushes")
        else:
            self.count("refused")
            if self.prefix:  # it may still be on its way, on another node, and arrive after the next one
                self.fresh[i] = self.fresh.get(i, 0) + 1
            time.sleep(0.01)

    def append(self, connection, i, numbers):
        key, number = f"{self.prefix}list{numbers.randrange(2)}", self.next()
        answer = ask(connection, "POST", "/v1/call/once", b"A %s %d" % (key.encode(), number))
        if answer.status == 200 and answer.body.isdigit():
            self.lists.setdefault(key, {})[int(answer.body)] = number
            self.count("appends")
        else:
            self.count("refused")
        time.sleep(0.003)

    def add(self, connection, i, numbers):
        key, delta = f"{self.prefix}count{numbers.randrange(2)}", numbers.randrange(1, 100)
        acknowledged, tried = self.counters.get(key, (0, 0))
        self.counters[key] = (acknowledged, tried + delta)
        answer = ask(connection, "POST", "/v1/call/once", b"C %s %d" % (key.encode(), delta))
        if answer.status == 200 and answer.body.isdigit():
            self.counters[key] = (acknowledged + delta, tried + delta)
            self.count("adds")
        else:
            self.count("refused")

    def sync(self, connection, i, numbers):
        text = b"%x" % numbers.getrandbits(80)
        answer = ask(connection, "POST", "/v1/call/idem", b"E " + text)
        if answer.status == 200:
            check(answer.body == text[::-1], "the output of another call:", answer.body, "for", text)
            self.count("sync")
        else:
            json.loads(answer.body)["error"]["code"]
            self.count("refused")


def settled(node, name, text):
    """A call's output, however often the machinery is still coming back: at most 20 s."""
    last = [None]

    def good():
        try:
            last[0] = node.call(name, text)
        except TROUBLE as why:
            last[0] = why
            return False
        return last[0].status == 200
    check(wait_for(good, 20), "the node is not back by itself:", name, text[:40], last[0])
    return last[0]


def verify_state(load):
    node = load.node
    for key, (length, acknowledged, tried) in load.pushed.items():
        if not acknowledged:
            continue
        words = settled(node, "once", b"R " + key.encode()).body.split()
        check(words and words[0].isdigit(), key, b" ".join(words))
        got, low, high = map(int, words)
        check(got == length, key, "has", got, "bytes, not", length)
        check(low >= acknowledged, key, "lost: block of push", low, "after", acknowledged, "was acknowledged")
        check(high <= tried, key, "from nowhere:", high, "of", tried)
        # A push that came to nothing may have arrived in part; the next one starts from what is there.
        load.pushed[key] = (length, acknowledged, tried)
    for key, elements in load.lists.items():
        lines = settled(node, "once", b"L " + key.encode()).body.split()
        for index, number in elements.items():
            check(index < len(lines) and int(lines[index]) == number, key, "index", index, "is not", number)
        check(len(set(lines)) == len(lines), key, "has one append twice")
    for key, (acknowledged, tried) in load.counters.items():
        if tried:
            value = int(settled(node, "once", b"C %s 0" % key.encode()).body)
            check(acknowledged <= value <= tried, key, "is", value, "not in", acknowledged, tried)


class Kept:
    """One connection for many questions."""

    def __init__(self, node):
        self.connection = node.connect(40)

    def ask(self, method, path):
        return ask(self.connection, method, path)

    def json(self, method, path):
        answer = self.ask(method, path)
        check(answer.status == 200, method, path, answer.status, answer.body)
        return json.loads(answer.body)


def verify_calls(load, read_share):
    node = Kept(load.node)
    for ident, before in list(load.results.items()):
        now = node.json("GET", f"/v1/calls/{ident}")
        check(now == before, "the result of", ident, "changed:", before, now)
        if load.random.random() < read_share:
            answer = node.ask("GET", f"/v1/calls/{ident}/output")
            check(answer.status == 200 and answer.body == before_output(load, ident), ident, answer)
            del load.results[ident]
            del load.calls[ident]
    for ident, (text, idempotent) in list(load.calls.items()):
        if ident in load.results:
            continue
        until = time.monotonic() + 60
        while True:
            answer = node.ask("GET", f"/v1/calls/{ident}?wait_ms=5000")
            check(answer.status == 200, "the acknowledged call", ident, "is lost:", answer.status, answer.body)
            shown = json.loads(answer.body)
            if shown["state"] == "done":
                break
            check(time.monotonic() < until, ident, "does not end:", shown)
        if shown["end"] == "ok":
            answer = node.ask("GET", f"/v1/calls/{ident}/output?keep=1")
            check(answer.status == 200 and answer.body == text[2:][::-1], ident, "has a wrong output:",
                  answer.status, answer.body, text)
            load.results[ident] = node.json("GET", f"/v1/calls/{ident}")
        else:
            check(not idempotent, ident, "is idempotent and ended as", shown)
            check(shown["end"] in ENDED_BADLY, ident, "ended as", shown)
            del load.calls[ident]


def before_output(load, ident):
    return load.calls[ident][0][2:][::-1]


def verify_uploads(load, all_of_them):
    listed = load.node.json("GET", "/v1/functions")
    names = {f["name"] for f in (listed["functions"] if isinstance(listed, dict) else listed)}
    for name in load.uploads:
        check(name in names, "the upload", name, "is lost")
    chosen = list(load.uploads.items())
    for name, mark in chosen if all_of_them else chosen[-3:] + load.random.sample(chosen, min(2, len(chosen))):
        answer = settled(load.node, name, b"M")
        check(answer.body == mark, name, "answers", answer.body, "not", mark)


def verify(load, last):
    verify_state(load)
    verify_calls(load, 1.0 if last else 0.6)
    verify_uploads(load, last)
    check(not load.wrong, *load.wrong)


def round_of(load, node, redis, numbers, tap):
    load.run()
    time.sleep(numbers.uniform(0.02, 0.5))
    victims = ["node", "worker", "worker"] + (["redis", "redis", "redis+node"] if redis else [])
    victim = numbers.choice(victims)
    if "redis" in victim:
        redis.kill()
        time.sleep(numbers.uniform(0, 0.3))
    if victim == "worker":
        for pid in node.workers():
            os.kill(pid, signal.SIGKILL)
        time.sleep(numbers.uniform(0, 0.1))
    if "node" in victim:
        workers = node.workers()
        check(node.kill() == -signal.SIGKILL, "the node had ended before")
        check(wait_for(lambda: all(gone(pid) for pid in workers), 5), "workers outlive their node:", workers)
    if "redis" in victim:
        redis.start()
    if "node" in victim:
        node.start()
    time.sleep(numbers.uniform(0.05, 0.3))  # the load goes on over it
    check(node.alive(), "the node died of it, status", node.process.poll(), node.log()[-3000:])
    load.stop()
    return victim


def chaos(mode, rounds, tap, seed):
    numbers = random.Random(f"{seed} {mode}")
    module = build_guest(BUILD, "test/e2e/faaslet/chaos.c")
    check(MARK in module, "the guest has no mark")
    redis = Redis().start() if mode == "redis" else None
    node = Node(BUILD, *(["--tier", f"redis:127.0.0.1:{redis.port}"] if redis else []))
    node.tenant("default", quota={"calls_running": 16})
    node.put("idem", module, query="idempotent=1")
    node.put("once", module)
    load = Load(node, module, numbers.getrandbits(64))
    for i in range(rounds):
        victim = round_of(load, node, redis, numbers, tap)
        try:
            verify(load, i == rounds - 1)
        except AssertionError:
            tap.note(f"round {i + 1}: killed {victim}")
            for line in node.log().splitlines()[-15:]:
                tap.note("  ", line)
            raise
        if rounds > 20 and (i + 1) % 10 == 0:
            tap.note(f"{mode}: round {i + 1}: {load.done}")
    tap.note(f"{mode}: {rounds} rounds, {node.starts} starts of the node, acknowledged:",
             " ".join(f"{k}={v}" for k, v in load.done.items()))
    for what in ("uploads", "calls", "pushes", "appends", "adds", "sync"):
        check(load.done[what] > 0, "no", what, "were acknowledged: the load does nothing")
    check(node.kill(signal.SIGTERM) == 0, "the node does not end well")
    node.remove()
    if redis:
        redis.remove()


def main():
    global BUILD
    args = sys.argv[1:]
    BUILD = os.path.abspath(args.pop(0)) if args else "build"
    rounds = 5
    if "--rounds" in args:
        at = args.index("--rounds")
        rounds = int(args[at + 1])
        del args[at:at + 2]
    tap, seed = Tap(), seed_of(args)

    @tap.test
    def nothing_acknowledged_is_lost_embedded():
        return chaos("embedded", rounds, tap, seed) if not args or "embedded" in args else "not asked for"

    @tap.test
    def nothing_acknowledged_is_lost_redis():
        if args and "redis" not in args:
            return "not asked for"
        return chaos("redis", rounds, tap, seed) if Redis.here() else "no redis-server here"
    return tap.run()


if __name__ == "__main__":
    sys.exit(main())
