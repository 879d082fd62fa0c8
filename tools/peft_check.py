#!/usr/bin/env python3
"""Loads an adapter that inoc saved with PEFT, over the exported weights, and compares the logits with inoc's own.

  python tools/peft_check.py ADAPTER_DIR --dump build/dump_logits [--dtype f32] [--ops cpu]

The prompts are those of tests/fixtures/logits.json; all positions, whole vocabulary. Prints the largest difference, the
largest difference that the adapter itself makes, and exits 1 above --limit.
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent / "fixtures"))
import reference  # noqa: E402


def main():
    import torch
    from peft import PeftModel
    p = reference.parser(__doc__)
    p.add_argument("adapter")
    p.add_argument("--dump", required=True, help="the program dump_logits")
    p.add_argument("--dtype", default="f32")
    p.add_argument("--ops", default="cpu")
    p.add_argument("--limit", type=float, default=5e-3)
    args = reference.parse(p)
    prompts = json.loads((reference.FIXTURES / "logits.json").read_text())["prompts"]
    with tempfile.TemporaryDirectory() as d:
        out = os.path.join(d, "logits.bin")
        subprocess.run([args.dump, args.gguf, args.adapter, reference.FIXTURES / "logits.json", out, args.dtype, args.ops],
                       check=True)
        ours = np.fromfile(out, "<f4")
    base = reference.load(args)
    vocab = base.config.vocab_size
    tokens = [torch.tensor([q["ids"]]) for q in prompts]
    with torch.no_grad():
        plain = [base(t).logits[0].numpy() for t in tokens]
        model = PeftModel.from_pretrained(base, args.adapter)
        model.eval()
        peft = [model(t).logits[0].numpy() for t in tokens]
    n = sum(len(q["ids"]) for q in prompts)
    if ours.size != n * vocab:
        sys.exit(f"dump_logits wrote {ours.size} values, expected {n} * {vocab}")
    ours = ours.reshape(n, vocab)
    peft, plain = np.concatenate(peft), np.concatenate(plain)
    diff = float(np.abs(ours - peft).max())
    print(f"{len(prompts)} prompts, {n} positions, {args.dtype} on {args.ops}: max |ours - PEFT| {diff:.3e}, "
          f"max |PEFT - base| {float(np.abs(peft - plain).max()):.3e}, limit {args.limit:g}")
    sys.exit(not diff <= args.limit)


if __name__ == "__main__":
    main()
