"""Names of weights: what a file calls them and what the modules call them.

The modules of DistilBERT and of BERT have one set of names, DistilBERT's. Files of BERT use
Google's; old files say gamma and beta; a file of a bare encoder has no prefix. Only strings here.
"""

import re
from collections.abc import Iterable

# The encoder's names in a BERT file and in the modules.
_BERT_ENCODER = (
    ("encoder.layer.", "transformer.layer."),
    (".attention.self.query.", ".attention.q_lin."),
    (".attention.self.key.", ".attention.k_lin."),
    (".attention.self.value.", ".attention.v_lin."),
    (".attention.output.dense.", ".attention.out_lin."),
    (".attention.output.LayerNorm.", ".sa_layer_norm."),
    (".intermediate.dense.", ".ffn.lin1."),
    (".output.dense.", ".ffn.lin2."),
    (".output.LayerNorm.", ".output_layer_norm."),
)
# The masked-LM head's.
_BERT_HEAD = (
    ("cls.predictions.transform.dense.", "vocab_transform."),
    ("cls.predictions.transform.LayerNorm.", "vocab_layer_norm."),
    ("cls.predictions.decoder.", "vocab_projector."),
)
# The decoder's bias has two names: one parameter where the decoder is tied; where it is not,
# transformers 5 has two and computes with the second.
BERT_BIAS, BERT_DECODER_BIAS = "cls.predictions.bias", "cls.predictions.decoder.bias"
_ENCODER_PARTS = ("embeddings.", "transformer.", "pooler.")
_BUFFERS = ("embeddings.position_ids", "embeddings.token_type_ids")

# The last part of Keras's names.
_KERAS = {"kernel": "weight", "embeddings": "weight", "gamma": "weight", "beta": "bias"}

TOKEN_TYPES = "embeddings.token_type_embeddings.weight"
POSITIONS = "embeddings.position_embeddings.weight"
WORDS = "embeddings.word_embeddings.weight"
DECODER = "vocab_projector.weight"  # of masked LMs; where it is tied, the word embeddings


def from_file(name: str) -> str | None:
    """Return the module's name, without the encoder's prefix, for a name in any file.

    None for a buffer that old files carry and no model needs.

    >>> from_file("bert.encoder.layer.0.attention.self.query.weight")
    'transformer.layer.0.attention.q_lin.weight'
    >>> from_file("distilbert.embeddings.LayerNorm.gamma")
    'embeddings.LayerNorm.weight'
    """
    name = re.sub(r"^(distilbert|bert)\.", "", name)
    name = re.sub(r"\.gamma$", ".weight", name)
    name = re.sub(r"\.beta$", ".bias", name)
    if name in _BUFFERS:
        return None
    if name == BERT_BIAS:
        return "vocab_projector.bias"
    for theirs, ours in _BERT_HEAD:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    if name.startswith("encoder.layer."):
        for theirs, ours in _BERT_ENCODER:
            name = name.replace(theirs, ours)
    return name


def by_module_name(weights: Iterable[str]) -> dict[str, str]:
    """Map module names, without prefix, to the names in the files."""
    names: dict[str, str] = {}
    for file_name in sorted(weights, key=lambda name: name == BERT_BIAS):
        key = from_file(file_name)
        if key is not None:
            names.setdefault(key, file_name)
    return names


def from_keras_file(name: str) -> tuple[str, bool]:
    """Return PyTorch's name for one of Keras's, and whether the matrix is to be transposed.

    >>> from_keras_file("distilbert/transformer/layer_._0/ffn/lin1/kernel:0")
    ('distilbert.transformer.layer.0.ffn.lin1.weight', True)
    """
    *parts, last = name.removesuffix(":0").split("/")
    numbered = (re.sub(r"_\._(\d+)$", r".\1", part) for part in parts)  # layer_._0
    return ".".join([*numbered, _KERAS.get(last, last)]), last == "kernel"


def is_encoder(name: str) -> bool:
    """Whether a module's name, without prefix, belongs to the encoder and not to a head."""
    return name.startswith(_ENCODER_PARTS)


def are_bert(names: Iterable[str]) -> bool:
    """Whether these names in a file are those of a BERT's layers."""
    return any("encoder.layer." in name for name in names)


def to_bert_file(name: str) -> str:
    """Return the name in a BERT file for a module's name, prefix included if it has one.

    >>> to_bert_file("bert.transformer.layer.0.sa_layer_norm.bias")
    'bert.encoder.layer.0.attention.output.LayerNorm.bias'
    """
    if name == "vocab_projector.bias":
        return BERT_BIAS
    for theirs, ours in _BERT_HEAD:
        if name.startswith(ours):
            return theirs + name.removeprefix(ours)
    if "transformer.layer." in name:
        for theirs, ours in _BERT_ENCODER:
            name = name.replace(ours, theirs)
    return name
