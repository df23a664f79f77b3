"""`distilbert export`: a model as a folder that runs without PyTorch."""

import logging
from dataclasses import dataclass
from pathlib import Path

from distilbert.export import export_onnx
from distilbert.hub import Source
from distilbert.pipelines.records import read_records
from distilbert.tokenization import DistilBertTokenizerFast
from distilbert.weight_files import ONNX_WEIGHTS, find_weights

_logger = logging.getLogger("distilbert")


@dataclass
class Settings:
    """Write a model as ONNX, with configuration and tokenizer, to run without PyTorch.

    Args:
        model: folder or hub id of a BERT or DistilBERT, with its tokenizer.
        out: folder to write to; one with weights is refused, as these would be opened instead.
        precision: number format of the weights: fp32, or int8, in a quarter of the size.
        head: head of the model: the end of its class's name, such as ForTokenClassification, or
            Model for the bare encoder; by default what the checkpoint says that it is.
        check: text file of typical texts, one per line, whose answers are compared with those in
            fp32; by default nothing is compared.
        tolerance: largest relative error in a check with which the model is still written.
    """

    model: str
    out: str
    precision: str = "fp32"
    head: str | None = None
    check: str | None = None
    tolerance: float = 0.1


def main(settings: Settings) -> Path:
    """Export, and return the folder.

    Raises:
        ImportError: the extra `onnx` is not installed.
        OSError: a file or folder cannot be found, read or written.
        ValueError: as `export_onnx` raises it.
    """
    DistilBertTokenizerFast.from_pretrained(settings.model)  # without one, nothing could be asked
    texts = None if settings.check is None else _texts_of(settings.check)
    harm = export_onnx(
        settings.model,
        settings.out,
        precision=settings.precision,
        head=settings.head,
        check=texts,
        tolerance=settings.tolerance,
    )
    path = Path(settings.out) / ONNX_WEIGHTS
    if harm is not None:
        found = f"; against fp32 on {len(texts or ())} texts: {harm}"
    elif settings.precision == "fp32":
        found = ""  # equal up to rounding
    else:
        found = "; not checked: do so with --check TEXTS, or `distilbert evaluate` on labelled data"
    _logger.info(
        "%s: %.1f MB in %s, from %.1f MB of weights%s",
        path,
        path.stat().st_size / 1e6,
        settings.precision,
        sum(file.stat().st_size for file in find_weights(Source(settings.model))) / 1e6,
        found,
    )
    return Path(settings.out)


def _texts_of(file: str) -> list[str]:
    texts = [record["text"] for _, record in read_records(file, "txt")]
    texts = [text for text in texts if text.strip()]
    if not texts:
        raise ValueError(f"{file} has no text")
    return texts
