"""`prepare(model)`: an object that computes what the model computes, faster, and nothing else.

The prepared network is a copy of the model in which fast parts have taken the place of the stack of
blocks, of the linear layers of the head and, but in fp32, of the table of words. The model knows
nothing of it.
"""

import copy
import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from types import MethodType
from typing import Any

import torch
from torch import Tensor, nn

from distilbert.harm import Check, Inputs, Reference, encode, require_tolerance
from distilbert.inference.checking import most_harmful
from distilbert.inference.encoder import FastTransformer, require_own
from distilbert.inference.graphs import GraphedTransformer
from distilbert.inference.linear import (
    FastLinear,
    HalfEmbedding,
    InFloat32,
    Int8Embedding,
    Int8Linear,
    PackedLinear,
    PlainLinear,
    VnniLinear,
)
from distilbert.inference.native_embedding import NativeEmbeddings
from distilbert.inference.native_linear import NativeLinear
from distilbert.inference.native_stack import NativeTransformer
from distilbert.inference.prepared import PreparedModel
from distilbert.modeling import attention
from distilbert.modeling.arrays import ArrayModel
from distilbert.modeling.bert import Pooler
from distilbert.modeling.heads import FirstTokenHead, MaskedLM, MultipleChoice
from distilbert.modeling.model import is_hooked
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.native import library, processor

_logger = logging.getLogger("distilbert")


def prepare(
    model: PreTrainedModel,
    precision: str = "fp32",
    *,
    check: Iterable[Check] | None = None,
    tokenizer: Any = None,
    tolerance: float = 0.1,
    engine: str = "auto",
) -> PreparedModel:
    """Make an inference-only copy of a model, several times as fast.

    Args:
        model: any DistilBERT or BERT of this package, with or without a head. It stays as it is;
            nothing of it is shared.
        precision: fp32, equal to the model up to rounding; bf16; fp16, on a GPU; int8, with 8-bit
            weights (a scale per output) and activations (a scale per token, so that an answer does
            not depend on the other texts); or auto, the fastest on this processor.
        check: typical texts (or pairs), on which the answers are compared with those in fp32. The
            result is the prepared model's `harm`. Layers that hurt most are left out of int8 until
            the error is within the tolerance.
        tokenizer: what reads these texts.
        tolerance: largest relative error (root mean square) of the answers.
        engine: "native", the package's own, which computes fp32 and int8 on a CPU; "torch",
            PyTorch's operators; or "auto", the native one where it can be.

    Raises:
        TypeError: no model of this package, one with layers of other classes, with hooks on what is
            replaced or with replaced methods, or no tokenizer.
        ValueError: an unknown precision or engine, one that is not there, an embedding with
            `max_norm`, or no texts.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertModel, prepare
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> fast = prepare(DistilBertModel(config))
        >>> fast(torch.tensor([[2, 7, 9, 3]])).last_hidden_state.shape
        torch.Size([1, 4, 32])
    """
    if hasattr(model, "_orig_mod"):
        raise TypeError("prepare the model before torch.compile, or its ._orig_mod")
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"prepare takes a DistilBERT or BERT model of this package, got {type(model).__name__}"
        )
    int8 = library.multiplies_int8(engine)
    chosen = processor.choose_precision(precision, model.device, int8)
    library.is_chosen(engine, chosen, model.device)  # refuses what cannot be before texts are read
    if check is None:
        prepared = build(model, chosen, engine=engine)
    else:
        require_tolerance(tolerance)
        choices = isinstance(model, MultipleChoice)
        inputs = encode(check, tokenizer, model.base_model.config, choices)
        prepared = _checked(model, chosen, inputs, tolerance, engine)
    _logger.info("%r", prepared)
    return prepared


def _checked(
    model: PreTrainedModel,
    precision: str,
    inputs: Sequence[Inputs],
    tolerance: float,
    engine: str,
) -> PreparedModel:
    """Prepare a model and compare it; while it is too far off, spare twice as many layers."""
    exact = build(model, "fp32", engine=engine)
    reference = Reference(ArrayModel(exact), inputs)
    prepared = build(model, precision, engine=engine)
    harm = reference.harm(ArrayModel(prepared))
    # Compared so that an error that is nan is too large.
    if precision == "int8" and not harm.error <= tolerance:
        order = most_harmful(exact, prepared, inputs)
        spared = 1
        while not harm.error <= tolerance and spared < 2 * len(order):
            names = order[:spared]
            prepared = build(model, precision, names, engine)
            harm = reference.harm(ArrayModel(prepared), names)
            spared *= 2
    prepared.harm = harm
    if not harm.error <= tolerance:
        _logger.warning("%s: the error is above the tolerance of %s", prepared, tolerance)
    return prepared


class Maker:
    """Makes linear layers of one precision, and notes what it made.

    Args:
        precision: fp32, bf16, fp16 or int8.
        device: where the model is.
        exact: names of layers that are not in int8 but in what is around it.
        native: they are the native engine's, otherwise PyTorch's.
    """

    def __init__(
        self, precision: str, device: torch.device, exact: Iterable[str] = (), native: bool = False
    ) -> None:
        self.precision, self.device, self.exact, self.native = precision, device, set(exact), native
        self.dtype = processor.DTYPES[precision]
        self.made: dict[str, FastLinear] = {}

    def __call__(
        self, name: str, layers: Sequence[nn.Module], activation: str | None = None
    ) -> FastLinear:
        """Make one layer of several that read the same input.

        Raises:
            TypeError: one of them is not linear, or not only, or has a hook.
        """
        weights, biases = [], []
        for each in layers:
            layer = require_own(each, nn.Linear, name)
            weights.append(layer.weight.detach())
            zeros = layer.weight.new_zeros(layer.out_features)
            biases.append(zeros if layer.bias is None else layer.bias.detach())
        # A single one is not joined: that would be a copy.
        weight, bias = (x[0] if len(x) == 1 else torch.cat(x) for x in (weights, biases))
        made = self._make(name, weight, bias, activation)
        self.made[name] = made
        return made

    def _make(self, name: str, weight: Tensor, bias: Tensor, activation: str | None) -> FastLinear:
        is_int8 = self.precision == "int8" and name not in self.exact
        if self.native:
            kind = "int8" if is_int8 else "native"
            return NativeLinear(weight, bias, activation, kind)
        if is_int8:
            make = VnniLinear if processor.has_vnni_linear() else Int8Linear
            return make(weight, bias, activation)
        if self.device.type == "cpu" and processor.packs(self.dtype):
            return PackedLinear(weight, bias, activation, self.dtype)
        return PlainLinear(weight, bias, activation, self.dtype)


def _refuse_infinite(model: PreTrainedModel) -> None:
    """Raise for what has no place in 8 bits, or would give a row of which 8 bits hide the nan.

    Of heads in fp32 everything shows in the answer. So does the decoder's bias, in which -inf is
    for tokens that are ruled out.
    """
    decoder_bias = getattr(model.get_output_embeddings(), "bias", None)
    in_8_bits = model if isinstance(model, MaskedLM) else model.base_model
    for name, weight in in_8_bits.named_parameters():
        # A sum is many times as fast; it may overflow without a number that is infinite.
        if weight.sum().isfinite() or weight.isfinite().all() or weight is decoder_bias:
            continue
        raise ValueError(
            f"{name} has values that are nan or infinite, not fit for int8: prepare the model in "
            "fp32, which shows what they do"
        )


def _require_own_calls(model: PreTrainedModel) -> None:
    """Raise where modules do not run their classes' code: what replaces them would not run it.

    Nor would a copy: a function in the place of a method still calls the original.
    """
    if is_hooked():
        raise TypeError(
            "hooks of all modules are registered (register_module_forward_hook or its like), "
            "which a prepared model would not call for every part: remove them first"
        )
    for name, module in model.named_modules():
        if hasattr(module, "_orig_mod"):
            raise TypeError(f"{name} is compiled: prepare the model before torch.compile")
        own = MethodType(type(module).forward, module)  # which accelerate puts there to restore it
        if vars(module).get("forward", own) != own:
            raise TypeError(
                f"{name or 'the model'} has a forward of its own, which a prepared model would not "
                "call: remove it first (accelerate: unwrap_model with keep_fp32_wrapper=False)"
            )


def _refuse_changing_tables(embeddings: nn.Module) -> None:
    """Raise for a table whose rows change as they are looked up.

    Its twin in 8 bits, or in the engine, would not do it; nor would a decoder that is tied to it.
    """
    for name, table in embeddings.named_modules():
        if isinstance(table, nn.Embedding) and table.max_norm is not None:
            raise ValueError(
                f"{name} has max_norm={table.max_norm}, by which rows change as they are looked "
                "up; a prepared model's do not: shorten them first (table.weight.data.renorm_("
                f"{table.norm_type}, 0, {table.max_norm}) and table.max_norm = None)"
            )


def use_fast_stack(model: PreTrainedModel, precision: str) -> None:
    """Put the fast stack of blocks into a model that will only answer from now on, as a teacher.

    Args:
        precision: fp32 or bf16.
    """
    make = Maker(precision, model.device)
    model.base_model.transformer = _fast_stack(FastTransformer, model, make)


def _kind_of_stack(model: PreTrainedModel, make: Maker) -> Callable[..., FastTransformer]:
    if make.native:
        return NativeTransformer
    config = model.base_model.config
    head_size = config.dim // config.n_heads
    if model.device.type == "cuda" and attention.flash_has(make.dtype, head_size):
        return partial(GraphedTransformer, device=model.device)
    return FastTransformer


def _fast_stack(
    kind: Callable[..., FastTransformer], model: PreTrainedModel, make: Maker
) -> FastTransformer:
    return kind(
        model.base_model.transformer,
        make,
        dtype=make.dtype,
        for_first=isinstance(model, FirstTokenHead),
    )


def _called_linears(module: nn.Module, path: str = "") -> Iterator[tuple[str, nn.Linear]]:
    """Yield linear layers outside the stack that are called and no more.

    A module of another class may read its layers' weights, as adapters do: it keeps them.
    """
    for name, child in module.named_children():
        if isinstance(child, nn.Linear):
            yield path + name, child
        elif isinstance(child, PreTrainedModel | Pooler) or type(child) is nn.Sequential:
            yield from _called_linears(child, f"{path}{name}.")


def build(
    model: PreTrainedModel, precision: str, exact: Iterable[str] = (), engine: str = "auto"
) -> PreparedModel:
    """Make the prepared model; `exact` layers are not in int8."""
    _require_own_calls(model)
    if precision == "int8":
        _refuse_infinite(model)
    base = model.base_model
    _refuse_changing_tables(base.embeddings)
    native = library.is_chosen(engine, precision, model.device)
    make = Maker(precision, model.device, exact, native)
    transformer = _fast_stack(_kind_of_stack(model, make), model, make)
    # What deepcopy finds here it takes instead of copying.
    instead: dict[int, nn.Module] = {id(base.transformer): transformer}
    words = base.embeddings.word_embeddings
    if precision != "fp32":
        require_own(words, nn.Embedding, "word_embeddings")
        instead[id(words)] = (
            Int8Embedding(words.weight)
            if precision == "int8"
            else HalfEmbedding(words.weight, make.dtype)
        )
    # A masked LM's head is a third of the work; the others' are small, and their result the answer.
    exact_head = Maker("fp32", model.device, native=native)
    make_head = make if isinstance(model, MaskedLM) else exact_head
    for name, linear in _called_linears(model):
        instead[id(linear)] = InFloat32(make_head(name, [linear]))
    network = copy.deepcopy(model, instead).float().eval().requires_grad_(False)
    for module in network.modules():
        if isinstance(module, PreTrainedModel):  # an encoder put in by hand has its own
            module.config.attn_implementation = "varlen"
            module.config.output_attentions = False  # which only the model itself can show
    if native and NativeEmbeddings.fits(network.base_model.embeddings):
        network.base_model.embeddings = NativeEmbeddings(network.base_model.embeddings)
    return PreparedModel(network, precision, make.made | make_head.made)
