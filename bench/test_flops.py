#!/usr/bin/env python3
"""flops.py against direct counts: PyTorch's own of a tiny PEFT model, forward and backward; a tree of prefixes as a set."""

import random

import flops


def check_forest():
    rng = random.Random(1)
    for _ in range(200):
        examples = []
        for _ in range(rng.randint(1, 6)):
            n, head = rng.randint(2, 12), rng.randint(1, 6)
            examples.append(([rng.randint(0, 1 + i // 4) for i in range(n)], [int(i >= head) for i in range(n)]))
        nodes, heads = set(), set()
        for ids, loss in examples:
            for i in range(len(ids)):
                if any(loss[i + 1:]):
                    nodes.add(tuple(ids[:i + 1]))
                if loss[i + 1:i + 2] == [1]:
                    heads.add(tuple(ids[:i + 1]))
        want = flops.Work(len(nodes), sum(map(len, nodes)), len(heads))
        assert flops.forest(examples) == want, (examples, flops.forest(examples), want)


def check_torch():
    import torch
    from peft import LoraConfig, get_peft_model
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import LlamaConfig, LlamaForCausalLM
    s, rank, B, T = flops.Shape(3, 32, 4, 8, 16, 48, 100), 2, 2, 7
    base = LlamaForCausalLM(LlamaConfig(hidden_size=s.width, intermediate_size=s.ff, num_hidden_layers=s.layers,
                                        num_attention_heads=s.heads, num_key_value_heads=s.kv_width // s.head_dim,
                                        vocab_size=s.vocab, tie_word_embeddings=True, attn_implementation="eager"))
    base.config.use_cache = False
    model = get_peft_model(base, LoraConfig(r=rank, task_type="CAUSAL_LM", target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]))
    ids = torch.randint(0, s.vocab, (B, T))
    w = flops.Work(B * T, B * T * T, B * T)  # eager attention computes the whole square; every token's logits
    with FlopCounterMode(display=False) as c, torch.no_grad():
        model(input_ids=ids)
    got = c.get_total_flops()
    assert got == flops.forward(s, w, rank), (got, flops.forward(s, w, rank))
    with FlopCounterMode(display=False) as c:
        model(input_ids=ids, labels=ids).loss.backward()
    got = c.get_total_flops()
    assert got == flops.train(s, w, rank), (got, flops.train(s, w, rank))


if __name__ == "__main__":
    check_forest()
    check_torch()
    print("flops.py counts what PyTorch counts")
