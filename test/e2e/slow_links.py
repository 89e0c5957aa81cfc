#!/usr/bin/env python3
"""Three nodes in namespaces of their own, far from each other: delay, loss and cut connections between all of them.

    slow_links.py BUILD [--seconds N] [embedded|redis]...

The only ways between the namespaces (and to that of Redis) are relays (test/common/relay.c): each byte takes 30 to 70 ms,
1 of 50 segments is lost, which an application sees as a stall (relay.c says how), and every now and then all connections
of one relay are cut. On each node the clients of chaos.py call, start, upload, push, append and add, those of
lock_recipe.py add under one lock on all nodes, and bursts of chained calls are more than one node wants for itself.

  lost        what a node acknowledged is found through another one, with its value; additions are checked as in
              lock_recipe.py
  latency     of requests stays within the bounds below
  healing     once the links are good again, everything is answered, and fast

Needs root: skipped otherwise. SEED=N plays the same decisions again."""
import os
import random
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
import lock_recipe  # noqa: E402
from chaos import Load, settled, verify_calls, verify_state, verify_uploads  # noqa: E402
from nets import Nets, Unavailable  # noqa: E402
from nodes import Cluster, Redis, Tap, build_guest, check, seed_of  # noqa: E402

DELAY = "delay 50 20"
LOSS = "loss 2 200"
# Seconds that half of the requests of a kind take at most, and all. State takes a few round trips of 100 ms, the largest
# push 240 KB, three of whose segments are lost; an upload is compiled, by two processors for three nodes.
HALF_S = {"start": 0.5, "sync": 0.5, "add": 1, "append": 1, "push": 2, "upload": 6, "lock": 8, "burst": 4}
ALL_S = 15
CHAINED = 40


class Bursts(threading.Thread):
    """Calls that chain more calls at once than a node has room for: others help. All succeed: `idem` is idempotent."""

    def __init__(self, node):
        super().__init__(daemon=True)
        self.node, self.stopping, self.wrong, self.took = node, False, [], []

    def run(self):
        while not self.stopping:
            begun = time.monotonic()
            answer = self.node.call("burst", b"*%d idem\nE %s" % (CHAINED, b"x" * 60), timeout=60)
            self.took.append(time.monotonic() - begun)
            if answer.body != b"started %d failed 0" % CHAINED:
                self.wrong.append(answer)
            time.sleep(0.3)


def trouble(cluster, numbers, seconds):
    """Cuts connections; how often."""
    until, cuts = time.monotonic() + seconds, 0
    while time.monotonic() < until:
        time.sleep(numbers.uniform(0.5, 1.5))
        cluster.relays[numbers.choice(list(cluster.relays))].say("reset")
        cuts += 1
    return cuts


def bounded(tap, kind, took):
    took = sorted(took)
    half, most = took[len(took) // 2], took[-1]
    tap.note(f"{kind}: {len(took)} took {half:.2f} s, at most {most:.1f} s")
    check(half < HALF_S[kind] and most < ALL_S, kind, "took", half, "s, at most", most)


def healed(cluster):
    """The links are good from now on, and so is everything after a few heartbeats."""
    for relay in cluster.relays.values():
        relay.say("delay 0")
        relay.say("loss 0")
    cluster.wait_alive(10)
    for i in range(30):
        begun = time.monotonic()
        answer = cluster.nodes[i % 3].call("add", b"I healed 0")
        check(answer.status == 200 and answer.body.split()[0] == b"%d" % (i + 1), "addition", i + 1, "gave", answer)
        check(time.monotonic() - begun < 1, "an addition took", time.monotonic() - begun, "s")


def slow(build, seconds, seed, tap, with_redis):
    if os.geteuid() != 0:
        return "needs root"
    try:
        with Nets(4) as nets:
            slow_in(nets, build, seconds, seed, tap, with_redis)
    except Unavailable as why:
        return f"no namespaces here: {why}"
    return None


def slow_in(nets, build, seconds, seed, tap, with_redis):
    numbers = random.Random(seed)
    redis = Redis(nets.names[3]).start() if with_redis else None
    cluster = Cluster(build, 3, redis, ["--threads", "16"], nets.names)
    nodes = cluster.nodes
    for relay in cluster.relays.values():
        relay.say(DELAY)
        relay.say(LOSS)
    chaos = build_guest(build, "test/e2e/faaslet/chaos.c")
    nodes[0].put("idem", chaos, query="idempotent=1")
    nodes[1].put("once", chaos)
    nodes[2].put("add", chaos)
    nodes[0].put("burst", build_guest(build, "test/e2e/faaslet/relay.c"))
    for node in nodes:
        for name in ("idem", "once", "add", "burst"):
            settled(node, name, b"E x" if name != "burst" else b"*1 idem\nE x")
    loads = [Load(node, chaos, numbers.getrandbits(64), f"n{i + 1}-") for i, node in enumerate(nodes)]
    adders = [lock_recipe.Client(node, f"{seed} client {i}") for i, node in enumerate(nodes)]
    bursts = [Bursts(node) for node in nodes[:2]]
    for load in loads:
        load.run()
    for thread in adders + bursts:
        thread.start()
    cuts = trouble(cluster, numbers, seconds)
    stalls = sum(int(relay.say("stats").split()[-1]) for relay in cluster.relays.values())
    for thread in bursts:
        thread.stopping = True
    for load in loads:
        load.stop()
    tap.note(f"{cuts} cuts, {stalls} stalls; locks:", lock_recipe.finish(adders, nodes[0], 5))
    for thread in bursts:
        thread.join(60)
        check(not thread.is_alive(), "a burst of calls does not end")
        check(thread.took and not thread.wrong, len(thread.wrong), "of", len(thread.took), "bursts:", thread.wrong[:3])
    for kind in loads[0].took:
        bounded(tap, kind, [s for load in loads for s in load.took[kind]])
    bounded(tap, "burst", [s for thread in bursts for s in thread.took])
    bounded(tap, "lock", [end - begun for adder in adders for _, begun, end, _, _ in adder.history])
    told = [node.json("GET", "/v1/node")["scheduler"] for node in nodes]
    tap.note("acknowledged:", *(f"{k}={sum(load.done[k] for load in loads)}" for k in loads[0].done), "handed on:",
             *(one["handed_on"] for one in told))
    check(sum(one["handed_on"] - one["hand_on_failed"] for one in told) > 20, "no calls went to other nodes:", told)
    healed(cluster)
    for i, load in enumerate(loads):
        verify_calls(load, 1.0)
        load.node = nodes[(i + 1) % 3]  # what it acknowledged is seen through another one
        verify_state(load)
        verify_uploads(load, False)
        check(not load.wrong, *load.wrong)
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
    def nothing_is_lost_over_slow_links_embedded():
        return slow(build, seconds, f"{seed} embedded", tap, False) if not args or "embedded" in args else "not asked for"

    @tap.test
    def nothing_is_lost_over_slow_links_redis():
        if args and "redis" not in args:
            return "not asked for"
        return slow(build, seconds, f"{seed} redis", tap, True) if Redis.here() else "no redis-server here"
    return tap.run()


if __name__ == "__main__":
    sys.exit(main())
