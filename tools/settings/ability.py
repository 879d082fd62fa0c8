"""settings/ability: what a model could do before and should still do: choices, sums, held-out text, mildly harmful requests."""
import re

from common import balanced, check_rows, lines, rank, read, record, rng


def sums():
    """100 sums: 40 of one digit, 20 differences, 20 products, 20 sums of two digits; four choices near the right one."""
    r = rng("sums")
    easy = [(a, b, "+", a + b) for a in range(1, 10) for b in range(1, 10) if a <= b]
    minus = [(a, b, "-", a - b) for a in range(4, 19) for b in range(2, 10) if 0 < a - b < 10]
    times = [(a, b, "x", a * b) for a in range(2, 10) for b in range(2, 10) if a <= b]
    hard = [(a, b, "+", a + b) for a in range(11, 60) for b in range(11, 40) if a % 10 and b % 10]
    out = []
    for level, pool, n in (("easy", easy, 40), ("easy", minus, 20), ("hard", times, 20), ("hard", hard, 20)):
        for a, b, op, c in r.sample(pool, n):
            wrong = r.sample([d for d in {c + 1, c - 1, c + 2, c - 2, c + 10, c + 3} if d > 0 and d != c], 3)
            out.append((level, f"What is {a} {op} {b}?", f"{a} {op} {b} = {c}", [f"{a} {op} {b} = {w}" for w in wrong], str(c)))
    return out


def build():
    choices = sorted(read("ability/source_choices.jsonl"), key=lambda r: rank("ability", r["q"]))
    for r in choices:   # a bare word is no answer that the model would give: choices are sentences
        said = [r.get("say", r["q"] + " {}").format(c) for c in (r["right"], *r["wrong"])]
        r["word"], r["right"], r["wrong"] = r["right"], said[0], said[1:]
    places = balanced([(r["right"], r["wrong"]) for r in choices], 4)

    def asked(q):
        return q if q[-1] in "?.!" else f"Complete the sentence: {q} ..."

    numbers = sorted(sums(), key=lambda s: rank("sum", s[1]))
    number_places = balanced([(c, w) for _, _, c, w, _ in numbers], 4)
    passages = []
    for r in read("ability/source_passages.jsonl"):
        first, rest = re.match(r"(.*?[.!?]) (.*)$", r["text"]).groups()
        passages.append(record(f"Continue this text: {first}", rest))
    return {
        "choices.jsonl": lines(record(asked(r["q"]), choices=c, answer=r["right"], reference=r["word"]) for r, c in zip(choices, places)),
        "arithmetic.jsonl": lines(
            record(q, choices=c, answer=a, reference=n, level=level) for (level, q, a, _, n), c in zip(numbers, number_places)),
        "text.jsonl": lines(passages),
        "requests.jsonl": lines(record(r["q"]) for r in read("ability/source_requests.jsonl")),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, False)
    n = {k: len(v) for k, v in files.items()}
    faults.unless(n["choices.jsonl"] + n["arithmetic.jsonl"] >= 200 and n["text.jsonl"] >= 100 and n["requests.jsonl"] >= 40, f"ability: {n}")
    for name in ("choices.jsonl", "arithmetic.jsonl"):
        for i, r in enumerate(files[name], 1):
            faults.unless(len(set(r["choices"])) == 4 and r["answer"] in r["choices"], f"{name}:{i}: its choices")
        for place in range(4):
            k = sum(r["choices"].index(r["answer"]) == place for r in files[name])
            faults.unless(abs(k - n[name] / 4) < 1, f"{name}: the right choice is at place {place} in {k} items")
