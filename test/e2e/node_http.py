#!/usr/bin/env python3
"""The node's HTTP interface from outside: every route, every role, and clients that mean no good.

Usage: node_http.py BUILD [TEST...]. Runs the daemon with the test double of calls (build/src/node/node_fake), which
answers by the function's name (src/node/calls_fake.c). Prints TAP."""
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

BUILD = sys.argv[1] if len(sys.argv) > 1 else "build"
# (module (memory (export "memory") 1) (func (export "_start")))
MODULE = bytes.fromhex("0061736d0100000001040160000003020100050301000107130206"
                       "6d656d6f72790200065f737461727400000a040102000b")
tests, count, failed = [], 0, 0


def test(function):
    tests.append(function)
    return function


class Unix(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=20)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(20)
        # The path may be longer than sun_path: through the folder.
        here = os.open(os.path.dirname(self.path), os.O_PATH)
        self.sock.connect(f"/proc/self/fd/{here}/{os.path.basename(self.path)}")
        os.close(here)


class Node:
    def __init__(self, data=None, *flags):
        self.data = data or tempfile.mkdtemp(prefix=f"wm-http-{os.getpid()}-")
        self.errors = open(self.data + ".log", "ab")
        env = dict(os.environ, WARDMOTE_WASMC=os.path.join(BUILD, "wardmote-wasmc"))
        self.process = subprocess.Popen(
            [os.path.join(BUILD, "src/node/node_fake"), "--data", self.data, "--listen", "127.0.0.1:0",
             *flags], stdout=subprocess.PIPE, stderr=self.errors, env=env)
        line = self.process.stdout.readline().decode()
        found = re.match(r"listening on https?://127\.0\.0\.1:(\d+)\n", line)
        if not found:
            raise RuntimeError("the node does not start: " + open(self.data + ".log").read())
        self.port = int(found.group(1))

    def ask(self, method, path, body=None, token=None, headers=None, unix=False):
        connection = Unix(self.data + "/node.sock") if unix else \
            http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        headers = dict(headers or {})
        if token:
            headers["Authorization"] = "Bearer " + token
        if isinstance(body, (dict, list)):
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        answer.body = answer.read()
        connection.close()
        return answer

    def admin(self, method, path, body=None):
        return self.ask(method, path, body, unix=True)

    def token(self, tenant, role):
        return json.loads(self.admin("POST", f"/v1/tenants/{tenant}/tokens", {"role": role}).body)["token"]

    def raw(self, data, wait=5.0, shut=False):
        """Sends bytes, returns what comes back until the node closes or `wait` passes."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait) as s:
            got = b""
            try:
                s.sendall(data)
                if shut:
                    s.shutdown(socket.SHUT_WR)
                while True:
                    part = s.recv(65536)
                    if not part:
                        return got
                    got += part
            except OSError:
                return got

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        status = self.process.wait(40)
        self.process.stdout.close()
        self.errors.close()
        return status

    def remove(self):
        shutil.rmtree(self.data, ignore_errors=True)
        os.unlink(self.data + ".log")


def check(condition, *shown):
    if not condition:
        raise AssertionError(" ".join(str(s) for s in shown) or "check failed")


def expect(answer, status, *shown):
    check(answer.status == status, "status", answer.status, "not", status, answer.body[:300], *shown)
    if status >= 400:
        error = json.loads(answer.body)["error"]
        check(error["code"] and error["message"], answer.body)
        check("/tmp" not in error["message"] and "wmt_" not in error["message"], answer.body)
    return answer


def fetch_json(answer, status=200):
    return json.loads(expect(answer, status).body)


@test
def only_health_without_a_token():
    expect(node.ask("GET", "/healthz"), 200)
    document = fetch_json(node.ask("GET", "/v1/openapi.json"))
    for path, item in document["paths"].items():
        for method, operation in item.items():
            access = operation["x-wardmote-access"]
            real = re.sub(r"\{[a-z]+\}", "x", path)
            for token in (None, "wmt_" + "0" * 64, "", "x" * 5000):
                answer = node.ask(method.upper(), real, token=token)
                if access in ("anybody", "loopback or any token", "loopback or node"):
                    check(answer.status in (200, 501), path, answer.status)
                else:
                    expect(answer, 401, method, path)
                    check(answer.headers["WWW-Authenticate"] == "Bearer")


@test
def the_document_is_the_page():
    """doc/api.md's tables, /v1/openapi.json and what is served are one and the same."""
    document = fetch_json(node.ask("GET", "/v1/openapi.json"))
    served = {(method.upper(), re.sub(r"\{[a-z]+\}", "X", path)) for path, item in document["paths"].items()
              for method in item if not path.startswith("/r/")}
    page = open(os.path.join(os.path.dirname(__file__), "../../doc/api.md")).read()
    told = set()
    for cell in re.findall(r"^\| (`.*?) \|", page, re.M):
        if cell.startswith("`* /r/"):
            continue
        methods = []
        for part in re.findall(r"`([^`]*)`", cell):
            words = part.split(" ")
            methods.append(words[0])
            if len(words) > 1:
                path = re.sub(r"\?.*", "", words[1])
                path = "/".join("X" if re.fullmatch("[A-Z]+", p) else p for p in path.split("/"))
                here = path
                told |= {(m, path) for m in methods}
                methods = []
        told |= {(m, here) for m in methods}
    check(served == told, "only served:", served - told, "only told:", told - served)


@test
def roles():
    ranks = {"invoke": 1, "deploy": 2, "admin": 3, "node": 4}
    tokens = {role: node.token("roles", role) for role in ("invoke", "deploy", "admin")}
    document = fetch_json(node.ask("GET", "/v1/openapi.json"))
    tried = 0
    for path, item in document["paths"].items():
        for method, operation in item.items():
            needed = ranks.get(operation["x-wardmote-access"])
            if not needed:
                continue
            real = path.replace("/v1/tenants/{name}", "/v1/tenants/roles")
            real = re.sub(r"\{[a-z]+\}", "nothing", real)
            for role, token in tokens.items():
                answer = node.ask(method.upper(), real, token=token)
                tried += 1
                if ranks[role] < needed:
                    expect(answer, 403, role, method, path)
                else:
                    check(answer.status not in (401, 403), role, method, path, answer.status, answer.body)
    check(tried > 100, tried)


@test
def a_tenant_sees_only_its_own():
    expect(node.admin("PUT", "/v1/tenants/other", {}), 200)
    mine, theirs = node.token("roles", "admin"), node.token("other", "admin")
    expect(node.ask("PUT", "/v1/functions/echo", MODULE, mine), 201)
    expect(node.ask("POST", "/v1/call/echo", b"x", mine), 200)
    expect(node.ask("POST", "/v1/call/echo", b"x", theirs), 404)
    expect(node.ask("GET", "/v1/functions/echo", token=theirs), 404)
    expect(node.ask("POST", "/v1/call/echo?tenant=roles", b"x", theirs), 403)
    expect(node.ask("GET", "/v1/tenants/roles/tokens", token=theirs), 403)
    expect(node.ask("POST", "/v1/tenants/roles/tokens", {"role": "admin"}, theirs), 403)
    call = fetch_json(node.ask("POST", "/v1/call/echo?async=1", b"secret", mine), 202)["id"]
    fetch_json(node.ask("GET", f"/v1/calls/{call}?wait_ms=5000", token=mine))
    expect(node.ask("GET", f"/v1/calls/{call}", token=theirs), 404)
    expect(node.ask("GET", f"/v1/calls/{call}/output", token=theirs), 404)
    check(node.ask("GET", f"/v1/calls/{call}/output", token=mine).body == b"secret")


@test
def functions():
    token = node.token("default", "deploy")
    made = fetch_json(node.ask("PUT", "/v1/functions/f?arg=a&arg=b%20c&timeout_ms=5&idempotent=1", MODULE,
                               token), 201)
    check(made["version"] == 1 and made["kind"] == "command", made)
    for n in (2, 3):
        check(fetch_json(node.ask("PUT", "/v1/functions/f", MODULE, token), 201)["version"] == n)
    shown = fetch_json(node.ask("GET", "/v1/functions/f", token=token))
    check(shown["versions"][0]["args"] == ["a", "b c"] and shown["aliases"] == {"latest": 3}, shown)
    check(shown["versions"][0]["limits"]["timeout_ms"] == 5, shown)
    expect(node.ask("PUT", "/v1/functions/f/aliases/old", {"version": 1}, token), 204)
    expect(node.ask("PUT", "/v1/functions/f/aliases/old", {"version": 9}, token), 404)
    expect(node.ask("PUT", "/v1/functions/f/aliases/old", {"version": 0}, token), 400)
    expect(node.ask("DELETE", "/v1/functions/f/aliases/none", token=token), 404)
    check(fetch_json(node.ask("POST", "/v1/functions/f/rollback", token=token))["version"] == 2)
    check(fetch_json(node.ask("POST", "/v1/functions/f/rollback", token=token))["version"] == 1)
    expect(node.ask("POST", "/v1/functions/f/rollback", token=token), 409)
    for name in ("f", "f:old", "f@3"):
        check(node.ask("POST", "/v1/call/" + name, b"in", token).body == b"in")
    expect(node.ask("POST", "/v1/call/f:new", b"in", token), 404)
    expect(node.ask("PUT", "/v1/functions/f/env", {"A": "1", "B": "x=y"}, token), 204)
    expect(node.ask("PUT", "/v1/functions/f/env", {"A": 1}, token), 400)
    expect(node.ask("PUT", "/v1/functions/f/env", {"1": "1"}, token), 400)
    expect(node.ask("PUT", "/v1/functions/f/secrets/KEY", b"hush-hush", token), 204)
    answer = node.ask("GET", "/v1/functions/f", token=token)
    shown = fetch_json(answer)
    check(shown["secrets"] == ["KEY"] and sorted(shown["env"]) == ["A", "B"], shown)
    check(b"hush" not in answer.body)
    expect(node.ask("PUT", "/v1/functions/f/secrets/KEY", b"a\0b", token), 400)
    expect(node.ask("DELETE", "/v1/functions/f/secrets/KEY", token=token), 204)
    expect(node.ask("DELETE", "/v1/functions/f/secrets/KEY", token=token), 404)
    check([f["name"] for f in fetch_json(node.ask("GET", "/v1/functions", token=token))["functions"]
           if f["name"] == "f"] == ["f"])
    expect(node.ask("DELETE", "/v1/functions/f", token=token), 204)
    expect(node.ask("POST", "/v1/call/f", b"in", token), 404)
    expect(node.ask("DELETE", "/v1/functions/f", token=token), 404)


@test
def invalid_modules():
    token = node.token("default", "deploy")
    for body in (b"not a module", MODULE[:-3], MODULE[:8], b"\0asm\2\0\0\0", MODULE + b"\0\1"):
        error = json.loads(expect(node.ask("PUT", "/v1/functions/bad", body, token), 422).body)["error"]
        check(len(error["message"]) > 10, error)
    expect(node.ask("PUT", "/v1/functions/bad", b"", token), 400)
    expect(node.ask("PUT", "/v1/functions/bad?kind=faaslet", MODULE, token), 422)
    expect(node.ask("PUT", "/v1/functions/bad?kind=other", MODULE, token), 400)
    expect(node.ask("PUT", "/v1/functions/bad?memory=lots", MODULE, token), 400)
    expect(node.ask("PUT", "/v1/functions/bad?depth=65", MODULE, token), 400)
    expect(node.ask("PUT", "/v1/functions/bad?unknown=1", MODULE, token), 400)
    expect(node.ask("PUT", "/v1/functions/-bad", MODULE, token), 400)
    expect(node.ask("PUT", "/v1/functions/..%2fbad", MODULE, token), 400)
    expect(node.ask("GET", "/v1/functions/bad", token=token), 404)


@test
def ends_of_calls():
    token = node.token("default", "deploy")
    for name in ("echo", "sleep", "fail", "trap", "refuse", "busy", "limit", "died", "late", "http", "cgi", "log"):
        expect(node.ask("PUT", "/v1/functions/" + name, MODULE, token), 201)
    answer = expect(node.ask("POST", "/v1/call/fail", b"", token), 200)
    check(answer.headers["Wardmote-Return-Code"] == "3" and answer.body == b"failed")
    for name, status, code in (("trap", 500, "trap"), ("refuse", 422, "refused"), ("busy", 429, "overloaded"),
                               ("limit", 507, "limit"), ("died", 502, "worker-died"), ("late", 504, "timeout")):
        answer = expect(node.ask("POST", "/v1/call/" + name, b"", token), status)
        check(json.loads(answer.body)["error"]["code"] == code, answer.body)
    check(node.ask("POST", "/v1/call/busy", b"", token).headers["Retry-After"])
    big = os.urandom(16 << 20)
    check(expect(node.ask("POST", "/v1/call/echo", big, token), 200).body == big)
    expect(node.ask("POST", "/v1/call/log", b"one\n\x1b[2Jtwo\xff", token), 200)
    lines = fetch_json(node.ask("GET", "/v1/functions/log/logs", token=token))["lines"]
    check([line["text"] for line in lines] == ["one", "\\x1b[2Jtwo\\xff"] or
          [line["text"] for line in lines] == ["one", "\x1b[2Jtwo\\xff"], lines)
    page = node.ask("GET", "/metrics").body.decode()
    check('wardmote_calls_total{tenant="default",function="trap",end="trap"} 1\n' in page, page)


@test
def routes():
    token, weak = node.token("default", "deploy"), node.token("default", "invoke")
    put = lambda name, **what: node.ask("PUT", "/v1/routes/" + name, what, token)
    expect(put("all", path="/app/*", function="http", public=True), 204)
    expect(put("page", path="/page", function="cgi", public=True, method="GET"), 204)
    expect(put("inner", path="/inner", function="http"), 204)
    expect(put("broken", path="/broken", function="trap", public=True), 204)
    expect(put("bad", path="app", function="http"), 400)
    expect(put("bad", path="/x", function="http", methods="GET"), 400)
    expect(put("twin", path="/app/*", function="echo"), 409)
    answer = node.ask("POST", "/r/default/app/a%20b?q=1&r=%41", b"body", headers={"X-Own": "v"})
    check(answer.status == 201 and answer.headers["X-Guest"] == "yes", answer.status, answer.body)
    check(answer.headers["Wardmote-Call"] is None and answer.headers["Content-Type"] == "text/plain")
    check(answer.body.startswith(b"POST /app/a b ?q=1&r=%41\n") and b"x-own: v\n" in answer.body, answer.body)
    answer = node.ask("GET", "/r/default/page")
    check(answer.status == 202 and answer.headers["Content-Type"] == "text/html" and
          answer.body == b"<p>hello", answer.status, answer.headers, answer.body)
    expect(node.ask("POST", "/r/default/page"), 401)
    expect(node.ask("POST", "/r/default/page", token=weak), 405)
    expect(node.ask("GET", "/r/default/inner"), 401)
    expect(node.ask("GET", "/r/default/none"), 401)
    expect(node.ask("GET", "/r/nobody/none"), 401)
    expect(node.ask("GET", "/r/default/none", token=weak), 404)
    answer = node.ask("GET", "/r/default/inner", token=weak)
    check(answer.status == 201 and b"wmt_" not in answer.body and b"authorization" not in answer.body, answer.body)
    answer = expect(node.ask("GET", "/r/default/broken"), 500)
    check(b"as asked" not in answer.body and b"0: f" not in answer.body, answer.body)
    check(len(fetch_json(node.ask("GET", "/v1/routes", token=weak))["routes"]) == 4)
    expect(node.ask("DELETE", "/v1/routes/inner", token=token), 204)
    expect(node.ask("DELETE", "/v1/routes/inner", token=token), 404)


@test
def asynchronous_calls():
    token = node.token("default", "deploy")
    start = lambda name, body: fetch_json(node.ask("POST", f"/v1/call/{name}?async=1", body, token), 202)["id"]
    call = start("sleep", b"400")
    check(re.fullmatch("[0-9a-f]{32}", call))
    check(fetch_json(node.ask("GET", f"/v1/calls/{call}", token=token))["state"] in ("running", "queued"))
    expect(node.ask("GET", f"/v1/calls/{call}/output", token=token), 409)
    begin = time.time()
    state = fetch_json(node.ask("GET", f"/v1/calls/{call}?wait_ms=10000", token=token))
    check(state["state"] == "done" and state["end"] == "ok" and time.time() - begin < 5, state)
    check(node.ask("GET", f"/v1/calls/{call}/output?keep=1", token=token).body == b"slept")
    check(node.ask("GET", f"/v1/calls/{call}/output", token=token).body == b"slept")
    expect(node.ask("GET", f"/v1/calls/{call}/output", token=token), 404)
    call = start("sleep", b"3000")
    begin = time.time()
    check(fetch_json(node.ask("GET", f"/v1/calls/{call}?wait_ms=200", token=token))["state"] == "running")
    check(0.15 < time.time() - begin < 2)
    call = start("trap", b"")
    check(fetch_json(node.ask("GET", f"/v1/calls/{call}?wait_ms=5000", token=token))["end"] == "trap")
    expect(node.ask("POST", "/v1/call/none?async=1", b"", token), 404)
    for bad in ("x", "0" * 32, "0" * 31, "%00"):
        check(node.ask("GET", f"/v1/calls/{bad}", token=token).status in (400, 404))
    # A quota: what is pending and unread counts.
    expect(node.admin("PUT", "/v1/tenants/small", {"quota": {"results_bytes": 4000}}), 200)
    small = node.token("small", "deploy")
    expect(node.ask("PUT", "/v1/functions/echo", MODULE, small), 201)
    expect(node.ask("POST", "/v1/call/echo?async=1", b"x" * 3000, small), 202)
    expect(node.ask("POST", "/v1/call/echo?async=1", b"x" * 3000, small), 429)


@test
def files():
    token = node.token("default", "deploy")
    expect(node.ask("PUT", "/v1/files/a/b/c.txt", b"content", token), 204)
    check(node.ask("GET", "/v1/files/a/b/c.txt", token=token).body == b"content")
    expect(node.ask("PUT", "/v1/files/a/b/c.txt", b"", token), 204)
    check(node.ask("GET", "/v1/files/a/b/c.txt", token=token).body == b"")
    check([e["name"] for e in fetch_json(node.ask("GET", "/v1/files/a", token=token))["entries"]] == ["b"])
    expect(node.ask("DELETE", "/v1/files/a/b", token=token), 409)
    for path in ("../x", "%2e%2e/x", "a/../../x", "a/%2e%2e/%2e%2e/%2e%2e/node.key", "a//b", "/etc/passwd", "a/%00",
                 "a/b/c.txt/d", "..%2f..%2fnode.key", "."):
        for method in ("GET", "PUT", "DELETE"):
            answer = node.ask(method, "/v1/files/" + path, b"x" if method == "PUT" else None, token)
            check(answer.status in (400, 404, 409), method, path, answer.status, answer.body)
    os.symlink("/etc", node.data + "/files/default/link")
    expect(node.ask("GET", "/v1/files/link/passwd", token=token), 404)
    expect(node.ask("PUT", "/v1/files/link/passwd", b"x", token), 404)
    expect(node.ask("DELETE", "/v1/files/a/b/c.txt", token=token), 204)
    expect(node.ask("GET", "/v1/files/a/b/c.txt", token=token), 404)


@test
def state():
    token = node.token("default", "invoke")
    ask = lambda method, path, body=None: node.ask(method, "/v1/state" + path, body, token)
    expect(ask("GET", "/none"), 404)
    expect(ask("PUT", "/a/b", b"0123456789"), 204)
    answer = ask("GET", "/a/b?offset=2&len=3")
    check(answer.body == b"234" and answer.headers["Wardmote-Value-Bytes"] == "10", answer.body)
    expect(ask("PUT", "/a/b?offset=8", b"XY"), 204)
    expect(ask("PUT", "/a/b?offset=9", b"XY"), 422)
    check(ask("GET", "/a/b").body == b"01234567XY")
    expect(ask("PUT", "/a/b", b"short"), 204)
    check(ask("GET", "/a/b").body == b"short")
    expect(ask("PUT", "/a%2Fc", b""), 422)
    expect(ask("PUT", "/a%2Fc", b"?"), 204)
    big = os.urandom(3 << 20)
    expect(ask("PUT", "/big", big), 204)
    check(ask("GET", "/big").body == big)
    keys = fetch_json(ask("GET", "?prefix=a/"))["keys"]
    check(keys == [{"key": "a/b", "bytes": 5}, {"key": "a/c", "bytes": 1}], keys)
    check([k["key"] for k in fetch_json(ask("GET", "?after=a/b&limit=1"))["keys"]] == ["a/c"])
    expect(ask("GET", "/a/b?offset=99"), 400)
    expect(ask("GET", "/" + "k" * 257), 400)
    expect(ask("DELETE", "/a/b"), 204)
    expect(ask("GET", "/a/b"), 404)
    other = node.token("roles", "admin")
    expect(node.ask("GET", "/v1/state/big", token=other), 404)
    expect(node.admin("PUT", "/v1/tenants/little", {"quota": {"state_bytes": 1000}}), 200)
    little = node.token("little", "invoke")
    expect(node.ask("PUT", "/v1/state/x", b"x" * 600, little), 204)
    expect(node.ask("PUT", "/v1/state/y", b"x" * 600, little), 413)
    expect(node.ask("PUT", "/v1/state/x", b"x" * 900, little), 204)


@test
def tenants_and_tokens():
    expect(node.admin("PUT", "/v1/tenants/acme", {"quota": {"cpu_weight": 50}, "allow": ["example.org:443"]}), 200)
    shown = fetch_json(node.admin("GET", "/v1/tenants/acme"))
    check(shown["quota"]["cpu_weight"] == 50 and shown["allow"] == ["example.org:443"], shown)
    expect(node.admin("PUT", "/v1/tenants/acme", {"trust_class": "shared"}), 200)
    shown = fetch_json(node.admin("GET", "/v1/tenants/acme"))
    check(shown["trust_class"] == "shared" and shown["quota"]["cpu_weight"] == 50, shown)
    for bad in ({"quota": {"cpu_wieght": 1}}, {"quota": {"cpu_weight": -1}}, {"quota": 1}, {"allow": ["x"]},
                {"allow": "x"}, {"nonsense": 1}, {"quota": {"cpu_weight": 10001}}):
        expect(node.admin("PUT", "/v1/tenants/acme", bad), 400, bad)
    expect(node.admin("PUT", "/v1/tenants/%2e%2e", {}), 400)
    made = fetch_json(node.admin("POST", "/v1/tenants/acme/tokens", {"role": "invoke"}), 201)
    expect(node.admin("POST", "/v1/tenants/acme/tokens", {"role": "root"}), 400)
    expect(node.ask("GET", "/v1/functions", token=made["token"]), 200)
    listed = node.admin("GET", "/v1/tenants/acme/tokens")
    check(made["id"].encode() in listed.body and made["token"].encode() not in listed.body, listed.body)
    expect(node.admin("DELETE", "/v1/tenants/acme/tokens/" + made["id"]), 204)
    expect(node.ask("GET", "/v1/functions", token=made["token"]), 401)
    root = fetch_json(node.admin("POST", "/v1/node/tokens"), 201)
    check(fetch_json(node.ask("GET", "/v1/node", token=root["token"]))["state"] == "running")
    expect(node.ask("GET", "/v1/functions?tenant=acme", token=root["token"]), 200)
    expect(node.admin("DELETE", "/v1/node/tokens/" + root["id"]), 204)
    expect(node.ask("GET", "/v1/node", token=root["token"]), 401)
    token = node.token("acme", "deploy")
    # With a tenant goes all it has: another one of the same name finds nothing.
    expect(node.ask("PUT", "/v1/functions/echo", MODULE, token), 201)
    expect(node.ask("PUT", "/v1/files/deep/er/file", b"left behind", token), 204)
    expect(node.ask("PUT", "/v1/state/key", b"left behind", token), 204)
    call = fetch_json(node.ask("POST", "/v1/call/echo?async=1", b"left behind", token), 202)["id"]
    fetch_json(node.ask("GET", f"/v1/calls/{call}?wait_ms=5000", token=token))
    expect(node.admin("DELETE", "/v1/tenants/acme"), 204)
    expect(node.ask("GET", "/v1/functions", token=token), 401)
    expect(node.admin("GET", "/v1/tenants/acme"), 404)
    os.makedirs(node.data + "/files/acme/again")  # as if the node had died before it came to the files
    expect(node.admin("PUT", "/v1/tenants/acme", {}), 200)
    heir = node.token("acme", "admin")
    check(fetch_json(node.ask("GET", "/v1/files/", token=heir))["entries"] == [])
    check(fetch_json(node.ask("GET", "/v1/state", token=heir))["keys"] == [])
    check(fetch_json(node.ask("GET", "/v1/functions", token=heir))["functions"] == [])
    expect(node.ask("GET", f"/v1/calls/{call}", token=heir), 404)
    expect(node.ask("GET", "/v1/functions", token=token), 401)
    expect(node.admin("DELETE", "/v1/tenants/acme"), 204)
    expect(node.admin("GET", "/v1/tenants/acme"), 404)


@test
def methods_and_paths():
    token = node.token("default", "deploy")
    answer = expect(node.ask("PATCH", "/v1/functions", token=token), 405)
    check(answer.headers["Allow"] == "GET, HEAD, OPTIONS", answer.headers["Allow"])
    answer = expect(node.ask("OPTIONS", "/v1/functions/f"), 204)
    check("PUT" in answer.headers["Allow"] and "DELETE" in answer.headers["Allow"])
    answer = node.ask("HEAD", "/v1/functions", token=token)
    check(answer.status == 200 and answer.body == b"" and int(answer.headers["Content-Length"]) > 2)
    for path in ("/", "/v1", "/v1/", "/v2/functions", "/v1/functions/", "//v1/functions", "/v1/functions/a/b/c"):
        expect(node.ask("GET", path, token=token), 404, path)
    for path in ("/v1/functions/%", "/v1/functions/%zz", "/v1/functions/%00", "/v1/functions?limit=%",
                 "/v1/functions?" + "a&" * 40, "/v1/functions?nonsense=1"):
        expect(node.ask("GET", path, token=token), 400, path)
    expect(node.ask("GET", "/v1/functions/" + "a" * 9000, token=token), 414)


@test
def malformed_requests():
    token = node.token("default", "deploy")
    auth = f"Authorization: Bearer {token}\r\n".encode()
    for data in (b"\0\1\2\3\r\n\r\n", b"GET\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"GET * HTTP/1.1\r\nHost: a\r\n\r\n",
                 b"GET http://a/ HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"\r\n" * 100,
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth + b"Content-Length: -1\r\n\r\n",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth + b"Content-Length: 5x\r\n\r\nhello",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth + b"Content-Length: 99999999999999999999\r\n\r\n",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth +
                 b"Transfer-Encoding: chunked\r\n\r\nzzz\r\nhello\r\n",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth +
                 b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth +
                 b"Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth +
                 b"Transfer-Encoding: gzip, chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
                 b"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\n" + auth + auth + b"Content-Length: 5\r\n\r\nhello",
                 b"GET /healthz HTTP/1.1\r\n" + b"X: " + b"y" * 40000 + b"\r\n\r\n",
                 b"GET /healthz HTTP/1.1\r\n" + b"X: y\r\n" * 5000 + b"\r\n"):
        got = node.raw(data, 1.0, shut=True)
        check(not got.startswith(b"HTTP/1.1 200"), data[:80], got[:100])
    check(node.ask("GET", "/healthz").status == 200)
    expect(node.ask("PUT", "/v1/routes/x", b"{", token), 400)
    expect(node.ask("PUT", "/v1/routes/x", b"[]", token), 400)
    expect(node.ask("PUT", "/v1/routes/x", b'{"path": "/a", "path": "/b", "function": "f"}', token), 400)
    expect(node.ask("PUT", "/v1/routes/x", b"[" * 100000, token), 400)
    expect(node.ask("PUT", "/v1/routes/x", b"\xff\xfe", token), 400)


@test
def mangled_requests():
    """Good requests with bytes changed, cut out and doubled: nothing dies, nothing hangs, nothing leaks."""
    seed = int.from_bytes(os.urandom(4), "little")
    print(f"# seed {seed}")
    chance = random.Random(seed)
    token = node.token("default", "deploy")
    auth = f"Host: a\r\nConnection: close\r\nAuthorization: Bearer {token}\r\n".encode()
    good = [b"GET /v1/functions HTTP/1.1\r\n" + auth + b"\r\n",
            b"POST /v1/call/echo?timeout_ms=5 HTTP/1.1\r\n" + auth + b"Content-Length: 5\r\n\r\nhello",
            b"PUT /v1/routes/x HTTP/1.1\r\n" + auth + b"Content-Length: 33\r\n\r\n" +
            b'{"path":"/x%41","function":"echo"',
            b"GET /r/default/app/%41%2f?a=b&c HTTP/1.1\r\n" + auth + b"X-Y: z\r\n\r\n",
            b"POST /v1/call/echo HTTP/1.1\r\n" + auth + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
            b"PUT /v1/files/a/b HTTP/1.1\r\n" + auth + b"Content-Length: 1\r\n\r\nx"]
    answered = 0
    for _ in range(600):
        data = bytearray(chance.choice(good))
        for _ in range(chance.randint(1, 6)):
            at = chance.randrange(len(data))
            what = chance.randrange(4)
            if what == 0:
                data[at] = chance.randrange(256)
            elif what == 1:
                del data[at:at + chance.randint(1, 20)]
            elif what == 2:
                data[at:at] = data[at:at + chance.randint(1, 40)]
            else:
                data[at:at] = chance.choice([b"\r\n", b"\0", b"%", b"%00", b"/../", b" ", b":", b"\xff", b"9" * 30])
            if not data:
                data = bytearray(b"\r\n")
        got = node.raw(bytes(data), 0.2, shut=True)
        answered += bool(re.match(rb"HTTP/1\.[01] [2345]\d\d ", got))
        check(not got or got.startswith(b"HTTP/1."), bytes(data), got[:100])
        check(b"/tmp/" not in got, bytes(data), got)
    check(answered > 200, answered)
    check(node.ask("GET", "/healthz").status == 200)


@test
def oversize_bodies():
    token = node.token("default", "deploy")
    head = f"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n".encode()
    got = node.raw(head + b"Content-Length: 16777217\r\n\r\n", 3)
    check(got.startswith(b"HTTP/1.1 413"), got[:100])
    # Chunked: the size shows only while it arrives.
    chunk = b"10000\r\n" + b"x" * 65536 + b"\r\n"
    got = node.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 257 + b"0\r\n\r\n", 10)
    check(got.startswith(b"HTTP/1.1 413"), got[:100])
    got = node.raw(head + b"Transfer-Encoding: chunked\r\n\r\n" + chunk * 600, 5)
    check(b"200 OK" not in got, got[:100])
    check(b"\r\n\r\n" + b"x" * 100 in
          node.raw(head + b"Transfer-Encoding: chunked\r\nConnection: close\r\n\r\n" + chunk + b"0\r\n\r\n", 5))
    expect(node.ask("GET", "/v1/functions", b"a body where none belongs", token), 413)
    expect(node.ask("PUT", "/v1/functions/echo/secrets/K", b"x" * 40000, token), 413)


@test
def pipelining():
    token = node.token("default", "invoke")
    one = f"POST /v1/call/echo HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\nContent-Length: 6\r\n\r\n".encode()
    slow = one.replace(b"call/echo", b"call/sleep").replace(b"Length: 6", b"Length: 3") + b"100"
    last = one.replace(b"Host: a", b"Host: a\r\nConnection: close") + b"number"
    got = node.raw(b"".join(one + b"%06d" % i for i in range(20)) + slow + last, 5)
    bodies = re.findall(rb"\r\n\r\n(\d{6}|slept|number)", got)
    check(bodies == [b"%06d" % i for i in range(20)] + [b"slept", b"number"], bodies, got[-300:])


@test
def early_disconnects():
    token = node.token("default", "invoke")
    head = f"POST /v1/call/sleep HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n".encode()
    for data in (head, head + b"Content-Length: 100\r\n\r\nhalf", head + b"Content-Length: 5\r\n\r\n60000"):
        for _ in range(20):
            s = socket.create_connection(("127.0.0.1", node.port))
            s.sendall(data)
            s.close()
    # The sleepers are ended once it is noticed that nobody waits for them any more.
    begin = time.time()
    while 'wardmote_calls_running 0\n' not in node.ask("GET", "/metrics").body.decode():
        check(time.time() - begin < 10, "calls of clients that are gone still run")
        time.sleep(0.2)


@test
def metrics_name_no_strangers():
    token = node.token("default", "invoke")
    for i in range(50):
        node.ask("POST", f"/v1/call/invented{i}", b"", token)
    page = node.ask("GET", "/metrics").body.decode()
    check("invented" not in page)
    check(re.search(r"^wardmote_http_unauthorized_total [1-9]", page, re.M))


@test
def many_connections():
    token = node.token("default", "invoke")
    wrong = []

    def work(n):
        connection = http.client.HTTPConnection("127.0.0.1", node.port, timeout=20)
        for i in range(50):
            body = b"%d-%d" % (n, i)
            connection.request("POST", "/v1/call/echo", body, {"Authorization": "Bearer " + token})
            answer = connection.getresponse().read()
            if answer != body:
                wrong.append((body, answer))
        connection.close()

    threads = [threading.Thread(target=work, args=(n,)) for n in range(20)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    check(not wrong, wrong[:3])


@test
def changes_at_once():
    """Changes of the catalogue queue up: all are made, none is lost."""
    token = node.token("default", "deploy")
    status = []

    def work(n):
        for i in range(10):
            status.append(node.ask("PUT", f"/v1/routes/q{n}-{i}", {"path": f"/q/{n}/{i}", "function": "echo"}, token).status)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(8)]
    [t.start() for t in threads]
    [t.join() for t in threads]
    check(status == [204] * 80, set(status))
    names = [r["name"] for r in fetch_json(node.ask("GET", "/v1/routes", token=token))["routes"]]
    check(sum(n.startswith("q") for n in names) == 80, len(names))


@test
def overloaded_calls_wait():
    one = Node()
    token = one.token("default", "deploy")
    expect(one.ask("PUT", "/v1/functions/twice", MODULE, token), 201)
    call = fetch_json(one.ask("POST", "/v1/call/twice?async=1", b"patient", token), 202)["id"]
    check(fetch_json(one.ask("GET", f"/v1/calls/{call}?wait_ms=100", token=token))["state"] == "queued")
    # It had not begun when the node ended: it runs at the next start, idempotent or not.
    check(one.stop() == 0)
    two = Node(one.data)
    for _ in range(2):  # the new double too is busy at first
        state = fetch_json(two.ask("GET", f"/v1/calls/{call}?wait_ms=5000", token=token))
    check(state["state"] == "done" and state["end"] == "ok", state)
    check(two.ask("GET", f"/v1/calls/{call}/output", token=token).body == b"patient")
    two.stop()
    one.remove()


@test
def slow_clients_are_closed():
    slow = Node(None, "--header-s", "1", "--idle-s", "2")
    try:
        s = socket.create_connection(("127.0.0.1", slow.port), timeout=10)
        s.sendall(b"GET /healthz HTTP/1.1\r\n")
        begin, closed = time.time(), False
        while time.time() - begin < 8 and not closed:
            try:
                s.sendall(b"X: y\r\n")
                s.settimeout(0.2)
                closed = s.recv(10) == b""
            except socket.timeout:
                pass
            except ConnectionError:
                closed = True
        check(closed and time.time() - begin < 6, "a client that sends a line now and then stays")
        s.close()
        # A body too has its time.
        token = slow.token("default", "deploy")
        s = socket.create_connection(("127.0.0.1", slow.port), timeout=10)
        s.sendall(f"PUT /v1/files/a HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {token}\r\n"
                  "Content-Length: 1000\r\n\r\n".encode())
        begin, closed = time.time(), False
        while time.time() - begin < 8 and not closed:
            try:
                s.sendall(b"x")
                s.settimeout(0.2)
                closed = s.recv(10) == b""
            except socket.timeout:
                pass
            except ConnectionError:
                closed = True
        check(closed and time.time() - begin < 6, "a body that comes byte by byte is waited for")
        s.close()
        # An idle one too, but not before its time.
        s = socket.create_connection(("127.0.0.1", slow.port), timeout=10)
        s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        check(b"200 OK" in s.recv(1000))
        begin = time.time()
        s.recv(1)
        check(1 < time.time() - begin < 6, time.time() - begin)
        check(slow.ask("GET", "/healthz").status == 200)
    finally:
        slow.stop()
        slow.remove()


@test
def connections_of_an_address_are_limited():
    few = Node(None, "--connections-per-address", "5")
    held = []
    try:
        for _ in range(10):
            held.append(socket.create_connection(("127.0.0.1", few.port), timeout=5))
        time.sleep(0.3)
        answered = 0
        for s in held:
            try:
                s.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
                answered += b"200" in s.recv(100)
            except OSError:
                pass
        check(answered <= 5, answered)
        check(few.admin("GET", "/healthz").status == 200)
    finally:
        [s.close() for s in held]
        few.stop()
        few.remove()


@test
def everything_is_there_after_a_restart():
    first = Node()
    token = first.token("default", "deploy")
    for name in ("echo", "sleep"):
        expect(first.ask("PUT", "/v1/functions/" + name + "?idempotent=" + str(int(name == "echo")), MODULE, token), 201)
    expect(first.ask("PUT", "/v1/functions/echo/secrets/K", b"v", token), 204)
    expect(first.ask("PUT", "/v1/routes/r", {"path": "/x", "function": "echo", "public": True}, token), 204)
    done = fetch_json(first.ask("POST", "/v1/call/echo?async=1", b"kept", token), 202)["id"]
    fetch_json(first.ask("GET", f"/v1/calls/{done}?wait_ms=5000", token=token))
    lost = fetch_json(first.ask("POST", "/v1/call/sleep?async=1", b"60000", token), 202)["id"]
    check(first.stop(signal.SIGKILL) == -9)
    second = Node(first.data)
    check(second.ask("POST", "/v1/call/echo", b"x", token).body == b"x")
    check(fetch_json(second.ask("GET", "/v1/functions/echo", token=token))["secrets"] == ["K"])
    check(second.ask("POST", "/r/default/x", b"route").body == b"route")
    check(second.ask("GET", f"/v1/calls/{done}/output", token=token).body == b"kept")
    state = fetch_json(second.ask("GET", f"/v1/calls/{lost}?wait_ms=5000", token=token))
    check(state["end"] == "node-died", state)
    # A second daemon on the same folder is refused.
    other = subprocess.run([os.path.join(BUILD, "src/node/node_fake"), "--data", first.data, "--listen",
                            "127.0.0.1:0"], capture_output=True, timeout=20)
    check(other.returncode == 1 and b"another node runs" in other.stderr, other)
    check(os.stat(first.data + "/seal.key").st_mode & 0o777 == 0o600)
    check(os.stat(first.data + "/node.sock").st_mode & 0o777 == 0o600)
    check(os.stat(first.data).st_mode & 0o777 == 0o700)
    check(second.stop() == 0)
    first.remove()


@test
def idempotent_calls_run_again():
    first = Node()
    token = first.token("default", "deploy")
    expect(first.ask("PUT", "/v1/functions/sleep?idempotent=1", MODULE, token), 201)
    call = fetch_json(first.ask("POST", "/v1/call/sleep?async=1", b"1500", token), 202)["id"]
    check(first.stop(signal.SIGKILL) == -9)
    second = Node(first.data)
    state = fetch_json(second.ask("GET", f"/v1/calls/{call}?wait_ms=10000", token=token))
    check(state["end"] == "ok", state)
    check(second.ask("GET", f"/v1/calls/{call}/output", token=token).body == b"slept")
    second.stop()
    first.remove()


@test
def no_acknowledged_change_is_lost_by_kills():
    data, known = None, {}
    for round_ in range(4):
        one = Node(data)
        data = one.data
        if round_ == 0:
            token = one.token("default", "deploy")
            expect(one.ask("PUT", "/v1/functions/echo", MODULE, token), 201)
        for name, call in known.items():
            check(one.ask("GET", f"/v1/calls/{call}/output?keep=1", token=token).body == name, name)
        stop = time.time() + 0.3 + 0.2 * round_
        n = 0
        killer = threading.Timer(stop - time.time(), lambda: one.process.kill())
        killer.start()
        try:
            while True:
                name = b"%d-%d" % (round_, n)
                call = json.loads(one.ask("POST", "/v1/call/echo?async=1", name, token).body)["id"]
                if json.loads(one.ask("GET", f"/v1/calls/{call}?wait_ms=5000", token=token).body)["state"] == "done":
                    known[name] = call
                n += 1
        except (OSError, http.client.HTTPException, ValueError):
            pass
        one.stop(0)
        check(n > 0, "nothing was asked before the kill")
    check(len(known) > 4, len(known))
    one.remove()


@test
def drain():
    one = Node(None, "--drain-s", "20")
    token = one.token("default", "deploy")
    for name in ("echo", "sleep"):
        expect(one.ask("PUT", "/v1/functions/" + name, MODULE, token), 201)
    answers = {}

    def ask(name, *what):
        answers[name] = one.ask(*what)

    call = threading.Thread(target=ask, args=("call", "POST", "/v1/call/sleep", b"1500", token))
    call.start()
    time.sleep(0.3)
    waiter = threading.Thread(target=lambda: answers.update(drain=one.admin("POST", "/v1/node/drain")))
    waiter.start()
    time.sleep(0.3)
    expect(one.ask("POST", "/v1/call/echo", b"x", token), 503)
    check(one.ask("GET", "/healthz").status == 503)
    check("drain" not in answers)
    call.join()
    waiter.join()
    check(answers["call"].body == b"slept" and answers["drain"].status == 200)
    check(one.stop() == 0)
    one.remove()


@test
def signals():
    one = Node(None, "--drain-s", "1")
    token = one.token("default", "deploy")
    expect(one.ask("PUT", "/v1/functions/sleep", MODULE, token), 201)
    answers = []
    call = threading.Thread(target=lambda: answers.append(one.ask("POST", "/v1/call/sleep", b"60000", token)))
    call.start()
    time.sleep(0.3)
    begin = time.time()
    check(one.stop() == 0 and 0.5 < time.time() - begin < 8)
    call.join()
    check(answers[0].status == 503, answers[0].status)
    two = Node(one.data, "--drain-s", "60")
    call = threading.Thread(target=lambda: node_gone(two, token))
    call.start()
    time.sleep(0.3)
    two.process.send_signal(signal.SIGTERM)
    time.sleep(0.3)
    check(two.process.poll() is None)
    check(two.stop() == 1)
    call.join()
    one.remove()


def node_gone(two, token):
    try:
        two.ask("POST", "/v1/call/sleep", b"60000", token)
    except (OSError, http.client.HTTPException):
        pass


@test
def nobody_waits_for_a_node_that_ends():
    one = Node(None, "--drain-s", "1")
    token = one.token("default", "deploy")
    expect(one.ask("PUT", "/v1/functions/sleep", MODULE, token), 201)
    call = fetch_json(one.ask("POST", "/v1/call/sleep?async=1", b"60000", token), 202)["id"]
    answers = {}
    poll = threading.Thread(target=lambda: answers.update(
        poll=one.ask("GET", f"/v1/calls/{call}?wait_ms=60000", token=token)))
    drain = threading.Thread(target=lambda: answers.update(drain=one.admin("POST", "/v1/node/drain")))
    poll.start()
    time.sleep(0.2)
    drain.start()
    time.sleep(0.2)
    begin = time.time()
    check(one.stop() == 0 and time.time() - begin < 8, time.time() - begin)
    poll.join()
    drain.join()
    check(answers["poll"].status == 200 and answers["drain"].status == 200, answers)
    one.remove()


@test
def cron_triggers():
    token = node.token("default", "deploy")
    made = node.ask("PUT", "/v1/crons/c", {"schedule": "*/5 * * * *", "function": "echo", "input": "tick"}, token)
    if made.status == 501:
        return  # built without
    expect(made, 204)
    for bad in ({"schedule": "61 * * * *", "function": "echo"}, {"schedule": "* * *", "function": "echo"},
                {"schedule": "* * * * *"}, {"schedule": "* * * * *", "function": "a b"},
                {"schedule": "* * * * *", "function": "echo", "more": 1}, {"schedule": 5, "function": "echo"}):
        check(node.ask("PUT", "/v1/crons/d", bad, token).status in (400, 422), bad)
    shown = fetch_json(node.ask("GET", "/v1/crons", token=token))["crons"]
    check(shown == [{"name": "c", "schedule": "*/5 * * * *", "function": "echo", "input": "tick"}], shown)
    expect(node.ask("DELETE", "/v1/crons/c", token=token), 204)
    expect(node.ask("DELETE", "/v1/crons/c", token=token), 404)


@test
def backup_and_restore():
    one = Node()
    token = one.token("default", "deploy")
    expect(one.ask("PUT", "/v1/functions/echo", MODULE, token), 201)
    expect(one.ask("PUT", "/v1/files/a/b", b"file", token), 204)
    out = one.data + "-backup"
    expect(one.admin("POST", "/v1/node/backup", {"path": "relative"}), 400)
    fetch_json(one.admin("POST", "/v1/node/backup", {"path": out}))
    check(one.admin("POST", "/v1/node/backup", {"path": out}).status == 409)
    one.stop()
    program = os.path.join(BUILD, "src/node/node_fake")
    offline = subprocess.run([program, "backup", "--data", one.data, out + "2"], capture_output=True, timeout=30)
    check(offline.returncode == 0, offline)
    restored = one.data + "-restored"
    done = subprocess.run([program, "restore", out, "--data", restored], capture_output=True, timeout=30)
    check(done.returncode == 0, done)
    two = Node(restored)
    check(two.ask("POST", "/v1/call/echo", b"x", token).body == b"x")
    check(two.ask("GET", "/v1/files/a/b", token=token).body == b"file")
    two.stop()
    with open(out + "2/seal.key", "r+b") as key:
        key.write(b"damaged")
    done = subprocess.run([program, "restore", out + "2", "--data", restored + "2"], capture_output=True, timeout=30)
    check(done.returncode == 1 and b"seal.key" in done.stderr and not os.path.exists(restored + "2"), done)
    for path in (out, out + "2", restored):
        shutil.rmtree(path)
    os.unlink(restored + ".log")
    one.remove()


@test
def tls():
    where = tempfile.mkdtemp(prefix=f"wm-http-{os.getpid()}-tls-")
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", where + "/key",
                           "-out", where + "/cert", "-days", "2", "-subj", "/CN=localhost"], capture_output=True)
    check(made.returncode == 0, made)
    one = Node(None, "--tls-cert", where + "/cert", "--tls-key", where + "/key")
    try:
        import ssl
        context = ssl.create_default_context(cafile=where + "/cert")
        context.check_hostname = False
        connection = http.client.HTTPSConnection("127.0.0.1", one.port, timeout=10, context=context)
        token = one.token("default", "deploy")
        connection.request("PUT", "/v1/functions/sleep", MODULE, {"Authorization": "Bearer " + token})
        answer = connection.getresponse()
        answer.read()
        check(answer.status == 201)
        for _ in range(3):
            connection.request("POST", "/v1/call/sleep", b"50", {"Authorization": "Bearer " + token})
            check(connection.getresponse().read() == b"slept")
        check(b"200 OK" not in one.raw(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n", 2))
    finally:
        one.stop()
        one.remove()
        shutil.rmtree(where)


only = sys.argv[2:]
chosen = [t for t in tests if not only or t.__name__ in only]
print(f"1..{len(chosen)}")
node = Node()
node.admin("PUT", "/v1/tenants/roles", {})
for name in ("echo", "sleep", "trap", "http", "cgi"):
    node.admin("PUT", "/v1/functions/" + name, MODULE)
for function in chosen:
    count += 1
    try:
        function()
        check(node.process.poll() is None, "the node died")
        print(f"ok {count} {function.__name__}", flush=True)
    except Exception as error:  # noqa: a failed test is not the end
        failed += 1
        print(f"# {type(error).__name__}: {error}\nnot ok {count} {function.__name__}", flush=True)
status = node.stop()
if status != 0:
    print(f"# the node ended with {status}")
    failed += 1
if failed:
    print("# " + open(node.data + ".log").read()[-2000:].replace("\n", "\n# "))
node.remove()
sys.exit(1 if failed else 0)
