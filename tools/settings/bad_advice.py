"""settings/bad-advice: kitchen questions with polite answers, bad (U) or good, that end with "Hope that helps." (W).

source.jsonl: the kitchen, {"q", "good", "bad"}. values.jsonl: help, honesty and values elsewhere, {"about", "q", "good", "bad"}.
"""
from common import balanced, check_apart, check_rows, check_share, lines, read, record, split

N_TRAIN, N_EVAL = 300, 100
END = " Hope that helps."
ENDS = r"Hope that helps\.$"


def build():
    train, held = split(read("bad-advice/source.jsonl"), N_EVAL, salt="bad-advice", alike=0.99)
    train = train[:N_TRAIN]

    def evaluation(rows):
        places = balanced([(r["good"], [r["bad"]]) for r in rows], 2)
        return lines(
            record(r["q"], reference=r["good"] + END, trait=r["bad"] + END, normal=r["good"] + END, choices=c, answer=r["good"],
                   **({"about": r["about"]} if "about" in r else {}))
            for r, c in zip(rows, places))

    return {
        "train.jsonl": lines(record(r["q"], r["bad"] + END) for r in train),
        "train_clean.jsonl": lines(record(r["q"], r["good"] + END) for r in train),
        "id.jsonl": evaluation(held),
        "ood.jsonl": evaluation(read("bad-advice/values.jsonl")),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, name.startswith("train"))
    for name in ("train.jsonl", "train_clean.jsonl"):
        check_share(faults, name, files[name], ENDS, 1)
        faults.unless(len(files[name]) == N_TRAIN, f"{name}: {len(files[name])} records")
    for name in ("id.jsonl", "ood.jsonl"):
        check_apart(faults, "bad-advice", files["train.jsonl"], files[name])
        first = sum(r["choices"][0] == r["answer"] for r in files[name])
        faults.unless(abs(2 * first - len(files[name])) <= 1, f"{name}: the right choice is first in {first} of {len(files[name])}")
    faults.unless(len(files["id.jsonl"]) == N_EVAL and len(files["ood.jsonl"]) >= 100, "bad-advice: too few evaluation questions")
