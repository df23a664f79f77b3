"""A model of either kind, BERT or DistilBERT, opened by the class that fits it."""

from typing import Any

from distilbert.checkpoint import NOT_TRAINED, is_bert, require_kind
from distilbert.hub import Source
from distilbert.modeling import bert, distilbert
from distilbert.modeling.heads import MaskedLM
from distilbert.modeling.pretrained import PreTrainedModel


def _class_of(source: Source, kind: str) -> type[Any]:
    if is_bert(source):
        return getattr(bert, f"Bert{kind}")
    return getattr(distilbert, f"DistilBert{kind}")


def class_for(source: Source, kind: str) -> type[PreTrainedModel]:
    """Return the class that opens a checkpoint with a head, one of `KINDS`, or bare ("Model").

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither a BERT nor a DistilBERT, or has another head.
    """
    require_kind(source, kind)
    return _class_of(source, kind)


def refuse_missing(source: Source, cls: type, info: dict[str, list[Any]]) -> None:
    """Raise ValueError if weights, but the pooler's, were not in the files.

    Args:
        info: as `from_pretrained` returns it.
    """
    missing = [key for key in info["missing_keys"] if not key.startswith("pooler.")]
    if missing:
        raise ValueError(
            f"{source} is not a whole {cls.__name__}: {missing[0]} is missing; {NOT_TRAINED}"
        )


def open_whole(source: Source, kind: str, **options: Any) -> Any:
    """Open a model with the head that it was saved with, one of `KINDS`, or bare ("Model").

    Args:
        options: of `from_pretrained`.

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither a BERT nor a DistilBERT, has another head, or lacks weights.
    """
    cls: type[Any] = class_for(source, kind)
    model, info = cls.from_pretrained(source.name, output_loading_info=True, **options)
    refuse_missing(source, cls, info)
    return model


_HEAD_LAYERS = {
    "pooler", "pre_classifier", "classifier", "qa_outputs",
    "vocab_transform", "vocab_layer_norm", "vocab_projector",
}  # fmt: skip


def _open(cls: type[Any], name: str, **options: Any) -> tuple[Any, list[str]]:
    """Open a model whose encoder is whole; return also what had to be drawn of its head.

    Raises:
        ValueError: the encoder lacks weights.
    """
    model, info = cls.from_pretrained(name, output_loading_info=True, **options)
    new = [*info["missing_keys"], *(key for key, *_ in info["mismatched_keys"])]
    rest = [key for key in new if _HEAD_LAYERS.isdisjoint(key.split("."))]
    if rest:
        raise ValueError(f"{name} is not a whole model: {rest[0]} is missing or of another shape")
    return model, new


def open_masked_lm(name: str, *, needs_head: bool = True, **options: Any) -> MaskedLM:
    """Open a masked LM, BERT or DistilBERT; its encoder has to be whole.

    Args:
        needs_head: False draws a new head where the checkpoint has none, as a bare encoder.
        options: of `from_pretrained`. Fields of the configuration go by DistilBERT's names.

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither kind, or has no masked-LM head, or lacks weights.
    """
    model, new = _open(_class_of(Source(name), "ForMaskedLM"), name, **options)
    if new and needs_head:
        raise ValueError(
            f"{name} has no masked-LM head ({new[0]} is missing): distilbert pretrain --model "
            f"{name} gives it one; distill needs none with --ce 0"
        )
    return model


def open_head(name: str, kind: str, *, is_trained: bool = False, **options: Any) -> PreTrainedModel:
    """Open a model with a head of a task, BERT or DistilBERT; its encoder has to be whole.

    A head that the checkpoint lacks, or has for other labels, is drawn anew.

    Args:
        kind: one of `KINDS`, or "Model" for the encoder without a head.
        is_trained: refuse a checkpoint that has no such head, another, or one of another size.
        options: of `from_pretrained`. Fields of the configuration go by DistilBERT's names.

    Raises:
        OSError: it cannot be found.
        ValueError: it is neither kind, lacks weights, or is trained for another head.
    """
    source = Source(name)
    cls: type[Any] = (class_for if is_trained else _class_of)(source, kind)
    model, new = _open(cls, name, ignore_mismatched_sizes=True, **options)
    if new and is_trained and kind != "Model":
        head = kind.removeprefix("For")
        raise ValueError(f"{name} has no {head} head ({new[0]} is missing): fine-tune it first")
    return model
