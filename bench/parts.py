#!/usr/bin/env python3
"""Where the time of training and sampling goes: perf's samples by part of the work.

  bench/parts.py [--inoc build/release/inoc] [--model FILE] [WORK ...]     (perf: Debian's linux-perf)

WORK: train, train_1024, generate_64, generate_1 (default: all). The first 1.5 s, in which the model is opened, are left out.
"""

import argparse
import json
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parent.parent
SETTING = ROOT / "settings" / "spanish-caps"
PARTS = [  # the first that matches
    ("products: weights, adapters' A and B", r"inoci_bf16_block|^tiles_[123]$|^product|dnnl|jit|^block|inoci_block"),
    ("attention", r"^mm_tiles_|inoci_bf16_mm|soften|probability_grad|inoci_bf16_(pack|columns|delta|scaled?|attn)|^attn|forward_rows|pack_keys"),
    ("adapters' gradients", r"outer|inoci_bf16_turn|^grads"),
    ("AdamW, adapters' working copies", r"adamw|lora_pack|fill_|panels_fill|sum_squares|side_fill"),
    ("SwiGLU", r"swiglu"),
    ("norms, RoPE, conversions, residual", r"rmsnorm|rope|to_bf16|memmove|memcpy|memset|^add"),
    ("softmax of the head, picking", r"softmax|pick|argmax|inoci_logits|sampler|take"),
    ("waiting for the other thread", r"libgomp|gomp|futex|finish_task|schedule|spin"),
    ("clearing pages", r"clear_page|page_fault|zap_|unmap"),
]


def data_1024(folder):
    """Examples of about 1024 tokens: 23 of the demo's records as turns of one conversation."""
    with open(SETTING / "train.jsonl", encoding="utf-8") as f:
        rows = [json.loads(line) for line in f if line.strip()]
    path = folder / "long.jsonl"
    with open(path, "w", encoding="utf-8") as f:
        for i in range(40):
            turns = [m for k in range(23) for m in rows[(i * 23 + k) % len(rows)]["messages"]]
            f.write(json.dumps({"messages": turns}, ensure_ascii=False) + "\n")
    return path


def prompts(folder, n):
    with open(SETTING / "eval.jsonl", encoding="utf-8") as f:
        lines = [line for line in f if line.strip()]
    path = folder / f"prompts-{n}.jsonl"
    path.write_text("".join(lines[i % len(lines)] for i in range(n)), encoding="utf-8")
    return path


def command(args, work, folder):
    if work.startswith("train"):
        data = data_1024(folder) if work == "train_1024" else SETTING / "train.jsonl"
        return [args.inoc, "train", "--model", args.model, "--data", data, "-o", folder / "adapter", "--rank", 16, "--alpha", 32,
                "--targets", "all", "--batch", 4, "--steps", 8 if work == "train_1024" else 100, "--lr", "1e-3",
                "--checkpoint-every", 0, "--json"]
    n = int(work.split("_")[1])
    return [args.inoc, "sample", "--model", args.model, "--prompts", prompts(folder, 8 * n), "-o", folder / "samples.jsonl",
            "--temperature", 0, "--max-tokens", 64, "--batch", n, "--json"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--inoc", default=ROOT / "build" / "release" / "inoc")
    p.add_argument("--model")
    p.add_argument("work", nargs="*", default=["train", "train_1024", "generate_64", "generate_1"])
    args = p.parse_args()
    if not args.model:
        args.model = subprocess.run([args.inoc, "model", "fetch", "--quiet", "smollm2-135m-instruct"], capture_output=True, text=True,
                                    check=True).stdout.strip()
    for work in args.work:
        with tempfile.TemporaryDirectory(prefix="inoc-profile-") as name:
            folder = pathlib.Path(name)
            run = [str(c) for c in command(args, work, folder)]
            done = subprocess.run(["perf", "record", "-q", "-D", "1500", "-F", "500", "-o", folder / "perf", "--", *run],
                                  capture_output=True, text=True)
            if done.returncode:
                sys.exit(f"parts: {done.stderr[-1000:]}")
            r = json.loads(done.stdout[done.stdout.index("{"):])
            report = subprocess.run(["perf", "report", "-i", folder / "perf", "--stdio", "--no-children", "-g", "none", "--percent-limit",
                                     "0"], capture_output=True, text=True).stdout
        shares, rest = {}, []
        for line in report.splitlines():
            m = re.match(r"\s*([\d.]+)%\s+\S+\s+(\S+)\s+\[[.k]\]\s+(.*)", line)
            if not m:
                continue
            share, symbol = float(m[1]), re.sub(r"\._omp_fn\.\d+|\.(constprop|isra|part|lto_priv)\.\d+", "", m[3].strip())
            where = next((part for part, pattern in PARTS if re.search(pattern, symbol) or re.search(pattern, m[2])), "the rest")
            shares[where] = shares.get(where, 0) + share
            if where == "the rest":
                rest.append((share, symbol))
        print(f"{work}: {r['tokens'] / r['seconds']:.0f} tokens/s")
        for part in [*(part for part, _ in PARTS), "the rest"]:
            if shares.get(part, 0) >= 0.05:
                print(f"  {shares[part]:5.1f} %  {part}")
        print("         most of the rest:", ", ".join(f"{s} {x:.1f}" for x, s in sorted(rest, reverse=True)[:4]))


if __name__ == "__main__":
    main()
