# The same output on every CPython: json, re, math, hashlib, generators, files below argv[1].
import collections, functools, hashlib, itertools, json, math, os, re, struct, sys, zlib


def primes():
    found = []
    for n in itertools.count(2):
        if all(n % p for p in itertools.takewhile(lambda p: p * p <= n, found)):
            found.append(n)
            yield n


def pipeline(lines):
    for line in lines:
        for word in re.findall(r"[a-z]+(?:'[a-z]+)?", line.lower()):
            yield word


@functools.lru_cache(maxsize=None)
def ways(n, coins=(1, 2, 5, 10, 20, 50, 100, 200)):
    if n == 0:
        return 1
    return sum(ways(n - c, tuple(x for x in coins if x <= c)) for c in coins if c <= n)


folder = sys.argv[1]
text = "It was the best of times, it was the worst of times; it wasn't ours.\n" * 50
path = os.path.join(folder, "text.txt")
with open(path, "w") as out:
    out.write(text)
with open(path) as lines:
    counts = collections.Counter(pipeline(lines))
report = {
    "words": counts.most_common(6),
    "primes": list(itertools.islice(primes(), 300))[-5:],
    "floats": [math.pi ** 5, math.exp(-1.5), math.sin(1e6), math.gamma(5.5), math.fsum([0.1] * 10)],
    "ways": ways(12),
    "big": str(3 ** 333)[:60],
    "hash": {name: hashlib.new(name, text.encode()).hexdigest() for name in ("sha256", "md5", "sha3_256", "blake2b")},
    "crc": zlib.crc32(text.encode()),
    "struct": struct.pack("<idq", -5, 2.5, 1 << 40).hex(),
    "unicode": "Größe naïve 漢字".upper(),
    "stat": os.stat(path).st_size,
}
os.makedirs(os.path.join(folder, "deep", "er"))
with open(os.path.join(folder, "deep", "er", "report.json"), "w") as out:
    json.dump(report, out, sort_keys=True, indent=1)
with open(os.path.join(folder, "deep", "er", "report.json")) as back:
    assert json.load(back) == json.loads(json.dumps(report))
os.rename(path, os.path.join(folder, "deep", "moved.txt"))
print(sorted((os.path.relpath(d, folder), sorted(f)) for d, _, f in os.walk(folder)))
try:
    1 / 0
except ZeroDivisionError as error:
    print("caught", error)
print(json.dumps(report, sort_keys=True, ensure_ascii=False))
print(sum(x * x % 7 for x in range(200000)), sys.byteorder)
sys.exit(len(counts))
