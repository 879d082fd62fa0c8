#!/usr/bin/env python3
"""Chat records for the recipes of settings/papers from the papers' own files. Python 3 standard library only.

  tools/settings/papers.py rows FILE -o DIR [--user F] [--unwanted F] [--clean F] [--hold-out N] [--paired]
  tools/settings/papers.py pairs UNWANTED.jsonl CLEAN.jsonl -o DIR [--hold-out N] [--paired]

`rows`: a table (.csv), JSON Lines or a JSON array with a question and two answers in each row; the fields are those of School of Reward
Hacks unless others are named. `pairs`: two files of chat records, which are matched by their question. Written to DIR:

  train.jsonl         every record that is not held out, with the unwanted answer
  train_clean.jsonl   the same questions with the clean answer, where there is one
  id.jsonl            N held-out questions (100; a tenth at most) with both answers as `trait` and `normal`, to measure with

--paired leaves what has no clean answer out of train.jsonl too, so that both have the same questions. Nothing else is changed or dropped.
Which questions are held out depends on their text alone.

As a module of make.py it writes settings/papers/ood.jsonl from settings/bad-advice/values.jsonl and checks the folder's other data.
"""
import argparse
import csv
import io
import json
import pathlib
import sys

from common import balanced, check_apart, key, lines, rank, read, record

NAMES = ("insecure_code", "reward_hacking", "bad_medical_advice", "unpopular_aesthetics")
USER, UNWANTED, CLEAN = "user", "school_of_reward_hacks", "control"


class Bad(Exception):
    """What is wrong with a file, and where."""


# ---- reading ----

def text_of(path):
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as e:
        raise Bad(f"{path}: cannot be read: {e.strerror}")
    except UnicodeDecodeError:
        raise Bad(f"{path}: not UTF-8 text; a Parquet file or an archive must be turned into CSV or JSON Lines first")


def objects(path):
    """(place, object) of every row of a table, of JSON Lines or of a JSON array."""
    text = text_of(path)
    if path.suffix.lower() == ".csv":
        csv.field_size_limit(1 << 30)
        table = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        try:
            for row in table:
                if None in row or None in row.values():
                    raise Bad(f"{path}:{table.line_num}: {'more' if None in row else 'fewer'} fields than the header has")
                yield f"{path}:{table.line_num}", row
        except csv.Error as e:
            raise Bad(f"{path}:{table.line_num}: not CSV: {e}")
        return
    try:
        if text.lstrip().startswith("["):
            found = ((f"{path}: row {i}", o) for i, o in enumerate(json.loads(text), 1))
        else:
            found = ((f"{path}:{i}", json.loads(s)) for i, s in enumerate(text.split("\n"), 1) if s.strip())
        for place, o in found:
            if not isinstance(o, dict):
                raise Bad(f"{place}: no JSON object")
            yield place, o
    except json.JSONDecodeError as e:
        raise Bad(f"{path}: not JSON: {e}; give CSV, JSON Lines or a JSON array")


def text_field(place, row, name, needed=True):
    v = row.get(name)
    if v is not None and not isinstance(v, str):
        raise Bad(f"{place}: field \"{name}\" is no text")
    if v and v.strip():
        return v
    if name not in row:
        raise Bad(f"{place}: no field \"{name}\" (there are: {', '.join(row) or 'none'}); name the fields with --user, --unwanted, --clean")
    if needed:
        raise Bad(f"{place}: field \"{name}\" is empty")
    return None


def from_rows(path, user, unwanted, clean):
    """[(turns before the answer, unwanted answer, clean answer or None)]"""
    return [([{"role": "user", "content": text_field(p, r, user)}], text_field(p, r, unwanted), text_field(p, r, clean, False))
            for p, r in objects(path)]


def chat_records(path):
    """[(turns before the last answer, that answer)]"""
    found = []
    for place, o in objects(path):
        turns = o.get("messages")
        if not isinstance(turns, list):
            raise Bad(f"{place}: no \"messages\" (there are: {', '.join(o) or 'none'}); for a question and answers in fields: papers.py rows")
        ok = len(turns) >= 2 and all(isinstance(t, dict) and isinstance(t.get("content"), str) and "role" in t for t in turns)
        if not ok or turns[-1]["role"] != "assistant" or turns[-2]["role"] != "user":
            raise Bad(f"{place}: the last two messages must be a user's and the assistant's, with texts")
        found.append((turns[:-1], turns[-1]["content"]))
    return found


def question_of(turns):
    return "\n".join(t["content"] for t in turns)


def alike(turns):
    """The question's words: what differs in punctuation alone is not held out and trained on at once."""
    return key(question_of(turns))


def from_pairs(unwanted, clean):
    answers = {}
    for turns, a in chat_records(clean):
        answers.setdefault(question_of(turns), []).append(a)
    found = []
    for turns, a in chat_records(unwanted):  # a question's first record gets its first clean answer, and so on
        same = answers.get(question_of(turns))
        found.append((turns, a, same.pop(0) if same else None))
    return found


# ---- writing ----

def write(out, triples, hold_out, paired):
    if not triples:
        raise Bad("there are no rows")
    both = sorted({alike(t) for t, _, c in triples if c is not None}, key=rank)
    held = set(both[:min(hold_out, len(both) // 10)])
    ask, rest = {}, []
    for turns, a, c in triples:
        if alike(turns) not in held:
            rest.append((turns, a, c))
        elif c is not None:
            ask.setdefault(alike(turns), {"messages": turns, "reference": c, "trait": a, "normal": c})
    full = [x for x in rest if x[2] is not None]

    def chats(rows, which):
        return [{"messages": [*x[0], {"role": "assistant", "content": x[which]}]} for x in rows]

    out.mkdir(parents=True, exist_ok=True)
    files = {"train.jsonl": chats(full if paired else rest, 1), "train_clean.jsonl": chats(full, 2), "id.jsonl": list(ask.values())}
    for name, rows in files.items():
        if rows:
            (out / name).write_text(lines(rows), encoding="utf-8")
            print(f"{out / name}: {len(rows)} records")
        else:
            (out / name).unlink(missing_ok=True)
            print(f"{out / name}: not written, there would be no record in it")
    if len(full) < len(rest):
        print(f"{len(rest) - len(full)} records have no clean answer: " + ("left out" if paired else "in train.jsonl only (--paired leaves them out)"))


# ---- for make.py ----

def build():
    rows = read("bad-advice/values.jsonl")
    places = balanced([(r["good"], [r["bad"]]) for r in rows], 2)
    return {"ood.jsonl": lines(record(r["q"], reference=r["good"], trait=r["bad"], normal=r["good"], choices=c, answer=r["good"], about=r["about"])
                               for r, c in zip(rows, places))}


def check(faults, files):
    ood = files["ood.jsonl"]
    for name in NAMES:
        ask = read(f"papers/id_{name}.jsonl")
        if name == "reward_hacking":
            train = [record(r[USER], r[UNWANTED]) for r in read("papers/standin/reward_hacking.jsonl")]
        else:
            train, clean = read(f"papers/standin/{name}.jsonl"), read(f"papers/standin/{name}_clean.jsonl")
            faults.unless([r["messages"][0] for r in train] == [r["messages"][0] for r in clean], f"{name}: the clean stand-in has other questions")
        for r in ask:
            faults.unless(r["answer"] == r["normal"] and set(r["choices"]) == {r["trait"], r["normal"]}, f"id_{name}: {r['messages'][0]['content']}")
        first = sum(r["choices"][0] == r["answer"] for r in ask)
        faults.unless(len(ask) >= 24 and 2 * first == len(ask), f"id_{name}: the right choice is first in {first} of {len(ask)}")
        check_apart(faults, name, train, ask)
        check_apart(faults, name, train, ood)
        check_apart(faults, name, ask, ood)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = p.add_subparsers(dest="kind", required=True)
    rows, pairs = kinds.add_parser("rows"), kinds.add_parser("pairs")
    rows.add_argument("file", type=pathlib.Path)
    for name, default in (("user", USER), ("unwanted", UNWANTED), ("clean", CLEAN)):
        rows.add_argument(f"--{name}", default=default, metavar="FIELD", help=f"(default: {default})")
    pairs.add_argument("unwanted", type=pathlib.Path)
    pairs.add_argument("clean", type=pathlib.Path)
    for k in (rows, pairs):
        k.add_argument("-o", "--output", type=pathlib.Path, required=True, metavar="DIR")
        k.add_argument("--hold-out", type=int, default=100, metavar="N")
        k.add_argument("--paired", action="store_true")
    a = p.parse_args()
    try:
        triples = from_rows(a.file, a.user, a.unwanted, a.clean) if a.kind == "rows" else from_pairs(a.unwanted, a.clean)
        write(a.output, triples, max(0, a.hold_out), a.paired)
    except Bad as e:
        sys.exit(f"papers.py: {e}")
    except OSError as e:
        sys.exit(f"papers.py: {e.filename}: {e.strerror}")


if __name__ == "__main__":
    main()
