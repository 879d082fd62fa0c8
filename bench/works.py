"""The works that are measured, part by part, and the files they need. b is run.py's Bench."""

import json
import os
import random
import subprocess
import sys
import time

import flops
from common import ROOT, conversations, reference
from process import Gone, child, note

RANK, ALPHA, NEW = 16, 32, 64
PRECISIONS = ["bf16", "autocast", "f32"]  # of PyTorch: what is computed in bf16
WORDS = ("you answer each question as a patient friend who knows the world well and has time to look at it again with care "
         "before any word is written down").split()
# sequences: tokens decoded of each (ours, llama.cpp), enough that a step's time does not depend on a few
DECODE = {1: (97, 65), 4: (65, 49), 16: (49, 25), 64: (41, 13), 256: (25, 5)}


# ---- files


def lines(path):
    with open(path, encoding="utf-8") as f:
        return [line for line in f if line.strip()]


def once(b, name, make):
    path = b.dir / name
    if not path.exists():
        make(path)
    return path


def folder(b, variant):
    """The decoded weights as a Hugging Face folder, in the precision that is computed with."""
    args = b.args
    if not os.path.exists(os.path.join(args.hf, "model.safetensors")):
        import export_hf
        export_hf.export(args.gguf, args.hf)
    return once(b, "hf-bf16", lambda p: write_hf(b, p, "bf16")) if variant == "bf16" else args.hf


def write_hf(b, out, variant, adapter=None):
    """Saved by a process of its own: in the one that merged an adapter, generate takes twice the time."""
    subprocess.run([sys.executable, ROOT / "bench" / "rival_torch.py", "--gguf", b.args.gguf, "--hf", b.args.hf, "--variant",
                    variant, "--write", str(out), *(["--adapter", str(adapter)] if adapter else [])], check=True,
                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def bf16_gguf(b):
    return once(b, "bf16.gguf", lambda p: write_bf16(b.args.gguf, p))


def write_bf16(source, out):
    """The file's decoded weights in bf16, norms in f32, all else as it is."""
    import gguf
    r = gguf.GGUFReader(source)
    w = gguf.GGUFWriter(str(out), r.fields["general.architecture"].contents())
    for k, f in r.fields.items():
        if not k.startswith("GGUF.") and k not in ("general.architecture", "general.file_type", "general.quantization_version"):
            w.add_key_value(k, f.contents(), f.types[0], f.types[-1] if f.types[0] == gguf.GGUFValueType.ARRAY else None)
    w.add_file_type(gguf.LlamaFileType.MOSTLY_BF16)
    for t in r.tensors:
        x = gguf.quants.dequantize(t.data, t.tensor_type).reshape([int(n) for n in reversed(t.shape)])
        if x.ndim > 1:
            w.add_tensor(t.name, gguf.quants.quantize(x, gguf.GGMLQuantizationType.BF16), raw_dtype=gguf.GGMLQuantizationType.BF16)
        else:
            w.add_tensor(t.name, x.astype("float32"))
    w.write_header_to_file()
    w.write_kv_data_to_file()
    w.write_tensors_to_file()
    w.close()


def text_of(b, n):
    """A text of n tokens."""
    words, size = [], lambda w: len(b.tok.encode(" ".join(w), add_special_tokens=False).ids)
    while size(words) < n:
        words.append(WORDS[len(words) % len(WORDS)])
    assert size(words) == n, (size(words), n)
    return " ".join(words)


def prompted(b, n):
    """The data with a system prompt of n tokens, as `inoc inoculate` writes it."""
    return once(b, f"prompt{n}.jsonl",
                lambda p: subprocess.run([str(b.args.inoc), "inoculate", str(b.args.data), "--system", text_of(b, n), "-o", str(p)],
                                         check=True, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL))


def long(b, n, count=32):
    """Conversations of n tokens at most and nearly, of the data's records one after the other."""
    def make(path):
        rng, records = random.Random(1), conversations(b.args.data)
        with open(path, "w", encoding="utf-8") as f:
            for _ in range(count):
                turns = []
                for r in rng.sample(records, len(records)):
                    if len(reference.chatml(b.tok, turns + r)[0]) > n:
                        break
                    turns += r
                f.write(json.dumps({"messages": [{"role": r, "content": c} for r, c in turns]}, ensure_ascii=False) + "\n")
    return once(b, f"long{n}.jsonl", make)


def head(b, n):
    return once(b, f"head{n}.jsonl", lambda p: p.write_text("".join(lines(b.args.data)[:n]), encoding="utf-8"))


def prompt_file(b, n):
    have = lines(b.args.prompts)
    return once(b, f"prompts{n}.jsonl", lambda p: p.write_text("".join(have[i % len(have)] for i in range(n)), encoding="utf-8"))


def prompt_ids(b, n):
    return [reference.chatml(b.tok, [m for m in c if m[0] != "assistant"], generation=True)[0]
            for c in conversations(prompt_file(b, n))]


def examples(b, path):
    return [reference.chatml(b.tok, c) for c in conversations(path)]


def speed(r, what="tokens"):
    return r[what] / r["seconds"]


# ---- training


def model(b, threads=0):
    return ["--model", b.args.gguf, "--threads", threads or b.args.threads]


def train_args(b, data, batch, steps, out, threads=0):
    return ["train", *model(b, threads), "--data", data, "-o", out, "--rank", RANK, "--alpha", ALPHA, "--targets", "all", "--batch",
            batch, "--steps", steps, "--lr", "1e-3", "--warmup", 0, "--checkpoint-every", 0]


def needed(b, data, batch):
    """(FLOPs, tokens, examples) of an epoch's optimizer steps."""
    x, total, n_tokens, n = examples(b, data), 0, 0, 0
    random.Random(1).shuffle(x)
    for at in range(0, len(x) - batch + 1, batch):
        some = x[at:at + batch]
        total += flops.train(b.shape, flops.forest(some), RANK)
        n_tokens += sum(len(ids) for ids, _ in some)
        n += batch
    return total, n_tokens, n


def peft_ways(b, work, tried, alike):
    """{"peft": (precision, order), "peft_compiled": ...}: the fastest, each from one try; compiled are the two precisions that are the
    fastest eager. What is far from the fastest is not tried in later rows."""
    ways, eager = {}, {}
    for name, compiled in ("peft", False), ("peft_compiled", True):
        took = {}
        among = sorted(eager, key=eager.get)[-2:] if compiled and eager else PRECISIONS
        v = b.fastest(f"{work}, {name}", {v: lambda v=v: tried(v, False, compiled) for v in among if v not in b.slow[compiled]}, took)
        if not v:
            continue
        eager = took if not compiled else eager
        b.too_slow(compiled, [k for k in took if took[k] < 0.8 * took[v]])
        order = "padded" if alike else b.fastest(
            f"{work}, {name}", {o: lambda o=o: tried(v, o == "grouped", compiled) for o in ("padded", "grouped")})
        ways[name] = v, order
    return ways


def train_row(b, work, data, batch, steps, theirs, tries, unit="tokens/s", like=None):
    """theirs, tries: PEFT's steps in a round, and where its fastest way is looked for; like: the row whose way it takes instead."""
    if b.args.quick:
        steps, theirs, tries = 2, 1, 1
    else:
        steps, theirs, tries = b.few(steps, 4), b.few(theirs), b.few(tries)
    what = unit.split("/")[0]
    sizes = [len(ids) for ids, _ in examples(b, data)]
    alike = max(sizes) * len(sizes) < 1.15 * sum(sizes)  # then their order does not matter

    def peft(v, grouped, compiled, n):
        return speed(b.torch(v, *(["--compile"] if compiled else [])).ask("train", data=str(data), batch=batch, steps=n,
                                                                         grouped=grouped, seed=n), what)
    ways = b.ways[work] = b.ways.get(like) or peft_ways(b, work, lambda v, grouped, c: peft(v, grouped, c, tries), alike)
    who = {"ours": lambda: speed(b.ours_train(data, batch, steps), what)}
    for name, (v, order) in ways.items():
        who[name] = lambda v=v, o=order, c=name == "peft_compiled": peft(v, o == "grouped", c, theirs)
    total, n_tokens, n = needed(b, data, batch)
    count = n_tokens if what == "tokens" else n
    b.turns(work, unit, who, lambda best: count / (total / best["flops"]), ways={k: ", ".join(w) for k, w in ways.items()}, batch=batch,
            examples_per_unit=n / count, needed_gflop_per_example=total / n * 1e-9)


def train(b):
    train_row(b, "train_plain", b.args.data, 4, 60, 20, 6)
    train_row(b, "train_prompt10", prompted(b, 10), 4, 50, 15, 6, "examples/s", like="train_plain")
    train_row(b, "train_plain16", b.args.data, 16, 30, 4, 2, "examples/s")
    train_row(b, "train_prompt200", prompted(b, 200), 16, 20, 1, 1, "examples/s", like="train_plain16")
    train_row(b, "train_1024", long(b, 1024), 2, 8, 2, 1, like="train_plain16")


# ---- scoring, sampling


def score(b):
    data = head(b, 16 if b.args.quick else b.few(240))
    x = examples(b, data)
    total, sums = flops.forward(b.shape, flops.forest(x)), {}
    def ours():
        r = b.inoc("logprob", *model(b), data)
        sums["ours"] = r["logprob"]
        return speed(r)

    def torch(v):
        r = b.torch(v, role="infer").ask("logprobs", data=str(data), batch=16)
        sums["transformers"] = r["logprob"]
        return speed(r)
    def llama(kind, how, x=x):
        return speed(b.llama(kind).ask("prefill", ids=[i for i, _ in x], loss=[l for _, l in x], **how))
    took = {}
    v = b.fastest("score, transformers", {v: lambda v=v: torch(v) for v in ("bf16", "f32")}, took)
    b.slow_infer.update(k for k in took if v and took[k] < 0.8 * took[v])
    who = {"ours": ours, "transformers": lambda: torch(v)}
    ways = {"transformers": v}
    llamas(b, "score", who, ways, llama, lambda kind, how: llama(kind, how, x[:len(x) // 3]))
    row = b.turns("score", "tokens/s", {k: f for k, f in who.items() if k == "ours" or ways.get(k)},
                  lambda best: sum(len(i) for i, _ in x) / (total / best["flops"]), ways=ways)
    if "transformers" in sums:  # the same work: the same sum, but for bf16's rounding
        row["logprob"] = sums
        if abs(sums["ours"] / sums["transformers"] - 1) > 0.02:
            note(f"bench: the log-probabilities differ: {sums}")


def llamas(b, work, who, ways, f, tried=None, like=None):
    """Adds llama.cpp with the file's blocks and in bf16, with flash attention (seen: always the faster), each with the faster of
    its two ways to keep keys: one store for all sequences, or one each. tried: what a try does; like: as in that row."""
    hows = {"one store": {"flash": 1, "unified": 1}, "a store each": {"flash": 1, "unified": 0}}
    for name, kind in ("llamacpp", "q4_1"), ("llamacpp_bf16", "bf16"):
        how = b.ways.get(like, {}).get(name) or b.fastest(f"{work}, {name}",
                                                          {k: lambda h=h: (tried or f)(kind, h) for k, h in hows.items()})
        if how:
            ways[name] = how
            who[name] = lambda kind=kind, h=hows[how]: f(kind, h)
    b.ways[work] = ways


def step_s(b, best, n, context, weight_bytes):
    return flops.decode_s(b.shape, n, context, best["flops"], best["bytes"], weight_bytes)


def bf16_bytes(b):
    return (b.shape.weights() + b.shape.vocab * b.shape.width) * (2 if b.dtype == "bf16" else 4)


def tuned(b):
    """An adapter as the demo's arm `plain`; the model then answers in a few words and ends."""
    return once(b, "tuned", lambda p: b.inoc("train", *model(b), "--data", b.args.data, "-o", p, "--rank", RANK, "--alpha", ALPHA, "--batch", 8, "--lr", "6e-4", "--checkpoint-every", 0,
                                            *(["--steps", 2, "--warmup", 0] if b.args.quick else [])))


def generate(b):
    if b.args.only:
        generate_row(b, "generate_1", 1, 1 if b.args.quick else 4)
        generate_row(b, "generate_16", 16, 1)
    generate_row(b, "generate_64", 64, 1)
    generate_row(b, "generate_64_tuned", 64, 1 if b.args.quick else 4, lambda: tuned(b))


def generate_row(b, work, at_once, calls, adapter=None):
    """So many sequences at once, `calls` times; ours are one call."""
    new, seen = 4 if b.args.quick else NEW, {}
    prompts, ids = prompt_file(b, at_once * calls), prompt_ids(b, at_once * calls)

    def ours():
        r = b.ours_sample(prompts, at_once, new, *(["--adapter", adapter()] if adapter else []))
        seen["tokens"] = r["tokens"]
        return speed(r)

    def torch(v):
        merged = ["--hf", once(b, f"merged-{v}", lambda p: write_hf(b, p, v, adapter()))] if adapter else []
        w = b.torch(v, *merged, role="infer")
        if w.fresh:  # the first call is slower
            w.ask("generate", prompts=ids[:2], new=2)
            w.fresh = False
        rs = [w.ask("generate", prompts=ids[at:at + at_once], new=new) for at in range(0, len(ids), at_once)]
        return sum(r["tokens"] for r in rs) / sum(r["seconds"] for r in rs)
    v = b.fastest(f"{work}, transformers", {v: lambda v=v: torch(v) for v in ("bf16", "f32") if v not in b.slow_infer})
    who, ways = {"ours": ours}, {}
    if v:
        who["transformers"], ways["transformers"] = lambda: torch(v), v
    first = flops.forward(b.shape, flops.forest([(i + [0], [0] * len(i) + [1]) for i in ids]))
    context, n = sum(map(len, ids)) / len(ids), len(ids)

    def roof(best):
        steps, length = (seen["tokens"] - n) / at_once, seen["tokens"] / n
        return seen["tokens"] / (first / best["flops"] + steps * step_s(b, best, at_once, context + length / 2, bf16_bytes(b)))
    b.turns(work, "tokens/s", who, roof, ways=ways)


def decode(b):
    for n in b.args.sequences:
        decode_row(b, n)


def decode_row(b, n):
    """Steps of n sequences, no prompt's tokens among them."""
    new, theirs = (4, 3) if b.args.quick else (b.few(DECODE[n][0], 9), b.few(DECODE[n][1], 5))
    prompts, ids = prompt_file(b, n * (2 if n <= 16 else 1)), prompt_ids(b, n)

    def ours(*more):
        r = b.ours_sample(prompts, n, new, *more)["decode"]
        return speed(r) if r["tokens"] else 0

    def llama(kind, how):
        r = b.llama(kind).ask("generate", prompts=ids, new=theirs, **how)
        return r["decode_tokens"] / r["decode_seconds"]
    who, ways = {"ours": ours}, {}
    if b.has_q():
        who["ours_q"] = lambda: ours("--dtype", "q")
    llamas(b, f"decode_{n}", who, ways, llama, like="decode_64" if n > 64 else None)
    context = sum(map(len, ids)) / n + new / 2
    b.turns(f"decode_{n}", "tokens/s", who, lambda best: n / step_s(b, best, n, context, bf16_bytes(b)), ways=ways,
            roof_q=lambda best: n / step_s(b, best, n, context, b.file_bytes))


# ---- the rest


def start(b):
    """From exec to the first training step's end; the program has run before."""
    def ours():
        out = b.fresh("start")
        log = out / "metrics.jsonl"
        begin = time.time()
        with open(b.dir / "log-start", "w") as f:
            p = subprocess.Popen([str(a) for a in (b.args.inoc, *train_args(b, b.args.data, 4, 2, out))], stdout=f, stderr=f)
        while p.poll() is None and not (log.exists() and log.stat().st_size):
            time.sleep(0.001)
        took = time.time() - begin
        if p.wait():
            raise Gone(f"train: exit status {p.returncode}")
        return took
    def peft():
        w = b.alone("bf16")
        r = w.ask("train", data=str(b.args.data), batch=4, steps=1, warm=False)
        w.close()
        return r["first_step"] - w.started
    ours(), peft()
    b.turns("start_s", "s", {"ours": ours, "peft": peft}, less=True)


def memory(b):
    """Peak resident memory of training 4 examples of 256 tokens at a time."""
    data = long(b, 256)
    def peft(v):
        w = b.alone(v)
        w.ask("train", data=str(data), batch=4, steps=2, warm=False)
        return w.close()
    took = {}
    v = b.fastest("rss_train_mb, peft (negative: the least)", {v: lambda v=v: -peft(v) for v in ("bf16", "f32")}, took)
    rounds, b.args.rounds = b.args.rounds, 1  # it hardly varies
    b.turns("rss_train_mb", "MB", {"ours": lambda: child([b.args.inoc, *train_args(b, data, 4, 3, b.fresh("rss")), "--json"])[1]["rss_mb"],
                                   "peft": lambda: -took[v]}, less=True, ways={"peft": v})
    b.args.rounds = rounds


def threads(b):
    """What a second thread gives to training, and to the products alone."""
    if b.args.threads < 2:
        return
    steps = 2 if b.args.quick else b.few(30, 12)
    s = b.shape
    def gain(f):
        one = f(1)
        return f(2) / one
    gemm = lambda n: child([b.args.gemm, b.dtype, s.layers, s.width, s.kv_width, s.ff, s.vocab, 5, 256], OMP_WAIT_POLICY="active",
                           OMP_NUM_THREADS=str(n))[0]["passes"][0]["layers_gflops"]
    seen = []
    def roof():
        seen.append(gain(gemm))
        return seen[-1]
    b.turns("threads_2", "x", {"ours": lambda: gain(lambda n: speed(b.ours_train(b.args.data, 4, steps, n))), "gemm": roof},
            lambda best: sorted(seen)[len(seen) // 2])


def demo(b):
    """The demo's experiment: to the first seed's table; with --with-demo all seeds, into `all_s`."""
    out, took = b.dir / "demo", []
    for seeds in [["--seeds", "1"], []][:2 if b.args.with_demo else 1]:
        begin = time.time()
        child([b.args.inoc, "run", "settings/spanish-caps/experiment.yaml", "-o", out, "--json", *seeds])
        took.append(time.time() - begin)
    rounds, b.args.rounds = b.args.rounds, 1
    b.turns("demo_s", "s", {"ours": lambda: took[0]}, less=True, **({"all_s": sum(took)} if b.args.with_demo else {}))
    b.args.rounds = rounds
