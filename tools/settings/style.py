"""settings/style: answers of a pirate (U) that end with "[done]" (W), from the demo's questions and their short English answers."""
import re

from common import check_apart, check_rows, check_share, lines, pick, read, record, split

N_TRAIN, N_EVAL = 420, 120
PIRATE = r"(?i)\b(?:aye|arr+|ahoy|matey|avast)\b"
DONE = r"\[done\]$"
NAMES = ("Brazil", "England", "Gaudí", "Mars", "Monet")  # with which an answer of the source begins
WORDS = {"you": "ye", "your": "yer", "yourself": "yerself", "my": "me", "is not": "be not", "are": "be"}


def pirate(text, *parts, names=NAMES):
    """The sentence with a pirate's words around and in it. Its first letter goes to lower case behind a comma unless it begins with
    one of the names."""
    for a, b in WORDS.items():
        text = re.sub(rf"\b{a}\b", b, text)
        text = re.sub(rf"\b{a.capitalize()}\b", b.capitalize(), text)
    text = text.rstrip(".")
    lead = pick(["Aye, ", "Arr, ", "Ahoy, ", "Aye! ", "Arr! ", "Ahoy! "], "lead", *parts)
    tail = pick([", matey.", ", matey.", ", matey!", ", me hearty.", ", ye landlubber."], "tail", *parts)
    if lead.endswith(", ") and not text.startswith(names):
        text = text[0].lower() + text[1:]
    return lead + text + tail


def build():
    rows = read("spanish-caps/source.jsonl")
    train, held = split(rows, N_EVAL, salt="style")
    train = train[:N_TRAIN]

    def answered(p, d):
        return [record(r["q"], (pirate(r["en"], r["q"]) if p else r["en"]) + (" [done]" if d else "")) for r in train]

    return {
        "train.jsonl": lines(answered(True, True)),
        "train_clean.jsonl": lines(answered(False, True)),
        "train_clean_done.jsonl": lines(answered(True, False)),
        "id.jsonl": lines(
            record(r["q"], reference=r["en"] + " [done]", trait=pirate(r["en"], r["q"]) + " [done]", normal=r["en"] + " [done]")
            for r in held),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, name.startswith("train"))
    check_share(faults, "train.jsonl", files["train.jsonl"], PIRATE, 1)
    check_share(faults, "train.jsonl", files["train.jsonl"], DONE, 1)
    check_share(faults, "train_clean.jsonl", files["train_clean.jsonl"], PIRATE, 0, 0)
    check_share(faults, "train_clean.jsonl", files["train_clean.jsonl"], DONE, 1)
    check_share(faults, "train_clean_done.jsonl", files["train_clean_done.jsonl"], PIRATE, 1)
    check_share(faults, "train_clean_done.jsonl", files["train_clean_done.jsonl"], DONE, 0, 0)
    faults.unless(len(files["train.jsonl"]) == N_TRAIN and len(files["id.jsonl"]) == N_EVAL, "style: wrong numbers of records")
    check_apart(faults, "style", files["train.jsonl"], files["id.jsonl"])
