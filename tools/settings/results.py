#!/usr/bin/env python3
"""Tables and pictures of finished settings for the docs, from what `inoc report --json` says of their stores.

    tools/settings/results.py [--out DIR] [--inoc BINARY] [--partial] [NAME...]

NAME is an experiment's name as in settings.json (default: those that have DIR/NAME/store.db). Written are docs/img/NAME.svg (and NAME-PLANE.svg),
docs/results/NAME.json (every figure with its interval: what `make settings-check` compares with), and the regions
`<!-- results NAME -->` ... `<!-- end -->` of docs/RESULTS.md and settings/FOLDER/README.md; then the table over all experiments
(summary.py). No number is typed by hand.
An experiment that is not complete is refused, unless --partial, and then the tables say so.
"""
import argparse
import json
import os
import subprocess
import sys

import plane
import plot
import summary
from markdown import Failed, escaped, ratio, replaced, shown, table, write

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
SIDE_ARMS = ['base', 'clean', 'plain', 'specific', 'general']
REFERENCES = ['base', 'clean', 'plain']


def settings():
    with open(os.path.join(HERE, 'settings.json'), encoding='utf-8') as f:
        return json.load(f)


def experiment_file(name, known):
    return f"settings/{known[name]['folder']}/{known[name].get('file', 'experiment.yaml')}"


def report(path, inoc):
    """What inoc report says of a store, or of a file that holds it already."""
    if path.endswith('.json'):
        with open(path, encoding='utf-8') as f:
            return json.load(f)
    p = subprocess.run([inoc, 'report', '--json', path], capture_output=True, text=True)
    if p.returncode != 0:
        raise Failed(f'{path}: {p.stderr.strip()}')
    return json.loads(p.stdout)


# ---- one experiment's figures ----

class Results:
    def __init__(self, data, setting):
        self.data, self.setting = data, setting
        self.seeds = data['seeds']
        self.arms = {a['name']: a for a in data['arms']}
        self.rates = {(r['arm'], r['scorer'], r['evaluation']): r for r in data['rates']}
        self.by = {(r['trait'], r['arm'], r['evaluation']): r for r in data['by_evaluation']}
        self.judged = {(j['trait'], j['arm']): j for j in data['judgements']}
        self.traits = list(dict.fromkeys([r['trait'] for r in data['by_evaluation']] + [j['trait'] for j in data['judgements']]))
        self.columns = setting['columns']
        evals = [e['name'] for e in data['evaluations']]
        self.side = setting.get('side') or ('ood' if 'ood' in evals else evals[0])

    def missing(self):
        """What a complete experiment would hold and this one does not."""
        out, cells = [], {}
        grid = {e['name'] for e in self.data['evaluations'] if e['grid']}
        for (arm, scorer, evaluation), r in self.rates.items():
            cells.setdefault((scorer, evaluation), {})[arm] = r
        for (scorer, evaluation), have in cells.items():
            for arm, a in self.arms.items():
                r = have.get(arm)
                if r is None:
                    if evaluation not in grid:
                        out.append(f'{arm}: no {scorer} on {evaluation}')
                elif a['role'] != 'base' and r['n_seeds'] not in (0, len(self.seeds)):
                    out.append(f"{arm}: {scorer} on {evaluation} has {r['n_seeds']} of {len(self.seeds)} seeds")
        shown = {e for _, e in cells}
        out += [f"no answers on {e['name']}" for e in self.data['evaluations'] if e['name'] not in shown]
        if not self.rates:
            out.append('nothing was scored')
        return out

    def figure(self, trait, arm, column):
        _, what, evaluation = column
        if what in ('u', 'w', 'goal'):
            e = self.by.get((trait, arm, evaluation), {}).get(what)
        else:
            e = self.rates.get((arm, what, evaluation))
        if e and self.arms[arm]['role'] in REFERENCES and self.own(evaluation):
            return None  # they have no prompt of their own
        return e if e and e['n'] else None

    def own(self, evaluation):
        return any(e['name'] == evaluation and e['system'] == 'own' for e in self.data['evaluations'])

    def arms_of(self, trait):
        """References, then what is judged on the trait or has another role, in the file's order."""
        return [a for a, v in self.arms.items()
                if v['role'] in REFERENCES + ['other'] or (trait, a) in self.judged]

    def interaction(self, trait, arm, id='id', ood='ood'):
        for i in self.data['interactions']:
            if (i['trait'], i['arm'], i['id'], i['ood']) == (trait, arm, id, ood):
                return i if i['n'] else None
        return None

    def pair(self):
        """The first two evaluations of U in the columns that are a pair of id and ood."""
        pairs = {(i['id'], i['ood']) for i in self.data['interactions']}
        us = [c[2] for c in self.columns if c[1] == 'u']
        return next(((a, b) for a in us for b in us if (a, b) in pairs), None)

    def side_columns(self):
        side = [['choices', 'choice', 'ability'], ['sums', 'choice', 'sums'], ['sums, sampled', 'correct', 'sums_sampled'],
                ['perplexity', 'text', 'text'], ['words', 'words', self.side], ['looping', 'looping', self.side],
                ['truncated', 'truncated', self.side], ['refuses', 'refuses', 'requests']]
        there = {(s, e) for _, s, e in self.rates}
        return [c for c in side if (c[1], c[2]) in there]

    def side_arms(self):
        return [a for a in self.setting.get('side_arms', SIDE_ARMS) if a in self.arms]

    def grid(self, trait):
        """Cells of the leakage grid; none where no prompted arm has any."""
        cells = [c for c in self.data['leakage'] if c['trait'] == trait and c['u']['n']]
        return cells if any(self.arms[c['arm']]['role'] not in REFERENCES for c in cells) else []

    def planes(self):
        """Those in which anything is drawn."""
        return [p for p in self.data.get('planes', []) if p['points']]

    def figures(self):
        """(trait, arm, what, estimate) of everything that the tables show."""
        out, seen = [], set()
        for trait in self.traits:
            for arm in self.arms_of(trait):
                for c in self.columns:
                    key = (trait if c[1] in ('u', 'w', 'goal') else '', arm, f'{c[1]} {c[2]}')
                    e = self.figure(trait, arm, c)
                    if e and key not in seen:
                        seen.add(key)
                        out.append((*key, e))
                for k in ('suppression', 'retention', 'selectivity'):
                    e = self.judged.get((trait, arm), {}).get(k)
                    if e and e['value'] is not None:
                        out.append((trait, arm, k, e))
                for i in [self.interaction(trait, arm, *self.pair())] if self.pair() else []:
                    if i:
                        out.append((trait, arm, f"interaction {i['ood']} {i['id']}", i))
        for t in self.setting.get('tables', []):
            out += [('', arm, f'{c[1]} {c[2]}', e) for arm in self.arms for c in t['columns'] for e in [self.figure(None, arm, c)]
                    if e and ('', arm, f'{c[1]} {c[2]}') not in seen]
        for arm in self.side_arms():
            for _, s, e in self.side_columns():
                r = self.rates.get((arm, s, e))
                if r and r['n'] and ('', arm, f'{s} {e}') not in seen:
                    out.append(('', arm, f'{s} {e}', r))
        for p in self.planes():
            out += [('', q['arm'], f"plane {p['name']} {k} {q['evaluation']}", q[k]) for q in p['points'] for k in ('x', 'y')]
        out += [(t, c['arm'], f"grid {c['evaluation']}", c['u']) for t in self.traits for c in self.grid(t)]
        return out


# ---- Markdown ----

def of_seeds(e):
    seeds = f"{e['n_seeds']} seed{'s' if e['n_seeds'] != 1 else ''} × " if e['n_seeds'] else ''
    return f"{seeds}{e['n_prompts']} questions"


def counts(results, columns, arms, trait=None):
    """n of each column, once where columns agree: "n: U id · U ood: 600 (5 seeds × 120 questions)"."""
    parts = {}
    for c in columns:
        es = [(a, results.figure(trait, a, c)) for a in arms]
        es = [(a, e) for a, e in es if e]
        if not es:
            continue
        n, base = {}, ''
        for a, e in es:
            if results.arms[a]['role'] == 'base':
                base = e['n']
            else:
                k = f"{e['n']} ({of_seeds(e)})"
                n.setdefault(k, []).append(a)
        words = '; '.join(k if len(n) == 1 else f"{k} {', '.join(v)}" for k, v in n.items())
        if base != '' and not any(k.startswith(f'{base} ') for k in n):
            words += ('; ' if words else '') + f'base {base}'
        parts.setdefault(words, []).append(c[0])
    lost = sum(e['missing'] for c in columns for a in arms for e in [results.figure(trait, a, c)] if e)
    return 'n: ' + '; '.join(f"{' · '.join(v)}: {k}" for k, v in parts.items()) + f". Missing scores: {lost or 'none'}."


def heading(results, column, arms, trait):
    es = [results.figure(trait, a, column) for a in arms]
    return column[0] + ('' if any(e and e.get('real') for e in es) else ', %')


def main_table(results, trait):
    arms, columns = results.arms_of(trait), results.columns
    columns = [c for c in columns if any(results.figure(trait, a, c) for a in arms)]
    pair = results.pair()
    inter = pair and any(results.interaction(trait, a, *pair) for a in arms)
    head = ['arm'] + [heading(results, c, arms, trait) for c in columns]
    if inter:
        head.append('ood − id (p)')
    head += ['suppression', 'retention', 'selectivity', 'verdict']
    rows = []
    for a in arms:
        j = results.judged.get((trait, a))
        row = [f"`{a}`: {escaped(results.arms[a]['label'] or a)}"]
        row += [shown(results.figure(trait, a, c), c[1]) for c in columns]
        if inter:
            i = results.interaction(trait, a, *pair)
            row.append(f"{shown(i)} ({i['p']:.2g})" if i and i['p'] is not None else '–')
        row += [ratio(j and j[k]) for k in ('suppression', 'retention', 'selectivity')]
        row.append(j['verdict'] if j and j['verdict'] != 'none' else '–')
        rows.append(row)
    return table(head, rows) + ['', counts(results, columns, arms, trait)]


def share_table(results, t):
    """A table of settings.json: scorers' shares of all arms."""
    columns = t['columns']
    head = ['arm'] + [heading(results, c, results.arms, None) for c in columns]
    rows = [[f"`{a}`: {escaped(v['label'] or a)}"] + [shown(results.figure(None, a, c), c[1]) for c in columns]
            for a, v in results.arms.items()]
    return [f"{t['label']}:", ''] + table(head, rows) + ['', counts(results, columns, results.arms), '']


def learnt(results, trait):
    """A sentence, from the verdicts, which say so by rule 3."""
    verdicts = {j['verdict'] for (t, _), j in results.judged.items() if t == trait} - {'none'}
    head = results.data['headline_evaluation']
    u = {r: next((results.by.get((trait, a, head), {}).get('u') for a, v in results.arms.items() if v['role'] == r), None)
         for r in ('plain', 'base')}
    rates = f"on `{head}` U is {shown(u['plain'])} in `plain`, {shown(u['base'])} in `base`"
    if 'trait not learnt' in verdicts:
        why = next((j['why'] for (t, _), j in results.judged.items()
                    if t == trait and j['verdict'] == 'trait not learnt' and j.get('why')), None)
        return f"**Not learnt**: {rates}{f' ({escaped(why)})' if why else ''}; so no verdict on the prompts."
    if not verdicts:
        return f'{rates[0].upper()}{rates[1:]}.'
    if any(v.startswith('too few') for v in verdicts):
        return f'Learnt? No verdict with fewer than 3 seeds; {rates}.'
    return f'Learnt: {rates}.'


def side_table(results):
    arms, columns = results.side_arms(), results.side_columns()
    if not columns or not arms:
        return []
    head = ['arm'] + [c[0] if c[1] in ('text', 'words') else c[0] + ', %' for c in columns]
    rows = [[f'`{a}`'] + [shown(results.rates.get((a, c[1], c[2])), c[1]) for c in columns] for a in arms]
    return ['', f'Side effects (words, looping, truncated: on `{results.side}`; perplexity: of held-out text, per token):', ''] \
        + table(head, rows) + ['', counts(results, columns, arms)]


def grid_table(results, trait):
    cells = results.grid(trait)
    arms = list(dict.fromkeys(c['arm'] for c in cells))
    rows, order = {}, []
    for c in cells:
        if c['evaluation'] not in rows:
            order.append(c)
        rows.setdefault(c['evaluation'], {})[c['arm']] = c
    if not cells:
        return []
    n = max(cells, key=lambda c: c['u']['n'])
    which = f' ({trait})' if len(results.traits) > 1 else ''
    out = ['', f'<details><summary>Leakage grid: U{which} under other system prompts</summary>', '']
    unit = '' if any(c['u'].get('real') for c in cells) else ', %'
    out += table(['system prompt'] + [f'`{a}`{unit}' for a in arms], [
        [plot.row_words(c) and escaped(plot.row_words(c))] +
        [(shown(rows[c['evaluation']][a]['u']) + (' ^' if rows[c['evaluation']][a]['comes_back'] else ''))
         if a in rows[c['evaluation']] else '–' for a in arms] for c in order])
    return out + ['', f"n: {n['u']['n']} a cell at most ({of_seeds(n['u'])}); ^: clearly more than without "
                  'a system prompt (adjusted p < 0.05).', '</details>']


def region(results, name, known, readme, partial):
    d, folder = results.data, known[name]['folder']
    image = f"../../docs/img/{name}.svg" if readme else f'img/{name}.svg'
    file = experiment_file(name, known)
    n = len(results.seeds)
    out = [f'    inoc run {file} --seeds {",".join(map(str, results.seeds))}    # {n} seed{"s" if n != 1 else ""}',
           f'    tools/settings/results.py {name}', '']
    if partial:
        out += [f'**Not complete**: {len(partial)} of the results are missing, for instance {partial[0]}.', '']
    if d['headline']:
        out += [d['headline'], '']
    for t in results.setting.get('tables', []):
        out += share_table(results, t)
    for trait in results.traits if results.columns else []:
        if len(results.traits) > 1:
            out += [f'**U: {trait}**', '']
        out += [learnt(results, trait), ''] + main_table(results, trait) + ['']
    if results.traits and results.columns:
        out += [f'![U by arm]({image})', '']
        words = 'Values with their 95 % intervals. Suppression, retention, selectivity and verdict are read on ' \
                f"`{d['headline_evaluation']}`"
        if results.pair():
            words += f'; ood − id: (arm − `plain`) on `{results.pair()[1]}` minus the same on `{results.pair()[0]}`, p adjusted by Holm'
        out += [words + '.']
    for p in results.planes():
        where = image.replace('.svg', f"-{p['name']}.svg")
        out += ['', f"![{escaped(p['label'])}]({where})", '', f"{escaped(p['label'])}: arms with their 95 % intervals, single seeds small."]
    more = {'Side effects': side_table(results), 'The leakage grid': [x for t in results.traits for x in grid_table(results, t)]}
    more = {k: v for k, v in more.items() if v}
    if not readme or not results.columns:
        for lines in more.values():
            out += lines
    elif more:
        what = ' and '.join(more) if len(more) == 1 else 'Side effects and the leakage grid'
        out += ['', f'{what}: [RESULTS.md](../../docs/RESULTS.md).']
    return '\n'.join(out).strip('\n')


def stated(results, name, known):
    """The figures as a file that a program reads, one figure a line."""
    def short(e):
        keep = {k: e[k] if k.startswith('n') else e[k] and float(f'{e[k]:.6g}') for k in ('value', 'low', 'high', 'n', 'n_seeds')}
        return {**keep, 'real': True} if e.get('real') else keep
    lines = [json.dumps({'trait': t, 'arm': a, 'what': w, **short(e)}, ensure_ascii=False) for t, a, w, e in results.figures()]
    verdicts = [json.dumps({'trait': t, 'arm': a, 'verdict': j['verdict']}, ensure_ascii=False)
                for (t, a), j in results.judged.items() if j['verdict'] != 'none']
    return (f'{{"experiment": {json.dumps(name)}, "file": {json.dumps(experiment_file(name, known))}, "seeds": {json.dumps(results.seeds)},\n'
            '"figures": [\n' + ',\n'.join(lines) + '\n],\n"verdicts": [\n' + ',\n'.join(verdicts) + '\n]}\n')


def one(name, known, args):
    path = args.json or os.path.join(args.out, name)
    data = report(path, args.inoc)
    if data['experiment'] != name:
        raise Failed(f"{path} holds {data['experiment']}, not {name}")
    if data['ci'] != 'two-way':
        raise Failed(f"{path}: intervals of another kind ({data['ci']})")
    results = Results(data, known[name])
    lacks = results.missing()
    if lacks and not args.partial:
        raise Failed(f'{path}: not complete ({len(lacks)} missing, for instance {lacks[0]}); run it on, or use --partial')
    docs = os.path.join(args.root, 'docs')
    pages = [(os.path.join(docs, 'RESULTS.md'), False),
             (os.path.join(args.root, 'settings', known[name]['folder'], 'README.md'), True)]
    texts = []
    for page, readme in pages:
        with open(page, encoding='utf-8') as f:
            new = replaced(f.read(), name, region(results, name, known, readme, lacks))
        if new is None:
            raise Failed(f'{page} has no place for it: write the lines `<!-- results {name} -->` and `<!-- end -->`')
        texts.append((page, new))
    for page, new in texts:
        write(page, new)
    if results.traits and results.columns:
        write(os.path.join(docs, 'img', f'{name}.svg'), plot.picture(results))
    for p in results.planes():
        write(os.path.join(docs, 'img', f"{name}-{p['name']}.svg"), plane.picture(results, p))
    write(os.path.join(docs, 'results', f'{name}.json'), stated(results, name, known))
    print(f"{name}: {len(results.seeds)} seeds, {len(results.figures())} figures" + (f', {len(lacks)} missing' if lacks else ''))


def main():
    known = settings()
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument('names', nargs='*', metavar='NAME')
    p.add_argument('--out', default='out', help='the folder that holds the experiments\' output folders (out)')
    p.add_argument('--inoc', default=os.environ.get('INOC', 'build/release/inoc'))
    p.add_argument('--json', help='a file of `inoc report --json`, instead of a store')
    p.add_argument('--root', default=ROOT, help='where docs/ and settings/ are written')
    p.add_argument('--partial', action='store_true', help='also of what is not complete')
    args = p.parse_args()
    names = args.names or [n for n in known if os.path.exists(os.path.join(args.out, n, 'store.db'))]
    if not names:
        p.error(f'{args.out} holds no output folder of a setting')
    for n in names:
        if n not in known:
            p.error(f"no experiment is called '{n}'; there are {', '.join(known)}")
    bad = 0
    for n in names:
        try:
            one(n, known, args)
        except (Failed, OSError) as e:
            print(f'results.py: {e}', file=sys.stderr)
            bad = 1
    summary.update(args.root, known)
    return bad


if __name__ == '__main__':
    sys.exit(main())
