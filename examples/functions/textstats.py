"""textstats: how many lines, words and characters a text has, and which words are frequent.

    wardmote fn put examples/functions/textstats.py
    wardmote fn call textstats @LICENSE
"""
import collections
import re
import statistics

word = re.compile(r"[^\W\d_]+")  # compiled once, when the function is put


def handle(data):
    text = data.decode()
    words = [w.casefold() for w in word.findall(text)]
    lengths = [len(w) for w in words] or [0]
    print(f"lines {text.count(chr(10))}, words {len(words)}, characters {len(text)}")
    print(f"length of a word: mean {statistics.fmean(lengths):.2f}, median {statistics.median(lengths)}")
    for w, count in sorted(collections.Counter(words).items(), key=lambda item: (-item[1], item[0]))[:5]:
        print(f"{count:6} {w}")
