#!/usr/bin/env python3
"""ledger_replicas.py BUILD: four replicas as processes on loopback, killed and started again.

What has a receipt is found everywhere afterwards, at the same index; a replica whose disk was wiped refuses."""
import os
import shutil
import signal
import subprocess
import sys
import tempfile

BUILD = os.path.abspath(sys.argv[1] if len(sys.argv) > 1 else "build")
NODE, CLIENT = f"{BUILD}/src/node/wardmote-replica", f"{BUILD}/test/ledger_client"
PEERS = 20000 + os.getpid() % 10000
CLIENTS = PEERS + 10
folder = tempfile.mkdtemp(prefix="ledger")
receipts = f"{folder}/receipts"
processes = [None] * 4
failed = tests = 0


def report(good, what):
    global failed, tests
    tests += 1
    failed += not good
    print(f"{'ok' if good else 'not ok'} {tests} - {what}", flush=True)


def start(i):
    processes[i] = subprocess.Popen([NODE, "--ledger", f"{folder}/{i}", "--client-listen", f"127.0.0.1:{CLIENTS + i}"],
                                    stderr=open(f"{folder}/{i}.log", "ab"))


def end(i, how):
    processes[i].send_signal(how)
    return processes[i].wait(30)


def client(*words):
    done = subprocess.run([CLIENT, *map(str, words)], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    print("# " + done.stdout.strip(), flush=True)
    return done.returncode == 0


def load(seed, count):
    return client("load", folder, CLIENTS, seed, count, receipts)


def check():
    return client("check", folder, CLIENTS, receipts)


try:
    report(client("make", folder, PEERS), "folders for four replicas")
    for i in range(4):
        start(i)
    report(load("first", 200), "200 requests, a receipt of replies for each")
    report(check(), "each replica finds each of them")
    end(3, signal.SIGKILL)
    report(load("second", 50), "one is killed: the others go on")
    start(3)
    report(check(), "started again, it has what it missed")
    end(0, signal.SIGKILL)
    report(load("third", 50), "the primary is killed: another one takes over")
    start(0)
    report(check(), "and all is found everywhere")
    for i in range(4):
        processes[i].send_signal(signal.SIGKILL)
    for i in range(4):
        processes[i].wait(30)
    for i in range(4):
        start(i)
    report(check(), "all are killed and started again: nothing is lost")
    report(load("fourth", 50), "and new requests are served")
    end(2, signal.SIGKILL)
    for name in ["journal", "ledger", "checkpoints"]:
        shutil.rmtree(f"{folder}/2/{name}", ignore_errors=True)
    start(2)
    try:
        status = processes[2].wait(30)
    except subprocess.TimeoutExpired:
        status = None
    report(status == 3, f"a replica whose disk was wiped refuses (status {status})")
    report(all(end(i, signal.SIGTERM) == 0 for i in (0, 1, 3)), "SIGTERM ends one with 0")
finally:
    for process in processes:
        if process and process.poll() is None:
            process.kill()
    if failed:
        for i in range(4):
            with open(f"{folder}/{i}.log") as log:
                print("".join(f"# {i}: {line}" for line in log.readlines()[-15:]))
    shutil.rmtree(folder, ignore_errors=True)
print(f"1..{tests}")
sys.exit(failed > 0)
