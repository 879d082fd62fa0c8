#!/usr/bin/env python3
"""How cost grows with the model: training and sampling of models of several sizes, of random weights in Q8_0, with the reference
model's tokenizer, each beside the roof of its own products.

  bench/grow.py [--inoc build/release/inoc] [SIZE ...]     (in .venv; sizes: 60m 135m 360m 1b; the largest needs 8 GB)
"""

import json
import pathlib
import subprocess
import tempfile
import types

import gguf
import numpy as np

import flops
import works
from common import ROOT, reference

SETTING = ROOT / "settings" / "spanish-caps"
#       layers, width, heads, kv heads, ff: the second and third are SmolLM2's
SIZES = {"60m": (16, 448, 7, 7, 1152), "135m": (30, 576, 9, 3, 1536), "360m": (32, 960, 15, 5, 2560), "1b": (24, 1792, 28, 28, 6144)}
VOCAB, BATCH, RANK = 49152, 4, 16


def write(source, out, layers, width, heads, kv, ff):
    r, rng = gguf.GGUFReader(source), np.random.default_rng(1)
    w = gguf.GGUFWriter(str(out), "llama")
    for k, f in r.fields.items():
        if k.startswith("tokenizer."):
            w.add_key_value(k, f.contents(), f.types[0], f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None)
    w.add_context_length(2048)
    w.add_embedding_length(width)
    w.add_block_count(layers)
    w.add_feed_forward_length(ff)
    w.add_head_count(heads)
    w.add_head_count_kv(kv)
    w.add_layer_norm_rms_eps(1e-5)
    w.add_rope_freq_base(1e5)
    w.add_rope_dimension_count(64)
    w.add_vocab_size(VOCAB)
    q8 = gguf.GGMLQuantizationType.Q8_0

    def matrix(name, n, k):
        w.add_tensor(name, gguf.quants.quantize(rng.standard_normal((n, k), dtype=np.float32) * k ** -0.5, q8), raw_dtype=q8)

    matrix("token_embd.weight", VOCAB, width)
    w.add_tensor("output_norm.weight", np.ones(width, np.float32))
    for i in range(layers):
        for name in ("attn_norm", "ffn_norm"):
            w.add_tensor(f"blk.{i}.{name}.weight", np.ones(width, np.float32))
        for name, n, k in (("attn_q", heads * 64, width), ("attn_k", kv * 64, width), ("attn_v", kv * 64, width),
                           ("attn_output", width, heads * 64), ("ffn_gate", ff, width), ("ffn_up", ff, width), ("ffn_down", width, ff)):
            matrix(f"blk.{i}.{name}.weight", n, k)
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def run(*args):
    return json.loads(subprocess.run([str(a) for a in args], check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout)


def main():
    p = reference.parser(__doc__)
    p.add_argument("--inoc", default=ROOT / "build" / "release" / "inoc")
    p.add_argument("--gemm", default=ROOT / "build" / "release" / "bench_gemm")
    p.add_argument("sizes", nargs="*", metavar="SIZE", help="default: all")
    args = reference.parse(p)
    if set(args.sizes) - set(SIZES):
        p.error(f"sizes are {', '.join(SIZES)}")
    tok = reference.tokenizer(reference.fields(args.gguf)[1])
    print(f"{'model':6} {'parameters':>11} {'roof':>9} {'training':>10} {'GFLOP/s':>8} {'share':>6} {'memory':>8} {'decode 1':>9} {'decode 64':>10}")
    print(f"{'':6} {'million':>11} {'GFLOP/s':>9} {'tokens/s':>10} {'':>8} {'':>6} {'MB':>8} {'tokens/s':>9} {'tokens/s':>10}")
    for size in args.sizes or SIZES:
        layers, width, heads, kv, ff = SIZES[size]
        s = flops.Shape(layers, width, heads, 64, kv * 64, ff, VOCAB)
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            model = folder / f"{size}.gguf"
            write(args.gguf, model, layers, width, heads, kv, ff)
            steps = {"60m": 60, "135m": 40, "360m": 16, "1b": 6}[size]
            r = run(args.gemm, "bf16", layers, width, kv * 64, ff, VOCAB)
            roof = max(x["layers_gflops"] for x in r["passes"])
            t = run(args.inoc, "train", "-m", model, "-d", SETTING / "train.jsonl", "--batch", BATCH, "--steps", steps, "--lr", "1e-5",
                    "-r", RANK, "-o", folder / "adapter", "--json")
            decode = {}
            for n in (1, 64):
                d = run(args.inoc, "sample", "-m", model, "-p", SETTING / "eval.jsonl", "--greedy", "--limit", n, "--max-tokens", 33,
                        "-o", folder / "out.jsonl", "--json")["decode"]
                decode[n] = d["tokens"] / d["seconds"]
            b = types.SimpleNamespace(tok=tok, shape=s)
            total, n, _ = works.needed(b, SETTING / "train.jsonl", BATCH)
            rate = total * t["tokens"] / n / t["seconds"] / 1e9
            print(f"{size:6} {(s.weights() + VOCAB * width) / 1e6:11.0f} {roof:9.0f} {t['tokens'] / t['seconds']:10.0f} {rate:8.0f} "
                  f"{100 * rate / roof:5.0f}% {t['memory_peak_bytes'] / 1e6:8.0f} {decode[1]:9.0f} {decode[64]:10.0f}", flush=True)


if __name__ == "__main__":
    main()
