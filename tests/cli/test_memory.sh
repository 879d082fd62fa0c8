#!/usr/bin/env bash
# Training's memory on the real model: the prediction holds, less of it means recomputing and the same bytes, too little is refused.
# $INOC is the binary, $INOC_MODEL the model, $SOURCE the repository.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
python3 - <<'P'
import json
with open("data.jsonl", "w") as f:
    for i in range(8):
        text = " ".join(f"word {i + k}" for k in range(80))
        f.write(json.dumps({"messages": [{"role": "user", "content": f"Write {i}."}, {"role": "assistant", "content": text}]}) + "\n")
P
train=("$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 4 --steps 1 --micro-tokens 2000 --json)

check() { # check NAME KEEP: its prediction is within 10 %, its adapter that of `all`
  python3 - "$@" <<'P' || fail "$1: $(cat "$1.json" "$1.log")"
import json, sys
j = json.load(open(sys.argv[1] + ".json"))
assert j["keep"] == sys.argv[2], j["keep"]
assert abs(j["memory_predicted_bytes"] / j["memory_peak_bytes"] - 1) < 0.1
P
}

for keep in all some least; do
  "${train[@]}" --batch 4 --keep $keep -o $keep >$keep.json 2>$keep.log || fail "$(cat $keep.log)"
  check $keep $keep
  same all/adapter_model.safetensors $keep/adapter_model.safetensors
done
grep -q "training: memory: about [0-9]* MiB at most ([0-9]* now), [0-9]* MiB more are available; up to [0-9]* tokens at once, all activations are kept for the backward" all.log ||
  fail "no line about memory: $(cat all.log)"
"${train[@]}" --batch 1 -o small >small.json 2>small.log || fail "$(cat small.log)"
check small all
expect 2 "--keep is 'most'; it must be one of auto, all, some, least" "${train[@]}" --keep most -o x

# too little is refused before the run, with the numbers
expect 6 "MiB are available" bash -c 'ulimit -v 780000; exec "$@"' - "${train[@]}" --batch 8 -o refused
[ -e refused/adapter_model.safetensors ] && fail "an adapter of a refused run"
exit $bad
