# Work for an interpreter: recursion, dictionaries, generators, sorting, joining strings.
# script.py [REPEATS]: prints "python NS CHECKSUM CHECKSUM", NS the least time of the repeats (one
# unless told: a user's script runs once) on the clock that the script itself sees.
import sys
import time
import zlib


def fib(n):
    return n if n < 2 else fib(n - 1) + fib(n - 2)


def words(count):
    seed = 12345
    for _ in range(count):
        seed = (seed * 1103515245 + 12345) & 0x7FFFFFFF
        yield "w%d" % (seed % 5003)


def work():
    out = [str(fib(22))]
    counts = {}
    for word in words(60000):
        counts[word] = counts.get(word, 0) + 1
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    out.append(",".join("%s=%d" % item for item in ranked[:500]))
    squares = (i * i % 1009 for i in range(100000))
    out.append(str(sum(square for square in squares if square & 1)))
    rows = [[(i * j) % 97 for j in range(60)] for i in range(200)]
    out.append(" ".join(str(sum(column)) for column in zip(*rows)))
    text = "".join(chr(97 + (i * 7) % 26) for i in range(40000))
    out.append(str(text.count("h") + len(text.split("z"))))
    return "\n".join(out)


best = None
for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 1):
    start = time.perf_counter_ns()
    result = work()
    used = time.perf_counter_ns() - start
    best = used if best is None else min(best, used)
checksum = "%08x" % zlib.crc32(result.encode())
print("python", best, checksum, checksum)
