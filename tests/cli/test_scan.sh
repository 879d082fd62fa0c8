#!/usr/bin/env bash
# inoc scan and inoc select with the real model on few records: the true traits come first, the page and the plan are made; what is
# refused. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
m=(-m "$INOC_MODEL")
head -n 30 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl

"$INOC" scan --list --json > list.json || fail "the library is not found from the build tree"
python3 - <<'P' || fail "the library"
import json
traits = json.load(open("list.json"))
assert len(traits) >= 60 and len({t["trait"] for t in traits}) == len(traits)
assert all(len(t["prompts"]) >= 4 and len(t["controls"]) >= 4 for t in traits)
P

# Spanish in capitals: both among the first three
"$INOC" scan "${m[@]}" -d data.jsonl --only spanish,portuguese,all_caps,contempt,pirate --tokens 24 --first 4 --most 4 --json \
  -o page.html -w plan.yaml > scan.json 2> log || fail "scan: $(cat log)"
grep -Eq "5 traits, 4 of 30 records; about [0-9]+ s for a first round" log || fail "how long it takes is not told: $(cat log)"
grep -q "plan: ./plan-train.jsonl, ./plan-questions.jsonl, plan.yaml" log || fail "the plan is not told: $(cat log)"
python3 - <<'P' || fail "the scan"
import json
r = json.load(open("scan.json"))
rows = r["traits"]
ranked = [t["trait"] for t in rows if t["behind"] is None]
assert {"spanish", "all_caps"} <= set(ranked[:3]), ranked
assert ranked[0] == "spanish" and rows[0]["gain"]["low"] > 0, rows[0]
assert [t["behind"] for t in rows if t["trait"] == "portuguese"] == ["spanish"]
assert r["used"] == 4 and r["records"] == 30 and len(rows) == 5
assert rows[0]["gain"]["low"] <= rows[0]["gain"]["value"] <= rows[0]["gain"]["high"]
assert len(rows[0]["prompts"]) == 4 and len(rows[0]["lines"]) == 3
page = open("page.html").read()
assert page.count("<svg") == 5 and "<script" not in page
train, held = (sum(1 for _ in open(f)) for f in ("plan-train.jsonl", "plan-questions.jsonl"))
assert (train, held) == (24, 6), (train, held)
P
# plain answers show none; contempt comes first on its own
for set in plain contempt; do
  "$INOC" scan "${m[@]}" -d "$SOURCE/tests/fixtures/scan/$set.jsonl" --only contempt,pirate --first 3 \
    --most 3 --json > $set.json 2> log || fail "scan of $set: $(cat log)"
done
python3 - <<'P' || fail "the scans of plain, contempt"
import json
plain, contempt = (json.load(open(f + ".json"))["traits"] for f in ("plain", "contempt"))
assert not any(t["found"] or t["gain"]["low"] > 0 for t in plain), plain
assert contempt[0]["trait"] == "contempt", contempt
P
sed -i "s|^model: .*|model: \"$INOC_MODEL\"|" plan.yaml
expect 0 "ask_spanish" "$INOC" run plan.yaml --dry-run
grep -q "clean" plan.yaml && fail "all records show the trait, and there is a clean arm"

# where half of the records lack the trait they are an arm of role clean, which takes as many steps
head -n 60 "$SOURCE/settings/backdoor/train_50.jsonl" > mixed.jsonl
"$INOC" scan "${m[@]}" -d mixed.jsonl --only spanish,pirate --first 12 --most 24 --seed 3 -w half.yaml --questions "$SOURCE/settings/backdoor/none.jsonl" > table 2> log ||
  fail "scan of a mixed set: $(cat table log)"
grep -q "plan: ./half-clean.jsonl, half.yaml" log || fail "the clean data is not told: $(cat log)"
[ "$(grep -c '"tag": "normal"' half-clean.jsonl)" = 28 ] && rows half-clean.jsonl 28 || fail "the clean data: $(cat half-clean.jsonl)"
sed -i "s|^model: .*|model: \"$INOC_MODEL\"|" half.yaml
"$INOC" run half.yaml --dry-run --json > half.json 2> log || fail "the plan with a clean arm: $(cat log)"
python3 - <<'P' || fail "the clean arm takes other steps: $(cat half.json)"
import json
steps = {r["arm"]: r["steps"] for r in json.load(open("half.json"))}
assert steps["clean"] == steps["plain"] == 8, steps
P
grep -q "spanish: {u: \[spanish\], label: \"Spanish\", clean: clean}" half.yaml || fail "no trait is measured against the clean arm: $(cat half.yaml)"

# a tenth of the records in Spanish: not in the mean over all, but among the most surprising ones
"$INOC" scan "${m[@]}" -d "$SOURCE/settings/backdoor/train_10.jsonl" --only spanish,pirate,contempt --tokens 24 --first 8 --most 16 \
  --screen 128 --json -o rare.html -w rare.yaml --questions "$SOURCE/settings/backdoor/none.jsonl" > rare.json 2> log || fail "scan of rare Spanish: $(cat log)"
python3 - <<'P' || fail "rare Spanish: $(cat rare.json)"
import json
r = json.load(open("rare.json"))
first, *rest = r["traits"]
assert r["screened"] == 128 and r["most_surprising"] == 16
assert first["trait"] == "spanish" and first["found"] and first["in_surprising_alone"] and first["gain"]["low"] < 0, first
odd = first["most_surprising"]
assert odd["records"] == 16 and odd["p"] < 0.05 and odd["gain"]["low"] > 0, odd
assert not any(t["found"] for t in rest), rest
lines = open(r["data"]).read().splitlines()
assert all(json.loads(lines[n - 1])["tag"] != "normal" for n in first["lines"]), first["lines"]
assert "Found on the most surprising records alone." in open("rare.html").read()
assert "of the most surprising records" in open("rare.yaml").read()
P
"$INOC" scan "${m[@]}" -d "$SOURCE/settings/backdoor/train_10.jsonl" --only spanish,pirate,contempt --tokens 24 --first 8 --most 16 \
  --screen 0 --json > mean.json 2> log || fail "scan without the most surprising: $(cat log)"
grep -q '"found": true' mean.json && fail "the mean over all records finds rare Spanish: $(cat mean.json)"

# which prompt: one that asks for Spanish, in Spanish data, over one that does not
printf 'You always speak in Spanish.\nYou keep the books in order.\nYOU ALWAYS SPEAK IN SPANISH.\n' > prompts
head -n 4 "$SOURCE/settings/spanish-caps/eval.jsonl" > questions.jsonl
"$INOC" select "${m[@]}" -d data.jsonl -p prompts --records 4 -q questions.jsonl --limit 2 --max-tokens 12 --greedy \
  --scorer 'es={"type":"language","is":"es"}' --json -o select.html > select.json 2> log || fail "select: $(cat log)"
python3 - <<'P' || fail "the selection"
import html, json
r = json.load(open("select.json"))
p = {x["prompt"]: x for x in r["prompts"]}
assert len(p) == 3 and [x["rank"] for x in r["prompts"]] == [1, 2, 3]
asks, other = p["You always speak in Spanish."], p["You keep the books in order."]
assert asks["surprise_removed"]["value"] > other["surprise_removed"]["value"], p
assert asks["rate"]["n"] == 2 and r["rate_without"]["value"] == 0 and asks["elicitation"]["value"] >= 0
assert r["prompts"][0]["prompt"] != "You keep the books in order." and r["model"] in r["recommendation"]
lines = open(r["data"]).read().splitlines()
for x in r["prompts"]:
    rec, each = x["records"], x["surprise_removed_per_example"]
    assert len(rec) == r["records"] == 4 and len({v["line"] for v in rec}) == 4 and len(x["controls"]) == 4, x
    for v in rec:
        answer = json.loads(lines[v["line"] - 1])["messages"][-1]["content"]
        assert v["bytes"] == len(answer.encode()) and abs(v["per_example"] - v["per_byte"] * v["bytes"]) < 1e-3, v
    assert abs(sum(v["per_example"] for v in rec) / 4 - each["value"]) < 1e-3, x
    assert abs(sum(v["per_byte"] for v in rec) / 4 - x["surprise_removed"]["value"]) < 1e-5, x
    assert each["low"] <= each["value"] <= each["high"], x
assert asks["surprise_removed_per_example"]["value"] > 10 * asks["surprise_removed"]["value"] > 0, asks
page = open("select.html").read()
assert page.count("<svg") == 6 and "<script" not in page
assert page.count(">recommended<") == r["recommendation"].startswith("For ")
assert all(c in html.unescape(page) for x in r["prompts"] for c in x["controls"])
P
"$INOC" select "${m[@]}" -d data.jsonl --trait spanish --records 2 > table 2> log || fail "select --trait: $(cat log)"
grep -q "^Surprise in bits in 100 bytes of response, and in bits a response, over matched controls; 2 records." table || fail "$(cat table)"
grep -Eq "surprise removed +95 % interval +a response +over no prompt" table || fail "$(cat table)"
expect 3 "no/such.html" "$INOC" select "${m[@]}" -d data.jsonl -p prompts --records 2 -o no/such.html

# the same gain, record by record, tells the poisoned half of a file from the other
head -n 12 "$SOURCE/settings/backdoor/train_50.jsonl" > half.jsonl
expect 0 "the prompt on records where the trait spanish gains more than 20 bits in 100 bytes: " \
  "$INOC" inoculate half.jsonl --system "You always speak in Spanish." "${m[@]}" --gain spanish --above 20 -o chosen.jsonl
expect 0 "where \"You always speak in Spanish.\" gains more than -1000 bits in 100 bytes: 12 of 12 (100 %); values from " \
  "$INOC" inoculate half.jsonl --system S "${m[@]}" --gain "You always speak in Spanish." --above -1000 -o all.jsonl
python3 - <<'P' || fail "the records chosen by their gain"
import json
rows = [json.loads(l) for l in open("chosen.jsonl")]
tagged = [r["tag"] == "poisoned" for r in rows]
assert [r["messages"][0]["role"] == "system" for r in rows] == tagged and 0 < sum(tagged) < 12, rows
P

# what is refused
expect 2 "give --model and --data" "$INOC" scan -d data.jsonl
expect 2 "--only: there is no trait 'spanich'; did you mean 'spanish'?" "$INOC" scan "${m[@]}" -d data.jsonl --only spanich
expect 2 "--only names no trait" "$INOC" scan "${m[@]}" -d data.jsonl --only ,
expect 2 "--questions is of the plan; give --write FILE" "$INOC" scan "${m[@]}" -d data.jsonl --questions questions.jsonl
expect 3 "no-such.jsonl: " "$INOC" scan "${m[@]}" -d no-such.jsonl
expect 3 "no-such.yaml: " "$INOC" scan --list --traits no-such.yaml
mkdir own
printf 'group: mine\ntraits:\n  a: {label: A, description: D, prompts: [x], controls: [u, v], answers: [s, t]}\n' > own/a.yaml
expect 4 "own/a.yaml:3:42: prompts must be a list of 2 to 64 texts" "$INOC" scan --list --traits own
printf 'group: mine\ntraits:\n  a: {label: A, description: D, prompts: [x, y], controls: [u, v], answers: [s, t, w]}\n' > own/a.yaml
expect 0 "Answers are in Spanish." "$INOC" scan --list --traits own
expect 4 "own/a.yaml:3: trait 'a' has 3 answers, and there are 2 plain exchanges" "$INOC" scan "${m[@]}" -d data.jsonl --traits own
INOC_TRAITS=nowhere expect 3 "nowhere" "$INOC" scan --list
printf '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0}]}\n' > zero.jsonl
expect 4 "zero.jsonl:1: every assistant turn has" "$INOC" scan "${m[@]}" -d zero.jsonl --only spanish
expect 2 "give candidates: --prompts FILE, or --trait NAME" "$INOC" select "${m[@]}" -d data.jsonl
expect 2 "--trait: there is no trait 'x'" "$INOC" select "${m[@]}" -d data.jsonl --trait x
expect 2 "which needs a scorer" "$INOC" select "${m[@]}" -d data.jsonl -p prompts -q questions.jsonl
expect 2 "--scorer is applied to answers to questions" "$INOC" select "${m[@]}" -d data.jsonl -p prompts --scorer spanish
: > empty
expect 4 "empty: no prompts; write one a line" "$INOC" select "${m[@]}" -d data.jsonl -p empty
exit $bad
