"""The network as an ONNX graph: BERT's and DistilBERT's encoder without padding, and the heads.

The file takes padded batches as any other one. Inside, the real tokens of all sequences are rows of
one matrix: layers compute nothing at padding, only attention lays them out again. At masked
positions hidden states and logits are 0, and the scores of a span the lowest number, as with
`attn_implementation="varlen"`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial, reduce

import numpy as np

from distilbert.config import PretrainedConfig
from distilbert.export.graph import Graph
from distilbert.export.weights import Weights

_LOWEST = float(np.finfo(np.float32).min)
_GELU_TANH = {"gelu_new", "gelu_pytorch_tanh"}


def add_network(graph: Graph, config: PretrainedConfig, weights: Weights, head: str) -> None:
    """Add inputs, encoder, head and outputs.

    Args:
        head: the end of the class's name, such as "ForMaskedLM", or "Model".

    Raises:
        ValueError: a weight is not there or of another shape, or the activation is unknown.
    """
    choices = ["choices"] if head == "ForMultipleChoice" else []
    names = ["input_ids", "attention_mask"]
    if config.type_vocab_size:
        names.append("token_type_ids")
    given = {name: graph.input(name, ["batch", *choices, "tokens"]) for name in names}
    shape = graph.op("Shape", given["input_ids"])
    if choices:
        tokens = graph.op("Slice", shape, graph.whole(2), graph.whole(3))
        flat = graph.op("Concat", graph.whole(-1), tokens, axis=0)
        given = {name: graph.op("Reshape", value, flat) for name, value in given.items()}
    network = _Network(graph, config, weights, _Batch(graph, given["attention_mask"]), shape)
    x = network.embed(given["input_ids"], given.get("token_type_ids"))
    reads_first = head in ("ForSequenceClassification", "ForMultipleChoice")
    for layer in range(config.n_layers):
        x = network.block(x, layer, first_only=reads_first and layer == config.n_layers - 1)
    _HEADS[head](network, x)


class _Batch:
    """Which tokens are real, and the ways between rows of real tokens and a padded batch.

    The first token of a sequence is always computed: heads read it, and so no sequence is empty.
    """

    def __init__(self, graph: Graph, mask: str) -> None:
        self._graph = graph
        zero, one = graph.number(0), graph.number(1)
        self.shape = graph.op("Shape", mask)
        length = graph.op("Gather", self.shape, one)
        place = graph.op("Range", zero, length, one)
        self.seen = graph.op("Not", graph.op("Equal", mask, zero))
        computed = graph.op("Or", self.seen, graph.op("Equal", place, zero))
        flat = graph.op("Reshape", computed, graph.whole(-1))
        self._real = graph.op("Squeeze", graph.op("NonZero", flat), graph.whole(0))
        count = graph.op("CumSum", graph.cast(flat, "INT64"), zero)
        # Padding reads the row before it, its own sequence's; nothing looks at what comes of it.
        self._row = graph.op("Sub", count, one)
        self.positions = self.take(graph.op("Expand", place, self.shape))
        bias = graph.op("Where", self.seen, _float(graph, 0), _float(graph, _LOWEST))
        self.bias = graph.op("Unsqueeze", bias, graph.whole(1, 2))  # (B, 1, 1, T)
        rows = graph.op("Reshape", self._row, self.shape)
        self._starts = graph.op("Gather", rows, zero, axis=1)

    def take(self, values: str) -> str:
        """(B, T) -> (N,), the computed ones."""
        flat = self._graph.op("Reshape", values, self._graph.whole(-1))
        return self._graph.op("Gather", flat, self._real)

    def take_rows(self, values: str) -> str:
        """(B * T, C) -> (N, C)."""
        return self._graph.op("Gather", values, self._real)

    def first(self, rows: str) -> str:
        """(N, C) -> (B, C), each sequence's first token."""
        return self._graph.op("Gather", rows, self._starts)

    def spread(self, rows: str, *sizes: int) -> str:
        """(N, C) -> (B, T, *sizes), whatever at padding."""
        graph = self._graph
        shape = graph.op("Concat", self.shape, graph.whole(*sizes), axis=0)
        return graph.op("Reshape", graph.op("Gather", rows, self._row), shape)

    def pad(self, rows: str, size: int, fill: float = 0.0) -> str:
        """(N, C) -> (B, T, C), with `fill` at masked positions."""
        graph = self._graph
        seen = graph.op("Unsqueeze", self.seen, graph.whole(2))
        return graph.op("Where", seen, self.spread(rows, size), _float(graph, fill))


@dataclass(frozen=True)
class _Network:
    """Layers with their weights, on the rows of a batch."""

    graph: Graph
    config: PretrainedConfig
    weights: Weights
    batch: _Batch
    shape: str  # of the inputs, with choices if there are

    def linear(self, x: str, name: str, rows: int, columns: int) -> str:
        """Add a linear layer."""
        weight = self.weights.take(f"{name}.weight", rows, columns)
        bias = self.weights.take(f"{name}.bias", rows)
        return self.graph.linear(x, weight, bias, name)

    def norm(self, x: str, name: str) -> str:
        """Add a layer normalisation."""
        size = self.config.dim
        weight = self.weights.take(f"{name}.weight", size)
        bias = self.weights.take(f"{name}.bias", size)
        return self.graph.norm(x, weight, bias, self.config.layer_norm_eps, name)

    def activate(self, x: str) -> str:
        """Add the activation that the configuration names."""
        graph, kind = self.graph, self.config.activation
        if kind == "gelu":
            return graph.op("Gelu", x)
        if kind in _GELU_TANH:
            return graph.op("Gelu", x, approximate="tanh")
        if kind == "relu":
            return graph.op("Relu", x)
        if kind == "tanh":
            return graph.op("Tanh", x)
        if kind in ("silu", "swish"):
            return graph.op("Mul", x, graph.op("Sigmoid", x))
        if kind == "quick_gelu":
            wide = graph.op("Mul", x, _float(graph, 1.702))
            return graph.op("Mul", x, graph.op("Sigmoid", wide))
        raise ValueError(f"the activation {kind!r} cannot be exported")

    def embed(self, ids: str, types: str | None) -> str:
        """(B, T) ids -> (N, C)."""
        graph, config, batch = self.graph, self.config, self.batch
        tables = [
            ("word", config.vocab_size, batch.take(ids)),
            ("position", config.max_position_embeddings, batch.positions),
        ]
        if types is not None:
            tables.append(("token_type", config.type_vocab_size, batch.take(types)))
        parts = []
        for kind, rows, chosen in tables:
            name = f"embeddings.{kind}_embeddings"
            table = self.weights.take(f"{name}.weight", rows, config.dim)
            parts.append(graph.rows(table, chosen, name))
        x = reduce(partial(graph.op, "Add"), parts)
        return self.norm(x, "embeddings.LayerNorm")

    def block(self, x: str, layer: int, *, first_only: bool) -> str:
        """Attention and feed-forward: (N, C) -> (N, C), or (B, C) for first tokens alone."""
        graph, name, dim = self.graph, f"transformer.layer.{layer}", self.config.dim
        attended = self._attend(x, layer, first_only=first_only)
        if first_only:
            x = self.batch.first(x)
        x = self.norm(graph.op("Add", x, attended), f"{name}.sa_layer_norm")
        hidden = self.activate(self.linear(x, f"{name}.ffn.lin1", self.config.hidden_dim, dim))
        hidden = self.linear(hidden, f"{name}.ffn.lin2", dim, self.config.hidden_dim)
        return self.norm(graph.op("Add", x, hidden), f"{name}.output_layer_norm")

    def _attend(self, x: str, layer: int, *, first_only: bool) -> str:
        graph, batch, dim = self.graph, self.batch, self.config.dim
        name = f"transformer.layer.{layer}.attention"
        pruned = self.config.pruned_heads.get(layer, ())
        heads, size = self.config.n_heads - len(pruned), dim // self.config.n_heads
        width = heads * size
        weights = {p: self.weights.take(f"{name}.{p}_lin.weight", width, dim) for p in "qkv"}
        biases = {p: self.weights.take(f"{name}.{p}_lin.bias", width) for p in "qkv"}
        scale = np.float32(1 / math.sqrt(size))
        weights["q"], biases["q"] = weights["q"] * scale, biases["q"] * scale

        def project(rows: str, parts: str) -> str:
            matrix = np.concatenate([weights[p] for p in parts])
            bias = np.concatenate([biases[p] for p in parts])
            return graph.linear(rows, matrix, bias, f"{name}.{parts}")

        if first_only:
            shape = graph.whole(-1, 1, heads, size)
            q = graph.op("Reshape", project(batch.first(x), "q"), shape)
            q = graph.op("Transpose", q, perm=[0, 2, 1, 3])
            k, v = self._by_head(project(x, "kv"), 2, heads, size)
        else:
            q, k, v = self._by_head(project(x, "qkv"), 3, heads, size)
        scores = graph.op("MatMul", q, graph.op("Transpose", k, perm=[0, 1, 3, 2]))
        shares = graph.op("Softmax", graph.op("Add", scores, batch.bias), axis=-1)
        mixed = graph.op("Transpose", graph.op("MatMul", shares, v), perm=[0, 2, 1, 3])
        rows = graph.op("Reshape", mixed, graph.whole(-1, width))
        if not first_only:
            rows = batch.take_rows(rows)
        return self.linear(rows, f"{name}.out_lin", dim, width)

    def _by_head(self, rows: str, parts: int, heads: int, size: int) -> list[str]:
        """(N, parts * C) -> `parts` times (B, heads, T, size)."""
        graph = self.graph
        padded = self.batch.spread(rows, parts, heads, size)
        apart = graph.op("Transpose", padded, perm=[2, 0, 3, 1, 4])
        return [graph.op("Gather", apart, graph.number(part)) for part in range(parts)]


def _hidden_states(network: _Network, x: str) -> None:
    dim = network.config.dim
    network.graph.output("last_hidden_state", network.batch.pad(x, dim), ["batch", "tokens", dim])
    if network.config.type_vocab_size and "pooler.dense.weight" in network.weights:
        pooled = _pool(network, network.batch.first(x))
        network.graph.output("pooler_output", pooled, ["batch", dim])


def _masked_lm(network: _Network, x: str) -> None:
    dim, size = network.config.dim, network.config.vocab_size
    x = network.activate(network.linear(x, "vocab_transform", dim, dim))
    x = network.norm(x, "vocab_layer_norm")
    logits = network.batch.pad(network.linear(x, "vocab_projector", size, dim), size)
    network.graph.output("logits", logits, ["batch", "tokens", size])


def _tags(network: _Network, x: str) -> None:
    size = network.config.num_labels
    logits = network.batch.pad(network.linear(x, "classifier", size, network.config.dim), size)
    network.graph.output("logits", logits, ["batch", "tokens", size])


def _spans(network: _Network, x: str) -> None:
    graph = network.graph
    scores = network.linear(x, "qa_outputs", 2, network.config.dim)
    scores = network.batch.pad(scores, 2, _LOWEST)
    for number, name in enumerate(("start_logits", "end_logits")):
        score = graph.op("Gather", scores, graph.number(number), axis=2)
        graph.output(name, score, ["batch", "tokens"])


def _class(network: _Network, first: str) -> None:
    size = network.config.num_labels
    network.graph.output("logits", _classify(network, first, size), ["batch", size])


def _choice(network: _Network, first: str) -> None:
    graph = network.graph
    scores = _classify(network, first, 1)
    shape = graph.op("Slice", network.shape, graph.whole(0), graph.whole(2))
    graph.output("logits", graph.op("Reshape", scores, shape), ["batch", "choices"])


def _classify(network: _Network, first: str, size: int) -> str:
    if network.config.type_vocab_size:
        first = _pool(network, first)
    else:
        dim = network.config.dim
        first = network.graph.op("Relu", network.linear(first, "pre_classifier", dim, dim))
    return network.linear(first, "classifier", size, network.config.dim)


def _pool(network: _Network, first: str) -> str:
    dim = network.config.dim
    return network.graph.op("Tanh", network.linear(first, "pooler.dense", dim, dim))


def _float(graph: Graph, value: float) -> str:
    return graph.constant(np.float32(value))


_HEADS: dict[str, Callable[[_Network, str], None]] = {
    "ForMaskedLM": _masked_lm,
    "ForMultipleChoice": _choice,
    "ForQuestionAnswering": _spans,
    "ForSequenceClassification": _class,
    "ForTokenClassification": _tags,
    "Model": _hidden_states,
}
