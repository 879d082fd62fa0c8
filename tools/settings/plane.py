"""The picture of a plane for the docs: two scores of every arm against each other, a panel an evaluation. SVG by hand."""
import html

from plot import FG, LINE, MUTED, cut, line, scale, text

ROLES = {'base': '#747a83', 'clean': '#128055', 'plain': '#bf4f0c', 'control': '#96780f', 'inoculated': '#1f6fb2', 'other': '#6d4c6b'}
SIDE, LEFT, RIGHT, TOP, BOTTOM, CHAR = 350, 56, 24, 34, 50, 6.2


def overlap(a, b):
    w, h = min(a[2], b[2]) - max(a[0], b[0]), min(a[3], b[3]) - max(a[1], b[1])
    return w * h if w > 0 and h > 0 else 0


def place(marks, frame):
    """Boxes of the labels, each where it covers least of marks and of labels put before."""
    boxes = []
    whiskers = [b for m in marks for b in m[4]]
    for name, x, y, *_ in marks:
        best = None
        for ring in range(8):
            for k, (dx, dy) in enumerate([(1, 0), (1, -1), (1, 1), (-1, 0), (-1, -1), (-1, 1), (0, -1), (0, 1)]):
                w, reach = CHAR * len(name), 9 + 13 * ring
                x0 = x + reach * dx if dx > 0 else x + reach * dx - w if dx else x - w / 2
                y0 = y + reach * dy - 7
                box = (x0, y0, x0 + w, y0 + 14)
                out = box[0] < frame[0] or box[1] < frame[1] or box[2] > frame[2] or box[3] > frame[3]
                cost = 14 * ring + 0.3 * k + 1e6 * out + sum(20 * overlap(box, b) for b in boxes)
                cost += sum(4 * overlap(box, (mx - 6, my - 6, mx + 6, my + 6)) for _, mx, my, *_ in marks) + sum(overlap(box, b) for b in whiskers)
                if best is None or cost < best[0]:
                    best = (cost, box)
        boxes.append(best[1])
    return boxes


def axis(points, key, side):
    """From a value to its place in the panel, and the tics."""
    low, high, tics = scale([p[key] for p in points])
    return lambda v: (min(max(v, low), high) - low) / (high - low) * side, tics


def title(a):
    return f"{a['label']}, {'%' if a['unit'] == 'share' else a['unit']}"


def panel(out, x0, y0, plane, points, arms, label):
    at_x, tics_x = axis(plane['points'], 'x', SIDE)
    at_y, tics_y = axis(plane['points'], 'y', SIDE)
    out.append(text(x0, y0 - 12, label, 13, more=' font-weight="bold"'))
    for v, t in tics_x:
        out.append(line(x0 + at_x(v), y0, x0 + at_x(v), y0 + SIDE, LINE))
        out.append(text(x0 + at_x(v), y0 + SIDE + 15, t, 11, 'middle', MUTED))
    for v, t in tics_y:
        out.append(line(x0, y0 + SIDE - at_y(v), x0 + SIDE, y0 + SIDE - at_y(v), LINE))
        out.append(text(x0 - 6, y0 + SIDE - at_y(v) + 4, t, 11, 'end', MUTED))
    out.append(text(x0 + SIDE / 2, y0 + SIDE + 36, title(plane['x']), 12, 'middle'))
    mx, my = x0 - 40, y0 + SIDE / 2
    out.append(text(mx, my, title(plane['y']), 12, 'middle', more=f' transform="rotate(-90 {mx:.1f} {my:.1f})"'))
    marks = []
    for p in points:
        colour = ROLES.get(arms[p['arm']]['role'], FG)
        for s in p['seeds']:
            if s['x'] is not None and s['y'] is not None:
                out.append(f'<circle cx="{x0 + at_x(s["x"]):.1f}" cy="{y0 + SIDE - at_y(s["y"]):.1f}" r="2" fill="{colour}" fill-opacity="0.4"/>')
        cx, cy = x0 + at_x(p['x']['value']), y0 + SIDE - at_y(p['y']['value'])
        whiskers = []
        if p['x']['low'] is not None:
            whiskers.append((x0 + at_x(p['x']['low']), cy, x0 + at_x(p['x']['high']), cy))
        if p['y']['low'] is not None:
            whiskers.append((cx, y0 + SIDE - at_y(p['y']['high']), cx, y0 + SIDE - at_y(p['y']['low'])))
        out += [line(*w, colour, 1.3) for w in whiskers]
        out.append(f'<circle cx="{cx:.1f}" cy="{cy:.1f}" r="4.5" fill="{colour}"/>')
        marks.append((cut(arms[p['arm']]['label'] or p['arm'], 26), cx, cy, colour, [(a - 2, b - 2, c + 2, d + 2) for a, b, c, d in whiskers]))
    for (name, cx, cy, colour, _), b in zip(marks, place(marks, (x0 + 2, y0, x0 + SIDE + RIGHT - 2, y0 + SIDE))):
        ex, ey = min(max(cx, b[0]), b[2]), min(max(cy, b[1] + 3), b[3] - 3)
        if (ex - cx) ** 2 + (ey - cy) ** 2 > 15 ** 2:
            out.append(line(cx, cy, ex, ey, MUTED, 0.7))
        out.append(text(b[0], b[3] - 3, name, 11, colour=colour))


def picture(results, plane):
    """None where nothing is drawn."""
    evals = list(dict.fromkeys(p['evaluation'] for p in plane['points']))
    if not evals:
        return None
    labels = {e['name']: e['label'] or e['name'] for e in results.data['evaluations']}
    out, wide = [], LEFT + SIDE + RIGHT
    for k, e in enumerate(evals):
        panel(out, LEFT + wide * k, TOP, plane, [p for p in plane['points'] if p['evaluation'] == e], results.arms, labels[e])
    width, height = wide * len(evals), TOP + SIDE + BOTTOM
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}" '
            f'font-family="sans-serif" role="img">\n<title>{html.escape(plane["label"])}: arms with 95 % intervals, seeds small</title>\n'
            f'<rect width="{width}" height="{height}" fill="#fff"/>\n' + '\n'.join(out) + '\n</svg>\n')
