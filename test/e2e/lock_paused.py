#!/usr/bin/env python3
"""A global lock's holder that pauses past the lock's end: it is told so, and overwrites nothing.

    lock_paused.py BUILD [embedded|redis]...

Calls on four nodes hold locks, one key each. Then processes are stopped (SIGSTOP) for longer than a lock lasts without
being renewed: of n1 the worker, of n2 the node, of n3 both. Meanwhile calls on n4, where nothing is stopped, want the
same locks. Half of the calls had pushed before, half push afterwards.

  n1, n2, n3   the push and the unlock that come after the pause fail with ESTALE (n2's pushes are under way while it is
               stopped: they may end with EIO); in between another call has had the lock, with a larger token, and has
               seen the value without the late push
  n4           a holder that was not stopped keeps its lock; where the master of its key is stopped it loses it

In the end each value is the number of pushes that were acknowledged."""
import os
import signal
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import Cluster, Redis, Tap, build_guest, check, wait_for  # noqa: E402

args = sys.argv[1:]
BUILD = os.path.abspath(args.pop(0)) if args else "build"
tap = Tap()
KEYS = 6        # for each node, half of them pushed before; embedded, some have a master that is stopped, some not
HOLD_MS = 3000  # until the late push: less than a lock lasts, so n2's worker asks a node that is stopped
PAUSE_S = 7     # a lock lasts 5 s after its last renewal (src/faaslet/lease.h)
ESTALE, EIO = -72, -29  # as WASI numbers them


class Call(threading.Thread):
    """One call, beside others; .ended when."""

    def __init__(self, node, text):
        super().__init__(daemon=True)
        self.node, self.text, self.answer, self.ended = node, text, None, None
        self.start()

    def run(self):
        try:
            self.answer = self.node.call("add", self.text.encode(), timeout=60)
        except Exception as why:
            self.answer = why
        self.ended = time.monotonic()

    def numbers(self):
        """What it answered; None: it failed."""
        self.join(60)
        check(self.ended, self.text, "does not end")
        answer = self.answer
        if not hasattr(answer, "status") or answer.status != 200 or answer.headers.get("Wardmote-Return-Code"):
            return None
        return [int(word) for word in answer.body.split()]


def stop_of(nodes):
    """The processes that are to be stopped."""
    workers = [node.workers() for node in nodes]
    check(all(len(w) == 1 for w in workers), "workers:", workers)
    return [workers[0][0], nodes[1].process.pid, nodes[2].process.pid, workers[2][0]]


def judge(calls, others, holders, redis):
    """What the holders were told and the others got: acknowledged pushes and tokens of each key, and the locks n4 kept."""
    acknowledged, tokens, kept = dict.fromkeys(calls, 0), {}, 0
    for key, call in calls.items():
        n, late = holders[key]
        numbers = call.numbers()
        check(numbers, "the holder of", key, "on n%d" % (n + 1), "failed:", call.answer)
        value, token, push, unlock = numbers
        check(value == 1, key, "of n%d:" % (n + 1), numbers)
        acknowledged[key] += push == 0
        tokens[key] = [token]
        if n == 3:
            kept += unlock == 0
            check((push, unlock) in ((0, 0), (0 if late else ESTALE, ESTALE)), key, "of n4:", numbers)
            check(unlock == 0 or not redis, key, "of n4 was lost, and nothing was stopped that it needs:", numbers)
            continue
        told = (0,) if late else (ESTALE, EIO) if n == 1 else (ESTALE,)
        check(push in told, key, "of n%d:" % (n + 1), "the push gave", push)
        check(unlock == ESTALE, key, "of n%d:" % (n + 1), "the unlock gave", unlock)
        other = others[key].numbers()
        if other:
            check(other[1] > token, key, "was granted with", other[1], "after", token)
            check(other[0] == 1 + late, key, "became", other[0], "by the call that had it during the pause")
            acknowledged[key] += 1
            tokens[key].append(other[1])
    return acknowledged, tokens, kept


def paused(redis):
    cluster = Cluster(BUILD, 4, redis, ["--threads", str(KEYS + 2)])
    nodes = cluster.nodes
    cluster.put("add", build_guest(BUILD, "test/e2e/faaslet/chaos.c"))
    for node in nodes:
        check(wait_for(lambda: node.call("add", b"I warm 0").status == 200, 20), "no call on", node.flags)
    holders = {f"k{n}-{i}": (n, i % 2) for n in range(4) for i in range(KEYS)}
    calls = {key: Call(nodes[n], f"H {key} {HOLD_MS if n < 3 else HOLD_MS + PAUSE_S * 1000} {late}")
             for key, (n, late) in holders.items()}
    check(wait_for(lambda: Call(nodes[3], "C held 0").numbers() == [len(calls)], HOLD_MS / 1000, 0.02), "not all hold their locks:",
          [(key, calls[key].answer) for key in calls if calls[key].ended])
    pids, begun = stop_of(nodes), time.monotonic()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    check(not any(call.ended for call in calls.values()), "some ended before the pause: a slow machine",
          [(key, calls[key].answer) for key in calls if calls[key].ended])
    others = {key: Call(nodes[3], f"I {key} 0") for key, (n, _) in holders.items() if n < 3}
    time.sleep(PAUSE_S)
    in_time = {key for key, call in others.items() if call.ended}
    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    acknowledged, tokens, kept = judge(calls, others, holders, redis)
    lost = KEYS - kept
    taken = len([key for key in in_time if others[key].numbers()])
    check(taken >= (len(others) if redis else KEYS // 2), "only", taken, "locks were taken during the pause:", [others[k].answer for k in others])
    check(kept > 0 and (redis or lost > 0), "n4 kept", kept, "and lost", lost)
    for key in calls:
        for node in nodes:
            check(wait_for(lambda: ended_well(node, key, acknowledged, tokens), 20, 0.1), key, "after all:", acknowledged[key])
        check(all(a < b for a, b in zip(tokens[key], tokens[key][1:])), key, "tokens:", tokens[key])
    tap.note(f"{taken} of {len(others)} locks were taken while their holder was stopped; {lost} of {kept + lost} lost with their master;",
             f"all in {time.monotonic() - begun:.1f} s")
    for node in nodes:
        check(node.alive(), "a node died", node.log()[-1500:])
    cluster.remove()


def ended_well(node, key, acknowledged, tokens):
    """One more by this node; a failed one (a node that was stopped is being found again) has pushed nothing."""
    got = Call(node, f"I {key} 0").numbers()
    if not got:
        return False
    acknowledged[key] += 1
    tokens[key].append(got[1])
    check(got[0] == acknowledged[key], key, "is", got[0], "after", acknowledged[key], "acknowledged pushes")
    return True


@tap.test
def a_paused_holder_is_told_embedded():
    return paused(None) if not args or "embedded" in args else "not asked for"


@tap.test
def a_paused_holder_is_told_redis():
    if args and "redis" not in args:
        return "not asked for"
    return paused(Redis().start()) if Redis.here() else "no redis-server here"


sys.exit(tap.run())
