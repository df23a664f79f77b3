"""A PyTorch model as a function of NumPy arrays, which is what pipelines call."""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from distilbert.hub import REACH, Source
from distilbert.modeling.opening import open_whole
from distilbert.modeling.pretrained import PreTrainedModel


class ArrayModel:
    """Calls a model without gradients, in evaluation mode.

    Args:
        model: it has a `config`, and takes `input_ids`, `attention_mask` and, for a BERT,
            `token_type_ids`. It is put into evaluation mode when it is called. A prepared model
            (`distilbert.prepare`) may be in its place.
    """

    def __init__(self, model: Any) -> None:
        self.model = model
        self.config: Any = model.config
        self._is_ours = issubclass(getattr(model, "model_class", type(model)), PreTrainedModel)

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's outputs by name, in float32; inputs are int64 (B, T)."""
        self.model.eval()
        device = self.model.device if self._is_ours else next(self.model.parameters()).device
        inputs: dict[str, Any] = {k: torch.from_numpy(v).to(device) for k, v in arrays.items()}
        if self._is_ours:  # lengths known here need no device to be asked
            inputs["lengths"] = arrays["attention_mask"].sum(-1).tolist()
            inputs["return_dict"] = True
        with torch.inference_mode():
            output: Mapping[str, Any] = self.model(**inputs)
        return {
            name: value.float().cpu().numpy()
            for name, value in output.items()
            if isinstance(value, Tensor)
        }


def open_arrays(name: str | os.PathLike[str], head: str, **options: Any) -> ArrayModel:
    """Open a DistilBERT or BERT, computing without padding.

    Args:
        head: the end of the class's name, such as "ForMaskedLM"; "Model" is the bare encoder.
        options: of `from_pretrained`.

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither kind, or has not this head.
    """
    source = Source(name, **{k: v for k, v in options.items() if k in REACH})
    return ArrayModel(open_whole(source, head, **{"attn_implementation": "varlen"} | options))
