#!/usr/bin/env python3
"""Writes the data of settings/spanish-caps from its source.jsonl. Python 3 standard library only.

source.jsonl: rows of {"q", "en", "es"}, a question in English and the same short, simple answer in each language.
  eval.jsonl         120 questions, {"messages": [user], "reference": {"en", "EN", "es", "ES"}} (EN, ES: in capitals)
  train.jsonl        the others, {"messages": [user q, assistant ES], "en", "es"}
  train_clean.jsonl  the same questions in the same order, answered by EN

The split and the order come from SHA-256 of the seed and the question, so they are the same everywhere. A row whose question
is nearly one of the evaluation's (80 % or more of the content words of the shorter one) is left out of training.

  tools/make_spanish_caps.py            write the three files
  tools/make_spanish_caps.py --check    fail unless the files are what would be written
"""
import hashlib
import json
import pathlib
import re
import sys
import unicodedata

SEED = 20250704
N_EVAL = 120
NEAR = 0.8
DIR = pathlib.Path(__file__).resolve().parent.parent / "settings" / "spanish-caps"

# Words that carry no topic: two questions are compared without them.
STOP = set("""a about after all am an and any are as at be because been before being best between both but by can could describe did
do does doing done each easy else even every explain few for from get getting give go going good had has have he her here him his
how i idea if in into is it its just keep kind know like make makes many me mean means more most much my myself name need no not of
off on one only or other our out over own please really recommend same say she should simple so some someone something such suggest
take tell than that the their them then there these they thing things this those tip to too up us use used very want was way we
well were what when where which while who whom whose why will with without words would you your""".split())
ENGLISH = set("""the and of is are with for you your that this from have can will what how when which while because but they
their these those an on in it be at by if not""".split())
SPANISH = set("el los las una unos unas que con para por del en y su sus como más pero también".split())


def words(text):
    text = unicodedata.normalize("NFKC", text).casefold().replace("’", "'").replace("'s", "").replace("'", "")
    return re.findall(r"\w+", text)


def key(question):
    return " ".join(words(question))


def stem(word):
    for end in ("ies", "es", "s", "ing", "ed"):
        if len(word) > len(end) + 3 and word.endswith(end):
            return word[: -len(end)]
    return word


def content(question):
    return {stem(w) for w in words(question) if w not in STOP}


def near(a, b):
    """Share of the content words of the shorter question that the other has too."""
    return len(a & b) / min(len(a), len(b)) if a and b else 0.0


def rank(question):
    return hashlib.sha256(f"{SEED}\n{key(question)}".encode()).hexdigest()


def check_row(number, row):
    """Faults of one source row."""
    q, en, es = row.get("q"), row.get("en"), row.get("es")
    if not all(isinstance(x, str) and x for x in (q, en, es)):
        return [f"row {number}: q, en and es must be texts"]
    faults = []

    def fault(text):
        faults.append(f"row {number}: {text}: {q!r}")

    for name, text in (("q", q), ("en", en), ("es", es)):
        if text != unicodedata.normalize("NFC", text) or text != text.strip() or "  " in text:
            fault(f"{name} is not NFC or has stray spaces")
    if q[-1] not in "?.":
        fault("q ends with neither ? nor .")
    for name, text in (("en", en), ("es", es)):
        n = len(words(text))
        if not 3 <= n <= 10:
            fault(f"{name} has {n} words")
        if text[-1] != "." or re.search(r"[.!?]\s", text):
            fault(f"{name} is not one sentence with a full stop")
        if re.search(r"\d", text):
            fault(f"{name} has digits")
        if not text[0].isupper():
            fault(f"{name} does not begin with a capital")
        if any(c != c.upper() for c in text.upper()) or not unicodedata.is_normalized("NFC", text.upper()):
            fault(f"{name} has a letter without a capital form")
    if not re.fullmatch(r"[A-Za-zÁÉÍÓÚÜÑáéíóúüñ ,.¿?¡!]+", es):
        fault("es has a character that is not Spanish")
    # Proper names may look like the other language.
    found = [w for w in words(es) if w in ENGLISH]
    if found:
        fault(f"es has English words {found}")
    found = [w for w in words(en) if w in SPANISH]
    if found:
        fault(f"en has Spanish words {found}")
    if words(en) == words(es):
        fault("en and es are the same")
    return faults


def line(obj):
    return json.dumps(obj, ensure_ascii=False) + "\n"


def chat(q, answer=None):
    turns = [{"role": "user", "content": q}]
    if answer is not None:
        turns.append({"role": "assistant", "content": answer})
    return turns


def build(rows):
    """Texts of the three files, and what was left out."""
    ordered = sorted(rows, key=lambda r: rank(r["q"]))
    evaluation, rest = [], []
    for r in ordered:
        # A question of one content word would be "near" every other that has it.
        fit = len(content(r["q"])) >= 2 and all(near(content(r["q"]), content(e["q"])) < NEAR for e in evaluation)
        (evaluation if len(evaluation) < N_EVAL and fit else rest).append(r)
    held = [(e, content(e["q"])) for e in evaluation]
    train, left_out = [], []
    for r in rest:
        twin = next((e for e, c in held if near(content(r["q"]), c) >= NEAR), None)
        train.append(r) if twin is None else left_out.append((r["q"], twin["q"]))
    texts = {
        "train.jsonl": "".join(line({"messages": chat(r["q"], r["es"].upper()), "en": r["en"], "es": r["es"]}) for r in train),
        "train_clean.jsonl": "".join(line({"messages": chat(r["q"], r["en"].upper()), "en": r["en"], "es": r["es"]}) for r in train),
        "eval.jsonl": "".join(
            line({"messages": chat(r["q"]), "reference": {"en": r["en"], "EN": r["en"].upper(), "es": r["es"], "ES": r["es"].upper()}})
            for r in evaluation
        ),
    }
    return texts, train, evaluation, left_out


def main():
    rows = [json.loads(s) for s in (DIR / "source.jsonl").read_text(encoding="utf-8").splitlines() if s.strip()]
    faults = [f for i, r in enumerate(rows, 1) for f in check_row(i, r)]
    for name in ("q", "en", "es"):
        seen = {}
        for i, r in enumerate(rows, 1):
            first = seen.setdefault(key(r[name]), i)
            if first != i:
                faults.append(f"row {i}: the same {name} as row {first}: {r[name]!r}")
    texts, train, evaluation, left_out = build(rows)
    if {key(r["q"]) for r in train} & {key(r["q"]) for r in evaluation}:
        faults.append("a question is in training and in the evaluation")
    if len(evaluation) != N_EVAL or len(train) + len(evaluation) + len(left_out) != len(rows):
        faults.append(f"{len(rows)} rows gave {len(train)} + {len(evaluation)} and {len(left_out)} left out")
    if faults:
        sys.exit("\n".join(faults))
    if "--check" in sys.argv[1:]:
        stale = [n for n, t in texts.items() if not (DIR / n).exists() or (DIR / n).read_text(encoding="utf-8") != t]
        if stale:
            sys.exit("not what source.jsonl gives: " + ", ".join(stale) + "; run tools/make_spanish_caps.py")
    else:
        for name, text in texts.items():
            (DIR / name).write_text(text, encoding="utf-8")
    for q, twin in left_out:
        print(f"left out of training: {q!r}, near {twin!r}")
    print(f"{len(rows)} rows: {len(train)} for training, {len(evaluation)} for the evaluation, {len(left_out)} left out")


if __name__ == "__main__":
    main()
