#!/usr/bin/env python3
"""100,000 calls (--calls N: others) of each kind in turn: none fails, and neither node nor worker grows.

    many_calls.py BUILD [--calls N]

Plain calls, chained ones, ones with state, ones that trap, as test/common/load.c makes them; memory and descriptors of
both processes are compared after a tenth of them and at the end. tools/soak makes ten million."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import Node, Tap, build_guest, check, descriptors, memory_kb, seed_of  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
CALLS = int(sys.argv[sys.argv.index("--calls") + 1]) if "--calls" in sys.argv else 100000
CLIENTS = 32
WORKER_KB = 8 * 1024
# The node keeps the records of its newest calls: 64 MiB of them (records.h), full after some 400,000.
NODE_KB = 8 * 1024 if CALLS >= 5000000 else 88 * 1024
tap = Tap()
seed = seed_of(sys.argv)
node = None


def load(calls):
    """How many additions were among them."""
    done = subprocess.run([os.path.join(BUILD, "test/load"), node.data + "/node.sock", str(calls), str(CLIENTS), str(seed)],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    check(done.returncode == 0, done.stdout)
    words = done.stdout.split()
    check(int(words[1]) == calls, done.stdout)
    return int(words[3])


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


# Some calls sleep for a millisecond: --threads. One arena: what malloc keeps of freed memory for each of the node's threads,
# up to 20 MB that come and go with the records of a second, would hide what is held.
node = Node(BUILD, "--threads", str(CLIENTS), env={"MALLOC_ARENA_MAX": "1"})
node.tenant("default", quota={"calls_running": 64, "calls_queued": 1000})
node.put("small", build_guest(BUILD, "test/e2e/faaslet/chaos.c"))
node.put("relay", build_guest(BUILD, "test/e2e/faaslet/relay.c"))
sys.exit(tap.run())
