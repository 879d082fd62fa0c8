#!/usr/bin/env python3
"""make bench: ours against PyTorch + PEFT, transformers and llama.cpp, on the demo's data, in one run.

  bench/run.sh [--rounds 3] [--only train decode ...] [--with-demo]

Who is measured take turns; a figure is the median of the rounds. Prints one table and the targets; writes out/bench.json (the
rows), out/bench.txt (what is printed) and out/bench.svg. bench/README.md says what is counted.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

import flops
import show
import works
from common import ROOT, reference
from process import Gone, Worker, child, note

SETTING = ROOT / "settings" / "spanish-caps"
PARTS = ["train", "score", "generate", "decode", "start", "memory", "threads", "demo"]


LONG = 70  # seconds of a row after which two rounds are enough


class Bench:
    def __init__(self, args):
        self.args, self.dir, self.workers, self.count, self.rows = args, pathlib.Path(tempfile.mkdtemp(prefix="inoc-bench-")), {}, 0, []
        reader, meta = reference.fields(args.gguf)
        g = lambda k: meta["llama." + k]
        heads, kv = g("attention.head_count"), g("attention.head_count_kv")
        dim = g("embedding_length") // heads
        self.shape = flops.Shape(g("block_count"), g("embedding_length"), heads, dim, kv * dim, g("feed_forward_length"),
                                 len(meta["tokenizer.ggml.tokens"]))
        self.file_bytes = sum(int(t.n_bytes) for t in reader.tensors if "norm" not in t.name)
        self.tok = reference.tokenizer(meta)
        self.dtype = "bf16" if {"avx512_bf16", "amx_bf16"} & set(show.cpu()[1]) else "f32"
        self.best = {}  # of the roof
        self.pace, self.ways = None, {}  # see few(); the ways chosen by row
        self.slow_infer = set()  # the same of transformers, which scores and generates
        self.slow = set(), set()  # precisions of PEFT, eager and compiled, that were far from the fastest: not tried again

    # ---- the roof

    def measure_roof(self):
        s = self.shape
        for wait in "passive", "active":
            r, _ = child([self.args.gemm, self.dtype, s.layers, s.width, s.kv_width, s.ff, s.vocab],
                         OMP_WAIT_POLICY=wait, OMP_NUM_THREADS=str(self.args.threads))
            rate = max(p["layers_gflops"] for p in r["passes"]) * 1e9
            seen = 2 * s.weights() / next(p["layers_s"] for p in r["passes"] if p["m"] == 1) * (1 if self.dtype == "bf16" else 2)
            self.best["onednn"] = r["onednn"]
            self.best["flops"] = max(rate, self.best.get("flops", 0))
            self.best["bytes"] = max(r["read_gbs"] * 1e9, seen, self.best.get("bytes", 0))

    # ---- ours

    def fresh(self, name):
        self.count += 1
        return self.dir / f"{name}-{self.count}"

    def inoc(self, *args):
        return child([self.args.inoc, *args, "--json"])[0]

    def inoc_version(self):
        return subprocess.run([str(self.args.inoc), "--version"], capture_output=True, text=True, check=True).stdout.strip()

    def ours_train(self, data, batch, steps, threads=0):
        r = self.inoc(*works.train_args(self, data, batch, steps, self.fresh("adapter"), threads))
        return {"tokens": r["tokens"], "examples": steps * batch, "seconds": r["seconds"]}

    def ours_sample(self, prompts, batch, new, *more):
        return self.inoc("sample", *works.model(self), "--prompts", prompts, "-o", self.fresh("samples"), "--temperature", 0,
                         "--max-tokens", new, "--batch", batch, *more)

    def has_q(self):
        """Whether the program computes on the file's blocks (--dtype q)."""
        if "q" not in self.best:
            try:
                self.ours_sample(works.prompt_file(self, 1), 1, 2, "--dtype", "q")
                self.best["q"] = True
            except Gone:
                self.best["q"] = False
        return self.best["q"]

    # ---- rivals: processes that stay and answer requests, so that loading and compiling are in no figure

    def worker(self, script, *args):
        return Worker([sys.executable, ROOT / "bench" / script, "--threads", self.args.threads, *args],
                      self.fresh("log"))

    def alone(self, variant, *more):
        return self.worker("rival_torch.py", "--gguf", self.args.gguf, "--hf", works.folder(self, variant), "--variant", variant, *more)

    def kept(self, key, make):
        if key not in self.workers:
            self.workers[key] = make()
        return self.workers[key]

    def torch(self, variant, *more, role="train"):
        return self.kept((role, variant, *map(str, more)), lambda: self.alone(variant, *more))

    def too_slow(self, compiled, variants):
        """PEFT's ways that are not tried again."""
        self.slow[compiled].update(variants)
        for v in variants:
            w = self.workers.pop(("train", v, *(["--compile"] if compiled else [])), None)
            if w:
                w.close()

    def few(self, n, least=1):
        """n, fewer where PyTorch is slower than on the machine that the sizes are for: the whole then takes as long."""
        if not self.pace:
            try:
                w = self.torch("bf16" if self.dtype == "bf16" else "f32")
                r = [w.ask("train", data=str(self.args.data), batch=4, steps=k, grouped=False, seed=1) for k in (1, 2)][1]
                self.pace = min(1, max(0.25, r["tokens"] / r["seconds"] / 400))
            except Gone:
                self.pace = 1
            note(f"sizes: {self.pace:.2f} of the whole")
        return max(least, round(n * self.pace))

    def llama(self, kind):
        return self.kept(kind, lambda: self.new_llama(kind))

    def new_llama(self, kind):
        """With weights as stored where the CPU's own layout crashes (seen with Q4_1 and AMX)."""
        path = self.args.gguf if kind == "q4_1" else works.bf16_gguf(self)
        for more in [], ["--as-stored"]:
            w = self.worker("rival_llama.py", "--gguf", path, *more)
            try:
                w.ask("prefill", ids=[[1] * 64], loss=[[1] * 64], flash=1, unified=1)
                return w
            except Gone as e:
                note(f"llama.cpp, {kind}{' as stored' if more else ''}: {e}")
        return w

    def fastest(self, what, candidates, took=None):
        """Of {label: function}, by one try each, put into `took`; a rival that does not run is told and left out."""
        took = {} if took is None else took
        for label, f in candidates.items():
            try:
                took[label] = f()
            except Gone as e:
                note(f"{what}: {label} does not run: {e}")
        if not took:
            return None
        label = max(took, key=took.get)
        note(f"{what}: " + ", ".join(f"{k} {v:.1f}" for k, v in took.items()) + f": {label}")
        return label

    # ---- a row

    def turns(self, work, unit, who, roof=None, **more):
        """who: {name: function that gives a figure}; they take turns."""
        runs, begin = {k: [] for k in who}, time.time()
        for i in range(self.args.rounds):
            if i >= 2 and time.time() - begin > LONG:
                break
            for k, f in who.items():
                runs[k].append(f())
            note(f"{work}, round {i + 1}: " + ", ".join(f"{k} {v[-1]:.4g}" for k, v in runs.items()) + f" {unit}")
        row = show.row(work, unit, runs, roof, **more)
        self.rows.append(row)
        return row

    def close(self):
        for w in self.workers.values():
            w.close()
        shutil.rmtree(self.dir, ignore_errors=True)


def main():
    p = reference.parser(__doc__)
    p.set_defaults(threads=len(os.sched_getaffinity(0)))
    p.add_argument("--inoc", default=ROOT / "build" / "release" / "inoc")
    p.add_argument("--gemm", default=ROOT / "build" / "release" / "bench_gemm")
    p.add_argument("--data", default=SETTING / "train.jsonl")
    p.add_argument("--prompts", default=SETTING / "eval.jsonl")
    p.add_argument("--rounds", type=int, default=3)
    p.add_argument("--sequences", type=int, nargs="+", default=[1, 4, 16, 64, 256], choices=[1, 4, 16, 64, 256], help="of decode")
    p.add_argument("--only", nargs="+", choices=[*PARTS, "roof"], help="only these parts")
    p.add_argument("--with-demo", action="store_true", help="time all seeds of the demo's experiment, not the first alone")
    p.add_argument("--quick", action="store_true", help="a few steps of everything, to see that it runs; the figures mean nothing")
    p.add_argument("--out", default=ROOT / "out" / "bench.json")
    args = reference.parse(p)
    if args.quick:
        args.rounds = 1
    start, load = time.time(), os.getloadavg()[0]
    if load > 0.5:
        note(f"bench: the machine is busy (load {load:.1f}); the figures will be off")
    b = Bench(args)
    try:
        b.measure_roof()
        for part in args.only or PARTS:
            if part != "roof":
                getattr(works, part)(b)
                note(f"{part}: done after {time.time() - start:.0f} s")
        b.measure_roof()  # once more: the best of before and after
        for row in b.rows:
            show.settle(row, b.best)
        show.everything(b, load, time.time() - start)
    finally:
        b.close()


if __name__ == "__main__":
    main()
