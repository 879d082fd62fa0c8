#!/usr/bin/env bash
# Bad files, each with the whole message and the exit status: empty, cut, not UTF-8, without an answer, longer than the context.
# $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
# refuse STATUS MESSAGE COMMAND...: the last line printed is exactly MESSAGE
refuse() {
  local status=$1 text=$2 got rc
  shift 2
  got=$("$@" 2>&1 </dev/null)
  rc=$?
  [ "$rc" = "$status" ] && [ "$(tail -n 1 <<<"$got")" = "inoc: $text" ] ||
    fail "$(printf '%s\n  status %s, expected %s\n  printed: %s\n  expected: inoc: %s' "$*" "$rc" "$status" "$(tail -n 3 <<<"$got")" "$text")"
}
head -n 4 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 2 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
train: {rank: 2, batch: 2, steps: 1, warmup: 0}
arms: {base: {role: base}, plain: {role: plain}}
evaluations: {greedy: {prompts: prompts.jsonl, greedy: true, max_tokens: 2}}
scorers: [english]
out: out
Y
m=(-m "$INOC_MODEL")
run=("$INOC" run e.yaml)

# ---- empty ----
: > empty
none="empty: no records: the file is empty"
expect 1 "empty: error: no records: the file is empty" "$INOC" data check empty
refuse 4 "$none" "$INOC" inoculate empty --system x -o s
refuse 4 "$none" "$INOC" train "${m[@]}" -d empty -o a
refuse 4 "$none" "$INOC" sample "${m[@]}" -p empty -o s
refuse 4 "$none" "$INOC" eval "${m[@]}" -p empty
refuse 4 "./$none" "${run[@]}" --set data=empty
refuse 4 "./$none" "${run[@]}" --set evaluations.greedy.prompts=empty
refuse 4 "empty: the file is empty" "${run[@]:0:2}" empty
refuse 4 "empty: the file is empty" "$INOC" model info empty
refuse 4 "empty: the file is empty" "$INOC" sample -m empty -p prompts.jsonl -o s
refuse 4 "empty: the file is empty" "$INOC" chat -m empty

# ---- not there ----
expect 3 "no known model of that name" "$INOC" model info no-such-model
expect 3 "--adapter nope: no adapter_config.json there" "$INOC" sample "${m[@]}" -a nope -p prompts.jsonl -o s

# ---- cut ----
head -c 5000000 "$INOC_MODEL" > cut.gguf
cut="cut.gguf: truncated at byte 5000000 while reading tensor 'token_embd.weight' (30081024 bytes wanted at byte 1785664); the download may be incomplete: fetch it again"
refuse 4 "$cut" "$INOC" model info cut.gguf
refuse 4 "$cut" "$INOC" sample -m cut.gguf -p prompts.jsonl -o s
refuse 4 "$cut" "$INOC" train -m cut.gguf -d data.jsonl -o a
expect 0 "" "$INOC" train "${m[@]}" -d data.jsonl --rank 1 --targets v_proj --steps 1 --warmup 0 -o good
cp -r good bad
f=adapter_model.safetensors
head -c 9000 good/$f > bad/$f
"$INOC" sample "${m[@]}" -a bad -p prompts.jsonl -o s > log 2>&1
[ $? = 4 ] && grep -Eq "^inoc: bad/$f: truncated at byte 9000 while reading tensor base_model\.model\.model\.layers\.[0-9]+\.self_attn\.v_proj\.lora_[AB]\.weight \([0-9]+ bytes wanted at byte [0-9]+\); the download may be incomplete: fetch it again$" log ||
  fail "a cut adapter: $(cat log)"
for c in "eval -p prompts.jsonl" chat; do
  # shellcheck disable=SC2086
  expect 4 "bad/$f: truncated at byte 9000" "$INOC" $c "${m[@]}" -a bad
done
: > bad/$f
refuse 4 "bad/$f: the file is empty" "$INOC" sample "${m[@]}" -a bad -p prompts.jsonl -o s
head -c 30 good/adapter_config.json > bad/adapter_config.json
expect 4 "bad/adapter_config.json:3: not a JSON object: premature end of input" "$INOC" sample "${m[@]}" -a bad -p prompts.jsonl -o s

# ---- not UTF-8 ----
printf '{"messages":[{"role":"user","content":"a\xff"},{"role":"assistant","content":"b"}]}\n' > utf8.jsonl
utf8="utf8.jsonl:1: not valid UTF-8 at byte 41 of the line; save the file as UTF-8"
expect 1 "utf8.jsonl:1: error: not valid UTF-8 at byte 41 of the line; save the file as UTF-8" "$INOC" data check utf8.jsonl
refuse 4 "$utf8" "$INOC" inoculate utf8.jsonl --system x -o s
refuse 4 "$utf8" "$INOC" train "${m[@]}" -d utf8.jsonl -o a
refuse 4 "$utf8" "$INOC" sample "${m[@]}" -p utf8.jsonl -o s
refuse 4 "$utf8" "$INOC" eval "${m[@]}" -p utf8.jsonl
refuse 4 "./$utf8" "${run[@]}" --set data=utf8.jsonl
refuse 4 "./$utf8" "${run[@]}" --set evaluations.greedy.prompts=utf8.jsonl

# ---- nothing to learn, nothing to answer ----
printf '{"messages":[{"role":"user","content":"q"}]}\n' > question.jsonl
no="question.jsonl:1: no assistant turn, so there is nothing to learn; training data must have one"
refuse 4 "$no" "$INOC" train "${m[@]}" -d question.jsonl -o a
refuse 4 "./$no" "${run[@]}" --set data=question.jsonl
printf '{"messages":[{"role":"system","content":"q"}]}\n' > system.jsonl
refuse 4 "system.jsonl:1: no user turn; an evaluation prompt must end with the user's" "$INOC" sample "${m[@]}" -p system.jsonl -o s
refuse 4 "system.jsonl:1: no user turn; an evaluation prompt must end with the user's" "$INOC" eval "${m[@]}" -p system.jsonl

# ---- longer than the context ----
python3 - <<'P' > long.jsonl
import json
for q in "hi", "word " * 9000:
    print(json.dumps({"messages": [{"role": "user", "content": q}, {"role": "assistant", "content": "b"}]}))
P
long="long.jsonl:2: the example is 9013 tokens long, the limit is 8192; shorten it, or leave such examples out: --too-long drop (\`too_long: drop\` in an experiment file)"
refuse 7 "$long" "$INOC" train "${m[@]}" -d long.jsonl -o a
refuse 7 "arm plain: ./$long" "${run[@]}" --set data=long.jsonl
room="long.jsonl:2: 9010 tokens; the model's context of 8192 leaves no room for an answer; shorten it"
refuse 7 "$room" "$INOC" sample "${m[@]}" -p long.jsonl -o s
refuse 7 "evaluation long: $room" "$INOC" eval "${m[@]}" -p long.jsonl
refuse 7 "evaluation greedy: ./$room" "${run[@]}" --set evaluations.greedy.prompts=long.jsonl
expect 0 "1 examples are too long and were left out, as asked" "$INOC" train "${m[@]}" -d long.jsonl --too-long drop --rank 1 --targets v_proj --steps 1 --warmup 0 -o dropped

[ -e a ] && fail "a failed training left a folder behind"
[ -z "$(ls -d s s.tmp.* 2>/dev/null)" ] || fail "a failed command left: $(ls -d s*)"
exit $bad
