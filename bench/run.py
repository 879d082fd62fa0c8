#!/usr/bin/env python3
"""make bench: our training and sampling against PyTorch + PEFT and transformers, on the demo's data, in one run.

  .venv/bin/python bench/run.py [--rounds 3] [--only train|sample|roof]

Ours and theirs take turns; a figure is the median of the rounds with the smallest and largest beside it. Theirs is the
fastest of the precisions that it offers, found in a first round. The roof is what oneDNN's matrix products alone reach at
the model's shapes (bench/gemm.c). Prints one table and writes out/bench.json.
"""

import json
import os
import pathlib
import platform
import shutil
import subprocess
import sys
import tempfile

from common import ROOT, median, reference

SETTING = ROOT / "settings" / "spanish-caps"
RANK, ALPHA, BATCH, NEW = 16, 32, 4, 64


def note(text):
    print(text, file=sys.stderr, flush=True)


def json_of(command, **env):
    """The JSON object that a command prints."""
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, env={**os.environ, **env})
    if done.returncode or "{" not in done.stdout:
        sys.exit(f"bench: {' '.join(map(str, command))}: exit status {done.returncode}\n{done.stderr[-2000:]}")
    return json.loads(done.stdout[done.stdout.index("{"):])


class Bench:
    def __init__(self, args):
        self.args = args
        self.dir = pathlib.Path(tempfile.mkdtemp(prefix="inoc-bench-"))
        _, meta = reference.fields(args.gguf)
        g = lambda k: meta["llama." + k]
        self.L, self.C, self.F = g("block_count"), g("embedding_length"), g("feed_forward_length")
        self.KV = self.C // g("attention.head_count") * g("attention.head_count_kv")
        self.V = len(meta["tokenizer.ggml.tokens"])
        tok = reference.tokenizer(meta)
        self.loss_share = self.share_of_loss_tokens(tok)
        self.count = 0

    def share_of_loss_tokens(self, tok):
        from common import conversations
        loss = [l for c in conversations(self.args.data) for l in reference.chatml(tok, c)[1]]
        return sum(loss) / len(loss)

    # ---- ours

    def our_training(self):
        self.count += 1
        r = json_of([self.args.inoc, "train", "--model", self.args.gguf, "--data", self.args.data, "-o",
                       self.dir / f"adapter-{self.count}", "--rank", RANK, "--alpha", ALPHA, "--targets", "all", "--batch",
                       BATCH, "--steps", self.args.steps, "--lr", "1e-3", "--checkpoint-every", 0, "--dtype", "auto", "--json"])
        return r["tokens"] / r["seconds"]

    def tuned(self):
        """An adapter of the demo's arm `plain`; the model then answers in a few words and ends."""
        folder = self.dir / "tuned"
        if not folder.exists():
            note("training the adapter whose answers end")
            json_of([self.args.inoc, "train", "--model", self.args.gguf, "--data", self.args.data, "-o", folder, "--rank", RANK,
                     "--alpha", ALPHA, "--targets", "all", "--batch", 8, "--lr", "6e-4", "--checkpoint-every", 0, "--json"])
        return folder

    def our_sampling(self, n, tuned=False):
        self.count += 1
        repeats = self.repeats(n, tuned)
        prompts = self.dir / f"prompts-{n}.jsonl"
        with open(self.args.prompts, encoding="utf-8") as f:
            lines = [line for line in f if line.strip()]
        prompts.write_text("".join(lines[i % len(lines)] for i in range(n * repeats)), encoding="utf-8")
        r = json_of([self.args.inoc, "sample", "--model", self.args.gguf, "--prompts", prompts, "-o",
                       self.dir / f"samples-{self.count}.jsonl", "--temperature", 0, "--max-tokens", NEW, "--batch", n,
                       "--dtype", "auto", "--json", *(["--adapter", self.tuned()] if tuned else [])])
        return r["tokens"] / r["seconds"]

    # ---- theirs

    def python(self, script, *more):
        return json_of([sys.executable, ROOT / "bench" / script, "--gguf", self.args.gguf, "--hf", self.args.hf,
                          "--threads", self.args.threads, *more])["tokens_per_s"]

    def their_training(self, variant):
        return self.python("train_peft.py", "--data", self.args.data, "--batch", BATCH, "--steps", self.args.their_steps,
                           "--variant", variant)

    def their_sampling(self, n, dtype, tuned=False):
        return self.python("generate_hf.py", "--data", self.args.prompts, "--sequences", n, "--repeats", self.repeats(n, tuned),
                           "--max-tokens", NEW, "--dtype", dtype, *(["--adapter", self.tuned()] if tuned else []))

    def repeats(self, n, tuned):
        return (16 if tuned else 4) if n == 1 else 4 if tuned else 1

    # ---- the roof

    def roof(self, before=None):
        best = {(p["dtype"], p["m"]): p for p in before["passes"]} if before else {}
        for wait in ("passive", "active"):
            r = json_of([self.args.gemm, self.L, self.C, self.KV, self.F, self.V], OMP_WAIT_POLICY=wait,
                          OMP_NUM_THREADS=str(self.args.threads))
            for p in r["passes"]:
                key = p["dtype"], p["m"]
                old = best.setdefault(key, dict(p))
                for k in ("layers_s", "head_s"):
                    old[k] = min(old[k], p[k])
                for k in ("layers_gflops", "head_gflops"):
                    old[k] = max(old[k], p[k])
        return {"onednn": r["onednn"], "passes": list(best.values())}

    def train_roof(self, roof, dtype):
        """Tokens a second if a training step were its matrix products alone, at the best rate: each weight once forward
        and once for the gradient of its input, the adapter's three times, the head on loss tokens."""
        rate = max(p["layers_gflops"] for p in roof["passes"] if p["dtype"] == dtype) * 1e9
        shapes = [(self.C, self.C), (self.KV, self.C), (self.KV, self.C), (self.C, self.C), (self.F, self.C),
                  (self.F, self.C), (self.C, self.F)]
        flop = sum(2 * 2 * n * k + 3 * 2 * RANK * (n + k) for n, k in shapes) * self.L
        flop += self.loss_share * 2 * 2 * self.V * self.C
        return rate / flop

    def sample_roof(self, roof, dtype, n):
        p = next(p for p in roof["passes"] if p["dtype"] == dtype and p["m"] == n)
        return n / (p["layers_s"] + p["head_s"])

    # ---- a comparison

    def compare(self, name, ours, theirs):
        """theirs: {label: function}; a first round finds the fastest."""
        note(f"{name}: finding the reference's fastest precision")
        first = {label: f() for label, f in theirs.items()}
        label = max(first, key=first.get)
        a, b = [], []
        for i in range(self.args.rounds):
            a.append(ours())
            b.append(theirs[label]())
            note(f"{name}: round {i + 1} of {self.args.rounds}: ours {a[-1]:.0f}, reference ({label}) {b[-1]:.0f} tokens/s")
        return {"name": name, "ours": a, "theirs": b, "their_variant": label, "their_first_round": first,
                "ratio": median(a) / median(b)}


def cpu():
    with open("/proc/cpuinfo", encoding="utf-8") as f:
        text = f.read()
    name = next((line.split(":", 1)[1].strip() for line in text.splitlines() if line.startswith("model name")), platform.machine())
    have = text.split("flags", 1)[-1].split("\n", 1)[0].split()
    return name, [x for x in ("avx2", "avx512f", "avx512_bf16", "amx_bf16") if x in have]


def main():
    p = reference.parser(__doc__)
    p.set_defaults(threads=len(os.sched_getaffinity(0)))
    p.add_argument("--inoc", default=ROOT / "build" / "inoc")
    p.add_argument("--gemm", default=ROOT / "build" / "bench_gemm")
    p.add_argument("--data", default=SETTING / "train.jsonl")
    p.add_argument("--prompts", default=SETTING / "eval.jsonl")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--steps", type=int, default=60, help="of our training")
    p.add_argument("--their-steps", type=int, default=20, help="timed steps of theirs, after 4 that are not")
    p.add_argument("--sequences", type=int, nargs="+", default=[1, 16, 64], choices=[1, 16, 64, 256])
    p.add_argument("--only", choices=["train", "sample", "roof"])
    p.add_argument("--out", default=ROOT / "out" / "bench.json")
    args = reference.parse(p)
    name, flags = cpu()
    dtype = "bf16" if "avx512_bf16" in flags or "amx_bf16" in flags else "f32"
    load = os.getloadavg()[0]
    if load > 0.5:
        note(f"bench: the machine is busy (load {load:.1f}); the figures will be off")
    b = Bench(args)
    result = {"cpu": name, "flags": flags, "threads": args.threads, "load_at_start": load, "rounds": args.rounds,
              "our_dtype": dtype, "model_sha256": reference.sha256(args.gguf),
              "versions": reference.versions("torch", "transformers", "peft", "tokenizers"), "rows": []}
    result["inoc"] = subprocess.run([args.inoc, "--version"], capture_output=True, text=True).stdout.strip()
    note("measuring the roof")
    result["roof"] = roof = b.roof()
    if args.only in (None, "train"):
        row = b.compare("training", b.our_training, {v: (lambda v=v: b.their_training(v)) for v in ("bf16", "autocast", "f32")})
        result["rows"].append({**row, "against": "PyTorch + PEFT"})
    if args.only in (None, "sample"):
        for tuned in (False, True):
            for n in args.sequences:
                row = b.compare(f"sampling, {n} sequence{'s' * (n > 1)}{', tuned' * tuned}", lambda: b.our_sampling(n, tuned),
                                {d: (lambda d=d: b.their_sampling(n, d, tuned)) for d in ("bf16", "f32")})
                result["rows"].append({**row, "against": "transformers", "sequences": n, "tuned": tuned})
    if result["rows"]:
        result["roof"] = roof = b.roof(roof)  # once more: the best of before and after
    for row in result["rows"]:
        row["roof_tokens_per_s"] = (b.sample_roof(roof, dtype, row["sequences"]) if "sequences" in row
                                    else b.train_roof(roof, dtype))
    shutil.rmtree(b.dir)
    pathlib.Path(args.out).parent.mkdir(parents=True, exist_ok=True)
    pathlib.Path(args.out).write_text(json.dumps(result, indent=1) + "\n")

    v = result["versions"]
    print(f"{name} ({', '.join(flags)}), {args.threads} threads; {result['inoc']} in {dtype}, oneDNN {roof['onednn']}; "
          f"torch {v['torch']}, transformers {v['transformers']}, peft {v['peft']}")
    rates = {d: max(q["layers_gflops"] for q in roof["passes"] if q["dtype"] == d) for d in ("bf16", "f32")}
    print(f"roof: {rates['bf16']:.0f} GFLOP/s in bf16, {rates['f32']:.0f} in f32; median of {args.rounds} rounds (smallest to "
          "largest), tokens/s")
    table = [["", "ours", "theirs", "in", "ratio", "roof", "share of it"]]
    for r in result["rows"]:
        cell = lambda x: f"{median(x):.0f} ({min(x):.0f} to {max(x):.0f})"
        table.append([f"{r['name']} against {r['against']}", cell(r["ours"]), cell(r["theirs"]), r["their_variant"],
                      f"{r['ratio']:.2f}", f"{r['roof_tokens_per_s']:.0f}", f"{100 * median(r['ours']) / r['roof_tokens_per_s']:.0f} %"])
    widths = [max(len(row[i]) for row in table) for i in range(len(table[0]))]
    for row in table if len(table) > 1 else []:
        print("  ".join(c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
    print(f"written: {args.out}")


if __name__ == "__main__":
    main()
