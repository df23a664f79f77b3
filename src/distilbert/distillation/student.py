"""A student made of its teacher: the chosen layers, the embeddings, the head."""

from collections.abc import Sequence
from typing import Any

import torch

from distilbert.config import BertConfig, DistilBertConfig
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


def student_config(teacher: PreTrainedModel, layers: int, **changes: Any) -> DistilBertConfig:
    """Return the configuration of a DistilBERT like the teacher, with so many layers.

    Args:
        changes: fields to replace.

    Raises:
        ValueError: the teacher is a BERT that a DistilBERT cannot follow (`to_distilbert`).
    """
    config = teacher.config
    own = config.to_distilbert() if isinstance(config, BertConfig) else config
    content = own.to_dict()
    content.update(
        n_layers=layers,
        architectures=None,
        pruned_heads={},
        output_attentions=False,  # what the teacher was to show says nothing about its student
        output_hidden_states=False,
    )
    return DistilBertConfig.from_dict({**content, **changes})


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
        ValueError: a layer that the teacher does not have, or no layer.
    """
    count = teacher.config.n_layers
    if not layers or any(not 0 <= layer < count for layer in layers):
        raise ValueError(
            f"the student's layers must be some of 0 to {count - 1}, the teacher's; got "
            f"{list(layers)}"
        )
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
    pruned = teacher.config.pruned_heads
    changes["pruned_heads"] = {i: pruned[each] for i, each in enumerate(layers) if each in pruned}
    with torch.device("meta"):
        student = DistilBertForMaskedLM(student_config(teacher, len(layers), **changes))
    load_weights(
        student,
        weights,
        name="the teacher",
        dtype=torch.float32,
        device=teacher.device,
        ignore_mismatched_sizes=False,
    )
    return student
