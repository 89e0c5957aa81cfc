#!/usr/bin/env python3
"""python_fn.py BUILD: Python functions on a node, and what no two clones of a Proto-Faaslet may share (TAP)."""
import concurrent.futures, json, pathlib, sys, time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from node import Node, check, finish, python_module, same, skip

BUILD = sys.argv[1]
HERE = pathlib.Path(__file__).resolve().parent
node = Node(BUILD)
module, why = python_module(BUILD)


def put(name, script, *options, want=0):
    path = pathlib.Path(node.folder) / f"{name}.py"
    path.write_text(script) if isinstance(script, str) else path.write_bytes(script)
    result = node.fn("put", str(path), *options, env={"WARDMOTE_PYTHON": module})
    if want == 0:
        check(f"{name}: put", result.failed())
    return result


def calls():
    put("echo", '''
import sys
calls = []
loaded = sys.argv, __name__, __file__
def handle(data):
    if data == b"which":
        return repr(loaded)
    if data == b"global":
        calls.append(1)
        return str(len(calls))
    if data == b"print":
        print("printed", end=" ")
        return "returned"
    if data == b"none":
        return None
    if data == b"big":
        return b"0123456789abcdef" * (5 << 16)
    if data == b"exit":
        sys.exit(7)
    if data == b"words":
        sys.exit("last words")
    if data == b"raise":
        print("before", end="")
        raise ValueError("wrong \\u20ac")
    if data == b"number":
        return 5
    return data
''', "--arg", "one", "--arg", "two")
    result = node.call("echo", "first", "--time")
    check("echo: the first call is cold", result.is_("first"), "" if "cold" in result.err else result.err)
    result = node.call("echo", "second", "--time")
    second = node.call("echo", "third", "--time")
    check("echo: others are warm", result.is_("second"), "" if "warm" in result.err + second.err else result.err)
    check("echo: no input", node.call("echo").is_(""))
    check("echo: its arguments", node.call("echo", "which").is_("(['echo.py', 'one', 'two'], 'function', 'echo.py')"))
    check("echo: a global that a call changed", node.call("echo", "global").is_("1"))
    check("echo: ...is not seen by the next", *[node.call("echo", "global").is_("1") for _ in range(3)])
    check("echo: what is printed goes before what is returned", node.call("echo", "print").is_("printed returned"))
    check("echo: None is nothing", node.call("echo", "none").is_(""))
    for text in ("grüße, 世界 \U0001f600", "\u0000\u0001\n\r"):
        check(f"echo: {text!r}", node.call("echo", text).is_(text))
    every = bytes(range(256)) * 9
    check("echo: bytes that are no text", node.call("echo", every).is_(every))
    check("echo: a large output", node.call("echo", "big").is_(b"0123456789abcdef" * (5 << 16)))
    large = bytes(i * i % 251 for i in range(1000)) * 5000
    check("echo: a large input", node.call("echo", large).is_(large))
    result = node.call("echo", "raise")
    check("echo: an exception is return code 1", result.fails(1, "returned 1"), same(result.text, "before"))
    log = node.logs("echo", "ValueError")
    check("echo: ...and a traceback in the log", "" if "ValueError: wrong" in log and 'raise ValueError("wrong' in log
          and 'File "echo.py", line' in log and "urlsafe_b64decode" not in log and "in run" not in log else log)
    check("echo: goes on after it", node.call("echo", "well").is_("well"))
    check("echo: sys.exit(7)", node.call("echo", "exit").fails(1, "returned 7"))
    check("echo: sys.exit(words)", node.call("echo", "words").fails(1, "returned 1"),
          "" if "last words" in node.logs("echo", "last words") else "not in the log")
    check("echo: what it cannot return", node.call("echo", "number").failed(1),
          "" if "not int" in node.logs("echo", "not int") else "not in the log")
    status, body, headers = node.ask("POST", "/v1/call/echo", "over HTTP")
    check("echo: over HTTP", same((status, body), (200, b"over HTTP")))

    shown = node.fn("show", "echo")
    check("echo: shown without its whole script", shown.failed(), f"{len(shown.text)} bytes" if len(shown.text) > 3000 else "",
          "" if "echo.py, one, two" in shown.text else shown.text)

    put("reader", "import sys\nprefix = 'read: '\nfor line in sys.stdin:\n    print(prefix + line.strip())\n")
    check("reader: a script without handle reads its input itself", node.call("reader", "a\nb\n").is_("read: a\nread: b\n"),
          node.call("reader", "c").is_("read: c\n"))
    put("typed", "print(input() + '!')\n")
    check("typed: input()", node.call("typed", "ü\nb").is_("ü!\n"))


def refused():
    for name, script, words in (
        ("broken", "def handle(data):\n    return (\n", "never closed"),
        ("raises", "import nothing_of_that_name\n", "No module named 'nothing_of_that_name'"),
        ("empty", "", "no function handle"),
        ("leaves", "import sys\nsys.exit(3)\n", "status 3"),
        ("number", "handle = 5\n", "handle is no function"),
        ("spins", "while True: pass\n", "deadline"),
    ):
        result = put(name, script, "--timeout", "4000", want=None)
        check(f"{name}: refused, with the reason", result.fails(2, words))
    # The interpreter is one file, however many functions use it.
    node.ask("PUT", "/v1/tenants/small", json.dumps({"quota": {"modules_bytes": 60 << 20}}))
    for i in range(2):
        put(f"quota{i}", "handle = bytes.upper\n", "--tenant", "small")
    check("quota: its modules are counted once", *[put("quota0", "handle = bytes.upper\n", "--tenant", "small", want=None).failed(2 if i else 0)
                                                   for i in range(2)])
    result = put("opens", "handle = print\nkept = open('/tmp.txt', 'w')\n", want=None)
    check("opens: a file that is left open is refused", result.fails(2, "open after init"))
    longest = "handle = bytes.upper\n# ü" + "\n# +/ %&" * 4096
    longest = longest.encode()[:32768].decode()
    put("longest", longest)
    check("longest: 32 KiB", node.call("longest", "abc").is_("ABC"))
    check("too long", put("longest", longest + "xxxx", want=None).failed(2))
    check("longest: is as it was", node.call("longest", "abd").is_("ABD"))
    put("cookie", b"# -*- coding: latin-1 -*-\ndef handle(data):\n    return '\xe4'\n")
    check("cookie: another encoding", node.call("cookie").is_("ä"))


def limits():
    put("limits", '''
def handle(data):
    if data == b"spin":
        while True:
            pass
    if data == b"memory":
        return str(len(bytearray(1 << 30)))
    if data == b"creep":
        kept = []
        while True:
            kept.append(bytearray(1 << 20))
    if data == b"output":
        return b"x" * (2 << 20)
    if data == b"deep":
        def deep(n):
            return deep(n + 1)
        return deep(0)
    return b"fine"
''', "--timeout", "1500", "--memory", "128m", "--output-limit", "1m")
    began = time.monotonic()
    result = node.call("limits", "spin")
    took = time.monotonic() - began
    check("limits: an endless loop ends", result.fails(1, "within its time"), f"after {took} s" if took > 20 else "")
    check("limits: ...and the next call works", node.call("limits").is_("fine"))
    for what in ("memory", "creep"):
        result = node.call("limits", what)
        check(f"limits: {what}: MemoryError", result.fails(1, "returned 1"))
        check("limits: ...and the next call works", node.call("limits").is_("fine"))
    check("limits: MemoryError is in the log", "" if "MemoryError" in node.logs("limits", "MemoryError") else node.logs("limits", "x", 0))
    check("limits: too much output", node.call("limits", "output").fails(1, "output is over the limit"))
    check("limits: endless recursion", node.call("limits", "deep").failed(1),
          "" if "RecursionError" in node.logs("limits", "RecursionError") else "no RecursionError in the log")
    check("limits: after all of it", node.call("limits").is_("fine"))
    check("small: no room for the interpreter", put("small", "handle = bytes.upper\n", "--memory", "4m", want=None).failed(2))


def unique():
    """What two clones share, and what they must not."""
    put("unique", '''
import json, logging, os, random, secrets, tempfile, time, uuid
own = random.Random()
restored_calls = 0
warm = random.random(), uuid.uuid1(), uuid.uuid4(), tempfile._get_candidate_names().__next__(), os.urandom(8)
def restored():
    global restored_calls
    restored_calls += 1
    own.seed()
def handle(data):
    return json.dumps({
        "random": random.random(), "own": own.random(), "uuid4": str(uuid.uuid4()), "uuid1": str(uuid.uuid1()),
        "node": uuid.getnode(), "temporary": next(tempfile._get_candidate_names()), "urandom": os.urandom(16).hex(),
        "token": secrets.token_hex(), "random bits": random.getrandbits(64), "shuffled": random.sample(range(10**6), 5),
        "time": time.time_ns(), "monotonic": time.monotonic_ns(), "logging": logging._startTime,
        "hash": hash("a string"), "restored": restored_calls})
''')
    calls = [json.loads(node.call("unique").text or "{}") for _ in range(3)]
    time.sleep(0.01)
    node.stop()  # and clones in another process
    node.start()
    calls += [json.loads(node.call("unique").text or "{}") for _ in range(2)]
    for key in ("random", "own", "uuid4", "uuid1", "node", "temporary", "urandom", "token", "random bits", "shuffled"):
        values = [json.dumps(call.get(key)) for call in calls]
        check(f"unique: {key} differs in all clones", f"{values}" if len(set(values)) != len(calls) else "")
    for key in ("time", "monotonic", "logging"):
        values = [call.get(key, 0) for call in calls]
        check(f"unique: {key} goes on", f"{values}" if sorted(set(values)) != values else "")
    check("unique: restored() ran once in each", same([call.get("restored") for call in calls], [1] * 5))
    check("unique: hashes are shared, as the manual says", same(len({call.get("hash") for call in calls}), 1))


def unique_in_c():
    result = node.fn("put", str(HERE / "faaslet/unique.c"))
    check("unique.c: put", result.failed())
    if result.status:
        return
    calls = [node.call("unique", "").text.split() for _ in range(4)]
    if any(len(call) != 4 for call in calls):
        check("unique.c: answers", calls)
        return
    frozen, fresh, host, times = zip(*calls)
    check("unique.c: a generator that init seeded gives all calls the same", same(len(set(frozen)), 1))
    check("unique.c: one that FAASLET_RESTORED seeded does not", same(len(set(fresh)), 4))
    check("unique.c: the host's random numbers are never the same", same(len(set(host)), 4))
    check("unique.c: time goes on", "" if sorted(set(times), key=int) == list(times) else times)


def environment(name, put_it, call):
    put_it()
    check(f"{name}: no variable", call().is_("none none"))
    check(f"{name}: one is set", node.fn("env", name, "VARIABLE=first").failed())
    check(f"{name}: what ran before the calls has seen it", call().is_("first first"), call().is_("first first"))
    check(f"{name}: another value", node.fn("env", name, "VARIABLE=second", "OTHER=x").failed(), call().is_("second second"))
    node.stop()
    node.start()
    check(f"{name}: ...after a restart", call().is_("second second"))
    put_it()
    check(f"{name}: a new version begins with it", call().is_("second second"))
    check(f"{name}: an environment that init refuses", node.fn("env", name, "VARIABLE=refused").failed(2), call().is_("second second"))
    check(f"{name}: the version before has the same", call("@1").is_("second second"))
    check(f"{name}: none again", node.fn("env", name, "--clear").failed(), call().is_("none none"), call("@1").is_("none none"))


SEES = '''
import os
seen = os.environ.get("VARIABLE", "none")
if seen == "refused":
    raise SystemExit("refused")
def handle(data):
    return seen + " " + os.environ.get("VARIABLE", "none")
'''
PLAIN = '''
#include <stdio.h>
#include <stdlib.h>
int main(void)
{
    const char *value = getenv("VARIABLE");
    printf("%s %s", value ? value : "none", value ? value : "none");
    return value && value[0] == 'r';
}
'''


def environments():
    environment("unique", lambda: check("unique.c: put", node.fn("put", str(HERE / "faaslet/unique.c")).failed()),
                lambda version="": node.call("unique" + version, "e"))
    plain = pathlib.Path(node.folder) / "plain.c"
    plain.write_text(PLAIN)
    check("plain: put", node.fn("put", str(plain)).failed())
    check("plain: a command sees its environment at each call", node.fn("env", "plain", "VARIABLE=x").failed(), node.call("plain").is_("x x"))
    hidden = pathlib.Path(node.folder) / "hidden"
    hidden.write_text("hush\n")
    check("plain: a secret is one more variable", node.fn("env", "plain", "--clear").failed(),
          node.fn("secret", "set", "plain", "VARIABLE", str(hidden)).failed(), node.call("plain").is_("hush hush"))
    check("plain: ...until it is taken away", node.fn("secret", "rm", "plain", "VARIABLE").failed(), node.call("plain").is_("none none"))
    if module:
        environment("sees", lambda: put("sees", SEES), lambda version="": node.call("sees" + version, ""))
        # A version that no alias names does not keep the others from a new environment.
        put("two", "import os\nhandle = lambda data: os.environ.get('V', 'none')\nassert 'V' not in os.environ, 'not with V'\n")
        put("two", "import os\nhandle = lambda data: os.environ.get('V', 'none')\n")
        check("two: set", node.fn("env", "two", "V=1").failed(), node.call("two").is_("1"))
        check("two: the old version cannot be called under it", node.call("two@1").fails(2, "present environment"))
        check("two: cleared", node.fn("env", "two", "--clear").failed(), node.call("two").is_("none"))
        check("two: the old version is back", node.call("two@1").is_("none"))


SLOW = """
import os, time
seen = os.environ.get("V", "none")
time.sleep(2)
def handle(data):
    return seen
"""


def files():
    """The tenant's files, what calls write, and secrets."""
    put("files", '''
import os, helper, tempfile
at_load = os.listdir("/"), os.path.exists("/run/secrets/KEY")
def handle(data):
    if data == b"secret":
        return open("/run/secrets/KEY", newline="").read() + repr(at_load[1])
    if data == b"overwrite":
        open("/run/secrets/KEY", "w").write("mine")
        return open("/run/secrets/KEY").read()
    seen = sorted(os.listdir("/"))
    open("/mine", "w").write("of one call")
    open("/data.txt", "a").write(" changed")
    with tempfile.NamedTemporaryFile() as file:
        file.write(b"x" * 100000)
    return repr((helper.value, seen, open("/data.txt").read()))
''')
    want = repr((42, ["data.txt", "helper.py"], "data changed"))
    check("files: read by all, written by one", node.call("files").is_(want), node.call("files").is_(want))
    check("files: the tenant's are as they were", same(node.ask("GET", "/v1/files/data.txt")[1], b"data"))
    secret = pathlib.Path(node.folder) / "secret"
    secret.write_text("hush \u00fc\nx\n")
    check("files: a secret", node.fn("secret", "set", "files", "KEY", str(secret)).failed(), node.call("files", "secret").is_("hush ü\nxFalse"),
          node.call("files", "overwrite").is_("mine"), node.call("files", "secret").is_("hush ü\nxFalse"))
    check("files: it is nobody else's", node.ask("GET", "/v1/files/run/secrets/KEY")[0] == 200)
    image = [f for f in pathlib.Path(node.data, "images").iterdir() if b"hush \xc3\xbc" in f.read_bytes()]
    check("files: it is in no Proto-Faaslet", image)
    check("files: nor after the environment was changed", node.fn("env", "files", "A=b").failed(), node.call("files", "secret").is_("hush ü\nxFalse"),
          [f for f in pathlib.Path(node.data, "images").iterdir() if b"hush \xc3\xbc" in f.read_bytes()])
    check("files: taken away", node.fn("secret", "rm", "files", "KEY").failed(), node.call("files", "secret").failed(1))


def races():
    """Uploads and environments that cross each other: no version is left with an old environment."""
    plain = pathlib.Path(node.folder) / "slow.c"
    plain.write_text(PLAIN)  # a command, for which a new environment is there at once
    check("races: put", node.fn("put", str(plain)).failed())
    with concurrent.futures.ThreadPoolExecutor() as pool:
        upload = pool.submit(put, "slow", SLOW, want=None)
        time.sleep(1)
        changed = node.fn("env", "slow", "V=1")
        check("races: an environment that changes during an upload", changed.failed(), upload.result().fails(1, "put it again"))
        put("slow", SLOW)
        check("races: ...which works the next time", node.call("slow").is_("1"))
        change = pool.submit(node.fn, "env", "slow", "V=2")
        time.sleep(1)
        uploaded = put("slow", "import os\nseen = os.environ.get('V', 'none') + '!'\nhandle = lambda data: seen\n", want=None)
        # Whichever was first; the other was refused, and changed nothing.
        changed = change.result()
        want = ("2" if changed.status == 0 else "1") + ("!" if uploaded.status == 0 else "")
        check("races: an upload during a change of the environment", same(changed.status + uploaded.status, 1),
              "" if "it again" in changed.err + uploaded.err else changed.err + uploaded.err, node.call("slow").is_(want))
        check("races: ...which works the next time", node.fn("env", "slow", "V=3").failed(),
              node.call("slow").is_("3!" if uploaded.status == 0 else "3"))
        # Calls at the same time, in clones of their own.
        put("many", "import time\nkept = []\ndef handle(data):\n    kept.append(data)\n    time.sleep(0.05)\n    return b','.join(kept)\n")
        texts = [f"{i} " * 100 for i in range(48)]
        wrong = [same(result.out, text.encode()) for text, result in zip(texts, pool.map(lambda text: node.call("many", text), texts))]
        check("races: calls at the same time", *wrong)


def tails():
    """Arguments behind a module."""
    plain = pathlib.Path(node.folder) / "arguments.c"
    plain.write_text('#include <stdio.h>\nint main(int n, char **v) { for (int i = 1; i < n; i++) printf("[%s]", v[i]); }\n')
    built = node.wardmote("build", str(plain), "-o", node.folder + "/arguments.wasm")
    check("args: a program", built.failed())
    wasm = pathlib.Path(node.folder, "arguments.wasm").read_bytes()

    def upload(tail, query):
        status, body, _ = node.ask("PUT", "/v1/functions/arguments?" + query, wasm + tail)
        return status, body

    for tail, query, want in ((b"", "arg=x", b"[x]"), (b"a\0", "args=2", b"[a]"), (b"a\0\0b c\0", "args=7&arg=x&arg=y", b"[a][][b c][x][y]"),
                              ("ü\0".encode() * 100, "args=300", "[ü]".encode() * 100), (b"\0" * 256, "args=256", b"[]" * 256)):
        status, body = upload(tail, query)
        check(f"args: {query}", same(status, 201) and body, node.call("arguments").is_(want))
    for tail, query, want in ((b"a", "args=1", 400), (b"a\0", f"args={len(wasm) + 2}", 400), (b"", "args=65537", 400), (b"", "args=-1", 400),
                              (b"a\0", "args=1", 422), (b"\0" * 257, "args=257", 422), (b"\0" * 256, "args=256&arg=x", 422),
                              (b"\xff\0", "args=2", 400), (b"x" * 65535 + b"\0", "args=65536", 422), (b"", f"args={len(wasm) - 1}", 400)):
        status, body = upload(tail, query)
        check(f"args: refused: {len(tail)} bytes, {query}", same(status, want) and body)


# Before the tenant has a worker, which looks for them when it starts.
for name, text in (("data.txt", "data"), ("helper.py", "value = 42\n")):
    node.ask("PUT", "/v1/files/" + name, text)
try:
    tails()
    if module:
        calls()
        refused()
        limits()
        unique()
        files()
        races()
    else:
        skip("Python functions", why)
    node.fn("rm", "-y", "unique")
    unique_in_c()
    node.fn("rm", "-y", "unique")
    environments()
finally:
    node.close()
finish()
