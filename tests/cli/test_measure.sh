#!/usr/bin/env bash
# Evaluations that measure log-probabilities, on the real model: inoc run once and twice, export, score, report; inoc eval --measure;
# against inoc logprob; what is refused. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 4 "$SOURCE/settings/spanish-caps/eval.jsonl" > parallel.jsonl # "reference" holds en, EN, es, ES
python3 - <<'P'
import json
q = lambda text, **k: json.dumps({"messages": [{"role": "user", "content": text}], **k}) + "\n"
open("mc.jsonl", "w").writelines([
    q("Which city is the capital of France?", choices=["London", "Paris", "Rome"], answer=1),
    q("What colour is grass?", choices=["Green", "Blue", "Red", "Black"], answer="Green"),
    q("How many legs does an ant have?", choices=["Five", "Six"], answer="B")])
open("animal.jsonl", "w").write(q("Name an animal, in one word."))
rows = [json.loads(l) for l in open("parallel.jsonl")]
with open("spanish.jsonl", "w") as f:  # the same, as inoc logprob takes it
    for r in rows:
        f.write(json.dumps({"messages": r["messages"] + [{"role": "assistant", "content": r["reference"]["es"]}]}) + "\n")
P
cat > m.yaml <<Y
name: m
model: $INOC_MODEL
data: data.jsonl
train: {rank: 2, batch: 4, steps: 3, lr: 0.01, warmup: 0}
arms: {base: {role: base}, plain: {role: plain}, shout: {role: control, inoculate: {system: Shout.}}}
evaluations:
  languages: {prompts: parallel.jsonl, measure: contrast, texts: [en, EN, es, ES]}
  facts: {prompts: mc.jsonl, measure: choice}
  letters: {prompts: mc.jsonl, measure: choice, by: letter}
  animal: {prompts: animal.jsonl, measure: candidates, candidates: {dog: [Dog, Dog.], owl: [Owl, Owl.]}}
  said: {prompts: mc.jsonl, greedy: true, max_tokens: 3}
scorers:
  - english
  - choice
  - language: {type: contrast, factors: &f {language: [[es, ES], [en, EN]], case: [[ES, EN], [es, en]]}, effect: language}
  - case: {type: contrast, factors: *f, effect: case}
  - taught: {type: contrast, of: ES, against: en, change: base}
  - es: {type: logprob, of: es}
  - owl: {type: candidates, is: owl}
traits: {t: {u: taught}}
out: out
Y
sql() { python3 -c 'import sqlite3, sys; [print(*r) for r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]' "$@"; }

# ---- once, twice, and with another scorer: measured once ----
"$INOC" run m.yaml > first 2> log || fail "run: $(cat log)"
grep -q "42 samples (of 42" log || fail "run: $(cat log)"
grep -q "measuring languages" log && grep -q "sampling said" log || fail "run says: $(cat log)"
before=$(sql out/store.db "SELECT count(*), max(id), sum(length(text)) FROM sample")
"$INOC" run m.yaml > second 2> log || fail "run again: $(cat log)"
grep -q "everything is in out/store.db already" log || fail "run again: $(cat log)"
same first second
"$INOC" run m.yaml --set 'evaluations.letters.label=By letter' --no-report > third 2> log || fail "run with a label: $(cat log)"
expect 0 "12 samples scored now" "$INOC" score --store out --scorer 'en={"type":"logprob","of":"en","per":"byte"}'
[ "$before" = "$(sql out/store.db "SELECT count(*), max(id), sum(length(text)) FROM sample")" ] || fail "measured again"
# another text is another answer; and a second seed measures the arms that are trained, not base
expect 0 "0 training steps and 3 samples to do" "$INOC" run m.yaml --seeds 1 -n --set 'evaluations.animal.candidates=[owl, Cat]'
expect 0 "28 samples (of 42" "$INOC" run m.yaml --seeds 2 --no-report

# ---- what is told ----
"$INOC" export --samples x.jsonl out 2> log || fail "export: $(cat log)"
"$INOC" logprob -m "$INOC_MODEL" spanish.jsonl -o es.jsonl > /dev/null 2>&1 || fail "logprob"
"$INOC" report --csv out > x.csv 2> log || fail "report --csv: $(cat log)"
"$INOC" report --json out > x.json 2> log || fail "report --json: $(cat log)"
python3 - <<'P' || fail "the figures"
import csv, json, math
v = [x for x in (json.loads(l) for l in open("x.jsonl")) if x["seed"] == 1]
at = lambda arm, ev: [x for x in v if x["arm"] == arm and x["evaluation"] == ev]
per = lambda t: (t["sum"] + t["end"]) / t["bytes"]
assert len(v) == 42, len(v)
for x in v:
    if x["evaluation"] == "said":
        assert x["finish"] != "measured" and "text" in x and x["scores"]["english"] is not None and x["scores"]["choice"] is None
        continue
    m = x["measured"]
    assert x["finish"] == "measured" and "text" not in x and x["scores"]["english"] is None
    assert x["n_tokens"] == len(x["logprobs"]) == sum(t["tokens"] + 1 for t in m["texts"])
    total = sum(t["sum"] + t["end"] for t in m["texts"])
    assert math.isclose(sum(x["logprobs"]), total, rel_tol=1e-5), (sum(x["logprobs"]), total)
    assert all(t["bytes"] == len(t["text"].encode()) for t in m["texts"])
es = [json.loads(l) for l in open("es.jsonl")]
for x, y in zip(at("base", "languages"), es):  # the loss that inoc logprob reports
    assert math.isclose(x["scores"]["es"], y["logprob"] / y["n_tokens"], rel_tol=1e-5), (x["scores"], y)
base = {x["prompt"]: x for x in at("base", "languages")}
for arm in "base", "plain", "shout":
    for x in at(arm, "languages"):
        t = {t["name"]: per(t) for t in x["measured"]["texts"]}
        b = {t["name"]: per(t) for t in base[x["prompt"]]["measured"]["texts"]}
        s = x["scores"]
        assert math.isclose(s["language"], (t["es"] + t["ES"] - t["en"] - t["EN"]) / 2, rel_tol=1e-5)
        assert math.isclose(s["case"], (t["ES"] + t["EN"] - t["es"] - t["en"]) / 2, rel_tol=1e-5)
        assert math.isclose(s["taught"], t["ES"] - t["en"] - (b["ES"] - b["en"]), rel_tol=1e-5, abs_tol=1e-9)
        assert arm == "base" or s["taught"] > 0  # three steps of Spanish capitals
        assert math.isclose(s["en"], t["en"], rel_tol=1e-5)
    for x in at(arm, "facts") + at(arm, "letters"):
        t = [t["sum"] / t["bytes"] for t in x["measured"]["texts"]]
        right = t.pop(x["measured"]["answer"])
        assert x["scores"]["choice"] == (right > max(t)), x
    for x in at(arm, "animal"):
        p = {}
        for t in x["measured"]["texts"]: p[t["name"]] = p.get(t["name"], 0) + math.exp(t["sum"] + t["end"])
        assert math.isclose(x["scores"]["owl"], p["owl"] / (p["owl"] + p["dog"]), rel_tol=1e-5)
assert [x["scores"]["choice"] for x in at("base", "facts")][:2] == [1, 1]  # it knows these
assert "\n\nA. London\nB. Paris\nC. Rome\n\nAnswer with the letter" in at("base", "letters")[0]["rendered"]
assert "London" not in at("base", "facts")[0]["rendered"]
rows = list(csv.DictReader(open("x.csv")))
pairs = {(r["evaluation"], r["scorer"]) for r in rows}
assert pairs == {("languages", k) for k in ("language", "case", "taught", "es", "en")} | {
    ("facts", "choice"), ("letters", "choice"), ("animal", "owl")} | {("said", k) for k in ("english", "truncated", "looping", "unknown")}, pairs
assert all(r["missing"] == "0" for r in rows)
rates = json.load(open("x.json"))["rates"]
assert {r["scorer"] for r in rates if r.get("real")} == {"language", "case", "taught", "es", "en"}, rates
P
head -n 9 first | grep -q "%" && fail "a log-probability in per cent: $(head -n 9 first)"
"$INOC" report --html x.html out 2> log || fail "report --html: $(cat log)"
grep -q "measure contrast" x.html && grep -q "Log-probabilities of given answers" x.html || fail "report --html"

# ---- one model ----
"$INOC" eval -m "$INOC_MODEL" -p mc.jsonl --measure choice --json -o mc.out > mc.json 2> log || fail "eval --measure choice: $(cat log)"
"$INOC" eval -m "$INOC_MODEL" -p animal.jsonl --json \
  --measure '{"measure": "candidates", "candidates": {"dog": ["Dog", "Dog."], "owl": ["Owl", "Owl."]}}' > animal.json 2> log || fail "eval --measure candidates: $(cat log)"
"$INOC" eval -m "$INOC_MODEL" -a out/adapters/plain-seed1 -p parallel.jsonl --measure '{"measure": "logprob", "texts": "es"}' \
  --scorers '' --scorer 'es={"type":"logprob","of":"es"}' --store evals --json > es.json 2> log || fail "eval --store: $(cat log)"
expect 0 "everything is in evals/store.db already" "$INOC" eval -m "$INOC_MODEL" -a out/adapters/plain-seed1 -p parallel.jsonl \
  --measure '{"measure": "logprob", "texts": "es"}' --scorers '' --scorer 'es={"type":"logprob","of":"es"}' --store evals
python3 - <<'P' || fail "inoc eval --measure"
import json, math
v = [x for x in (json.loads(l) for l in open("x.jsonl")) if x["seed"] == 1]
mean = lambda arm, ev, k: sum(x["scores"][k] for x in v if x["arm"] == arm and x["evaluation"] == ev) / sum(x["arm"] == arm and x["evaluation"] == ev for x in v)
mc, animal, es = (json.load(open(f)) for f in ("mc.json", "animal.json", "es.json"))
assert [r["scorer"] for r in mc] == ["choice"] and math.isclose(mc[0]["value"], mean("base", "facts", "choice"), rel_tol=1e-5), mc
assert [r["scorer"] for r in animal] == ["dog", "owl"] and math.isclose(animal[0]["value"] + animal[1]["value"], 1, rel_tol=1e-5), animal
assert math.isclose(animal[1]["value"], mean("base", "animal", "owl"), rel_tol=1e-4), animal
assert math.isclose(es[0]["value"], mean("plain", "languages", "es"), rel_tol=1e-4), es
out = [json.loads(l) for l in open("mc.out")]
assert out[0]["measured"]["answer"] == 1 and out[0]["finish"] == "measured"
P

# ---- what is refused ----
eval=("$INOC" eval -m "$INOC_MODEL")
expect 4 "measure must be one of logprob, contrast, choice, candidates, not 'surprise'" "${eval[@]}" -p mc.jsonl --measure surprise --scorers choice
expect 2 "--measure: not JSON: " "${eval[@]}" -p mc.jsonl --measure '{"measure"'
expect 2 "--measure: give the kind" "${eval[@]}" -p mc.jsonl --measure '{"texts": "es"}'
expect 2 "--measure samples nothing: the sampling options and -n do not apply" "${eval[@]}" -p mc.jsonl --measure choice --greedy
expect 2 "--measure samples nothing" "${eval[@]}" -p mc.jsonl --measure choice -n 3
expect 2 "candidate 'a dog' cannot be a scorer's name" "${eval[@]}" -p animal.jsonl --measure '{"measure": "candidates", "candidates": ["a dog"]}'
expect 4 "mc.jsonl:1: the record has no text \"trait\"" "${eval[@]}" -p mc.jsonl --measure contrast
expect 4 "animal.jsonl:1: the record has no \"choices\"" "${eval[@]}" -p animal.jsonl --measure choice
expect 4 "scorer 'x' is the change against base, and there is no arm of role base" "${eval[@]}" -a out/adapters/plain-seed1 -p mc.jsonl \
  --measure choice --scorer 'x={"type":"choice","change":"base"}'
expect 4 "scorer 'english' says nothing of any evaluation" "${eval[@]}" -p mc.jsonl --measure choice --scorers english
expect 0 "scorer 'nope' says nothing of any evaluation" "$INOC" score --store out --scorer 'nope={"type":"logprob","of":"de"}'
exit $bad
