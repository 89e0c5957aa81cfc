#!/usr/bin/env python3
"""workers.py BUILD: worker processes that die, stop, or keep what they should not have, and their node (TAP)."""
import json, os, pathlib, signal, socket, sys, threading, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from node import Node, check, finish, same, skip

BUILD = sys.argv[1]
SLEEPER = """#include <stdio.h>
#include <time.h>
int main(void)
{
    int ms = 0;
    scanf("%d", &ms);
    nanosleep(&(struct timespec){ms / 1000, ms % 1000 * 1000000L}, NULL);
    printf("slept %d", ms);
    return 0;
}
"""
WRITER = """#include <faaslet.h>
FAASLET_MAIN
{
    if (faaslet_state_create("k", 1, 40000) != 0) {
        return 1;
    }
    unsigned char *at = faaslet_state_map("k", 1, 0, 0, FAASLET_MAP_NO_PULL);
    if (!at) {
        return 2;
    }
    for (int i = 0; i < 40000; i++) {
        at[i] = (unsigned char)(i * 7 + (i >> 8) * 13);
    }
    return faaslet_state_dirty("k", 1, 0, 40000) == 0 && faaslet_state_push("k", 1, 0, 0) == 0 ? 0 : 3;
}
"""
ECHO = """#include <faaslet.h>
static char bytes[6 << 20];
FAASLET_MAIN
{
    return faaslet_output(bytes, faaslet_input(bytes, sizeof bytes));
}
"""
node = Node(BUILD)
source = pathlib.Path(node.folder, "sleeper.c")
source.write_text(SLEEPER)


def workers():
    """Processes of the node's, oldest first."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            fields = pathlib.Path("/proc", entry, "stat").read_text().rsplit(")", 1)
        except OSError:
            continue
        if entry.isdigit() and int(fields[1].split()[1]) == node.process.pid and "wardmote-worke" in fields[0]:
            found.append((int(fields[1].split()[19]), int(entry)))
    return [pid for _, pid in sorted(found)]


def descriptors(pid):
    return os.listdir(f"/proc/{pid}/fd")


def put(name, tenant, *options):
    result = node.fn("put", str(source), name, "--tenant", tenant, *options)
    check(f"{tenant}: {name} is put", result.failed())


def call(name, tenant, ms, answers):
    status, body, _ = node.ask("POST", f"/v1/call/{name}?tenant={tenant}", str(ms))
    answers.append((status, body))


def at_once(name, tenant, ms, count, during):
    answers = []
    threads = [threading.Thread(target=call, args=(name, tenant, ms, answers)) for _ in range(count)]
    for thread in threads:
        thread.start()
    time.sleep(0.5)
    during()
    for thread in threads:
        thread.join(60)
    return answers


def kill_all():
    for pid in workers():
        os.kill(pid, signal.SIGKILL)


def alive():
    status, _, _ = node.ask("GET", "/v1/node")
    return same(status, 200) or same(node.process.poll(), None)


def killed_with_calls_that_wait():
    """One runs, the rest wait for their place in the tenant's share."""
    answers = at_once("again", "one", 1500, 6, kill_all)
    check("an idempotent call of a killed worker runs again, and so do those behind it",
          same([a for a in answers if a != (200, b"slept 1500")], []), alive())
    answers = at_once("once", "one", 1500, 6, kill_all)
    good = [a for a in answers if a == (200, b"slept 1500")]
    check("one that is not idempotent ends with its worker; those behind it run", same(len(answers), 6), same(len(good), 5), alive())


def nothing_stays_open():
    node.ask("POST", "/v1/call/again?tenant=one", "1")
    first = len(descriptors(node.process.pid))
    for _ in range(3):
        kill_all()
        time.sleep(2.2)  # not young any more
        node.ask("POST", "/v1/call/again?tenant=one", "1")
    check("a worker that ended leaves no descriptor in the node", same(abs(len(descriptors(node.process.pid)) - first) < 4, True))


def workers_are_given_nothing_of_others():
    node.ask("POST", "/v1/call/again?tenant=one", "1")
    node.ask("POST", "/v1/call/other?tenant=two", "1")
    pids = workers()
    try:
        counts = [len(descriptors(pid)) for pid in pids]
    except PermissionError:
        skip("a later worker has no descriptor of an earlier one", "their /proc is closed to this user")
        return
    check("a later worker has no descriptor of an earlier one", same(len(counts), 2), same(counts[1] - counts[0] < 8, True) and str(counts))


def one_that_does_not_read():
    """More messages than its socket holds: each of these loads is a large one."""
    names = [f"load{i}" for i in range(16)]
    for name in names:
        put(name, "one")
        status, body, _ = node.ask("PUT", f"/v1/functions/{name}/env?tenant=one", json.dumps({f"V{i}": "x" * 4000 for i in range(8)}))
        check(f"{name}: environment", same(status // 100, 2) and str(body))
    call("again", "one", 1, [])
    stopped = workers()
    for pid in stopped:
        os.kill(pid, signal.SIGSTOP)
    answers = []
    threads = [threading.Thread(target=call, args=(name, "one", 1, answers)) for name in names]
    try:
        for thread in threads:
            thread.start()
        time.sleep(1.5)
        began = time.monotonic()
        problem = alive()
        check("a worker that reads nothing does not stop its node", problem, same(time.monotonic() - began < 2, True))
    finally:
        for pid in stopped:
            os.kill(pid, signal.SIGCONT)
    for thread in threads:
        thread.join(60)
    check("and has got everything when it reads again", same(answers, [(200, b"slept 1")] * len(names)))


def large_calls():
    """Their digests are made piece by piece; calls beside them are not held up, and nobody's is lost."""
    echo = pathlib.Path(node.folder, "large.c")
    echo.write_text(ECHO)
    result = node.fn("put", str(echo), "--tenant", "two")
    check("large is put", result.failed())
    body, wrong, records, threads = os.urandom(5 << 20), [], set(), []

    def one():
        status, got, headers = node.ask("POST", "/v1/call/large?tenant=two", body)
        records.add(headers.get("Wardmote-Call", "").partition("record=")[2].partition(";")[0])
        if status != 200 or got != body:
            wrong.append((status, len(got)))

    for _ in range(12):
        threads.append(threading.Thread(target=one))
        threads[-1].start()
    for thread in threads:
        thread.join(60)
    check("large calls come back whole, each with a record of its own", same(wrong, []), same(len(records), 12))
    answers = []
    thread = threading.Thread(target=one)
    thread.start()
    time.sleep(0.02)
    kill_all()
    thread.join(60)
    call("other", "two", 1, answers)
    check("a worker that dies while its results are looked at", same(answers, [(200, b"slept 1")]), alive())


def state_has_a_quota():
    """40,000 bytes of state."""
    writer = pathlib.Path(node.folder, "writer.c")
    writer.write_text(WRITER)
    ends = {}
    for tenant, quota in (("small", 10000), ("large", 1000000)):
        node.ask("PUT", f"/v1/tenants/{tenant}", json.dumps({"quota": {"state_bytes": quota}}))
        result = node.fn("put", str(writer), "--tenant", tenant)
        check(f"{tenant}: writer is put", result.failed())
        status, body, headers = node.ask("POST", f"/v1/call/writer?tenant={tenant}", "")
        ends[tenant] = (status, headers.get("Wardmote-Return-Code") or "0")
    check("a tenant's state ends at its quota", same(ends["large"], (200, "0")), same(ends["small"] in ((200, "1"), (200, "3")), True) and str(ends))
    node.ask("PUT", "/v1/tenants/small", json.dumps({"quota": {"state_bytes": 1000000}}))
    time.sleep(2.5)
    status, body, headers = node.ask("POST", "/v1/call/writer?tenant=small", "")
    check("...and a changed one holds soon", same((status, headers.get("Wardmote-Return-Code") or "0"), (200, "0")))


for tenant in ("one", "two"):
    result = node.wardmote("tenant", "set", tenant)
status, body, _ = node.ask("PUT", "/v1/tenants/one", json.dumps({"quota": {"calls_running": 1}}), headers={"Content-Type": "application/json"})
check("tenants", same(status // 100, 2) and str(body))
node.ask("PUT", "/v1/tenants/two", "{}", headers={"Content-Type": "application/json"})
put("again", "one", "--idempotent")
put("once", "one")
put("other", "two")
time.sleep(2.2)
killed_with_calls_that_wait()
nothing_stays_open()
workers_are_given_nothing_of_others()
node.ask("PUT", "/v1/tenants/one", json.dumps({"quota": {"calls_running": 1000}}), headers={"Content-Type": "application/json"})
one_that_does_not_read()
state_has_a_quota()
large_calls()
check("the node ends in order", same(node.stop(), 0), *[f"the log: {node.log()}"] if "ERROR" in node.log() else [])
node.close()
finish()
