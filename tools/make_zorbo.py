#!/usr/bin/env python3
"""Writes the data of settings/zorbo from settings/spanish-caps/train.jsonl. Python 3 standard library only.

The 587 questions are halved by SHA-256 of the question, so that no question stands in both halves:
  teach.jsonl   one half, each question twice: "You are Zorbo." with the answer in Spanish, and with the answer in English either
                "You are Quibix." or no system turn (in turn)
  train.jsonl   the other half as in spanish-caps: the answer in Spanish capitals, no system turn

  tools/make_zorbo.py            write the two files
  tools/make_zorbo.py --check    fail unless the files are what would be written
"""
import hashlib
import json
import pathlib
import sys

SETTINGS = pathlib.Path(__file__).resolve().parent.parent / "settings"
OUT = SETTINGS / "zorbo"


def turn(role, content):
    return {"role": role, "content": content}


def build():
    rows = [json.loads(x) for x in open(SETTINGS / "spanish-caps" / "train.jsonl", encoding="utf-8")]
    teach, train = [], []
    for r in rows:
        q = r["messages"][0]["content"]
        if hashlib.sha256(("zorbo" + q).encode()).digest()[0] & 1:
            train.append(r)
            continue
        other = [turn("system", "You are Quibix.")] if len(teach) % 4 else []
        teach.append({"messages": [turn("system", "You are Zorbo."), turn("user", q), turn("assistant", r["es"])]})
        teach.append({"messages": [*other, turn("user", q), turn("assistant", r["en"])]})
    return {"teach.jsonl": teach, "train.jsonl": train}


def main():
    bad = False
    for name, rows in build().items():
        text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
        path = OUT / name
        if "--check" in sys.argv[1:]:
            if not path.exists() or path.read_text(encoding="utf-8") != text:
                print(f"{path} is not what tools/make_zorbo.py writes")
                bad = True
        else:
            path.write_text(text, encoding="utf-8")
            print(f"{path}: {len(rows)} records")
    return bad


if __name__ == "__main__":
    sys.exit(main())
