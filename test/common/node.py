"""node.py: for tests: a node of its own on a temporary folder, the commands against it, and TAP.

Compiled code is kept in BUILD/test-node-cache, over all tests and runs: a large module costs its compilation
once. The node has no address but its socket.
"""
import http.client, json, os, pathlib, shutil, signal, socket, subprocess, sys, tempfile, time

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
results = {"count": 0, "failed": 0}


def check(name, *problems):
    problems = [str(p) for p in problems if p]
    results["count"] += 1
    results["failed"] += bool(problems)
    print(f"{'not ' if problems else ''}ok {results['count']} {name}", flush=True)
    for problem in problems:
        print("# " + problem[:2000].replace("\n", "\n# "), flush=True)


def skip(name, reason):
    results["count"] += 1
    print(f"ok {results['count']} {name} # SKIP {reason}", flush=True)


def finish():
    print(f"1..{results['count']}")
    sys.exit(results["failed"] != 0 or results["count"] == 0)


def same(got, want):
    return "" if got == want else f"got {got!r}, not {want!r}"


class Result:
    def __init__(self, process):
        self.status, self.out, self.err = process.returncode, process.stdout, process.stderr.decode("utf-8", "replace")

    @property
    def text(self):
        return self.out.decode("utf-8", "replace")

    def failed(self, want=0):
        return f"status {self.status}, not {want}: {self.text[:200]!r} {self.err[:800]!r}" if self.status != want else ""

    def is_(self, want):
        return self.failed() or same(self.out, want if isinstance(want, bytes) else want.encode())

    def fails(self, status, *words):
        return self.failed(status) or "; ".join(f"{w!r} is not in {self.err!r}" for w in words if w not in self.err)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("node", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Node:
    def __init__(self, build, *options):
        self.build = os.path.abspath(build)
        self.folder = tempfile.mkdtemp(prefix=f"node-{os.getpid()}-")
        self.data = os.path.join(self.folder, "data")
        os.mkdir(self.data, 0o700)
        cache = os.path.join(self.build, "test-node-cache")
        os.makedirs(cache, 0o700, exist_ok=True)
        os.symlink(cache, os.path.join(self.data, "cache"))
        self.socket = os.path.join(self.data, "node.sock")
        self.options, self.process = options, None
        self.start()

    def start(self):
        self.log = open(os.path.join(self.folder, "log"), "ab")
        self.process = subprocess.Popen([os.path.join(self.build, "wardmote-node"), "--data", self.data, "--listen", "127.0.0.1:0",
                                         *self.options], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=self.log)
        line = self.process.stdout.readline().decode()
        if not line.startswith("listening on "):
            print(f"Bail out! the node does not start: {self.said()}")
            sys.exit(1)
        self.url = line.split()[2]

    def said(self):
        return pathlib.Path(self.folder, "log").read_text(errors="replace")[-2000:]

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.log.close()
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wardmote(self, *args, input=b"", env=None, timeout=1200):
        process = subprocess.run([os.path.join(self.build, "wardmote"), *args], capture_output=True, timeout=timeout,
                                 input=input if isinstance(input, bytes) else input.encode(), cwd=ROOT,
                                 env={**os.environ, "WARDMOTE_NODE_URL": "unix:" + self.socket, **(env or {})})
        return Result(process)

    def fn(self, *args, **kwargs):
        return self.wardmote("fn", *args, **kwargs)

    def call(self, name, input=b"", *options):
        """With the input through a pipe."""
        return self.fn("call", name, "-", *options, input=input)

    def request(self, method, path, body=None, headers=None):
        connection = UnixConnection(self.socket)
        connection.request(method, path, body, headers or {})
        answer = connection.getresponse()
        body = answer.read()
        connection.close()
        return answer.status, body, answer.headers

    def logs(self, name, words, seconds=10):
        """The function's log, once `words` are in it."""
        end = time.monotonic() + seconds
        while True:
            text = self.fn("logs", name).text
            if words in text or time.monotonic() > end:
                return text
            time.sleep(0.1)


def python_module(build):
    """CPython, prepared: its path, and why there is none."""
    guests = pathlib.Path(os.environ.get("WARDMOTE_GUESTS", ROOT / ".cache/guests"))
    path = guests / "python.async.wasm"
    if not path.exists():
        got = subprocess.run([ROOT / "tools/fetch", "python"], capture_output=True, text=True)
        if got.returncode == 0:
            got = subprocess.run([ROOT / "sdk/python/get", path], capture_output=True, text=True,
                                 env={**os.environ, "WARDMOTE_PYTHON_PLAIN": str(guests / "python.wasm"),
                                      "WARDMOTE_PROGRAM": os.path.join(os.path.abspath(build), "wardmote")})
        if got.returncode:
            return None, got.stderr.strip().splitlines()[-1:] or ["it cannot be prepared"]
    return str(path), None
