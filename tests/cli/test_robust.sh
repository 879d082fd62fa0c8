#!/usr/bin/env bash
# The program on the real model when things go wrong: too little memory, a full disk, Ctrl-C, kill -9, two runs at
# once. $INOC is the binary, $INOC_MODEL the model, $SOURCE the repository.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"

head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl
head -n 3 "$SOURCE/settings/spanish-caps/eval.jsonl" > prompts.jsonl
train=("$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 2 --batch 2 --steps 12 --checkpoint-every 1)

# ---- memory: less address space than the weights need ----
expect 6 "are available" bash -c 'ulimit -v 500000; exec "$@"' - "${train[@]}" -o a
expect 6 "are available" env INOC_CACHE=off bash -c 'ulimit -v 700000; exec "$@"' - "${train[@]}" -o a
expect 6 "available" bash -c 'ulimit -v 700000; exec "$@"' - "${train[@]}" -o a # mapped they fit, the adapter does not

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
for from in 2 6; do
  rm -rf three
  "${train[@]}" -o three >/dev/null 2>&1 &
  pid=$!
  wait_for $pid rows three/metrics.jsonl $((from + RANDOM % 4))
  kill -9 $pid 2>/dev/null
  wait $pid 2>/dev/null
  [ -e three/adapter_model.safetensors ] && fail "kill -9 missed the training"
  rm -f three/adapter_model.safetensors
  expect 0 "going on from step" "${train[@]}" -o three
  same one/adapter_model.safetensors three/adapter_model.safetensors
  same one/metrics.jsonl three/metrics.jsonl
done

# ---- Ctrl-C: stops cleanly, says how to go on ----
rm -rf three
"$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 2 --batch 2 --steps 400 --checkpoint-every 50 -o three >log 2>&1 &
pid=$!
wait_for $pid rows three/metrics.jsonl 3
kill -INT $pid
wait $pid
rc=$?
[ $rc = 130 ] && grep -q "run the same command again to go on from here" log || fail "Ctrl-C: status $rc, expected 130: $(tail -n 3 log)"

# ---- a full disk (a limit on the size of files stands for it): an error, the old file stays ----
echo old > s.jsonl
expect 3 "s.jsonl" bash -c 'trap "" XFSZ; ulimit -f 1; exec "$@"' - "$INOC" sample -m "$INOC_MODEL" --prompts prompts.jsonl -o s.jsonl --max-tokens 40 -n 8
[ "$(cat s.jsonl)" = old ] || fail "a full disk spoilt the old file"
[ -n "$(ls s.jsonl.tmp.* 2>/dev/null)" ] && fail "a full disk left a temporary file"
expect 3 "adapter" bash -c 'trap "" XFSZ; ulimit -f 64; exec "$@"' - "$INOC" train -m "$INOC_MODEL" -d data.jsonl --rank 2 --steps 1 -o four
[ -e four/adapter_model.safetensors ] && fail "a full disk left half an adapter"

# ---- an experiment: stopped, run twice at once, run again ----
cat > e.yaml <<Y
name: e
model: $INOC_MODEL
data: data.jsonl
seeds: [1]
controls: none
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
wait_for $pid test -s out/store.db.lock
expect 9 "process $pid since " "$INOC" run e.yaml
wait $pid || fail "inoc run: $(tail -n 3 run.log)"
before=$(sha256sum out/adapters/*/adapter_model.safetensors)
expect 0 "" "$INOC" run e.yaml
[ "$before" = "$(sha256sum out/adapters/*/adapter_model.safetensors)" ] || fail "a second run made other adapters"
expect 0 "0 training steps and 0 samples to do" "$INOC" run e.yaml --dry-run
for f in report.html results.csv store.db; do [ -s out/$f ] || fail "out/$f is missing"; done
head -n 1 out/results.csv | grep -qx 'experiment,arm,seed,evaluation,scorer,n,missing,value,low,high' || fail "results.csv: $(head -n 1 out/results.csv)"
expect 0 "" "$INOC" export --samples x.jsonl out
[ "$(wc -l < x.jsonl)" = 9 ] || fail "export: $(wc -l < x.jsonl) lines, expected 9"
expect 0 "" "$INOC" score --store out/store.db --scorer looping

# ---- the bar on a terminal of 40 columns, and on one that does not tell its width ----
cat > bar.py <<'P'
import fcntl, os, pty, re, struct, sys, termios
columns = int(sys.argv[1])
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(2, termios.TIOCSWINSZ, struct.pack("HHHH", 0, columns, 0, 0))
    os.execv(sys.argv[2], sys.argv[2:])
text = b""
try:
    while chunk := os.read(fd, 65536):
        text += chunk
except OSError:
    pass
assert os.waitpid(pid, 0)[1] == 0, text
bars = re.findall("\r\x1b\\[K([^\r]*)", text.decode())
longest = max(map(len, bars))
assert bars and longest <= (columns or 80) - 1, (longest, bars)
assert not columns or longest == columns - 1, (longest, bars)
P
has_pty || echo "skipped: no pseudo-terminals here, so no look at the bar"
for columns in 40 0; do
  has_pty || break
  python3 bar.py $columns "$INOC" sample -m "$INOC_MODEL" -p prompts.jsonl -o s.jsonl --max-tokens 2 || fail "the bar does not fit $columns columns"
done

# ---- chat, piped ----
got=$(printf 'What is the capital of France?\n/reset\n/quit\n' | "$INOC" chat -m "$INOC_MODEL" --greedy --max-tokens 16 2>&1)
[[ "$got" == *Paris* ]] || fail "chat: $got"
printf 'Hi\na\xff\n' > lines
expect 4 "standard input:2: not valid UTF-8" bash -c '"$@" < lines' - "$INOC" chat -m "$INOC_MODEL" --greedy --max-tokens 2
exit $bad
