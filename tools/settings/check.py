#!/usr/bin/env python3
"""Does a run agree with what the docs state? Compares a store (or a file of `inoc report --json`) with docs/results/NAME.json.

    tools/settings/check.py NAME STORE [--stated FILE] [--inoc BINARY]

A stated interval is of a mean over S seeds; a run of S' other seeds has a mean of its own, so the interval is widened about its
value by sqrt(1 + S / S'), as if seeds alone made the figures differ (the questions are the same, so this is on the wide side). A figure is
then outside by chance in at most 5 of 100. More are outside than chance allows when the probability of so many or more, by the
binomial distribution, is under 1 %: exit status 1. Figures of an experiment are related, which that does not know. A figure that is
stated and not there now is status 1 as well; one that is now undefined (a ratio) counts as outside.
"""
import argparse
import math
import os
import sys
import json

import results

CHANCE, LEVEL, CLOSE = 0.05, 0.01, 1e-3


def most(n):
    """The largest k of n outside that is no surprise: P(X > k) is under LEVEL."""
    left, k = 1.0, -1
    while left >= LEVEL and k < n:
        k += 1
        left -= math.comb(n, k) * CHANCE**k * (1 - CHANCE)**(n - k)
    return k


def allowed(stated, seeds_now):
    wide = math.sqrt(1 + max(1, stated['n_seeds']) / max(1, seeds_now))
    v = stated['value']
    low, high = (stated[k] if stated[k] is not None else v for k in ('low', 'high'))
    return v - wide * (v - low) - CLOSE, v + wide * (high - v) + CLOSE


def compare(stated, now):
    """(key, stated figure, figure now or None, (low, high), word) of every stated figure."""
    out = []
    for f in stated['figures']:
        e = now.get((f['trait'], f['arm'], f['what']))
        if f['value'] is None:
            continue
        ratio = f['what'] in ('suppression', 'retention', 'selectivity')
        if e is None and not ratio:
            out.append((f, None, None, 'MISSING'))
            continue
        if e is None:
            out.append((f, None, None, 'OUTSIDE'))
            continue
        low, high = allowed(f, e['n_seeds'])
        out.append((f, e, (low, high), 'inside' if low <= e['value'] <= high else 'OUTSIDE'))
    return out


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('name')
    p.add_argument('store')
    p.add_argument('--stated')
    p.add_argument('--inoc', default=os.environ.get('INOC', 'build/release/inoc'))
    args = p.parse_args()
    known = results.settings()
    if args.name not in known:
        p.error(f"no experiment is called '{args.name}'; there are {', '.join(known)}")
    path = args.stated or os.path.join(results.ROOT, 'docs', 'results', f'{args.name}.json')
    try:
        with open(path, encoding='utf-8') as f:
            stated = json.load(f)
        data = results.report(args.store, args.inoc)
    except (OSError, ValueError, results.Failed) as e:
        print(f'check.py: {e}', file=sys.stderr)
        return 2
    if stated['experiment'] != data['experiment']:
        print(f"check.py: {args.store} holds {data['experiment']}, {path} states {stated['experiment']}", file=sys.stderr)
        return 2
    r = results.Results(data, known[args.name])
    rows = compare(stated, {(t, a, w): e for t, a, w, e in r.figures()})
    print(f"{args.name}: stated over seeds {stated['seeds']}, now {data['seeds']}\n")
    print(f"{'arm':18} {'figure':34} {'stated':>9} {'interval':>20} {'allowed':>20} {'now':>9}")
    for f, e, bounds, word in rows:
        span = lambda b: f'[{b[0]:.3f}, {b[1]:.3f}]' if b and None not in b else '-'
        print(f"{f['arm']:18} {(f['what'] + ' ' + f['trait']).strip()[:34]:34} {f['value']:9.3f} {span((f['low'], f['high'])):>20} "
              f"{span(bounds):>20} {e['value'] if e else math.nan:9.3f}  {word}")
    words = [w for *_, w in rows]
    outside, missing, limit = words.count('OUTSIDE'), words.count('MISSING'), most(len(rows))
    print(f'\n{len(rows)} figures: {outside} outside (chance allows {limit}), {missing} missing')
    return 1 if outside > limit or missing or not rows else 0


if __name__ == '__main__':
    sys.exit(main())
