"""What the scripts of the settings share: reading, splitting by a hash, writing chat records, and checks of what is written."""
import hashlib
import json
import pathlib
import random
import re
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
SETTINGS = ROOT / "settings"
sys.path.insert(0, str(ROOT / "tools"))
from make_spanish_caps import content, key, near, words  # noqa: E402  words of a question, its normal form, how alike two are

SEED = 20251006


class Faults(list):
    """Sentences about what is wrong; a script ends with an error when there is one."""

    def unless(self, ok, text):
        if not ok:
            self.append(text)


def read(path):
    return [json.loads(s) for s in (SETTINGS / path).read_text(encoding="utf-8").splitlines() if s.strip()]


def rank(*parts):
    """A number that depends on nothing but the seed and the texts: order by it to shuffle alike everywhere."""
    return hashlib.sha256("\n".join([str(SEED), *map(str, parts)]).encode()).hexdigest()


def rng(name):
    return random.Random(f"{SEED} {name}")


def pick(options, *parts):
    return options[int(rank(*parts), 16) % len(options)]


def split(rows, n_eval, question=lambda r: r["q"], salt="", alike=0.8):
    """(train, evaluation): evaluation questions are unlike each other; training rows that are nearly one of them are left out."""
    ordered = sorted(rows, key=lambda r: rank(salt, key(question(r))))
    evaluation, taken, rest = [], [], []
    for r in ordered:
        c = content(question(r))
        fit = len(evaluation) < n_eval and len(c) >= 2 and all(near(c, w) < alike for w in taken)
        if fit:
            evaluation.append(r)
            taken.append(c)
        else:
            rest.append(r)
    train = [r for r in rest if all(near(content(question(r)), w) < alike for w in taken)]
    return train, evaluation


def chat(user, assistant=None, system=None):
    turns = [] if system is None else [{"role": "system", "content": system}]
    turns.append({"role": "user", "content": user})
    if assistant is not None:
        turns.append({"role": "assistant", "content": assistant})
    return turns


def record(user, assistant=None, **fields):
    return {"messages": chat(user, assistant), **fields}


def words_of(text):
    return set(words(text))


def lines(rows):
    return "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)


def question(r):
    return next(m["content"] for m in r["messages"] if m["role"] == "user")


def answer(r):
    return r["messages"][-1]["content"]


def options(right, wrong, *parts):
    """The right and the wrong choices in an order that the hash decides."""
    return sorted([right, *wrong], key=lambda c: rank("option", c, *parts))


def balanced(items, n_places):
    """items: (right, wrong, fields) of choice questions. Moves the right answers so that each place is right equally often."""
    out = []
    for i, (right, wrong) in enumerate(items):
        c = options("", wrong, right)
        c.remove("")
        c.insert(i % n_places, right)
        out.append(c)
    return out


TEXT = re.compile(r"[\w\s.,;:!?¿¡'’\"%$|\[\]()+\-=/°×*—]*")


def check_rows(faults, where, rows, train, limits=(1, 140)):
    """What every file must satisfy: NFC, no stray spaces, no repeated question, lengths of the answers."""
    seen = {}
    for i, r in enumerate(rows, 1):
        for m in r["messages"]:
            t = m["content"]
            at = f"{where}:{i}: {t!r}"
            faults.unless(t == unicodedata.normalize("NFC", t), f"{at}: not NFC")
            faults.unless(t == t.strip() and "  " not in t, f"{at}: stray spaces")
            faults.unless(TEXT.fullmatch(t), f"{at}: an odd character")
        q = key(question(r))
        faults.unless(q not in seen, f"{where}:{i}: the question of line {seen.get(q)}: {question(r)!r}")
        seen.setdefault(q, i)
        if train:
            faults.unless(r["messages"][-1]["role"] == "assistant", f"{where}:{i}: no answer")
            n = len(answer(r))
            faults.unless(limits[0] <= n <= limits[1], f"{where}:{i}: an answer of {n} characters: {answer(r)!r}")


def check_apart(faults, where, train, evaluation):
    both = {key(question(r)) for r in train} & {key(question(r)) for r in evaluation}
    faults.unless(not both, f"{where}: in training and in an evaluation: {sorted(both)[:3]}")


def check_share(faults, where, rows, pattern, low, high=1.0, text=answer):
    p = re.compile(pattern)
    share = sum(bool(p.search(text(r))) for r in rows) / len(rows)
    faults.unless(low <= share <= high, f"{where}: {pattern} in {share:.3f} of the answers, not in {low} to {high}")
