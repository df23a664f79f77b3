"""A student made of its teacher: the chosen layers, the embeddings, the head."""

from collections.abc import Sequence
from typing import Any

import torch

from distilbert.config import BertConfig, student_config
from distilbert.keymap import to_bert_file
from distilbert.modeling.distilbert import DistilBertForMaskedLM
from distilbert.modeling.loading import load_weights
from distilbert.modeling.pretrained import PreTrainedModel

# The original code's choice for BERT-base.
_OF_TWELVE = [0, 2, 4, 7, 9, 11]


def default_layers(teacher_layers: int) -> list[int]:
    """Return the teacher's layers that a student keeps: one out of two.

    >>> default_layers(12), default_layers(6), default_layers(3)
    ([0, 2, 4, 7, 9, 11], [0, 2, 4], [0, 2])
    """
    return _OF_TWELVE if teacher_layers == 12 else list(range(0, teacher_layers, 2))


def from_teacher(
    teacher: PreTrainedModel, layers: Sequence[int], **changes: Any
) -> DistilBertForMaskedLM:
    """Make a student of the teacher's layers, embeddings and masked-LM head.

    A BERT's embedding of token type 0, which it adds to every token, is folded into the positions;
    the original code forgot it. What the teacher lacks, as a head, is drawn as in a new model.

    Args:
        layers: of the teacher, from 0, in order.
        changes: fields of the configuration to replace.

    Raises:
        ValueError: as `student_config`.
    """
    config = student_config(teacher.config, layers, **changes)
    prefix = "transformer.layer."
    weights = {}
    for name, tensor in teacher.state_dict().items():
        short = name.removeprefix(f"{teacher.base_model_prefix}.")
        if not short.startswith(prefix):
            weights[short] = tensor
            continue
        number, _, rest = short.removeprefix(prefix).partition(".")
        for own, layer in enumerate(layers):
            if int(number) == layer:
                weights[f"{prefix}{own}.{rest}"] = tensor
    if isinstance(teacher.config, BertConfig):
        weights = {to_bert_file(name): tensor for name, tensor in weights.items()}
    with torch.device("meta"):
        student = DistilBertForMaskedLM(config)
    load_weights(
        student,
        weights,
        name="the teacher",
        dtype=torch.float32,
        device=teacher.device,
        ignore_mismatched_sizes=False,
    )
    return student
