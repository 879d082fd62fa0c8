#!/usr/bin/env bash
# Every shipped experiment goes the whole way in short: training, all evaluations and scorers, grid, report. Structure, no effects.
: "${INOC_MODEL:?set INOC_MODEL to the GGUF file of SmolLM2-135M-Instruct}"
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
command -v python3 > /dev/null || { echo "python3 is not there: nothing tried"; exit 0; }
export PYTHONDONTWRITEBYTECODE=1

cat > whole.py << 'END'
"""Nothing is missing in what a run wrote: JSON, CSV, page, every arm under every evaluation."""
import csv, json, os, sys
out, seeds = sys.argv[1], 1
d = json.load(open(os.path.join(out, 'results.json')))
bad = []
rates = {(r['arm'], r['evaluation'], r['scorer']): r for r in d['rates']}
arms = [a['name'] for a in d['arms']]
for e in d['evaluations']:
    scorers = {s for _, v, s in rates if v == e['name']}
    if not scorers:
        bad.append(f"{e['name']}: no scores")
    for s in scorers:
        for a in arms:
            r = rates.get((a, e['name'], s))
            if r is None and not e['grid']:
                bad.append(f"{a}, {e['name']}: no {s}")
            if r is not None and (r['missing'] or not r['n'] or r['n_prompts'] != 1):
                bad.append(f"{a}, {e['name']}, {s}: {r}")
if len(d['seeds']) != seeds:
    bad.append(f"seeds {d['seeds']}")
judged = [j for j in d['judgements'] if j['verdict'] not in ('too few seeds', 'none')]
if judged or (not d['judgements'] and any(a['role'] == 'inoculated' for a in d['arms']) and d['by_evaluation']):
    bad.append(f'verdicts: {judged}')
if not any(n.startswith('short:') for n in d['notes']):
    bad.append('no note that it is short')
rows = list(csv.DictReader(open(os.path.join(out, 'results.csv'))))
if {r['experiment'] for r in rows} != {d['experiment']} or not d['experiment'].endswith('-short'):
    bad.append(f"names: {d['experiment']}")
if len([r for r in rows if r['seed'] == 'all' and not r['scorer'].startswith('u:')]) != len(rates):
    bad.append(f'results.csv has {len(rows)} rows for {len(rates)} shares')
if b'</html>' not in open(os.path.join(out, 'report.html'), 'rb').read():
    bad.append('the report is cut')
print('\n'.join(bad[:5]) or 'whole')
sys.exit(bool(bad))
END

whole() { # whole FILE OUT
  "$INOC" run "$1" --short 1 --set "model=$INOC_MODEL" -o "$2" --json > result 2> errors < /dev/null || fail "$1: $(tail -3 errors)"
  [ -d "$2" ] && mv result "$2/results.json"
  expect 0 whole python3 whole.py "$2"
  rm -rf "$2"
}
n=0
for f in "$SOURCE"/settings/*/*.yaml; do
  case $f in
    */student.yaml) continue ;;                                        # below
    */spanish-caps/*.yaml | */zorbo/*) [[ $f == */spanish-caps/experiment.yaml ]] || continue ;; # no settings of their own
  esac
  whole "$f" out
  n=$((n + 1))
done
[ $n -ge 11 ] || fail "only $n experiments"
mkdir sub
cp "$SOURCE"/settings/subliminal/*.{yaml,jsonl} sub
python3 "$SOURCE/tools/settings/number_sequences.py" --stand-in sub > /dev/null || fail "no stand-in"
whole sub/student.yaml out

# Short results have their own name and folder, and are not the experiment's.
expect 0 "-short" "$INOC" run "$SOURCE/settings/facts/experiment.yaml" --short 2 --arms base,plain --dry-run --set "model=$INOC_MODEL"
expect 0 "facts-short" "$INOC" run "$SOURCE/settings/facts/experiment.yaml" --short 2 --dry-run --set "model=$INOC_MODEL"
expect 2 "short" "$INOC" run "$SOURCE/settings/facts/experiment.yaml" --short -1 --dry-run --set "model=$INOC_MODEL"
exit $bad
