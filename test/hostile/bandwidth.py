#!/usr/bin/env python3
"""A tenant's quota of bits: what a function's sockets send and receive, through a node, within 5 % of it.

    bandwidth.py BUILD [TEST...]

The node lies in a namespace of its own that forwards packets, a server in another one, a bridge joins them: a tenant
reaches nothing on the node's own machine. Measured is at the receiving end, from one arrival to another; the quota
counts whole frames, of which 1448 of 1514 bytes are the stream's.

Needs root: skipped otherwise."""
import os
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../common"))
from nets import Nets, Unavailable  # noqa: E402
from nodes import Node, Tap, build_guest, check, within  # noqa: E402

PORT = 7000
MBIT = 1000000
MS = 3500           # of each stream
WARM_S = 0.5        # not measured
PAYLOAD = 1448 / 1514
tap = Tap(sys.argv[2:])


def serve(address):
    """One line for each stream that was received: "BYTES NS"."""

    def stream(client):
        if client.recv(16).startswith(b"up"):
            begun, first, last, total = time.monotonic(), 0, 0, 0
            while got := len(client.recv(1 << 18)):
                last = time.monotonic()
                if last > begun + WARM_S:
                    total += got if first else 0
                    first = first or last
            print(total, int((last - first) * 1e9), flush=True)
        else:
            try:
                while True:
                    client.sendall(bytes(65536))
            except OSError:
                pass
        client.close()
    server = socket.create_server((address, PORT))
    print("up", flush=True)
    while True:
        threading.Thread(target=stream, args=(server.accept()[0],), daemon=True).start()


def mbits(answer):
    """On the wire."""
    count, ns = map(int, answer.split())
    return count * 8e9 / ns / PAYLOAD / MBIT


def pump(tenant, way, streams=1):
    """What that many calls at once get together."""
    answers = []

    def one():
        answers.append(node.call("pump", b"%s %s %d %d" % (way.encode(), address.encode(), PORT, MS), tenant))
    threads = [threading.Thread(target=one) for _ in range(streams)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(all(a.status == 200 and "Wardmote-Return-Code" not in a.headers for a in answers), answers)
    return sum(mbits(a.body if way == "down" else server.stdout.readline()) for a in answers)


def held(tenant, way, rate, streams=1):
    got = pump(tenant, way, streams)
    tap.note(f"{streams} {way} at {rate} Mbit/s: {got:.2f} ({(got / rate - 1) * 100:+.1f} %)")
    check(0.95 * rate < got < 1.05 * rate, way, "at", rate, "Mbit/s, got", got)


def prepare(nets):
    global node, server, address
    address = nets.address(2)
    server = nets.popen(2, [sys.executable, os.path.abspath(__file__), "--serve", address], stdout=subprocess.PIPE)
    check(server.stdout.readline() == b"up\n", "the server does not start")
    # The answer's way back; without it the node's uplink would masquerade (src/host/netns.h).
    for net, line in ((1, "echo 1 > /proc/sys/net/ipv4/ip_forward"), (2, f"ip route add 10.200.0.0/13 via {nets.address(1)}")):
        subprocess.run(within(nets.names[net - 1]) + ["sh", "-c", line], check=True)
    build = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
    node = Node(build, "--threads", "4", netns=nets.names[0])
    lines = node.json("GET", "/v1/node")["isolation"]
    check(any(line.startswith("network namespaces: veth") for line in lines), "the node has no links for tenants:", lines)
    module = build_guest(build, "test/e2e/faaslet/pump.c")
    for tenant, rate in (("a", 20), ("b", 60)):
        node.tenant(tenant, allow=[f"{address}:{PORT}"], quota={"net_bits_per_s": rate * MBIT})
        node.put("pump", module, tenant)


@tap.test
def downloads_and_uploads_are_held_at_the_rate():
    held("a", "down", 20)
    held("a", "up", 20)


@tap.test
def calls_at_once_share_it():
    held("a", "down", 20, 3)


@tap.test
def tenants_have_each_their_own():
    other = threading.Thread(target=pump, args=("b", "down"))
    other.start()
    held("a", "down", 20)
    other.join()
    held("b", "up", 60)


@tap.test
def a_change_takes_effect_while_it_runs():
    node.tenant("a", quota={"net_bits_per_s": 50 * MBIT})
    held("a", "down", 50)
    held("a", "up", 50)


def main():
    if sys.argv[1:2] == ["--serve"]:
        return serve(sys.argv[2])
    why = "needs root" if os.geteuid() != 0 else None
    try:
        if not why:
            with Nets(2, bridge=True) as nets:
                try:
                    prepare(nets)
                    return tap.run()
                finally:
                    if server:
                        server.kill()
    except Unavailable as reason:
        why = f"no namespaces here: {reason}"
    print(f"1..0 # SKIP {why}")
    return 0


node = server = address = None
if __name__ == "__main__":
    sys.exit(main())
