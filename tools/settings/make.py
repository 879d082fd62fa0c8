#!/usr/bin/env python3
"""Writes the data of the settings from their sources and generators, and checks it. Python 3 standard library only.

  tools/settings/make.py [NAME...]           write the files of these settings (default: all)
  tools/settings/make.py --check [NAME...]   fail unless the files are what would be written

Each module of this folder that is named after a setting has build(), {file: its text}, and check(faults, {file: its records}).
The split and all choices come from a hash of common.SEED and the text itself, or a random generator seeded with it: the same
everywhere. settings/spanish-caps has its own script, ../make_spanish_caps.py.
"""
import importlib
import json
import sys

from common import SETTINGS, Faults

NAMES = ["arithmetic", "mixture", "style", "emergent", "bad-advice", "backdoor", "facts", "subliminal", "ability", "papers"]


def main():
    args = sys.argv[1:]
    check = "--check" in args
    names = [a for a in args if a != "--check"] or NAMES
    for n in names:
        if n not in NAMES:
            sys.exit(f"no setting is called {n!r} here (known: {', '.join(NAMES)})")
    bad = False
    for n in names:
        module = importlib.import_module(n.replace("-", "_"))
        texts = module.build()
        files = {k: [json.loads(s) for s in t.splitlines()] for k, t in texts.items()}
        faults = Faults()
        module.check(faults, files)
        for f in faults:
            print(f"{n}: {f}", file=sys.stderr)
        bad = bad or bool(faults)
        if faults:
            continue
        if check:
            stale = [k for k, t in texts.items() if not (SETTINGS / n / k).exists() or (SETTINGS / n / k).read_text(encoding="utf-8") != t]
            if stale:
                print(f"{n}: not what its source gives: {', '.join(stale)}; run tools/settings/make.py", file=sys.stderr)
                bad = True
        else:
            (SETTINGS / n).mkdir(exist_ok=True)
            for k, t in texts.items():
                (SETTINGS / n / k).write_text(t, encoding="utf-8")
        print(f"{n}: " + ", ".join(f"{k} {len(v)}" for k, v in files.items()))
    sys.exit(1 if bad else 0)


if __name__ == "__main__":
    main()
