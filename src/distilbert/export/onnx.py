"""`export_onnx(folder, out)`: a checkpoint as an ONNX file, without PyTorch."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import distilbert
from distilbert import checkpoint
from distilbert.config import PretrainedConfig
from distilbert.export.graph import Graph
from distilbert.export.network import add_network
from distilbert.export.session import Session
from distilbert.export.weights import Weights
from distilbert.folders import staged, write_json
from distilbert.harm import Check, Harm, compare, encode, require_tolerance
from distilbert.hub import CONFIG_FILE, Source
from distilbert.tokenization import DistilBertTokenizerFast
from distilbert.tokenization.files import TOKENIZER_FILE, TOKENIZER_FILES, VOCAB_FILE, fit_to_model
from distilbert.weight_files import ONNX_WEIGHTS

PRECISIONS = ("fp32", "int8")
_OTHER_WEIGHTS = ("model*.safetensors*", "pytorch_model*.bin*", "tf_model*.h5*")


def export_onnx(
    name: str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    precision: str = "fp32",
    head: str | None = None,
    check: Iterable[Check] | None = None,
    tolerance: float = 0.1,
    **options: Any,
) -> Harm | None:
    """Write `model.onnx` for a DistilBERT or BERT with any head, with `config.json` and tokenizer.

    The file takes `input_ids` and `attention_mask`, int64 (B, T) of any size, or (B, choices, T)
    for multiple choice, and a BERT's `token_type_ids`. It gives what the model's class gives,
    float32, but for a row of which everything is masked: it sees only its first token. Linear
    layers compute nothing at padding. What only a call in Python can ask for is not in it:
    attentions, layers' hidden states, `position_ids`, `head_mask`, `inputs_embeds`.

    Args:
        name: a folder or hub id, with weights in safetensors.
        folder: made if missing; one with weights is refused, as these would be opened instead.
        precision: fp32, or int8: weights in 8 bits with a scale for each row, a quarter of the
            size, and what layers read in 8 bits with a scale for each token.
        head: the end of the class's name, such as "ForTokenClassification", or "Model" for the bare
            encoder; by default what the checkpoint says that it is.
        check: typical texts, or pairs of them, to compare the answers with those in fp32; the
            tokenizer is that of `name`.
        tolerance: largest error of a check (`distilbert.harm.Harm`) with which the file is written.
        options: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`,
            `subfolder`.

    Returns:
        What the check found, if there was one.

    Raises:
        ImportError: onnx, or for a check onnxruntime, is not installed.
        OSError: files that cannot be found, read or written.
        ValueError: an unknown precision or head; a checkpoint of another kind; weights that are
            not there, of another shape, not finite or too large for a file; a folder with weights;
            or an error above the tolerance.
        TypeError: an unknown option.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision={precision!r} must be {' or '.join(PRECISIONS)}")
    require_tolerance(tolerance)
    _refuse_weights(Path(folder))
    source = Source(name, **options)
    kind = head or checkpoint.kind_of(source)
    checkpoint.require_kind(source, kind)
    config = checkpoint.open_config(source)
    config.architectures = [("Bert" if config.type_vocab_size else "DistilBert") + kind]
    tokenizer = None
    if check is not None or source.find(TOKENIZER_FILE) or source.find(VOCAB_FILE):
        tokenizer = DistilBertTokenizerFast.from_pretrained(name, **options)
    file = _build(source, config, precision, kind)
    harm = None
    if check is not None:
        inputs = encode(check, tokenizer, config, kind == "ForMultipleChoice")
        fast = Session(file)
        exact = fast if precision == "fp32" else Session(_build(source, config, "fp32", kind))
        harm = compare(exact, fast, inputs)
        if not harm.error <= tolerance:  # so that one that is nan is too large
            raise ValueError(
                f"{source} in {precision}: {harm}; that is above the tolerance of {tolerance}: "
                "nothing was written. Keep it in fp32, or allow more"
            )
    with staged(folder, replaces=() if tokenizer is None else TOKENIZER_FILES) as scratch:
        (scratch / ONNX_WEIGHTS).write_bytes(file)
        write_json(scratch / CONFIG_FILE, config.to_diff_dict())
        if tokenizer is not None:
            tokenizer.save_pretrained(scratch)
            fit_to_model(scratch, config)
    return harm


def _refuse_weights(folder: Path) -> None:
    """Refuse a folder whose weights would be opened instead of the export, by its configuration."""
    for pattern in _OTHER_WEIGHTS:
        for path in sorted(folder.glob(pattern)):
            raise ValueError(
                f"{folder} holds weights ({path.name}), which would be opened instead of "
                f"{ONNX_WEIGHTS}: export into another folder"
            )


def _build(source: Source, config: PretrainedConfig, precision: str, kind: str) -> bytes:
    """Return the file of a checkpoint."""
    graph = Graph(int8=precision == "int8")
    add_network(graph, config, Weights(source, config), kind)
    return graph.serialize(distilbert.__version__)
