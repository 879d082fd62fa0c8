#!/usr/bin/env python3
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
for p in d['planes']:
    if {q['arm'] for q in p['points']} != set(arms):
        bad.append(f"plane {p['name']}: {[q['arm'] for q in p['points']]}")
    for q in p['points']:
        for k in 'xy':
            want = sum(rates[q['arm'], q[k]['evaluation'], s]['value'] for s in p[k]['scorers'])
            if abs(q[k]['value'] - (1 - want if p[k]['invert'] else want)) > 1e-9:
                bad.append(f"plane {p['name']}, {q['arm']}: {k} is {q[k]}, of rates that sum to {want}")
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
if len([r for r in rows if r['seed'] == 'all' and ':' not in r['scorer']]) != len(rates):
    bad.append(f'results.csv has {len(rows)} rows for {len(rates)} shares')
if b'</html>' not in open(os.path.join(out, 'report.html'), 'rb').read():
    bad.append('the report is cut')
print('\n'.join(bad[:5]) or 'whole')
sys.exit(bool(bad))
