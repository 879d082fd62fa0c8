"""What the benchmark scripts share: the data, the reference model, timing."""

import json
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools" / "fixtures"))
import reference  # noqa: E402, F401


def conversations(path):
    """[(role, text), ...] of each line of a chat file."""
    out = []
    with open(path, encoding="utf-8") as f:
        for line in f:
            if line.strip():
                out.append([(m["role"], m["content"]) for m in json.loads(line)["messages"]])
    return out


def median(v):
    v = sorted(v)
    n = len(v)
    return (v[n // 2] + v[(n - 1) // 2]) / 2
