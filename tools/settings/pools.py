#!/usr/bin/env python3
"""How alike the prompts of an experiment's pools are to the prompt that they paraphrase. Python 3 standard library only.

  tools/settings/pools.py [settings/emergent/experiment.yaml ...]

For each arm with a pool: the number of texts, their mean length in characters, and the mean share of words in common (Jaccard: words
in both, of words in either) with the arm's own prompt and among each other.
"""
import itertools
import re
import sys

from common import SETTINGS, words_of


def pools(path):
    """(arm, texts, own prompt) of each arm with a pool. The shipped files' own layout is read, not YAML in general."""
    arm, texts = None, []
    for line in path.read_text(encoding="utf-8").splitlines():
        if m := re.fullmatch(r"  (\w+):.*", line):
            if arm and texts:
                yield arm, texts, None
            arm, texts = m[1], []
        elif m := re.fullmatch(r'          - "?(.*?)"?', line):
            texts.append(m[1])
        elif (m := re.fullmatch(r"    own: (.*)", line)) and texts:
            yield arm, texts, m[1]
            texts = []
    if texts:
        yield arm, texts, None


def alike(a, b):
    a, b = words_of(a), words_of(b)
    return len(a & b) / len(a | b)


def mean(x):
    x = list(x)
    return sum(x) / len(x)


def main():
    files = sys.argv[1:] or sorted(str(p) for p in SETTINGS.glob("*/*.yaml"))
    for f in files:
        path = SETTINGS.parent / f
        for arm, texts, own in pools(path):
            pairs = mean(alike(a, b) for a, b in itertools.combinations(texts, 2))
            to_own = f"{mean(alike(t, own) for t in texts if t != own):.2f}" if own else "-"
            print(f"{path.parent.name} {arm}: {len(texts)} texts of {mean(map(len, texts)):.0f} characters; "
                  f"words in common with its own prompt {to_own}, with each other {pairs:.2f}")


if __name__ == "__main__":
    main()
