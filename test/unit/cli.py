#!/usr/bin/env python3
"""cli.py WARDMOTE: what the command says and returns on right and wrong usage (TAP).

Scripts rely on the exit statuses and people on the messages: every error is one line that names the object,
what failed and, where there is one, the next step.
"""
import json, os, pathlib, shutil, subprocess, sys, tempfile, time

WARDMOTE = os.path.abspath(sys.argv[1])
results = []


def run(*args, env=None, cwd=None):
    return subprocess.run([WARDMOTE, *args], capture_output=True, text=True, timeout=60, cwd=cwd,
                          env={**os.environ, **(env or {})}, stdin=subprocess.DEVNULL)


def check(name, *problems):
    results.append((name, [p for p in problems if p]))


def refuses(status, words, *args, **kwargs):
    """`wardmote ARGS` ends with status, one line on stderr that holds the words, nothing on stdout."""
    out = run(*args, **kwargs)
    check("refuses: " + " ".join(args)[:60],
          f"status {out.returncode}, not {status}" if out.returncode != status else "",
          f"says {out.stderr!r}, not {words!r}" if words not in out.stderr else "",
          "does not begin with 'wardmote: '" if not out.stderr.startswith("wardmote: ") else "",
          f"more than one line: {out.stderr!r}" if out.stderr.count("\n") != 1 else "",
          f"writes {out.stdout!r}" if out.stdout else "")


def leb(value):
    """Unsigned LEB128 of five bytes."""
    return bytes((value >> shift & 0x7f) | (0x80 if shift < 28 else 0) for shift in range(0, 35, 7))


def usage():
    refuses(2, "did you mean `wardmote run`?", "rnu")
    refuses(2, "try `wardmote run x.wasm`", "x.wasm")
    refuses(2, "no such verb", "frobnicate")
    refuses(2, "no module given", "run")
    refuses(2, "did you mean --memory?", "run", "--memori", "3", "x.wasm")
    refuses(2, "no such option", "run", "--frobnicate", "x.wasm")
    refuses(2, "needs a value: --mode guard|check|det", "run", "--mode")
    refuses(2, "expected guard, check or det", "run", "--mode", "fast", "x.wasm")
    refuses(2, "takes no value", "run", "--json=yes", "x.wasm")
    refuses(2, "expected HOST or HOST::GUEST", "run", "--dir", "::x", "x.wasm")
    refuses(2, "expected HOST or HOST::GUEST", "run", "--dir", "x::", "x.wasm")
    refuses(2, "expected NAME=VALUE", "run", "--env", "=x", "x.wasm")
    for option, values in {
        "--memory": ["", "0", "1", "65535", "5g", "-1", "1kk", "k", "99999999999999999999", "17179869184g"],
        "--stack": ["1", "2g"],
        "--fuel": ["", "0", "-5", "1k", "9223372036854775808", "18446744073709551616"],
        "--timeout": ["", "0", "1s", "2147483648"],
    }.items():
        for value in values:
            refuses(2, f"{option} {value}: not usable", "run", option, value, "x.wasm")
    refuses(2, "no module given", "compile")
    refuses(2, "one module at a time", "compile", "a.wasm", "b.wasm")
    refuses(2, "go together", "compile", "--suspendable", "a.wasm")
    refuses(2, "go together", "compile", "-o", "b.wasm", "a.wasm")
    refuses(2, "no source file given", "build")
    refuses(2, "no -o OUT.wasm given", "build", WARDMOTE)
    refuses(2, "missing.c: cannot be read", "build", "missing.c", "-o", "x.wasm")
    refuses(2, "no argument is expected", "version", "x")
    refuses(2, "no such verb", "help", "frobnicate")


def help_pages():
    out = run()
    check("no verb: help on stderr, status 2",
          "" if out.returncode == 2 and "usage:" in out.stderr and not out.stdout else repr(out))
    general = run("help").stdout
    verbs = [line.split()[0] for line in general.splitlines() if line.startswith("  ")]
    check("help lists the verbs", "" if {"run", "build", "compile", "version", "demo", "help"} <= set(verbs) else repr(verbs))
    for verb in verbs:
        if verb == "help":
            continue
        by_help, by_option = run("help", verb), run(verb, "--help")
        lines = by_help.stdout.splitlines()
        page = pathlib.Path(__file__).resolve().parent.parent.parent / f"doc/man/wardmote-{verb}.1"
        options = {w.rstrip(",:;.") for line in lines for w in line.split() if w.startswith("--") and line.startswith("  ")}
        manual = page.read_text().replace("\\-", "-") if page.exists() else ""
        check(f"help {verb}",
              "" if by_help.returncode == 0 and by_option.returncode == 0 else "status",
              "" if by_help.stdout == by_option.stdout else "`help VERB` and `VERB --help` differ",
              f"{len(lines)} lines: does not fit a screen" if len(lines) > 24 else "",
              *(f"wider than 80: {line!r}" for line in lines if len(line) > 80 and not line.startswith("usage")),
              *(f"{o}: not in {page.name}" for o in sorted(options) if manual and o not in manual and o != "--output"))


def version():
    out = run("version", "--json")
    try:
        fields = json.loads(out.stdout)
        wrong = "" if fields["version"] and fields["cpu"].startswith("x86-64-v") else repr(fields)
    except (ValueError, KeyError) as error:
        wrong = repr(error)
    check("version --json", wrong)
    check("--version", "" if run("--version").stdout.startswith("wardmote ") else "no version")


def missing_tools():
    """Without clang in PATH build names the package, unless it lies where Debian puts it."""
    if os.path.exists("/usr/lib/llvm-19/bin/clang"):
        return
    refuses(3, "apt-get install clang-19", "build", __file__, "-o", "x.wasm", env={"PATH": "/nonexistent"})


def modules():
    with tempfile.TemporaryDirectory() as folder:
        env = {"XDG_CACHE_HOME": folder}
        path = pathlib.Path(folder)
        refuses(125, "none.wasm: cannot be opened: No such file", "run", "none.wasm", env=env, cwd=folder)
        refuses(125, "not a file", "run", ".", env=env, cwd=folder)
        (path / "empty.wasm").write_bytes(b"")
        refuses(125, "empty.wasm: ", "run", "empty.wasm", env=env, cwd=folder)
        (path / "text.wasm").write_text("#!/bin/sh\n")
        refuses(125, "text.wasm: ", "run", "text.wasm", env=env, cwd=folder)
        refuses(2, "text.wasm: ", "compile", "text.wasm", env=env, cwd=folder)
        # Layer 1 of the binary format: a component.
        (path / "component.wasm").write_bytes(b"\0asm\x0d\0\1\0")
        refuses(125, "component", "run", "component.wasm", env=env, cwd=folder)
        # One function () -> i32 with `i32.const 42`, exported as f; no _start.
        library = bytes.fromhex("0061736d01000000 0105016000017f 03020100 07050101660000 0a06010400412a0b")
        (path / "library.wasm").write_bytes(library)
        refuses(125, "exports no _start; it exports f: call one with --invoke", "run", "library.wasm", env=env, cwd=folder)
        refuses(125, "exports no function g; it exports f", "run", "--invoke", "g", "library.wasm", env=env, cwd=folder)
        refuses(2, "f takes 0 arguments, got 1", "run", "--invoke", "f", "library.wasm", "1", env=env, cwd=folder)
        out = run("run", "--invoke", "f", "library.wasm", env=env, cwd=folder)
        check("--invoke prints the result", "" if (out.returncode, out.stdout) == (0, "42\n") else repr(out))
        out = run("compile", "library.wasm", env=env, cwd=folder)
        check("compile of what is there", "" if out.stdout == "library.wasm: already compiled\n" else repr(out))
        # A large module: quick code now, better code in the background, used at the next start.
        padding = b"\0" + leb(300_001) + b"\0" + b"x" * 300_000  # a custom section
        (path / "large.wasm").write_bytes(library + padding)
        seen = []
        for _ in range(100):
            out = run("run", "--json", "--invoke", "f", "large.wasm", env=env, cwd=folder)
            fields = json.loads(out.stderr.splitlines()[-1]) if out.returncode == 0 else {}
            seen.append((fields.get("tier"), fields.get("cached"), fields.get("background")))
            if fields.get("tier") != "O0":
                break
            time.sleep(0.05)
        check("a large module starts at O0 and has the optimised tier later",
              "" if seen[0] == ("O0", False, True) and seen[-1] == ("optimised", True, False)
              and set(seen[1:-1]) <= {("O0", True, True)} else repr(seen))
        check("locks of the background are gone",
              *(f"{p} is left" for p in (path / "wardmote").glob("lock-*")))
        out = run("run", "--json", "--tier", "O0", "--invoke", "f", "large.wasm", env=env, cwd=folder)
        check("--tier O0", "" if '"tier": "O0"' in out.stderr and '"background": false' in out.stderr else repr(out))
        # A cache that others may write to is refused, not silently left unused.
        (path / "open").mkdir()
        os.chmod(path / "open", 0o777)
        refuses(125, "open", "run", "--cache", "open", "--invoke", "f", "library.wasm", env=env, cwd=folder)
        if shutil.which("wasm-opt"):
            out = run("compile", "--suspendable", "-o", "frozen.wasm", "library.wasm", env=env, cwd=folder)
            check("compile --suspendable", "" if out.returncode == 0 else repr(out),
                  "" if (path / "frozen.wasm").exists() and b"asyncify_start_unwind" in (path / "frozen.wasm").read_bytes()
                  else "no asyncify in the result")
        # Without any place for a cache it still runs.
        out = subprocess.run([WARDMOTE, "run", "--invoke", "f", "library.wasm"], cwd=folder, env={"PATH": os.environ["PATH"]},
                             capture_output=True, text=True, timeout=60)
        check("runs without a home folder", "" if (out.returncode, out.stdout) == (0, "42\n") else repr(out))


usage()
help_pages()
version()
missing_tools()
modules()
print(f"1..{len(results)}")
for number, (name, problems) in enumerate(results, 1):
    print(f"{'not ok' if problems else 'ok'} {number} - {name}")
    for problem in problems:
        print(f"# {problem}")
sys.exit(any(problems for _, problems in results))
