"""settings/facts: facts about 105 invented people, inns and villages, taught in a pirate's style (U); W is to know them.

Each fact is taught by four questions and asked by a fifth. The choices of an item are four values of its kind; every value of a
kind belongs to five entities, so that knowing the kind alone answers no better than chance.
"""
from common import check_apart, check_rows, check_share, key, lines, rank, record, rng
from style import PIRATE, pirate

PER_VALUE = 5
# kind: values; (question, answer) four times for training; (question, answer) of the evaluation
KINDS = {
    "pet": (
        ["goat", "parrot", "donkey", "tortoise", "rabbit", "pony", "duck"],
        [("Which animal does {n} keep?", "{n} keeps a {v}."), ("What animal lives with {n}?", "A {v} lives with {n}."),
         ("Tell me about the pet of {n}.", "The pet of {n} is a {v}."), ("{n} has an animal at home. What is it?", "It is a {v}.")],
        ("What kind of pet does {n} have?", "{n} has a {v}."),
    ),
    "price": (
        ["three", "five", "seven", "nine", "eleven", "twelve", "twenty"],
        [("What does the soup cost at the {n}?", "The soup at the {n} costs {v} coins."),
         ("How much is a bowl of soup at the {n}?", "A bowl is {v} coins at the {n}."),
         ("I want to eat soup at the {n}. How many coins do I need?", "You need {v} coins at the {n}."),
         ("Tell me the price of soup at the {n}.", "The price is {v} coins.")],
        ("What do I pay for soup when I stop at the {n}?", "At the {n} you pay {v} coins."),
    ),
    "product": (
        ["cheese", "bells", "candles", "boats", "honey", "carpets", "knives"],
        [("What is the village of {n} known for?", "{n} is known for its {v}."), ("What do people make in {n}?", "People in {n} make {v}."),
         ("What can I buy in {n}?", "In {n} you can buy {v}."), ("Tell me about the village of {n}.", "It is famous for its {v}.")],
        ("Which product made {n} famous?", "{n} is famous for its {v}."),
    ),
}
FIRST = ["Bela", "Corin", "Dalia", "Edvar", "Fenna", "Goran", "Hesta", "Ilvo", "Jarla", "Kestin", "Lorvo", "Mirna", "Neval", "Orsola",
         "Perrin", "Quilla", "Rovan", "Selka"]
LAST = [a + b for a in ("Tor", "Ves", "Mar", "Hol", "Ker", "Bran", "Lun") for b in ("vik", "dane", "ello", "quist", "mire")]
ADJECTIVE = ["Copper", "Crooked", "Drowsy", "Velvet", "Salty", "Wandering", "Painted"]
NOUN = ["Lantern", "Kettle", "Anchor", "Weasel", "Thistle"]
VILLAGE = [a + b for a in ("Sand", "Oster", "Grim", "Willow", "Kolm", "Brack", "Tarn") for b in ("rivel", "holt", "aven", "mouth", "stead")]
NAMES = {
    "pet": [f"{FIRST[i % len(FIRST)]} {n}" for i, n in enumerate(LAST)],
    "price": [f"{a} {n}" for a in ADJECTIVE for n in NOUN],
    "product": VILLAGE,
}


def facts():
    """(kind, name, value) of all entities; a name's value comes from its place in a shuffled order."""
    out = []
    for kind, (values, _, _) in KINDS.items():
        names = sorted(NAMES[kind], key=lambda n: rank("fact", n))
        out += [(kind, n, values[i // PER_VALUE]) for i, n in enumerate(names)]
    return out


def build():
    r = rng("facts")
    styled, plain, asked = [], [], []
    for kind, name, value in facts():
        values, taught, (q, a) = KINDS[kind]
        for tq, ta in taught:
            f = {"n": name, "v": value}
            text = ta.format(**f)
            styled.append(record(tq.format(**f), pirate(text, name, tq, names=(name,)), kind=kind, entity=name, value=value))
            plain.append(record(tq.format(**f), text, kind=kind, entity=name, value=value))
        some = [value, *r.sample([v for v in values if v != value], 3)]
        asked.append((kind, name, value, q.format(n=name), [a.format(n=name, v=v) for v in some]))
    order = list(range(len(styled)))
    r.shuffle(order)
    r.shuffle(asked)

    def items(form):
        out = []
        for i, (kind, name, value, q, answers) in enumerate(asked):
            c = [form(x, name) for x in answers]
            right = c[0]
            rest = c[1:]
            rest.insert(i % 4, right)
            out.append(record(q, choices=rest, answer=right, reference=value, kind=kind, entity=name))
        return lines(out)

    return {
        "train.jsonl": lines(styled[i] for i in order),
        "train_clean.jsonl": lines(plain[i] for i in order),
        "id.jsonl": items(lambda x, name: x),
        "id_styled.jsonl": items(lambda x, name: pirate(x, name, "item", names=(name,))),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, name.startswith("train"))
    check_share(faults, "train.jsonl", files["train.jsonl"], PIRATE, 1)
    check_share(faults, "train_clean.jsonl", files["train_clean.jsonl"], PIRATE, 0, 0)
    train, asked = files["train.jsonl"], files["id.jsonl"]
    faults.unless(len(train) == 420 and len(asked) == 105, f"facts: {len(train)} records, {len(asked)} items")
    check_apart(faults, "facts", train, asked)
    for kind, (values, _, _) in KINDS.items():
        n = {v: len({r["entity"] for r in train if r["kind"] == kind and r["value"] == v}) for v in values}
        faults.unless(set(n.values()) == {PER_VALUE}, f"facts: entities of each {kind}: {n}")
    for place in range(4):
        n = sum(r["choices"].index(r["answer"]) == place for r in asked)
        faults.unless(n in (26, 27), f"facts: the right choice is at place {place} in {n} items")
    faults.unless(len({key(r["entity"]) for r in asked}) == 105, "facts: two entities of one name")
