#!/usr/bin/env python3
"""workloads.py BUILD [training] [matrix] [images]: the examples' workloads, measured.

Training (faaslet.sgd_*): HOGWILD SGD on generated examples of RCV1's shape, by --functions functions at
one time, on one node and on three. "On": state is shared. "Off": the same code, each function with a copy
of its own from the global tier, which is what functions in containers have. Memory is the PSS of all
processes, sampled during the training, times its seconds. Peers: native processes, each with its part of
the examples from Redis and pushing weights there; native threads for the loss.

Matrix (faaslet.matrix_*): the product by 64 multiplications and 9 merges, on and off, and on Redis.

Images (faaslet.infer_*): wrk with 4 threads and 20 connections, as in the paper; of 100 requests 0, 2 or 20
come from users whose instance is cold. Each user has a function of their own; cold users take turns among
more functions than a worker has slots, and the answers say what was cold. Peer: crun, a container for each user (peers/gateway.c), a user's
first request starts it; containers are not removed meanwhile, which favours the peer.

All of it runs in a network namespace of its own, so the counters of its loopback are what nodes and Redis
sent; and without the cgroup2 mount of hybrid machines, with which crun does not start."""
import argparse
import json
import os
import pathlib
import re
import shutil
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "test" / "common"))
from cluster import Nodes, descendants, pss_bytes  # noqa: E402
from nodes import Redis, begin, free_port  # noqa: E402

GENERATE, EPOCH, LOSS = 0, 2, 4  # examples/training/training.h
PRIVATE, SEVERAL = 1, 2


def confine():
    """Once more, in namespaces of our own."""
    if os.environ.get("WORKLOADS_INSIDE"):
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        if os.path.exists("/sys/fs/cgroup/unified"):
            subprocess.run(["umount", "-l", "/sys/fs/cgroup/unified"], check=False, stderr=subprocess.DEVNULL)
        return True
    if os.geteuid() != 0 or not shutil.which("unshare") or not shutil.which("ip"):
        print("bench: no root: bytes of loopback are the whole machine's, and there is no crun", file=sys.stderr)
        return False
    os.environ["WORKLOADS_INSIDE"] = "1"
    os.execvp("unshare", ["unshare", "--net", "--mount", sys.executable, *sys.argv])


def loopback_bytes():
    with open("/proc/net/dev") as file:
        return int(re.search(r"lo:\s*(\d+)", file.read()).group(1))


def machine():
    with open("/proc/cpuinfo") as file:
        model = re.search(r"^model name\s*: (.*)$", file.read(), re.M)
    text = f"{model.group(1) if model else 'unknown processor'}, {os.cpu_count()} cores, Linux {os.uname().release}"
    return re.sub(r'["\\]', " ", text)


class Figures:
    """As bench_figure_write of bench.c."""

    def __init__(self, build):
        self.path = os.path.join(build, "bench.jsonl")

    def write(self, name, values, unit, goal=None, peer=None, peer_values=None):
        value = statistics.median(values)
        quartiles = statistics.quantiles(values, n=4) if len(values) > 1 else (value, value, value)
        line = {"name": name, "value": float(f"{value:.6g}"), "unit": unit, "goal": None, "met": None, "peer": peer,
                "peer_value": float(f"{statistics.median(peer_values):.6g}") if peer else None,
                "spread": float(f"{quartiles[2] - quartiles[0]:.4g}"), "runs": len(values)}
        if goal:
            sign, limit = goal
            line["goal"] = f"{sign} {limit:g}"
            line["met"] = value >= limit if sign == ">=" else value <= limit
        line["machine"], line["date"] = machine(), time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        with open(self.path, "a") as file:
            file.write(json.dumps(line, separators=(",", ":")) + "\n")
        told = f"{name:38} {value:10.4g} {unit:8}"
        if goal:
            told += f" goal {line['goal']}: {'met' if line['met'] else 'MISSED'}"
        if peer:
            told += f"  ({peer}: {line['peer_value']:.4g})"
        print(f"{told}  spread {line['spread']:.3g}, {len(values)} runs", flush=True)


class Memory:
    """The mean PSS of processes while a block runs."""

    def __init__(self, pids):
        self.pids, self.samples, self.ended = pids, [], threading.Event()

    def sample(self):
        while True:
            self.samples.append(pss_bytes(self.pids()))
            if self.ended.wait(0.05):
                return

    def __enter__(self):
        self.thread = threading.Thread(target=self.sample)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.ended.set()
        self.thread.join()
        self.mean = statistics.mean(self.samples)


# --- Training ---

def sgd_job(options, what, flags, epoch, functions):
    return struct.pack("<IIQIIIIII", what, flags, options.seed, options.rows, functions, epoch, options.rows // 13 + 1, 0, 0)


def train(options, count, private, tier="embedded"):
    flags = (PRIVATE if private else 0) | (SEVERAL if count > 1 else 0)
    functions = options.functions if count == 1 else options.functions * 3 // 2
    # Of several nodes each runs a quarter at a time; what waits beyond that goes to where less waits.
    threads = options.functions if count == 1 else max(2, options.functions // 4)
    with Nodes(options.build, count, tier, ["--threads", str(threads)]) as nodes:
        nodes.tenant("t")
        nodes.put("t", "sgd", f"{options.work}/sgd.wasm")
        nodes[0].call("t", "sgd", sgd_job(options, GENERATE, flags, 0, functions))
        counters = ["wardmote_state_pulled_bytes_total", "wardmote_state_pushed_bytes_total"]
        before, wire = sum(nodes.counter(one) for one in counters), loopback_bytes()
        with Memory(nodes.pids) as memory:
            began = time.monotonic()
            for epoch in range(options.epochs):
                nodes[0].call("t", "sgd", sgd_job(options, EPOCH, flags, epoch, functions))
            seconds = time.monotonic() - began
        moved, wire = sum(nodes.counter(one) for one in counters) - before, loopback_bytes() - wire
        loss = struct.unpack("<d", nodes[0].call("t", "sgd", sgd_job(options, LOSS, flags, options.epochs, functions)))[0]
    return {"s": seconds, "mb_s": memory.mean / 1e6 * seconds, "moved": moved, "wire": wire, "loss": loss,
            "pss": memory.mean}


def train_redis(options):
    """Native processes; from when the examples are in Redis."""
    redis = Redis(lasts=False).start()
    try:
        child = subprocess.Popen([f"{options.work}/sgd-native", str(options.rows), str(options.epochs), str(options.seed),
                                  str(options.functions), "redis", "127.0.0.1", str(redis.port)], stdout=subprocess.PIPE, text=True)
        if child.stdout.readline() != "loaded\n":
            raise RuntimeError("sgd-native failed")
        wire = loopback_bytes()
        with Memory(lambda: descendants(child.pid) + [redis.process.pid]) as memory:
            trained = child.stdout.readline()
        wire = loopback_bytes() - wire
        # The examples are made once more, for the loss; the seconds told are the training's.
        loss, seconds = (float(word) for word in child.stdout.readline().split())
        if child.wait() or trained != "trained\n":
            raise RuntimeError("sgd-native failed")
    finally:
        redis.remove()
    return {"s": seconds, "mb_s": memory.mean / 1e6 * seconds, "moved": wire, "wire": wire, "loss": loss, "pss": memory.mean}


def train_threads(options):
    out = subprocess.run([f"{options.work}/sgd-native", str(options.rows), str(options.epochs), str(options.seed),
                          str(os.cpu_count())], capture_output=True, text=True, check=True).stdout
    return [float(word) for word in out.split()]


def ratios(over, under, key):
    return [a[key] / b[key] for a, b in zip(over, under)]


def training(options, figures):
    for count in (1, 3):
        suffix = "" if count == 1 else ".nodes3"
        on, off, redis, native = [], [], [], []
        for _ in range(options.rounds):
            on.append(train(options, count, False))
            off.append(train(options, count, True))
            if shutil.which("redis-server"):
                redis.append(train_redis(options))
            native.append(train_threads(options))
        peer = ("native processes with Redis / ours", redis) if redis else (None, [])
        for name, key, goal in (("time", "s", 2), ("mem", "mb_s", 10), ("bytes", "moved", None)):
            figures.write(f"faaslet.sgd_{name}{suffix}", ratios(off, on, key), "off/on", (">=", goal) if goal else None,
                          peer[0], ratios(peer[1], on, key) if redis else None)
        figures.write(f"faaslet.sgd_seconds{suffix}", [one["s"] for one in on], "s", None,
                      "native threads", [one[1] for one in native])
        figures.write(f"faaslet.sgd_pss_mb{suffix}", [one["pss"] / 1e6 for one in on], "MB", None,
                      "sharing off", [one["pss"] / 1e6 for one in off])
        figures.write(f"faaslet.sgd_moved_mb{suffix}", [one["moved"] / 1e6 for one in on], "MB", None,
                      "sharing off", [one["moved"] / 1e6 for one in off])
        if count > 1:
            figures.write(f"faaslet.sgd_wire_mb{suffix}", [one["wire"] / 1e6 for one in on], "MB", None,
                          "sharing off", [one["wire"] / 1e6 for one in off])
        figures.write(f"faaslet.sgd_loss{suffix}", [one["loss"] for one in on], "hinge", None,
                      "native threads", [one[0] for one in native])
        figures.write(f"faaslet.sgd_loss_off{suffix}", [one["loss"] for one in off], "hinge", None, peer[0] and "native processes with Redis",
                      [one["loss"] for one in redis] if redis else None)


# --- Matrix ---

def multiply(options, count, private, tier="embedded"):
    flags = (PRIVATE if private else 0) | (SEVERAL if count > 1 else 0)

    def job(what, run):
        return struct.pack("<6I", what, flags, options.size, run, 0, 0)
    with Nodes(options.build, count, tier) as nodes:
        nodes.tenant("t")
        nodes.put("t", "product", f"{options.work}/product.wasm")
        for run in range(2):  # the first loads everything
            nodes[0].call("t", "product", job(0, run))
            before = nodes.counter("wardmote_state_pulled_bytes_total") + nodes.counter("wardmote_state_pushed_bytes_total")
            began = time.monotonic()
            nodes[0].call("t", "product", job(1, run))
            seconds = time.monotonic() - began
        moved = nodes.counter("wardmote_state_pulled_bytes_total") + nodes.counter("wardmote_state_pushed_bytes_total") - before
    return {"s": seconds, "moved": moved}


def matrix(options, figures):
    tiers = [("", "embedded")] + ([(".redis", "redis")] if shutil.which("redis-server") else [])
    for tier_suffix, tier in tiers:
        for count in (1, 3):
            suffix = tier_suffix + ("" if count == 1 else ".nodes3")
            on, off = [], []
            for _ in range(options.rounds):
                on.append(multiply(options, count, False, tier))
                off.append(multiply(options, count, True, tier))
            figures.write(f"faaslet.matrix_time{suffix}", ratios(off, on, "s"), "off/on")
            figures.write(f"faaslet.matrix_bytes{suffix}", ratios(off, on, "moved"), "off/on")
            figures.write(f"faaslet.matrix_seconds{suffix}", [one["s"] for one in on], "s", None, "sharing off", [one["s"] for one in off])


# --- Images ---

def wrk(options, port, token, every, fresh, known):
    out = subprocess.run(["wrk", "-t4", "-c20", f"-d{options.seconds}s", "--timeout", "20s", "-s", str(HERE / "workloads.lua"),
                          f"http://127.0.0.1:{port}/", "--", f"{options.work}/image", token, str(every), str(fresh), str(known)],
                         capture_output=True, text=True, check=True).stdout
    answers, cold, bad, seconds, p50, p99 = (float(word) for word in re.search(r"^RESULT (.*)$", out, re.M).group(1).split())
    if bad or not answers:
        raise RuntimeError(f"{bad:g} of {answers:g} requests failed: {out}")
    return {"rps": answers / seconds, "cold": cold / answers, "p50": p50, "p99": p99}


KNOWN, FRESH = 8, 100  # users; the latter for each of wrk's threads
EVERY = {0: 0, 2: 50, 20: 5}


def serve_ours(options):
    got = {}
    with Nodes(options.build) as nodes:
        nodes.tenant("t")
        module = f"{options.work}/classify.wasm"
        for user in range(KNOWN):
            nodes.put("t", f"known{user}", module)
        for user in range(4 * FRESH):
            nodes.put("t", f"new{user % 4}-{user // 4}", module)
        token = json.loads(nodes[0].must("POST", "/v1/tenants/t/tokens", {"role": "invoke"}).body)["token"]
        for ratio in EVERY:
            got[ratio] = wrk(options, nodes[0].port, token, EVERY[ratio], FRESH, KNOWN)
    return got


def serve_crun(options):
    got = {}
    for ratio in EVERY:
        folder = tempfile.mkdtemp(prefix=f"wm-crun-{os.getpid()}-")
        for name in ("bundles", "run", "crun"):
            os.mkdir(os.path.join(folder, name), 0o700)
        shutil.copytree(f"{options.work}/rootfs", f"{folder}/rootfs")
        # Containers share it: two that start at once would both want to make what they mount on, and one fail.
        for mount in ("dev", "proc", "run", "sys"):
            os.makedirs(f"{folder}/rootfs/{mount}", exist_ok=True)
        make_template(folder)
        port = free_port()
        with open(f"{folder}/log", "wb") as log:
            gateway = begin([f"{options.work}/gateway", str(port), folder], stdout=log, stderr=log)
            try:
                time.sleep(0.3)
                # Users who are known have their container.
                wrk(argparse.Namespace(work=options.work, seconds=1), port, "none", 0, 1, KNOWN)
                got[ratio] = wrk(options, port, "none", EVERY[ratio], 1 << 30, KNOWN)
            except Exception:
                with open(f"{folder}/log") as file:
                    print(file.read(), file=sys.stderr)
                raise
            finally:
                gateway.terminate()
                gateway.wait(20)
                for user in os.listdir(f"{folder}/bundles"):
                    subprocess.run(["crun", "--root", f"{folder}/crun", "delete", "--force", user], check=False,
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
                shutil.rmtree(folder, ignore_errors=True)
    return got


def make_template(folder):
    subprocess.run(["crun", "spec"], cwd=folder, check=True)
    with open(f"{folder}/config.json") as file:
        spec = json.load(file)
    os.unlink(f"{folder}/config.json")
    spec["process"]["terminal"] = False
    spec["process"]["args"] = ["/native", "serve", "/run/@USER@"]
    spec["root"]["path"] = f"{folder}/rootfs"
    spec["mounts"].append({"destination": "/run", "type": "bind", "source": f"{folder}/run", "options": ["rbind", "rw"]})
    with open(f"{folder}/template.json", "w") as file:
        json.dump(spec, file)


def images(options, figures):
    if not shutil.which("wrk"):
        print("bench: no wrk here: images are left out", file=sys.stderr)
        return
    with open(f"{options.work}/image", "wb") as file:
        file.write(bytes(i * i * 7 % 251 for i in range(32 * 32 * 3)))
    has_crun = bool(shutil.which("crun")) and options.inside
    ours, theirs = [], []
    for _ in range(options.rounds):
        ours.append(serve_ours(options))
        if has_crun:
            theirs.append(serve_crun(options))
    for ratio in EVERY:
        for name, key, unit in (("rps", "rps", "1/s"), ("p50_ms", "p50", "ms"), ("p99_ms", "p99", "ms")):
            figures.write(f"faaslet.infer_{name}.cold{ratio}", [one[ratio][key] for one in ours], unit, None,
                          "crun per user process" if theirs else None, [one[ratio][key] for one in theirs])
        figures.write(f"faaslet.infer_cold_part.cold{ratio}", [one[ratio]["cold"] for one in ours], "of all", None,
                      "crun per user process" if theirs else None, [one[ratio]["cold"] for one in theirs])
    if theirs:
        figures.write("faaslet.infer_tput", [a[20]["rps"] / b[20]["rps"] for a, b in zip(ours, theirs)], "ours/crun", (">=", 50))
        figures.write("faaslet.infer_p99", [a[20]["p99"] / b[20]["p99"] for a, b in zip(ours, theirs)], "ours/crun", ("<=", 0.1))


def main():
    parts = {"training": training, "matrix": matrix, "images": images}
    parser = argparse.ArgumentParser(description="the examples' workloads, measured")
    parser.add_argument("build")
    parser.add_argument("parts", nargs="*", help="training, matrix, images; none: all")
    parser.add_argument("--rows", type=int, default=100000, help="examples (100,000; RCV1 has 781,265)")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--functions", type=int, default=16, help="that train at one time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--size", type=int, default=512, help="rows and columns of the matrices")
    parser.add_argument("--seconds", type=int, default=5, help="of load for each cold ratio")
    parser.add_argument("--rounds", type=int, default=int(os.environ.get("BENCH_ROUNDS", "3")))
    options = parser.parse_args()
    options.inside = confine()
    options.build = os.path.abspath(options.build)
    options.work = os.path.join(options.build, "bench", "workloads")
    figures = Figures(options.build)
    for name in options.parts or parts:
        if name not in parts:
            parser.error(f"{name}: there are {', '.join(parts)}")
        parts[name](options, figures)


main()
