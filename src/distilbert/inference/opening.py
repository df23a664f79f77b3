"""`load(folder)`: a checkpoint into a prepared model, without a second copy of its weights."""

import os
from collections.abc import Iterable
from typing import Any

import torch

from distilbert.checkpoint import kind_of, read_config
from distilbert.harm import Check
from distilbert.hub import REACH, Source
from distilbert.inference.prepared import PreparedModel
from distilbert.inference.preparing import prepare
from distilbert.modeling import files, loading
from distilbert.modeling.opening import class_for, refuse_missing
from distilbert.native.memory import give_back
from distilbert.tokenization import DistilBertTokenizerFast


def load(
    name: str | os.PathLike[str],
    precision: str = "fp32",
    *,
    head: str | None = None,
    threads: int | None = None,
    device: torch.device | str | int = "cpu",
    check: Iterable[Check] | None = None,
    tolerance: float = 0.1,
    engine: str = "auto",
    **options: Any,
) -> PreparedModel:
    """Open a DistilBERT or BERT for inference only.

    Weights are read from the files layer by layer: no second copy of them is ever in memory.

    Args:
        name: a folder or hub id.
        precision: as for `prepare`.
        head: the end of the class's name, such as "ForTokenClassification", or "Model" for the bare
            encoder; by default what the checkpoint says that it is.
        threads: how many threads PyTorch uses from now on, in the whole process.
        device: where it computes.
        check, tolerance: as for `prepare`; the tokenizer is that of the folder. While it checks,
            the weights are in memory in fp32 as well.
        engine: as for `prepare`.
        options: `cache_dir`, `force_download`, `local_files_only`, `token`, `revision`,
            `subfolder`.

    Raises:
        OSError: files that cannot be found or reached.
        ValueError: files that are damaged or of another kind, a checkpoint that does not say what
            it is or has not this head, an unknown precision, or a device that is not there.
        TypeError: an unknown option.

    Example:
        >>> import tempfile, torch
        >>> from distilbert import DistilBertConfig, DistilBertForTokenClassification, load
        >>> config = DistilBertConfig(vocab_size=100, n_layers=2, n_heads=2, dim=32, hidden_dim=64)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     DistilBertForTokenClassification(config).save_pretrained(folder)
        ...     tagger = load(folder)
        >>> tagger(torch.tensor([[2, 7, 9, 3]])).logits.shape
        torch.Size([1, 4, 2])
    """
    unknown = sorted(options.keys() - REACH)
    if unknown:
        raise TypeError(f"load has no option {unknown[0]!r}; it has {', '.join(sorted(REACH))}")
    place = loading.choose_device(device)
    if threads is not None:
        if threads < 1:
            raise ValueError(f"threads={threads} must be at least 1")
        torch.set_num_threads(threads)
    source = Source(name, **options)
    cls = class_for(source, head or kind_of(source))
    config = read_config(source, cls.config_class, {})
    weights = files.read_weights(source)
    with torch.device("meta"):
        model = cls(config)
    info = loading.load_weights(
        model,
        weights,
        name=str(source),
        dtype=torch.float32,
        device=torch.device("cpu"),
        ignore_mismatched_sizes=False,
        share=True,
    )
    refuse_missing(source, cls, info)
    model.to(place)
    tokenizer = None
    if check is not None:
        tokenizer = DistilBertTokenizerFast.from_pretrained(name, **options)
    prepared = prepare(
        model, precision, check=check, tokenizer=tokenizer, tolerance=tolerance, engine=engine
    )
    give_back()
    return prepared
