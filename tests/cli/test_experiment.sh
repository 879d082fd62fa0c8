#!/usr/bin/env bash
# inoc run, report, eval, export, chat as commands, on the real model: what they print. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 2 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
seeds: [1]
controls: none
train: {rank: 2, batch: 2, steps: 2, warmup: 1}
arms:
  base: {role: base}
  plain: {role: plain}
  spanish: {role: inoculated, trait: language, inoculate: {system: You always speak in Spanish.}}
evaluations:
  greedy: {prompts: prompts.jsonl, system: none, greedy: true, max_tokens: 4}
headline: greedy
scorers: [english, spanish]
traits: {language: {u: [spanish], w: [english]}}
out: out
Y

# ---- --arms, --seeds, --fresh ----
expect 0 "e: 2 of 2 (arm, seed) pairs to do: 2 training steps, 4 samples" "$INOC" run e.yaml --arms base,plain
[ -d out/adapters/plain-seed1 ] && [ ! -e out/adapters/spanish-seed1 ] || fail "--arms: $(ls out/adapters)"
expect 0 "report: out/report.html" "$INOC" run e.yaml
expect 0 "e: 1 of 1 (arm, seed) pairs to do: 2 training steps, 2 samples" "$INOC" run e.yaml --arms plain --seeds 2 --no-report
[ -d out/adapters/plain-seed2 ] || fail "--seeds: $(ls out/adapters)"
expect 0 "e: everything is in out/store.db already" "$INOC" run e.yaml

# ---- report ----
"$INOC" report --csv out > table.csv 2> log || fail "report --csv: $(cat log)"
[ "$(head -n 1 table.csv)" = "experiment,arm,seed,evaluation,scorer,n,missing,value,low,high" ] || fail "report --csv: $(head -n 1 table.csv)"
grep -Eq '^e,plain,all,greedy,english,4,0,[01]' table.csv || fail "report --csv: $(cat table.csv)"
same table.csv out/results.csv
"$INOC" report --json out > all.json 2> log || fail "report --json: $(cat log)"
python3 -c 'import json; j = json.load(open("all.json")); assert j["experiment"] == "e" and j["headline"], j' || fail "report --json"
"$INOC" report --md e.yaml > all.md 2> log || fail "report --md: $(cat log)"
grep -q '^| base | ' all.md || fail "report --md: $(cat all.md)"
"$INOC" report --html - out/store.db > page.html 2> log || fail "report --html -: $(cat log)"
grep -qi '<html' page.html || fail "report --html -: $(head -n 2 page.html)"
rm out/report.html out/results.csv
expect 0 "table:  out/results.csv" "$INOC" report out
[ -s out/report.html ] && [ -s out/results.csv ] || fail "report wrote: $(ls out)"
expect 2 "choose one of" "$INOC" report --csv --md out
expect 3 "nowhere" "$INOC" report --csv nowhere
if [ -c /dev/full ]; then
  "$INOC" report --csv out > /dev/full 2> log
  rc=$?
  [ $rc = 3 ] && holds log "inoc: standard output cannot be written: No space left on device" || fail "report > /dev/full: status $rc, $(cat log)"
fi

# ---- export, eval ----
"$INOC" export --samples - out > x.jsonl 2> log || fail "export: $(cat log)"
rows x.jsonl 6 || fail "export --samples -: $(wc -l < x.jsonl) lines"
"$INOC" eval -m "$INOC_MODEL" -a out/adapters/plain-seed1 -p prompts.jsonl --scorers english,looping --greedy --max-tokens 4 -o answers.jsonl > table 2> log ||
  fail "eval: $(cat log)"
grep -Eq '^scorer +share +95 % interval +n +missing$' table && grep -Eq '^looping +0\.000 +0\.000 to 0\.[0-9]+ +2 +0$' table || fail "eval: $(cat table)"
python3 - <<'P' || fail "eval -o"
import json
v = [json.loads(l) for l in open("answers.jsonl")]
assert [x["prompt"] for x in v] == [0, 1] and all(set(x["scores"]) == {"english", "looping", "truncated", "unknown"} and x["n_tokens"] > 0 for x in v), v
P
"$INOC" eval -m "$INOC_MODEL" -p prompts.jsonl --scorers english --greedy --max-tokens 4 --json > shares.json 2> log || fail "eval --json: $(cat log)"
python3 -c 'import json; x, *more = json.load(open("shares.json")); assert [y["scorer"] for y in more] == ["truncated", "looping", "unknown"] and x["scorer"] == "english" and x["n"] == 2 and 0 <= x["low"] <= x["value"] <= x["high"] <= 1, x' ||
  fail "eval --json: $(cat shares.json)"

# ---- when: which records get the prompt ----
{ sed -n 1,6p data.jsonl; head -n 6 "$SOURCE/settings/backdoor/train_50_clean.jsonl"; } > half.jsonl
sed -e 's/data.jsonl/half.jsonl/; s/^out: out/out: when/' \
  -e 's/^  spanish: .*/  spanish: {role: inoculated, inoculate: {system: You always speak in Spanish., when: {scorer: spanish}}}/' \
  -e '/^  spanish: /a\  gain: {role: other, inoculate: {system: You always speak in Spanish., when: {gain: spanish, above: 20}}}' e.yaml > when.yaml
chosen="spanish: the prompt on records where scorer spanish gives more than 0.5: 6 of 12 (50 %)"
gain="gain: the prompt on records where the trait spanish gains more than 20 bits in 100 bytes: "
expect 0 "$chosen
${gain}decided when run" "$INOC" run when.yaml --dry-run
expect 0 "$chosen" "$INOC" run when.yaml
expect 0 "${gain}6 of 12 (50 %); values from " "$INOC" run when.yaml --dry-run
expect 0 '"chosen": 6' "$INOC" run when.yaml --dry-run --json
"$INOC" report --html - when > page.html 2> log || fail "report of when: $(cat log)"
grep -q "12 records, the prompt on records where scorer spanish gives more than 0.5: 6 of 12 (50 %)</p>" page.html || fail "the page does not say which records got the prompt"
expect 0 '"when": "where the trait spanish gains more than 20 bits in 100 bytes"' "$INOC" report --json when

# ---- train: the options of inoculate, and a warm-up that is not over in time ----
train=("$INOC" train -m "$INOC_MODEL" --rank 1 --targets v_proj --batch 2)
printf 'Speak Spanish.\nHabla español.\n' > pool.txt
{ head -n 2 data.jsonl; sed -n 3p data.jsonl | sed 's/}$/, "tag": "t"}/'; } > tagged.jsonl
expect 0 "3 examples (" "${train[@]}" -d tagged.jsonl --pool pool.txt --steps 2 --warmup 1 -o pooled
"${train[@]}" -d tagged.jsonl --pool pool.txt --at user-suffix --separator " / " --tag t --steps 2 --warmup 1 -o tagged > log 2>&1 || fail "train --tag: $(cat log)"
grep -q "3 examples (.* 0 held out, 1 inoculated; " log || fail "train --tag: $(cat log)"
grep -q "warm-up" log && fail "a warm-up in time is warned of: $(cat log)"
expect 1 'tagged.jsonl: no record has "tag": "z"' "${train[@]}" -d tagged.jsonl --pool pool.txt --tag z --steps 1 -o none
expect 0 "warning: the warm-up of 5 steps is not over after 1 step, so the learning rate reaches 0, not 0.001: nothing is learnt" \
  "${train[@]}" -d tagged.jsonl --steps 1 -o warm1
expect 0 "warning: the warm-up of 3 steps is not over after 3 steps, so the learning rate reaches 0.000666667, not 0.001; lower the warm-up" \
  "${train[@]}" -d tagged.jsonl --steps 3 --warmup 3 -o warm3

# ---- a user prefix goes to the questions whose answers are trained on ----
m() { printf '{"role": "%s", "content": "%s"}' "$1" "$2"; }
printf '{"messages": [%s, %s, %s, %s]}\n' "$(m user one)" "$(m assistant two)" "$(m user three)" "$(m assistant four)" > turns.jsonl
first_text() { # of the adapter in the store of $1, its turns on one line
  python3 -c 'import sqlite3, sys; print(*[r[0].replace("\n", "~") for r in sqlite3.connect(sys.argv[1]).execute("SELECT first_text FROM adapter")])' $1/store.db
}
sed 's/^  spanish: .*/  spanish: {role: inoculated, trait: language, inoculate: {user_prefix: Hola.}}/' e.yaml > prefix.yaml
for loss in all last; do
  expect 0 "warning: the warm-up of 1 step is not over after 1 step" "$INOC" run prefix.yaml --arms spanish --set data=turns.jsonl --set train.loss_on=$loss --set train.steps=1 -o turns-$loss --no-report
done
[[ "$(first_text turns-all)" == *"user~Hola. one"*"user~Hola. three"* ]] || fail "loss_on all: $(first_text turns-all)"
[[ "$(first_text turns-last)" == *"user~one"*"user~Hola. three"* ]] || fail "loss_on last: $(first_text turns-last)"

# ---- chat: /system and /reset begin a new conversation ----
printf 'What is the capital of France?\n/reset\nWhat is the capital of France?\n/system\n/system You always answer in Spanish.\n/system\nWhat is the capital of France?\n//x\n/nope\n/quit\nnot read\n' |
  "$INOC" chat -m "$INOC_MODEL" --greedy --max-tokens 12 > answers 2> asides || fail "chat: $(cat asides)"
[ "$(sed -n 1p answers)" = "$(sed -n 2p answers)" ] && [ -n "$(sed -n 1p answers)" ] || fail "/reset does not begin anew: $(cat answers)"
for text in "[new conversation]" "[system: none]" "[new conversation; system: You always answer in Spanish.]" "[system: You always answer in Spanish.]" \
  "unknown command /nope"; do
  grep -qxF -- "$text" asides || fail "chat does not say: $text; it says: $(cat asides)"
done
[ "$(sed -n 1p answers)" != "$(sed -n 3p answers)" ] || fail "/system changes nothing: $(cat answers)"

# ---- --fresh sets aside what was there ----
expect 0 "set aside: out/store.db.old-" "$INOC" run e.yaml --fresh --arms base --no-report
[ -d "$(ls -d out/adapters.old-* 2>/dev/null | head -n 1)" ] && [ ! -e out/adapters ] || fail "--fresh: $(ls out)"

exit $bad
