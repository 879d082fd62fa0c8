"""The picture of a setting: U and W by arm with their intervals, and the leakage grid as a small heat map. SVG by hand."""
import html

COLOURS = ['#1f6fb2', '#bf4f0c', '#4a8f3c', '#8e3fa6']  # as in the report
FG, MUTED, LINE = '#1b1e23', '#626973', '#dfe0dc'
ROW, LABEL, PANEL, VERDICT, GAP = 26, 230, 250, 120, 40
KINDS = {'none': 'no system turn', 'empty': 'an empty one', 'default': "the template's own", 'neutral': 'neutral',
         'own': 'the training prompt', 'seen': 'a paraphrase seen', 'held_out': 'a paraphrase held out', 'negation': 'its negation',
         'related': 'a related one', 'unrelated': 'an unrelated one', 'other': 'another'}


def row_words(cell):
    words = KINDS[cell['kind']]
    return words if cell['kind'] in ('none', 'empty', 'default') or not cell['system'] else f"{words}: “{cell['system']}”"


def text(x, y, s, size=12, anchor='start', colour=FG, more=''):
    return f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}"{more}>{html.escape(s)}</text>'


def line(x0, y0, x1, y1, colour, width=1):
    return f'<line x1="{x0:.1f}" y1="{y0:.1f}" x2="{x1:.1f}" y2="{y1:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def cut(s, n):
    return s if len(s) <= n else s[:n - 1] + '…'


def scale(estimates):
    """From, to and tics: 0 to 1 of shares, else what the numbers need."""
    if not any(e.get('real') for e in estimates):
        return 0, 1, [(0, '0'), (0.25, '25'), (0.5, '50'), (0.75, '75'), (1, '100 %')]
    ends = [v for e in estimates for v in (e['value'], e['low'], e['high']) if v is not None] + [0]
    low, high = min(ends), max(ends)
    step = next(s for k in range(-6, 9) for s in (1 * 10.0**k, 2 * 10.0**k, 5 * 10.0**k) if (high - low) / s <= 5)
    first, last = int(low // step), -int(-high // step)
    last = max(last, first + 1)
    return first * step, last * step, [(i * step, f'{i * step:.4g}'.replace('-', '−')) for i in range(first, last + 1)]


def panel(out, x, y, title, results, trait, arms, columns, order):
    """Marks of the columns, arms down, coloured by evaluation. The arm's own prompt is a hollow mark."""
    cells = [[results.figure(trait, a, c) for c in columns] for a in arms]
    low, high, tics = scale([e for r in cells for e in r if e] or [{'value': 0}])
    at = lambda v: x + (min(max(v, low), high) - low) / (high - low) * PANEL
    colour = lambda c: COLOURS[order.index(c[2].replace('_own', '')) % len(COLOURS)]
    bottom = y + ROW * len(arms)
    out.append(text(x, y - 40, title, 12, more=' font-weight="bold"'))
    dx, dy = x, y - 26
    for c in columns:  # the legend, in two lines where one is too short
        own = results.own(c[2])
        label = c[2] if not own else 'own prompt' if sum(map(results.own, (k[2] for k in columns))) == 1 else c[2].replace('_', ' ')
        label = label.replace('_', ' ')
        if dx > x and dx + 13 + 6.2 * len(label) > x + PANEL + 20:
            dx, dy = x, dy + 14
        out.append(f'<circle cx="{dx + 5:.1f}" cy="{dy:.1f}" r="4" fill="{"#fff" if own else colour(c)}" stroke="{colour(c)}" stroke-width="1.5"/>')
        out.append(text(dx + 13, dy + 4, label, 11, colour=MUTED))
        dx += 24 + 6.2 * len(label)
    for v, t in tics:
        out.append(line(at(v), y, at(v), bottom, LINE))
        out.append(text(at(v), bottom + 15, t, 11, 'middle', MUTED))
    for r, row in enumerate(cells):
        for k, (c, e) in enumerate(zip(columns, row)):
            if not e:
                continue
            cy = y + ROW * (r + 0.5) + (k - (len(columns) - 1) / 2) * min(7, (ROW - 6) / len(columns))
            if e['low'] is not None:
                out.append(line(at(e['low']), cy, at(e['high']), cy, colour(c), 1.5))
            fill = '#fff' if results.own(c[2]) else colour(c)
            out.append(f'<circle cx="{at(e["value"]):.1f}" cy="{cy:.1f}" r="3" fill="{fill}" stroke="{colour(c)}" stroke-width="1.5"/>')
    return bottom + 24


def heat(share):
    """White to brown; the ink upon it."""
    a, b = (0xf3, 0xf1, 0xec), (0x8a, 0x2f, 0x00)
    c = tuple(round(p + (q - p) * share) for p, q in zip(a, b))
    return '#%02x%02x%02x' % c, '#fff' if share > 0.5 else FG


def grid(out, y, results, trait, width):
    cells = results.grid(trait)
    arms = list(dict.fromkeys(c['arm'] for c in cells))
    rows = list(dict.fromkeys(c['evaluation'] for c in cells))
    if not cells:
        return y
    at = {(c['evaluation'], c['arm']): c for c in cells}
    left, w, h = 470, min(90, (width - 490) // len(arms)), 20
    values = [c['u']['value'] for c in cells]
    real = any(c['u'].get('real') for c in cells)
    low, high = (min(values), max(values)) if real else (0, 1)
    out.append(text(10, y + 14, 'U under other system prompts' + ('' if real else ', %'), 12, more=' font-weight="bold"'))
    for k, a in enumerate(arms):
        out.append(text(left + w * (k + 0.5), y + 14, cut(a, 13), 11, 'middle', MUTED))
    y += 22
    for r, e in enumerate(rows):
        first = next(c for c in cells if c['evaluation'] == e)
        out.append(text(left - 8, y + h * r + 14, cut(row_words(first), 76), 11, 'end'))
        for k, a in enumerate(arms):
            c = at.get((e, a))
            if not c:
                continue
            v = c['u']['value']
            fill, ink = heat((v - low) / (high - low) if high > low else 0)
            out.append(f'<rect x="{left + w * k:.1f}" y="{y + h * r:.1f}" width="{w - 1.5:.1f}" height="{h - 1.5:.1f}" fill="{fill}"/>')
            shown = (f'{v:.2f}' if real else f'{100 * v:.0f}').replace('-', '−') + (' ▲' if c['comes_back'] else '')
            out.append(text(left + w * (k + 0.5), y + h * r + 14, shown, 11, 'middle', ink))
    return y + h * len(rows) + 14


def picture(results):
    out, y, width = [], 0, LABEL + 2 * PANEL + 2 * GAP + VERDICT
    names = results.setting.get('plot')
    for trait in results.traits:
        arms = [a for a in results.arms_of(trait)]
        us = [c for c in results.columns if c[1] == 'u' and (not names or c[2] in names or results.own(c[2]))]
        us = [c for c in us if any(results.figure(trait, a, c) for a in arms)]
        ws = [c for c in results.columns if c[1] != 'u' and c[1] != 'goal' and c[0].startswith('W')]
        ws = [c for c in ws if any(results.figure(trait, a, c) for a in arms)]
        if not us:
            continue
        y += 52
        for r, a in enumerate(arms):
            if r % 2 == 0:
                out.append(f'<rect x="0" y="{y + ROW * r}" width="{width}" height="{ROW}" fill="#f6f6f3"/>')
            out.append(text(10, y + ROW * (r + 0.5) + 4, cut(results.arms[a]['label'] or a, 34)))
            j = results.judged.get((trait, a))
            if j and j['verdict'] != 'none':
                out.append(text(LABEL + 2 * PANEL + 2 * GAP, y + ROW * (r + 0.5) + 4, cut(j['verdict'], 22), 11, colour=MUTED))
        order = list(dict.fromkeys(c[2].replace('_own', '') for c in us + ws))
        end = panel(out, LABEL, y, f'U, the unwanted trait ({trait})', results, trait, arms, us, order)
        if ws:
            panel(out, LABEL + PANEL + GAP, y, 'W, the wanted skill', results, trait, arms, ws, order)
        y = grid(out, end + 8, results, trait, width)
    height = y + 8
    head = (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}" height="{height:.0f}" '
            f'font-family="sans-serif" role="img">\n<title>{html.escape(results.data["experiment"])}: U and W by arm, 95 % intervals</title>\n'
            f'<rect width="{width}" height="{height:.0f}" fill="#fff"/>\n')
    return head + '\n'.join(out) + '\n</svg>\n'
