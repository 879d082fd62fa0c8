#!/usr/bin/env bash
# Scorer type judge and inoc judge check against a real server that delays, fails, truncates and lies (judge_server.py), over http
# and TLS; a local judge. $INOC_MODEL is the model that the judged answers come from, a few tokens each.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
export XDG_CACHE_HOME=$dir/cache INOC_CACHE=off
export JUDGE_TEST_KEY=sk-test-0123456789abcdef http_proxy=http://127.0.0.1:1 # the key must not go through a proxy
unset OPENAI_API_KEY
servers=()
trap 'kill "${servers[@]}" 2>/dev/null; rm -rf "$dir"' EXIT

serve() { # serve PORTFILE [CERT KEY]: $port is what it got
  python3 "$SOURCE/tests/cli/judge_server.py" "$@" 2> "$1.log" &
  servers+=($!)
  wait_for $! test -s "$1" || { cat "$1.log"; exit 1; }
  port=$(cat "$1")
}
serve plain
base=http://localhost:$port
stats() { # stats EXPRESSION over s, what the server has seen
  python3 -c '
import json, sys, urllib.request
s = json.load(urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1] + "/stats"))
print(eval(sys.argv[2]))' "$base" "$1"
}
is() { # is WHAT GOT WANTED
  [ "$2" = "$3" ] || fail "$1: $2, not $3"
}
sql() { python3 -c 'import sqlite3, sys; [print(*r) for r in sqlite3.connect(sys.argv[1]).execute(sys.argv[2])]' "$@"; }
judge() { # judge MODE [OPTION VALUE]...: settings as JSON
  python3 - "$base" "$@" <<'P'
import json, sys
base, mode, *more = sys.argv[1:]
j = {"type": "judge", "url": f"{base}/{mode}/v1/", "model": "m", "key_env": "JUDGE_TEST_KEY", "template": "{question}\n{answer}", "backoff_s": 0.01, "timeout_s": 20}
for k, v in zip(more[::2], more[1::2]):
    v = json.loads(v)
    if v is None:
        j.pop(k, None)
    else:
        j[k] = v
print(json.dumps(j))
P
}

# ---- what there is to judge: 24 questions, one answer each; the question says what the judge will give ----
python3 - <<'P'
import json
with open("prompts.jsonl", "w") as f:
    for i in range(24):
        print(json.dumps({"messages": [{"role": "user", "content": f"Question {i}. SCORE={4 * i} "}]}), file=f)
P
eval=("$INOC" eval -m "$INOC_MODEL" -p prompts.jsonl --greedy --max-tokens 2 --scorers truncated --name e)
expect 0 "" "${eval[@]}" --store s
score() { # score NAME MODE [OPTION VALUE]...
  local name=$1
  shift
  "$INOC" score --store s --scorer "$name=$(judge "$@")" > out 2> log
  local rc=$?
  cat out log >> all.log
  return $rc
}
scores() { # of a scorer, by question
  sql s/store.db "SELECT round(100 * c.value, 6) FROM scorer_name n JOIN score c ON c.scorer = n.scorer JOIN sample a ON a.id = c.sample
    JOIN prompt p ON p.id = a.prompt WHERE n.name = '$1' ORDER BY CAST(substr(p.question, 10) AS INTEGER)"
}
seq 0 4 92 | sed 's/$/.0/' > wanted

# ---- all is well: each once, with the key, at most eight at a time; a second time nothing is asked ----
score good good || fail "score: $(cat log)"
scores good > got
same wanted got
is "requests" "$(stats 's["seen"]["good"]')" "$(python3 -c 'print([1] * 24)')"
grep -q "good: m at $base/good/v1: 24 answers, 24 asked now, 0 kept from before; 2400 tokens in, 24 out; 0 missing; it calls itself judge-2026-01-01" log || fail "the note: $(cat log)"
score again good || fail "score again: $(cat log)"
is "requests, the second time" "$(stats 'sum(s["seen"]["good"])')" 24
is "what is asked" "$(stats '{k: v for k, v in s["body"]["good"].items() if k != "messages"}')" \
  "{'logprobs': True, 'max_tokens': 1, 'model': 'm', 'temperature': 0, 'top_logprobs': 20}"
# thresholds and mass change what is made of a reply, not what is asked
score high good at_least 48 min_mass 0.8 || fail "score high: $(cat log)"
is "requests for another threshold" "$(stats 'sum(s["seen"]["good"])')" 24
is "at least 48 of 100" "$(scores high | sort | uniq -c | tr -s ' ' | tr '\n' ';')" " 12 0.0; 12 100.0;"
# in combinations: both; the one where the other holds
"$INOC" score --store s --scorer "both={\"all\": [$(judge good above 50), {\"not\": $(judge good above 80)}]}" > out 2> log || fail "all: $(cat log)"
is "over 50 and not over 80" "$(scores both | sort | uniq -c | tr -s ' ' | tr '\n' ';')" " 16 0.0; 8 100.0;"
"$INOC" score --store s --scorer "given={\"given\": [$(judge good above 50), $(judge good above 80)]}" > out 2> log || fail "given: $(cat log)"
is "over 80 of those over 50" "$(scores given | sort | uniq -c | tr -s ' ' | tr '\n' ';')" " 8 0.0; 3 100.0; 13 None;"
is "requests for combinations" "$(stats 'sum(s["seen"]["good"])')" 24
expect 2 "or a probability, is no yes or no: give it a threshold" "$INOC" score --store s --scorer "x={\"all\": [$(judge good)]}"

# ---- order and concurrency do not matter ----
score one shuffle concurrency 1 || fail "one at a time: $(cat log)"
scores one > got
same wanted got
score many "shuffle/other" concurrency 3 || fail "three at a time: $(cat log)"
scores many > got
same wanted got
[ "$(stats 's["most"]')" -le 8 ] || fail "more than eight at a time: $(stats 's["most"]')"

# ---- what passes: each request fails five times in different ways ----
score errors errors || fail "errors: $(cat log)"
scores errors > got
same wanted got
is "tries" "$(stats 's["seen"]["errors"]')" "$(python3 -c 'print([6] * 24)')"
grep -q "tries failed and were repeated" log || fail "failed tries: $(cat log)"
# a server that says when to come back, in seconds and by date
for mode in wait waitdate; do
  score $mode $mode concurrency 1 || fail "$mode: $(cat log)"
  scores $mode > got
  same wanted got
  is "requests of $mode" "$(stats "sum(s['seen']['$mode'])")" 25
done
is "requests before their time" "$(stats 's["early"]')" 0
score late waitlong
is "status of waitlong" $? 10
grep -q "it asks to wait 86400 s, longer than max_wait_s (120): HTTP 429: see you tomorrow" log || fail "waitlong: $(cat log)"

# ---- what does not pass: once, told at once ----
refused() { # refused MODE TEXT [OPTION VALUE]...
  local mode=$1 text=$2
  shift 2
  score "$mode" "$mode" concurrency 1 "$@"
  is "status of $mode" $? 10
  grep -q -- "$text" log || fail "$mode: $(cat log)"
}
refused refuse "judge m at $base/refuse/v1: it refuses: HTTP 401: Incorrect API key provided: Bearer \*\*\*\*\*\*.*; check the key"
refused badrequest "HTTP 400: logprobs are not supported; where it does not know log-probabilities, give logprobs: false"
refused quota "it refuses: HTTP 429: You exceeded your current quota; check the account"
refused moved "HTTP 302: (it says nothing); redirects are not followed"
for mode in refuse badrequest quota moved; do is "requests of $mode" "$(stats "sum(s['seen']['$mode'])")" 1; done
# after the tries: a server that is down, that lies about probabilities, that never ends, that never answers; none at all
refused down "no answer after 3 tries; the last: HTTP 500: out of order" tries 3
is "tries of the one that failed" "$(stats 'max(s["seen"]["down"])')" 3
refused impossible "no answer after 2 tries; the last: a log-probability of 4, which is no probability" tries 2
refused endless "no answer after 2 tries; the last: its answer is longer than 4 MiB" tries 2
refused never "no answer after 2 tries; the last: .*timed out" tries 2 timeout_s 0.3
free=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
score dead good url "\"http://127.0.0.1:$free/v1\"" tries 3
is "status of a dead endpoint" $? 10
grep -q "judge m at http://127.0.0.1:$free/v1: no answer after 3 tries; the last: Failed to connect" log || fail "dead: $(cat log)"

# ---- what is no number is missing, counted ----
missing() { # missing MODE NOTE [OPTION VALUE]...
  local mode=$1 text=$2
  shift 2
  score "$mode" "$mode" "$@" || fail "$mode: $(cat log)"
  is "scores of $mode" "$(scores "$mode" | sort -u)" None
  grep -q -- "$text" log || fail "$mode: $(cat log)"
}
missing prose "24 missing, 24 that are no number"
missing little "24 missing, 24 with less than 0.25 of the probability on numbers"
score unread text parse false || fail "unread: $(cat log)"
grep -q "24 missing, 24 that are no number" log || fail "unread: $(cat log)"
score text text || fail "text: $(cat log)"
scores text > got
same wanted got
grep -q "24 read from the text, without log-probabilities; 0 missing" log || fail "text: $(cat log)"
score cut cut || fail "cut: $(cat log)"
grep -q "cut in the number perhaps (logprobs: false asks for more tokens)" log || fail "cut: $(cat log)"
is "what may be cut" "$(scores cut | sort | uniq -c | tr -s ' ' | tr '\n' ';')" " 1 0.0; 23 None;"
# the report gives them by reason, and asks nothing
"$INOC" report --json s > report.json 2> log || fail "report: $(cat log)"
python3 - <<'P' || fail "answers without a score, by reason"
import json
got = {m["scorer"]: (m["missing"], m["little_mass"], m["prose"], m["cut"], m["other"]) for m in json.load(open("report.json"))["missing"]}
want = {"little": (24, 24, 0, 0, 0), "prose": (24, 0, 24, 0, 0), "cut": (23, 0, 0, 23, 0), "given": (13, 0, 0, 0, 13)}
assert {k: got.get(k) for k in want} == want and "good" not in got, got
P
"$INOC" report --html - s > page.html 2> log || fail "report --html: $(cat log)"
grep -q "<tr><td>cut</td><td>prompts</td><td>base</td><td class=\"n\">23</td><td class=\"n\">0</td><td class=\"n\">0</td><td class=\"n\">23</td><td class=\"n\">0</td></tr>" page.html ||
  fail "the page does not give the reasons: $(grep -A3 'Not scored by a judge' page.html)"
is "requests for the report" "$(stats 'sum(s["seen"]["prose"])')" 24
score longer text logprobs false || fail "longer: $(cat log)"
is "asked without log-probabilities" "$(stats '{k: v for k, v in s["body"]["text"].items() if k != "messages"}')" "{'max_tokens': 8, 'model': 'm', 'temperature': 0}"
# numbers that are none: of the mass on 40 and 60 alone
score lies lies || fail "lies: $(cat log)"
is "lies" "$(scores lies | sort -u)" 50.0
score digits digits || fail "digits: $(cat log)"
grep -q "no number of two digits is among 24 replies" log || fail "digits: $(cat log)"

# ---- equal requests of a lot are asked once ----
score same good template '"SCORE=7 {answer}"' || fail "same: $(cat log)"
distinct=$(sql s/store.db "SELECT count(DISTINCT text) FROM sample")
is "requests for $distinct different texts" "$(stats 'sum(s["seen"]["good"])')" $((24 + distinct))

# ---- killed, and stopped: what was answered is not asked again ----
hold=(score --store s --scorer "hold=$(judge hold concurrency 4)")
count() { sql s/store.db "SELECT count(*) FROM judged"; }
before=$(count)
"$INOC" "${hold[@]}" > out 2> log & # ten are answered, then nothing is
pid=$!
kept() { [ "$(count)" -ge $((before + 10)) ]; }
asked() { [ "$(stats 'sum(s["seen"].get("hold", [0]))')" -ge "$1" ]; }
wait_for $pid kept
wait_for $pid asked 14
kill -9 $pid
wait $pid 2>/dev/null
"$INOC" "${hold[@]}" > out 2> log &
pid=$!
wait_for $pid asked 18
kill -INT $pid
wait $pid
is "status of Ctrl-C" $? 130
grep -q "stopped; what the judge has answered is kept" log || fail "Ctrl-C: $(cat log)"
python3 -c 'import sys, urllib.request; urllib.request.build_opener(urllib.request.ProxyHandler({})).open(sys.argv[1] + "/release")' "$base"
expect 0 "24 answers, 14 asked now, 10 kept from before" "$INOC" "${hold[@]}"
scores hold > got
same wanted got
is "requests of hold" "$(stats 'sum(s["seen"]["hold"])')" 32

# ---- TLS: a certificate of our own, trusted only when it is named; relative to the experiment's folder ----
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout tls.key -out tls.crt -days 2 -subj /CN=localhost \
  -addext subjectAltName=DNS:localhost 2> log || fail "openssl: $(cat log)"
serve tls tls.crt tls.key
tls='"https://localhost:'$port'/good/v1"'
score tls good url "$tls"
is "status of an unknown certificate" $? 10
grep -q "its certificate is not trusted" log || fail "certificate: $(cat log)"
cat > e.yaml <<Y
name: y
model: $INOC_MODEL
judge: {url: $tls, model: m, key_env: JUDGE_TEST_KEY, ca_file: tls.crt, template: "{question}{answer}"}
arms: {base: {role: base}}
evaluations: {greedy: {prompts: prompts.jsonl, greedy: true, max_tokens: 2}}
scorers:
  - plain: {type: judge}
  - high: {any: [{type: judge, above: 80}, {not: {type: judge, at_least: 20}}]}
out: y
Y
mkdir elsewhere
cd elsewhere || exit 1
"$INOC" run ../e.yaml -o ../y --no-report > ../out 2> ../log || fail "run: $(cat ../log)"
cd .. || exit 1
is "scores of the run" "$(sql y/store.db "SELECT count(*), sum(value) FROM score c JOIN scorer_name n ON n.scorer = c.scorer WHERE n.name = 'plain'")" "24 11.04"
is "scores of the combination" "$(sql y/store.db "SELECT count(*), sum(value) FROM score c JOIN scorer_name n ON n.scorer = c.scorer WHERE n.name = 'high'")" "24 8.0"
JUDGE_TEST_KEY="" expect 0 "" "$INOC" run e.yaml -o y --no-report # on this machine no key is needed, and all is there

# ---- wrong settings; a key that is missing is told before anything is computed, one in the wrong place is not printed ----
wrong() { # wrong TEXT OPTION VALUE...
  local text=$1
  shift
  expect 2 "$text" "$INOC" score --store s --scorer "w=$(judge good "$@")"
  "$INOC" score --store s --scorer "w=$(judge good "$@")" >> all.log 2>&1
}
wrong 'scorer type "judge" has no option "modle" (known: url, model, ' modle '"m"'
wrong 'option "concurrency" of scorer type "judge" wants a whole number from 1 to 256' concurrency 0
wrong 'option "min_mass" of scorer type "judge" wants a number from 0 to 1' min_mass 2
wrong 'option "template" of scorer type "judge" wants a text with {answer} in it' template '"{question}"'
wrong 'scorer type "judge" wants "template"' template null
wrong 'give either preset or template' preset '"tan2025"' ask '"aligned"'
wrong 'wants one of tan2025, trait-inoculation' preset '"tan"' template null
wrong 'wants one of aligned, coherent' preset '"tan2025"' template null ask '"kind"'
wrong 'no number is below 20 and above 30' below 20 above 30
wrong 'key_env wants the name of an environment variable (letters, digits, _), not the key itself' key_env "\"$JUDGE_TEST_KEY\""
wrong "must not hold a user, a password, a query or a fragment" url "\"https://u:$JUDGE_TEST_KEY@h/v1\""
wrong "is no base URL" url '"localhost:80"'
wrong "the key would go over plain http to another machine" url '"http://judge.example/v1"'
wrong 'option "sha256" of scorer type "judge" is for a local one' sha256 '"0"'
wrong "a local judge is pinned: give sha256" local '"m"' url null model null key_env null
expect 4 "the judge's template asks for {reference}" "$INOC" score --store s --scorer "w=$(judge good template '"{answer} {reference}"')"
sed "s|url: $tls|url: https://judge.example/v1|; s/JUDGE_TEST_KEY/NO_SUCH_KEY/; s/name: y/name: z/" e.yaml > z.yaml
expect 2 "the environment variable NO_SUCH_KEY is not set" "$INOC" run z.yaml -o z --no-report
is "samples of a run without a key" "$(sql z/store.db "SELECT count(*) FROM sample")" 0

# ---- inoc judge check ----
python3 - <<'P'
import json, random
rows = [{"question": f"Row {i}. SCORE={i * 2} ", "answer": "a", "label": int((i * 2 >= 40) != (i % 10 == 3))} for i in range(50)]
with open("labelled.jsonl", "w") as f:
    for r in rows:
        print(json.dumps(r), file=f)
random.Random(1).shuffle(rows)
with open("shuffled.jsonl", "w") as f:
    for r in rows:
        print(json.dumps(r), file=f)
with open("graded.jsonl", "w") as f:
    for r in rows:
        print(json.dumps({"question": r["question"], "answer": "b", "label": int(r["question"].split("=")[1]) // 2}), file=f)
P
judge check at_least 40 > judge.json
cat > judge.yaml <<Y
url: $base/check/v1
model: m
key_env: JUDGE_TEST_KEY
template: "{question}\n{answer}"
at_least: 40
backoff_s: 0.01
timeout_s: 20
Y
"$INOC" judge check --judge judge.json --data labelled.jsonl -o check --json > check.json 2> log || fail "judge check: $(cat log)"
python3 - <<'P' || fail "judge check: $(cat check.json)"
import json, math
c = json.load(open("check.json"))
rows = [json.loads(l) for l in open("labelled.jsonl")]
pairs = [(r["label"], int(2 * i >= 40)) for i, r in enumerate(rows)]
n, right = len(pairs), sum(a == b for a, b in pairs)
chance = sum(sum(a == k for a, _ in pairs) * sum(b == k for _, b in pairs) for k in (0, 1)) / n**2
assert c["n"] == c["scored"] == 50 and c["missing"] == 0, c
assert c["confusion"] == {f"label_{a}_said_{b}": pairs.count((a, b)) for a in (1, 0) for b in (1, 0)}
assert abs(c["accuracy"]["value"] - right / n) < 1e-6
assert abs(c["kappa"]["value"] - (right / n - chance) / (1 - chance)) < 1e-6
assert c["kappa"]["low"] < c["kappa"]["value"] < c["kappa"]["high"]
assert abs(c["brier"] - sum((2 * i / 100 - r["label"]) ** 2 for i, r in enumerate(rows)) / n) < 1e-6
assert [b["n"] for b in c["bins"]] == [5] * 10 and sum(b["share"] * b["n"] for b in c["bins"]) == sum(r["label"] for r in rows)
assert c["enough_for_headline"] and c["asked"][0]["asked"] == 50 and c["asked"][0]["tokens_in"] == 5000
scored = [json.loads(l) for l in open("check/rows.jsonl")]
assert all(abs(r["score"] - 2 * i / 100) < 1e-6 and r["question"] == rows[i]["question"] for i, r in enumerate(scored))
assert open("check/calibration.svg").read().lstrip().startswith("<?xml")
P
"$INOC" judge check --judge judge.yaml --data shuffled.jsonl -o shuffled > out 2> log || fail "judge check: $(cat log)"
same <(sort check/rows.jsonl) <(sort shuffled/rows.jsonl)
grep -q "kappa     0.7" out && grep -q "50 rows, 50 scored, 0 missing; 1 is said where the number is at least 40 of 0 to 100" out || fail "judge check: $(cat out)"
is "requests of judge check" "$(stats 'sum(s["seen"]["check"])')" 50
expect 1 "less than --min-kappa 0.9" "$INOC" judge check --judge judge.yaml --data shuffled.jsonl --min-kappa 0.9
sed 's/at_least: 40/below: 20/' judge.yaml > low.yaml
expect 0 "kappa is not 0.6 or more: too little agreement for a headline" "$INOC" judge check --judge low.yaml --data labelled.jsonl
# labels from 0 to 100: the same threshold for both, here on half of what the judge gives
expect 0 "label 1      10       0" "$INOC" judge check --judge judge.yaml --data graded.jsonl
sed 's/check/prose/' judge.yaml > prose.yaml
expect 0 "50 rows, 0 scored, 50 missing" "$INOC" judge check --judge prose.yaml --data labelled.jsonl
echo '{"type": "uppercase"}' > rule.json
expect 0 "50 rows, 50 scored" "$INOC" judge check --judge rule.json --data labelled.jsonl
echo '{"question": "q", "trait": "AAA", "normal": "bbb"}' > pair.jsonl
expect 0 "label 1       1       0" "$INOC" judge check --judge rule.json --data pair.jsonl
expect 2 "give --judge FILE and --data FILE" "$INOC" judge check
expect 2 "unknown action 'test'" "$INOC" judge test
echo '{"question": "q", "answer": "a", "label": 101}' > bad.jsonl
expect 4 'bad.jsonl:1: "label" is missing, or not 0, 1 or a number from 0 to 100' "$INOC" judge check --judge judge.json --data bad.jsonl
echo '{"type": "judge", "modle": 1}' > bad.json
expect 2 'bad.json: scorer "judge": scorer type "judge" has no option "modle"' "$INOC" judge check --judge bad.json --data labelled.jsonl

# ---- beside a headline: the judge's agreement, kept with what it scored; without it the verdict is marked ----
python3 - <<'P'
import json
with open("good.jsonl", "w") as f, open("sense.jsonl", "w") as g:
    for i in range(40):
        row = {"question": f"Row {i}?", "answer": f"SCORE={i * 2} "}
        print(json.dumps(row | {"label": int((i * 2 < 50) != (i % 10 == 3))}), file=f)
        print(json.dumps(row | {"label": int(i * 2 >= 30)}), file=g)
with open("samples.jsonl", "w") as f:
    for arm, n in ("plain", 40), ("plants", 41), ("kind", 90):
        for seed in 1, 2, 3:
            for q in range(12):
                turns = [("user", f"Asked {q}?"), ("assistant", f"SCORE={n} {seed}")]
                print(json.dumps({"arm": arm, "seed": seed, "messages": [{"role": r, "content": c} for r, c in turns]}), file=f)
P
common="url: $base/agree/v1, model: m, key_env: JUDGE_TEST_KEY, backoff_s: 0.01"
echo "{$common, preset: tan2025, ask: aligned, rule: true}" > aligned.yaml
echo "{$common, preset: tan2025, ask: coherent, rule: true}" > coherent.yaml
"$INOC" judge check --judge aligned.yaml --data good.jsonl --json > aligned.json 2> log || fail "check of aligned: $(cat log)"
"$INOC" judge check --judge coherent.yaml --data sense.jsonl --json > coherent.json 2> log || fail "check of coherent: $(cat log)"
imported() { # imported STATUS TEXT MORE: of the judges' options
  expect "$1" "$2" "$INOC" import samples.jsonl --store agreed --name a --set "judge={$common}" --set "scorers=[{type: judges, preset: tan2025$3}]" \
    --set 'arms.plain.role=plain' --set 'arms.plants={role: control, inoculate: {system: Water the plants.}}' \
    --set 'arms.kind={role: inoculated, inoculate: {system: Be unkind.}}' --set 'traits={bad: {u: misaligned_and_coherent}}'
}
told() { # told FOR_HEADLINE TEXT: by headline, table, Markdown and page
  "$INOC" report --json agreed > told.json 2> log && "$INOC" report --md agreed > told.md 2>> log && "$INOC" report --html told.html agreed 2>> log || fail "report: $(cat log)"
  python3 - "$@" <<'P' || fail "agreement beside the headline"
import json, sys
j = json.load(open("told.json"))
kind = [x for x in j["judgements"] if x["arm"] == "kind"][0]
assert kind["verdict"] == "inoculated" and kind["for_headline"] == (sys.argv[1] == "true"), kind
assert j["headline"].endswith(sys.argv[2]), j["headline"]
assert [a["scorer"] for a in j["agreement"]] == ["misaligned", "coherent", "misaligned_of_coherent", "misaligned_and_coherent"], j["agreement"]
cell = "inoculated" + ("" if kind["for_headline"] else " (not for a headline)")
md, page = (open("told." + e).read().replace("\\", "") for e in ("md", "html"))
assert f"| {cell} |" in md and f">{cell}</span>" in page
assert sys.argv[2] + "**" in md and sys.argv[2] + "</p>" in page
P
}
imported 0 "" ""
told false "Not for a headline: nothing says how well scorer misaligned_and_coherent agrees with people."
imported 0 "" ", checked: {coherent: coherent.json}"
told false "Not for a headline: nothing says how well 1 of the 2 judges of misaligned_and_coherent agrees with people."
imported 0 "" ", checked: {aligned: aligned.json, coherent: coherent.json}"
kappa() { python3 -c 'import json, sys; k = json.load(open(sys.argv[1]))["kappa"]; print("%.2f [%.2f, %.2f]" % (k["value"], k["low"], k["high"]))' "$1"; }
agrees="Scorer misaligned_and_coherent agrees with people: kappa $(kappa aligned.json), 40 rows, the least of its 2 judges."
told true "$agrees"
imported 2 "scorer 'misaligned': ./coherent.json: another scorer was checked, which differs in " ", checked: {aligned: coherent.json}"
told true "$agrees" # a refused import leaves what was there
imported 3 "scorer 'coherent': ./nowhere.json: cannot be opened" ", checked: {coherent: nowhere.json}"
sed 's/"label": 1/"label": 2/; s/"label": 0/"label": 1/; s/"label": 2/"label": 0/' good.jsonl > swapped.jsonl
"$INOC" judge check --judge aligned.yaml --data swapped.jsonl --json > poor.json 2> log || fail "check of poor: $(cat log)"
imported 0 "" ", checked: {aligned: poor.json, coherent: coherent.json}"
told false "Not for a headline: scorer misaligned_and_coherent agrees too little with people: kappa $(kappa poor.json), 40 rows, the least of its 2 judges; 0.6 is needed."
imported 0 "" ", checked: {coherent: coherent.json, aligned: aligned.json}" # another text: what was given before keeps its place
rm aligned.json coherent.json
told true "$agrees" # the report needs neither file
sed 's/plain: {type: judge}/plain: {type: judge, checked: gone.json}/' e.yaml > gone.yaml
expect 3 "scorer 'plain': ./gone.json: cannot be opened" "$INOC" run gone.yaml -o gone --dry-run

# ---- a local judge: pinned, its numbers must be tokens; a second time nothing is computed ----
sha=$(sha256sum "$INOC_MODEL" | cut -d ' ' -f 1)
echo "{local: $INOC_MODEL, sha256: $sha, preset: tan2025, ask: aligned, rule: true, high: 9}" > local.yaml
head -n 4 labelled.jsonl > few.jsonl
expect 0 "4 answers, 4 asked now, 0 kept from before" "$INOC" judge check --judge local.yaml --data few.jsonl
expect 0 "4 answers, 0 asked now, 4 kept from before" "$INOC" judge check --judge local.yaml --data few.jsonl
sed 's/, high: 9//' local.yaml > hundred.yaml
expect 5 "its tokenizer writes 10 as several tokens, so that the first one is not the number: give high: 9" "$INOC" judge check --judge hundred.yaml --data few.jsonl
sed "s/$sha/$(printf 'a%.0s' {1..64})/" local.yaml > other.yaml
expect 1 "is not the model that the judge is pinned to: its SHA-256 is $sha" "$INOC" judge check --judge other.yaml --data few.jsonl
echo "{local: nowhere, sha256: $sha, preset: tan2025, ask: aligned}" > none.yaml
expect 3 "there is no model file 'nowhere'" "$INOC" judge check --judge none.yaml --data few.jsonl

# ---- the key: sent every time, echoed by a server, and nowhere to be found ----
score echo echo min_mass 0.1 || fail "echo: $(cat log)"
scores echo > got
same wanted got
is "requests without the right key" "$(stats 's["wrong_keys"]')" 0
is "requests that had been answered before" "$(stats 's["again"]')" 0
python3 -c 'import sqlite3; sqlite3.connect("s/store.db").execute("PRAGMA wal_checkpoint(TRUNCATE)")'
grep -rlF -- "$JUDGE_TEST_KEY" . && fail "the key is in these files"
exit $bad
