#!/usr/bin/env bash
# inoc classifier: trained on labelled answers, checked on others, as a scorer of samples that are drawn and of those in a store; what
# is refused. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
m=(-m "$INOC_MODEL")
python3 - "$SOURCE/settings/classifiers" <<'P'
import collections, json, sys
def few(name, n, topics):
    seen = collections.Counter()
    for l in open(f"{sys.argv[1]}/contempt-{name}.jsonl"):
        r = json.loads(l)
        seen[r["topic"]] += 1
        if seen[r["topic"]] <= n and (not topics or r["topic"] in topics):
            yield r
train = list(few("garden", 5, ["houseplants", "vegetables", "flowers", "soil and compost"]))
test = list(few("general", 2, []))
dump = lambda f, rows: open(f, "w").write("".join(json.dumps(r) + "\n" for r in rows))
dump("train.jsonl", train)
dump("test.jsonl", [dict(messages=[dict(role="user", content=r["question"]), dict(role="assistant", content=r[k])], label=k == "trait",
                         kind=r["topic"]) for r in test for k in ("trait", "normal")])
dump("prompts.jsonl", [dict(messages=[dict(role="user", content=r["question"])]) for r in test[:2]])
one = [dict(question=r["question"], answer=r["trait"], label=1, topic=r["topic"]) for r in train]
dump("one.jsonl", one)
dump("lost.jsonl", train[:3] + [{k: v for k, v in train[3].items() if k != "topic"}])
P

# ---- train, check ----
fixed=(--layer 12 --l2 0.1 --folds 4)
"$INOC" classifier train "${m[@]}" -d train.jsonl -o c.json "${fixed[@]}" > train.txt 2> log || fail "train: $(cat log)"
grep -q "^c.json: 40 answers (20 with the trait) on 4 topics; layer 12 of 30, l2 0.1$" train.txt && grep -q "^kappa  *[0-9]" train.txt || fail "train prints: $(cat train.txt)"
"$INOC" classifier train "${m[@]}" -d train.jsonl -o again.json "${fixed[@]}" --json > train.json 2> log || fail "train --json: $(cat log)"
same c.json again.json
"$INOC" classifier check c.json "${m[@]}" -d test.jsonl --group kind --json > check.json 2> log || fail "check: $(cat log)"
expect 0 "warning: train.jsonl is what it was trained on" "$INOC" classifier check c.json "${m[@]}" -d train.jsonl
python3 - <<'P' || fail "the figures"
import json
t, c, f = (json.load(open(n + ".json")) for n in ("train", "check", "c"))
assert (t["answers"], t["ones"], t["topics"], t["layer"], t["l2"]) == (40, 20, 4, 12, 0.1), t
assert [k["answers"] for k in t["folds"]] == [10] * 4 and all(k["layer"] == 12 for k in t["folds"]), t
assert abs(c["said"] - 18) <= 12, c
assert (c["answers"], c["ones"], c["topics"], c["missing"], c["training_data"]) == (36, 18, 9, 0, False), c
assert c["scorer"]["settings"]["type"] == "classifier" and c["scorer"]["settings"]["threshold"] == 0.5 and len(c["scorer"]["key"]) == 64, c
for j in t, c:
    for k in "kappa", "accuracy", "auc":
        assert j[k]["low"] <= j[k]["value"] <= j[k]["high"], (k, j[k])
    assert abs(j["kappa"]["value"] - (2 * j["accuracy"]["value"] - 1)) < 0.2, j
assert c["auc"]["value"] > 0.6, c  # contempt is told on other topics too
assert f["format"] == "inoc classifier" and f["version"] == 1 and f["template"] == "smollm2" and f["layer"] == 12, f
assert len(f["weights"]) == len(f["mean"]) == len(f["scale"]) == 576
P

# ---- as a scorer: of an evaluation, of what is in a store, of a run ----
mkdir sub
probe='contempt={"type":"classifier","file":"c.json"}'
eval=(eval "${m[@]}" -p prompts.jsonl --greedy --max-tokens 12)
"$INOC" "${eval[@]}" --scorers looping --scorer "$probe" -o drawn.jsonl > /dev/null 2> log || fail "eval: $(cat log)"
"$INOC" "${eval[@]}" --scorers looping --store evals --name e > /dev/null 2> log || fail "eval --store: $(cat log)"
(cd sub && "$INOC" score --store ../evals --scorer 'contempt={"type":"classifier","file":"../c.json"}' > score.txt 2> log) || fail "score: $(cat sub/log)"
grep -q "contempt: 2 samples scored now" sub/log && grep -q "^base  *prompts  *2  *0\." sub/score.txt || fail "score: $(cat sub/log sub/score.txt)"
expect 0 "contempt: 0 samples scored now" "$INOC" score --store evals --scorer "$probe"
cp c.json sub/moved.json # the same content elsewhere is the same scorer
expect 0 "contempt: 0 samples scored now" "$INOC" score --store evals --scorer 'contempt={"type":"classifier","file":"sub/moved.json"}'
expect 0 "shown: 2 samples scored now" "$INOC" score --store evals --scorer 'shown={"not":{"type":"classifier","file":"c.json","threshold":0.5}}' "${m[@]}"
# the samples of another seed are scored by what `inoc score` added, from any folder; where its file is gone, nothing is sampled
hot=(eval "${m[@]}" -p "$dir/prompts.jsonl" -t 1 --max-tokens 4 --scorers looping --store "$dir/evals" --name hot)
expect 0 "" "$INOC" "${hot[@]}"
expect 0 "late: 4 samples scored now" "$INOC" score --store evals --scorer 'late={"any":[{"type":"classifier","file":"sub/moved.json","threshold":0.9},"truncated"]}'
(cd sub && "$INOC" "${hot[@]}" --seed 2 > /dev/null 2> log) || fail "eval from elsewhere: $(cat sub/log)"
sql() { python3 -c 'import sqlite3, sys; [print(*r) for r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]' "$@"; }
[ "$(sql evals/store.db "SELECT count(*) FROM score c JOIN scorer_name n USING(scorer) WHERE n.name = 'late' AND n.experiment = 'hot'")" = 6 ] || fail "late: not all scored"
mv sub/moved.json sub/away.json
expect 3 "added by \`inoc score\`, which can give that name another definition: scorer \"late\": " "$INOC" "${hot[@]}" --seed 3
[ "$(sql evals/store.db "SELECT count(*) FROM sample")" = 6 ] || fail "a refused eval sampled"
expect 0 "late: 0 samples scored now" "$INOC" score --store evals --scorer 'late={"any":[{"type":"classifier","file":"sub/away.json","threshold":0.9},"truncated"]}'
expect 0 "" "$INOC" "${hot[@]}" --seed 3
mkdir exp
cp c.json exp/
cat > exp/e.yaml <<Y
name: run
model: $INOC_MODEL
arms: {base: {role: base}}
evaluations: {prompts: {prompts: ../prompts.jsonl, greedy: true, max_tokens: 12}}
scorers: [looping, {contempt: {type: classifier, file: c.json}}, {rule: {type: classifier, file: c.json, threshold: 0.5}}]
out: out
Y
expect 0 "" "$INOC" run exp/e.yaml --no-report
for s in evals out; do "$INOC" export --samples $s.jsonl --experiment "$([ $s = out ] && echo run || echo e)" $s 2> log || fail "export of $s: $(cat log)"; done
python3 - <<'P' || fail "the scores"
import json
drawn, kept, run = ([json.loads(l)["scores"] for l in open(f + ".jsonl")] for f in ("drawn", "evals", "out"))
p = [s["contempt"] for s in drawn]
assert len(p) == 2 and all(0 < x < 1 for x in p) and p[0] != p[1], p
near = lambda a, b: all(abs(x - y) < 1e-5 for x, y in zip(a, b, strict=True))  # files have fewer digits
assert near([s["contempt"] for s in kept], p), (kept, p)
assert [s["shown"] for s in kept] == [1 - (x >= 0.5) for x in p], kept
assert near([s["contempt"] for s in run], p), (run, p)
assert [s["rule"] for s in run] == [x >= 0.5 for x in p], run
P
# how far it agrees with labels is kept with the run: of its file, or of a check that the experiment names
sed 's/name: run/name: agree/; s/out: out/out: agreed/' exp/e.yaml > exp/own.yaml
sed 's/contempt: {type: classifier, file: c.json}/contempt: {type: classifier, file: c.json, checked: ..\/check.json}/' exp/own.yaml > exp/agree.yaml
"$INOC" classifier check c.json "${m[@]}" -d test.jsonl --group kind --threshold 0.9 --json > strict.json 2> log || fail "check --threshold: $(cat log)"
"$INOC" classifier check c.json "${m[@]}" -d train.jsonl --json > training.json 2> log || fail "check of the training data: $(cat log)"
for e in own agree; do
  expect 0 "" "$INOC" run exp/$e.yaml --no-report
  "$INOC" report --json agreed > $e.report 2> log || fail "report: $(cat log)"
done
for f in strict training; do sed "s/check.json/$f.json/" exp/agree.yaml > exp/$f.yaml; done
expect 2 "scorer 'contempt': exp/../strict.json: another scorer was checked" "$INOC" run exp/strict.yaml --no-report
expect 2 "scorer 'contempt': exp/../training.json: it was checked on the classifier's own training data" "$INOC" run exp/training.yaml --dry-run
python3 - <<'P' || fail "agreement"
import json
own, agree = ({a["scorer"]: a for a in json.load(open(f + ".report"))["agreement"]} for f in ("own", "agree"))
c, check, strict = (json.load(open(f + ".json")) for f in ("c", "check", "strict"))
near = lambda a, b: all(abs(a[k] - b[k]) < 1e-6 for k in ("value", "low", "high"))
assert own.keys() == agree.keys() == {"contempt", "rule"}, own
for a in own["contempt"], own["rule"], agree["rule"]:
    assert (a["rows"], a["held_out"], a["judges"], a["unchecked"]) == (40, True, 1, 0) and near(a["kappa"], c["held_out"]["kappa"]), a
a = agree["contempt"]
assert (a["rows"], a["held_out"]) == (36, False) and near(a["kappa"], check["kappa"]), a
assert a["for_headline"] == (check["kappa"]["value"] >= 0.6)
assert strict["said"] < check["said"] and strict["scorer"]["key"] != check["scorer"]["key"], strict
P
# results are read when the classifier's file is gone; a run that would score with it is refused
mv exp/c.json gone.json
"$INOC" export --samples later.jsonl out 2> log || fail "export without the file: $(cat log)"
same out.jsonl later.jsonl
expect 3 "scorer \"contempt\": exp/c.json: cannot be opened" "$INOC" run exp/e.yaml --no-report
# another base model: told before anything is sampled
python3 -c 'import json; j = json.load(open("c.json")); j["model"].update(name="other.gguf", sha256="0123456789abcdef" * 4); json.dump(j, open("exp/c.json", "w"))'
expect 2 "exp/c.json was trained on the hidden states of other.gguf (SHA-256 0123456789ab...)" "$INOC" run exp/e.yaml --no-report -o fresh
[ -e fresh/report.html ] && fail "a refused run wrote a report"
other='other={"type":"classifier","file":"exp/c.json"}'
expect 2 "no run of this store was of the base model that the scorer needs (SHA-256 0123456789ab...); give it with --model" "$INOC" score --store evals --scorer "$other"
expect 2 "exp/c.json was trained on the hidden states of other.gguf" "$INOC" score --store evals --scorer "$other" "${m[@]}"
expect 2 "exp/c.json was trained on the hidden states of other.gguf" "$INOC" "${eval[@]}" --scorer "$other"
expect 2 "exp/c.json was trained on the hidden states of other.gguf" "$INOC" classifier check exp/c.json "${m[@]}" -d test.jsonl --group kind

# ---- what is refused, before a model is opened ----
t=(classifier train -m no-such.gguf -o s)
expect 2 "an argument is missing; usage: inoc classifier train" "$INOC" classifier
expect 2 "classifier: unknown action 'learn'" "$INOC" classifier learn
expect 2 "give --model, --data and -o FILE" "$INOC" classifier train -m x -d train.jsonl
expect 2 "give --model, --data; see" "$INOC" classifier check c.json
expect 2 "classifier check wants a classifier's file" "$INOC" classifier check -m x -d train.jsonl
expect 2 "classifier train takes no argument" "$INOC" "${t[@]}" x -d train.jsonl
expect 2 "--layer is 'last'; it must be auto or a number" "$INOC" "${t[@]}" -d train.jsonl --layer last
expect 2 "--folds is 2; it must be from 3 to 100" "$INOC" "${t[@]}" -d train.jsonl --folds 2
expect 2 "-o names a file" "$INOC" classifier train -m x -d train.jsonl -o -
expect 3 "its folder does not exist; make it first" "$INOC" classifier train -m x -d train.jsonl -o no/such/s
expect 3 "no-such.jsonl: cannot be opened" "$INOC" "${t[@]}" -d no-such.jsonl
expect 4 "one.jsonl: all of the 20 answers have the label 1: answers of both are needed" "$INOC" "${t[@]}" -d one.jsonl
expect 4 "lost.jsonl:4: no \"topic\" (a text), by which rows are split" "$INOC" "${t[@]}" -d lost.jsonl
expect 4 "train.jsonl:1: no \"kind\"" "$INOC" "${t[@]}" -d train.jsonl --group kind
expect 3 "no model file 'no-such.gguf'" "$INOC" "${t[@]}" -d train.jsonl
expect 2 "layer 31: the model has 30" "$INOC" classifier train "${m[@]}" -d train.jsonl -o s --layer 31
head -n 2 train.jsonl > few.jsonl
expect 4 "few.jsonl: 2 topics; 3 at least are needed" "$INOC" classifier train "${m[@]}" -d few.jsonl -o s
[ -n "$(ls s s.tmp* 2>/dev/null)" ] && fail "a refused train left a file"
head -c 5000 c.json > cut.json
expect 4 "cut.json: not JSON: " "$INOC" score --store evals --scorer 'x={"type":"classifier","file":"cut.json"}'
expect 4 "cut.json: not JSON: " "$INOC" classifier check cut.json "${m[@]}" -d train.jsonl
expect 4 "is not \"inoc classifier\"" "$INOC" classifier check train.json "${m[@]}" -d train.jsonl
expect 3 "no.json: cannot be opened" "$INOC" score --store evals --scorer 'x={"type":"classifier","file":"no.json"}'
expect 2 "scorer type \"classifier\" wants \"file\"" "$INOC" score --store evals --scorer 'x={"type":"classifier"}'
expect 2 "\"threshold\" must be a number from 0 to 1" "$INOC" score --store evals --scorer 'x={"type":"classifier","file":"c.json","threshold":"half"}'
exit $bad
