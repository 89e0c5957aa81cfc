"""node.py: a node (nodes.py) that is asked by commands, and TAP with a line for each check.

Compiled code is kept in BUILD/test-node-cache, over all tests and runs: a large module costs its compilation
once.
"""
import os, pathlib, shutil, subprocess, sys, tempfile, time

import nodes

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


class Node(nodes.Node):
    timeout = 120

    def __init__(self, build, *options):
        super().__init__(build, *options, start=False)
        self.folder = tempfile.mkdtemp(prefix=f"node-{os.getpid()}-")  # for the test's own files
        cache = os.path.join(self.build, "test-node-cache")
        os.makedirs(cache, 0o700, exist_ok=True)
        os.symlink(cache, os.path.join(self.data, "cache"))
        self.start()

    def close(self):
        self.stop()
        self.remove()

    def remove(self):
        super().remove()
        shutil.rmtree(self.folder, ignore_errors=True)

    def wardmote(self, *args, input=b"", env=None, timeout=1200):
        process = subprocess.run([os.path.join(self.build, "wardmote"), *args], capture_output=True, timeout=timeout,
                                 input=input if isinstance(input, bytes) else input.encode(), cwd=ROOT,
                                 env={**os.environ, "WARDMOTE_NODE_URL": f"unix:{self.data}/node.sock", **(env or {})})
        return Result(process)

    def fn(self, *args, **kwargs):
        return self.wardmote("fn", *args, **kwargs)

    def call(self, name, input=b"", *options):
        """With the input through a pipe."""
        return self.fn("call", name, "-", *options, input=input)

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
