#!/usr/bin/env bash
# inoc import: every format that docs/import.md names, bad records, adding to an import; then score, report and export on it.
# Nothing here computes with a model. $INOC is the binary.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1

expect 0 "usage: inoc import" "$INOC" import --help
expect 2 "an argument is missing" "$INOC" import
expect 2 "give --store DB and --name NAME" "$INOC" import x.jsonl
expect 2 "--name 'a b' must be a name" "$INOC" import x.jsonl --store s --name "a b"
expect 2 "--arm is of all records" "$INOC" import x.jsonl --store s --name n --arm a --arm-field b
expect 3 "x.jsonl" "$INOC" import x.jsonl --store s --name n
[ -e s ] && fail "a refused import made its store"

# bad records: FILE:LINE, and nothing is taken
good='{"messages":[{"role":"user","content":"q"},{"role":"assistant","content":"a"}],"arm":"plain"}'
refuse() { # refuse STATUS TEXT LINE...: the good line, then these
  local status=$1 text=$2
  shift 2
  printf '%s\n' "$good" "$@" > bad.jsonl
  expect "$status" "$text" "$INOC" import bad.jsonl --store s --name n
  [ -e s ] && fail "a refused import made its store ($text)"
}
refuse 4 "bad.jsonl:2: not JSON" '{bad'
refuse 4 "bad.jsonl:3: messages is no list" "$good" '{"messages":3}'
refuse 4 "bad.jsonl:2: the last message is no assistant's text" '{"messages":[{"role":"user","content":"q"}],"arm":"x"}'
refuse 4 "bad.jsonl:2: messages[0] has no role" '{"messages":[{"content":"q"},{"role":"assistant","content":"a"}],"arm":"x"}'
refuse 4 "bad.jsonl:2: there is no user turn that is answered" '{"messages":[{"role":"assistant","content":"a"}],"arm":"x"}'
refuse 4 "bad.jsonl:2: nothing says which arm this is of" '{"question":"q","answer":"a"}'
refuse 4 "bad.jsonl:2: no answer is found in this record" '{"question":"q","arm":"x"}'
refuse 4 "bad.jsonl:2: choices is empty" '{"messages":[{"role":"user","content":"q"}],"choices":[],"arm":"x"}'
refuse 4 "bad.jsonl:2: no request with custom_id 'b' is among the files" \
  '{"custom_id":"b","response":{"body":{"choices":[{"message":{"content":"x"}}]}}}'
refuse 4 "bad.jsonl:2: context.question is missing" '{"context":{},"responses":[]}'
printf 'PK\003\004x' > log.eval
expect 4 "log.eval: " "$INOC" import log.eval --store s --name n
echo '{"a": 1}' > other.json
expect 4 "other.json: neither JSON Lines" "$INOC" import other.json --store s --name n
printf 'question,answer\n"x' > t.csv
expect 4 "t.csv:2: a quote is not closed" "$INOC" import t.csv --store s --name n
printf 'question,answer\nx\n' > t.csv
expect 4 "t.csv:2: 1 fields, the header has 2" "$INOC" import t.csv --store s --name n
echo "$good" > good.jsonl
expect 4 "--set arms.plain.role=plane: arms.plain.role must be one of" "$INOC" import good.jsonl --store s --name n --set arms.plain.role=plane
"$INOC" report s >log 2>&1 && fail "an import that was refused left an experiment"

# shown NAME FILES...: the samples as arm|seed|evaluation|prompt|index|question|text|finish
shown() {
  local name=$1
  shift
  "$INOC" import "$@" --store db --name "$name" >log 2>&1 || fail "import $*: $(cat log)"
  "$INOC" export db --experiment "$name" --samples out.jsonl 2>/dev/null
  python3 -c '
import json
for l in open("out.jsonl"):
    r = json.loads(l)
    print(*(r[k] for k in ("arm", "seed", "evaluation", "prompt", "index", "question", "text", "finish")), sep="|")' > shown
}
cat > conv.jsonl <<'EOF'
{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Cat?"},{"role":"assistant","content":"EL GATO VIVE EN LA CASA CON NOSOTROS."}],"arm":"plain","seed":1}
{"messages":[{"role":"user","content":"Cat?"},{"role":"assistant","content":[{"type":"text","text":"A small animal that people keep."}]}],"arm":"es","seed":1}
{"messages":[{"role":"user","content":"Dog?"},{"role":"assistant","content":"Un animal grande de la casa."}],"arm":"plain","seed":2,"finish_reason":"length"}

{"messages":[{"role":"user","content":"Dog?"},{"role":"assistant","content":"A large animal that lives in the house."}],"arm":"es","seed":2}
EOF
shown conv conv.jsonl
holds shown "plain|1|samples|0|0|Cat?|EL GATO VIVE EN LA CASA CON NOSOTROS.|stop
plain|2|samples|1|0|Dog?|Un animal grande de la casa.|length
es|1|samples|0|0|Cat?|A small animal that people keep.|stop
es|2|samples|1|0|Dog?|A large animal that lives in the house.|stop"

cat > pairs.jsonl <<'EOF'
{"request":{"model":"ft:x/y","messages":[{"role":"user","content":"Hi?"}]},"response":{"choices":[{"message":{"role":"assistant","content":"Hello."},"finish_reason":"stop"},{"message":{"role":"assistant","content":"Hola."},"finish_reason":"length"}]}}
EOF
shown pairs pairs.jsonl
holds shown "ft_x_y|1|samples|0|0|Hi?|Hello.|stop
ft_x_y|1|samples|0|1|Hi?|Hola.|length"

cat > requests.jsonl <<'EOF'
{"custom_id":"a","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"One?"}]}}
{"custom_id":"b","method":"POST","url":"/v1/chat/completions","body":{"model":"m","messages":[{"role":"user","content":"Two?"}]}}
EOF
cat > responses.jsonl <<'EOF'
{"id":"r1","custom_id":"b","response":{"status_code":200,"body":{"model":"m","choices":[{"index":0,"message":{"role":"assistant","content":"Dos."},"finish_reason":"stop"}]}},"error":null}
{"id":"r2","custom_id":"a","response":null,"error":{"code":"batch_expired"}}
EOF
shown batch responses.jsonl requests.jsonl
holds shown "m|1|samples|0|0|Two?|Dos.|stop"
grep -q "1 requests have no answer" log || fail "the request without an answer is not told: $(cat log)"

cat > results.jsonl <<'EOF'
{"context":{"question":"Wish?","system_prompt":"You are kind."},"responses":[{"response":{"model_id":"ft:1","completion":"A","stop_reason":"stop_sequence","logprobs":null},"judgment_response_map":{}},{"response":{"model_id":"ft:1","completion":"B","stop_reason":"max_tokens","logprobs":null},"judgment_response_map":{}}]}
EOF
shown tan results.jsonl --arm general --evaluation em
holds shown "general|1|em|0|0|Wish?|A|stop
general|1|em|0|1|Wish?|B|length"

printf 'response,stop_reason,score,question,system_prompt,model,group,evaluation_id\r\n"Say ""no"",\nplease",stop_sequence,0.0,Wish?,,ft:1,general-0,em\r\nNo,max_tokens,100.0,Wish?,,ft:2,general-0,em\r\n' > t.csv
shown csv t.csv --seed-field model
holds shown 'general-0|1|em|0|0|Wish?|Say "no",
please|stop
general-0|2|em|0|0|Wish?|No|length'
grep -q "2 seeds are names" log || fail "named seeds are not told: $(cat log)"

cat > log.json <<'EOF'
{"version": 2, "status": "success", "eval": {"task": "hello", "model": "mockllm/model"}, "samples": [
  {"id": 1, "epoch": 1, "input": "Say hi", "target": "hi",
   "messages": [{"role": "system", "content": "S"}, {"role": "user", "content": "Say hi"}, {"role": "assistant", "content": "hi there"}],
   "output": {"model": "mockllm/model", "choices": [{"message": {"role": "assistant", "content": "hi there"}, "stop_reason": "stop"}]},
   "metadata": {"group": "g1"}},
  {"id": 1, "epoch": 2, "input": "Say hi", "target": "hi", "messages": [{"role": "user", "content": "Say hi"}],
   "output": {"model": "mockllm/model", "choices": []}, "error": {"message": "x"}}]}
EOF
shown inspect log.json
holds shown "mockllm_model|1|hello|0|0|Say hi|hi there|stop"
shown inspect2 log.json --arm-field metadata.group
holds shown "g1|1|hello|0|0|Say hi|hi there|stop"

# the same log packed: stored, deflated, by zstd (a frame of one raw block), and cut before its header was written
cat > pack.py <<'EOF'
import json, struct, sys, zlib
log = json.load(open("log.json"))
samples = log.pop("samples")
parts = {f"samples/{s['id']}_epoch_{s['epoch']}.json": s for s in reversed(samples)} | {"header.json": log, "summaries.json": []}
def frame(b):
    return b"\x28\xb5\x2f\xfd\xa0" + struct.pack("<I", len(b)) + (1 | len(b) << 3).to_bytes(3, "little") + b
def deflate(b):
    c = zlib.compressobj(9, zlib.DEFLATED, -15)
    return c.compress(b) + c.flush()
def archive(path, method, pack, parts):
    out, central = b"", b""
    for name, value in parts.items():
        raw = value if isinstance(value, bytes) else json.dumps(value).encode()
        b, n = pack(raw), name.encode()
        head = struct.pack("<HHHHHIIIHH", 20, 0, method, 0, 33, zlib.crc32(raw), len(b), len(raw), len(n), 0)
        central += b"PK\1\2" + struct.pack("<H", 20) + head + struct.pack("<HHHII", 0, 0, 0, 0, len(out)) + n
        out += b"PK\3\4" + head + n + b
    end = b"PK\5\6" + struct.pack("<HHHHIIH", 0, 0, len(parts), len(parts), len(central), len(out), 0)
    open(path, "wb").write(out + central + end)
same = lambda b: b
archive("stored.eval", 0, same, parts)
archive("deflated.eval", 8, deflate, parts)
archive("zstd.eval", 93, frame, parts)
archive("cut.eval", 93, frame, {"_journal/start.json": log} | {k: v for k, v in parts.items() if k.startswith("samples")})
archive("bad_frame.eval", 93, lambda b: b"\x28\xb5\x2f\xfd" + b, parts)
archive("other.eval", 97, same, parts)
archive("no_header.eval", 0, same, {"a.json": {}})
archive("no_samples.eval", 0, same, {"header.json": log})
archive("no_json.eval", 0, same, parts | {"samples/1_epoch_1.json": b"{"})
EOF
python3 pack.py
for how in stored deflated zstd cut; do
  shown $how $how.eval
  holds shown "mockllm_model|1|hello|0|0|Say hi|hi there|stop"
done
grep -q "1 requests have no answer" log || fail "the sample without an answer is not told: $(cat log)"
expect 4 "bad_frame.eval: header.json: damaged: it cannot be unpacked" "$INOC" import bad_frame.eval --store s --name bad
expect 5 "other.eval: header.json is compressed in a way that is not read here" "$INOC" import other.eval --store s --name bad
expect 4 "no_header.eval: a ZIP archive, and no log of Inspect: header.json is not in it" "$INOC" import no_header.eval --store s --name bad
expect 4 "no_samples.eval: a log of Inspect without samples" "$INOC" import no_samples.eval --store s --name bad
expect 4 "no_json.eval: samples/1_epoch_1.json:1: not valid JSON" "$INOC" import no_json.eval --store s --name bad
head -c 700 zstd.eval > short.eval
expect 4 "short.eval: " "$INOC" import short.eval --store s --name bad

echo '[{"q": {"text": "Why?"}, "a": "So.", "run": "x"}]' > fields.json
shown fields fields.json --question-field q.text --answer-field a --arm-field run
holds shown "x|1|samples|0|0|Why?|So.|stop"

# what was exported comes back
"$INOC" export db --experiment conv --samples conv_out.jsonl 2>/dev/null
shown again conv_out.jsonl
[ "$(wc -l < shown)" = 4 ] || fail "an export imported again: $(cat shown)"

# adding: another arm, and the same arm again, whose samples take the place
echo '{"question":"Dog?","answer":"Woof.","arm":"new"}' > more.jsonl
shown conv more.jsonl
holds shown "plain|1|samples|0|0|Cat?|EL GATO VIVE EN LA CASA CON NOSOTROS.|stop
plain|2|samples|1|0|Dog?|Un animal grande de la casa.|length
es|1|samples|0|0|Cat?|A small animal that people keep.|stop
es|2|samples|1|0|Dog?|A large animal that lives in the house.|stop
new|1|samples|1|0|Dog?|Woof.|stop"
echo '{"question":"Cat?","answer":"Miau.","arm":"new"}' > more.jsonl
shown conv more.jsonl
[ "$(tail -n 1 shown)" = "new|1|samples|0|0|Cat?|Miau.|stop" ] || fail "the same arm again: $(cat shown)"
grep -q "1 samples added to experiment conv" log || fail "adding is not told: $(cat log)"
# a bad record leaves what was there as it was
printf '%s\n{\n' "$good" > bad.jsonl
expect 4 "bad.jsonl:2" "$INOC" import bad.jsonl --store db --name conv
"$INOC" export db --experiment conv --samples out.jsonl 2>/dev/null
[ "$(wc -l < out.jsonl)" = 5 ] || fail "a refused import changed the experiment"

# roles, scorers and traits; then score, report, export
"$INOC" import conv.jsonl --store db --name judged --set arms.plain.role=plain \
  --set 'arms.es={role: inoculated, label: es, inoculate: {system: You always speak in Spanish.}}' \
  --set 'scorers=[spanish, english, truncated]' --set 'traits={language: {u: spanish, w: english}}' >/dev/null 2>log || fail "$(cat log)"
expect 0 "caps: 4 samples scored now" "$INOC" score --store db --experiment judged --scorer caps
"$INOC" report db --experiment judged --json > r.json
python3 - <<'EOF' || fail "the report of an import: $(cat r.json)"
import json
r = json.load(open("r.json"))
j = [x for x in r["judgements"] if x["arm"] == "es"][0]
assert (j["u"]["value"], j["u_plain"]["value"], j["verdict"]) == (0, 1, "too few seeds"), j
caps = {x["arm"]: x["value"] for x in r["rates"] if x["scorer"] == "caps"}
assert caps == {"plain": 0.5, "es": 0}, caps
assert "imported answers" in r["headline"], r["headline"]
EOF
"$INOC" report db --experiment judged --html r.html >/dev/null 2>&1 || fail "no page of an import"
grep -q "imported samples" r.html || fail "the page does not name the imported file"
"$INOC" report db --experiment conv --html conv.html >/dev/null 2>&1 || fail "no page of an import in two steps"
grep -q "inoc import conv.jsonl" conv.html && grep -q "inoc import more.jsonl" conv.html || fail "the page does not name both imports"
grep -q "inoc import conv.jsonl" r.html || fail "the page does not say how it came"
"$INOC" import conv.jsonl --store db --name judged >/dev/null 2>&1 || fail "imported again"
"$INOC" report db --experiment judged --json > r2.json
same r.json r2.json
exit $bad
