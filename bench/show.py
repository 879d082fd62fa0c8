"""The rows as they are written and printed: medians, spreads, the targets, a plot."""

import json
import pathlib
import platform

from common import median, reference

WHO = ["ours", "ours_q", "peft", "peft_compiled", "transformers", "llamacpp", "llamacpp_bf16", "roof"]
COLOURS = {"ours": "#0b6e4f", "ours_q": "#5fb49c", "peft": "#c8553d", "peft_compiled": "#e9a17c", "transformers": "#8a4fbf",
           "llamacpp": "#2f6db5", "llamacpp_bf16": "#8fb8e0", "gemm": "#999999"}


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), platform.machine())
    have = text.split("flags", 1)[-1].split("\n", 1)[0].split()
    return name, [x for x in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if x in have]


def row(work, unit, runs, roof, ways=None, less=False, **more):
    """less: the smaller the better. roof, and what of `more` can be called, is worked out when the roof is known."""
    return {"work": work, "unit": unit, **{k: None for k in ("ours", "peft", "transformers", "llamacpp")},
            **{k: median(v) for k, v in runs.items()}, "roof": roof,
            "spread": {k: [min(v), max(v)] for k, v in runs.items()}, "runs": runs, "ways": ways or {}, "less": less, **more}


def settle(r, best):
    for k, v in r.items():
        if callable(v):
            r[k] = v(best)


# ---- targets: (what, value, limit, whether it must be at least the limit)


def targets(rows):
    by, out = {r["work"]: r for r in rows}, []

    def want(what, limit, f, least=True):
        try:
            out.append((what, f(), limit() if callable(limit) else limit, least))
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            pass  # not measured, or not here

    def ratio(work, a, *b):
        return lambda: by[work][a] / max(by[work][k] for k in b if by[work].get(k))

    def slower(k, a, b):
        """How much longer an example of b takes than one of a."""
        each = lambda r: 1 / (r[k] * r["examples_per_unit"])
        return each(by[b]) / each(by[a])

    def flop(a, b):
        return by[b]["needed_gflop_per_example"] / by[a]["needed_gflop_per_example"]

    want("training, batch of 4: share of the roof", 0.75, ratio("train_plain", "ours", "roof"))
    want("training: times PEFT eager's best", 2.2, ratio("train_plain", "ours", "peft"))
    want("training: times PEFT compiled", 1.8, ratio("train_plain", "ours", "peft_compiled"))
    want("prompt of 10 tokens: time of an example, times plain", 1.05, lambda: slower("ours", "train_plain", "train_prompt10"), False)
    want("prompt of 200, batch of 16: time, times plain; 1.1 x needed FLOPs", lambda: 1.1 * flop("train_plain16", "train_prompt200"),
         lambda: slower("ours", "train_plain16", "train_prompt200"), False)
    want("the same of PEFT (for comparison)", None, lambda: slower("peft", "train_plain16", "train_prompt200"))
    want("prompt of 200: times PEFT's best", 3.5, ratio("train_prompt200", "ours", "peft", "peft_compiled"))
    want("training at 1024 tokens: share of the roof", 0.65, ratio("train_1024", "ours", "roof"))
    want("scoring: share of the roof", 0.70, ratio("score", "ours", "roof"))
    want("scoring: times llama.cpp's prefill", 3.3, ratio("score", "ours", "llamacpp"))
    want("generate, 64 sequences: times transformers", 4.5, ratio("generate_64", "ours", "transformers"))
    want("generate, 64 sequences, the demo's model: times transformers", 4.5, ratio("generate_64_tuned", "ours", "transformers"))
    for n in 64, 256:
        want(f"decode, {n} sequences: times llama.cpp", 3.5, lambda n=n: max(by[f"decode_{n}"].get(k) or 0 for k in ("ours", "ours_q"))
             / by[f"decode_{n}"]["llamacpp"])
    want("decode, 1 sequence: times llama.cpp", 1, lambda: max(by["decode_1"].get(k) or 0 for k in ("ours", "ours_q"))
         / by["decode_1"]["llamacpp"])
    want("memory, training 4 x 256 tokens, MB", 1200, lambda: by["rss_train_mb"]["ours"], False)
    want("memory: share of PEFT's", 0.5, ratio("rss_train_mb", "ours", "peft"), False)
    want("start to the first training step, second run, s", 1.5, lambda: by["start_s"]["ours"], False)
    want("demo to the first seed's table, s", 240, lambda: by["demo_s"]["ours"], False)
    want("demo, all seeds, s", 720, lambda: by["demo_s"]["all_s"], False)
    want("2 threads: times 1 (or what the products gain)", lambda: min(1.85, by["threads_2"]["roof"]), lambda: by["threads_2"]["ours"])
    return out


# ---- text


def number(x):
    return "-" if x is None else f"{x:.0f}" if abs(x) >= 100 else f"{x:.1f}" if abs(x) >= 10 else f"{x:.2f}"


def table(rows):
    widths = [max(len(r[i]) for r in rows) for i in range(len(rows[0]))]
    return ["  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(r, widths))).rstrip() for r in rows]


def text(b, load, seconds):
    name, flags = cpu()
    version = reference.versions("torch", "transformers", "peft", "llama-cpp-python")
    inoc = b.inoc_version()
    out = [f"{name} ({', '.join(flags)}), {b.args.threads} threads, load before {load:.2f}; {inoc}, {b.dtype}, oneDNN {b.best['onednn']}; "
           + ", ".join(f"{k} {v}" for k, v in version.items()),
           f"roof: {b.best['flops'] * 1e-9:.0f} GFLOP/s in {b.dtype}, {b.best['bytes'] * 1e-9:.0f} GB/s read; median of {b.args.rounds} rounds "
           f"(smallest to largest); {seconds / 60:.1f} minutes", ""]
    who = [k for k in WHO if any(r.get(k) is not None for r in b.rows)]

    def cell(r, k):
        lo, hi = r["spread"].get(k, (None, None))
        return number(r.get(k)) + (f" ({number(lo)} to {number(hi)})" if lo is not None and lo != hi else "")

    def share(r):
        return f"{100 * r['ours'] / r['roof']:.0f} %" if r["roof"] else "-"
    out += table([["", "unit", *who, "ours/roof"], *([r["work"], r["unit"], *(cell(r, k) for k in who), share(r)] for r in b.rows)])
    out += ["", *(f"{r['work']}: " + "; ".join(f"{k}: {v}" for k, v in r["ways"].items()) for r in b.rows if r["ways"])]
    rows = [["target", "wanted", "reached", ""]]
    for what, value, limit, least in targets(b.rows):
        sign, met = ("", "") if limit is None else (">= " if least else "<= ", "met" if (value >= limit) == least or value == limit else "missed")
        rows.append([what, sign + number(limit), number(value), met])
    return "\n".join(out + ["", *table(rows)] if len(rows) > 1 else out)


# ---- the plot


def svg(rows):
    """A bar each, as a share of the roof; where there is none, of the largest figure of the row."""
    left, width, bar, gap, parts, y = 150, 560, 13, 14, [], 46
    for r in rows:
        who = [k for k in [*WHO[:-1], "gemm"] if r.get(k)]
        if not who:
            continue
        full = r["roof"] or max(r[k] for k in who)
        note = r["unit"] + (", less is better" if r["less"] else "" if r["roof"] else ", no roof")
        parts.append(f'<text x="{left - 8}" y="{y + 11}" text-anchor="end" font-weight="bold">{r["work"]}</text>'
                     f'<text x="{left - 8}" y="{y + 24}" text-anchor="end" fill="#666">{note}</text>')
        for k in who:
            w = width * min(r[k] / full, 1.12)
            share = f" = {100 * r[k] / full:.0f} %" if r["roof"] and k == "ours" else ""
            parts.append(f'<rect x="{left}" y="{y}" width="{w:.1f}" height="{bar - 2}" fill="{COLOURS[k]}"/>'
                         f'<text x="{left + w + 4:.1f}" y="{y + 10}">{k} {number(r[k])}{share}</text>')
            y += bar
        y += max(gap, gap + (2 - len(who)) * bar)
    grid = "".join(f'<line x1="{left + width * q / 4}" y1="34" x2="{left + width * q / 4}" y2="{y}" stroke="{"#444" if q == 4 else "#ddd"}"/>'
                   f'<text x="{left + width * q / 4}" y="28" text-anchor="middle" fill="#444">{25 * q} %{" = roof" if q == 4 else ""}</text>'
                   for q in range(5))
    size = f'width="{left + width + 230}" height="{y + 10}"'
    return (f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="11"><rect {size} fill="white"/>'
            f"{grid}{''.join(parts)}</svg>\n")


def everything(b, load, seconds):
    out = pathlib.Path(b.args.out)
    out.parent.mkdir(parents=True, exist_ok=True)
    printed = text(b, load, seconds)
    out.write_text(json.dumps(b.rows, indent=1) + "\n")
    out.with_suffix(".txt").write_text(printed + "\n")
    if b.rows:
        out.with_suffix(".svg").write_text(svg(b.rows))
    print(printed)
    print(f"\nwritten: {out}, {out.with_suffix('.txt').name}" + (f", {out.with_suffix('.svg').name}" if b.rows else ""))
