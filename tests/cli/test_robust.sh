#!/usr/bin/env bash
# The program on the real model when things go wrong: bad files, too little memory, a full disk, Ctrl-C, kill -9, two runs at
# once. $INOC is the binary, $INOC_MODEL the model, $SOURCE the repository.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"

head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 3 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
train=("$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 2 --batch 2 --steps 6 --checkpoint-every 1)

# ---- files ----
: > empty.gguf
expect 4 "empty.gguf: the file is empty" "$INOC" model info empty.gguf
head -c 1000000 "$INOC_MODEL" > cut.gguf
expect 4 "cut.gguf: truncated at byte 1000000" "$INOC" model info cut.gguf
expect 4 "cut.gguf" "$INOC" sample -m cut.gguf --prompts prompts.jsonl -o s.jsonl
expect 3 "no known model of that name" "$INOC" model info no-such-model
printf '{"messages":[{"role":"user","content":"a\xff"},{"role":"assistant","content":"b"}]}\n' > utf8.jsonl
expect 4 "utf8.jsonl:1: not valid UTF-8" "$INOC" train -m "$INOC_MODEL" -d utf8.jsonl -o a
: > none.jsonl
expect 4 "none.jsonl: no records" "$INOC" train -m "$INOC_MODEL" -d none.jsonl -o a
python3 - <<'P' > long.jsonl
import json
print(json.dumps({"messages": [{"role": "user", "content": "word " * 9000}, {"role": "assistant", "content": "b"}]}))
P
expect 7 "the limit is 8192; shorten it, or leave such examples out: --too-long drop" "$INOC" train -m "$INOC_MODEL" -d long.jsonl -o a
for c in "sample -o s.jsonl" eval; do
  # shellcheck disable=SC2086
  expect 7 "long.jsonl:1: 9010 tokens; the model's context of 8192 leaves no room" "$INOC" $c -m "$INOC_MODEL" -p long.jsonl
done
expect 3 "--adapter nope: no adapter_config.json there" "$INOC" sample -m "$INOC_MODEL" -a nope -p prompts.jsonl -o s.jsonl
[ -e a ] && { echo "a failed training left a folder behind"; bad=1; }

# ---- memory: less address space than the weights need ----
expect 6 "are available" bash -c 'ulimit -v 900000; exec "$@"' - "${train[@]}" -o a

# ---- the same seed twice: the same adapter bytes, the same samples ----
expect 0 "" "${train[@]}" -o one
expect 0 "" "${train[@]}" -o two
same one/adapter_model.safetensors two/adapter_model.safetensors
for n in one two; do
  expect 0 "" "$INOC" sample -m "$INOC_MODEL" --adapter $n --prompts prompts.jsonl -o $n.jsonl --max-tokens 12 -n 2 --seed 7
done
same one.jsonl two.jsonl
expect 0 "" "$INOC" sample -m "$INOC_MODEL" --adapter two --prompts prompts.jsonl -o two.jsonl --max-tokens 12 -n 2 --seed 7 --batch 1
same one.jsonl two.jsonl

# ---- killed, then run again: the bytes of a run left alone, and its metric rows ----
for delay in 1.2 2 2.6; do
  rm -rf three
  "${train[@]}" -o three >/dev/null 2>&1 &
  pid=$!
  sleep $delay
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ -e three/adapter_model.safetensors ] || expect 0 "" "${train[@]}" -o three
  same one/adapter_model.safetensors three/adapter_model.safetensors
  same one/metrics.jsonl three/metrics.jsonl
done

# ---- Ctrl-C: stops cleanly, says how to go on ----
rm -rf three
"$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 2 --batch 2 --steps 400 --checkpoint-every 50 -o three >log 2>&1 &
pid=$!
sleep 3
kill -INT $pid
wait $pid
rc=$?
[ $rc = 130 ] && grep -q "to go on" log || { echo "Ctrl-C: status $rc, expected 130: $(tail -n 3 log)"; bad=1; }

# ---- a full disk (a limit on the size of files stands for it): an error, the old file stays ----
echo old > s.jsonl
expect 3 "s.jsonl" bash -c 'trap "" XFSZ; ulimit -f 1; exec "$@"' - "$INOC" sample -m "$INOC_MODEL" --prompts prompts.jsonl -o s.jsonl --max-tokens 40 -n 8
[ "$(cat s.jsonl)" = old ] || { echo "a full disk spoilt the old file"; bad=1; }
[ -n "$(ls s.jsonl.tmp.* 2>/dev/null)" ] && { echo "a full disk left a temporary file"; bad=1; }
expect 3 "adapter" bash -c 'trap "" XFSZ; ulimit -f 64; exec "$@"' - "$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 2 --steps 1 -o four
[ -e four/adapter_model.safetensors ] && { echo "a full disk left half an adapter"; bad=1; }

# ---- an experiment: stopped, run twice at once, run again ----
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
seeds: [1]
train: {rank: 2, batch: 2, steps: 4, warmup: 1}
arms:
  base: {role: base}
  plain: {role: plain}
  spanish: {role: inoculated, trait: language, inoculate: {system: You always speak in Spanish.}}
evaluations:
  greedy: {prompts: prompts.jsonl, system: none, greedy: true, max_tokens: 12}
headline: greedy
scorers: [english, spanish]
traits: {language: {u: [spanish], w: [english]}}
out: out
Y
"$INOC" run e.yaml >run.log 2>&1 &
pid=$!
sleep 1.5
expect 9 "$pid" "$INOC" run e.yaml
wait $pid || { echo "inoc run: $(tail -n 3 run.log)"; bad=1; }
before=$(sha256sum out/adapters/*/adapter_model.safetensors)
expect 0 "" "$INOC" run e.yaml
[ "$before" = "$(sha256sum out/adapters/*/adapter_model.safetensors)" ] || { echo "a second run made other adapters"; bad=1; }
expect 0 "0 training steps and 0 samples to do" "$INOC" run e.yaml --dry-run
for f in report.html results.csv store.db; do [ -s out/$f ] || { echo "out/$f is missing"; bad=1; }; done
head -n 1 out/results.csv | grep -qx 'experiment,arm,seed,evaluation,scorer,n,missing,value,low,high' || { echo "results.csv: $(head -n 1 out/results.csv)"; bad=1; }
expect 0 "" "$INOC" export --samples x.jsonl out
[ "$(wc -l < x.jsonl)" = 9 ] || { echo "export: $(wc -l < x.jsonl) lines, expected 9"; bad=1; }
expect 0 "" "$INOC" score --store out/store.db --scorer looping

# ---- chat, piped ----
got=$(printf 'What is the capital of France?\n/reset\n/quit\n' | "$INOC" chat -m "$INOC_MODEL" --greedy --max-tokens 16 2>&1)
[[ "$got" == *Paris* ]] || { echo "chat: $got"; bad=1; }
printf 'Hi\na\xff\n' > lines
expect 4 "standard input:2: not valid UTF-8" bash -c '"$@" < lines' - "$INOC" chat -m "$INOC_MODEL" --greedy --max-tokens 2
exit $bad
