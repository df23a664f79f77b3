"""What may be in the place of a model; PyTorch's become functions of arrays here, and only here."""

import os
from dataclasses import replace
from typing import Any

from distilbert.checkpoint import require_kind
from distilbert.extras import require
from distilbert.hub import CONFIG_FILE, REACH, Source
from distilbert.weight_files import ONNX_WEIGHTS, find_weights

HEAD_NAMES = {
    "ForMaskedLM": "a masked-LM head",
    "ForSequenceClassification": "a sequence-classification head",
    "ForMultipleChoice": "a multiple-choice head",
    "ForTokenClassification": "a token-classification head",
    "ForQuestionAnswering": "a question-answering head",
    "Model": "no head",
}


def check_head(model: Any, head: str, task: str) -> None:
    """Raise ValueError if a model is of a class with another head; a callable may be anything."""
    kind = _class_of(model)
    for cls in kind.__mro__:
        for other, name in HEAD_NAMES.items():
            if cls.__name__ in (f"DistilBert{other}", f"Bert{other}") and other != head:
                remedy = "; pass model.base_model" if head == "Model" else ""
                raise ValueError(
                    f"{task} needs {HEAD_NAMES[head]}, and {kind.__name__} has {name}{remedy}"
                )


def _class_of(model: Any) -> type:
    """Return the class of a model; of a prepared one that of the model it was made from."""
    return getattr(model, "model_class", type(model))


def as_arrays(model: Any) -> Any:
    """Make a function of arrays of a PyTorch model, prepared or not.

    Anything else is called as it is.

    Raises:
        TypeError: it cannot be called.
    """
    kinds = {f"{cls.__module__}.{cls.__name__}" for cls in _class_of(model).__mro__}
    if "torch.nn.modules.module.Module" in kinds:
        from distilbert.modeling.arrays import ArrayModel

        return ArrayModel(model)
    if not callable(model):
        raise TypeError(
            f"expected a model, or a callable in its place, not of type {type(model).__name__}; "
            "distilbert.pipeline(task, folder) opens a folder, and a function of input_ids and "
            "attention_mask can be made of anything that computes logits"
        )
    return model


def torch_device(device: Any) -> Any:
    """Return the name that PyTorch has of a device; -1 is transformers' of the CPU."""
    return "cpu" if device == -1 else device


def move(model: Any, device: Any) -> None:
    """Move a PyTorch model to a device.

    Raises:
        ValueError: there is no such device.
        TypeError: it is none of PyTorch.
        AttributeError: it is prepared, for another device.
    """
    arrays = as_arrays(model)
    if arrays is model:
        raise TypeError(
            f"device={device!r} is for models of PyTorch, and {type(model).__name__} says itself "
            "where it computes: leave device out"
        )
    arrays.to(torch_device(device))


def open_model(name: str | os.PathLike[str], head: str, **options: Any) -> Any:
    """Open a folder or hub repository in PyTorch; options as `from_pretrained` or `load` take.

    With a `precision` it is opened for inference only, by `distilbert.load`. Where there is only an
    exported `model.onnx`, ONNX Runtime opens it; `threads` is then the one option.

    Raises:
        ImportError: torch, or onnxruntime, is not installed.
        OSError: it cannot be found.
        ValueError: it is no DistilBERT or BERT, or has another head.
        TypeError: an option that an exported model has not.
    """
    source = Source.reached(name, options)
    if is_exported(source):
        from distilbert.export import OnnxModel

        fixed = sorted(options.keys() - REACH - {"threads"})
        if fixed:
            raise TypeError(f"{source} is an ONNX file, for which {fixed[0]} cannot be chosen")
        require_kind(source, head)
        return OnnxModel(name, **options)
    if "precision" not in options and (stray := sorted({"engine", "threads"} & options.keys())):
        raise TypeError(
            f"{stray[0]} is an option of prepared models: say precision=… with it, such as "
            'precision="fp32"'
        )
    require("torch")
    if "precision" in options:
        from distilbert.inference import load

        return load(name, head=head, **options)
    from distilbert.modeling.arrays import open_unpadded

    return open_unpadded(name, head, **options)


def prepared_options(name: str, options: dict[str, Any]) -> dict[str, Any]:
    """Return options of `open_model` that prepare a model, in fp32 unless they say otherwise.

    What is to be opened as it is, with a dtype, stays so, and so does an export.
    """
    if "dtype" in options or is_exported(Source(name)):
        return options
    return {"precision": "fp32"} | options


def is_exported(source: Source) -> bool:
    """Whether there is an ONNX file and nothing that PyTorch would open."""
    known = replace(source, force_download=False)  # what opens them fetches them anew
    try:
        find_weights(known)
    except OSError:
        known.find(CONFIG_FILE)  # what has not even that is not there, which an error then says
        return known.find(ONNX_WEIGHTS) is not None
    return False
