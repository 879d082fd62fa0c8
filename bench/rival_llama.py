#!/usr/bin/env python3
"""llama.cpp through its own API: prefill of given sequences, and N sequences decoded at once. Answers requests (common.serve).

Timed are llama_decode and the wait for its logits; choosing the tokens is not.
"""

import argparse
import ctypes
import time

import llama_cpp as L
import numpy as np

from common import serve

UBATCH, BATCH = 512, 2048


class Llama:
    def __init__(self, path, threads, repack=True):
        L.llama_backend_init()
        L.llama_log_set(self.quiet, ctypes.c_void_p(0))
        params = L.llama_model_default_params()
        params.use_extra_bufts = repack
        self.model = L.llama_model_load_from_file(path.encode(), params)
        if not self.model:
            raise SystemExit(f"llama.cpp cannot load {path}")
        self.V = L.llama_vocab_n_tokens(L.llama_model_get_vocab(self.model))
        self.threads, self.ctx, self.shape = threads, None, None
        self.batch = L.llama_batch_init(BATCH, 0, 1)

    @staticmethod
    @L.llama_log_callback
    def quiet(level, text, data):
        pass

    def context(self, sequences, length, flash, unified):
        """For so many sequences of `length` tokens."""
        if self.shape != (sequences, length, flash, unified):
            if self.ctx:
                L.llama_free(self.ctx)
            p = L.llama_context_default_params()
            p.n_ctx, p.n_batch, p.n_ubatch, p.n_seq_max = sequences * -(-length // 256) * 256, BATCH, UBATCH, sequences
            p.n_threads = p.n_threads_batch = self.threads
            p.flash_attn_type = L.LLAMA_FLASH_ATTN_TYPE_ENABLED if flash else L.LLAMA_FLASH_ATTN_TYPE_DISABLED
            p.kv_unified = bool(unified)
            self.ctx = L.llama_init_from_model(self.model, p)
            if not self.ctx:
                raise SystemExit(f"llama.cpp makes no context for {sequences} sequences of {length} tokens")
            self.shape = sequences, length, flash, unified
        L.llama_memory_clear(L.llama_get_memory(self.ctx), True)

    def decode(self, rows):
        """rows: (id, position, sequence, whether its logits are wanted); returns the seconds."""
        b = self.batch
        b.n_tokens = len(rows)
        for i, (token, pos, seq, want) in enumerate(rows):
            b.token[i], b.pos[i], b.n_seq_id[i], b.logits[i] = token, pos, 1, want
            b.seq_id[i][0] = seq
        start = time.perf_counter()
        if rc := L.llama_decode(self.ctx, b):
            raise SystemExit(f"llama_decode: {rc}")
        L.llama_get_logits(self.ctx)  # waits
        return time.perf_counter() - start

    def argmax(self, i):
        return int(np.ctypeslib.as_array(L.llama_get_logits_ith(self.ctx, i), (self.V,)).argmax())

    def prefill(self, ids, loss, flash, unified):
        """Whole sequences, as many at once as fill a batch; logits where the next token has loss."""
        seconds, tokens, at = 0, 0, 0
        self.context(64, max(map(len, ids)), flash, unified)
        while at < len(ids):
            rows, seq = [], 0
            while at < len(ids) and seq < 64 and len(rows) + len(ids[at]) <= BATCH:
                nxt = loss[at][1:] + [0]
                rows += [(t, p, seq, nxt[p]) for p, t in enumerate(ids[at])]
                at, seq = at + 1, seq + 1
            L.llama_memory_clear(L.llama_get_memory(self.ctx), True)
            seconds += self.decode(rows)
            tokens += len(rows)
        return {"tokens": tokens, "seconds": seconds}

    def generate(self, prompts, new, flash, unified):
        """Greedy, one sequence a prompt, `new` tokens each, whatever they are."""
        n = len(prompts)
        self.context(n, max(map(len, prompts)) + new, flash, unified)
        first, rows, last, seconds = [0] * n, [], [], 0
        for seq, ids in enumerate(prompts):
            if len(rows) + len(ids) > BATCH:
                seconds += self.decode(rows)
                first[seq - len(last):seq] = [self.argmax(i) for i in last]
                rows, last = [], []
            rows += [(t, p, seq, p + 1 == len(ids)) for p, t in enumerate(ids)]
            last.append(len(rows) - 1)
        seconds += self.decode(rows)
        first[n - len(last):] = [self.argmax(i) for i in last]
        steps = 0
        for k in range(new - 1):
            steps += self.decode([(first[s], len(prompts[s]) + k, s, True) for s in range(n)])
            first = [self.argmax(i) for i in range(n)]
        return {"prefill_tokens": sum(map(len, prompts)), "prefill_seconds": seconds, "decode_tokens": n * (new - 1),
                "decode_seconds": steps, "last": first[:4]}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--gguf", required=True)
    p.add_argument("--threads", type=int, required=True)
    p.add_argument("--as-stored", action="store_true", help="weights in the file's layout, not the CPU's own")
    args = p.parse_args()
    llama = Llama(args.gguf, args.threads, not args.as_stored)
    serve(prefill=llama.prefill, generate=llama.generate)


if __name__ == "__main__":
    main()
