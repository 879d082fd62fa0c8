#!/usr/bin/env python3
"""PyTorch: LoRA training with PEFT (rank 16, alpha 32 on all seven projections, AdamW, loss on the assistant's turns), and
transformers' generate. Answers requests (common.serve); counted are the examples' own tokens, never padding, and of a generated
sequence those up to its end token.

--variant says what is computed in bf16:
  bf16      weights and adapter
  autocast  weights and adapter in f32, products in bf16 by torch.autocast
  f32       nothing
"""

import ctypes
import os
import random
import time

from common import conversations, reference, serve

RANK, ALPHA, MEGA = 16, 32, 50  # MEGA: batches that are sorted together, as transformers' LengthGroupedSampler has it


def trim():
    """Gives freed memory back, so that processes that wait do not hold it."""
    ctypes.CDLL(None).malloc_trim(0)


class Torch:
    def __init__(self, args):
        import torch
        torch.set_num_threads(args.threads)
        _, meta = reference.fields(args.gguf)
        self.torch, self.args, self.tok, self.data = torch, args, reference.tokenizer(meta), {}
        self.dtype = torch.bfloat16 if args.variant == "bf16" else torch.float32
        self.model = self.opt = None

    def load(self):
        from transformers import LlamaForCausalLM
        return LlamaForCausalLM.from_pretrained(self.args.hf, dtype=self.dtype, attn_implementation="sdpa")

    # ---- training

    def trainer(self, warm):
        from peft import LoraConfig, get_peft_model
        torch, base = self.torch, self.load()
        base.config.use_cache = False
        self.model = get_peft_model(base, LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, task_type="CAUSAL_LM",
                                                     target_modules=reference.PROJ),
                                    autocast_adapter_dtype=self.args.variant != "bf16")
        self.params = [q for q in self.model.parameters() if q.requires_grad]
        self.opt = torch.optim.AdamW(self.params, lr=1e-3, betas=(0.9, 0.999), eps=1e-8, weight_decay=0.01)
        if self.args.compile:  # layer by layer: all thirty share what is compiled, which takes seconds and not minutes
            torch._dynamo.config.recompile_limit = 64  # never back to eager without a word
            for layer in base.model.layers:
                layer.compile(dynamic=True)
        self.model.train()
        x = sorted(self.examples, key=lambda x: len(x[0]))
        for some in [x[:2], [x[0]] * 2, x[:2]] if warm else []:  # with padding and without: what is compiled or set up for either
            self.step(some)

    def order(self, n, batch, grouped, rng):
        order = list(range(n))
        rng.shuffle(order)
        if grouped:
            size = lambda i: len(self.examples[i][0])
            order = [i for at in range(0, n, MEGA * batch) for i in sorted(order[at:at + MEGA * batch], key=size, reverse=True)]
        batches = [order[at:at + batch] for at in range(0, n - batch + 1, batch)]
        rng.shuffle(batches)  # so that a few steps see long and short ones
        return batches

    def step(self, some):
        """One optimizer step; (loss, tokens with padding)."""
        torch, n = self.torch, max(len(ids) for ids, _ in some)
        ids = torch.tensor([ids + [2] * (n - len(ids)) for ids, _ in some])
        mask = torch.tensor([[1] * len(ids) + [0] * (n - len(ids)) for ids, _ in some])
        labels = torch.tensor([[i if l else -100 for i, l in zip(ids, loss)] + [-100] * (n - len(ids)) for ids, loss in some])
        with torch.autocast("cpu", torch.bfloat16, enabled=self.args.variant == "autocast"):
            loss = self.model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.params, 1.0)
        self.opt.step()
        self.opt.zero_grad()
        return float(loss.detach()), n * len(some)

    def train(self, data, batch, steps, grouped=False, seed=1, warm=True):
        if data not in self.data:
            self.data[data] = [reference.chatml(self.tok, c) for c in conversations(data)]
        self.examples = self.data[data]
        if not self.model:
            self.trainer(warm)
        rng, batches, tokens, padded, losses, first, seconds = random.Random(seed), [], 0, 0, [], None, 0
        for _ in range(steps):
            batches = batches or self.order(len(self.examples), batch, grouped, rng)
            some = [self.examples[i] for i in batches.pop()]
            start = time.perf_counter()
            loss, computed = self.step(some)
            seconds += time.perf_counter() - start
            losses.append(loss)
            first = first or time.time()
            tokens += sum(len(ids) for ids, _ in some)
            padded += computed
        trim()
        return {"tokens": tokens, "examples": steps * batch, "padded_tokens": padded, "seconds": seconds, "first_step": first,
                "losses": losses[:1] + losses[-1:]}

    # ---- sampling

    def generate(self, prompts, new):
        """One call on left-padded prompts, greedy."""
        torch = self.torch
        if not self.model:
            self.model = self.load().eval()
        eos, width = self.model.config.eos_token_id, max(map(len, prompts))
        ids = torch.tensor([[eos] * (width - len(q)) + q for q in prompts])
        mask = torch.tensor([[0] * (width - len(q)) + [1] * len(q) for q in prompts])
        start = time.perf_counter()
        with torch.inference_mode():
            out = self.model.generate(ids, attention_mask=mask, max_new_tokens=new, do_sample=False, pad_token_id=eos)
        seconds = time.perf_counter() - start
        return {"tokens": sum(row.index(eos) + 1 if eos in row else len(row) for row in out[:, width:].tolist()),
                "seconds": seconds}

    def logprobs(self, data, batch):
        """Sums of the log-probabilities of the assistant's turns, in padded batches of like length."""
        torch = self.torch
        if not self.model:
            self.model = self.load().eval()
        examples = sorted((reference.chatml(self.tok, c) for c in conversations(data)), key=lambda x: len(x[0]))
        total, start = 0, time.perf_counter()
        for at in range(0, len(examples), batch):
            some = examples[at:at + batch]
            n = max(len(ids) for ids, _ in some)
            ids = torch.tensor([ids + [2] * (n - len(ids)) for ids, _ in some])
            mask = torch.tensor([[1] * len(ids) + [0] * (n - len(ids)) for ids, _ in some])
            want = torch.tensor([loss[1:] + [0] * (n - len(loss) + 1) for _, loss in some], dtype=torch.bool)
            with torch.inference_mode():
                z = self.model.lm_head(self.model.model(input_ids=ids, attention_mask=mask).last_hidden_state[want]).float()
                total += float(torch.log_softmax(z, -1).gather(1, ids.roll(-1, 1)[want][:, None]).double().sum())
        return {"tokens": sum(len(ids) for ids, _ in examples), "seconds": time.perf_counter() - start, "logprob": total}


def main():
    p = reference.parser(__doc__)
    p.add_argument("--variant", choices=["bf16", "autocast", "f32"], default="bf16")
    p.add_argument("--compile", action="store_true", help="torch.compile, layer by layer")
    p.add_argument("--write", metavar="OUT", help="only write the model as a folder, in the variant's precision")
    p.add_argument("--adapter", help="a LoRA adapter to merge into what is written")
    t = Torch(reference.parse(p))
    if t.args.write:
        from peft import PeftModel
        model = t.load()
        (PeftModel.from_pretrained(model, t.args.adapter).merge_and_unload() if t.args.adapter else model).save_pretrained(t.args.write)
        return
    serve(train=t.train, generate=t.generate, logprobs=t.logprobs)


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
