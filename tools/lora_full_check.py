#!/usr/bin/env python3
"""Compares an adapter trained by inoc with PEFT's after the same training, whole tensors.

  python tools/fixtures/lora.py --data EVERYDAY.jsonl --save PEFT_DIR
  INOC_SAVE_ADAPTER=OUR_DIR build/test_peft
  python tools/lora_full_check.py OUR_DIR PEFT_DIR

Prints per kind of tensor the largest |ours - PEFT| / |PEFT - initial|; exit status 1 when one is above 1e-2.
"""

import argparse
import pathlib
import re
import sys

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fixtures"))
import lora  # noqa: E402
import reference  # noqa: E402


def main():
    from safetensors.numpy import load_file
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("ours")
    p.add_argument("peft")
    p.add_argument("--limit", type=float, default=1e-2)
    args = p.parse_args()
    ours = load_file(pathlib.Path(args.ours) / "adapter_model.safetensors")
    peft = load_file(pathlib.Path(args.peft) / "adapter_model.safetensors")
    if set(ours) != set(peft):
        sys.exit(f"the adapters hold different tensors: {sorted(set(ours) ^ set(peft))[:4]}")
    worst = {}
    for name, b in peft.items():
        a = ours[name].astype(np.float64)
        if a.shape != b.shape:
            sys.exit(f"{name}: {a.shape} against PEFT's {b.shape}")
        layer, proj, ab = re.search(r"layers\.(\d+)\.\w+\.(\w+)\.lora_([AB])", name).groups()
        b0 = lora.initial(int(layer), reference.PROJ.index(proj), *b.shape, ab == "B").astype(np.float64)
        rel = np.linalg.norm(a - b) / np.linalg.norm(b - b0)
        worst[proj, ab] = max(worst.get((proj, ab), (0, "")), (rel, name))
    for (proj, ab), (rel, name) in worst.items():
        print(f"{proj:10} {ab}  {rel:.3e}  {name}")
    rel, name = max(worst.values())
    print(f"{len(peft)} tensors, largest {rel:.3e} ({name}), limit {args.limit:g}")
    sys.exit(not rel <= args.limit)


if __name__ == "__main__":
    main()
