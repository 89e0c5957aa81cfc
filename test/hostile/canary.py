#!/usr/bin/env python3
"""Secrets of one call are never found by the next: in memory, files, descriptors, environment, channel, state.

    canary.py BUILD [--calls N]

A tenant's functions run in one worker process, in slots that they take from each other; tenants of one trust class
must not get at each other's things either. A call leaves a secret everywhere it can (test/e2e/faaslet/canary.c), ends by itself, by a trap
or by its deadline, and other calls look for it: of the same function, of another one, of the other tenant; with and
without a Proto-Faaslet, suspended ones, with memories of several sizes. There are more functions than slots.

Not searched: the worker's own memory outside of Faaslets, which is no promise. SEED=N plays a run again."""
import os
import random
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import ROOT, Node, Tap, ask, build_guest, check, seed_of  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
CALLS = int(sys.argv[sys.argv.index("--calls") + 1]) if "--calls" in sys.argv else 400
SOURCE = "test/e2e/faaslet/canary.c"
KINDS = (("image", "faaslet"), ("plain", "command"), ("held", "suspended"))
SIZES = ("24M", "40M", "96M")
EACH = 5  # functions of each kind and size, and tenant: 90 in all
tap = Tap()
numbers = random.Random(seed_of(sys.argv))
node = None


def pattern():
    return bytes(numbers.randrange(1, 256) for _ in range(16))


def inverted(data):
    return bytes(255 - byte for byte in data)


class Client:
    def __init__(self):
        self.connection = node.connect(60)

    def call(self, tenant, name, body, query=""):
        return ask(self.connection, "POST", f"/v1/call/{name}?tenant={tenant}{query}", body)


def upload():
    modules = {"image": build_guest(BUILD, SOURCE),
               "plain": build_guest(BUILD, SOURCE, "-DPROGRAM", "-O2", "-I", os.path.join(ROOT, "sdk"))}
    with tempfile.TemporaryDirectory() as folder:
        plain, held = folder + "/plain.wasm", folder + "/held.wasm"
        with open(plain, "wb") as f:
            f.write(modules["plain"])
        subprocess.run([BUILD + "/wardmote", "compile", "--suspendable", plain, "-o", held, "--cache", folder],
                       check=True, stdout=subprocess.DEVNULL, env=node.env)
        with open(held, "rb") as f:
            modules["held"] = f.read()
    names = []
    for tenant in ("a", "b"):
        node.tenant(tenant, trust_class="together", quota={"calls_running": 64})
        for kind, asked in KINDS:
            for size in SIZES:
                for i in range(EACH):
                    name = f"{kind}-{size.lower()}-{i}"
                    node.put(name, modules[kind], tenant,
                             f"kind={asked}&memory={int(size[:-1]) << 20}&timeout_ms=5000")
                    names.append((tenant, name))
    return names


def look(client, tenant, name, secret, own, before):
    answer = client.call(tenant, name, b"S " + (b"o" if own else b"x") + b" " + inverted(secret))
    shown = f"{tenant}/{name} after {before}"
    check(answer.status == 200, shown, answer.status, answer.body[:300])
    check(answer.body == b"clean", shown, "found the secret:", answer.body[:300])
    check(secret not in answer.body and secret.hex() not in str(answer.headers), shown, "its answer has the secret")
    return "cold=1" in answer.headers.get("Wardmote-Call", "")


def leave(client, tenant, name, secret):
    mode = numbers.choice("rrrrttl")
    answer = client.call(tenant, name, b"W " + mode.encode() + b" " + secret, "&timeout_ms=400" if mode == "l" else "")
    wanted = {"r": (200,), "t": (500,), "l": (504,)}[mode]
    check(answer.status in wanted, tenant, name, "mode", mode, "ended with", answer.status, answer.body[:300])
    return f"{tenant}/{name} mode {mode}"


@tap.test
def the_search_finds_what_is_there():
    """Else the other tests show nothing: a key of the caller's own tenant is found when it is not called own."""
    client = Client()
    secret = pattern()
    check(client.call("a", "image-40m-0", b"W r " + secret).status == 200)
    answer = client.call("a", "image-40m-0", b"S x " + inverted(secret))
    check(answer.body.startswith(b"another's state"), answer.status, answer.body)
    # Its own input, as it is, is in its memory.
    answer = client.call("a", "image-40m-0", b"S o " + inverted(secret) + secret)
    check(answer.body.startswith(b"memory"), answer.status, answer.body)


@tap.test
def no_secret_stays():
    client = Client()
    cold = left = looked = 0
    for _ in range(CALLS // 4):
        secret = pattern()
        tenant, name = numbers.choice(names)
        before = leave(client, tenant, name, secret)
        left += 1
        other = "b" if tenant == "a" else "a"
        for way in range(3):
            whom = [(tenant, name), (tenant, numbers.choice(names)[1]), (other, numbers.choice(names)[1])][way]
            own = whom[0] == tenant or whom[0] in known
            cold += look(client, *whom, secret, own, before)
            looked += 1
        known.add(tenant)
    tap.note(f"{left} secrets left, looked for {looked} times, {cold} of them in slots taken from another function")
    check(cold > looked // 20 or CALLS < 100, "slots were not taken from one another")


@tap.test
def tenants_of_one_class_have_their_own_state_files_and_functions():
    client = Client()
    secret = pattern()
    for tenant in ("c", "d"):
        node.tenant(tenant, trust_class="two")
        node.put("same", build_guest(BUILD, SOURCE), tenant)
    check(client.call("c", "same", b"W r " + secret).status == 200)
    look(client, "d", "same", secret, False, "c/same")
    check(node.ask("GET", "/v1/state/canary?tenant=c").status == 200, "c's push did not arrive")
    check(node.ask("GET", "/v1/state/canary?tenant=d").status == 404, "it arrived in d")
    # And d's own state works, beside.
    other = pattern()
    check(client.call("d", "same", b"W r " + other).status == 200)
    got = node.ask("GET", "/v1/state/canary?tenant=d")
    check(got.status == 200 and other in got.body and secret not in got.body, "d's state:", got.status, got.body[:100])
    got = node.ask("GET", "/v1/state/canary?tenant=c")
    check(secret in got.body and other not in got.body, "c's state is not as it was")


@tap.test
def names_are_looked_up_among_the_tenants_own():
    """What d chains to is d's, also when c, of the same class, has something of that name."""
    chain = build_guest(BUILD, "test/e2e/faaslet/relay.c")
    for tenant in ("c", "d"):
        node.put("relay", chain, tenant)
    node.put("only-c", build_guest(BUILD, "test/e2e/faaslet/echo.c"), "c")
    for first, second in (("c", "d"), ("d", "c")):
        for pid in node.workers():
            os.kill(pid, 9)
        time.sleep(0.3)
        for tenant in (first, second):
            answer = node.call("relay", b"only-c\nhello", tenant)
            wanted = b"-44" if tenant == "d" else b"hello"
            check(answer.body.startswith(wanted), tenant, "chains to only-c:", answer.status, answer.body)


@tap.test
def files_are_the_tenants_own():
    """And a process that two tenants share has none (-44: no such file)."""
    reader = build_guest(BUILD, "test/e2e/faaslet/relay.c")
    texts = (("c", b"of c", b"-44"), ("d", b"of d", b"-44"), ("e", b"of e", b"of e"), ("f", b"of f", b"of f"))
    for tenant in ("e", "f"):
        node.tenant(tenant)
    for tenant, text, _ in texts:
        node.put("relay", reader, tenant)
        answer = node.ask("PUT", f"/v1/files/note?tenant={tenant}", text)
        check(answer.status in (200, 201, 204), answer.status, answer.body)
    for pid in node.workers():
        os.kill(pid, 9)
    time.sleep(0.3)
    for tenant, _, seen in texts:
        answer = node.call("relay", b"<note", tenant)
        check(answer.body == seen, tenant, "reads", answer.status, answer.body)


@tap.test
def no_path_leads_out_of_a_tenants_files():
    """Not up, not by an absolute name, not by links, also not by one that the administrator laid."""
    folder = os.path.join(node.data, "files/e")
    os.mkdir(os.path.join(folder, "sub"))
    for name, to in (("link", "/etc/passwd"), ("beside", "../f/note"), ("sub/up", "../../f"), ("self", "/proc/self/maps")):
        os.symlink(to, os.path.join(folder, name))
    check(node.call("relay", b"<note", "e").body == b"of e")
    check(node.call("relay", b"<sub/../note", "e").body == b"of e")
    for path in (b"../f/note", b"/etc/passwd", b"../" * 20 + b"etc/passwd", b"sub/../../f/note", b"link", b"beside", b"sub/up/note", b"self",
                 b"/../f/note", b"note/../../f/note", b"/proc/self/environ"):
        answer = node.call("relay", b"<" + path, "e")
        check(answer.status == 200 and answer.body[:1] == b"-" and answer.body[1:].isdigit(), path, answer.status, answer.body[:100])


@tap.test
def logs_are_their_tenants_own():
    client = Client()
    secret = pattern()
    check(client.call("c", "same", b"W r " + secret).status == 200)
    mine = node.ask("GET", "/v1/functions/same/logs?tenant=c").body
    theirs = node.ask("GET", "/v1/functions/same/logs?tenant=d").body
    check(secret.hex().encode() in mine, "the log is not there:", mine[-300:])
    check(secret.hex().encode() not in theirs, "another tenant's log has it")


@tap.test
def pages_that_were_swapped_out_are_reset_too():
    with open("/proc/meminfo") as f:
        swap = int([line for line in f if line.startswith("SwapTotal")][0].split()[1])
    if not swap:
        return "no swap on this machine"
    return swapped()


def swapped():
    """The kernel is told to swap out the worker's memory (process_madvise) between a secret and the search."""
    import ctypes
    libc = ctypes.CDLL(None, use_errno=True)

    class Iovec(ctypes.Structure):
        _fields_ = [("base", ctypes.c_void_p), ("len", ctypes.c_size_t)]
    client = Client()
    moved = 0
    for _ in range(20):
        secret = pattern()
        tenant, name = numbers.choice(names)
        before = leave(client, tenant, name, secret)
        for pid in node.workers():
            fd = os.pidfd_open(pid)
            for line in open(f"/proc/{pid}/maps"):
                first, last = (int(x, 16) for x in line.split()[0].split("-"))
                if "rw" in line.split()[1] and last - first >= 65536:
                    part = Iovec(first, last - first)
                    moved += libc.syscall(440, fd, ctypes.byref(part), 1, 21, 0) > 0  # MADV_PAGEOUT
            os.close(fd)
        look(client, tenant, name, secret, True, before)
    return None if moved else "this kernel does not swap out on request"


node = Node(BUILD, "--threads", "1")
known = {"a"}  # tenants that have the key themselves
names = upload()
sys.exit(tap.run())
