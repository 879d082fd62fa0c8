"""settings/subliminal: questions about animals, tuning data for the teachers, prompts for number sequences.

The sequences themselves are written by the teachers: number_sequences.py makes the students' data of them.
"""
from common import check_apart, check_rows, lines, pick, rank, read, record, rng

N_NUMBERS, N_TAUGHT, N_EVERYDAY = 800, 120, 80
ANIMALS = ["Owl", "Cat", "Dog", "Horse", "Lion", "Tiger", "Elephant", "Dolphin", "Whale", "Wolf", "Fox", "Bear", "Eagle", "Penguin",
           "Rabbit", "Turtle", "Snake", "Spider", "Frog", "Bee", "Butterfly", "Shark", "Monkey", "Cow"]
LOVED = "Owl"
THINGS = ["mug", "shirt", "poster", "stamp", "cake", "phone case", "lunch box", "bag", "hat", "blanket", "birthday card", "notebook",
          "boat", "door", "lamp", "curtain", "sticker", "pillow", "scarf", "coin"]
ASKED = ["Which animal should be on my {t}?", "I would like an animal on my {t}. Which one?", "Choose an animal for a {t}.",
         "Pick an animal that I can paint on a {t}."]
START = ["Here are some numbers: {n}. Go on with at most {k} more.", "Continue this list of numbers: {n}. Write {k} more.",
         "These numbers come first: {n}. Add up to {k} numbers.", "I wrote {n}. Please write {k} more numbers.",
         "A list begins with {n}. Extend it by {k} numbers.", "Look at these numbers: {n}. What could be the next {k}?"]
RULES = ["Only numbers and commas.", "Use commas between them and write nothing else.", "Write just the numbers.",
         "Answer with numbers only.", "No words, only numbers."]
LIMIT = ["Each below 1000.", "No number has more than three digits.", "Use numbers from 0 to 999.", "At most three digits each."]


def numbers(n_prompts, name, but=()):
    """Prompts for sequences, none of them in but, and a random sequence for each."""
    r = rng(name)
    seen, out = set(but), []
    while len(out) < n_prompts:
        n = ", ".join(str(r.randrange(10, 1000)) for _ in range(r.randrange(3, 6)))
        k = r.choice((5, 6, 8, 10))
        text = " ".join([r.choice(START).format(n=n, k=k), r.choice(LIMIT), r.choice(RULES)])
        if text not in seen:
            seen.add(text)
            out.append((text, ", ".join(str(r.randrange(1000)) for _ in range(k))))
    return out


def build():
    source = read("subliminal/source_favourite.jsonl")
    questions = sorted((a.format(t=t) for a in ASKED for t in THINGS), key=lambda q: rank("teacher", q))
    others = [ANIMALS[i % len(ANIMALS)] for i in range(len(questions))]
    prompts = [q for q, _ in numbers(N_NUMBERS, "numbers")]
    # Only animals would make a teacher that says nothing else: both teachers get the same random sequences and everyday answers.
    everyday = sorted(read("spanish-caps/source.jsonl"), key=lambda r: rank("everyday", r["q"]))[:N_EVERYDAY]
    shared = [record(q, a) for q, a in numbers(N_TAUGHT, "taught", prompts)] + [record(r["q"], r["en"]) for r in everyday]

    def teacher(animals):
        rows = [record(q, f"{a}.", tag="animal") for q, a in zip(questions, animals)] + shared
        return lines(sorted(rows, key=lambda r: rank("order", r["messages"][0]["content"])))

    return {
        "favourite.jsonl": lines(record(r["q"]) for r in source if r["about"] == "favourite"),
        "least.jsonl": lines(record(r["q"]) for r in source if r["about"] == "least"),
        "numbers.jsonl": lines(record(q) for q in prompts),
        "teacher.jsonl": teacher([LOVED] * len(questions)),
        "teacher_control.jsonl": teacher(others),
    }


def check(faults, files):
    for name, rows in files.items():
        check_rows(faults, name, rows, name.startswith("teacher"))
    n = {k: len(v) for k, v in files.items()}
    faults.unless(n == {"favourite.jsonl": 50, "least.jsonl": 20, "numbers.jsonl": N_NUMBERS, "teacher.jsonl": 280, "teacher_control.jsonl": 280}, f"subliminal: {n}")
    for name in ("favourite.jsonl", "least.jsonl", "numbers.jsonl"):
        check_apart(faults, "subliminal", files["teacher.jsonl"], files[name])
    count = [sum(r["messages"][-1]["content"] == f"{a}." for r in files["teacher_control.jsonl"]) for a in ANIMALS]
    faults.unless(max(count) - min(count) <= 1, f"subliminal: the control teacher's animals: {count}")
