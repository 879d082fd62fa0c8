#!/usr/bin/env python3
"""A line for each experiment named: seeds, verdicts of its inoculated arms, report. $OUT and $INOC as in run.sh."""
import os
import sys

import results


def main():
    out, inoc = os.environ.get('OUT', 'out'), os.environ.get('INOC', 'build/release/inoc')
    for name in sys.argv[1:]:
        path = os.path.join(out, name)
        try:
            if not os.path.exists(os.path.join(path, 'store.db')):
                raise results.Failed('not run')
            d = results.report(path, inoc)
        except results.Failed as e:
            print(f'{name:20} {e}')
            continue
        verdicts = [f"{j['arm']}: {j['verdict']}" for j in d['judgements'] if j['role'] == 'inoculated'] or ['no traits']
        print(f"{name:20} {len(d['seeds'])} seeds  {path}/report.html")
        for v in verdicts:
            print(f"{'':20} {v}")


if __name__ == '__main__':
    main()
