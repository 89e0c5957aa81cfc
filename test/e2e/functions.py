#!/usr/bin/env python3
"""functions.py BUILD: the examples of examples/functions, put onto a node and called (TAP)."""
import json, os, pathlib, subprocess, sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "common"))
from node import ROOT, Node, check, finish, python_module, same, skip

BUILD = sys.argv[1]
EXAMPLES = ROOT / "examples/functions"
RUSTC = os.environ.get("WARDMOTE_RUSTC", "/usr/bin/rustc")
node = Node(BUILD)


def put(file, *options, **kwargs):
    result = node.fn("put", str(EXAMPLES / file) if isinstance(file, str) else str(file), *options, **kwargs)
    check(f"{pathlib.Path(file).name}: put", result.failed())
    return result.status == 0


def c_and_cxx():
    if put("hello.c"):
        check("hello.c", node.call("hello", "you").is_("hello, you"))
        check("hello.c: nothing is left of the call before", node.call("hello", "").is_("hello, "))
    status, _, _ = node.ask("GET", "/v1/state")
    if status != 200:
        skip("wordcount.c", f"no state on this node: {status}")
    elif put("wordcount.c"):
        check("wordcount.c", node.call("wordcount", "the cat and the dog").is_("the 2\nand 1\ncat 1\ndog 1\n"))
        check("wordcount.c: counts go on", node.call("wordcount", "The end").is_("the 3\nand 1\ncat 1\ndog 1\nend 1\n"))
        status, value, _ = node.ask("GET", "/v1/state/words")
        check("wordcount.c: its state lasts", same(status, 200), same(value[:3], b"the"), same(len(value), 1024 * 32))
        node.stop()
        node.start()
        check("wordcount.c: ...longer than the node", node.call("wordcount", "dog").is_("the 3\ndog 2\nand 1\ncat 1\nend 1\n"))
    if put("shapes.cpp"):
        check("shapes.cpp", node.call("shapes", "circle 2, square 3, circle 1").is_("area 24.708\n"))
        check("shapes.cpp: again", node.call("shapes", "square 2").is_("area 4\n"))
        result = node.call("shapes", "blob 1")
        check("shapes.cpp: refuses", result.failed(1), same(result.text, "there is no shape blob"))


def rust():
    if not os.access(RUSTC, os.X_OK) or not os.path.isdir("/usr/lib/rustlib/wasm32-wasi"):
        skip("primes.rs, visits.rs", "no Debian rustc with libstd-rust-dev-wasm32 here")
        return
    for source, flags in (("primes", []), ("visits", ["--crate-type", "cdylib"])):
        module = pathlib.Path(node.folder) / f"{source}.wasm"
        built = subprocess.run([RUSTC, "--target", "wasm32-wasi", "-O", "--edition", "2021", *flags, EXAMPLES / f"{source}.rs", "-o", module],
                               capture_output=True, text=True)
        check(f"{source}.rs: compiles without warnings", built.stderr)
        if built.returncode == 0:
            put(module)
    check("primes.rs", node.call("primes", "100").is_("25 primes up to 100\n"))
    check("primes.rs: refuses", node.call("primes", "many").fails(1), "" if "no number" in node.logs("primes", "no number") else "not in its log")
    if node.ask("GET", "/v1/state")[0] != 200:
        skip("visits.rs", "no state on this node")
        return
    check("visits.rs", node.call("visits", "anna").is_('anna: 1 of 1, after ""\n'))
    check("visits.rs: counts", node.call("visits", "bert").is_('bert: 1 of 2, after "anna"\n'))
    check("visits.rs: counts on", node.call("visits", "anna").is_('anna: 2 of 3, after "bert"\n'))
    check("visits.rs: refuses", node.call("visits", "").failed(1))


def python():
    module, why = python_module(BUILD)
    if not module:
        skip("textstats.py, orders.py, orbit.py", why)
        return
    env = {"WARDMOTE_PYTHON": module}
    if put("textstats.py", env=env):
        text = "The cat, the dog;\nThe end.\n"
        check("textstats.py", node.call("textstats", text).is_(
            "lines 2, words 6, characters 27\nlength of a word: mean 3.00, median 3.0\n"
            "     3 the\n     1 cat\n     1 dog\n     1 end\n"))
    if put("orders.py", env=env):
        orders = [{"customer": "Zoë", "item": "pen", "count": 3, "price": "1.20"}, {"customer": "Al", "item": "ink", "count": 1, "price": "5"},
                  {"customer": "Zoë", "item": "ink", "count": 2, "price": "5"}]
        bills = [json.loads(node.call("orders", json.dumps(orders)).text or "[]") for _ in range(2)]
        check("orders.py", same([(b["customer"], b["items"], b["total"]) for b in bills[0]],
                                [("Al", ["1 ink"], "5"), ("Zoë", ["3 pen", "2 ink"], "13.60")]))
        check("orders.py: no bill has another's number", same(len({b["bill"] for two in bills for b in two}), 4))
        check("orders.py: refuses", node.call("orders", "[").failed(1),
              "" if "JSONDecodeError" in node.logs("orders", "JSONDecodeError") else "no traceback in its log")
    if put("orbit.py", env=env):
        native = subprocess.run([sys.executable, "-c", "import orbit, sys; sys.stdout.write(orbit.handle(b'1000'))"], cwd=EXAMPLES,
                                capture_output=True, env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"})
        check("orbit.py equals native python3", node.call("orbit", "1000").is_(native.stdout))


def names_and_readme():
    text = (EXAMPLES / "README.md").read_text()
    missing = [f.name for f in EXAMPLES.iterdir() if f.suffix in (".c", ".cpp", ".rs", ".py") and f"`{f.name}`" not in text]
    check("README.md names every example", missing)


try:
    c_and_cxx()
    rust()
    python()
    names_and_readme()
finally:
    node.close()
finish()
