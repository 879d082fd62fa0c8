#!/usr/bin/env python3
"""Training speed of PyTorch + PEFT on the demo's data: LoRA rank 16, alpha 32 on all seven projections, AdamW, batches of 4
padded to their longest, loss on the assistant's turns. Prints one JSON line; tokens are those of the examples, padding
not counted.

--variant says what is computed in bf16:
  bf16      weights and adapter
  mixed     weights; the adapter in f32 (PEFT's default for bf16 weights)
  autocast  weights and adapter in f32, products in bf16 by torch.autocast
  f32       nothing
"""

import json
import random
import time

from common import conversations, median, reference


def main():
    import torch
    from peft import LoraConfig, get_peft_model
    p = reference.parser(__doc__)
    p.add_argument("--data", required=True)
    p.add_argument("--steps", type=int, default=40)
    p.add_argument("--warmup-steps", type=int, default=4, help="not timed")
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--variant", choices=["bf16", "mixed", "autocast", "f32"], default="bf16")
    args = reference.parse(p)
    _, meta = reference.fields(args.gguf)
    tok = reference.tokenizer(meta)
    examples = [reference.chatml(tok, c) for c in conversations(args.data)]
    dtype = torch.bfloat16 if args.variant in ("bf16", "mixed") else torch.float32
    base = reference.load(args, dtype)
    base.set_attn_implementation("sdpa")
    base.config.use_cache = False
    model = get_peft_model(base, LoraConfig(r=16, lora_alpha=32, lora_dropout=0.0, target_modules=reference.PROJ,
                                            task_type="CAUSAL_LM"), autocast_adapter_dtype=args.variant != "bf16")
    params = [q for q in model.parameters() if q.requires_grad]
    opt = torch.optim.AdamW(params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
    model.train()
    rng, order, tokens, computed, seconds, losses = random.Random(1), [], 0, 0, [], []
    for step in range(args.warmup_steps + args.steps):
        if len(order) < args.batch:
            order = list(range(len(examples)))
            rng.shuffle(order)
        batch = [examples[order.pop()] for _ in range(args.batch)]
        start = time.perf_counter()
        n = max(len(ids) for ids, _ in batch)
        ids = torch.tensor([ids + [2] * (n - len(ids)) for ids, _ in batch])
        mask = torch.tensor([[1] * len(ids) + [0] * (n - len(ids)) for ids, _ in batch])
        labels = torch.tensor([[i if l else -100 for i, l in zip(ids, loss)] + [-100] * (n - len(ids))
                               for ids, loss in batch])
        with torch.autocast("cpu", torch.bfloat16, enabled=args.variant == "autocast"):
            loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        opt.step()
        opt.zero_grad()
        losses.append(float(loss.detach()))
        if step >= args.warmup_steps:
            seconds.append(time.perf_counter() - start)
            tokens += sum(len(ids) for ids, _ in batch)
            computed += n * args.batch
    print(json.dumps({"variant": args.variant, "steps": args.steps, "tokens": tokens, "padded_tokens": computed,
                      "seconds": sum(seconds), "tokens_per_s": tokens / sum(seconds), "step_s": median(seconds),
                      "first_loss": losses[0], "last_loss": losses[-1], "threads": torch.get_num_threads()}))


if __name__ == "__main__":
    main()
