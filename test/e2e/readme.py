#!/usr/bin/env python3
"""readme.py BUILD: the commands of README.md, in their order, and those of doc/api.md, as a reader would type them (TAP).

All blocks marked `sh` below "Your first program" and "Functions" run in one shell, in an empty folder in which
`build` is BUILD; 127.0.0.1:8300 becomes a free port. What a block prints must hold what is listed here. Nothing
is left: the section ends the node that it started.
"""
import os, pathlib, re, shutil, signal, socket, subprocess, sys, tempfile

BUILD = os.path.abspath(sys.argv[1])
ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
PAGE = ROOT / "README.md"
SECTIONS = ["Your first program", "Functions"]
# Words of a block -> what it prints, as patterns.
SAYS = {
    "hello.wasm you": [r"^hello, you$"],
    "--dir ./data": [r"^hello, world$", r'"exit": 0'],
    "node --data": [r"^isolation "],
    "fn put greet.c\n": [r"^greet: version 1 is there, a command", r"^hello, you$", r"ms in the worker, "],
    "fn put count.c": [r"^count: version 1 is there, a faaslet", r"^2 words, 5 in all$", r"^last +8$"],
    "tenant token": [r"^hello, you$", r"^hello, world$"],
    "--receipt": [r"^hello, later$", r"^hello, you$", r"^genuine: ", r"^function +greet$"],
    "status $?": [r"returned 1", r"^status 1$", r"nobody to greet"],
    "--memory 16m": [r"version 2 is there", r"^greet +1 "],
    "unix-socket": [r'"name": ?"hello"', r"hello, world$", r'"id": ?"', r'"copies/hello"'],
    "node drain": [r"no call runs any more"],
}


def blocks(page):
    for title in SECTIONS:
        section = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## )", page, re.S | re.M)
        if not section:
            yield title, None
            continue
        for block in re.findall(r"^```sh\n(.*?)^```", section.group(1), re.S | re.M):
            yield title, block


def api_commands():
    """doc/api.md's, for the node of the README's section, before that ends it."""
    block = re.search(r"^```sh\n(.*?)^```", (ROOT / "doc/api.md").read_text(), re.S | re.M).group(1)
    return 'TOKEN=$(cat invoke.token)\n' + block + "\n"


def routes_differ():
    """Each route of the node's table has a row in doc/api.md, and the other way round."""
    def plain(path):
        path = re.sub(r"\?.*", "", path)
        return re.sub(r"\{[^}]*\}|\b[A-Z]+\b", "*", path)

    table = {(m, plain(p)) for m, p in re.findall(r'^    \{"([A-Z*]+)", "(/[^"]*)"', (ROOT / "src/node/api.c").read_text(), re.M)}
    page = set()
    for cell in re.findall(r"^\| (`.*?) \| ", (ROOT / "doc/api.md").read_text(), re.M):
        path = ""
        for words in re.findall(r"`([^`]*)`", cell): # "GET /a", "GET", "DELETE /b": a method alone is for the path before it
            method, _, new = words.partition(" ")
            path = plain(new) if new else path
            page.add((method, path))
        if "`POST`, `GET /" in cell: # ... or for the one that follows
            page.discard(("POST", ""))
            page.add(("POST", plain(re.search(r"`GET (\S+)`", cell).group(1))))
    return [f"not in doc/api.md: {m} {p}" for m, p in sorted(table - page)] + [f"only in doc/api.md: {m} {p}" for m, p in sorted(page - table)]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    found = list(blocks(PAGE.read_text()))
    results = [("both sections have blocks", [f"no section {t}" for t, b in found if b is None])]
    found = [(t, b) for t, b in found if b]
    last = next(i for i, (_, b) in enumerate(found) if "node drain" in b)
    found.insert(last, ("doc/api.md", api_commands()))
    folder = tempfile.mkdtemp(prefix=f"readme-{os.getpid()}-")
    os.symlink(BUILD, os.path.join(folder, "build"))
    mark = f"--readme-{os.getpid()}-"
    script = "set -euo pipefail\n" + "".join(f"echo {mark}{i}; echo {mark}{i} >&2\n{b}" for i, (_, b) in enumerate(found)) + f"echo {mark}end\n"
    script = script.replace("127.0.0.1:8300", f"127.0.0.1:{free_port()}")
    clean = {k: v for k, v in os.environ.items() if not k.startswith(("WARDMOTE_", "XDG_")) and "proxy" not in k.lower()}
    shell = subprocess.Popen(["bash", "-c", script], cwd=folder, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                             env={**clean, "HOME": folder, "XDG_CACHE_HOME": folder + "/cache"}, start_new_session=True)
    try:
        output = shell.communicate(timeout=180)[0].decode("utf-8", "replace")
    except subprocess.TimeoutExpired:
        output = f"{mark}late\n"
    survivors = []
    try:
        os.killpg(shell.pid, 0)
        survivors = ["the node, or something else, still runs"]
        os.killpg(shell.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    # Two marks for each block, as the streams meet in one pipe: what stands between the first and the next block's is its own.
    parts = {i: "\n".join(output.split(f"{mark}{i}\n")[1:]).split(f"{mark}{i + 1}\n")[0].split(f"{mark}end")[0] for i in range(len(found))}
    used = set()
    for i, (title, block) in enumerate(found):
        reached = f"{mark}{i}\n" in output
        ended = f"{mark}{i + 1}\n" in output or f"{mark}end\n" in output
        problems = [] if reached and ended else ["not reached"] if not reached else ["failed:"] + parts[i].splitlines()[-12:]
        for words, patterns in SAYS.items():
            if words in block:
                used.add(words)
                problems += [f"does not say {p}: {parts[i]!r}" for p in patterns if ended and not re.search(p, parts[i], re.M)]
        first = next(line for line in block.splitlines() if line.strip())
        results.append((f"{title}: {first[:60].replace('#', '')}", problems))
    results.append(("each expectation has its block", [f"no block with {w!r}" for w in SAYS if w not in used]))
    results.append(("nothing is left running", survivors))
    results.append(("doc/api.md has the node's routes", routes_differ()))
    shutil.rmtree(folder, ignore_errors=True)
    print(f"1..{len(results)}")
    for number, (name, problems) in enumerate(results, 1):
        print(f"{'not ok' if problems else 'ok'} {number} - {name}")
        for problem in problems:
            print(f"# {problem}")
    return any(problems for _, problems in results)


sys.exit(main())
