"""A PyTorch model as a function of NumPy arrays, which is what pipelines call."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from threading import Lock
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np
import torch
from torch import Tensor, nn

from distilbert.hub import Source
from distilbert.modeling.loading import choose_device
from distilbert.modeling.opening import open_whole
from distilbert.modeling.pretrained import PreTrainedModel


class ArrayModel:
    """Calls a model without gradients, in evaluation mode.

    Args:
        model: takes `input_ids`, `attention_mask` and, for a BERT, `token_type_ids`. Each of its
            modules that is in training mode is put into evaluation mode for the call. A prepared
            model (`distilbert.prepare`) may be in its place.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self._is_ours = issubclass(getattr(model, "model_class", type(model)), PreTrainedModel)

    @property
    def device(self) -> torch.device:
        """Where the model computes."""
        found: torch.device = (
            self.model.device if self._is_ours else next(self.model.parameters()).device
        )
        return found

    def to(self, device: Any) -> None:
        """Move the model to a device, where it is not there.

        Raises:
            ValueError: there is no such device.
            AttributeError: a prepared model, which stays where it was made.
        """
        place = torch.empty(0, device=choose_device(device)).device  # "cuda" has no number
        if place != self.device:
            self.model.to(place)

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's outputs by name, in float32; inputs are int64 (B, T)."""
        device = self.device
        inputs: dict[str, Any] = {k: torch.from_numpy(v).to(device) for k, v in arrays.items()}
        if self._is_ours:  # lengths known here need no device to be asked
            inputs["lengths"] = arrays["attention_mask"].sum(-1).tolist()
            inputs["return_dict"] = True
        with torch.inference_mode(), _evaluating(self.model):
            output: Mapping[str, Any] = self.model(**inputs)
        return {
            name: value.float().cpu().numpy()
            for name, value in output.items()
            if isinstance(value, Tensor)
        }


def open_unpadded(name: str | os.PathLike[str], head: str, **options: Any) -> Any:
    """Open a DistilBERT or BERT that computes without padding.

    Args:
        head: the end of the class's name, such as "ForMaskedLM"; "Model" is the bare encoder.
        options: of `from_pretrained`.

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither kind, or has not this head.
    """
    return open_whole(
        Source.reached(name, options), head, **{"attn_implementation": "varlen"} | options
    )


_lock = Lock()
_evaluated: WeakKeyDictionary[nn.Module, tuple[int, list[nn.Module]]] = WeakKeyDictionary()
"""Models in a call: how many threads are in it, and the modules that were in training mode."""


@contextmanager
def _evaluating(model: Any) -> Iterator[None]:
    """Put modules that are in training mode into evaluation mode, and back after the last call."""
    if not isinstance(model, nn.Module):  # a prepared model, which always is in evaluation mode
        yield
        return
    # The flags of these alone: train() of a module would change those below it too.
    with _lock:
        calls, training = _evaluated.get(model, (0, []))
        training = training + [module for module in model.modules() if module.training]
        for module in training:
            module.training = False
        _evaluated[model] = calls + 1, training
    try:
        yield
    finally:
        with _lock:
            calls, training = _evaluated.pop(model)
            if calls > 1:
                _evaluated[model] = calls - 1, training
            else:
                for module in training:
                    module.training = True
