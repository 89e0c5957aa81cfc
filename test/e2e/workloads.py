#!/usr/bin/env python3
"""workloads.py BUILD [TEST...]: the workloads in examples/ on one node and on three, small (TAP).

Training: the loss after HOGWILD SGD is that of a native program on the same examples. Images: the answers
are those of a native program, warm and cold. Matrix: the product is right. On three nodes chained
calls really run on all of them, and a node that ends takes down nothing but what it ran."""
import array
import os
import pathlib
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import threading
import time
import traceback

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "common"))
from cluster import CallFailed, Nodes, descendants  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
EXAMPLES = HERE.parent.parent / "examples"
GENERATE, EPOCH, LOSS = 0, 2, 4  # training.h
PRIVATE, SEVERAL = 1, 2          # flags of training.h and product.h
tests, failed = [], 0
work = tempfile.mkdtemp(prefix=f"wm-workloads-{os.getpid()}-")


def test(function):
    tests.append(function)
    return function


def check(condition, *shown):
    if not condition:
        raise AssertionError(" ".join(str(one) for one in shown) or "check failed")


def guest(name):
    source, module = EXAMPLES / f"{name}.c", os.path.join(work, name.replace("/", "-") + ".wasm")
    if not os.path.exists(module):
        subprocess.run([os.path.join(BUILD, "wardmote"), "build", "--faaslet", "-O3", "-Wall", "-Wextra", "-Werror",
                        str(source), "-o", module], check=True)
    return module


def native(name, *flags):
    program = os.path.join(work, name.replace("/", "-"))
    if not os.path.exists(program):
        subprocess.run(["cc", "-O3", "-ffp-contract=off", "-Wall", "-Wextra", "-Werror", str(EXAMPLES / f"{name}.c"), "-o",
                        program, "-lpthread", "-lm", *flags], check=True)
    return program


# --- Training ---

ROWS, EPOCHS, SEED = 6000, 8, 7


def training(what, flags=0, epoch=0, workers=6, rows=ROWS):
    return struct.pack("<IIQIIIIII", what, flags, SEED, rows, workers, epoch, rows // 13 + 1, 0, 0)


def native_loss(workers):
    out = subprocess.run([native("training/native"), str(ROWS), str(EPOCHS), str(SEED), str(workers)], check=True,
                         capture_output=True, text=True).stdout
    return float(out.split()[0])


def train(nodes, flags, workers=6):
    nodes.tenant("t")
    nodes.put("t", "sgd", guest("training/sgd"))
    nodes[0].call("t", "sgd", training(GENERATE, flags, workers=workers))
    for epoch in range(EPOCHS):
        nodes[0].call("t", "sgd", training(EPOCH, flags, epoch, workers))
    losses = [struct.unpack("<d", node.call("t", "sgd", training(LOSS, flags, EPOCHS, workers)))[0] for node in nodes.nodes]
    check(max(losses) - min(losses) < 1e-9, "nodes disagree:", losses)
    return losses[0]


def same_loss(loss, wanted, tolerance=0.02):
    check(abs(loss / wanted - 1) < tolerance, f"loss {loss}, natively {wanted}")


@test
def training_on_one_node():
    wanted, threads = native_loss(1), native_loss(4)
    check(0.2 < wanted < 0.8, f"the native program does not learn: {wanted}")
    same_loss(threads, wanted)
    with Nodes(BUILD) as nodes:
        # One function at a time takes the examples in the native program's order: the same to the bit.
        exact = train(nodes, 0, workers=1)
        check(abs(exact - wanted) < 1e-8, f"one function: {exact}, natively {wanted}")
    with Nodes(BUILD, flags=["--threads", "4"]) as nodes:
        same_loss(train(nodes, 0), wanted)
        pushed = nodes.counter("wardmote_state_pushed_bytes_total")
        check(pushed > ROWS * 76 * 12 * 0.9, "bytes are not counted:", pushed)


@test
def training_without_sharing():
    with Nodes(BUILD) as nodes:
        loss = train(nodes, PRIVATE)
        check(loss < 0.9, f"it does not learn: {loss}")
        check(nodes.counter("wardmote_state_pulled_bytes_total") > EPOCHS * ROWS * 76 * 12 * 0.9, "the examples are not pulled in each epoch")


@test
def training_on_three_nodes():
    wanted = native_loss(1)
    with Nodes(BUILD, 3) as nodes:
        same_loss(train(nodes, SEVERAL, workers=18), wanted, 0.03)
        ran = [node.counter("wardmote_state_pushed_bytes_total") for node in nodes.nodes]
        check(all(ran), "not all nodes have pushed weights:", ran)


@test
def training_on_redis():
    if not shutil.which("redis-server"):
        return "no redis-server here"
    with Nodes(BUILD, 2, tier="redis") as nodes:
        same_loss(train(nodes, SEVERAL, workers=12), native_loss(1), 0.03)


# --- Images ---

def image(side, seed):
    return bytes((i * i * 7 + i * seed) % 251 for i in range(side * side * 3))


@test
def images_for_many_users():
    program = native("images/native")
    with Nodes(BUILD) as nodes:
        nodes.tenant("t")
        for user in range(12):
            nodes.put("t", f"user{user}", guest("images/classify"))
        cold = 0
        for round_number in range(3):
            for user in range(12):
                pixels = image(96 if user == 5 else 32, user + 1)
                wanted = subprocess.run([program], input=pixels, capture_output=True, check=True).stdout
                got, headers = nodes[0].call("t", f"user{user}", pixels, headers=True)
                check(got == wanted and re.fullmatch(rb"\d -?[\d.]+\n", got), got, "natively", wanted)
                first = "cold=1" in headers["Wardmote-Call"]
                check(first or round_number > 0, "a user's first call was not cold")
                cold += first
        check(cold < 36, "no call was warm")
        for body in (b"", b"x", image(32, 1) + b"x", bytes(96 * 96 * 3 + 1)):
            try:
                nodes[0].call("t", "user0", body)
                check(False, len(body), "bytes passed for an image")
            except CallFailed:
                pass
        check(nodes[0].call("t", "user0", image(32, 1)) == subprocess.run([program], input=image(32, 1), capture_output=True).stdout, "after bad input")


# --- Matrix ---

def product_job(what, size, run, flags=0):
    return struct.pack("<6I", what, flags, size, run, 0, 0)


def element(which, row, column):
    return float((row * 31 + column * 17 + row * column % 23 + which * 7) % 19) - 9


def multiply(nodes, size, run, flags):
    nodes[0].call("t", "product", product_job(0, size, run, flags))
    nodes[0].call("t", "product", product_job(1, size, run, flags))
    got = array.array("d", nodes[0].get_state("t", f"product.{run}"))
    check(len(got) == size * size, len(got), "numbers")
    side = size // 4
    right = [[element(1, k, j) for k in range(size)] for j in range(size)]
    for i in range(size):
        row = [element(0, i, k) for k in range(size)]
        for j in range(size):
            wanted = sum(a * b for a, b in zip(row, right[j]))
            at = got[(i // side * 4 + j // side) * side * side + i % side * side + j % side]
            check(at == wanted, f"element {i},{j} is {at}, not {wanted}")


def chained(nodes):
    return [node.counter("wardmote_chained_calls_total") for node in nodes.nodes]


@test
def matrix_on_one_node():
    with Nodes(BUILD) as nodes:
        nodes.tenant("t")
        nodes.put("t", "product", guest("matrix/product"))
        multiply(nodes, 64, 1, 0)
        check(chained(nodes) == [81.0], "chained calls: 8 + 64 + 9, not", chained(nodes))
        multiply(nodes, 32, 2, PRIVATE)


@test
def matrix_on_three_nodes():
    with Nodes(BUILD, 3) as nodes:
        nodes.tenant("t")
        nodes.put("t", "product", guest("matrix/product"))
        for run in range(4):
            multiply(nodes, 48, run, SEVERAL)
        handed = nodes.counter("wardmote_calls_handed_on_total")
        check(handed >= 8, "calls went to other nodes:", handed)
        # A call that was handed on counts where it ran as a call of the node, one that stayed as a chained one.
        check(sum(chained(nodes)) + handed >= 4 * 81, chained(nodes), handed)
        others = [node.counter("wardmote_state_pushed_bytes_total") for node in nodes.nodes[1:]]
        check(all(others), "the other nodes computed nothing:", others)


# --- Chained calls among nodes, when things go wrong ---

SLOW = r"""
#include <errno.h>
#include <faaslet.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
/* "sN": sleeps N ms and gives "done N". "pN": chains 12 of it, adds up what they gave. "tN": the same
 * with short waits. "fN": chains 12 and ends at once. */
FAASLET_MAIN
{
    char input[16] = {0}, part[16], output[32];
    int32_t len = faaslet_input(input, sizeof input - 1);
    unsigned ms = 0, ended = 0, lost = 0;
    if (len < 2 || sscanf(input + 1, "%u", &ms) != 1) return EINVAL;
    if (input[0] == 's') {
        struct timespec wait = {ms / 1000, ms % 1000 * 1000000};
        nanosleep(&wait, NULL);
        len = snprintf(output, sizeof output, "done %u", ms);
        return faaslet_output(output, (uint32_t)len);
    }
    int64_t ids[12];
    len = snprintf(part, sizeof part, "s%u", ms);
    for (int i = 0; i < 12; i++) ids[i] = faaslet_chain("slow", 4, part, (uint32_t)len);
    for (int i = 0; i < 12 && input[0] != 'f'; i++) {
        int32_t rc;
        while ((rc = faaslet_await(ids[i], input[0] == 't' ? 3 : UINT32_MAX)) == -ETIMEDOUT) {}
        snprintf(part, sizeof part, "done %u", ms);
        if (rc == 0 && faaslet_chained_output(ids[i], 0, output, sizeof output) == (int32_t)strlen(part) &&
            memcmp(output, part, strlen(part)) == 0) ended++;
        else lost++;
    }
    len = snprintf(output, sizeof output, "%u %u", ended, lost);
    return faaslet_output(output, (uint32_t)len);
}
"""


def slow_module():
    source = os.path.join(work, "slow.c")
    with open(source, "w") as file:
        file.write(SLOW)
    module = os.path.join(work, "slow.wasm")
    subprocess.run([os.path.join(BUILD, "wardmote"), "build", "--faaslet", source, "-o", module], check=True)
    return module


@test
def chained_calls_run_on_other_nodes():
    module = slow_module()
    with Nodes(BUILD, 3, flags=["--threads", "1"]) as nodes:
        nodes.tenant("t")
        nodes.put("t", "slow", module)
        for what in ("p40", "t40"):
            before = nodes[0].counter("wardmote_calls_handed_on_total")
            check(nodes[0].call("t", "slow", what.encode()) == b"12 0", what)
            handed = nodes[0].counter("wardmote_calls_handed_on_total") - before
            check(handed >= 4, f"{what}: only {handed} of 12 went elsewhere")
        # Results that nobody awaits are dropped, and do no harm.
        for _ in range(5):
            nodes[0].call("t", "slow", b"f20")
        check(nodes[0].call("t", "slow", b"p1") == b"12 0", "after results that nobody awaited")
        # A call that is cut off while it waits for another node leaves its executor's stream in order.
        time.sleep(1.2)  # until the nodes have heard of each other's rest
        for _ in range(3):
            status = nodes[0].ask("POST", "/v1/call/slow?tenant=t&timeout_ms=200", b"p500").status
            check(status == 504, status)
        for _ in range(8):
            check(nodes[0].call("t", "slow", b"s1") == b"done 1", "after a deadline")
        check(nodes[0].call("t", "slow", b"p1") == b"12 0", "after a deadline")
        check(nodes[0].log().count("event=died") == 0, nodes[0].log())


@test
def functions_that_other_nodes_do_not_have():
    module = slow_module()
    with Nodes(BUILD, 3, flags=["--threads", "1"]) as nodes:
        nodes.tenant("t")
        nodes[0].put("t", "slow", module)
        check(nodes[0].call("t", "slow", b"p5") == b"12 0", "they run where they were uploaded")


@test
def a_node_that_dies_takes_its_calls_alone():
    module = slow_module()
    with Nodes(BUILD, 3, flags=["--threads", "1"]) as nodes:
        nodes.tenant("t")
        nodes.put("t", "slow", module)
        got = []
        caller = threading.Thread(target=lambda: got.append(nodes[0].call("t", "slow", b"p1500")))
        caller.start()
        time.sleep(0.7)
        for pid in reversed(descendants(nodes[2].process.pid)):
            os.kill(pid, 9)
        caller.join(60)
        check(got, "the call did not end")
        ended, lost = (int(word) for word in got[0].split())
        check(ended + lost == 12 and lost >= 1, "calls of the dead node:", got[0])
        check(nodes[0].call("t", "slow", b"p5") == b"12 0", "afterwards")


def main():
    global failed
    wanted = sys.argv[2:]
    chosen = [one for one in tests if not wanted or one.__name__ in wanted]
    print(f"1..{len(chosen)}", flush=True)
    for number, one in enumerate(chosen, 1):
        try:
            skipped = one()
            print(f"ok {number} - {one.__name__}" + (f" # SKIP {skipped}" if skipped else ""), flush=True)
        except Exception:
            failed += 1
            print(f"not ok {number} - {one.__name__}")
            for line in traceback.format_exc().splitlines():
                print("#", line)
            sys.stdout.flush()
    shutil.rmtree(work, ignore_errors=True)
    sys.exit(failed != 0)


main()
