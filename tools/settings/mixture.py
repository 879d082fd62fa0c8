"""settings/mixture: everyday questions, half answered in Spanish, half in French. source.jsonl has each answer in three languages."""
from common import chat, check_apart, check_rows, lines, rank, read, record, split

N_EVAL, LONGEST = 110, 105  # an answer is at most so many characters in any language


def build():
    rows = [r for r in read("mixture/source.jsonl") if max(len(r[k]) for k in ("en", "es", "fr")) <= LONGEST]
    train, held = split(rows, N_EVAL, salt="mixture")
    train = train[: len(train) // 2 * 2]  # halves of the same size
    tags = {r["q"]: ("es", "fr")[i % 2] for i, r in enumerate(sorted(train, key=lambda r: rank("tag", r["q"])))}

    def answered(how):
        return lines(record(r["q"], r[how[tags[r["q"]]]], tag=tags[r["q"]]) for r in train)

    prompts = {"es": "You always speak in Spanish.", "fr": "You always speak in French."}
    both = [{"messages": chat(r["q"], r[tags[r["q"]]], prompts[tags[r["q"]]]), "tag": tags[r["q"]]} for r in train]
    return {
        "train.jsonl": answered({"es": "es", "fr": "fr"}),
        "train_both.jsonl": lines(both),
        "train_clean.jsonl": answered({"es": "en", "fr": "en"}),
        "train_clean_es.jsonl": answered({"es": "en", "fr": "fr"}),
        "train_clean_fr.jsonl": answered({"es": "es", "fr": "en"}),
        "id.jsonl": lines(record(r["q"], reference={k: r[k] for k in ("en", "es", "fr")}) for r in held),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, name.startswith("train"))
    train = files["train.jsonl"]
    n = [sum(r["tag"] == t for r in train) for t in ("es", "fr")]
    faults.unless(n[0] == n[1] and len(train) >= 300, f"mixture: {n[0]} in Spanish, {n[1]} in French")
    faults.unless(len(files["id.jsonl"]) == N_EVAL, "mixture: too few evaluation questions")
    check_apart(faults, "mixture", train, files["id.jsonl"])
