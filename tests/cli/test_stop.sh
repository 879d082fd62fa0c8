#!/usr/bin/env bash
# Runs on the real model that are stopped, killed, doubled, or find the disk full. Signals are sent when a file shows how far the
# run is, never after a time. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 2 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
train: {rank: 2, batch: 2, steps: 12, warmup: 1, checkpoint_every: 1}
arms: {plain: {role: plain}}
evaluations: {greedy: {prompts: prompts.jsonl, greedy: true, max_tokens: 4}}
scorers: [english]
out: out
Y

# ---- inoc run, with a second one at once, stopped, killed: the adapter and the samples of a run left alone ----
long=(run e.yaml --no-report)
expect 0 "" "$INOC" "${long[@]}" -o whole
at=adapters/$(readlink whole/adapters/plain-seed1) # the link is made when the adapter is whole
rows_file=$at/metrics.jsonl
"$INOC" "${long[@]}" -o parts > log 2>&1 &
pid=$!
wait_for $pid rows parts/$rows_file $((2 + RANDOM % 3))
kill -STOP $pid # holds the lock, but takes no step meanwhile
expect 9 "process $pid since " "$INOC" "${long[@]}" -o parts
kill -INT $pid
kill -CONT $pid
wait $pid
rc=$?
[ $rc = 130 ] && grep -q "the same command goes on from there" log && grep -Eq "stopped at step [0-9]+ of 12" log || fail "Ctrl-C of run: status $rc, $(cat log)"
"$INOC" "${long[@]}" -o parts > log 2>&1 &
pid=$!
wait_for $pid rows parts/$rows_file $((6 + RANDOM % 4))
kill -9 $pid
wait $pid 2>/dev/null
grep -Eq "going on from step [0-9]+ of 12" log || fail "run did not go on from the checkpoint: $(cat log)"
[ -e parts/$at/adapter_model.safetensors ] && fail "kill -9 missed"
expect 0 "going on from step" "$INOC" "${long[@]}" -o parts
same whole/$at/adapter_model.safetensors parts/$at/adapter_model.safetensors
same whole/$rows_file parts/$rows_file
for o in whole parts; do "$INOC" export --samples $o.jsonl $o 2>> log || fail "export of $o: $(tail -n 1 log)"; done
same whole.jsonl parts.jsonl

# ---- the disk is full, then it is not ----
short=("${long[@]}" --set train.steps=2)
mkdir small
if mount -t tmpfs -o size=1m tmpfs small 2>/dev/null; then
  trap 'umount "$dir/small"; rm -rf "$dir"' EXIT
  expect 3 "No space left on device" "$INOC" "${short[@]}" -o small/out
  [ -n "$(ls small/out/adapters/*/adapter_model.safetensors 2>/dev/null)" ] && fail "a full disk left half an adapter"
  mount -o remount,size=64m small
else
  echo "a limit on the size of files stands for a full disk: no tmpfs can be mounted"
  expect 3 "File too large" bash -c 'trap "" XFSZ; ulimit -f 1000; exec "$@"' - "$INOC" "${short[@]}" -o small/out
fi
expect 0 "" "$INOC" "${short[@]}" -o small/out
[ -s small/out/adapters/plain-seed1/adapter_model.safetensors ] || fail "no adapter when there was room again"

# ---- inoc train, two at once into one folder ----
train=("$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 1 --targets v_proj --batch 2 -o twice)
"${train[@]}" --steps 400 > log 2>&1 &
pid=$!
wait_for $pid rows twice/metrics.jsonl 1
expect 9 "twice/lock: held by another run (process $pid since " "${train[@]}" --steps 400
kill -0 $pid 2>/dev/null || fail "the first training ended before the second began"
# an adapter that comes from elsewhere meanwhile is not overwritten
echo other > twice/adapter_model.safetensors
wait_for $pid rows twice/metrics.jsonl 5
kill -INT $pid
wait $pid
[ $? = 130 ] || fail "Ctrl-C of train: $(cat log)"
[ -e twice/lock ] && fail "the lock stayed"
expect 2 "twice/adapter_model.safetensors is there already" "${train[@]}" --steps 400
"${train[@]/%twice/race}" --steps 24 > log 2>&1 &
pid=$!
wait_for $pid rows race/metrics.jsonl 1
echo other > race/adapter_model.safetensors
wait $pid
rc=$?
[ $rc = 2 ] && grep -q "race/adapter_model.safetensors is there already" log || fail "a training overwrote what came meanwhile: status $rc, $(cat log)"
holds race/adapter_model.safetensors other

# ---- inoc sample: what is finished is kept, by whole lines ----
sample=("$INOC" sample -m "$INOC_MODEL" -p prompts.jsonl -n 20000 --batch 16 --max-tokens 2 -o s.jsonl)
"${sample[@]}" > log 2>&1 &
pid=$!
worked() { # a second of processor time: more than the model's loading takes
  local ticks
  ticks=$(awk '{ print $14 + $15 }' /proc/$pid/stat)
  [ "$ticks" -gt "$(getconf CLK_TCK)" ]
}
wait_for $pid worked
kill -INT $pid
wait $pid
rc=$?
[ $rc = 130 ] && grep -q "^inoc: s.jsonl holds what was finished: " log || fail "Ctrl-C of sample: status $rc, $(cat log)"
python3 - <<'P' || fail "s.jsonl is not whole"
import json
v = [json.loads(l) for l in open("s.jsonl")]
assert 0 < len(v) < 40000 and all(x["n_tokens"] > 0 for x in v), len(v)
P
[ -z "$(ls s.jsonl.tmp.* 2>/dev/null)" ] || fail "a stopped sampling left a temporary file"
exit $bad
