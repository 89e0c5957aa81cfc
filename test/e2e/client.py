#!/usr/bin/env python3
"""client.py BUILD: the commands against a node, with a node that is played (TAP).

The played node speaks doc/api.md on a TCP port and on a Unix socket, records each request, and answers what a
test scripted: also what a broken or hostile node would.
"""
import base64, http.server, json, os, pathlib, pty, re, select, shutil, signal, socket, socketserver, stat
import subprocess, sys, tempfile, threading, time, urllib.parse

BUILD = os.path.abspath(sys.argv[1])
WARDMOTE = os.path.join(BUILD, "wardmote")
PAGES = pathlib.Path(__file__).resolve().parent.parent.parent / "doc/man"
TOKEN = "t0ken-that-nobody-may-see-" + "5" * 17
ESCAPE = "\x1b]0;owned\x07\x1b[2J\u009b31m\u202ereversed\r\x7f"
results = []


def check(name, *problems, skip=None):
    results.append((name + (f" # SKIP {skip}" if skip else ""), [str(p) for p in problems if p]))


class Node:
    """What is answered: self.answers[(method, path)] is a function(request) or a tuple (status, body, headers)."""

    def __init__(self):
        self.requests, self.answers, self.lock = [], {}, threading.Lock()
        self.folder = tempfile.TemporaryDirectory(prefix=f"client-{os.getpid()}-")
        self.socket = os.path.join(self.folder.name, "node.sock")
        node = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 30

            def answer(self):
                url = urllib.parse.urlsplit(self.path)
                path = urllib.parse.unquote(url.path)
                key = (self.command, path)
                length = int(self.headers.get("Content-Length") or 0)
                request = {"method": self.command, "path": path, "raw": self.path, "length": length,
                           "query": urllib.parse.parse_qsl(url.query, keep_blank_values=True),
                           "headers": self.headers, "handler": self, "body": None}
                with node.lock:
                    node.requests.append(request)
                    made = node.answers.get(key, (404, {"error": {"code": "not-found", "message": f"{path}: no such thing"}}))
                    if isinstance(made, list):
                        made = made.pop(0) if len(made) > 1 else made[0]
                if not getattr(made, "early", False):
                    request["body"] = self.rfile.read(length)
                if callable(made):
                    made = made(request)
                if made is None:
                    self.close_connection = True
                    return
                status, body, *rest = made
                raw = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                for name, value in (rest[0] if rest else {}).items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(raw)))
                self.end_headers()
                self.wfile.write(raw)

            do_GET = do_PUT = do_POST = do_DELETE = answer

            def log_message(self, *args):
                pass

            def address_string(self):
                return "unix"

        class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass

        class UnixServer(Server):
            address_family = socket.AF_UNIX

            def server_bind(self):
                self.socket.bind(self.server_address)
                self.server_name, self.server_port = "node", 0

        self.tcp = Server(("127.0.0.1", 0), Handler)
        self.unix = UnixServer(self.socket, Handler)
        self.url = f"http://127.0.0.1:{self.tcp.server_address[1]}"
        for server in (self.tcp, self.unix):
            threading.Thread(target=server.serve_forever, daemon=True).start()

    def reset(self, **answers):
        with self.lock:
            self.requests, self.answers = [], {}

    def on(self, method, path, answer):
        with self.lock:
            self.answers[(method, path)] = answer

    def last(self):
        return self.requests[-1] if self.requests else {"method": None, "path": None, "body": b"", "query": [], "headers": {}}


node = Node()
HOME = tempfile.TemporaryDirectory(prefix=f"client-home-{os.getpid()}-")
WORK = pathlib.Path(tempfile.mkdtemp(prefix="work-", dir=HOME.name))
MODULE = WORK / "hello.wasm"
MODULE.write_bytes(bytes.fromhex("0061736d01000000"))


def environment(**more):
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WARDMOTE_", "XDG_")) and "proxy" not in k.lower()}
    return {**clean, "HOME": HOME.name, "XDG_STATE_HOME": HOME.name + "/state", **more}


def run(*args, env=None, input=b"", at=True, text=True):
    """`wardmote ARGS --node ...`; at: which node, True: the played one on its socket."""
    where = ["--node", "unix:" + node.socket] if at is True else ["--node", at] if at else []
    out = subprocess.run([WARDMOTE, *args, *where], input=input, capture_output=True, timeout=60, cwd=WORK,
                         env=environment(**(env or {})))
    if text:
        out.stdout, out.stderr = out.stdout.decode("utf-8", "replace"), out.stderr.decode("utf-8", "replace")
    return out


def status(out, want):
    return f"status {out.returncode}, not {want}: {out.stderr!r}" if out.returncode != want else ""


def has(text, *words):
    return [f"{w!r} is not in {text!r}" for w in words if w not in text]


def refuses(want, words, *args, **kwargs):
    out = run(*args, **kwargs)
    check("refuses: " + " ".join(args)[:70], status(out, want), *has(out.stderr, words),
          "does not begin with 'wardmote: '" if not out.stderr.startswith("wardmote: ") else "",
          f"more than one line: {out.stderr!r}" if out.stderr.count("\n") != 1 else "",
          f"writes {out.stdout!r}" if out.stdout else "")
    return out


def obeyed(text):
    """Characters in it that a terminal would obey."""
    bad = sorted({c for c in text if (ord(c) < 32 and c != "\n") or 0x7f <= ord(c) < 0xa0 or 0x202a <= ord(c) <= 0x202e})
    return f"a terminal would obey {bad} in {text!r}" if bad else ""


def query(request, name):
    return [v for k, v in request["query"] if k == name]


def usage():
    node.reset()
    refuses(2, "did you mean `wardmote fn list`?", "fn", "lst", at=None)
    refuses(2, "did you mean `wardmote fn route`?", "fn", "rout", at=None)
    refuses(2, "expected one of add, list, rm", "fn", "route", at=None)
    refuses(2, "options stand behind the command", "fn", "--json", "list", at=None)
    refuses(2, "did you mean --memory?", "fn", "put", "--memori", "1", "x.wasm", at=None)
    refuses(2, "did you mean --tenant?", "fn", "list", "--tenan", "x", at=None)
    refuses(2, "no file given", "fn", "put")
    refuses(2, "too few arguments: wardmote fn call NAME", "fn", "call")
    refuses(2, "no such argument", "fn", "list", "x")
    refuses(2, "expected a file that ends in .wasm", "fn", "put", "hello.txt")
    refuses(2, "cannot be read: No such file", "fn", "put", "none.wasm")
    refuses(2, "not usable as a name", "fn", "put", "hello.wasm", "a/b")
    refuses(2, "not usable as a name", "fn", "put", "hello.wasm", "x" * 65)
    refuses(2, "not usable as a name", "fn", "show", "--tenant", "../x", "hello")
    refuses(2, "bytes, with k, m or g allowed", "fn", "put", "--memory", "1x", "hello.wasm")
    refuses(2, "expected a whole number", "fn", "put", "--timeout", "1s", "hello.wasm")
    refuses(2, "expected auto, command, faaslet or suspended", "fn", "put", "--kind", "x", "hello.wasm")
    refuses(2, "expected a number up to", "fn", "list", "--retry", "-1")
    refuses(2, "expected seconds", "fn", "list", "--wait", "0")
    refuses(2, "expected milliseconds", "fn", "call", "--timeout", "0", "hello")
    refuses(2, "not usable as a version", "fn", "alias", "hello", "prod", "latest")
    refuses(2, "did you mean memory?", "tenant", "add", "a", "--quota", "memry=1")
    refuses(2, "expected HOST:PORT", "tenant", "add", "a", "--allow", "host")
    refuses(2, "expected invoke, deploy or admin", "tenant", "token", "a", "--role", "root")
    refuses(2, "expected one of --role", "tenant", "token", "a")
    refuses(2, "expected bytes", "state", "get", "k", "--offset", "-1")
    refuses(2, "expected 1 to 256 bytes", "state", "get", "k" * 257)
    refuses(2, "expected 1 to 256 bytes", "state", "get", "")
    for url in ("127.0.0.1:80", "ftp://x", "http://", "http://x/y", "unix:", "unix:" + "x" * 200):
        refuses(2, "not usable", "fn", "list", at=url)
    refuses(2, "belongs in a file", "fn", "list", at="http://x?token=1")
    out = refuses(2, "belongs in a file", "fn", "list", at=f"http://admin:{TOKEN}@127.0.0.1:1")
    check("a token in a URL is not repeated", TOKEN in out.stderr and "it is")
    check("nothing was sent for any of these", [r["raw"] for r in node.requests] or "")


def helps():
    for verb in ("fn", "state", "tenant", "node"):
        page = run("help", verb, at=None).stdout
        commands = re.findall(r"^  ([a-z]+(?: [a-z]+)?)  ", page, re.M)
        manual = (PAGES / f"wardmote-{verb}.1").read_text().replace("\\-", "-")
        manual = re.sub(r'\\f[BIRP]|"', "", manual)
        check(f"help {verb}", "" if page == run(verb, "--help", at=None).stdout else "`help VERB` and `VERB --help` differ",
              f"{page.count(chr(10))} lines" if page.count("\n") > 24 else "", *(f"wider than 80: {line!r}" for line in page.splitlines() if len(line) > 80), "" if len(commands) > 3 else commands)
        for command in commands:
            lines = run("help", verb, *command.split(), at=None).stdout.splitlines()
            options = {w.rstrip(",:;.") for line in lines if line.startswith("  ") for w in line.split() if w.startswith("--")}
            check(f"help {verb} {command}", "no usage" if not lines or not lines[0].startswith(f"usage: wardmote {verb} {command}") else "",
                  f"{len(lines)} lines: does not fit a screen" if len(lines) > 24 else "",
                  *(f"wider than 80: {line!r}" for line in lines[1:] if len(line) > 80),
                  *(f"{o}: not in wardmote-{verb}.1" for o in sorted(options) if o not in manual),
                  "" if command in manual else "the command is not in the manual")


def programs():
    """Where the other programs are looked for."""
    out = run("fn", "list", env={"WARDMOTE_CLIENT": "/nonexistent"})
    check("a client that is missing: 3, and named", status(out, 3), *has(out.stderr, "/nonexistent, named by WARDMOTE_CLIENT"))
    with tempfile.TemporaryDirectory() as folder:
        lone = shutil.copy(WARDMOTE, folder)
        out = subprocess.run([lone, "fn", "list"], capture_output=True, text=True, env=environment())
        where = re.search(r"nor in (\S+):", out.stderr)
        if not (where and os.path.exists(where.group(1))):
            check("wardmote alone: 3, with what to install", status(out, 3), *has(out.stderr, "wardmote-client is neither", "make install"))
        stub = pathlib.Path(folder) / "node"
        stub.write_text('#!/bin/sh\nprintf "[%s]" "$@"\n')
        stub.chmod(0o755)
        for args, want in ((["node", "--data", "d", "--listen", "127.0.0.1:0"], "[--data][d][--listen][127.0.0.1:0]"),
                           (["node", "restore", "b", "--data", "d"], "[restore][b][--data][d]"), (["node"], "[]")):
            out = run(*args, at=None, env={"WARDMOTE_NODE": str(stub)})
            check("handed to wardmote-node: " + " ".join(args), "" if out.stdout == want else out)
        (pathlib.Path(HOME.name) / "state/wardmote").mkdir(parents=True, exist_ok=True)
        out = run("node", "backup", "copy", at=None, env={"WARDMOTE_NODE": str(stub)})
        check("backup of a node that does not run is wardmote-node's",
              "" if out.stdout == f"[backup][{WORK}/copy][--data][{HOME.name}/state/wardmote]" else out)
        out = run("node", "backup", "copy", env={"WARDMOTE_NODE": str(stub)}, at="unix:/nonexistent/node.sock")
        check("but not when a node was named", status(out, 1), *has(out.stderr, "no node runs there"))
        node.reset()
        node.on("POST", "/v1/node/backup", (200, {}))
        out = run("node", "backup", "copy", "--data", os.path.dirname(node.socket), at=None, env={"WARDMOTE_NODE": str(stub)})
        check("a node that runs makes it itself, under a full path", status(out, 0),
              "" if json.loads(node.last()["body"] or b"{}") == {"path": f"{WORK}/copy"} else node.last())


def places():
    """Which node is asked, and with which token."""
    node.reset()
    node.on("GET", "/v1/functions", (200, {"functions": []}))
    refuses(1, "start one: wardmote node --data", "fn", "list", at=None)
    refuses(1, "start a node", "fn", "list", at="http://127.0.0.1:1")
    (pathlib.Path(HOME.name) / "state/wardmote").mkdir(parents=True, exist_ok=True)
    own = pathlib.Path(HOME.name) / "state/wardmote/node.sock"
    own.symlink_to(node.socket)
    out = run("fn", "list", at=None)
    check("the default: the socket in the state folder", status(out, 0), "" if len(node.requests) == 1 else node.requests)
    own.unlink()
    out = run("fn", "list", at=None, env={"WARDMOTE_NODE_URL": node.url + "/"})
    check("WARDMOTE_NODE_URL", status(out, 0), "" if len(node.requests) == 2 else node.requests)
    check("an empty list says how to begin, on stderr", "" if out.stdout == "" and "fn put" in out.stderr else out)
    out = run("fn", "list", "--tenant", "acme", env={"WARDMOTE_NODE_URL": "http://127.0.0.1:1"})
    check("--node wins; --tenant is sent", status(out, 0), "" if query(node.last(), "tenant") == ["acme"] else node.last()["raw"])
    proxied = run("fn", "list", at=node.url, env={"http_proxy": "http://127.0.0.1:1", "ALL_PROXY": "http://127.0.0.1:1"})
    check("no proxy of the environment gets the request", status(proxied, 0))

    def sent():
        return node.last()["headers"].get("Authorization")
    file = WORK / "token"
    file.write_text(TOKEN + "\n")
    file.chmod(0o600)
    run("fn", "list", "--token-file", "token", at=node.url)
    check("--token-file", "" if sent() == "Bearer " + TOKEN else sent())
    run("fn", "list", at=node.url, env={"WARDMOTE_TOKEN": TOKEN})
    check("WARDMOTE_TOKEN", "" if sent() == "Bearer " + TOKEN else sent())
    run("fn", "list", env={"WARDMOTE_TOKEN": TOKEN})
    check("none over the socket, whose opener is the administrator", sent())
    run("fn", "list", "--token-file", "token")
    check("except one that was named", "" if sent() == "Bearer " + TOKEN else sent())
    config = pathlib.Path(HOME.name) / ".config/wardmote"
    config.mkdir(parents=True)
    (config / "token").write_text(TOKEN)
    (config / "token").chmod(0o600)
    run("fn", "list", at=node.url)
    check("the token of the configuration", "" if sent() == "Bearer " + TOKEN else sent())
    count = len(node.requests)
    for mode in (0o640, 0o604, 0o666):
        (config / "token").chmod(mode)
        out = refuses(2, "chmod 600", "fn", "list", at=node.url)
        check("its text is not in the message", TOKEN in out.stderr and "it is")
    shutil.rmtree(config)
    for bad in ("", "two words", "line\nInjected: yes", "x" * 5000, "\x01"):
        file.write_text(bad)
        out = refuses(2, "holds no token", "fn", "list", "--token-file", "token", at=node.url)
        out2 = run("fn", "list", at=node.url, env={"WARDMOTE_TOKEN": bad}) if bad and "\n" not in bad else None
        check("nor by WARDMOTE_TOKEN", status(out2, 2) if out2 else "", bad in out.stderr and len(bad) > 3 and "the text is shown")
    refuses(2, "cannot be read", "fn", "list", "--token-file", "none", at=node.url)
    refuses(2, "would travel unencrypted", "fn", "list", at="http://192.0.2.1:1", env={"WARDMOTE_TOKEN": TOKEN})
    check("nothing was sent", len(node.requests) - count and node.last()["raw"])
    # What others see of the running program.
    node.on("GET", "/v1/functions", lambda request: (time.sleep(2), (200, []))[1])
    child = subprocess.Popen([WARDMOTE, "fn", "list", "--node", node.url], env=environment(WARDMOTE_TOKEN=TOKEN),
                             stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    time.sleep(1)
    line = pathlib.Path(f"/proc/{child.pid}/cmdline").read_bytes()
    child.wait()
    check("no token among the arguments", TOKEN.encode() in line and repr(line), "" if b"wardmote-client" in line else repr(line))


def put():
    node.reset()
    answer = {"version": 3, "kind": "faaslet", "module_bytes": 8}
    node.on("PUT", "/v1/functions/hello", (201, answer))
    node.on("PUT", "/v1/functions/other", (201, answer))
    out = run("fn", "put", "hello.wasm")
    request = node.last()
    check("fn put FILE: the name is the file's", status(out, 0), *has(out.stdout, "hello: version 3 is there, a faaslet"),
          "" if request["body"] == MODULE.read_bytes() and not request["query"] else request)
    out = run("fn", "put", "--json", "hello.wasm", "other", "--kind", "command", "--memory", "64m", "--timeout=2000", "--cpu", "1000",
              "--output-limit", "1k", "--files", "2M", "--depth", "3", "--chained", "4", "--idempotent", "--fuel",
              "--arg", "a b&c=d", "--arg", "", "--library")
    want = [("kind", "command"), ("memory", "67108864"), ("timeout_ms", "2000"), ("cpu_ms", "1000"), ("output", "1024"),
            ("files", "2097152"), ("depth", "3"), ("chained", "4"), ("idempotent", "1"), ("fuel", "1"), ("library", "1"),
            ("arg", "a b&c=d"), ("arg", "")]
    check("every option", status(out, 0), "" if sorted(node.last()["query"]) == sorted(want) else node.last()["query"],
          "" if json.loads(out.stdout) == answer else out.stdout)
    node.on("PUT", "/v1/functions/hello/env", (200, {}))
    node.on("PUT", "/v1/functions/hello/secrets/KEY", (200, {}))
    node.on("PUT", "/v1/functions/hello/secrets/PIPED", (200, {}))
    (WORK / "key").write_text("s3cret\n")
    node.requests.clear()
    out = run("fn", "put", "hello.wasm", "--env", "A=b=c", "--env", "SEEN", "--secret", "KEY=key", "--secret", "PIPED=-",
              env={"SEEN": "from here"}, input=b"typed\n")
    bodies = {r["path"]: r["body"] for r in node.requests}
    check("environment and secrets after the module", status(out, 0), "" if node.requests[0]["path"] == "/v1/functions/hello" else bodies,
          "" if json.loads(bodies.get("/v1/functions/hello/env", b"0")) == {"A": "b=c", "SEEN": "from here"} else bodies,
          "" if bodies.get("/v1/functions/hello/secrets/KEY") == b"s3cret" else bodies,
          "" if bodies.get("/v1/functions/hello/secrets/PIPED") == b"typed" else bodies)
    refuses(2, "expected NAME=FILE", "fn", "put", "hello.wasm", "--secret", "KEY")
    node.on("PUT", "/v1/functions/hello", (422, {"error": {"code": "invalid", "message": "hello: offset 0x4: bad version" + ESCAPE}}))
    out = refuses(2, "offset 0x4: bad version", "fn", "put", "hello.wasm")
    check("its message is not obeyed", obeyed(out.stderr))
    # A body that is refused before it is read.
    early = lambda request: (413, {"error": {"code": "too-large", "message": "hello: larger than 1 MiB"}}, {"Connection": "close"})
    early.early = True
    node.on("PUT", "/v1/functions/big", early)
    (WORK / "big.wasm").write_bytes(b"\0" * (8 << 20))
    refuses(2, "larger than 1 MiB", "fn", "put", "big.wasm")
    refuses(2, "larger than 1 MiB", "fn", "put", "big.wasm", at=node.url)
    # Python: the interpreter is the module, the script an argument.
    (WORK / "greet.py").write_text("print('hello', input())\n# ü &=%\n")
    (WORK / "python.wasm").write_bytes(b"python")
    node.on("PUT", "/v1/functions/greet", (201, answer))
    out = run("fn", "put", "greet.py", "--python", "python.wasm")
    def sent():
        """Of the last upload: the module, and the arguments behind it."""
        body, count = node.last()["body"], int((query(node.last(), "args") or ["0"])[0])
        return body[:len(body) - count], [a.decode() for a in body[len(body) - count:].split(b"\0")[:-1]]

    module, args = sent()
    check("FILE.py", status(out, 0), "" if module == b"python" else module,
          "" if args[:2] == ["-B", "-c"] and args[4:] == ["greet.py"] and query(node.last(), "kind") == ["suspended"]
          and base64.urlsafe_b64decode(args[3]) == (WORK / "greet.py").read_bytes() else args)
    loaded = subprocess.run([sys.executable, *args], input="you", capture_output=True, text=True)
    check("FILE.py: its arguments load the script", loaded.stderr, "" if loaded.stdout == "hello you\n" else loaded.stdout)
    for length in range(4):
        (WORK / "greet.py").write_text("#\xfc?>"[:length])
        run("fn", "put", "greet.py", "--python", "python.wasm")
        check(f"FILE.py: a script of {length} characters",
              "" if base64.urlsafe_b64decode(sent()[1][3]) == (WORK / "greet.py").read_bytes() else sent())
    (WORK / "greet.py").write_bytes(os.urandom(32768).replace(b"\0", b"1"))
    check("FILE.py: a long script", status(run("fn", "put", "greet.py", "--python", "python.wasm", "--arg", "more"), 0),
          "" if base64.urlsafe_b64decode(sent()[1][3]) == (WORK / "greet.py").read_bytes() else "another",
          "" if query(node.last(), "arg") == ["more"] else node.last()["query"])
    # Without --python it is fetched; by an npm that fails, and by one that brings something else.
    tools, kept = WORK / "tools", WORK / "cache-home"
    tools.mkdir()
    for name, text in (("npm", "exit 1"), ("wasm-opt", "exit 1")):
        (tools / name).write_text("#!/bin/sh\n" + text + "\n")
        (tools / name).chmod(0o755)
    env = {"PATH": f"{tools}:/usr/bin:/bin", "WARDMOTE_PROGRAM": WARDMOTE, "XDG_CACHE_HOME": str(kept)}
    out = run("fn", "put", "greet.py", env=env)
    check("FILE.py: Python cannot be fetched", status(out, 3), *has(out.stderr, "is there a network?", "--python FILE"))
    (tools / "npm").write_text("#!/bin/sh\necho other >python.tgz\n")
    out = run("fn", "put", "greet.py", env=env)
    check("FILE.py: another Python is refused", status(out, 3), *has(out.stderr, "is not the file it was"),
          f"left behind: {list(kept.rglob('*'))}" if [p for p in kept.rglob("*") if p.is_file()] else "")
    (kept / "wardmote" / "python-3.12.0.wasm").write_bytes(b"kept")
    out = run("fn", "put", "greet.py", env=env)
    check("FILE.py: what was fetched is used", status(out, 0), "" if sent()[0] == b"kept" else sent())
    (WORK / "greet.py").write_text("#" * 32769)
    refuses(2, "File too large", "fn", "put", "greet.py", "--python", "python.wasm")


def compiles():
    """Sources, by a compiler that is played."""
    node.reset()
    node.on("PUT", "/v1/functions/f", (201, {"version": 1, "kind": "faaslet"}))
    stub = WORK / "wardmote-stub"
    stub.write_text(f"""#!{sys.executable}
import os, sys
args = sys.argv[1:]
open({str(WORK / 'stub.log')!r}, "a").write(repr(args) + "\\n")
if "WARDMOTE_TOKEN" in os.environ:
    sys.exit("the compiler is given the token")
source = [a for a in args if a.endswith((".c", ".cpp"))][0]
text = open(source).read()
if "#error" in text:
    sys.stderr.write(source + ": error\\n")
    sys.exit(1)
open(args[args.index("-o") + 1], "w").write("module of " + text)
if "-MF" in args:
    open(args[args.index("-MF") + 1], "w").write("module.o: " + source + " \\\\\\n /usr/include/stdio.h " + {str(WORK / 'my part.h')!r}.replace(" ", "\\\\ ") + "\\n")
""")
    stub.chmod(0o755)
    env = {"WARDMOTE_PROGRAM": str(stub), "TMPDIR": str(WORK / "tmp")}
    (WORK / "tmp").mkdir()
    (WORK / "my part.h").write_text("")
    source = WORK / "f.c"

    def flags():
        return eval((WORK / "stub.log").read_text().splitlines()[-1])
    source.write_text("#include <stdio.h>\nint main(void) { return 0; } // faaslet.h\n")
    out = run("fn", "put", "f.c", env={**env, "WARDMOTE_TOKEN": TOKEN}, at=node.url)
    check("a plain program is built as one", status(out, 0), "--faaslet" in flags() and flags(),
          "" if node.last()["body"].startswith(b"module of #include") else node.last()["body"])
    source.write_text(" # include <faaslet.h>\nFAASLET_MAIN { return 0; }\n")
    out = run("fn", "put", "f.c", env=env)
    check("one with faaslet.h is built as a Faaslet", status(out, 0), "" if flags()[:2] == ["build", "--faaslet"] else flags())
    run("fn", "put", "f.c", "--kind", "command", env=env)
    check("--kind decides", "--faaslet" in flags() and flags())
    source.write_text("#error\n")
    count = len(node.requests)
    out = run("fn", "put", "f.c", env=env)
    check("what does not compile is not sent", status(out, 1), *has(out.stderr, "f.c: error"), len(node.requests) - count)
    check("the compiler's folder is gone", os.listdir(WORK / "tmp"))
    out = run("fn", "put", "f.c", env={"WARDMOTE_PROGRAM": "/nonexistent"})
    check("no compiler: 3", status(out, 3), *has(out.stderr, "wardmote build"))

    # --watch: each change once, errors do not end it, headers count.
    source.write_text("#include <faaslet.h>\nfirst\n")
    node.requests.clear()
    child = subprocess.Popen([WARDMOTE, "fn", "put", "--watch", "f.c", "--node", "unix:" + node.socket], cwd=WORK,
                             env=environment(**env), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, start_new_session=True)

    def wait(count):
        until = time.monotonic() + 10
        while len(node.requests) < count and time.monotonic() < until:
            time.sleep(0.02)
        time.sleep(0.3)
        return "" if len(node.requests) == count else f"{len(node.requests)} uploads, not {count}"
    problems = [wait(1)]
    for part in ("a", "b", "c"):
        source.write_text("#include <faaslet.h>\nsecond " + part)
        time.sleep(0.01)
    problems.append(wait(2))
    source.write_text("#error\n")
    time.sleep(0.6)
    new = WORK / "f.c.new"
    new.write_text("third")
    new.rename(source)
    problems.append(wait(3))
    (WORK / "my part.h").write_text("changed")
    problems.append(wait(4))
    (WORK / "unrelated.h").write_text("x")
    time.sleep(0.4)
    node.on("PUT", "/v1/functions/f", (422, {"error": {"message": "f: refused"}}))
    source.write_text("fourth")
    problems.append(wait(5))
    alive = child.poll() is None
    os.killpg(child.pid, signal.SIGINT)
    said = child.communicate(timeout=10)[0].decode()
    check("--watch", *problems, "" if alive else "it ended", *has(said, "f: version 1 is there", "f.c: error", "f: refused"),
          "" if node.requests and node.requests[-1]["body"].endswith(b"fourth") else node.last()["body"],
          os.listdir(WORK / "tmp"))


def call():
    node.reset()
    headers = {"Wardmote-Call": "77.1; cold=1; time_us=1234", "Wardmote-Return-Code": "0"}
    raw = b"\x1b[31mraw\0\xff\n"
    node.on("POST", "/v1/call/hello", (200, raw, headers))
    out = run("fn", "call", "hello", "you", text=False)
    check("fn call NAME INPUT: raw output", status(out, 0), "" if out.stdout == raw and out.stderr == b"" else out,
          "" if node.last()["body"] == b"you" else node.last()["body"])
    run("fn", "call", "hello", "-", input=b"\0piped" * 100000)
    check("- is standard input", "" if node.last()["body"] == b"\0piped" * 100000 else len(node.last()["body"]))
    (WORK / "in").write_bytes(b"of a file")
    run("fn", "call", "hello", "@in")
    check("@FILE", "" if node.last()["body"] == b"of a file" else node.last()["body"])
    run("fn", "call", "hello", "--timeout", "250")
    check("no input; --timeout", "" if node.last()["body"] == b"" and query(node.last(), "timeout_ms") == ["250"] else node.last())
    out = run("fn", "call", "hello", "--json")
    got = json.loads(out.stdout)
    check("--json: bytes as base64", "" if base64.b64decode(got["output_base64"]) == raw else got,
          "" if (got["call"], got["return_code"], got["cold"], got["time_us"]) == ("77.1", 0, True, 1234) else got)
    for text in (b"", b"a", b"ab", b"abc", "gr\u00fc\u00df".encode(), b"\xff", b"\xff\xfe", b"\xff\xfe\xfd"):
        node.on("POST", "/v1/call/hello", (200, text, headers))
        got = json.loads(run("fn", "call", "hello", "--json").stdout)
        back = got["output"].encode() if "output" in got else base64.b64decode(got["output_base64"])
        check(f"--json of {text!r}", "" if back == text else got)
    out = run("fn", "call", "hello", "--time")
    check("--time", *has(out.stderr, "1.234 ms in the worker", "cold"))
    out = run("fn", "call", "hello", "-o", "out")
    check("-o FILE", status(out, 0), "" if (WORK / "out").read_bytes() == b"\xff\xfe\xfd" and not out.stdout else out)
    node.on("POST", "/v1/call/hello", (200, b"output", {"Wardmote-Return-Code": "-7"}))
    out = run("fn", "call", "hello")
    check("a return code: status 1, the output is there", status(out, 1), "" if out.stdout == "output" else out,
          *has(out.stderr, "hello: returned -7"))
    node.on("POST", "/v1/call/hello", (500, {"error": {"code": "trap", "message": "hello: trap: out of bounds memory access",
                                                       "detail": "at parse (a.c:41)\nat main (a.c:12)" + ESCAPE}}))
    out = run("fn", "call", "hello", "-o", "out")
    check("a trap: its backtrace", status(out, 1), "" if out.stderr.startswith(
        "wardmote: hello: trap: out of bounds memory access\n  at parse (a.c:41)\n  at main (a.c:12)") else out, obeyed(out.stderr))
    check("a file that was there stays when there is no output", "" if (WORK / "out").read_bytes() == b"\xff\xfe\xfd" else "it changed",
          [p.name for p in WORK.glob("out.*")])
    node.on("POST", "/v1/call/hello", (404, {"error": {"message": "function: there is none of this name"}}))
    refuses(1, "wardmote: hello: function: there is none", "fn", "call", "hello")
    for code, exit_status in ((504, 1), (507, 1), (403, 1), (400, 2)):
        node.on("POST", "/v1/call/hello", (code, {"error": {"message": f"hello: because {code}"}}))
        refuses(exit_status, f"hello: because {code}", "fn", "call", "hello")
    node.on("POST", "/v1/call/hello:prod", (200, b"aliased"))
    node.on("POST", "/v1/call/hello@2", (200, b"second"))
    check("NAME:ALIAS, NAME@VERSION", "" if run("fn", "call", "hello:prod").stdout + run("fn", "call", "hello@2").stdout == "aliasedsecond" else node.last())
    refuses(2, "not usable as a name", "fn", "call", "a/b")
    refuses(2, "not usable as a name", "fn", "call", "hello:")
    # Later.
    node.on("POST", "/v1/call/hello", (202, {"id": "99"}))
    out = run("fn", "call", "--async", "hello", "x")
    check("--async prints the number", status(out, 0), "" if out.stdout == "99\n" and query(node.last(), "async") == ["1"] else out)
    node.on("GET", "/v1/calls/99", [(200, {"state": "queued"}), (200, {"state": "running"}), (200, {"state": "done", "end": "ok", "return_code": 0})])
    node.on("GET", "/v1/calls/99/output", (200, raw))
    out = run("fn", "result", "99", text=False)
    check("fn result waits", status(out, 0), "" if out.stdout == raw else out)
    node.on("GET", "/v1/calls/99", (200, {"state": "done", "end": "trap", "message": "unreachable" + ESCAPE}))
    out = refuses(1, "ended as trap: unreachable", "fn", "result", "99")
    check("and its message is not obeyed", obeyed(out.stderr))
    out = run("fn", "result", "99", "--state")
    check("--state", *has(out.stdout, "state", "done", "trap"), obeyed(out.stdout))
    node.on("GET", "/v1/calls/98", (200, {"state": "running"}))
    refuses(1, "has not ended after 1 s", "fn", "result", "98", "--wait", "1")
    # Receipts.
    node.on("POST", "/v1/call/hello", (200, b"ok", headers))
    node.on("GET", "/v1/calls/77.1/receipt", [(404, {}), (503, {}), (200, b"\xa1receipt")])
    node.on("GET", "/v1/calls/12.34/receipt", (200, b"\xa1of a record"))
    out = run("fn", "call", "hello", "--receipt", "receipt")
    check("--receipt waits for the signature", status(out, 0), "" if out.stdout == "ok" and (WORK / "receipt").read_bytes() == b"\xa1receipt" else out)
    node.on("POST", "/v1/call/hello", (200, b"ok", {**headers, "Wardmote-Call": "77.1; record=12.34; cold=0; time_us=5"}))
    run("fn", "call", "hello", "--receipt", "receipt")
    check("the record's number, where the node tells it", "" if (WORK / "receipt").read_bytes() == b"\xa1of a record" else "another")
    node.on("GET", "/v1/calls/99", (200, {"state": "done", "end": "failed", "return_code": 3}))
    node.on("GET", "/v1/calls/99/receipt", (200, b"\xa1later"))
    node.requests.clear()
    refused = run("fn", "result", "99", "--receipt", "receipt", text=False)
    check("fn result --receipt: before the output, with which the call is forgotten", status(refused, 1),
          "" if [r["path"].split("/")[-1] for r in node.requests] == ["99", "receipt", "output"] else [r["path"] for r in node.requests],
          "" if b"returned 3" in refused.stderr and refused.stdout == raw else refused)
    node.on("POST", "/v1/call/hello", (200, b"ok", {"Wardmote-Call": "../../x"}))
    out = run("fn", "call", "hello", "--receipt", "receipt2")
    check("a call's number is not followed anywhere", status(out, 1), (WORK / "receipt2").exists() and "a file")
    for odd in ("; record=../../x", "77.1;;=;record;record==;time_us=1e9;cold=", "x" * 5000, ";" * 5000, "a; time_us=" + "9" * 400):
        node.on("POST", "/v1/call/hello", (200, b"ok", {"Wardmote-Call": odd}))
        got = json.loads(run("fn", "call", "hello", "--json").stdout)
        check(f"Wardmote-Call: {odd[:30]}", "" if got["output"] == "ok" and got["time_us"] is None and got["cold"] is None else got)


def tables():
    node.reset()
    functions = [{"name": "hello", "latest": 3, "kind": "faaslet", "versions": 2, "module_bytes": 12800, "created_ns": 1700000000 * 10**9},
                 {"name": "evil" + ESCAPE, "latest": "x" + ESCAPE, "kind": ["a", {"b": ESCAPE}], "created_ns": {"deep": [[[[[[[[[[1]]]]]]]]]]}},
                 17, None, "text" + ESCAPE, {}]
    node.on("GET", "/v1/functions", (200, {"functions": functions}))
    out = run("fn", "list")
    rows = out.stdout.splitlines()
    check("fn list: a table", status(out, 0), *has(rows[0], "FUNCTION", "LATEST", "KIND"), *has(rows[1], "hello", "3", "faaslet", "12.5k", "2023-11-1"),
          "" if len(rows) == 7 else rows, obeyed(out.stdout), "trailing blanks" if any(r != r.rstrip() for r in rows[:2]) else "")
    out = run("fn", "list", "--json")
    check("--json is the document", "" if json.loads(out.stdout) == {"functions": functions} else out.stdout, obeyed(out.stdout))
    node.on("GET", "/v1/functions", (200, functions))
    check("also a bare array", "" if run("fn", "list").stdout.startswith("FUNCTION") else "not shown")
    # On a terminal of 40 columns.
    node.on("GET", "/v1/functions", (200, [{"name": "n" * 60, "kind": "faaslet", "created_ns": 10**18}]))
    main, other = pty.openpty()
    import fcntl, struct, termios
    fcntl.ioctl(other, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 40, 0, 0))
    child = subprocess.Popen([WARDMOTE, "fn", "list", "--node", "unix:" + node.socket], stdout=other, stderr=subprocess.PIPE, env=environment())
    child.wait()
    seen = os.read(main, 65536).decode()
    os.close(main), os.close(other)
    check("a table fits the terminal", [line for line in seen.split("\r\n") if len(line) > 40] or "", "" if "\u2026" in seen else seen)
    page = {"name": "hello", "limits": {"memory_bytes": 1 << 28, "timeout_ms": 60000}, "versions": [{"version": 1, "kind": "command" + ESCAPE, "module": "ab" * 32, "image": "0" * 64}],
            "aliases": {"latest": 1, "e" + ESCAPE: 2}, "env": ["A", "B"], "secrets": []}
    node.on("GET", "/v1/functions/hello", (200, page))
    out = run("fn", "show", "hello")
    check("fn show", status(out, 0), *has(out.stdout, "256m", "60000 ms", "A, B", "command", "abababababab"), obeyed(out.stdout),
          "ab" * 7 in out.stdout and "the whole digest", "0" * 12 in out.stdout and "an image that is none")
    node.on("GET", "/v1/functions/hello", (200, b"[" * 1000 + b"]" * 1000))
    out = run("fn", "show", "hello")
    check("deep nesting ends", status(out, 0))
    for body in (b"", b"{", b"<html>", b"[" * 100000, b'{"functions": 3}', b'"text"', b"\xff\xfe", b'{"functions": [{"name": "\xff"}]}', b"\0"):
        node.on("GET", "/v1/functions", (200, body))
        refuses(1, "is unix:", "fn", "list")
    node.on("GET", "/v1/functions", (200, b" " * (65 << 20)))
    refuses(1, "larger than it may be", "fn", "list")
    node.on("GET", "/v1/functions/hello/logs", (200, {"lines": [{"seq": 4, "time_ns": 10**18, "call": 5, "text": "one" + ESCAPE}, {"seq": 5, "text": "two\n"}, 3, "plain"]}))
    out = run("fn", "logs", "hello", "-n", "7")
    check("fn logs", status(out, 0), *has(out.stdout, "5 one", "two\n", "plain"), obeyed(out.stdout), "" if query(node.last(), "limit") == ["7"] else node.last()["raw"])

    def follow(request):
        since = int((query(request, "since") or ["0"])[0])
        return 200, {"lines": [{"seq": n, "text": f"line {n}"} for n in range(since, since + 3)]}
    node.on("GET", "/v1/functions/hello/logs", follow)
    child = subprocess.Popen([WARDMOTE, "fn", "logs", "-f", "hello", "--node", "unix:" + node.socket], stdout=subprocess.PIPE, env=environment())
    time.sleep(1.5)
    child.send_signal(signal.SIGINT)
    lines = child.communicate()[0].decode().split("\n")[:-1]
    numbers = [int(line.split()[-1]) for line in lines]
    check("fn logs -f: each line once", "" if len(numbers) > 5 and numbers == sorted(set(numbers)) else numbers, status_of_signal(child))


def status_of_signal(child):
    return "" if child.returncode in (-signal.SIGINT, 130) else f"ended with {child.returncode}"


def others():
    node.reset()
    for method, path, body in (("DELETE", "/v1/functions/hello", {}), ("PUT", "/v1/functions/hello/aliases/prod", {}),
                               ("POST", "/v1/functions/hello/rollback", {"version": 2}), ("PUT", "/v1/functions/hello/env", {}),
                               ("PUT", "/v1/functions/hello/secrets/KEY", {}), ("DELETE", "/v1/functions/hello/secrets/KEY", {}),
                               ("PUT", "/v1/routes/shop", {}), ("DELETE", "/v1/routes/shop", {}), ("PUT", "/v1/crons/tick", {}),
                               ("DELETE", "/v1/crons/tick", {}), ("PUT", "/v1/tenants/acme", {}), ("DELETE", "/v1/tenants/acme", {}),
                               ("DELETE", "/v1/tenants/acme/tokens/t1", {}), ("POST", "/v1/node/drain", {})):
        node.on(method, path, (200, body))
    node.on("GET", "/v1/routes", (200, [{"name": "shop", "method": "GET", "path": "/shop/*", "function": "hello", "public": True}]))
    node.on("GET", "/v1/crons", (200, [{"name": "tick", "schedule": "*/5 * * * *", "function": "hello"}]))
    node.on("GET", "/v1/tenants", (200, [{"name": "acme", "allow": ["a:1", "b:2"], "quota": {"memory_bytes": 1 << 30}}]))
    node.on("GET", "/v1/tenants/acme", (200, {"name": "acme", "trust_class": "x", "allow": ["a:1"], "quota": {"memory_bytes": 5, "cpu_weight": 7}}))
    node.on("GET", "/v1/tenants/acme/tokens", (200, {"tokens": [{"id": "t1", "role": "deploy", "created_ns": 10**18}]}))
    node.on("POST", "/v1/tenants/acme/tokens", (200, {"token": TOKEN, "id": "t1"}))
    node.on("GET", "/v1/node", (200, {"isolation": {"netns": True}, "workers": [{"pid": 1}]}))
    node.on("GET", "/v1/key", (200, {"key": "abcd" * 16}))

    def does(args, method=None, path=None, body=None, prints=(), **kwargs):
        out = run(*args, **kwargs)
        last = node.last()
        sent = json.loads(last["body"]) if isinstance(body, (dict, list)) and last["body"] else last["body"]
        check(" ".join(args), status(out, 0), f"{last['method']} {last['path']}" if method and (last["method"], last["path"]) != (method, path) else "",
              f"sent {sent!r}" if body is not None and sent != body else "", *has(out.stdout + out.stderr, *prints))
        return out
    does(["fn", "rm", "hello"], "DELETE", "/v1/functions/hello")
    does(["fn", "alias", "hello", "prod", "2"], "PUT", "/v1/functions/hello/aliases/prod", {"version": 2})
    node.on("DELETE", "/v1/functions/hello/aliases/prod", (200, {}))
    does(["fn", "alias", "hello", "prod", "--rm"], "DELETE", "/v1/functions/hello/aliases/prod")
    does(["fn", "rollback", "hello"], "POST", "/v1/functions/hello/rollback", prints=["version 2 again"])
    does(["fn", "env", "hello", "A=b", "C="], "PUT", "/v1/functions/hello/env", {"A": "b", "C": ""})
    does(["fn", "env", "hello", "--clear"], "PUT", "/v1/functions/hello/env", {})
    does(["fn", "secret", "set", "hello", "KEY"], "PUT", "/v1/functions/hello/secrets/KEY", b"from a pipe", input=b"from a pipe\n")
    does(["fn", "secret", "set", "hello", "KEY", "-", "--exact"], "PUT", "/v1/functions/hello/secrets/KEY", b"with\n\n", input=b"with\n\n")
    pid, terminal = pty.fork()
    if pid == 0:
        os.execve(WARDMOTE, ["wardmote", "fn", "secret", "set", "hello", "KEY", "--node", "unix:" + node.socket], environment())
    seen = b""
    while b"value of KEY: " not in seen and select.select([terminal], [], [], 5)[0]:
        seen += os.read(terminal, 1000)
    os.write(terminal, b"hidden\n")
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    while select.select([terminal], [], [], 0.2)[0]:
        try:
            seen += os.read(terminal, 1000)
        except OSError:
            break
    os.close(terminal)
    check("a secret is typed unseen", f"status {code}" if code else "", b"hidden" in seen and seen, "" if node.last()["body"] == b"hidden" else node.last()["body"])
    does(["fn", "secret", "rm", "hello", "KEY"], "DELETE", "/v1/functions/hello/secrets/KEY")
    refuses(2, "seen by everybody", "fn", "secret", "set", "hello", "KEY=value")
    does(["fn", "route", "add", "shop", "hello", "/shop/*", "--method", "GET", "--public"], "PUT", "/v1/routes/shop",
         {"method": "GET", "path": "/shop/*", "function": "hello", "public": True})
    does(["fn", "route", "list"], prints=["shop", "/shop/*", "yes"])
    does(["fn", "route", "rm", "shop"], "DELETE", "/v1/routes/shop")
    does(["fn", "cron", "add", "tick", "hello", "*/5 * * * *", "--input", "x"], "PUT", "/v1/crons/tick",
         {"schedule": "*/5 * * * *", "function": "hello", "input": "x"})
    does(["fn", "cron", "list"], prints=["*/5 * * * *"])
    does(["fn", "cron", "rm", "tick"], "DELETE", "/v1/crons/tick")
    does(["tenant", "add", "acme", "--quota", "memory=2g,calls-running=8", "--quota", "net=1000", "--allow", "a:1", "--allow", "b:443",
          "--trust-class", "x"], "PUT", "/v1/tenants/acme",
         {"quota": {"memory_bytes": 2 << 30, "calls_running": 8, "net_bits_per_s": 1000}, "allow": ["a:1", "b:443"], "trust_class": "x"})
    does(["tenant", "quota", "acme", "cpu-weight=9"], "PUT", "/v1/tenants/acme",
         {"quota": {"memory_bytes": 5, "cpu_weight": 9}, "allow": ["a:1"], "trust_class": "x"})
    does(["tenant", "quota", "acme"], "GET", "/v1/tenants/acme", prints=["cpu_weight", "7"])
    does(["tenant", "list"], prints=["acme", "a:1, b:2", "memory_bytes=1g"])
    does(["tenant", "rm", "acme"], "DELETE", "/v1/tenants/acme")
    out = does(["tenant", "token", "acme", "--role", "deploy"], "POST", "/v1/tenants/acme/tokens", {"role": "deploy"})
    check("the token, once, on stdout", "" if out.stdout == TOKEN + "\n" else out)
    out = does(["tenant", "token", "acme", "--role", "admin", "-o", "made"])
    check("or in a file of mode 0600", TOKEN in out.stdout + out.stderr and "shown", "" if (WORK / "made").read_text() == TOKEN + "\n" else "",
          "" if stat.S_IMODE((WORK / "made").stat().st_mode) == 0o600 else oct((WORK / "made").stat().st_mode))
    node.on("POST", "/v1/node/tokens", (201, {"token": TOKEN, "id": "n1"}))
    node.on("DELETE", "/v1/node/tokens/n1", (200, {}))
    out = does(["node", "token"], "POST", "/v1/node/tokens", b"")
    check("a token of the administrator", "" if out.stdout == TOKEN + "\n" else out)
    does(["node", "token", "--rm", "n1"], "DELETE", "/v1/node/tokens/n1")
    (WORK / "elsewhere").write_text("old")
    (WORK / "elsewhere").chmod(0o644)
    (WORK / "link").symlink_to("elsewhere")
    does(["tenant", "token", "acme", "--role", "admin", "-o", "link"])
    check("also through a link to a file that others could read", "" if (WORK / "link").is_symlink() and (WORK / "elsewhere").read_text() == TOKEN + "\n" else "",
          "" if stat.S_IMODE((WORK / "elsewhere").stat().st_mode) == 0o600 else "its mode")
    does(["tenant", "token", "acme", "--list"], prints=["t1", "deploy"])
    does(["tenant", "token", "acme", "--rm", "t1"], "DELETE", "/v1/tenants/acme/tokens/t1")
    does(["node", "status"], prints=["netns", "yes"])
    check("node key: all of it", "" if does(["node", "key"]).stdout == "abcd" * 16 + "\n" else "not")
    does(["node", "drain"], "POST", "/v1/node/drain", prints=["can be stopped"])
    # The time that a compilation takes is shown, on a terminal only.
    node.on("PUT", "/v1/functions/hello", lambda request: (time.sleep(2.5), (201, {"version": 1}))[1])
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(WORK)
        os.execve(WARDMOTE, ["wardmote", "fn", "put", "hello.wasm", "--node", "unix:" + node.socket], environment())
    seen = b""
    try:
        while select.select([terminal], [], [], 8)[0]:
            seen += os.read(terminal, 1000)
    except OSError:
        pass
    os.waitpid(pid, 0)
    os.close(terminal)
    check("progress on a terminal", "" if b"hello: compiling, " in seen and b"version 1 is there" in seen else seen)
    out = run("fn", "put", "hello.wasm")
    check("and none in a pipe", status(out, 0), out.stderr)
    # rm asks on a terminal.
    for reply, gone in (("n\n", False), ("y\n", True)):
        node.requests.clear()
        pid, terminal = pty.fork()
        if pid == 0:
            os.execve(WARDMOTE, ["wardmote", "fn", "rm", "hello", "--node", "unix:" + node.socket], environment())
        asked = b""
        while b"[y/N]" not in asked and select.select([terminal], [], [], 5)[0]:
            asked += os.read(terminal, 1000)
        os.write(terminal, reply.encode())
        code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
        os.close(terminal)
        check(f"fn rm on a terminal, answer {reply.strip()}", "" if b"remove function hello" in asked else asked,
              "" if bool(node.requests) == gone and code == (0 if gone else 1) else (node.requests, code))


def state():
    node.reset()
    raw = b"\x1b[0m\0raw\xff" * 3
    node.on("GET", "/v1/state/a/b c?", (200, raw))
    out = run("state", "get", "a/b c?", "--offset", "1k", "--len", "16", text=False)
    check("state get: raw, the key encoded", status(out, 0), "" if out.stdout == raw else out, "" if node.last()["raw"].startswith("/v1/state/a%2Fb%20c%3F?offset=") else node.last()["raw"],
          "" if query(node.last(), "offset") == ["1024"] and query(node.last(), "len") == ["16"] else node.last()["raw"])
    run("state", "get", "..")
    check("a key of dots stays one", "" if node.last()["raw"].startswith("/v1/state/%2E%2E?") else node.last()["raw"])
    out = run("state", "get", "a/b c?", "-o", "value")
    check("state get -o", status(out, 0), "" if (WORK / "value").read_bytes() == raw else "")
    huge = os.urandom((70 << 20) + 5)

    def piece(request):
        offset, length = int(query(request, "offset")[0]), int(query(request, "len")[0])
        return 200, huge[offset:offset + min(length, 64 << 20)], {"Wardmote-Value-Bytes": str(len(huge))}
    node.on("GET", "/v1/state/huge", piece)
    node.requests.clear()
    out = run("state", "get", "huge", "-o", "value")
    check("a large value in pieces", status(out, 0), "" if (WORK / "value").read_bytes() == huge else "differs", "" if len(node.requests) > 1 else "one request")
    out = run("state", "get", "huge", "--offset", "1", "--len", "40m", text=False)
    check("a large part of it", "" if out.stdout == huge[1:1 + (40 << 20)] else len(out.stdout))
    node.on("GET", "/v1/state/huge", lambda request: (200, huge[:1000], {"Wardmote-Value-Bytes": str(10**9 + len(node.requests))}))
    refuses(1, "its size changed", "state", "get", "huge", "-o", "changing")
    check("and no file of it", (WORK / "changing").exists() and "there is one")
    node.on("GET", "/v1/state/empty", (200, b""))
    out = run("state", "get", "empty", "-o", "empty")
    check("an empty value is an empty file", status(out, 0), "" if (WORK / "empty").read_bytes() == b"" else "")
    out = refuses(1, "no such thing", "state", "get", "none", "-o", "none")
    check("no file for no value", (WORK / "none").exists() and "there is one")
    big = os.urandom(5 << 20)
    (WORK / "bigvalue").write_bytes(big)
    node.on("PUT", "/v1/state/k", (200, {}))
    out = run("state", "put", "k", "bigvalue", "--offset", "4m")
    check("state put FILE", status(out, 0), "" if node.last()["body"] == big and query(node.last(), "offset") == ["4194304"] else "differs")
    out = run("state", "put", "k", "-", input=big)
    check("state put -", status(out, 0), "" if node.last()["body"] == big else "differs")
    keys = [{"key": f"k{n:05}", "bytes": n} for n in range(2500)]

    def page(request):
        after, limit = (query(request, "after") or [""])[0], int(query(request, "limit")[0])
        return 200, {"keys": [k for k in keys if k["key"] > after][:limit]}
    node.on("GET", "/v1/state", page)
    out = run("state", "list", "--prefix", "k")
    check("state list: all pages", status(out, 0), "" if len(out.stdout.splitlines()) == 2501 else len(out.stdout.splitlines()))
    out = run("state", "list", "--json", "--limit", "1200")
    check("state list --limit", "" if len(json.loads(out.stdout)) == 1200 else len(json.loads(out.stdout)))
    node.on("GET", "/v1/state", lambda request: (200, {"keys": keys[:1000]}))
    out = run("state", "list")
    check("a node that repeats itself does not hold us", status(out, 0))
    node.on("DELETE", "/v1/state/k", (200, {}))
    out = run("state", "rm", "k", "-y")
    check("state rm", status(out, 0), "" if node.last()["method"] == "DELETE" else "")


def trouble():
    """What goes wrong on the way."""
    node.reset()
    path = "/v1/call/f"
    busy = (429, {"error": {"code": "overloaded", "message": "f: 1024 calls are queued"}}, {"Retry-After": "1"})
    node.on("POST", path, [busy, busy, (200, b"done")])
    out = refuses(1, "or with --retry N", "fn", "call", "f", "x")
    check("429: not repeated by itself", "" if len(node.requests) == 1 else len(node.requests))
    node.on("POST", path, [busy, busy, (200, b"done")])
    node.requests.clear()
    begun = time.monotonic()
    out = run("fn", "call", "f", "body", "--retry", "2")
    check("--retry waits as told and sends the body again", status(out, 0), "" if out.stdout == "done" else out,
          "" if [r["body"] for r in node.requests] == [b"body"] * 3 else node.requests, "" if time.monotonic() - begun > 1.9 else "too fast")
    node.on("POST", path, [busy, busy, (200, b"done")])
    refuses(1, "1024 calls are queued", "fn", "call", "f", "--retry", "1")
    node.requests.clear()
    node.on("POST", path, lambda request: None)
    refuses(1, "whether the node did it is unknown", "fn", "call", "f", "--retry", "5")
    check("a call that may have been made is not repeated", "" if len(node.requests) == 1 else len(node.requests))

    def reset(request):
        request["handler"].connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        request["handler"].connection.close()
    node.on("POST", path, reset)
    refuses(1, "whether the node did it is unknown", "fn", "call", "f", at=node.url)

    def short(request):
        request["handler"].wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        request["handler"].wfile.flush()
    node.on("POST", path, short)
    out = run("fn", "call", "f", "-o", "half")
    check("half an answer is no answer", status(out, 1), (WORK / "half").exists() and "a file", [p.name for p in WORK.glob("half.*")])
    for garbage in (b"nonsense\r\n\r\n", b"HTTP/1.1 999999 x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nx",
                    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"):
        def broken(request, garbage=garbage):
            request["handler"].wfile.write(garbage)
            request["handler"].wfile.flush()
        node.on("POST", path, broken)
        out = run("fn", "call", "f")
        check(f"answer {garbage[:30]!r}", status(out, 1), obeyed(out.stderr))
    node.on("POST", path, (302, b"", {"Location": node.url + "/v1/functions"}))
    node.requests.clear()
    out = run("fn", "call", "f", at=node.url, env={"WARDMOTE_TOKEN": TOKEN})
    check("a redirect is not followed", status(out, 1), len(node.requests) - 1)
    for code in (401, 404, 500, 503):
        node.on("POST", path, (code, b"<html>" + ESCAPE.encode()))
        out = run("fn", "call", "f")
        check(f"{code} without a message", status(out, 1), *has(out.stderr, f"HTTP {code}"), obeyed(out.stderr))
    node.on("POST", path, (401, {"error": {"message": "no token"}}))
    refuses(1, "--token-file", "fn", "call", "f")
    node.on("POST", path, (500, {"error": {"message": "first\nwardmote: second", "detail": 5}}))
    refuses(1, "first", "fn", "call", "f")
    node.on("POST", path, lambda request: (time.sleep(3), (200, b"late"))[1])
    begun = time.monotonic()
    refuses(1, "wait longer with --wait", "fn", "call", "f", "--wait", "1")
    check("--wait ends in time", "" if time.monotonic() - begun < 2.5 else "too late")
    node.on("POST", path, (500, b"x" * (2 << 20)))
    refuses(1, "larger than it may be", "fn", "call", "f")
    node.on("POST", path, (200, b"z" * (20 << 20)))
    out = run("fn", "call", "f", text=False)
    check("20 MiB of output", status(out, 0), "" if len(out.stdout) == 20 << 20 else len(out.stdout))
    piped = subprocess.run(["sh", "-c", f"'{WARDMOTE}' fn call f --node unix:{node.socket} | head -c 1; true"], capture_output=True, env=environment())
    check("a reader that leaves ends it without a word", piped.stderr.decode())
    full = subprocess.run([WARDMOTE, "fn", "call", "f", "--node", "unix:" + node.socket], stdout=open("/dev/full", "w"), stderr=subprocess.PIPE, env=environment())
    check("a full disk is told", "" if full.returncode == 1 and b"No space left" in full.stderr else full)
    ca = run("fn", "list", "--ca", "none.pem", at="https://127.0.0.1:1")
    check("--ca of no file", status(ca, 2))
    if shutil.which("openssl"):
        tls()


def tls():
    import ssl
    made = subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "key.pem", "-out", "cert.pem", "-days", "2",
                           "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"], cwd=WORK, capture_output=True)
    if made.returncode:
        check("TLS", made.stderr)
        return
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(WORK / "cert.pem", WORK / "key.pem")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), node.tcp.RequestHandlerClass)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    server.handle_error = lambda *args: None
    threading.Thread(target=server.serve_forever, daemon=True).start()
    url = f"https://127.0.0.1:{server.server_address[1]}"
    node.on("GET", "/v1/functions", (200, []))
    node.requests.clear()
    refuses(1, "--ca FILE", "fn", "list", at=url, env={"WARDMOTE_TOKEN": TOKEN})
    check("the token is not given to who cannot show a certificate", node.requests)
    out = run("fn", "list", "--ca", "cert.pem", at=url, env={"WARDMOTE_TOKEN": TOKEN})
    check("TLS with --ca", status(out, 0), "" if len(node.requests) == 1 else node.requests)
    server.shutdown()


def receipts():
    """Verified without a node; the vectors were made without our code."""
    vectors = PAGES.parent / "format/vectors/receipt.json"
    if run("fn", "receipt", "verify", "--help", at=None).returncode or not vectors.exists():
        check("fn receipt verify", skip="libwardmote has no verify.h in this build")
        return
    known = json.loads(vectors.read_text())
    key, file = known["public_key"], WORK / "proof"
    for vector in known["good"]:
        file.write_bytes(bytes.fromhex(vector["bytes"]))
        out = run("fn", "receipt", "verify", "proof", "--key", key, "--json", at=None)
        said = json.loads(out.stdout or "{}")
        check("genuine: " + vector["name"], status(out, 0), "" if said.get("index") == vector["index"] and said.get("key") == key else said)
    out = run("fn", "receipt", "verify", "proof", "--key", key, at=None)
    check("what is in it is told, and not obeyed", status(out, 0), *has(out.stdout, "genuine", "tenant", "module"), obeyed(out.stdout))
    (WORK / "key.hex").write_text(key + "\n")
    check("a key in a file", status(run("fn", "receipt", "verify", "proof", "--key", "key.hex", at=None), 0))
    refuses(1, "another key", "fn", "receipt", "verify", "proof", "--key", "00" * 32, at=None)
    for vector in known["bad"]:
        if "bytes" in vector:
            file.write_bytes(bytes.fromhex(vector["bytes"]))
            out = run("fn", "receipt", "verify", "proof", "--key", key, at=None)
            check("not genuine: " + vector["name"], f"status {out.returncode}" if out.returncode not in (1, 2) else "", out.stdout, *has(out.stderr, "not genuine"), obeyed(out.stderr))
    for bad in (["proof"], ["--key", key], ["proof", "--key", "zz"], ["proof", "--key", "proof"], ["none", "--key", key]):
        out = run("fn", "receipt", "verify", *bad, at=None)
        check("fn receipt verify " + " ".join(bad)[:40], status(out, 2), out.stdout)


def completion():
    """What bash offers, without asking any node."""
    script = PAGES.parent.parent / "completion/wardmote"
    node.reset()

    def offers(*words):
        line = " ".join(f"'{w}'" for w in words)
        out = subprocess.run(["bash", "-c", f". {script}; COMP_WORDS=(wardmote {line}); COMP_CWORD={len(words)}; _wardmote; printf '%s\\n' \"${{COMPREPLY[@]}}\""],
                             capture_output=True, text=True, cwd=WORK, env=environment(PATH=BUILD + ":" + os.environ["PATH"]))
        return set(out.stdout.split()) if not out.stderr else out.stderr
    for words, want in (((""), {"run", "fn", "state", "tenant", "node", "help"}), (("fn", ""), {"put", "call", "route", "secret"}),
                        (("fn", "route", ""), {"add", "list", "rm"}), (("fn", "put", "--"), {"--memory", "--watch", "--node", "--json"}),
                        (("fn", "route", "add", "--p"), {"--public", "--plain"}), (("tenant", "token", "a", "--role", "d"), {"deploy"}),
                        (("node", ""), {"drain", "--data", "restore"}), (("fn", "put", "hel"), {"hello.wasm"})):
        words = (words,) if isinstance(words, str) else words
        got = offers(*words)
        check("completes: " + " ".join(words), "" if isinstance(got, set) and want <= got else got)


def main():
    for part in (usage, helps, completion, receipts, programs, places, put, compiles, call, tables, others, state, trouble):
        try:
            part()
        except Exception as error:  # a broken test is a failed one, and the others still run
            import traceback
            check(f"{part.__name__} ran to its end", traceback.format_exc())
    print(f"1..{len(results)}")
    for number, (name, problems) in enumerate(results, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - " + re.sub("#(?! SKIP )", "\\\\#", name.replace("\n", " ")))
        for problem in problems:
            print("# " + problem[:2000].replace("\n", "\n# "))
    HOME.cleanup()
    node.folder.cleanup()
    return any(problems for _, problems in results)


sys.exit(main())
