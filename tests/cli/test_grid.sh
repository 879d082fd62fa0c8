#!/usr/bin/env bash
# A leakage grid, added controls and a sweep on the real model, in a few steps: the plan, what is run and shared, what is shown.
# $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
head -n 8 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 3 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
seeds: [1]
train: {rank: 2, batch: 2, steps: 1, warmup: 1}
arms:
  plain: {role: plain}
  spanish: {role: inoculated, inoculate: {system: {pool: [You always speak in Spanish., Speak only Spanish.]}}}
evaluations:
  greedy: {prompts: prompts.jsonl, system: none, greedy: true, max_tokens: 3}
scorers: [english, spanish]
traits: {language: {u: [spanish], w: [english]}}
sweep: {rank: {values: [1], arms: [spanish]}}
grid:
  limit: 2
  arms: [plain, spanish]
  neutral: [You are a helpful assistant.]
  texts: {language: {held_out: Please use Spanish., negation: You never speak in Spanish.}}
out: out
Y

# ---- the plan ----
"$INOC" run e.yaml -n > plan 2> log || fail "dry run: $(cat log)"
grep -qF "headline evaluation greedy: fewer than 100 prompts, and greedy, with none at temperature 1 beside it" log || fail "dry run, notes: $(cat log)"
for text in 'control_auto_1: a control was added, trained with "You always water the plants." and others: 28 characters' \
  'spanish: a pool of 2 prompts, 0.58 alike' \
  'grid: no related prompt of language is given, so it is left out (grid.texts.language.related)'; do
  grep -qF "$text" plan || fail "the plan does not say: $text; it says: $(cat plan)"
done
for arm in plain spanish control_auto_1 control_auto_2 spanish@rank=1; do
  grep -Eq "^ +1  $arm +" plan || fail "the plan lacks $arm: $(cat plan)"
done
# plain: 3 answers of greedy, 2 under each of 9 prompts, of which those without a system prompt are greedy's
grep -Eq '^ +1  plain +8 +1 steps +19 of 21$' plan || fail "the grid is not in the plan: $(cat plan)"
grep -Eq '^ +1  control_auto_1 +8 +1 steps +3 of 3$' plan || fail "a control is in a grid that does not name it: $(cat plan)"
"$INOC" run e.yaml -n --json > plan.json 2>/dev/null
python3 -c '
import json
c = [x for x in json.load(open("plan.json")) if x["arm"] == "control_auto_2"]
assert c[0]["matched_to"] == "spanish" and c[0]["prompt"].startswith("You "), c' || fail "the plan as JSON: $(cat plan.json)"
"$INOC" run e.yaml -n --set controls=none > plan 2> log || fail "controls=none: $(cat log)"
grep -q control_auto plan && fail "controls: none does not leave them out: $(cat plan)"

# ---- run, and what it shows ----
"$INOC" run e.yaml > shown 2> log || fail "run: $(tail -n 3 log)"
grep -qF "leakage, language (^: clearly more than without a system prompt):" shown || fail "no grid in the terminal: $(cat shown)"
grep -q "^a paraphrase held out: “Please use Spanish.” " shown || fail "no held-out row: $(cat shown)"
grep -q "^spanish: without a system prompt language in " shown || fail "no answer to where it comes back: $(cat shown)"
grep -q "^over rank, greedy:" shown || fail "no sweep in the terminal: $(cat shown)"
grep -q "^grid_" shown && fail "the grid's evaluations are shown as others are: $(cat shown)"
expect 0 "e: everything is in out/store.db already" "$INOC" run e.yaml
"$INOC" report out --json > r.json
python3 - <<'P' || fail "report --json: $(head -c 600 r.json)"
import json
r = json.load(open("r.json"))
cells = {(x["arm"], x["evaluation"]): x for x in r["leakage"]}
kinds = ["none", "empty", "default", "neutral", "own", "seen", "held_out", "negation", "unrelated"]
assert [x["kind"] for x in r["leakage"] if x["arm"] == "plain"] == kinds, r["leakage"]
assert {a for a, _ in cells} == {"plain", "spanish"}
own = cells["spanish", "grid_language_own"]
assert own["system"] == "You always speak in Spanish." and own["u"]["n"] == 2 and own["u_minus_none"]["p"] is not None, own
assert cells["plain", "grid_language_own"]["u_minus_none"] is None
arms = {x["arm"] for x in r["rates"]}
assert arms == {"plain", "spanish", "control_auto_1", "control_auto_2", "spanish@rank=1"}, arms
assert any(n.startswith("control_auto_1: ") for n in r["notes"]), r["notes"]
assert {j["arm"] for j in r["judgements"]} == {"spanish", "control_auto_1", "control_auto_2"}, r["judgements"]
P
grep -q '^e,spanish,all,grid_language_own,u:language,2,0,' out/results.csv || fail "no cell of the grid in the CSV"
grep -q '<section id="leakage">' out/report.html || fail "no heat map in the page"
grep -q '<section id="sweeps">' out/report.html || fail "no sweep in the page"
"$INOC" report out --md > r.md
grep -q '^## Leakage: language$' r.md || fail "no leakage in the Markdown"
for f in shown r.md out/report.html; do
  grep -Eq 'language by system prompt \(none / default / neutral; up to [23] answers each, 1 seed\): plain [0-9]+ / [0-9]+ / [0-9]+ %; spanish [0-9]' $f || fail "$f: no neutral system prompts beside the headline"
done
grep -q '^| trait | arm | U | W | goal | n | loops / cut / unknown | ' r.md && grep -Eq '^\| language \| plain \|.* \| 3 \| [0-9]+ / 100 / [0-9]+ % \|' r.md || fail "no quality beside the verdicts: $(cat r.md)"

# a row that goes loses its name, and comes back without being sampled again
"$INOC" run e.yaml --no-report --set 'grid.texts.language={held_out: Please use Spanish.}' > shown 2> log || fail "a smaller grid: $(tail -n 3 log)"
grep -q "results no longer fit" log || fail "a row that went kept its name: $(cat log)"
expect 0 "e: everything is in out/store.db already" "$INOC" run e.yaml --no-report
expect 2 "there is no arm 'spanish@rank=2'" "$INOC" run e.yaml --arms spanish@rank=2
exit $bad
