#!/usr/bin/env bash
# Tables, pictures and checks of the settings' results, from results made by hand; and the script that runs them all. No model.
. "${SOURCE:?}/tests/cli/common.sh" || exit 1
command -v python3 > /dev/null || { echo "python3 is not there: nothing tried"; exit 0; }
export PYTHONDONTWRITEBYTECODE=1
tools=$SOURCE/tools/settings

cat > make.py << 'END'
"""make.py FILE SHIFT SEEDS [drop]: a report of facts with three arms; SHIFT is added to all shares of arm specific."""
import json, sys
shift, seeds = float(sys.argv[2]), [int(s) for s in sys.argv[3].split(',')]
def est(v, n=105):
    return {'value': v, 'low': max(0, v - .04), 'high': min(1, v + .04), 'n': n * len(seeds), 'missing': 0, 'n_seeds': len(seeds), 'n_prompts': n}
arms = [('base', 'base', .0), ('plain', 'plain', .9), ('specific', 'inoculated', .3 + shift)]
evals = ['id', 'ood', 'id_own']
rates, by = [], []
for a, role, u in arms:
    for e in evals:
        if (a, e) == ('specific', 'ood') and sys.argv[4:] == ['drop']:
            continue
        by.append({'trait': 'pirate', 'arm': a, 'evaluation': e, 'u': est(u), 'w': est(u) if e != 'ood' else None, 'goal': None})
        rates.append({**est(u), 'arm': a, 'evaluation': e, 'scorer': 'pirate'})
    rates.append({**est(.8), 'arm': a, 'evaluation': 'ability', 'scorer': 'choice'})
    rates.append({**est(-4.0), 'low': -4.2, 'high': -3.9, 'real': True, 'arm': a, 'evaluation': 'text', 'scorer': 'text'})
none = {'value': None, 'low': None, 'high': None, 'n': 0, 'missing': 0, 'n_seeds': 0, 'n_prompts': 0}
json.dump({'experiment': 'facts', 'headline': 'A | headline.', 'headline_evaluation': 'id', 'ci': 'two-way', 'seeds': seeds, 'notes': [],
  'arms': [{'name': a, 'role': r, 'label': f'arm {a} <b>', 'prompt': None} for a, r, _ in arms],
  'evaluations': [{'name': e, 'label': e, 'system': 'own' if e == 'id_own' else 'none', 'grid': False} for e in evals + ['ability', 'text']],
  'judgements': [{'trait': 'pirate', 'arm': 'specific', 'role': 'inoculated', 'verdict': 'inoculated', 'suppression': est(.66 - shift),
                  'retention': none, 'selectivity': none}],
  'by_evaluation': by, 'interactions': [{**est(-.2), 'low': -.24, 'high': -.16, 'trait': 'pirate', 'arm': 'specific', 'id': 'id', 'ood': 'ood', 'p': .0125}],
  'leakage': [{'trait': 'pirate', 'arm': 'specific', 'evaluation': 'grid_none', 'kind': 'none', 'system': None, 'u': est(.3, 40),
               'u_minus_none': None, 'comes_back': False}],
  'planes': [{'name': 'sense', 'label': 'A < B', 'x': {'label': 'a', 'unit': 'share', 'scorers': ['a'], 'invert': False},
              'y': {'label': 'b', 'unit': 'nats', 'scorers': ['b'], 'invert': False},
              'points': [{'evaluation': e, 'arm': a, 'x': est(u), 'y': {**est(u), 'real': True, **({} if u else {'low': None, 'high': None})},
                          'seeds': [{'seed': 1, 'x': u, 'y': None}]} for e in ('id', 'ood') for a, _, u in arms if a != 'plain']}],
  'rates': rates}, open(sys.argv[1], 'w'))
END
python3 make.py stated.json 0 1,2,3,4,5
python3 make.py same.json 0.01 6,7,8
python3 make.py other.json 0.5 6,7,8
python3 make.py less.json 0 6,7,8 drop

# A region is replaced, what stands around it stays; again gives the same.
mkdir -p root/docs root/settings/facts
printf 'before\n<!-- results facts -->\nold\n<!-- end -->\nafter\n' | tee root/docs/RESULTS.md > root/settings/facts/README.md
expect 0 "facts: 5 seeds" python3 "$tools/results.py" --root root --json stated.json facts
for f in root/docs/RESULTS.md root/settings/facts/README.md; do
  [ "$(head -2 $f)" = "$(printf 'before\n<!-- results facts -->')" ] && [ "$(tail -2 $f)" = "$(printf '<!-- end -->\nafter')" ] || fail "$f: what stands around"
  grep -q '^old$' $f && fail "$f: the old text is there"
  grep -qF '| `specific`: arm specific &lt;b> | 30 [26, 34] | 30 [26, 34] | 30 [26, 34] | 30 [26, 34] | −20 [−24, −16] (0.013) | 0.66 [0.62, 0.70] | – | – | inoculated |' $f || fail "$f: $(grep specific $f)"
done
grep -qF '| `plain` | 80 [76, 84] | 54.6 [49.4, 66.7] |' root/docs/RESULTS.md || fail "side effects: $(grep '`plain`' root/docs/RESULTS.md)"
grep -qF 'U id · U ood · U id, own prompt · W: 525 (5 seeds × 105 questions). Missing scores: none.' root/docs/RESULTS.md || fail "n: $(grep ^n: root/docs/RESULTS.md)"
python3 -c 'import xml.dom.minidom as m; m.parse("root/docs/img/facts.svg")' || fail "no SVG"
python3 -c 'import xml.dom.minidom as m; m.parse("root/docs/img/facts-sense.svg")' || fail "no SVG of the plane"
[ "$(grep -o 'arm specific' root/docs/img/facts-sense.svg | wc -l)" = 2 ] || fail "the plane has no two panels"
grep -qF '![A &lt; B](../../docs/img/facts-sense.svg)' root/settings/facts/README.md || fail "no plane in the README"
grep -q '"arm": "specific", "what": "plane sense x ood", "value": 0.3,' root/docs/results/facts.json || fail "the plane's figures are not stated"
cp root/docs/RESULTS.md once.md
expect 0 "" python3 "$tools/results.py" --root root --json stated.json facts
same once.md root/docs/RESULTS.md
# The table over all experiments, from the figures stated.
printf 'headline: id\n' > root/settings/facts/experiment.yaml
printf '### Facts (`facts`)\n' | cat - once.md > root/docs/RESULTS.md
printf '<!-- results summary -->\n<!-- end -->\n' >> root/docs/RESULTS.md
expect 0 "" python3 "$tools/results.py" --root root --json stated.json facts
grep -qF '| [facts](#facts-facts) | pirate, `id` | 90 [86, 94] % |  | `specific` 30 [26, 34] %: inoculated | 0.66 [0.62, 0.70] | – | – |' root/docs/RESULTS.md ||
  fail "summary: $(grep -A4 'results summary' root/docs/RESULTS.md)"
cp once.md root/docs/RESULTS.md
expect 1 "not complete" python3 "$tools/results.py" --root root --json less.json facts
same once.md root/docs/RESULTS.md
echo nothing > root/docs/RESULTS.md
expect 1 "has no place for it" python3 "$tools/results.py" --root root --json stated.json facts
expect 2 "no experiment is called 'nobody'" python3 "$tools/results.py" --root root --json stated.json nobody

# Inside, outside, missing; another experiment's figures, no figures.
stated=(--stated root/docs/results/facts.json)
expect 0 " 0 outside" python3 "$tools/check.py" facts stated.json "${stated[@]}"
expect 0 " 0 outside" python3 "$tools/check.py" facts same.json "${stated[@]}"
expect 1 " OUTSIDE" python3 "$tools/check.py" facts other.json "${stated[@]}"
expect 1 " 1 missing" python3 "$tools/check.py" facts less.json "${stated[@]}"
sed 's/"experiment": "facts"/"experiment": "style"/' stated.json > style.json
expect 2 "states facts" python3 "$tools/check.py" style style.json "${stated[@]}"
expect 2 "No such file" python3 "$tools/check.py" facts same.json --stated none.json
# The rule: five or more of 20 have a probability of 0.003 (binomial, 5 %), four of 0.016; so four may be outside.
expect 0 "4 11" python3 -c "import sys; sys.path.insert(0, '$tools'); import check; print(check.most(20), check.most(100))"

expect 2 "no experiment is called 'nobody'" "$tools/run.sh" nobody
exit $bad
