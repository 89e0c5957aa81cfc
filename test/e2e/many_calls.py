#!/usr/bin/env python3
"""100,000 calls (--calls N: others) of each kind in turn: none fails, and neither node nor worker grows.

    many_calls.py BUILD [--calls N]

Plain calls, chained ones, ones with state, ones that trap, outputs of all sizes; memory and descriptors of both
processes are compared after a tenth of them and at the end. tools/soak makes ten million."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import Node, Tap, ask, build_guest, check, descriptors, memory_kb, seed_of  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
CALLS = int(sys.argv[sys.argv.index("--calls") + 1]) if "--calls" in sys.argv else 100000
CLIENTS = 8
WORKER_KB = 8 * 1024
# The node keeps the records of its newest calls: 64 MiB of them (records.h), soon full.
NODE_KB = 24 * 1024 if CALLS >= 2000000 else 88 * 1024
tap = Tap()
seed = seed_of(sys.argv)
node = None


class Client(threading.Thread):
    def __init__(self, number, calls):
        super().__init__(daemon=True)
        self.numbers = random.Random(f"{seed} {number}")
        self.number, self.calls, self.wrong, self.adds = number, calls, [], 0

    def run(self):
        connection = node.connect(60)
        for i in range(self.calls):
            text = b"%x" % self.numbers.getrandbits(32)
            way = i % 100
            if way < 2:
                name, body, status, out = "small", b"X", 500, None
            elif way < 6:
                name, body, status, out = "small", b"C total 1", 200, None
            elif way < 8:
                name, body, status, out = "small", b"P p%d 4096 %d" % (self.number, i), 200, b"ok %d" % i
            elif way < 20:
                name, body, status, out = "relay", b"small\nE " + text[:1], 200, text[:1]
            elif way < 22:
                name, body, status, out = "relay", b"*20 small\nE x", 200, b"started 20 failed 0"
            else:
                name, body, status, out = "small", b"M", 200, b"@@MARK@@" + b"0" * 32
            answer = ask(connection, "POST", f"/v1/call/{name}", body)
            self.adds += way in range(2, 6)
            if answer.status != status or (out is not None and answer.body != out):
                self.wrong.append((body, answer.status, answer.body[:300]))
                if len(self.wrong) > 5:
                    return


def load(calls):
    clients = [Client(i, calls // CLIENTS) for i in range(CLIENTS)]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
        check(not client.wrong, *client.wrong[:3])
    return sum(client.adds for client in clients)


def sizes():
    workers = node.workers()
    check(len(workers) == 1, "workers:", workers)
    return {"node KiB": memory_kb(node.process.pid, "RssAnon"), "worker KiB": memory_kb(workers[0], "RssAnon"),
            "node descriptors": descriptors(node.process.pid), "worker descriptors": descriptors(workers[0])}, workers[0]


@tap.test
def many_calls_leave_nothing_behind():
    added = load(CALLS // 10)
    before, worker = sizes()
    begun = time.monotonic()
    added += load(CALLS - CALLS // 10)
    after, same = sizes()
    tap.note(f"{CALLS} calls, {CALLS * 0.9 / (time.monotonic() - begun):.0f} a second; before {before}, after {after}")
    check(worker == same, "the worker died")
    for what in before:
        room = {"node KiB": NODE_KB, "worker KiB": WORKER_KB}.get(what, 16)
        check(after[what] <= before[what] + room, what, "grew from", before[what], "to", after[what])
    total = int(node.call("small", b"C total 0").body)
    check(total == added, "the counter is", total, "after", added, "additions")


node = Node(BUILD)
node.tenant("default", quota={"calls_running": 64, "calls_queued": 1000})
node.put("small", build_guest(BUILD, "test/e2e/faaslet/chaos.c"))
node.put("relay", build_guest(BUILD, "test/e2e/faaslet/relay.c"))
sys.exit(tap.run())
