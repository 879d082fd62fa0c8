"""Figures and tables in Markdown, and the places in a page where they go."""
import math
import os


class Failed(Exception):
    pass


def number(v, digits):
    return f'{v:.{digits}f}'.replace('-', '−')


def percent(v):
    """Whole per cents, with a decimal near the ends."""
    near = 0 < abs(v) < 0.01 or 0.99 < abs(v) < 1
    s = number(100 * v, 1 if near else 0)
    return s[1:] if s in ('−0', '−0.0') else s


def share(e):
    """Per cent with its interval, without the sign."""
    return bounded(e, percent) if e else '–'


def bounded(e, one):
    if e['low'] is None or e['high'] is None:
        return one(e['value'])
    return f"{one(e['value'])} [{one(e['low'])}, {one(e['high'])}]"


def real(e, digits=3):
    return bounded(e, lambda v: number(v, digits)) if e else '–'


def shown(e, what=''):
    if not e:
        return '–'
    if what == 'text':
        flipped = {'value': math.exp(-e['value']), 'low': e['high'] is not None and math.exp(-e['high']) or None,
                   'high': e['low'] is not None and math.exp(-e['low']) or None}
        return real(flipped, 1)
    return real(e, 1 if what == 'words' else 3) if e.get('real') else share(e)


def ratio(e):
    return real(e, 2) if e and e['value'] is not None else '–'


def table(head, rows):
    out = ['| ' + ' | '.join(head) + ' |', '|' + '|'.join('---' if i == 0 else '---:' for i in range(len(head))) + '|']
    return out + ['| ' + ' | '.join(r) + ' |' for r in rows]


def escaped(s):
    return s.replace('|', '\\|').replace('<', '&lt;')


def replaced(text, name, body):
    """text with the region's body replaced; None where it has no such region."""
    begin, end = f'<!-- results {name} -->\n', '<!-- end -->'
    at = text.find(begin)
    if at < 0:
        return None
    to = text.find(end, at)
    if to < 0:
        raise Failed(f'<!-- results {name} --> has no <!-- end -->')
    return text[:at + len(begin)] + '\n' + body + '\n\n' + text[to:]


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + '.new', 'w', encoding='utf-8') as f:
        f.write(text)
    os.replace(path + '.new', path)
