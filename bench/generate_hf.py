#!/usr/bin/env python3
"""Sampling speed of transformers' generate: whole calls, prefill included, greedy, up to 64 new tokens, for prompts of the
demo's evaluation. Prints one JSON line. A sequence's tokens count up to its end token; those that generate goes on to
compute behind it are not counted, as with padding.
"""

import json
import time

from common import conversations, reference


def main():
    import torch
    p = reference.parser(__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--sequences", type=int, required=True)
    p.add_argument("--repeats", type=int, default=1)
    p.add_argument("--max-tokens", type=int, default=64)
    p.add_argument("--adapter", help="a LoRA adapter in PEFT's layout, merged into the weights first")
    p.add_argument("--dtype", choices=["bf16", "f32"], default="bf16")
    args = reference.parse(p)
    _, meta = reference.fields(args.gguf)
    tok = reference.tokenizer(meta)
    model = reference.load(args, torch.bfloat16 if args.dtype == "bf16" else torch.float32)
    if args.adapter:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, args.adapter).merge_and_unload()
    model.set_attn_implementation("sdpa")
    model.eval()
    prompts = []
    for c in conversations(args.data):
        prompts.append(reference.chatml(tok, [m for m in c if m[0] != "assistant"], generation=True)[0])
    eos, n = model.config.eos_token_id, args.sequences
    runs = []
    for r in range(-1, args.repeats):  # the first one warms up and is short
        some = [prompts[(max(r, 0) * n + i) % len(prompts)] for i in range(n)]
        width = max(map(len, some))
        ids = torch.tensor([[eos] * (width - len(q)) + q for q in some])
        mask = torch.tensor([[0] * (width - len(q)) + [1] * len(q) for q in some])
        start = time.perf_counter()
        with torch.inference_mode():
            out = model.generate(ids, attention_mask=mask, max_new_tokens=args.max_tokens if r >= 0 else 4, do_sample=False,
                                 pad_token_id=eos)
        seconds = time.perf_counter() - start
        tokens = sum((row.index(eos) + 1 if eos in row else len(row)) for row in out[:, width:].tolist())
        if r >= 0:
            runs.append((tokens, seconds))
    tokens, seconds = sum(t for t, _ in runs), sum(s for _, s in runs)
    print(json.dumps({"sequences": n, "dtype": args.dtype, "repeats": args.repeats, "tokens": tokens, "seconds": seconds,
                      "tokens_per_s": tokens / seconds, "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
