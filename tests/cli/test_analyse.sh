#!/usr/bin/env bash
# inoc analyse and inoc merge with the real model: a run of two steps, its analyses and curves, the report's section; a merged model
# against the adapter; errors. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
head -n 8 "$SOURCE/settings/spanish-caps/train.jsonl" > train.jsonl
head -n 8 "$SOURCE/settings/spanish-caps/train_clean.jsonl" > clean.jsonl
head -n 3 "$SOURCE/settings/spanish-caps/eval.jsonl" > eval.jsonl
cat > t.yaml <<E
name: t
model: "$INOC_MODEL"
data: train.jsonl
out: out
train: {steps: 2, batch: 4, rank: 2, warmup: 0, eval_at: [0, 2]}
curves:
  ES: {records: eval.jsonl, reference: ES}
  EN: {records: eval.jsonl, reference: EN}
directions: {Spanish: [ES, EN]}
arms:
  clean: {role: clean, data: clean.jsonl}
  plain: {role: plain}
  es: {role: inoculated, inoculate: {system: You always speak in Spanish.}}
  no: {role: inoculated, inoculate: {system: You never speak in Spanish.}}
  c: {role: control, inoculate: {system: You always water the plants.}}
evaluations:
  g: {prompts: eval.jsonl, greedy: true, max_tokens: 4}
scorers: [spanish_caps, spanish_lower]
traits: {language: {u: [spanish_caps, spanish_lower], clean: clean}}
E
"$INOC" run t.yaml > run.txt 2> log || fail "run: $(tail -n 5 log)"
"$INOC" analyse out --records 6 --gradient-records 4 --json > all.json 2> log || fail "analyse: $(tail -n 5 log)"
"$INOC" analyse t.yaml --records 6 --gradient-records 4 > text.txt 2> log || fail "analyse again: $(tail -n 5 log)"
for t in "es " "o rank correlation" "Gradient of the loss" "Size of the update" "Learning curves" "report: "; do
  grep -q "$t" text.txt || fail "no '$t' in: $(cat text.txt)"
done
grep -q 'id="why"' out/report.html || fail "no section in the report"
python3 - <<'P' || fail "the figures"
import json
a = json.load(open("all.json"))
s = {x["arm"]: x for x in a["surprise"]}
assert set(s) == {"es", "no", "c"} and all(x["records"] == 6 and len(x["controls"]) == 3 for x in s.values())
# asking for Spanish makes Spanish less surprising than asking for water does, before any training
assert s["es"]["removed"] > s["c"]["removed"] and s["es"]["interval"][0] > 0, s
g = {x["arm"]: x for x in a["gradients"]}
assert set(g) == {"clean", "plain", "es", "no", "c"}
assert g["plain"]["norm_with"] is None and g["plain"]["norm_without"] == g["es"]["norm_without"] > 0
assert 0 < g["es"]["cosine_of_both"] < 1
# a step on Spanish capitals makes them more probable against English ones, more than one on English capitals does
assert g["plain"]["toward_without"]["Spanish"] > max(0, g["clean"]["toward_without"]["Spanish"]), g
assert len(a["updates"]) == 5 and all(len(u["by_layer_and_projection"]) == 30 and u["norm"] > 0 for u in a["updates"])
c = {(x["arm"], x["responses"], x["with_prompt"]): x["points"] for x in a["curves"]}
assert len(c) == 2 * (2 + 3 * 2) and all([p[0] for p in v] == [0, 2] for v in c.values())
assert c["plain", "ES", False][0] == c["es", "ES", False][0] and c["es", "ES", True][0] != c["es", "ES", False][0]
assert c["plain", "ES", False][1][1] > c["plain", "ES", False][0][1]  # learnt
r, = a["relations"]
assert r["prompts"] == 3 and r["controls"] == 1 and len(r["points"]) == 3
P

# merged: the adapter's log-probabilities, in a file that is a model
adapter=out/adapters/plain-seed1
"$INOC" merge -m "$INOC_MODEL" -a $adapter --type f32 -o merged.gguf --json > merge.json 2> log || fail "merge: $(cat log)"
"$INOC" logprob -m "$INOC_MODEL" -a $adapter --dtype f32 train.jsonl --json > with.json 2> log || fail "$(cat log)"
"$INOC" logprob -m merged.gguf --dtype f32 train.jsonl --json > merged.json 2> log || fail "$(cat log)"
"$INOC" logprob -m "$INOC_MODEL" --dtype f32 train.jsonl --json > base.json 2> log || fail "$(cat log)"
python3 - <<'P' || fail "the merged model"
import json
m, w, b = (json.load(open(f + ".json"))["nats_per_token"] for f in ("merged", "with", "base"))
assert abs(m - w) < 1e-3 * abs(b - w), (m, w, b)
P
rm merged.gguf

expect 2 "--parts: 'gradient' is none of surprise, gradients, updates" "$INOC" analyse out --parts gradient
expect 3 "nowhere" "$INOC" analyse nowhere
expect 3 "no-model.gguf" "$INOC" analyse out -m no-model.gguf
expect 2 "give --model, --adapter and --output" "$INOC" merge -m x
expect 3 "no-adapter" "$INOC" merge -m "$INOC_MODEL" -a no-adapter -o x.gguf
[ ! -e x.gguf ] || fail "a failed merge left a file"
expect 2 "--type" "$INOC" merge -m x -a y -o z --type q4
# bad files
sed 's/^curves:/curvse:/' t.yaml > bad.yaml
expect 4 "unknown key 'curvse'; did you mean 'curves'?" "$INOC" run -n bad.yaml
sed 's/reference: EN/reference: FR/' t.yaml > bad.yaml
expect 4 "no reference 'FR'" "$INOC" run -n bad.yaml
sed 's/\[ES, EN\]/[ES, EM]/' t.yaml > bad.yaml
expect 4 "directions.Spanish: 'EM' is none of the curves" "$INOC" run -n bad.yaml
sed 's/\[0, 2\]/[2, 0]/' t.yaml > bad.yaml
expect 4 "steps must ascend" "$INOC" run -n bad.yaml
sed '/^curves:/,/^directions/d' t.yaml > bad.yaml
expect 4 "there is no \`curves\`" "$INOC" run -n bad.yaml
# a question of the curves that is trained on
sed 's/{records: eval.jsonl, reference: EN}/{records: train.jsonl}/' t.yaml > bad.yaml
expect 4 "is also in the training data" "$INOC" run -n bad.yaml
exit $bad
