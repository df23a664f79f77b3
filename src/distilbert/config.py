"""Model configurations: what is in `config.json`, with checks. No framework is imported here."""

import copy
import difflib
import math
import operator
import os
import warnings
from collections.abc import Callable, Mapping
from numbers import Real
from pathlib import Path
from typing import Any, ClassVar, Self

from distilbert.hub import (
    CONFIG_FILE,
    Source,
    json_text,
    push_folder,
    read_json,
    staged,
    write_json,
)

__all__ = ["BertConfig", "DistilBertConfig"]

ACTIVATIONS = (
    "gelu",
    "gelu_new",
    "gelu_pytorch_tanh",
    "quick_gelu",
    "relu",
    "silu",
    "swish",
    "tanh",
)
ATTENTION = ("eager", "sdpa", "varlen")
PROBLEM_TYPES = ("regression", "single_label_classification", "multi_label_classification")

Check = Callable[[str, Any], Any]


# Far above any real model: a file that asks for more would only exhaust the memory.
MOST_LAYERS = 1_000
MOST_LABELS = 10_000_000


def _integer(least: int, most: int = 2**31 - 1) -> Check:
    def check(name: str, value: Any) -> int:
        if isinstance(value, bool):
            raise TypeError(f"{name} must be an integer, got {value!r}")
        try:
            number = operator.index(value)
        except TypeError:
            raise TypeError(f"{name} must be an integer, got {value!r}") from None
        if number < least:
            raise ValueError(f"{name} must be at least {least}, got {number}")
        if number > most:
            raise ValueError(f"{name} must be at most {most}, got {number}")
        return number

    return check


def _number(least: float, most: float) -> Check:
    def check(name: str, value: Any) -> float:
        if isinstance(value, bool) or not isinstance(value, Real):
            raise TypeError(f"{name} must be a number, got {value!r}")
        number = float(value)
        if not least <= number <= most or math.isinf(number):
            raise ValueError(f"{name} must be between {least} and {most}, got {value!r}")
        return number

    return check


def _boolean(name: str, value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError(f"{name} must be true or false, got {value!r}")
    return value


def _one_of(*allowed: str) -> Check:
    def check(name: str, value: Any) -> str:
        if not isinstance(value, str) or value not in allowed:
            raise ValueError(f"{name} must be one of {', '.join(allowed)}; got {value!r}")
        return value

    return check


def _optional(inner: Check) -> Check:
    def check(name: str, value: Any) -> Any:
        return None if value is None else inner(name, value)

    return check


def _strings(name: str, value: Any) -> list[str]:
    if not isinstance(value, list | tuple) or not all(isinstance(v, str) for v in value):
        raise TypeError(f"{name} must be a list of strings, got {value!r}")
    return list(value)


def _dtype_name(name: str, value: Any) -> str:
    """Return "float32" for "float32", "torch.float32" and `torch.float32`."""
    text = str(value).removeprefix("torch.")
    if text not in ("float32", "float16", "bfloat16", "float64"):
        raise ValueError(f"{name} must be float32, float16, bfloat16 or float64; got {value!r}")
    return text


def _label_names(name: str, value: Any) -> dict[int, str]:
    try:
        names = {int(index): str(label) for index, label in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"{name} must map label numbers to names, got {value!r}") from None
    if not names:
        raise ValueError(f"{name} must name at least one label")
    return dict(sorted(names.items()))  # a JSON file has 10 before 2


def _label_numbers(name: str, value: Any) -> dict[str, int]:
    try:
        return {str(label): int(index) for label, index in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"{name} must map label names to numbers, got {value!r}") from None


def _heads_by_layer(name: str, value: Any) -> dict[int, list[int]]:
    try:
        return {int(layer): sorted({int(h) for h in heads}) for layer, heads in value.items()}
    except (AttributeError, TypeError, ValueError):
        raise TypeError(f"{name} must map layer numbers to lists of heads, got {value!r}") from None


def _agree_on_labels(count: int | None, names: Mapping[int, str]) -> None:
    if count is not None and count != len(names):
        raise ValueError(f"num_labels is {count}, but id2label names {len(names)} labels")


class PretrainedConfig:
    """The fields that every model has, and everything a configuration can do.

    A key that no field has (from a file, or a keyword) is kept as an attribute and written again.

    Args:
        output_hidden_states: return the hidden states of every layer by default.
        output_attentions: return the attention weights by default.
        return_dict: return a `ModelOutput` by default, else a tuple.
        num_labels: size of a classification head (2 unless `id2label` says otherwise).
        id2label: names of the labels.
        label2id: the inverse; made from `id2label` when absent.
        problem_type: regression | single_label_classification | multi_label_classification;
            None decides by `num_labels` and the labels' type.
        tie_word_embeddings: the masked-LM decoder shares the word embeddings.
        chunk_size_feed_forward: tokens that go through the feed-forward layer at a time; 0 is all.
        architectures: class names that a file was written by.
        dtype: type of the weights in the file, by name.
        pruned_heads: heads removed, by layer.
        attn_implementation: eager | sdpa | varlen; a choice of the run, never written to a file.
        name_or_path: where it came from; never written to a file.
    """

    model_type: ClassVar[str] = ""
    aliases: ClassVar[dict[str, str]] = {}
    checks: ClassVar[dict[str, Check]] = {}
    _base_checks: ClassVar[dict[str, Check]] = {
        "output_hidden_states": _boolean,
        "output_attentions": _boolean,
        "return_dict": _boolean,
        "id2label": _label_names,
        "label2id": _label_numbers,
        "problem_type": _optional(_one_of(*PROBLEM_TYPES)),
        "tie_word_embeddings": _boolean,
        "chunk_size_feed_forward": _integer(0),
        "architectures": _optional(_strings),
        "dtype": _optional(_dtype_name),
        "pruned_heads": _heads_by_layer,
        "attn_implementation": _one_of(*ATTENTION),
        "name_or_path": lambda name, value: os.fspath(value),
    }
    _base_aliases: ClassVar[dict[str, str]] = {
        "torch_dtype": "dtype",
        "_name_or_path": "name_or_path",
    }
    _not_written: ClassVar[tuple[str, ...]] = ("attn_implementation", "name_or_path")

    # The fields that models of either kind read, by DistilBERT's names.
    vocab_size: int
    max_position_embeddings: int
    n_layers: int
    n_heads: int
    dim: int
    hidden_dim: int
    dropout: float
    attention_dropout: float
    activation: str
    initializer_range: float
    pad_token_id: int | None
    type_vocab_size: int
    layer_norm_eps: float
    sinusoidal_pos_embds: bool
    output_hidden_states: bool
    output_attentions: bool
    return_dict: bool
    id2label: dict[int, str]
    label2id: dict[str, int]
    problem_type: str | None
    tie_word_embeddings: bool
    chunk_size_feed_forward: int
    architectures: list[str] | None
    dtype: str | None
    pruned_heads: dict[int, list[int]]
    attn_implementation: str
    name_or_path: str

    def __init__(
        self,
        *,
        output_hidden_states: bool = False,
        output_attentions: bool = False,
        return_dict: bool = True,
        num_labels: int | None = None,
        id2label: dict[int, str] | None = None,
        label2id: dict[str, int] | None = None,
        problem_type: str | None = None,
        tie_word_embeddings: bool = True,
        chunk_size_feed_forward: int = 0,
        architectures: list[str] | None = None,
        dtype: Any = None,
        pruned_heads: dict[int, list[int]] | None = None,
        attn_implementation: str | None = None,
        name_or_path: str = "",
        **extra: Any,
    ) -> None:
        self.output_hidden_states = output_hidden_states
        self.output_attentions = output_attentions
        self.return_dict = return_dict
        self.problem_type = problem_type
        self.tie_word_embeddings = tie_word_embeddings
        self.chunk_size_feed_forward = chunk_size_feed_forward
        self.architectures = architectures
        self.dtype = dtype
        self.pruned_heads = {} if pruned_heads is None else pruned_heads
        self.attn_implementation = attn_implementation or "sdpa"
        self.name_or_path = name_or_path
        if id2label is not None:
            self.id2label = id2label
            _agree_on_labels(num_labels, self.id2label)
        else:
            self.num_labels = 2 if num_labels is None else num_labels
        if label2id is not None:
            self.label2id = label2id
        elif id2label is not None:
            self.label2id = {label: index for index, label in self.id2label.items()}
        for name, value in extra.items():
            if not self._is_field(name):
                self._warn_if_misspelt(name)
            setattr(self, name, value)
        self.validate()

    @classmethod
    def _check_of(cls, name: str) -> Check | None:
        return cls.checks.get(name) or cls._base_checks.get(name)

    @classmethod
    def _like(cls, name: str, likeness: float) -> str:
        """Ask whether a field was meant that is called much the same; empty if there is none."""
        known = [*cls.checks, *cls._base_checks, *cls.aliases, "num_labels"]
        close = difflib.get_close_matches(name, known, n=1, cutoff=likeness)
        return f"; did you mean {close[0]!r}?" if close else ""

    @classmethod
    def _warn_if_misspelt(cls, name: str) -> None:
        hint = cls._like(name, 0.85)
        if hint:
            warnings.warn(
                f"{cls.__name__} has no field {name!r}{hint} "
                f"{name!r} is kept as an attribute that the model does not use.",
                stacklevel=4,
            )

    def __setattr__(self, name: str, value: Any) -> None:
        name = self.aliases.get(name) or self._base_aliases.get(name) or name
        check = self._check_of(name)
        if check is not None:
            object.__setattr__(self, name, check(name, value))
        elif name == "num_labels":
            object.__setattr__(self, name, value)
        elif name == "model_type":
            self._require_model_type(value)
        else:
            self.__dict__.setdefault("_extra", {})[name] = value

    @classmethod
    def _require_model_type(cls, value: Any) -> None:
        if value != cls.model_type:
            raise ValueError(
                f"{cls.__name__} reads configurations of type {cls.model_type!r}, "
                f"this one is of type {value!r}"
            )

    def __getattr__(self, name: str) -> Any:
        """Look up aliases and the keys that no field has (called when nothing else is found)."""
        field = type(self).aliases.get(name) or type(self)._base_aliases.get(name)
        if field is not None:
            return getattr(self, field)
        extra = self.__dict__.get("_extra", {})
        if name in extra:
            return extra[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    @property
    def num_labels(self) -> int:
        """How many labels `id2label` names; setting another number makes new names."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        count = _integer(1, MOST_LABELS)("num_labels", value)
        if count != len(self.__dict__.get("id2label", ())):
            self.id2label = {i: f"LABEL_{i}" for i in range(count)}
            self.label2id = {f"LABEL_{i}": i for i in range(count)}

    def validate(self) -> None:
        """Check the fields against each other.

        Raises:
            ValueError: `dim` is not a multiple of `n_heads`, `pad_token_id` is outside the
                vocabulary, or `pruned_heads` names heads that do not exist.
        """
        if self.dim % self.n_heads:
            raise ValueError(
                f"dim ({self.dim}) must be a multiple of n_heads ({self.n_heads}): "
                "each head takes an equal part of the width"
            )
        if self.pad_token_id is not None and self.pad_token_id >= self.vocab_size:
            raise ValueError(
                f"pad_token_id ({self.pad_token_id}) is outside the vocabulary "
                f"(vocab_size {self.vocab_size})"
            )
        for layer, heads in self.pruned_heads.items():
            if not 0 <= layer < self.n_layers or any(not 0 <= h < self.n_heads for h in heads):
                raise ValueError(
                    f"pruned_heads names layer {layer}, heads {heads}; there are "
                    f"{self.n_layers} layers of {self.n_heads} heads"
                )
            if len(heads) == self.n_heads:
                raise ValueError(f"pruned_heads leaves no head in layer {layer}")

    # Reading

    @classmethod
    def from_dict(cls, config_dict: Mapping[str, Any], **overrides: Any) -> Self:
        """Build from the content of a `config.json`; `overrides` replace fields.

        Raises:
            ValueError: the content is of another model type, or a value is not allowed.
            TypeError: a value is of the wrong type, or an override is not a field.
        """
        content = dict(config_dict)
        cls._require_model_type(content.pop("model_type", cls.model_type))
        for name in (*cls._not_written, "_name_or_path"):
            content.pop(name, None)
        for name in cls._base_checks:
            if name in content and content[name] is None:
                del content[name]
        if "id2label" in content:
            content.pop("num_labels", None)  # old files disagree; the names are what counts
        extra = {n: content.pop(n) for n in list(content) if not cls._is_field(n)}
        config = cls(**content)
        config.__dict__.setdefault("_extra", {}).update(extra)
        config.update(overrides)
        return config

    @classmethod
    def _is_field(cls, name: str) -> bool:
        return (
            name in ("num_labels", "model_type")
            or cls._check_of(name) is not None
            or name in cls.aliases
            or name in cls._base_aliases
        )

    @classmethod
    def _base_defaults(cls) -> dict[str, Any]:
        default = cls()
        return {n: getattr(default, n) for n in cls._base_checks if n not in cls._not_written}

    @classmethod
    def from_json_file(cls, json_file: str | os.PathLike[str]) -> Self:
        """Build from a JSON file."""
        return cls.from_dict(read_json(Path(json_file)))

    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str],
        *,
        cache_dir: str | os.PathLike[str] | None = None,
        force_download: bool = False,
        local_files_only: bool = False,
        token: str | bool | None = None,
        revision: str | None = None,
        subfolder: str = "",
        **overrides: Any,
    ) -> Self:
        """Read the `config.json` of a local folder or a hub repository.

        Args:
            overrides: fields to replace.

        Raises:
            OSError: the file cannot be found or reached.
            ValueError, TypeError: it is no valid configuration of this model type.
        """
        source = Source(
            pretrained_model_name_or_path,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
            revision=revision,
            subfolder=subfolder,
        )
        return cls.from_source(source, **overrides)

    @classmethod
    def from_source(cls, source: Source, **overrides: Any) -> Self:
        """Read the `config.json` of a `Source`."""
        path = source.require(CONFIG_FILE)
        try:
            config = cls.from_dict(read_json(path))
        except (TypeError, ValueError) as error:
            raise type(error)(f"{path}: {error}") from error
        config.update(overrides)
        config.name_or_path = os.fspath(source.name)
        return config

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Replace fields: all of them, or none if one is refused.

        Raises:
            TypeError: a name is neither a field nor an attribute, or a value is of the wrong type.
            ValueError: a value is not allowed.
        """
        for name in config_dict:
            if not self._is_field(name) and name not in self.__dict__.get("_extra", {}):
                raise TypeError(
                    f"{type(self).__name__} has no field {name!r}{self._like(name, 0.6)}"
                )
        changed = copy.deepcopy(self)
        # The number first: it names labels anew, which the names then replace.
        for name in sorted(config_dict, key=lambda name: name != "num_labels"):
            setattr(changed, name, config_dict[name])
        if "id2label" in config_dict:
            _agree_on_labels(config_dict.get("num_labels"), changed.id2label)
            if "label2id" not in config_dict:
                changed.label2id = {label: index for index, label in changed.id2label.items()}
        changed.validate()
        self.__dict__.update(changed.__dict__)

    # Writing

    def to_dict(self) -> dict[str, Any]:
        """Return every field and extra key, with `model_type`."""
        fields = {n: getattr(self, n) for n in [*self.checks, *self._base_checks]}
        content = {**self.__dict__.get("_extra", {}), **fields, "model_type": self.model_type}
        for name in self._not_written:
            del content[name]
        return copy.deepcopy(content)

    def to_diff_dict(self) -> dict[str, Any]:
        """Return the model's own fields, and of the shared ones those that differ from default."""
        content = self.to_dict()
        kept = {n for n, default in self._base_defaults().items() if content[n] != default}
        if kept & {"id2label", "label2id"}:
            kept |= {"id2label", "label2id"}
        for name in self._base_defaults().keys() - kept:
            del content[name]
        return content

    def to_json_string(self, use_diff: bool = True) -> str:
        """Return the JSON that a file would hold."""
        return json_text(self.to_diff_dict() if use_diff else self.to_dict())

    def to_json_file(self, json_file_path: str | os.PathLike[str], use_diff: bool = True) -> None:
        """Write a JSON file."""
        Path(json_file_path).write_text(self.to_json_string(use_diff), encoding="utf-8")

    def save_pretrained(
        self, save_directory: str | os.PathLike[str], push_to_hub: bool = False, **hub: Any
    ) -> None:
        """Write `config.json` into a folder, made if missing; `hub` goes to `push_to_hub`."""
        if hub and not push_to_hub:
            raise TypeError(f"save_pretrained has no option {sorted(hub)[0]!r}")
        with staged(save_directory) as scratch:
            write_json(scratch / CONFIG_FILE, self.to_diff_dict())
        if push_to_hub:
            push_folder(
                save_directory, hub.pop("repo_id", Path(save_directory).resolve().name), **hub
            )

    def push_to_hub(self, repo_id: str, **hub: Any) -> str:
        """Upload `config.json` to a hub repository; options as in `hub.push_folder`."""
        import tempfile

        with tempfile.TemporaryDirectory() as folder:
            self.save_pretrained(folder)
            return push_folder(folder, repo_id, **hub)

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


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
        kwargs: the fields of `PretrainedConfig`. `hidden_size`, `num_attention_heads` and
            `num_hidden_layers` are other names of `dim`, `n_heads` and `n_layers`.

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
    checks: ClassVar[dict[str, Check]] = {
        "vocab_size": _integer(1),
        "max_position_embeddings": _integer(1),
        "sinusoidal_pos_embds": _boolean,
        "n_layers": _integer(1, MOST_LAYERS),
        "n_heads": _integer(1),
        "dim": _integer(1),
        "hidden_dim": _integer(1),
        "dropout": _number(0, 1),
        "attention_dropout": _number(0, 1),
        "activation": _one_of(*ACTIVATIONS),
        "initializer_range": _number(0, float("inf")),
        "qa_dropout": _number(0, 1),
        "seq_classif_dropout": _number(0, 1),
        "pad_token_id": _optional(_integer(0)),
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
        kwargs: the fields of `PretrainedConfig`.

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
    checks: ClassVar[dict[str, Check]] = {
        "vocab_size": _integer(1),
        "hidden_size": _integer(1),
        "num_hidden_layers": _integer(1, MOST_LAYERS),
        "num_attention_heads": _integer(1),
        "intermediate_size": _integer(1),
        "hidden_act": _one_of(*ACTIVATIONS),
        "hidden_dropout_prob": _number(0, 1),
        "attention_probs_dropout_prob": _number(0, 1),
        "max_position_embeddings": _integer(1),
        "type_vocab_size": _integer(1),
        "initializer_range": _number(0, float("inf")),
        "layer_norm_eps": _number(0, 1),
        "pad_token_id": _optional(_integer(0)),
        "classifier_dropout": _optional(_number(0, 1)),
        "position_embedding_type": _one_of("absolute"),
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
