#!/usr/bin/env python3
"""The lock recipe on three nodes: lock, pull, add one, push, unlock; with kill -9 of nodes and partitions.

    lock_recipe.py BUILD [--seconds N] [embedded|redis]...

Between each two nodes is a relay (test/common/relay.c), which cuts them off from each other. Clients on all nodes add
to a few counters. The checker knows nothing of the code, only when each addition was asked for and answered:

  lost      an acknowledged value is given twice, or the end is below the number of acknowledged additions
  invented  the end is above what was asked for
  order     an addition that began after another's answer has a smaller value
  fencing   of two values the larger has the larger token

SEED=N plays the same decisions again."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import Cluster, Redis, Tap, build_guest, check, seed_of, wait_for  # noqa: E402

KEYS = ("alpha", "beta", "gamma")


class Client(threading.Thread):
    """Adds to the counters through one node, and writes down what it was told and when."""

    def __init__(self, node, seed):
        super().__init__(daemon=True)
        self.node, self.numbers = node, random.Random(seed)
        self.stopping, self.history, self.tried, self.why = False, [], dict.fromkeys(KEYS, 0), {}

    def run(self):
        while not self.stopping:
            key, wait = self.numbers.choice(KEYS), self.numbers.choice((0, 0, 1, 5))
            begun = time.monotonic()
            self.tried[key] += 1
            try:
                answer = self.node.call("add", b"I %s %d" % (key.encode(), wait), timeout=60)
            except Exception:  # whatever happened to it: not acknowledged
                time.sleep(0.05)
                continue
            if answer.status == 200 and answer.headers.get("Wardmote-Return-Code") is None:
                value, token, _ = map(int, answer.body.split())
                self.history.append((key, begun, time.monotonic(), value, token))
            else:
                what = answer.body[:60]
                self.why[what] = self.why.get(what, 0) + 1
                time.sleep(0.02)


def whys_of(clients):
    whys = {}
    for client in clients:
        for what, count in client.why.items():
            whys[what] = whys.get(what, 0) + count
    return whys


def examine(history, tried, ends):
    for key in KEYS:
        mine = sorted((h for h in history if h[0] == key), key=lambda h: h[3])
        for before, after in zip(mine, mine[1:]):
            check(before[3] != after[3], key, "lost: the value", before[3], "was given twice", before, after)
            check(before[4] < after[4], key, "fencing: tokens fall", before, after)
        latest = 0
        for h in mine:  # by value: nobody may have begun after the answer of one with a larger value
            latest = max(latest, h[1])
        ordered = sorted(mine, key=lambda h: h[1])
        answered = sorted(mine, key=lambda h: h[2])
        top, i = 0, 0
        for h in ordered:
            while i < len(answered) and answered[i][2] < h[1]:
                top = max(top, answered[i][3])
                i += 1
            check(h[3] > top, key, "order: began after", top, "was answered, and got", h[3])
        check(ends[key] >= len(mine) and (not mine or ends[key] >= mine[-1][3]), key, "lost: ends at", ends[key],
              "after", len(mine))
        check(ends[key] <= tried[key], key, "invented:", ends[key], "of", tried[key])


def finish(clients, node, least):
    """Ends them, looks up the counters' ends through `node` and examines everything; a line that says what happened."""
    for client in clients:
        client.stopping = True
    for client in clients:
        client.join(70)
        check(not client.is_alive(), "a client hangs")
    ends, tried = {}, {}
    for key in KEYS:
        tried[key] = sum(client.tried[key] for client in clients)

        last = [None]

        def final():
            tried[key] += 1
            try:
                last[0] = answer = node.call("add", b"I %s 0" % key.encode(), timeout=40)
            except Exception:
                return False
            if answer.status != 200 or answer.headers.get("Wardmote-Return-Code"):
                return False
            ends[key] = int(answer.body.split()[0])
            return True
        check(wait_for(final, 25, 0.2), "the nodes do not come back:", key, last[0], whys_of(clients))
    history = [h for client in clients for h in client.history]
    check(len(history) >= least, "hardly anything was acknowledged:", whys_of(clients))
    examine(history, tried, ends)
    whys = sorted(whys_of(clients).items(), key=lambda w: -w[1])[:4]
    return f"{len(history)} additions acknowledged of {sum(tried.values())}; others: {whys}"


def recipe(build, seconds, redis, seed, tap):
    numbers = random.Random(seed)
    cluster = Cluster(build, 3, redis)
    nodes = cluster.nodes
    cluster.put("add", build_guest(build, "test/e2e/faaslet/chaos.c"))
    clients = [Client(node, f"{seed} client {i}") for i, node in enumerate(nodes * 2)]
    for client in clients:
        client.start()
    until, kills, cuts = time.monotonic() + seconds, 0, 0
    while time.monotonic() < until:
        time.sleep(numbers.uniform(0.3, 1.2))
        if numbers.random() < 0.5:
            node = numbers.choice(nodes)
            node.kill()
            time.sleep(numbers.uniform(0, 0.5))
            node.start()
            kills += 1
        else:
            cut = cluster.links_of(numbers.randrange(3))
            for relay in cut:
                relay.say("partition")
            time.sleep(numbers.uniform(0.2, 2.5))
            for relay in cut:
                relay.say("heal")
            cuts += 1
    time.sleep(1)
    tap.note(f"{kills} kills, {cuts} cuts;", finish(clients, nodes[0], 20))
    for node in nodes:
        check(node.alive(), "a node died", node.log()[-1500:])
    cluster.remove()


def main():
    args = sys.argv[1:]
    build = os.path.abspath(args.pop(0)) if args else "build"
    seconds = 8
    if "--seconds" in args:
        at = args.index("--seconds")
        seconds = float(args[at + 1])
        del args[at:at + 2]
    tap, seed = Tap(), seed_of(args)

    @tap.test
    def the_lock_recipe_embedded():
        return recipe(build, seconds, None, f"{seed} embedded", tap) if not args or "embedded" in args else "not asked for"

    @tap.test
    def the_lock_recipe_redis():
        if args and "redis" not in args:
            return "not asked for"
        return recipe(build, seconds, Redis().start(), f"{seed} redis", tap) if Redis.here() else "no redis-server here"
    return tap.run()


if __name__ == "__main__":
    sys.exit(main())
