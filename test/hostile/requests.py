#!/usr/bin/env python3
"""Bad input over HTTP against a real node: right status, clear error, nothing leaks, nothing dies.

    requests.py BUILD [--rounds N]

Mutated requests over raw sockets, oversize bodies, slow clients, wrong tokens, unknown functions, modules that are
none or were damaged, clients that leave in the middle of a call. Afterwards the node has the memory and descriptors
that it had before. (What each route answers to what is test/e2e/node_http.py's.) SEED=N plays a run again."""
import os
import random
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nodes import (Node, Tap, build_guest, check, descriptors, json, memory_kb, seed_of, wait_for)  # noqa: E402

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
ROUNDS = int(sys.argv[sys.argv.index("--rounds") + 1]) if "--rounds" in sys.argv else 600
tap = Tap()
numbers = random.Random(seed_of(sys.argv))


def raw(data, wait=1.0, shut=True, read=True):
    with socket.create_connection(("127.0.0.1", node.port), timeout=wait) as s:
        got = b""
        try:
            s.sendall(data)
            if not read:
                return got
            if shut:
                s.shutdown(socket.SHUT_WR)
            while True:
                part = s.recv(65536)
                if not part:
                    return got
                got += part
        except OSError:
            return got


def well():
    check(node.alive(), "the node died, status", node.process.poll(), node.log()[-2000:])
    answer = node.call("echo", b"E abc", "t", token=token)
    check(answer.status == 200 and answer.body == b"cba", answer.status, answer.body[:300])


def samples():
    call = b"POST /v1/call/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token.encode() + \
        b"\r\nContent-Length: 5\r\n\r\nE abc"
    chunked = call.replace(b"Content-Length: 5\r\n\r\nE abc", b"Transfer-Encoding: chunked\r\n\r\n5\r\nE abc\r\n0\r\n\r\n")
    head = b"Host: x\r\nAuthorization: Bearer " + deploy.encode() + b"\r\n"
    body = json.dumps({"method": "GET", "path": "/shop/*", "function": "echo", "public": True}).encode()
    return [
        call, chunked, call.replace(b"echo HTTP", b"echo?async=1 HTTP"),
        call.replace(b"echo HTTP", b"echo:latest?timeout_ms=100 HTTP"),
        b"GET /v1/functions HTTP/1.1\r\n" + head + b"\r\n",
        b"PUT /v1/state/a/b?offset=0 HTTP/1.1\r\n" + head + b"Content-Length: 3\r\n\r\nxyz",
        b"GET /v1/state?prefix=a&limit=5 HTTP/1.1\r\n" + head + b"\r\n",
        b"PUT /v1/routes/shop HTTP/1.1\r\n" + head + b"Content-Length: %d\r\n\r\n" % len(body) + body,
        b"GET /r/t/shop/x?y=z HTTP/1.1\r\nHost: x\r\nX-Some: thing\r\n\r\n",
        b"PUT /v1/functions/bad HTTP/1.1\r\n" + head + b"Content-Length: 8\r\n\r\n\0asm\1\0\0\0",
        b"PUT /v1/files/a/b HTTP/1.1\r\n" + head + b"Content-Length: 2\r\n\r\nhi",
        b"GET /v1/calls/0123456789abcdef0123456789abcdef?wait_ms=1 HTTP/1.1\r\n" + head + b"\r\n",
    ]


PIECES = [b"\0", b"\r\n", b"\r\n\r\n", b"%00", b"%2e%2e%2f", b"../", b"//", b"?", b"&", b"=", b"Content-Length: -1\r\n",
          b"Content-Length: 99999999999999999999\r\n", b"Transfer-Encoding: chunked\r\n", b"ffffffffffffffff\r\n", b"\xff" * 9,
          b"HTTP/9.9", b"A" * 5000, b"{", b"[" * 300, b'"\\ud800"', b"18446744073709551616", b"-1", b"Expect: 100-continue\r\n"]


def mutate(data):
    data = bytearray(data)
    for _ in range(numbers.choice((1, 1, 2, 4))):
        at = numbers.randrange(len(data) + 1)
        way = numbers.randrange(5)
        if way == 0 and data:
            data[at % len(data)] = numbers.randrange(256)
        elif way == 1:
            data[at:at] = numbers.choice(PIECES)
        elif way == 2:
            del data[at:at + numbers.choice((1, 2, 10, 100))]
        elif way == 3:
            data[at:at] = data[numbers.randrange(len(data) + 1):][:numbers.randrange(40)]
        else:
            del data[at:]
        if not data:
            break
    return bytes(data)


@tap.test
def mutated_requests():
    valid, seen = samples(), {}
    for data in valid:
        check(raw(data).startswith(b"HTTP/1.1 "), data)
    for i in range(ROUNDS):
        data = mutate(numbers.choice(valid))
        got = raw(data, 0.1, read=numbers.random() > 0.1)
        status = got[9:12].decode(errors="replace") if got.startswith(b"HTTP/1.") else "none" if not got else "?"
        seen[status] = seen.get(status, 0) + 1
        check(status == "none" or (status.isdigit() and 100 <= int(status) < 600), data, "was answered", got[:200])
        # What a function answers by a route may be 500.
        check(status not in ("500", "502") or b"/r/t" in data, data, "was answered", got[:500])
        check(token.encode() not in got and deploy.encode() not in got, "a token came back:", got[:500])
        if i % 200 == 0:
            well()
    tap.note("statuses:", seen)
    well()


@tap.test
def modules_that_are_none_or_damaged():
    module = build_guest(BUILD, "test/e2e/faaslet/echo.c")
    ends = {}
    for i in range(max(20, ROUNDS // 30)):
        data = bytearray(module)
        for _ in range(numbers.choice((1, 1, 3, 20))):
            way, at = numbers.randrange(3), numbers.randrange(8, len(data))
            if way == 0:
                data[at] = numbers.randrange(256)
            elif way == 1:
                del data[at:at + numbers.randrange(1, 50)]
            else:
                data = data[:max(9, at)]
            if len(data) < 10:
                break
        answer = node.ask("PUT", "/v1/functions/damaged", bytes(data), token=deploy, timeout=60)
        ends[answer.status] = ends.get(answer.status, 0) + 1
        check(answer.status in (201, 422), answer.status, answer.body[:400])
        if answer.status == 422:
            message = json.loads(answer.body)["error"]["message"]
            check(message and "/tmp" not in message and len(message) < 1000, message)
        else:  # still valid: it may do what it likes, but for ending its worker
            answer = node.call("damaged", b"x", token=token, query="timeout_ms=1000")
            check(answer.status in (200, 429, 500, 504, 507), answer.status, answer.body[:300])
    tap.note("damaged modules:", ends)
    for data in (b"", b"\0", b"\0asm", b"\0asm\1\0\0", b"not a module at all", b"\0asm\x0d\0\1\0", os.urandom(5000)):
        answer = node.ask("PUT", "/v1/functions/none", data, token=deploy)
        check(answer.status in (400, 422), data[:20], answer.status, answer.body[:300])
        check(json.loads(answer.body)["error"]["message"])
    check(node.ask("GET", "/v1/functions/none", token=token).status == 404, "a module that was refused is a function")
    well()


@tap.test
def wrong_tokens_and_unknown_things():
    for wrong in ("", "x", "wmt_" + "0" * 64, token[:-1], token + "0", token.upper(), "ü" * 3):
        try:
            answer = node.call("echo", b"E abc", token=wrong, unix=False, headers={"Authorization": f"Bearer {wrong}"})
            check(answer.status == 401, wrong, answer.status)
        except UnicodeEncodeError:
            pass
    for name in ("nothing", "nothing:latest", "echo@99", "echo:none", "..", "%2e%2e", "a" * 65, "echo%00", "echo@0",
                 "echo@99999999999999999999", "echo:"):
        answer = node.call(name, b"", token=token)
        check(answer.status in (400, 404), name, answer.status, answer.body)
        check(json.loads(answer.body)["error"]["message"], name)
    well()


@tap.test
def oversize_bodies():
    head = "POST /v1/call/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nContent-Length: %d\r\n\r\n"
    got = raw((head % (token, 17 << 20)).encode(), shut=False)
    check(b" 413 " in got[:20], "announced:", got[:200])
    got = raw((head % (token, 1 << 62)).encode(), shut=False)
    check(got[9:12] in (b"413", b"400"), "announced:", got[:200])
    endless = ("POST /v1/call/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer %s\r\nTransfer-Encoding: chunked\r\n\r\n" %
               token).encode() + (b"100000\r\n" + b"x" * (1 << 20) + b"\r\n") * 20
    got = raw(endless, shut=False)
    check(not got or got[9:12] in (b"413", b"400"), "chunked:", got[:200])
    well()


@tap.test
def slow_clients_hold_up_nobody():
    slow = []
    for i in range(200):
        s = socket.create_connection(("127.0.0.1", node.port), timeout=5)
        s.sendall(samples()[i % 3][:numbers.randrange(1, 60)])
        slow.append(s)
    begun = time.monotonic()
    well()
    check(time.monotonic() - begun < 2, "a call took", time.monotonic() - begun, "s beside slow clients")
    check(wait_for(lambda: descriptors(node.process.pid) < start_fds + 50, 20), "slow heads are kept for longer than",
          "header-s:", descriptors(node.process.pid), "descriptors")
    for s in slow:
        s.close()


@tap.test
def clients_that_leave_in_the_middle_of_a_call():
    def leave():
        for _ in range(15):
            with socket.create_connection(("127.0.0.1", node.port), timeout=5) as s:
                body = b"S 8000"
                s.sendall(b"POST /v1/call/echo HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer " + token.encode() +
                          b"\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
                time.sleep(numbers.uniform(0, 0.02))
                if numbers.random() < 0.5:  # with a reset
                    s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    threads = [threading.Thread(target=leave) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(wait_for(lambda: node.json("GET", "/v1/node")["calls"]["running"] == 0, 6), "calls without a client run on:",
          node.json("GET", "/v1/node")["calls"])
    begun = time.monotonic()
    well()
    check(time.monotonic() - begun < 3, "a call took", time.monotonic() - begun, "s after 90 that were left")


@tap.test
def nothing_leaked():
    check(wait_for(lambda: descriptors(node.process.pid) <= start_fds + 70, 20), descriptors(node.process.pid),
          "descriptors; at the start", start_fds)
    check(memory_kb(node.process.pid) < start_kb + 96 * 1024, memory_kb(node.process.pid), "KiB; at the start", start_kb)
    check(node.starts == 1 and node.alive())


node = Node(BUILD, "--header-s", "3", "--idle-s", "5")
node.tenant("t")
token, deploy = node.token("t", "invoke"), node.token("t", "deploy")
node.put("echo", build_guest(BUILD, "test/e2e/faaslet/chaos.c"), "t")
well()
start_fds, start_kb = descriptors(node.process.pid), memory_kb(node.process.pid)
sys.exit(tap.run())
