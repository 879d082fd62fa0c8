#!/usr/bin/env bash
# inoc logprob: its sums, its records, one record against many, turns left out, errors. $INOC_MODEL is the model.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
m=(-m "$INOC_MODEL")
head -n 12 "$SOURCE/settings/spanish-caps/train.jsonl" > data.jsonl

# the loss that training reports for held-out records
"$INOC" train "${m[@]}" -d data.jsonl --validation data.jsonl --rank 2 --steps 2 --warmup 0 --lr 1e-3 --json \
  -o adapter > train.json 2> log || fail "train: $(cat log)"
"$INOC" logprob "${m[@]}" -a adapter data.jsonl -o all.jsonl --json > all.json 2> log || fail "logprob: $(cat log)"
"$INOC" logprob "${m[@]}" data.jsonl --json > base.json 2> log || fail "logprob of the base: $(cat log)"
# a record alone, and one by one, gives what it gives among others
sed -n 5p data.jsonl > one.jsonl
"$INOC" logprob "${m[@]}" -a adapter one.jsonl -o one.out > one.txt 2> log || fail "logprob of one: $(cat log)"
"$INOC" logprob "${m[@]}" -a adapter data.jsonl --micro-tokens 1 -o - > apart.jsonl 2> log || fail "one by one: $(cat log)"
same all.jsonl apart.jsonl
grep -q "^data.jsonl: 12 records, " log || fail "with -o - the sums belong to standard error: $(cat log)"
# two turns: all, the last, and the first of weight 0
python3 - <<'P'
import json
turn = lambda r, c, **k: {"role": r, "content": c, **k}
q = [turn("user", "Say hi."), turn("assistant", "Hi."), turn("user", "Bye."), turn("assistant", "Good bye, ñandú!")]
w = [q[0], turn("assistant", "Hi.", weight=0), *q[2:]]
for name, c in ("two", q), ("weight", w):
    open(name + ".jsonl", "w").write(json.dumps({"messages": c, "id": 7}) + "\n")
P
"$INOC" logprob "${m[@]}" two.jsonl -o two.out > /dev/null 2>&1 || fail "two turns"
"$INOC" logprob "${m[@]}" two.jsonl --loss-on last -o last.out > /dev/null 2>&1 || fail "the last turn"
"$INOC" logprob "${m[@]}" weight.jsonl -o weight.out > /dev/null 2>&1 || fail "weight 0"
# a system turn where none is given is what comes before
"$INOC" logprob "${m[@]}" two.jsonl --system "You always speak in Spanish." -o system.out > /dev/null 2>&1 || fail "with a system turn"
python3 - <<'P' || fail "the figures"
import json, math
lines = lambda f: [json.loads(x) for x in open(f)]
train, total, base = (json.load(open(f)) for f in ("train.json", "all.json", "base.json"))
rows = lines("all.jsonl")
near = lambda a, b, rel: abs(a - b) <= rel * abs(b)
assert near(total["nats_per_token"], train["val_loss"], 1e-6), (total["nats_per_token"], train["val_loss"])
assert base["nats_per_token"] > total["nats_per_token"]  # two steps taught it something
assert len(rows) == total["records"] == 12 and total["left_out"] == 0
for k, v in ("logprob", "logprob"), ("n_tokens", "response_tokens"), ("n_bytes", "response_bytes"):
    assert near(sum(r[k] for r in rows), total[v], 1e-7), (k, total[v])
assert total["tokens"] > total["response_tokens"]
assert near(total["nats_per_token"], -total["logprob"] / total["response_tokens"], 1e-8)
assert near(total["perplexity"], math.exp(total["nats_per_token"]), 1e-7)
assert near(total["bits_per_byte"], -total["logprob"] / math.log(2) / total["response_bytes"], 1e-7)
data = lines("data.jsonl")
for i, (r, d) in enumerate(zip(rows, data)):
    assert r["line"] == i + 1 and r["messages"] == d["messages"] and r["es"] == d["es"]
    assert r["n_bytes"] == len(d["messages"][-1]["content"].encode())
one = lines("one.out")[0]
assert one["logprob"] == rows[4]["logprob"] and one["line"] == 1, (one, rows[4])
two, last, weight, system = (lines(f + ".out")[0] for f in ("two", "last", "weight", "system"))
assert two["id"] == 7 and two["n_bytes"] == len("Hi.Good bye, ñandú!".encode()), two
assert last["n_bytes"] == len("Good bye, ñandú!".encode()) and last["n_tokens"] < two["n_tokens"]
assert (weight["n_bytes"], weight["n_tokens"], weight["logprob"]) == (last["n_bytes"], last["n_tokens"], last["logprob"])
assert two["logprob"] < last["logprob"] < 0
assert system["n_tokens"] == two["n_tokens"] and system["logprob"] != two["logprob"]
P
grep -Eq '^one.jsonl: 1 records, [0-9]+ response tokens; [0-9.]+ nats a token, perplexity [0-9.]+, [0-9.]+ bits a byte; ' one.txt || fail "$(cat one.txt)"

# what is refused, and that nothing is left behind
expect 2 "an argument is missing; usage: inoc logprob" "$INOC" logprob "${m[@]}"
expect 2 "give --model" "$INOC" logprob data.jsonl
expect 2 "--loss-on is 'first'; it must be one of all, last" "$INOC" logprob "${m[@]}" data.jsonl --loss-on first
expect 2 "--micro-tokens is 0; it must be from 1" "$INOC" logprob "${m[@]}" data.jsonl --micro-tokens 0
expect 3 "no-such.jsonl: " "$INOC" logprob "${m[@]}" no-such.jsonl -o s
expect 3 "its folder does not exist" "$INOC" logprob "${m[@]}" data.jsonl -o no/such/s
: > empty
expect 4 "empty: no records: the file is empty" "$INOC" logprob "${m[@]}" empty -o s
(cat one.jsonl; echo '{"messages":[{"role":"user","content":"q"}]}') > question.jsonl
expect 4 "question.jsonl:2: no assistant turn" "$INOC" logprob "${m[@]}" question.jsonl -o s
(cat one.jsonl; echo '{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a","weight":0}]}') > zero.jsonl
expect 4 "zero.jsonl:2: " "$INOC" logprob "${m[@]}" zero.jsonl -o s
expect 7 "data.jsonl:1: the example is " "$INOC" logprob "${m[@]}" data.jsonl --max-length 20 -o s
expect 4 "data.jsonl: no records are left (12 of 12 are too long)" "$INOC" logprob "${m[@]}" data.jsonl --max-length 2 --too-long drop -o s
(cat one.jsonl two.jsonl) > mixed.jsonl
expect 0 "1 records are too long and were left out, as asked" "$INOC" logprob "${m[@]}" mixed.jsonl --max-length 36 --too-long drop -o mixed.out
[ "$(wc -l < mixed.out)" = 1 ] || fail "a record that is too long was written"
[ -z "$(ls -d s s.tmp.* 2>/dev/null)" ] || fail "a failed command left: $(ls -d s*)"
exit $bad
