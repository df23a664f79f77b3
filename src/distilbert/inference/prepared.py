"""`prepare(model)`: an object that computes what the model computes, faster, and nothing else.

The prepared network is a copy of the model in which fast parts have taken the place of the stack of
blocks, of the linear layers of the head and of large tables. The model knows nothing of it.
"""

import copy
import logging
from collections.abc import Iterable, Sequence
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from distilbert.inference import processor
from distilbert.inference.encoder import FastTransformer
from distilbert.inference.linear import (
    FastLinear,
    HalfEmbedding,
    InFloat32,
    Int8Embedding,
    Int8Linear,
    PackedLinear,
    PlainLinear,
)
from distilbert.modeling.heads import FirstTokenHead, MaskedLM
from distilbert.modeling.pretrained import PreTrainedModel

_logger = logging.getLogger("distilbert")


class PreparedModel:
    """A model for inference only, as `prepare` and `load` return it.

    It is called as the model is, and returns the same outputs, in float32 and without gradients:
    a masked position gets 0 (see `attn_implementation="varlen"`). Any number of threads may
    call it at a time. It cannot be trained, changed, saved or pickled.

    Attributes:
        config: the model's configuration.
        device: where it computes.
        model_class: the class of the model that it was made from.
        precision: fp32, bf16 or int8.
        layers: for each linear layer what computes it: "packed", "plain" or "int8".

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertModel, prepare
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> fast = prepare(DistilBertModel(config))
        >>> fast.model_class.__name__, fast.precision, len(fast.layers)
        ('DistilBertModel', 'fp32', 8)
    """

    def __init__(self, network: PreTrainedModel, precision: str, layers: dict[str, str]) -> None:
        self._network = network
        self.config = network.config
        self.device = network.device
        self.model_class = type(network)
        self.precision, self.layers = precision, layers

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what the model computes; the arguments are those of its `forward`.

        Raises:
            ValueError: `output_attentions` or `head_mask`, which only the model itself can do; or
                any other input that the model refuses.
        """
        with torch.no_grad():
            return self._network(*args, **kwargs)

    def eval(self) -> "PreparedModel":
        """Return itself: it is always in evaluation mode."""
        return self

    def __getattr__(self, name: str) -> NoReturn:
        if hasattr(PreTrainedModel, name):
            raise AttributeError(
                f"a prepared model has no {name!r}, it only computes answers: use the "
                "model that it was made from, then prepare that one again"
            )
        raise AttributeError(f"a prepared model has no {name!r}")

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a prepared model can be neither pickled nor copied: its weights are laid out for this "
            "processor. Call distilbert.load in each process; threads may share one"
        )

    def __repr__(self) -> str:
        kinds = list(self.layers.values())
        counts = ", ".join(f"{kinds.count(kind)} {kind}" for kind in dict.fromkeys(kinds))
        return (
            f"PreparedModel({self.model_class.__name__}, {self.precision} on {self.device}, "
            f"linear layers: {counts})"
        )


def prepare(model: PreTrainedModel, precision: str = "fp32") -> PreparedModel:
    """Make an inference-only copy of a model, several times as fast.

    Args:
        model: any DistilBERT or BERT of this package, with or without a head. It stays as it is;
            nothing of it is shared.
        precision: fp32, equal to the model up to rounding; bf16; int8, with 8-bit weights (a scale
            per output) and activations (a scale per token, so that an answer does not depend on
            the other texts); or auto, the fastest on this processor.

    Raises:
        TypeError: no model of this package, or one with layers of other classes.
        ValueError: an unknown precision, or int8 where there is none.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertModel, prepare
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> fast = prepare(DistilBertModel(config))
        >>> fast(torch.tensor([[2, 7, 9, 3]])).last_hidden_state.shape
        torch.Size([1, 4, 32])
    """
    if not isinstance(model, PreTrainedModel):
        raise TypeError(
            f"prepare takes a DistilBERT or BERT model of this package, got {type(model).__name__}"
        )
    chosen = processor.choose_precision(precision, model.device)
    prepared = build(model, chosen)
    _logger.info("%r", prepared)
    return prepared


class Maker:
    """Makes linear layers of one precision, and notes what it made.

    Args:
        precision: fp32, bf16 or int8.
        device: where the model is.
        exact: names of layers that are not in int8 but in what is around it.
    """

    def __init__(self, precision: str, device: torch.device, exact: Iterable[str] = ()) -> None:
        self.precision, self.device, self.exact = precision, device, set(exact)
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32
        self.made: dict[str, str] = {}

    def __call__(
        self, name: str, layers: Sequence[nn.Module], activation: str | None = None
    ) -> FastLinear:
        """Make one layer of several that read the same input.

        Raises:
            TypeError: one of them is not linear, or not only.
        """
        weights, biases = [], []
        for layer in layers:
            if type(layer) is not nn.Linear:
                raise TypeError(
                    f"{name} is a {type(layer).__name__}; only torch.nn.Linear can be prepared "
                    "(adapters have to be merged into the weights first)"
                )
            weights.append(layer.weight.detach())
            zeros = layer.weight.new_zeros(layer.out_features)
            biases.append(zeros if layer.bias is None else layer.bias.detach())
        made = self._make(name, torch.cat(weights), torch.cat(biases), activation)
        self.made[name] = made.kind
        return made

    def _make(self, name: str, weight: Tensor, bias: Tensor, activation: str | None) -> FastLinear:
        if self.precision == "int8" and name not in self.exact:
            return Int8Linear(weight, bias, activation)
        if self.device.type == "cpu" and processor.packs(self.dtype):
            return PackedLinear(weight, bias, activation, self.dtype)
        return PlainLinear(weight, bias, activation, self.dtype)


def build(model: PreTrainedModel, precision: str, exact: Iterable[str] = ()) -> PreparedModel:
    """Make the prepared model; `exact` layers are not in int8."""
    base = model.base_model
    make = Maker(precision, model.device, exact)
    transformer = FastTransformer(
        base.transformer,
        make,
        activation=model.config.activation,
        dtype=make.dtype,
        for_first=isinstance(model, FirstTokenHead),
    )
    # What deepcopy finds here it takes instead of copying.
    instead: dict[int, nn.Module] = {id(base.transformer): transformer}
    words = base.embeddings.word_embeddings
    if precision != "fp32":
        shrunk = Int8Embedding if precision == "int8" else HalfEmbedding
        instead[id(words)] = shrunk(words.weight)
    inside = set(base.transformer.modules())
    # A masked LM's head is a third of the work; the others' are small, and their result the answer.
    make_head = make if isinstance(model, MaskedLM) else Maker("fp32", model.device)
    for name, module in model.named_modules():
        if isinstance(module, nn.Linear) and module not in inside:
            instead[id(module)] = InFloat32(make_head(name, [module]))
    network = copy.deepcopy(model, instead).float().eval().requires_grad_(False)
    network.config.attn_implementation = "varlen"
    return PreparedModel(network, precision, make.made | make_head.made)
