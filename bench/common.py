"""What the benchmark scripts share: the data, the reference model, and the requests that a rival's process answers."""

import json
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools" / "fixtures"))
import reference  # noqa: E402, F401


def conversations(path):
    """[(role, text), ...] of each line of a chat file."""
    with open(path, encoding="utf-8") as f:
        return [[(m["role"], m["content"]) for m in json.loads(line)["messages"]] for line in f if line.strip()]


def median(v):
    v = sorted(v)
    n = len(v)
    return (v[n // 2] + v[(n - 1) // 2]) / 2


def serve(**functions):
    """Answers {"do": NAME, ...}, one JSON object a line, with what the function of that name returns for the rest."""
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer
    for line in sys.stdin:
        request = json.loads(line)
        print(json.dumps(functions[request.pop("do")](**request)), file=out, flush=True)
