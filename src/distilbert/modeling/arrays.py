"""A PyTorch model as a function of NumPy arrays, which is what pipelines call."""

import os
from collections.abc import Mapping
from dataclasses import fields
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from distilbert import modeling
from distilbert.hub import CONFIG_FILE, Source, read_json
from distilbert.modeling.opening import is_bert
from distilbert.modeling.pretrained import PreTrainedModel

_HEADS = (
    "ForMaskedLM",
    "ForSequenceClassification",
    "ForMultipleChoice",
    "ForTokenClassification",
    "ForQuestionAnswering",
)
_REMEDY = "fine-tune it for this task first, or choose the task that it is for"


class ArrayModel:
    """Calls a model without gradients, in evaluation mode.

    Args:
        model: it has a `config`, and takes `input_ids`, `attention_mask` and, for a BERT,
            `token_type_ids`. It is put into evaluation mode when it is called.
    """

    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.config: Any = model.config

    def __call__(self, **arrays: np.ndarray) -> dict[str, np.ndarray]:
        """Return the model's outputs by name, in float32; inputs are int64 (B, T)."""
        self.model.eval()
        device = next(self.model.parameters()).device
        inputs: dict[str, Any] = {k: torch.from_numpy(v).to(device) for k, v in arrays.items()}
        if isinstance(self.model, PreTrainedModel):  # lengths known here need no device to be asked
            inputs["lengths"] = arrays["attention_mask"].sum(-1).tolist()
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
    reach = {field.name for field in fields(Source)}
    source = Source(name, **{k: v for k, v in options.items() if k in reach})
    cls = getattr(modeling, ("Bert" if is_bert(source) else "DistilBert") + head)
    written_by = read_json(source.require(CONFIG_FILE)).get("architectures") or []
    # Weights alone do not tell: a tagger's layer has the name and shape of a classifier's.
    other = [name for name in written_by if name.endswith(_HEADS) and not name.endswith(head)]
    if other and head != "Model":
        raise ValueError(f"{source} is a {other[0]}, not a {cls.__name__}; {_REMEDY}")
    options = {"attn_implementation": "varlen"} | options
    model, info = cls.from_pretrained(name, output_loading_info=True, **options)
    missing = [key for key in info["missing_keys"] if not key.startswith("pooler.")]
    if missing:
        raise ValueError(
            f"{source} is not a whole {cls.__name__}: {missing[0]} is missing; {_REMEDY}"
        )
    return ArrayModel(model)
