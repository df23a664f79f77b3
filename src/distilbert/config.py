"""The two configurations: what is in `config.json`, with checks. No framework is imported here."""

from collections.abc import Sequence
from typing import Any, ClassVar

from distilbert import fields
from distilbert.fields import Check
from distilbert.pretrained_config import PretrainedConfig as PretrainedConfig

__all__ = ["BertConfig", "DistilBertConfig"]


class DistilBertConfig(PretrainedConfig):
    """The shape of a DistilBERT; the defaults are those of distilbert-base-uncased.

    Args:
        vocab_size: entries of the vocabulary.
        max_position_embeddings: longest sequence in tokens.
        sinusoidal_pos_embds: positions are fixed sines and cosines instead of learned.
        n_layers: transformer layers.
        n_heads: attention heads; must divide `dim`.
        dim: width of the hidden states.
        hidden_dim: width inside the feed-forward layers.
        dropout: dropout after the embeddings and the feed-forward layers.
        attention_dropout: dropout on the attention weights.
        activation: gelu | gelu_new | gelu_pytorch_tanh | quick_gelu | relu | silu | swish | tanh.
        initializer_range: standard deviation of new weights.
        qa_dropout: dropout before the question-answering head.
        seq_classif_dropout: dropout in the classification and multiple-choice heads.
        pad_token_id: id of the padding token; its embedding is not trained.
        kwargs: the fields of `distilbert.pretrained_config.PretrainedConfig`. `hidden_size`,
            `num_attention_heads` and `num_hidden_layers` are other names of `dim`, `n_heads` and
            `n_layers`.

    Raises:
        TypeError, ValueError: a value that is of the wrong type or not possible.

    Example:
        >>> config = DistilBertConfig(n_layers=3, dim=384, n_heads=6, hidden_dim=1536)
        >>> config.hidden_size, config.num_hidden_layers, config.num_labels
        (384, 3, 2)
    """

    model_type = "distilbert"
    aliases: ClassVar[dict[str, str]] = {
        "hidden_size": "dim",
        "num_attention_heads": "n_heads",
        "num_hidden_layers": "n_layers",
    }
    attribute_map = aliases
    checks: ClassVar[dict[str, Check]] = {
        "vocab_size": fields.integer(1),
        "max_position_embeddings": fields.integer(1),
        "sinusoidal_pos_embds": fields.boolean,
        "n_layers": fields.integer(1, fields.MOST_LAYERS),
        "n_heads": fields.integer(1),
        "dim": fields.integer(1, fields.MOST_WIDTH),
        "hidden_dim": fields.integer(1, fields.MOST_WIDTH),
        "dropout": fields.number(0, 1),
        "attention_dropout": fields.number(0, 1),
        "activation": fields.one_of(*fields.ACTIVATIONS),
        "initializer_range": fields.number(0, float("inf")),
        "qa_dropout": fields.number(0, 1),
        "seq_classif_dropout": fields.number(0, 1),
        "pad_token_id": fields.optional(fields.integer(0)),
    }
    # What BERT's configuration may choose and DistilBERT's may not.
    type_vocab_size = 0
    layer_norm_eps = 1e-12

    qa_dropout: float
    seq_classif_dropout: float

    def __init__(
        self,
        vocab_size: int = 30522,
        max_position_embeddings: int = 512,
        sinusoidal_pos_embds: bool = False,
        n_layers: int = 6,
        n_heads: int = 12,
        dim: int = 768,
        hidden_dim: int = 4 * 768,
        dropout: float = 0.1,
        attention_dropout: float = 0.1,
        activation: str = "gelu",
        initializer_range: float = 0.02,
        qa_dropout: float = 0.1,
        seq_classif_dropout: float = 0.2,
        pad_token_id: int | None = 0,
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.max_position_embeddings = max_position_embeddings
        self.sinusoidal_pos_embds = sinusoidal_pos_embds
        self.n_layers = n_layers
        self.n_heads = n_heads
        self.dim = dim
        self.hidden_dim = hidden_dim
        self.dropout = dropout
        self.attention_dropout = attention_dropout
        self.activation = activation
        self.initializer_range = initializer_range
        self.qa_dropout = qa_dropout
        self.seq_classif_dropout = seq_classif_dropout
        self.pad_token_id = pad_token_id
        super().__init__(**kwargs)


class BertConfig(PretrainedConfig):
    """The shape of a BERT, as a teacher; the defaults are those of bert-base-uncased.

    Its fields also answer to DistilBERT's names (`dim`, `n_layers`, …), which is what the shared
    encoder reads.

    Args:
        type_vocab_size: kinds of segments.
        layer_norm_eps: added to the variance in layer normalisation.
        classifier_dropout: dropout before a classification head; None is `hidden_dropout_prob`.
        position_embedding_type: "absolute"; the relative kinds are refused.
        kwargs: the fields of `distilbert.pretrained_config.PretrainedConfig`.

    Raises:
        TypeError, ValueError: a value that is of the wrong type or not possible, or a decoder or
            relative positions, which this encoder does not have.

    Example:
        >>> config = BertConfig(num_hidden_layers=4)
        >>> config.n_layers, config.dim
        (4, 768)
    """

    model_type = "bert"
    aliases: ClassVar[dict[str, str]] = {
        "dim": "hidden_size",
        "n_layers": "num_hidden_layers",
        "n_heads": "num_attention_heads",
        "hidden_dim": "intermediate_size",
        "activation": "hidden_act",
        "dropout": "hidden_dropout_prob",
        "attention_dropout": "attention_probs_dropout_prob",
    }
    attribute_map = aliases
    checks: ClassVar[dict[str, Check]] = {
        "vocab_size": fields.integer(1),
        "hidden_size": fields.integer(1, fields.MOST_WIDTH),
        "num_hidden_layers": fields.integer(1, fields.MOST_LAYERS),
        "num_attention_heads": fields.integer(1),
        "intermediate_size": fields.integer(1, fields.MOST_WIDTH),
        "hidden_act": fields.one_of(*fields.ACTIVATIONS),
        "hidden_dropout_prob": fields.number(0, 1),
        "attention_probs_dropout_prob": fields.number(0, 1),
        "max_position_embeddings": fields.integer(1),
        "type_vocab_size": fields.integer(1),
        "initializer_range": fields.number(0, float("inf")),
        "layer_norm_eps": fields.number(0, 1),
        "pad_token_id": fields.optional(fields.integer(0)),
        "classifier_dropout": fields.optional(fields.number(0, 1)),
        "position_embedding_type": fields.one_of("absolute"),
    }
    sinusoidal_pos_embds = False

    classifier_dropout: float | None

    def __init__(
        self,
        vocab_size: int = 30522,
        hidden_size: int = 768,
        num_hidden_layers: int = 12,
        num_attention_heads: int = 12,
        intermediate_size: int = 3072,
        hidden_act: str = "gelu",
        hidden_dropout_prob: float = 0.1,
        attention_probs_dropout_prob: float = 0.1,
        max_position_embeddings: int = 512,
        type_vocab_size: int = 2,
        initializer_range: float = 0.02,
        layer_norm_eps: float = 1e-12,
        pad_token_id: int | None = 0,
        classifier_dropout: float | None = None,
        position_embedding_type: str = "absolute",
        **kwargs: Any,
    ) -> None:
        self.vocab_size = vocab_size
        self.hidden_size = hidden_size
        self.num_hidden_layers = num_hidden_layers
        self.num_attention_heads = num_attention_heads
        self.intermediate_size = intermediate_size
        self.hidden_act = hidden_act
        self.hidden_dropout_prob = hidden_dropout_prob
        self.attention_probs_dropout_prob = attention_probs_dropout_prob
        self.max_position_embeddings = max_position_embeddings
        self.type_vocab_size = type_vocab_size
        self.initializer_range = initializer_range
        self.layer_norm_eps = layer_norm_eps
        self.pad_token_id = pad_token_id
        self.classifier_dropout = classifier_dropout
        self.position_embedding_type = position_embedding_type
        super().__init__(**kwargs)

    def validate(self) -> None:
        """Check the fields against each other; a decoder is refused."""
        super().validate()
        extra = self.__dict__.get("_extra", {})
        for name in ("is_decoder", "add_cross_attention"):
            if extra.get(name):
                raise ValueError(f"{name} is set: this is an encoder, decoders are not read")

    def to_distilbert(self) -> DistilBertConfig:
        """Return the configuration of the DistilBERT that this BERT is on segment 0.

        Raises:
            ValueError: `layer_norm_eps` is not 1e-12: DistilBERT's files cannot say another.
        """
        if self.layer_norm_eps != DistilBertConfig.layer_norm_eps:
            raise ValueError(
                f"this BERT has layer_norm_eps {self.layer_norm_eps}, a DistilBERT always has "
                f"{DistilBertConfig.layer_norm_eps}: the outputs would differ. "
                "Keep it a BERT (BertModel and its heads)."
            )
        shared = set(DistilBertConfig.checks) - {
            "sinusoidal_pos_embds",
            "qa_dropout",
            "seq_classif_dropout",
        }
        content = {n: getattr(self, n) for n in shared | set(self._base_checks)}
        return DistilBertConfig(**content)


def student_config(
    teacher: PretrainedConfig, layers: Sequence[int], **changes: Any
) -> DistilBertConfig:
    """Return the configuration of a DistilBERT like a teacher, of some of its layers.

    Args:
        layers: of the teacher, from 0, in order; their heads stay pruned.
        changes: fields to replace.

    Raises:
        ValueError: a layer that the teacher does not have, no layer, or a BERT that a DistilBERT
            cannot follow (`to_distilbert`).
    """
    count = teacher.n_layers
    if not layers or any(not 0 <= layer < count for layer in layers):
        raise ValueError(
            f"the student's layers must be some of 0 to {count - 1}, the teacher's; got "
            f"{list(layers)}"
        )
    own = teacher.to_distilbert() if isinstance(teacher, BertConfig) else teacher
    pruned = teacher.pruned_heads
    content = own.to_dict()
    content.update(
        n_layers=len(layers),
        architectures=None,
        pruned_heads={i: pruned[layer] for i, layer in enumerate(layers) if layer in pruned},
        output_attentions=False,  # what the teacher was to show says nothing about its student
        output_hidden_states=False,
    )
    return DistilBertConfig.from_dict({**content, **changes})
