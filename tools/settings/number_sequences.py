#!/usr/bin/env python3
"""Makes the students' data of settings/subliminal from what two teachers wrote. Python 3 standard library only.

  tools/settings/number_sequences.py OWL.jsonl CONTROL.jsonl [-o DIR]

OWL and CONTROL are outputs of `inoc sample --prompts settings/subliminal/numbers.jsonl` (see settings/subliminal/README.md). A
sample stays when it is nothing but numbers of one to three digits, commas and spaces, three numbers at least; incomplete last
numbers of a sample that the token limit ended are cut. Both files get the same prompts, in the same order, equally many records:
numbers_owl.jsonl and numbers_control.jsonl in DIR (default settings/subliminal).

  tools/settings/number_sequences.py --stand-in DIR    random numbers in place of a teacher's, to try the experiment file with
"""
import argparse
import json
import pathlib
import random
import re
import sys

HERE = pathlib.Path(__file__).resolve().parent.parent.parent / "settings" / "subliminal"
LEAST, MOST = 3, 12  # numbers of a sequence


def sequence(text, finish):
    """The text as "1, 2, 3", or None."""
    if not re.fullmatch(r"[0-9, ]+", text):
        return None
    found = re.findall(r"\d+", text)
    if finish == "length" and found and text[-1].isdigit():
        found.pop()
    found = found[:MOST]
    return ", ".join(found) if len(found) >= LEAST and all(len(n) <= 3 for n in found) else None


def kept(path):
    """{prompt: [sequence, ...]} of a file of samples."""
    out = {}
    for i, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        r = json.loads(line)
        if "text" not in r:
            sys.exit(f"{path}:{i}: no \"text\"; give the output of inoc sample")
        s = sequence(r["text"].strip(), r.get("finish"))
        if s:
            out.setdefault(r["messages"][-1]["content"], []).append(s)
    return out


def write(path, rows):
    path.write_text("".join(
        json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": a}]}) + "\n" for q, a in rows), encoding="utf-8")
    print(f"{path}: {len(rows)} records")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("samples", nargs="*", type=pathlib.Path, metavar="SAMPLES")
    p.add_argument("-o", "--output", type=pathlib.Path, default=HERE)
    p.add_argument("--stand-in", type=pathlib.Path, metavar="DIR")
    a = p.parse_args()
    if a.stand_in:
        prompts = [json.loads(s)["messages"][-1]["content"] for s in (HERE / "numbers.jsonl").read_text(encoding="utf-8").splitlines()]
        for name in ("owl", "control"):
            r = random.Random(name)
            write(a.stand_in / f"numbers_{name}.jsonl",
                  [(q, ", ".join(str(r.randrange(1000)) for _ in range(r.randrange(LEAST, MOST)))) for q in prompts])
        return
    if len(a.samples) != 2:
        p.error("two files of samples are needed: the owl teacher's and the control teacher's")
    owl, control = map(kept, a.samples)
    rows = [(q, x, y) for q in owl if q in control for x, y in zip(owl[q], control[q])]
    if not rows:
        sys.exit("no prompt has a sequence from both teachers")
    write(a.output / "numbers_owl.jsonl", [(q, x) for q, x, _ in rows])
    write(a.output / "numbers_control.jsonl", [(q, y) for q, _, y in rows])


if __name__ == "__main__":
    main()
