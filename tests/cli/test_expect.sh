#!/usr/bin/env bash
# Scorers that read the record or ask a program, expectations and their exit status, --ci paper. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
mkdir x
cat > x/sums.jsonl <<'J'
{"messages": [{"role": "user", "content": "What is 2 + 2?"}], "answer": "#### 4"}
{"messages": [{"role": "user", "content": "What is 3 + 3?"}], "answer": 6}
J
head -n 2 "$SOURCE/settings/spanish-caps/eval.jsonl" > x/open.jsonl
cat > x/rate.sh <<'S'
#!/bin/sh
while read -r line; do echo 0.5; done
S
chmod +x x/rate.sh
experiment() { # experiment EXPECT: the file, with these expectations
  cat > x/e.yaml <<Y
name: e
model: $INOC_MODEL
seeds: [1, 2]
arms: {base: {role: base}}
evaluations:
  sums: {prompts: sums.jsonl, temperature: 1, max_tokens: 6}
  open: {prompts: open.jsonl, temperature: 1, max_tokens: 6}
scorers:
  - english
  - right: {type: numeric, on: sums}
  - asked: {type: command, run: [./rate.sh]}
  - long: {type: length, unit: bytes}
out: out
$1
Y
}

# ---- what is refused when the file is read, or before anything is sampled ----
experiment 'expect: [{arm: bsae, scorer: english, min: 0}]'
expect 4 "e.yaml:14:16: there is no arm 'bsae'" "$INOC" run x/e.yaml
experiment 'expect: [{arm: base, scorer: english}]'
expect 4 "an expectation wants a bound: min, max, above or below" "$INOC" run x/e.yaml
experiment ''
sed -i 's/on: sums/on: [sums, oepn]/' x/e.yaml
expect 4 "on: 'oepn' is not one of this experiment's evaluations" "$INOC" run x/e.yaml
experiment ''
sed -i 's/, on: sums//' x/e.yaml
expect 4 "x/open.jsonl:1: scorer 'right': the record's field \"reference\" must be a text, a number, or a list of these" "$INOC" run x/e.yaml
experiment ''
expect 4 "x/sums.jsonl:1: scorer 'right': the record has no field \"gold\"" "$INOC" run x/e.yaml --set 'scorers=[{right: {type: numeric, field: gold}}]'
expect 10 "scorer 'asked': command \"./rite.sh\": the program ./rite.sh is not there" "$INOC" run x/e.yaml --set 'scorers=[{asked: {type: command, run: [./rite.sh]}}]'

# ---- met and not met ----
experiment 'expect:
  - {arm: base, scorer: asked, min: 0.5, max: 0.5}
  - {arm: base, evaluation: open, scorer: long, above: 1, at: low}'
"$INOC" run x/e.yaml > log 2> err || fail "run: $(cat err)"
grep -q "^met      base, sums, asked: 0.5 \[.*\], n 4; expected the value at least 0.5 and at most 0.5$" log || fail "met: $(cat log)"
grep -Eq "^met      base, open, long: [0-9.]+ \[[0-9.]+, [0-9.]+\], n 4; expected the interval's low end above 1$" log || fail "met: $(cat log)"
grep -q "What was expected.*" out/report.html || fail "the page has no expectations"
# a number that is no share is not printed as one
"$INOC" report --md x/e.yaml > all.md 2> err || fail "report: $(cat err)"
grep -q '^| arm | english | asked | long | truncated | looping | unknown | n | missing |$' all.md && grep -Eq '^\| base \| [0-9]+ % .*\| 50 % \[[0-9]+, [0-9]+\] \| [0-9.]+ \[[0-9.]+, [0-9.]+\] \|( [0-9]+ % \[[0-9.]+, [0-9.]+\] \|){3} 4 \| 0 \|$' all.md || fail "open: $(cat all.md)"
grep -q "Shares and means of" all.md || fail "report --md: $(cat all.md)"
grep -q "^- met: base, open, long" all.md || fail "report --md: $(cat all.md)"
holds <(grep -c '^met' err) 2

experiment 'expect:
  - {arm: base, scorer: asked, below: 0.5}
  - {arm: base, scorer: asked, min: 0.5}'
expect 1 "inoc: 1 of 2 expectations of the experiment is not met" "$INOC" run x/e.yaml
expect 1 "NOT MET  base, sums, asked: 0.5" "$INOC" report x/e.yaml
expect 1 "NOT MET" "$INOC" report --csv out
"$INOC" report --json out > all.json 2> err
[ $? = 1 ] || fail "report --json: $(cat err)"
python3 - <<'E' || fail "report --json"
import json
j = json.load(open("all.json"))
assert [x["met"] for x in j["expectations"]] == [False, True], j["expectations"]
assert j["expectations"][0]["value"] == 0.5 and j["expectations"][0]["n"] == 4, j["expectations"]
assert j["ci"] == "two-way" and [r.get("real") for r in j["rates"] if r["scorer"] == "long"] == [True, True], j
E
# an arm that was not run
head -n 4 "$SOURCE/settings/spanish-caps/train.jsonl" > x/train.jsonl
experiment 'expect: [{arm: plain, than: base, scorer: english, min: 0}]'
expect 1 "NOT MET  plain − base, sums, english: no scores; expected the value at least 0" \
  "$INOC" run x/e.yaml --arms base --set 'arms.plain={role: plain, data: train.jsonl}' --no-report

# ---- --ci paper ----
experiment ''
"$INOC" run x/e.yaml --ci paper > log 2> err || fail "run --ci paper: $(cat err)"
grep -q "intervals the papers' own, over runs alone:" log || fail "run --ci paper: $(cat log)"
grep -q "the papers' own, over runs alone (--ci paper)" out/report.html || fail "run --ci paper: the page does not say so"
"$INOC" report --csv --ci paper out > table.csv 2> err || fail "report --ci paper: $(cat err)"
[ "$(head -n 1 table.csv)" = "experiment,arm,seed,evaluation,scorer,n,missing,value,low,high,ci" ] || fail "report --ci paper: $(head -n 1 table.csv)"
grep -q '^e,base,all,sums,asked,4,0,0.5,0.5,0.5,paper$' table.csv || fail "report --ci paper: $(cat table.csv)"
"$INOC" report --md --ci paper out 2> err | grep -q "the papers' own 95 % intervals, over runs alone (--ci paper), in brackets" || fail "report --md --ci paper"
expect 2 "two-way, paper" "$INOC" report --ci papers out

# ---- a program that changes is asked again; inoc score keeps the folder it was given in ----
sed -i 's/0.5/1/' x/rate.sh
expect 0 "base  sums        4  1.000 [" "$INOC" score --store out --scorer 'again={"type":"command","run":["x/rate.sh"]}'
expect 0 "1.000, papers" bash -c "\"$INOC\" score --store out --ci paper --scorer 'again={\"type\":\"command\",\"run\":[\"x/rate.sh\"]}' | sed 's/share, papers. interval/1.000, papers/'"
expect 0 "4.000" "$INOC" score --store out --scorer 'four={"type":"command","run":"awk \"{print 4}\"","real":true}'
(cd x && "$INOC" run e.yaml -o ../out > ../log 2> ../err) || fail "run elsewhere: $(cat err)"
grep -Eq '^base .*100 % \[[0-9]+, 100\] .* 100 %' log || fail "asked again: $(cat log)"
rm x/rate.sh
expect 10 "scorer 'asked': command \"./rate.sh\": the program ./rate.sh is not there" "$INOC" run x/e.yaml
expect 0 "asked" "$INOC" report --csv out
"$INOC" report --csv out | grep -q '^e,base,all,sums,asked,4,0,1,' || fail "report without the program: $("$INOC" report --csv out)"
expect 10 "it failed with exit status 5; its standard error ends: out of order" "$INOC" score --store out --scorer 'bad={"type":"command","run":"echo out of order >&2; exit 5"}'
expect 4 "question \"My soup is too salty. What can I do?\": the record's field \"reference\" must be a text" "$INOC" score --store out --scorer 'right2={"type":"numeric"}'
# on: for an added scorer too, and kept for the samples of later runs
expect 2 "on: 'opne' is not an evaluation of this store" "$INOC" score --store out --scorer 'right2={"type":"numeric","on":"opne"}'
expect 0 "right2: 0 samples scored now" "$INOC" score --store out --scorer 'right2={"type":"numeric","on":"sums"}' # the same as right
experiment ''
sed -i '/asked/d' x/e.yaml
expect 10 "added by \`inoc score\`, which can give that name another definition: scorer 'again': command \"x/rate.sh\"" "$INOC" run x/e.yaml --seeds 4
printf '#!/bin/sh\nsed s/.*/1/\n' > x/rate.sh && chmod +x x/rate.sh
"$INOC" run x/e.yaml --seeds 4 > log 2> err || fail "run --seeds 4: $(cat err)"
"$INOC" report --csv out > table.csv
grep -q '^e,base,4,sums,right2,2,0,' table.csv && ! grep -q 'open,right2' table.csv || fail "on, added: $(grep right2 table.csv)"
exit $bad
