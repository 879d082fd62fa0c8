"""The table over all experiments at the head of "The settings" of docs/RESULTS.md, from docs/results/*.json."""
import json
import os
import re

from markdown import escaped, ratio, replaced, shown, table, write

NAME = 'summary'  # of its region


def headline(path):
    """The evaluation on which the experiment's verdicts are read."""
    with open(path, encoding='utf-8') as f:
        m = re.search(r'^headline: *(\S+)', f.read(), re.M)
    return m and m.group(1)


def rows_of(d, root, main):
    """One row for each trait with a verdict: what names the trait (main: the arm to show instead), what is general, the controls."""
    figures = {(f['trait'], f['arm'], f['what']): f for f in d['figures']}
    what = f"u {headline(os.path.join(root, d['file']))}"
    rows = []
    for trait in dict.fromkeys(v['trait'] for v in d['verdicts']):
        verdicts = {v['arm']: v['verdict'] for v in d['verdicts'] if v['trait'] == trait}
        controls = [a for a in verdicts if re.match(r'control|neutral|irrelevant', a)]
        others = [a for a in verdicts if a not in controls + ['general']]
        named = next((a for a in [main, 'specific'] + others if a in verdicts), None)
        general = 'general' if 'general' in verdicts and named != 'general' else None

        def u(arm, interval=True):
            f = figures.get((trait, arm, what))
            if not f:
                return '–'
            f = f if interval else {**f, 'low': None}
            return shown(f) + ('' if f.get('real') else ' %')

        def verdict(arm):
            return f'{u(arm)}: {verdicts[arm]}' if arm else '–'
        rows.append([f"[{d['experiment']}](#{d['anchor']})", f"{escaped(trait)}, `{what[2:]}`", u('plain'),
                     '; '.join(u(a, False) for a in controls), f'`{named}` {verdict(named)}' if named else '–'] +
                    [ratio(figures.get((trait, named, k))) for k in ('suppression', 'retention')] + [verdict(general)])
    return rows


def anchors(text):
    """The place of each experiment's region: the heading before it, as a link's target."""
    out, at = {}, ''
    for line in text.splitlines():
        if re.match(r'#{2,} ', line):
            at = re.sub(r'[^\w\- ]', '', line.lstrip('# ').lower()).strip().replace(' ', '-')
        m = re.match(r'<!-- results (\S+) -->', line)
        if m:
            out[m.group(1)] = at
    return out


def update(root, known):
    """Writes the region anew, where RESULTS.md has one."""
    page = os.path.join(root, 'docs', 'RESULTS.md')
    with open(page, encoding='utf-8') as f:
        text = f.read()
    if replaced(text, NAME, '') is None:
        return
    at, rows = anchors(text), []
    for name, v in known.items():
        path = os.path.join(root, 'docs', 'results', f'{name}.json')
        if not os.path.exists(path):
            continue
        with open(path, encoding='utf-8') as f:
            d = json.load(f)
        rows += rows_of({**d, 'anchor': at.get(name, '')}, root, v.get('main'))
    head = ['experiment', 'U, evaluation', '`plain`', 'controls', 'prompt for it', 'suppression', 'retention of W', '`general`']
    new = replaced(text, NAME, '\n'.join(table(head, rows)))
    if new != text:
        write(page, new)
