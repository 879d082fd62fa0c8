"""What a work needs at the least, whoever does it: floating-point operations (two a multiply-add) and bytes. Counted are the
matrix products, attention with each token over those up to itself, and the head where a token is predicted with loss; what
examples of a step begin with in common is needed once, what stands behind the last predicted token not at all. Not counted:
norms, softmax, activations, the optimizer. test_flops.py checks these against a count by PyTorch.
"""

from dataclasses import dataclass


@dataclass
class Shape:
    layers: int
    width: int
    heads: int
    head_dim: int
    kv_width: int
    ff: int
    vocab: int

    def products(self):
        """(outputs, inputs) of q, k, v, o, gate, up, down."""
        q, c = self.heads * self.head_dim, self.width
        return [(q, c), (self.kv_width, c), (self.kv_width, c), (c, q), (self.ff, c), (self.ff, c), (c, self.ff)]

    def weights(self):
        """Of all layers' products."""
        return self.layers * sum(n * k for n, k in self.products())


@dataclass
class Work:
    """tokens computed, pairs (token, token seen) of attention, rows of the head."""
    tokens: int = 0
    pairs: int = 0
    heads: int = 0

    def __add__(self, o):
        return Work(self.tokens + o.tokens, self.pairs + o.pairs, self.heads + o.heads)


def forest(examples):
    """The work of examples [(ids, loss)] together: a tree of what they begin with."""
    w, children, predicts = Work(), {}, set()
    for ids, loss in examples:
        node, end = -1, max((i for i in range(1, len(ids)) if loss[i]), default=0)
        for i in range(end):
            key = node, ids[i]
            if key not in children:
                children[key] = len(children)
                w += Work(1, i + 1)
            node = children[key]
            if loss[i + 1] and node not in predicts:
                predicts.add(node)
                w.heads += 1
    return w


def forward(s, w, rank=0):
    lora = 2 * rank * s.layers * sum(n + k for n, k in s.products())
    return w.tokens * (2 * s.weights() + lora) + w.pairs * 4 * s.layers * s.heads * s.head_dim + w.heads * 2 * s.vocab * s.width


def train(s, w, rank):
    """Forward; the gradients of every product's input (but of the first layer's q, k and v) and of the adapters."""
    p = s.products()
    back = 2 * s.weights() + 4 * rank * s.layers * sum(n + k for n, k in p) - sum(2 * n * k + 2 * rank * k for n, k in p[:3])
    return (forward(s, w, rank) + w.tokens * back + w.pairs * 8 * s.layers * s.heads * s.head_dim
            + w.heads * 2 * s.vocab * s.width)


def decode_s(s, n, context, rate, bandwidth, weight_bytes, kv_bytes=2):
    """Seconds of a step of n sequences of `context` tokens each: products, or reading weights, keys and values."""
    w = Work(n, n * context, n)
    read = weight_bytes + n * context * 2 * s.layers * s.kv_width * kv_bytes
    return max(forward(s, w) / rate, read / bandwidth)
