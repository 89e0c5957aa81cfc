#!/usr/bin/env python3
"""Three nodes as one service: what is changed on one is so on all, whatever happens in between.

Usage: cluster.py BUILD [TEST...]. Every node reaches each other one through a relay of its own (test/common/relay.c), so
that any pair can be parted. Prints TAP. REDIS=1: with Redis as the global tier."""
import http.client
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
import nodes  # noqa: E402
from nodes import ROOT, Redis, Tap, check, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
WORK = tempfile.mkdtemp(prefix=f"wm-cluster-{os.getpid()}-")
SOURCE = r"""
#include <faaslet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#ifdef LARGE
volatile char large[LARGE] = {1};
#endif
#ifdef CHAINS
FAASLET_MAIN
{
    char text[256];
    int64_t id = faaslet_chain("swap", 4, "", 0);
    if (id < 0 || faaslet_await(id, 20000) != 0) {
        return 1;
    }
    int32_t len = faaslet_chained_output(id, 0, text, sizeof text);
    return len < 0 || len > (int32_t)sizeof text || faaslet_output(text, (uint32_t)len) < 0;
}
#else
FAASLET_MAIN
{
    char text[256], secret[64] = "-";
#ifdef SLEEP_MS
    nanosleep(&(struct timespec){.tv_nsec = SLEEP_MS * 1000000}, NULL);
#endif
    int32_t got = faaslet_secret("WORD", 4, secret, sizeof secret - 1);
    const char *env = getenv("MOOD");
    if (got > 0 && got < (int32_t)sizeof secret) {
        secret[got] = 0;
    }
    int len = snprintf(text, sizeof text, "%s %s %s", TAG, env ? env : "-", got > 0 ? secret : "-");
    return faaslet_output(text, (uint32_t)len) < 0;
}
#endif
"""
tap = Tap(sys.argv[2:])
test = tap.test
redis = None


def module(tag, *flags):
    """A function that answers `tag`, with its environment and secret."""
    path = os.path.join(WORK, tag)
    if not os.path.exists(path + ".wasm"):
        with open(path + ".c", "w", encoding="utf-8") as file:
            file.write(SOURCE)
        subprocess.run([BUILD + "/wardmote", "build", "--faaslet", f'-DTAG="{tag}"', *flags, path + ".c", "-o",
                        path + ".wasm"], check=True, env=dict(os.environ, WARDMOTE_SHARE=ROOT))
    with open(path + ".wasm", "rb") as file:
        return file.read()


class Node(nodes.Node):
    def do(self, method, path, body=None):
        answer = self.ask(method, path, body)
        check(answer.status in (200, 201, 202, 204), method, path, "on", self.name, ":", answer.status, answer.body[:300])
        return json.loads(answer.body) if answer.body[:1] in (b"{", b"[") else answer.body

    def put(self, name, tag, *flags):
        return self.do("PUT", "/v1/functions/" + name, module(tag, *flags))["version"]

    def call(self, name, token=None):
        answer = self.ask("POST", "/v1/call/" + name, b"", token=token)
        return answer.body.decode() if answer.status == 200 else answer.status

    def says(self, name, word, within=5.0, token=None):
        """The call answers `word` soon; how long that took."""
        start, got = time.monotonic(), None
        while time.monotonic() - start < within:
            got = self.call(name, token)
            if got == word:
                return time.monotonic() - start
            time.sleep(0.02)
        raise AssertionError(f"{name} on {self.name}: {got!r} and not {word!r} after {within} s")

    def eventually(self, method, path, status, within=8.0):
        start = time.monotonic()
        while time.monotonic() - start < within:
            answer = self.ask(method, path)
            if answer.status == status:
                return answer
            time.sleep(0.05)
        raise AssertionError(f"{method} {path} on {self.name}: {answer.status} and not {status}: {answer.body[:200]}")


class Cluster(nodes.Cluster):
    def __init__(self, count=3, start=True):
        super().__init__(BUILD, count, redis, node=Node, start=start)
        if start:
            self.wait_alive()

    def tell(self, pairs, *lines):
        for i, j in pairs:
            for line in lines:
                self.relays[i, j].say(line)
                self.relays[j, i].say(line)

    def part(self, *pairs):
        self.tell(pairs, "partition", "refuse")

        def parted():
            states = [p["state"] for i, j in pairs for a, b in ((i, j), (j, i))
                      for p in self.nodes[a].do("GET", "/v1/node")["peers"] if p["name"] == self.nodes[b].name]
            return all(s == "dead" for s in states)
        check(wait_for(parted, 15), "the nodes still see each other")

    def heal(self, *pairs):
        self.tell(pairs, "reset", "heal", "accept")
        self.wait_alive()

    def close(self):
        statuses = [node.stop() for node in self.nodes]
        self.remove()
        check(all(s == 0 for s in statuses), "exit statuses", statuses)


def shared():
    if not shared.cluster:
        shared.cluster = Cluster()
    return shared.cluster.nodes


shared.cluster = None


@test
def uploaded_on_one_called_on_another_within_a_second():
    n1, n2, n3 = shared()
    check(n1.put("hello", "one") == 1)
    # Known within a second; the first call also compiles, which may take its time on a busy machine.
    n3.eventually("GET", "/v1/functions/hello", 200, 1.0)
    took = n3.says("hello", "one - -")
    print(f"# called after {took:.2f} s")
    told = n3.do("GET", "/v1/node")
    check(told["scheduler"]["handed_on"] == 0 and told["workers"]["loads"] >= 1, told)
    n2.says("hello", "one - -", 1.0)


@test
def a_token_made_on_one_works_on_another_until_it_is_revoked():
    n1, n2, _ = shared()
    token = n1.do("POST", "/v1/tenants/default/tokens", {"role": "invoke"})
    n2.says("hello", "one - -", 2.0, token["token"])
    check(n2.call("hello", "wmt_" + 64 * "0") == 401)
    n2.do("DELETE", "/v1/tenants/default/tokens/" + token["id"])
    end = time.monotonic() + 2
    while n1.call("hello", token["token"]) != 401:
        check(time.monotonic() < end, "still valid")
        time.sleep(0.02)


@test
def environment_secrets_aliases_and_rollback_spread():
    n1, n2, n3 = shared()
    n2.do("PUT", "/v1/functions/hello/env", {"MOOD": "merry"})
    n1.says("hello", "one merry -")
    n3.do("PUT", "/v1/functions/hello/secrets/WORD", b"abracadabra")
    for node in (n1, n2, n3):
        node.says("hello", "one merry abracadabra")
    check(n2.put("hello", "two") == 2)
    n1.says("hello", "two merry abracadabra")
    n1.do("PUT", "/v1/functions/hello/aliases/stable", {"version": 1})
    n3.says("hello:stable", "one merry abracadabra")
    n3.do("POST", "/v1/functions/hello/rollback")
    for node in (n1, n2):
        node.says("hello", "one merry abracadabra")
    for node in (n1, n2, n3):
        with open(node.data + "/data/data.mdb", "rb") as file:
            check(b"abracadabra" not in file.read(), "a secret is readable on", node.name)


@test
def tenants_routes_and_quotas_spread_and_so_does_their_removal():
    n1, n2, n3 = shared()
    n1.do("PUT", "/v1/tenants/acme", {"quota": {"calls_per_s": 1000}})
    n2.eventually("GET", "/v1/tenants/acme", 200)
    n2.do("PUT", "/v1/functions/shop?tenant=acme", module("one"))
    n3.eventually("GET", "/v1/functions/shop?tenant=acme", 200)
    n3.do("PUT", "/v1/routes/all?tenant=acme", {"method": "*", "path": "/*", "function": "shop", "public": True})
    answer = n1.eventually("GET", "/r/acme/x", 200)
    check(answer.body == b"one - -", answer.body)
    n2.do("PUT", "/v1/tenants/acme", {"quota": {"calls_per_s": 7}})
    end = time.monotonic() + 3
    while json.loads(n3.ask("GET", "/v1/tenants/acme").body)["quota"]["calls_per_s"] != 7:
        check(time.monotonic() < end, "the quota does not come")
        time.sleep(0.02)
    n3.do("DELETE", "/v1/tenants/acme")
    for node in (n1, n2):
        node.eventually("GET", "/v1/tenants/acme", 404)
    n1.do("DELETE", "/v1/functions/hello")
    for node in (n2, n3):
        node.eventually("GET", "/v1/functions/hello", 404)


@test
def a_function_made_anew_has_nothing_of_the_one_before():
    n1, n2, n3 = shared()
    n1.put("again", "one")
    n2.says("again", "one - -")
    n2.do("DELETE", "/v1/functions/again")
    n3.eventually("GET", "/v1/functions/again", 404)
    check(n3.put("again", "two") == 1)
    n1.says("again", "two - -")
    check(len(n1.do("GET", "/v1/functions/again")["versions"]) == 1)


@test
def large_modules_come_in_parts():
    n1, _, n3 = shared()
    n1.put("big", "six", "-DLARGE=9000001", "-Wl,--export=large")
    check(len(module("six")) > 9000000, "not large:", len(module("six")))
    n3.says("big", "six - -", 20)


@test
def a_rollback_elsewhere_reaches_workers_that_run():
    """Also those that have looked a name up before, for a call that they chained."""
    n1, n2, _ = shared()
    n1.put("swap", "one")
    n1.put("swap", "two")
    for _ in range(5):
        n1.says("swap", "two - -")
    n2.says("swap", "two - -")
    n1.put("outer", "outer", "-DCHAINS")
    for _ in range(5):
        n1.says("outer", "two - -")
    n2.do("POST", "/v1/functions/swap/rollback")
    n1.says("swap", "one - -", 1.0)
    n1.says("outer", "one - -", 1.0)
    n1.do("PUT", "/v1/functions/swap/aliases/latest", {"version": 2})
    n1.says("outer", "two - -", 1.0)


@test
def routes_made_at_once_on_all_nodes_are_all_kept():
    nodes = shared()
    nodes[0].put("road", "one")
    for i in range(12):
        nodes[i % 3].do("PUT", f"/v1/routes/r{i}", {"method": "*", "path": f"/p{i}", "function": "road"})
    nodes[1].do("DELETE", "/v1/routes/r1")
    for node in nodes:
        end = time.monotonic() + 8
        while len(have := {r["name"] for r in node.do("GET", "/v1/routes")["routes"]}) != 11 or "r1" in have:
            check(time.monotonic() < end, node.name, "has", sorted(have))
            time.sleep(0.05)


@test
def a_cron_trigger_is_called_by_one_node():
    nodes = shared()
    nodes[0].put("tick", "one")
    # Every minute is as often as it gets: so one minute's beginning has to be waited for.
    for i in range(6):
        nodes[i % 3].do("PUT", f"/v1/crons/c{i}", {"schedule": "* * * * *", "function": "tick"})
    def fired():
        got = 0
        for node in nodes:
            found = re.search(rb"^wardmote_cron_[a-z_]*total(?:{[^}]*})? (\d+)", node.ask("GET", "/metrics").body, re.M)
            check(found, node.ask("GET", "/metrics").body[:2000])
            got += int(found.group(1))
        return got
    before = fired()
    time.sleep(60 - time.time() % 60 + 4)
    now = fired()
    check(now - before in (6, 12), "six triggers fired", now - before, "times")
    for i in range(6):
        nodes[(i + 1) % 3].do("DELETE", f"/v1/crons/c{i}")


@test
def asynchronous_results_are_where_the_call_was_taken():
    n1, n2, _ = shared()
    n1.put("later", "one")
    n2.says("later", "one - -")
    made = n1.do("POST", "/v1/call/later?async=1", b"")
    answer = n2.ask("GET", "/v1/calls/" + made["id"])
    check(answer.status == 404 and b"node" in answer.body, answer.status, answer.body)
    state = n1.do("GET", f"/v1/calls/{made['id']}?wait_ms=5000")
    check(state["state"] == "done", state)


@test
def images_made_elsewhere_need_their_signature_and_their_bytes():
    n1, _, n3 = shared()
    shared.cluster.part((0, 2), (1, 2))
    n1.put("forged", "three")
    shared.cluster.nodes[1].says("forged", "three - -")
    image = None
    for node in shared.cluster.nodes[:2]:
        for name in os.listdir(node.data + "/images"):
            if name.endswith(".image") and not os.path.exists(n3.data + "/images/" + name):
                image = name
                with open(f"{node.data}/images/{name}", "r+b") as file:
                    file.seek(-1, 2)
                    byte = file.read(1)
                    file.seek(-1, 2)
                    file.write(bytes([byte[0] ^ 1]))
    check(image, "no image to change")
    shared.cluster.heal((0, 2), (1, 2))
    n3.eventually("GET", "/v1/functions/forged", 200)
    answer = n3.ask("POST", "/v1/call/forged", b"")
    check(answer.status == 422 and b"bytes" in answer.body, answer.status, answer.body)
    check(not os.path.exists(n3.data + "/images/" + image), "kept what was refused")


@test
def images_signed_by_strangers_or_for_others_are_refused():
    n1, n2, n3 = shared()
    stranger = Node(BUILD, name="n1")
    stranger.put("strange", "four")
    stranger.stop()
    shared.cluster.part((0, 2), (1, 2))
    before = set(os.listdir(n1.data + "/images"))
    n1.put("strange", "four")
    n1.put("swapped", "five")
    n2.says("strange", "four - -")
    n2.says("swapped", "five - -")
    made = {name for name in set(os.listdir(n1.data + "/images")) - before if name.endswith(".manifest")}
    theirs = [name for name in os.listdir(stranger.data + "/images") if name.endswith(".manifest")]
    check(len(made) == 2 and len(theirs) == 1 and theirs[0] in made, made, theirs)
    other = (made - set(theirs)).pop()
    with open(f"{n1.data}/images/{theirs[0]}", "rb") as file:
        right = file.read()
    with open(f"{stranger.data}/images/{theirs[0]}", "rb") as file:
        wrong = file.read()
    for node in (n1, n2):
        for name, content in ((theirs[0], wrong), (other, right)):
            with open(f"{node.data}/images/{name}", "wb") as file:
                file.write(content)
    shared.cluster.heal((0, 2), (1, 2))
    for name, why in (("strange", b"trust"), ("swapped", b"another module")):
        n3.eventually("GET", "/v1/functions/" + name, 200)
        answer = n3.ask("POST", "/v1/call/" + name, b"")
        check(answer.status == 422 and why in answer.body, name, answer.status, answer.body)


@test
def calls_for_a_node_that_cannot_be_reached_run_here():
    """In the time before it counts as dead: what was never sent did not run there, so it may run here, declared or not."""
    (n1, n2, n3), cluster = shared(), shared.cluster
    n1.put("slow", "slow", "-DSLEEP_MS=100")
    for node in (n1, n2, n3):
        node.says("slow", "slow - -")
    before = n1.do("GET", "/v1/node")["scheduler"]
    for link in ((0, 1), (0, 2)):
        cluster.relays[link].say("refuse")
        cluster.relays[link].say("reset")
    ends = []
    threads = [threading.Thread(target=lambda: ends.append(n1.call("slow"))) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for link in ((0, 1), (0, 2)):
        cluster.relays[link].say("accept")
    after = n1.do("GET", "/v1/node")["scheduler"]
    check(ends == ["slow - -"] * 40, ends)
    check(after["hand_on_failed"] > before["hand_on_failed"], "none was to be handed on:", before, after)
    cluster.wait_alive()


@test
def who_was_down_catches_up():
    n1, n2, n3 = shared()
    n1.put("gone", "one")
    n3.says("gone", "one - -")
    check(n3.stop() == 0)
    n1.put("missed", "two")
    n2.says("missed", "two - -")
    n2.do("PUT", "/v1/functions/missed/env", {"MOOD": "late"})
    n2.do("DELETE", "/v1/functions/gone")
    n3.start()
    shared.cluster.wait_alive()
    n3.says("missed", "two late -")
    n3.eventually("GET", "/v1/functions/gone", 404)


@test
def uploads_on_both_sides_of_a_partition_are_both_kept():
    n1, n2, n3 = shared()
    check(n1.put("both", "one") == 1)
    n2.says("both", "one - -")
    n3.says("both", "one - -")
    shared.cluster.part((0, 1), (1, 2))
    check(n1.put("both", "two") == 2)
    check(n2.put("both", "three") == 2)
    n1.do("PUT", "/v1/functions/both/aliases/left", {"version": 2})
    shared.cluster.heal((0, 1), (1, 2))
    for node in (n1, n2, n3):
        end = time.monotonic() + 10
        while len(node.do("GET", "/v1/functions/both")["versions"]) != 3:
            check(time.monotonic() < end, node.name, node.do("GET", "/v1/functions/both"))
            time.sleep(0.05)
        node.says("both@2", "two - -")
        node.says("both@3", "three - -")
    shown = [json.dumps(n.do("GET", "/v1/functions/both"), sort_keys=True) for n in (n1, n2, n3)]
    check(shown[0] == shown[1] == shown[2], shown)


@test
def a_kill_loses_nothing_that_was_acknowledged():
    cluster = shared.cluster
    n1, n2, n3 = shared()
    kept, stop = [], threading.Event()

    def write(node, prefix):
        for i in range(10000):
            if stop.is_set():
                return
            try:
                name = f"{prefix}{i}"
                if node.ask("PUT", "/v1/tenants/" + name, {}).status == 200:
                    kept.append(name)
            except (OSError, http.client.HTTPException):
                time.sleep(0.05)

    threads = [threading.Thread(target=write, args=(n, f"kill-{n.name}-")) for n in (n1, n2)]
    for thread in threads:
        thread.start()
    for victim in (n1, n3, n2):
        time.sleep(0.7)
        victim.kill()
        victim.start()
    time.sleep(0.3)
    stop.set()
    for thread in threads:
        thread.join()
    cluster.wait_alive()
    check(len(kept) > 20, "only", len(kept))
    wanted = set(kept)
    for node in (n1, n2, n3):
        end = time.monotonic() + 20
        while True:
            have = {t["name"] for t in node.do("GET", "/v1/tenants")["tenants"]}
            if wanted <= have:
                break
            check(time.monotonic() < end, node.name, "lacks", sorted(wanted - have)[:5])
            time.sleep(0.2)
    print(f"# {len(kept)} acknowledged")


@test
def a_node_that_joins_brings_its_secrets_and_undoes_nothing():
    cluster = Cluster(2, start=False)
    try:
        n1, n2 = cluster.nodes
        joined, n2.flags = n2.flags, ["--name", "n2"]
        n2.start()
        n2.put("own", "one")
        n2.do("PUT", "/v1/functions/own/secrets/WORD", b"sesame")
        n2.says("own", "one - sesame")
        check(n2.stop() == 0)
        n2.flags = joined
        n1.start()
        n1.do("PUT", "/v1/tenants/default", {"quota": {"calls_per_s": 4321}})
        n2.start()
        cluster.wait_alive()
        n1.says("own", "one - sesame")
        n2.says("own", "one - sesame")
        end = time.monotonic() + 5
        for node in (n1, n2):
            while json.loads(node.ask("GET", "/v1/tenants/default").body)["quota"]["calls_per_s"] != 4321:
                check(time.monotonic() < end, node.name, "has another quota")
                time.sleep(0.05)
    finally:
        cluster.close()


@test
def all_nodes_end_with_0():
    if shared.cluster:
        shared.cluster.close()


def main():
    global redis
    if os.environ.get("REDIS"):
        redis = Redis().start()
    try:
        return tap.run()
    finally:
        shutil.rmtree(WORK, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
