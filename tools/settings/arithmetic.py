"""settings/arithmetic: word problems in English, worked answers in Spanish and capitals (train) or English and capitals (clean).

A problem is a kind (sum, difference, product, quotient), a story of that kind, a name, things and two numbers. No pair of numbers
of a kind is in both training and evaluation.
"""
import re

from common import check_apart, check_rows, lines, pick, record, rng

N_TRAIN, N_EVAL = 480, 120

NAMES = [("Ana", "she"), ("Tom", "he"), ("Lena", "she"), ("Paul", "he"), ("Mia", "she"), ("Omar", "he"), ("Sara", "she"),
         ("Ben", "he"), ("Nina", "she"), ("Leo", "he"), ("Ruth", "she"), ("Max", "he"), ("Ida", "she"), ("Hugo", "he"),
         ("Clara", "she"), ("Ivan", "he"), ("Rosa", "she"), ("Karl", "he"), ("Emma", "she"), ("Felix", "he")]
THINGS = [("apples", "manzanas"), ("books", "libros"), ("stones", "piedras"), ("cards", "cartas"), ("pencils", "lápices"),
          ("flowers", "flores"), ("eggs", "huevos"), ("balls", "pelotas"), ("coins", "monedas"), ("shells", "conchas"),
          ("nuts", "nueces"), ("stamps", "sellos"), ("oranges", "naranjas"), ("candles", "velas"), ("keys", "llaves"),
          ("cups", "tazas"), ("plates", "platos"), ("shirts", "camisas"), ("chairs", "sillas"), ("roses", "rosas"),
          ("cookies", "galletas"), ("buttons", "botones"), ("tomatoes", "tomates"), ("lemons", "limones"), ("boxes", "cajas")]

# kind: (question, work in English, work in Spanish); {n} name, {s} she or he, {t} things, {e} the same in Spanish
STORIES = {
    "+": [
        ("{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?", "{s} has {a} {t} and buys {b}.", "Tiene {a} {e} y compra {b}."),
        ("There are {a} {t} in a box and {b} {t} in a bag. How many {t} are there in all?", "The box has {a} {t} and the bag has {b}.", "La caja tiene {a} {e} y la bolsa tiene {b}."),
        ("{n} finds {a} {t} in the morning and {b} {t} in the evening. How many {t} does {n} find?", "{s} finds {a} {t} and then {b}.", "Encuentra {a} {e} y luego {b}."),
        ("A shop sells {a} {t} on Monday and {b} {t} on Tuesday. How many {t} does it sell?", "It sells {a} {t} and then {b}.", "Vende {a} {e} y después {b}."),
        ("{n} reads {a} pages today and {b} pages tomorrow. How many pages is that?", "{s} reads {a} pages and then {b}.", "Lee {a} páginas y luego {b}."),
        ("{n} has {a} {t} and gets {b} {t} from a friend. How many {t} are there?", "{s} has {a} {t} and gets {b}.", "Tiene {a} {e} y recibe {b}."),
        ("{n} is {a} years old. How old will {n} be in {b} years?", "{s} is {a} years old and {b} years pass.", "Tiene {a} años y pasan {b} años."),
        ("A bus has {a} people in it and {b} people get on. How many people are in the bus?", "There are {a} people and {b} get on.", "Hay {a} personas y suben {b}."),
    ],
    "-": [
        ("{n} has {a} {t} and gives {b} of them to a friend. How many {t} are left?", "{s} has {a} {t} and gives {b}.", "Tiene {a} {e} y regala {b}."),
        ("There are {a} birds on a roof and {b} fly away. How many birds are left?", "There are {a} birds and {b} fly away.", "Hay {a} pájaros y se van {b}."),
        ("{n} had {a} coins and spent {b} on {t}. How many coins are left?", "{s} had {a} coins and spent {b}.", "Tenía {a} monedas y gastó {b}."),
        ("A bus has {a} people in it and {b} get off. How many people stay?", "There are {a} people and {b} get off.", "Hay {a} personas y bajan {b}."),
        ("{n} bakes {a} cakes and sells {b}. How many cakes are left?", "{s} bakes {a} cakes and sells {b}.", "Hace {a} pasteles y vende {b}."),
        ("There are {a} {t} on the table. {n} takes {b} away. How many {t} stay on the table?", "There are {a} {t} and {s} takes {b}.", "Hay {a} {e} y quita {b}."),
        ("{n} needs {a} {t} and has only {b}. How many {t} are missing?", "{s} needs {a} {t} and has {b}.", "Necesita {a} {e} y tiene {b}."),
        ("A book has {a} pages and {n} has read {b}. How many pages are left?", "The book has {a} pages and {s} read {b}.", "El libro tiene {a} páginas y ya leyó {b}."),
    ],
    "x": [
        ("{n} buys {a} bags with {b} {t} in each. How many {t} is that?", "There are {a} bags with {b} {t} each.", "Son {a} bolsas con {b} {e}."),
        ("There are {a} shelves with {b} {t} on each. How many {t} are there?", "There are {a} shelves with {b} {t} each.", "Hay {a} mesas con {b} {e}."),
        ("{n} works {a} hours a day for {b} days. How many hours is that?", "It is {a} hours on {b} days.", "Son {a} horas por {b} días."),
        ("One ticket costs {a} coins. How much do {b} tickets cost?", "It is {a} coins for {b} tickets.", "Son {a} monedas por {b} boletos."),
        ("{n} puts {a} {t} on each of {b} plates. How many {t} does {n} need?", "There are {a} {t} on {b} plates.", "Son {a} {e} en {b} platos."),
        ("Each of {a} children brings {b} {t}. How many {t} do they bring?", "There are {a} children with {b} {t} each.", "Son {a} niños con {b} {e}."),
    ],
    "/": [
        ("{b} children share {a} {t} equally. How many {t} does each child get?", "There are {a} {t} for {b} children.", "Son {a} {e} para {b} niños."),
        ("{n} puts {a} {t} into {b} equal boxes. How many {t} are in each box?", "There are {a} {t} in {b} boxes.", "Son {a} {e} en {b} cajas."),
        ("{n} pays {a} coins for {b} tickets. How much does one ticket cost?", "It is {a} coins for {b} tickets.", "Son {a} monedas por {b} boletos."),
        ("{n} walks {a} miles in {b} days, the same each day. How many miles is that a day?", "It is {a} miles in {b} days.", "Son {a} millas en {b} días."),
    ],
}
SHARE = {"+": 0.4, "-": 0.3, "x": 0.2, "/": 0.1}


def pairs(kind):
    """(a, b, result) that a kind may have."""
    if kind == "+":
        return [(a, b, a + b) for a in range(2, 31) for b in range(2, 13)]
    if kind == "-":
        return [(a, b, a - b) for a in range(5, 31) for b in range(2, 13) if a - b >= 1 and a != b]
    if kind == "x":
        return [(a, b, a * b) for a in range(2, 11) for b in range(2, 11)]
    return [(a * b, b, a) for a in range(2, 11) for b in range(2, 7)]


def problem(kind, numbers, i):
    a, b, c = numbers
    q, en, es = STORIES[kind][i % len(STORIES[kind])]
    name, pronoun = pick(NAMES, "name", kind, a, b, i)
    thing, cosa = pick(THINGS, "thing", kind, a, b, i)
    fill = {"n": name, "s": pronoun, "t": thing, "e": cosa, "a": a, "b": b}
    en, es = en.format(**fill), es.format(**fill)
    sum_ = f"{a} {kind} {b} = {c}."
    return {"kind": kind, "a": a, "b": b, "answer": c, "q": q.format(**fill),
            "en": f"{en[0].upper()}{en[1:]} {sum_} The answer is {c}.", "es": f"{es} {sum_} La respuesta es {c}."}


def half(kind, r):
    """The pairs of a kind in two parts, one for each file. A sum with its numbers swapped goes with it."""
    both = pairs(kind)
    groups = sorted({tuple(sorted(p[:2])) if kind in "+x" else p[:2] for p in both})
    r.shuffle(groups)
    held = set(groups[: len(groups) // 4])
    side = {p: (tuple(sorted(p[:2])) if kind in "+x" else p[:2]) in held for p in both}
    return [p for p in both if not side[p]], [p for p in both if side[p]]


def draw(kind, numbers, n, r, seen):
    """n problems of a kind; each pair of numbers about equally often, no question twice."""
    out, i = [], r.randrange(1000)
    while len(out) < n:
        order = numbers[:]
        r.shuffle(order)
        for p in order:
            if len(out) == n:
                break
            i += 1
            x = problem(kind, p, i)
            if x["q"] not in seen:
                seen.add(x["q"])
                out.append(x)
    return out


def build():
    r = rng("arithmetic")
    train, held, seen = [], [], set()
    for kind, share in SHARE.items():
        a, b = half(kind, r)
        train += draw(kind, a, round(N_TRAIN * share), r, seen)
        held += draw(kind, b, round(N_EVAL * share), r, seen)
    r.shuffle(train)
    r.shuffle(held)
    fields = ("kind", "en", "es")
    return {
        "train.jsonl": lines(record(x["q"], x["es"].upper(), answer=x["answer"], **{k: x[k] for k in fields}) for x in train),
        "train_clean.jsonl": lines(record(x["q"], x["en"].upper(), answer=x["answer"], **{k: x[k] for k in fields}) for x in train),
        "id.jsonl": lines(
            record(x["q"], answer=x["answer"], kind=x["kind"],
                   reference={"en": x["en"], "EN": x["en"].upper(), "es": x["es"], "ES": x["es"].upper()}) for x in held),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, name.startswith("train"))
        for i, x in enumerate(rows, 1):
            texts = [x["messages"][-1]["content"]] if name.startswith("train") else x["reference"].values()
            for t in texts:
                m = re.search(r"(\d+) ([-+xX/]) (\d+) = (\d+)\. [A-Za-z ]+ (\d+)\.$", t)
                faults.unless(m and int(m[4]) == int(m[5]) == x["answer"] == {
                    "+": lambda a, b: a + b, "-": lambda a, b: a - b, "x": lambda a, b: a * b, "/": lambda a, b: a // b,
                }[m[2].lower()](int(m[1]), int(m[3])), f"{name}:{i}: the sum is wrong: {t!r}")
    faults.unless(len(files["train.jsonl"]) == N_TRAIN and len(files["id.jsonl"]) == N_EVAL, "arithmetic: wrong numbers of records")
    check_apart(faults, "arithmetic", files["train.jsonl"], files["id.jsonl"])
