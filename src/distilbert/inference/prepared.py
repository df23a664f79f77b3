"""A prepared model: it computes what the model computes, faster, and nothing else."""

from typing import Any, NoReturn

import torch

from distilbert.harm import Harm
from distilbert.inference import workers
from distilbert.inference.linear import FastLinear
from distilbert.inference.native_stack import NativeTransformer
from distilbert.modeling.pretrained import PreTrainedModel
from distilbert.native import threads


class PreparedModel:
    """A model for inference only, as `prepare` and `load` return it.

    It is called as the model is, and returns the same outputs, in float32 and without gradients:
    a masked position gets 0 (see `attn_implementation="varlen"`). Any number of threads may
    call it at a time. It cannot be trained, changed, saved or pickled.

    Attributes:
        config: the model's configuration.
        device: where it computes.
        model_class: the class of the model that it was made from.
        precision: fp32, bf16, fp16 or int8.
        engine: native or torch.
        layers: for each linear layer what computes it: native (fp32) or int8 of the engine in C++;
            of PyTorch packed (oneDNN, with the weights in its own order), int8 (oneDNN with VNNI,
            else FBGEMM) or plain (its usual layers, where the others are missing).
        harm: what the precision does to the answers, if it was checked; else None.

    Example:
        >>> import torch
        >>> from distilbert import DistilBertConfig, DistilBertModel, prepare
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> fast = prepare(DistilBertModel(config))
        >>> fast.model_class.__name__, fast.precision, len(fast.layers)
        ('DistilBertModel', 'fp32', 8)
    """

    def __init__(
        self, network: PreTrainedModel, precision: str, linears: dict[str, FastLinear]
    ) -> None:
        self._network = network
        self.config = network.config
        self.device = network.device
        self.model_class = type(network)
        self.precision, self.linears = precision, linears
        self.harm: Harm | None = None
        is_native = isinstance(network.base_model.transformer, NativeTransformer)
        self.engine = "native" if is_native else "torch"
        self._around = threads.alone if is_native else workers.present

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute what the model computes; the arguments are those of its `forward`.

        Raises:
            ValueError: `output_attentions` or `head_mask`, which only the model itself can do; or
                any other input that the model refuses.
        """
        # Threads that compute slices know nothing of autocast, and layers have their own types.
        with torch.no_grad(), torch.autocast(self.device.type, enabled=False), self._around():
            return self._network(*args, **kwargs)

    @property
    def layers(self) -> dict[str, str]:
        """For each linear layer what computes it."""
        return {name: linear.kind for name, linear in self.linears.items()}

    def eval(self) -> "PreparedModel":
        """Return itself: it is always in evaluation mode."""
        return self

    def train(self, mode: bool = True) -> "PreparedModel":
        """Return itself for `train(False)`, which is `eval()`.

        Raises:
            AttributeError: it is to be trained.
        """
        return self.__getattr__("train") if mode else self

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
            f"engine {self.engine}, linear layers: {counts}{self._harm()})"
        )

    def _harm(self) -> str:
        if self.harm is None:
            return "" if self.precision == "fp32" else ", not checked"
        return f", {self.harm}"
