# What `wardmote fn put FILE.py` runs in CPython: argv is -c, base64 of the script, its name, the
# function's own arguments. It loads the script, and reads input; there the Proto-Faaslet is taken,
# and every call goes on from there. README.md beside this file tells what a script sees of it.
import gc, io, linecache, os, sys, traceback, types
from base64 import urlsafe_b64decode


def refresh():
    """After each restore: what a fresh interpreter would have drawn by chance, or by the clock."""
    loaded = sys.modules.get
    if random := loaded("random"):
        random.seed()
    if tempfile := loaded("tempfile"):
        tempfile._name_sequence = None
    if uuid := loaded("uuid"):
        uuid._node = uuid._last_timestamp = None
    if logging := loaded("logging"):
        logging._startTime = loaded("time").time()
    if hook := getattr(module, "restored", None):
        hook()


class Input(io.RawIOBase):
    """Standard input. The first read of it is the one in which the program is frozen."""

    fresh = False

    def readable(self):
        return True

    def fileno(self):
        return 0

    def take(self, most):
        if self.fresh:
            return os.read(0, most)
        gc.collect()
        gc.freeze()  # or a collection in a call would write to every object
        data = os.read(0, most)
        self.fresh = True
        refresh()
        return data

    def readinto(self, into):
        data = self.take(len(into))
        into[: len(data)] = data
        return len(data)

    def readall(self):
        parts = [self.take(65536)]
        while len(parts[-1]) > 0:
            parts.append(self.take(1 << 20))
        return b"".join(parts)


def run():
    code = compile(source, name, "exec", dont_inherit=True)
    exec(code, module.__dict__)
    handle = getattr(module, "handle", None)
    if handle is None:
        if not raw.fresh:
            raise TypeError("it has no function handle(input), and does not read standard input")
        return
    if not callable(handle):
        raise TypeError("handle is no function")
    output = handle(sys.stdin.buffer.read())
    if isinstance(output, str):
        output = output.encode()
    if not isinstance(output, (bytes, bytearray, memoryview, type(None))):
        raise TypeError("handle has to return bytes, str or None, not " + type(output).__name__)
    if output:
        sys.stdout.flush()
        sys.stdout.buffer.write(output)


source = urlsafe_b64decode(sys.argv[1])
name = sys.argv[2]
sys.argv[:3] = [name]
module = sys.modules["function"] = types.ModuleType("function")
module.__file__ = name
text = source.decode("utf-8-sig", "replace")
linecache.cache[name] = (len(text), None, text.splitlines(True), name)
raw = Input()
sys.stdin = io.TextIOWrapper(io.BufferedReader(raw, 65536), "utf-8", line_buffering=True)
status = 0
try:
    run()
    sys.stdout.flush()
except SystemExit as end:
    status = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    if end.code is not None and not isinstance(end.code, int):
        print(end.code, file=sys.stderr)
except BaseException as error:
    status = 1
    at = error.__traceback__
    while at and at.tb_frame.f_code.co_filename == "<string>":
        at = at.tb_next
    traceback.print_exception(type(error), error, at)
try:
    sys.stdout.flush()
    sys.stderr.flush()
except OSError:
    status = status or 1
os._exit(status & 255)  # not exit(): taking the interpreter down writes to all of its memory
