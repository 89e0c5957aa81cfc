#!/usr/bin/env python3
"""Every host function with arguments that no honest guest gives, while others change the memory they point to.

    hostcalls.py BUILD [--rounds N]

The guest is made here, out of the signatures in the host's own tables, so a new function is called from the day it
exists: module "faaslet", "wardmote_socket" and all of WASI. Each call of it makes 3,000 calls of functions and with
arguments chosen by a generator: pointers and lengths at the edges of memory and of 32 bits, overlapping ones, ones into
a mapped state value; descriptors that are open, are not, and cannot be. At the same time other calls of the same
function write into that value without pause. A call may end as it likes but for one way: with its worker. SEED=N."""
import collections
import os
import random
import re
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import ROOT, Node, Tap, check, json, seed_of, wait_for  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
ROUNDS = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 60
CALLS = 3000
PAGES = 4
tap = Tap()
numbers = random.Random(seed_of(sys.argv))

# Not asked to: ends the call at once; waits as long as it is told to (a deadline ends it, which costs time).
LEFT_OUT = {"proc_exit"}
RARE = {"poll_oneoff", "sched_yield", "http_fetch", "resolve", "chain", "chain_this", "await", "state_lock",
        "state_lock_global", "connect"}


def signatures():
    found = []
    folder = os.path.join(ROOT, "src/faaslet")
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".c") or "test" in name:
            continue
        text = open(os.path.join(folder, name)).read()
        for function, signature in re.findall(r'(?:FUNC\(|\{"faaslet", )"(\w+)", "([iI]*:[iI]?)"', text):
            found.append(("faaslet", function, signature))
        if name == "state_calls.c":
            for function, signature in re.findall(r'X\((\w+), "([iI]*:[iI]?)"\)', text):
                found.append(("faaslet", "state_" + function, signature))
    text = open(os.path.join(ROOT, "src/wasi/types.h")).read()
    wasi, net = text.split("#define WASI_NET_FUNC_TABLE")
    for part, module in ((wasi, "wasi_snapshot_preview1"), (net, "wardmote_socket")):
        for function, signature in re.findall(r'X\((\w+), "([iI]*:[iI]?)"\)', part):
            found.append((module, function, signature))
    return [f for f in found if f[1] not in LEFT_OUT]


def kind(letter):
    return {"i": "i32", "I": "i64"}[letter]


def guest(functions):
    """The call's input: 8 bytes of seed, and a byte: 1 to write into the shared value all the time instead."""
    edges = [0, 1, 2, 3, 4, 5, 7, 8, 16, 100, 255, 256, 257, 1024, 4096, 65535, 65536, 65537, PAGES * 65536 - 1,
             PAGES * 65536 - 8, PAGES * 65536, PAGES * 65536 + 1, (1 << 31) - 1, 1 << 31, (1 << 31) + 1, (1 << 32) - 1,
             (1 << 32) - 8, (1 << 32) - 65536, 2048, 2050, 2052, 3000]
    check(len(edges) == 32)
    lines = ["(module"]
    for i, (module, name, signature) in enumerate(functions):
        params, result = signature.split(":")
        lines.append(f'(import "{module}" "{name}" (func $f{i}' + "".join(f" (param {kind(p)})" for p in params) +
                     (f" (result {kind(result)})" if result else "") + "))")
    lines += [f'(memory (export "memory") {PAGES} 64)',
              "(table 4 funcref) (elem (i32.const 1) $nothing)",
              "(global $x (mut i64) (i64.const 1)) (global $shared (mut i32) (i32.const 0))",
              "(func $nothing (result i32) i32.const 0)",
              '(data (i32.const 2048) "shared" "\\00" "note" "\\00" "../../etc/passwd\\00/proc/self/maps\\00victim\\00")',
              '(data (i32.const 1024) "' + "".join(f"\\{b:02x}" for e in edges for b in e.to_bytes(4, "little")) + '")',
              """(func $next (result i32)
                   (global.set $x (i64.add (i64.mul (global.get $x) (i64.const 6364136223846793005))
                                           (i64.const 1442695040888963407)))
                   (i32.wrap_i64 (i64.shr_u (global.get $x) (i64.const 33))))
                 (func $arg (result i32) (local $how i32)
                   (local.set $how (i32.and (call $next) (i32.const 7)))
                   (if (result i32) (i32.lt_u (local.get $how) (i32.const 5))
                     (then (i32.load offset=1024 (i32.shl (i32.and (call $next) (i32.const 31)) (i32.const 2))))
                     (else (if (result i32) (i32.eq (local.get $how) (i32.const 5))
                       (then (i32.add (global.get $shared) (i32.and (call $next) (i32.const 0x1fff))))
                       (else (if (result i32) (i32.eq (local.get $how) (i32.const 6))
                         (then (i32.and (call $next) (i32.const 15)))
                         (else (i32.and (call $next) (i32.const 0x3ffff)))))))))
                 (func $wide (result i64) (i64.or (i64.shl (i64.extend_i32_u (call $arg)) (i64.const 32))
                                                  (i64.extend_i32_u (call $arg))))"""]
    lines.append("(func $one (param $which i32)")
    lines.append(" ".join(f"(block $b{i}" for i in reversed(range(len(functions) + 1))))
    lines.append("(br_table " + " ".join(f"$b{i}" for i in range(len(functions))) + f" $b{len(functions)}" +
                 " (local.get $which)))")
    for i, (_, name, signature) in enumerate(functions):
        params, result = signature.split(":")
        rare = "(if (i32.and (call $next) (i32.const 31)) (then return))" if name in RARE else ""
        arguments = " ".join("(call $arg)" if p == "i" else "(call $wide)" for p in params)
        lines.append(f"{rare} (call $f{i} {arguments}) {'drop' if result else ''} return)")
    lines.append(")")
    number = {name: i for i, (module, name, _) in enumerate(functions) if module == "faaslet"}
    lines.append(f"""(func (export "faaslet_main") (result i32) (local $i i32)
        (drop (call $f{number['input_read']} (i32.const 0) (i32.const 0) (i32.const 9)))
        (global.set $x (i64.load (i32.const 0)))
        (drop (call $f{number['state_create']} (i32.const 2048) (i32.const 6) (i32.const 8192)))
        (global.set $shared (call $f{number['state_map']} (i32.const 2048) (i32.const 6) (i32.const 0) (i32.const 0)
                                                       (i32.const 0)))
        (if (i32.eqz (global.get $shared)) (then (return (i32.const 3))))
        (if (i32.load8_u (i32.const 8)) (then (loop $write
            (i32.store (i32.add (global.get $shared) (i32.and (call $next) (i32.const 0x1ffc))) (call $arg))
            (br_if $write (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const 20000000))))
            (return (i32.const 0))))
        (loop $again
            (call $one (i32.rem_u (call $next) (i32.const {len(functions)})))
            (br_if $again (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {CALLS}))))
        (i32.const 0)))""")
    text = "\n".join(lines)
    with tempfile.TemporaryDirectory() as folder:
        with open(folder + "/guest.wat", "w") as f:
            f.write(text)
        done = subprocess.run(["wat2wasm", folder + "/guest.wat", "-o", folder + "/guest.wasm"],
                              stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        check(done.returncode == 0, done.stdout[:2000])
        with open(folder + "/guest.wasm", "rb") as f:
            return f.read()


@tap.test
def the_guest_calls_everything():
    functions = signatures()
    names = {(module, name) for module, name, _ in functions}
    header = open(os.path.join(ROOT, "sdk/faaslet.h")).read()
    for name in re.findall(r"^(?:FAASLET_IMPORT)\((\w+)\)", header, re.M):
        if ("faaslet", name) not in names:
            tap.note("of the SDK, not in the host's tables:", name)
    check(len(names) > 80, "only", len(names), "functions were found in the tables")
    node.put("guest", guest(functions), query=f"memory={8 << 20}&timeout_ms=3000")


@tap.test
def no_arguments_end_a_worker():
    ends = collections.Counter()
    stop = threading.Event()

    def change():
        while not stop.is_set():
            node.call("guest", numbers.getrandbits(64).to_bytes(8, "little") + b"\1", query="timeout_ms=2000")
    thread = threading.Thread(target=change, daemon=True)
    thread.start()
    try:
        for i in range(ROUNDS):
            seed = numbers.getrandbits(64)
            died = node.json("GET", "/v1/node")["workers"]["died"]
            answer = node.call("guest", seed.to_bytes(8, "little") + b"\0", query="timeout_ms=2000")
            code = "ok" if answer.status == 200 else json.loads(answer.body)["error"]["code"]
            ends[code if answer.headers.get("Wardmote-Return-Code") is None else "ok"] += 1
            check(answer.headers.get("Wardmote-Return-Code") != "3", "the shared value is not mapped")
            check(code not in ("worker-died", "node-died"), "round", i, "seed", seed, "ended the worker:", answer.body,
                  node.log()[-1500:])
            check(node.json("GET", "/v1/node")["workers"]["died"] == died, "seed", seed, "a worker died",
                  node.log()[-1500:])
            check(node.alive(), "seed", seed, "the node died", node.log()[-1500:])
    finally:
        stop.set()
        thread.join(20)
    tap.note("ends:", dict(ends))
    check(ends["ok"] > ROUNDS // 10, "few calls came to their end: the functions are not reached", dict(ends))


@tap.test
def the_tenant_and_its_neighbour_are_well():
    chaos = open(os.path.join(ROOT, "test/e2e/faaslet/chaos.c")).read()
    check(chaos)
    node.tenant("other")
    from nodes import build_guest
    node.put("echo", build_guest(BUILD, "test/e2e/faaslet/chaos.c"), "other")
    node.put("echo", build_guest(BUILD, "test/e2e/faaslet/chaos.c"))
    for tenant in ("other", "default"):
        check(wait_for(lambda: node.call("echo", b"E abc", tenant).body == b"cba", 20), tenant, "is not well")
    check(node.json("GET", "/v1/state?tenant=other")["keys"] == [], "the guest wrote into another tenant's state")


node = Node(BUILD)
node.ask("PUT", "/v1/files/note", b"a file that may be read")
sys.exit(tap.run())
