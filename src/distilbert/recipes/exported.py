"""An export in the place of the model that it was made from, to be scored like it."""

from typing import Any

import torch
from torch import Tensor

from distilbert.export import OnnxModel
from distilbert.hub import Source
from distilbert.outputs import (
    BaseModelOutputWithPooling,
    ModelOutput,
    QuestionAnsweringModelOutput,
    SequenceClassifierOutput,
)
from distilbert.tasks.step import real_tokens
from distilbert.weight_files import ONNX_WEIGHTS

_KINDS: dict[str, type[ModelOutput]] = {
    "logits": SequenceClassifierOutput,
    "start_logits": QuestionAnsweringModelOutput,
    "last_hidden_state": BaseModelOutputWithPooling,
}


class Exported:
    """An export that is called as a model of this package is; it computes on the CPU.

    Args:
        name: a folder or hub id.

    Attributes:
        config: the model's configuration.
        outputs: names of what it returns.
        megabytes: size of the file.

    Raises:
        ImportError, OSError, ValueError: as `OnnxModel` raises them.
    """

    def __init__(self, name: str) -> None:
        # As many threads as a model beside it has, to be compared with it.
        self._model = OnnxModel(name, threads=torch.get_num_threads())
        self.config = self._model.config
        self.outputs = self._model.outputs
        self.megabytes = Source(name).require(ONNX_WEIGHTS).stat().st_size / 1e6

    def __call__(
        self,
        input_ids: Tensor,
        lengths: list[Any],
        token_type_ids: Tensor | None = None,
        **options: Any,
    ) -> ModelOutput:
        """Return the outputs for the head, on the device of the ids.

        Args:
            input_ids, token_type_ids: (B, T), or (B, choices, T).
            lengths: per row, or per example and choice.
            options: of a model's call, that say what else to return, which nobody reads here.
        """
        found = self._model(
            input_ids=input_ids.cpu().numpy(),
            attention_mask=real_tokens(lengths, input_ids.shape[-1]).numpy(),
            token_type_ids=None if token_type_ids is None else token_type_ids.cpu().numpy(),
        )
        kind = next(kind for name, kind in _KINDS.items() if name in found)
        return kind({n: torch.from_numpy(x).to(input_ids.device) for n, x in found.items()})
