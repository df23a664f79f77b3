"""An exported model as a function of arrays: what a pipeline calls where PyTorch is not."""

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from distilbert import checkpoint
from distilbert.config import PretrainedConfig
from distilbert.extras import require
from distilbert.fields import integer, optional
from distilbert.hub import Source
from distilbert.weight_files import ONNX_WEIGHTS

_INPUTS = {"input_ids", "attention_mask", "token_type_ids"}


class Session:
    """ONNX Runtime on a model, given as a file's path or as its bytes.

    Args:
        threads: 0 is one for each core.
        providers: what computes, by ONNX Runtime's names.

    Raises:
        ImportError: onnxruntime is not installed.
        ValueError: it is damaged, or a provider is not there.
    """

    def __init__(
        self,
        model: str | os.PathLike[str] | bytes,
        threads: int = 0,
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        runtime = require("onnxruntime")
        settings = runtime.SessionOptions()
        settings.intra_op_num_threads = threads
        given, what = (
            (model, "the model") if isinstance(model, bytes) else (os.fspath(model), str(model))
        )
        absent = sorted(set(providers) - set(runtime.get_available_providers()))
        if absent:
            raise ValueError(
                f"ONNX Runtime has no {absent[0]} here; it has "
                f"{', '.join(runtime.get_available_providers())}"
            )
        try:
            self._session = runtime.InferenceSession(given, settings, providers=list(providers))
        except Exception as error:  # the library's errors have no common base
            raise ValueError(f"{what} cannot be opened by ONNX Runtime: {error}") from error
        self.inputs = [value.name for value in self._session.get_inputs()]
        self.outputs = [value.name for value in self._session.get_outputs()]

    def __call__(self, **arrays: NDArray[np.int64]) -> dict[str, NDArray[np.float32]]:
        """Return the outputs by name."""
        return dict(zip(self.outputs, self._session.run(self.outputs, arrays), strict=True))


class OnnxModel:
    """Runs `model.onnx` of a folder, as `export_onnx` writes it, with ONNX Runtime.

    Args:
        name: a folder or hub id.
        threads: how many threads compute a call; by default one for each core.
        providers: what computes, by ONNX Runtime's names.
        options: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`,
            `subfolder`.

    Raises:
        ImportError: onnxruntime is not installed.
        OSError: files that cannot be found or reached.
        ValueError: a file that is damaged or of another kind, or a provider that is not there.
        TypeError: an unknown option, or threads that are no integer.

    Example:
        >>> import tempfile
        >>> from distilbert import DistilBertConfig, DistilBertModel, OnnxModel, export_onnx
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     DistilBertModel(config).save_pretrained(folder)
        ...     _ = export_onnx(folder, folder + "/onnx")
        ...     model = OnnxModel(folder + "/onnx")
        >>> model(input_ids=[[2, 7, 9, 3]])["last_hidden_state"].shape
        (1, 4, 32)
    """

    def __init__(
        self,
        name: str | os.PathLike[str],
        *,
        threads: int | None = None,
        providers: Sequence[str] = ("CPUExecutionProvider",),
        **options: Any,
    ) -> None:
        threads = optional(integer(1))("threads", threads)
        source = Source(name, **options)
        self.config: PretrainedConfig = checkpoint.open_config(source)
        self.kind = checkpoint.kind_of(source)
        path = source.require(ONNX_WEIGHTS)
        self._session = Session(path, threads or 0, providers)
        self.outputs = self._session.outputs
        strange = sorted(set(self._session.inputs) - _INPUTS)
        if strange:
            raise ValueError(
                f"{path} has an input {strange[0]}, and a model has {', '.join(sorted(_INPUTS))}: "
                "export it with `distilbert export`"
            )

    def __call__(
        self,
        input_ids: ArrayLike,
        attention_mask: ArrayLike | None = None,
        token_type_ids: ArrayLike | None = None,
    ) -> dict[str, NDArray[np.float32]]:
        """Return the outputs by name.

        Args:
            input_ids: (B, T), or (B, choices, T) of a model for multiple choice.
            attention_mask: of the same shape, 0 at padding; by default nothing is.
            token_type_ids: of the same shape, for a BERT; segment 0 by default.

        Raises:
            TypeError: ids that are no integers.
            ValueError: shapes that do not fit, more tokens than the model has positions for, or ids
                that it has no embedding for.
        """
        ids = np.asarray(input_ids)
        seen = np.ones_like(ids) if attention_mask is None else np.asarray(attention_mask) != 0
        given = {
            "input_ids": ids,
            "attention_mask": seen,
            "token_type_ids": np.zeros_like(ids) if token_type_ids is None else token_type_ids,
        }
        arrays = {name: np.asarray(given[name]) for name in self._session.inputs}
        self._check(arrays)
        return self._session(**{name: array.astype(np.int64) for name, array in arrays.items()})

    def _check(self, arrays: dict[str, NDArray[Any]]) -> None:
        config, shape = self.config, arrays["input_ids"].shape
        form = "(B, choices, T)" if self.kind == "ForMultipleChoice" else "(B, T)"
        if len(shape) != form.count(",") + 1 or 0 in shape:
            raise ValueError(f"input_ids must be {form}, and not empty; got {shape}")
        for name, values in arrays.items():
            if values.dtype.kind not in "biu":
                raise TypeError(f"{name} must be integers, got {values.dtype}")
            if values.shape != shape:
                raise ValueError(f"{name} has shape {values.shape}, input_ids {shape}")
        if shape[-1] > config.max_position_embeddings:
            raise ValueError(
                f"{shape[-1]} tokens are more than the model has positions for "
                f"({config.max_position_embeddings}): truncate the text or split it"
            )
        rows_of = {"input_ids": config.vocab_size, "token_type_ids": config.type_vocab_size}
        for name in (each for each in rows_of if each in arrays):
            values, rows = arrays[name], rows_of[name]
            if not (values.min() >= 0 and values.max() < rows):
                raise ValueError(
                    f"{name} has {values.min()} to {values.max()}; the model has embeddings for "
                    f"0 to {rows - 1}"
                )
