#!/usr/bin/env bash
# inoc eval into a store, and arms with a given adapter, on the real model: once and twice, killed, two at once, beside an
# experiment that was run. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 2 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
train: {rank: 2, batch: 2, steps: 2, warmup: 1}
arms: {base: {role: base}, plain: {role: plain}}
evaluations: {greedy: {prompts: prompts.jsonl, greedy: true, max_tokens: 4}}
scorers: [english]
out: out
Y
m=(-m "$INOC_MODEL")
greedy=(-p prompts.jsonl --greedy --max-tokens 4 --scorers english,looping)
sql() { python3 -c 'import sqlite3, sys; [print(*r) for r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]' "$@"; }

# ---- the same with and without a store; twice does nothing ----
expect 0 "" "$INOC" run e.yaml
"$INOC" eval "${m[@]}" "${greedy[@]}" -o alone.jsonl > alone 2> log || fail "eval: $(cat log)"
[ -s log ] && ! grep -q load log && fail "eval without a store says: $(cat log)"
"$INOC" eval "${m[@]}" "${greedy[@]}" -o kept.jsonl --store evals > kept 2> log || fail "eval --store: $(cat log)"
grep -Eq "^base-prompts-[0-9a-f]{8}: 2 of 2 samples to draw into evals/store\.db$" log || fail "eval --store: $(cat log)"
same alone kept
same alone.jsonl kept.jsonl
before=$(sql evals/store.db "SELECT count(*), max(id) FROM sample")
expect 0 "everything is in evals/store.db already" "$INOC" eval "${m[@]}" "${greedy[@]}" --store evals/store.db
"$INOC" eval "${m[@]}" "${greedy[@]}" -o again.jsonl --store evals > again 2>> log
same alone again
same alone.jsonl again.jsonl
[ "$before" = "$(sql evals/store.db "SELECT count(*), max(id) FROM sample")" ] || fail "eval sampled again"
[ "$(sql evals/store.db "SELECT count(*) FROM score")" = 8 ] || fail "scores: $(sql evals/store.db "SELECT * FROM score")"

# ---- a name; score, export and report on it; another seed adds ----
hot=("$INOC" eval "${m[@]}" -a out/adapters/plain-seed1 -p prompts.jsonl -n 2 --max-tokens 4 --scorers english --store evals --name hot)
expect 0 "hot: 4 of 4 samples to draw into evals/store.db" "${hot[@]}"
expect 0 "hot: 4 of 4 samples to draw into evals/store.db" "${hot[@]}" --seed 2
expect 0 "hot: everything is in evals/store.db already" "${hot[@]}"
expect 0 "caps: 10 samples scored now" "$INOC" score --store evals --scorer caps
"$INOC" export --samples x.jsonl --experiment hot evals 2> log || fail "export: $(cat log)"
python3 - <<'P' || fail "export of hot"
import json
v = [json.loads(l) for l in open("x.jsonl")]
assert [(x["seed"], x["prompt"], x["index"]) for x in v] == [(s, p, i) for s in (1, 2) for p in (0, 1) for i in (0, 1)], v
assert all(x["arm"] == "plain-seed1" and x["evaluation"] == "prompts" and len(x["adapter"]) == 64 for x in v), v
assert all(set(x["scores"]) == {"english", "truncated", "looping", "unknown", "caps"} and len(x["logprobs"]) == x["n_tokens"] for x in v), v
P
"$INOC" report --csv --experiment hot evals > hot.csv 2> log || fail "report --csv: $(cat log)"
grep -q '^hot,plain-seed1,all,prompts,truncated,8,0,' hot.csv || fail "report --csv: $(cat hot.csv)"
"$INOC" report --json --experiment hot evals > hot.json 2> log || fail "report --json: $(cat log)"
python3 -c 'import json; j = json.load(open("hot.json")); assert j["seeds"] == [1, 2] and not j["judgements"], j' || fail "report --json"
"$INOC" report --html hot.html --experiment hot evals 2> log || fail "report --html: $(cat log)"
grep -q "inoc eval .*--name hot --seed 2" hot.html && grep -q "given, not trained here: <code>$dir/out/adapters/plain-seed1<" hot.html &&
  ! grep -q "What each arm was trained on" hot.html && ! grep -q "Training loss" hot.html || fail "report --html"

expect 0 "everything is in evals/store.db already" "$INOC" eval "${m[@]}" "${greedy[@]}" --scorers caps --store evals
"$INOC" report --html caps.html --experiment "$(sql evals/store.db "SELECT name FROM experiment WHERE name <> 'hot'")" evals 2> log || fail "report --html: $(cat log)"
grep -q "inoc eval .*--scorers caps --store evals" caps.html && ! grep -q "inoc run" caps.html || fail "no command of an evaluation with other scorers"

# ---- into the store of a run: that stays as it was ----
for f in "--csv out" "--md out"; do "$INOC" report $f; done > before 2>> log
"$INOC" export --samples before.jsonl out 2>> log
ls -l out/adapters > links
expect 0 "2 of 2 samples to draw into out/store.db" "$INOC" eval "${m[@]}" "${greedy[@]}" -a out/adapters/plain-seed1 --store out
for f in "--csv out" "--md out"; do "$INOC" report $f; done > after 2>> log
"$INOC" export --samples after.jsonl out 2>> log
same before after
same before.jsonl after.jsonl
ls -l out/adapters | cmp -s links - || fail "links: $(cat links; ls -l out/adapters)"
expect 0 "e: everything is in out/store.db already" "$INOC" run e.yaml
expect 2 "'e' is the name of an experiment that was run from e.yaml; give another name" "$INOC" eval "${m[@]}" "${greedy[@]}" --store out --name e
# the base model's greedy answers are there already, whoever asked
expect 0 "everything is in out/store.db already" "$INOC" eval "${m[@]}" "${greedy[@]}" --store out

# ---- any text and any path ----
odd=$(printf 'A "quoted" \\ text: {x}\twith\nlines \x7f \xc2\x85 \xe2\x80\xa8 \xef\xbb\xbf \xf0\x9f\x98\x80 # ~')
cp prompts.jsonl "p (1): 'x'.jsonl"
for s in "" "--store odd"; do
  # shellcheck disable=SC2086
  "$INOC" eval "${m[@]}" -p "p (1): 'x'.jsonl" --greedy --max-tokens 2 --system "$odd" --stop "$odd" $s -o "odd${s:+2}.jsonl" > "odd${s:+2}.txt" 2> log || fail "an odd text: $(cat log)"
done
same odd.jsonl odd2.jsonl
"$INOC" export --samples oddx.jsonl odd 2> log || fail "export of odd: $(cat log)"
ODD=$odd python3 -c 'import json, os; assert all(os.environ["ODD"] in json.loads(l)["rendered"] for l in open("oddx.jsonl"))' || fail "the odd text is another one: $(head -n 1 oddx.jsonl)"
bytes=$(printf 'b\xff.jsonl')
if cp prompts.jsonl "$bytes" 2>/dev/null; then
  expect 0 "english" "$INOC" eval "${m[@]}" -p "$bytes" --greedy --max-tokens 2 --scorers english
  expect 2 "--prompts is not UTF-8, which the texts of a store must be" "$INOC" eval "${m[@]}" -p "$bytes" --greedy --store odd
fi

# ---- killed, stopped, two at once: the answers of one that was left alone ----
head -n 60 "$SOURCE/settings/spanish-caps/eval.jsonl" > many.jsonl
long=("$INOC" eval "${m[@]}" -p many.jsonl -n 8 --max-tokens 24 --scorers english,looping)
"${long[@]}" -o whole.jsonl > whole 2> log || fail "eval: $(cat log)"
sampled() { [ "$(sql long/store.db "SELECT count(*) FROM sample" 2>/dev/null || echo 0)" -gt "$1" ]; }
"${long[@]}" --store long > log 2>&1 &
pid=$!
wait_for $pid sampled 0
kill -9 $pid
wait $pid 2>/dev/null
have=$(sql long/store.db "SELECT count(*) FROM sample")
[ "$have" -lt 480 ] || fail "kill -9 missed the sampling"
"${long[@]}" --store long > log 2>&1 &
pid=$!
wait_for $pid sampled "$have"
kill -STOP $pid
expect 9 "process $pid since " "${long[@]}" --store long
expect 9 "after 0.1 s of waiting" "${long[@]}" --store long --wait 0.1
kill -INT $pid
kill -CONT $pid
wait $pid
rc=$?
[ $rc = 130 ] && grep -q "the same command goes on from there" log || fail "Ctrl-C of eval: status $rc, $(cat log)"
grep -q ": $((480 - have)) of 480 samples to draw into long/store.db" log || fail "eval did not go on: $(cat log)"
"${long[@]}" --store long -o parts.jsonl > parts 2> log || fail "eval: $(cat log)"
same whole parts
same whole.jsonl parts.jsonl

# ---- an arm with a given adapter ----
cp -rL out/adapters/plain-seed1 mine
cat > g.yaml <<Y
name: g
model: $INOC_MODEL
seeds: [1, 2]
arms: {base: {role: base}, mine: {adapter: mine}}
evaluations: {greedy: {prompts: prompts.jsonl, greedy: true, max_tokens: 4}}
scorers: [english]
out: given
Y
expect 0 "given: ./mine" "$INOC" run g.yaml --dry-run
expect 0 '"adapter": "./mine"' "$INOC" run g.yaml --dry-run --json
expect 3 "arm mine: ./none: no adapter_config.json there; give a folder that \`inoc train\` or PEFT wrote" "$INOC" run g.yaml --dry-run --set arms.mine.adapter=none
expect 4 "--set arms.mine.data=data.jsonl: arm 'mine' has a given adapter, which is not trained: data does not apply" "$INOC" run g.yaml --set arms.mine.data=data.jsonl
expect 0 "g: 2 of 4 (arm, seed) pairs to do: 0 training steps, 4 samples (of 8;" "$INOC" run g.yaml
expect 0 "g: everything is in given/store.db already" "$INOC" run g.yaml
grep -q "given, not trained here: <code>./mine<" given/report.html && ! grep -q "What each arm was trained on" given/report.html || fail "report of a given adapter"
"$INOC" export --samples g.jsonl given 2>> log
python3 - <<'P' || fail "a given adapter answers as the trained one"
import json
g = {x["prompt"]: x["text"] for x in map(json.loads, open("g.jsonl")) if x["arm"] == "mine"}
e = {x["prompt"]: x["text"] for x in map(json.loads, open("before.jsonl")) if x["arm"] == "plain"}
assert g == e and len(g) == 2, (g, e)
P
python3 - <<'P' || fail "no other adapter"
import json
c = json.load(open("mine/adapter_config.json"))
c["lora_alpha"] *= 2
json.dump(c, open("mine/adapter_config.json", "w"))
P
expect 0 "2 samples (of 8;" "$INOC" run g.yaml --no-report
exit $bad
