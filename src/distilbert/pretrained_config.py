"""What every configuration can do: fields with checks, dicts, comparison."""

import copy
import difflib
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, ClassVar, Self

from distilbert import fields
from distilbert.config_files import ConfigFiles
from distilbert.fields import Check
from distilbert.foreign_options import AS_TUPLES


class PretrainedConfig(ConfigFiles):
    """The fields that every model has, and everything a configuration can do.

    A key that no field has (from a file, or a keyword) is kept as an attribute and written again.

    Args:
        output_hidden_states: return the hidden states of every layer by default.
        output_attentions: return the attention weights by default.
        return_dict: return a `ModelOutput` by default, else a tuple.
        num_labels: size of a classification head (2 unless the names of the labels say otherwise).
        id2label: names of the labels.
        label2id: the inverse. Either is made from the other when absent.
        problem_type: regression | single_label_classification | multi_label_classification;
            None decides by `num_labels` and the labels' type.
        tie_word_embeddings: the masked-LM decoder shares the word embeddings.
        chunk_size_feed_forward: tokens that go through the feed-forward layer at a time; 0 is all.
        architectures: class names that a file was written by.
        dtype: type of the weights in the file, by name; in a model that was opened, the
            `torch.dtype` that its weights got.
        pruned_heads: heads removed, by layer.
        attn_implementation: eager | sdpa | varlen; a choice of the run, never written to a file.
        name_or_path: where it came from; never written to a file.
    """

    model_type: ClassVar[str] = ""
    aliases: ClassVar[dict[str, str]] = {}
    attribute_map: ClassVar[dict[str, str]] = aliases  # transformers' name of it
    checks: ClassVar[dict[str, Check]] = {}
    _base_checks: ClassVar[dict[str, Check]] = {
        "output_hidden_states": fields.boolean,
        "output_attentions": fields.boolean,
        "return_dict": fields.boolean,
        "id2label": fields.label_names,
        "label2id": fields.label_numbers,
        "problem_type": fields.optional(fields.one_of(*fields.PROBLEM_TYPES)),
        "tie_word_embeddings": fields.boolean,
        "chunk_size_feed_forward": fields.integer(0),
        "architectures": fields.optional(fields.strings),
        "dtype": fields.optional(fields.dtype),
        "pruned_heads": fields.heads_by_layer,
        "attn_implementation": fields.one_of(*fields.ATTENTION),
        "name_or_path": lambda name, value: os.fspath(value),
    }
    _base_aliases: ClassVar[dict[str, str]] = {
        "torch_dtype": "dtype",
        "_name_or_path": "name_or_path",
        "_attn_implementation": "attn_implementation",
        "use_return_dict": "return_dict",
    }
    _not_written: ClassVar[tuple[str, ...]] = ("attn_implementation", "name_or_path")
    # What transformers' configurations have besides: extra keys that are known without being set.
    _of_transformers: ClassVar[dict[str, Any]] = {
        "_commit_hash": None,  # of the hub; version 4's pipelines ask for it
        "bos_token_id": None,
        "eos_token_id": None,
        "finetuning_task": None,
        "is_decoder": False,
        "is_encoder_decoder": False,
    }

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
    dtype: Any
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
        if id2label is None and label2id is None:
            self.num_labels = 2 if num_labels is None else num_labels
        for name, value in _labels(num_labels, id2label, label2id).items():
            setattr(self, name, value)
        for name, value in extra.items():
            if self.has_field(name):
                setattr(self, name, value)
            else:
                self._keep(name, value, stacklevel=4)
        self.validate()

    @classmethod
    def _field_of(cls, name: str) -> str:
        """Return the field that an alias is another name of; any other name as it is."""
        return cls.aliases.get(name) or cls._base_aliases.get(name) or name

    @classmethod
    def _check_of(cls, name: str) -> Check | None:
        return cls.checks.get(name) or cls._base_checks.get(name)

    @classmethod
    def _like(cls, name: str, likeness: float) -> str:
        """Ask whether a field was meant that is called much the same; empty if there is none."""
        known = [*cls.checks, *cls._base_checks, *cls.aliases, "num_labels"]
        close = difflib.get_close_matches(name, known, n=1, cutoff=likeness)
        return f"; did you mean {close[0]!r}?" if close else ""

    def _keep(self, name: str, value: Any, *, stacklevel: int) -> None:
        """Keep what is no field; the first time with a warning if it looks like a misspelt one."""
        if name == "torchscript" and value:  # in a file it is kept: whoever opens it may not know
            raise TypeError(f"{type(self).__name__} has no field {name!r}: {AS_TUPLES}")
        extra = self.__dict__.setdefault("_extra", {})
        hint = "" if name in extra else self._like(name, 0.85)
        if hint:
            warnings.warn(
                f"{type(self).__name__} has no field {name!r}{hint} "
                f"{name!r} is kept as an attribute that the model does not use.",
                stacklevel=stacklevel,
            )
        extra[name] = value

    def __setattr__(self, name: str, value: Any) -> None:
        name = self._field_of(name)
        check = self._check_of(name)
        if check is not None:
            object.__setattr__(self, name, check(name, value))
            if name == "label2id":
                with suppress(ValueError):  # it may have several names of one label
                    names = fields.names_by_number(name, value)
                    if len(names) == len(self.__dict__.get("id2label", ())):
                        self.id2label = names
        elif name == "num_labels":
            object.__setattr__(self, name, value)
        elif name == "model_type":
            self._require_model_type(value)
        else:
            self._keep(name, value, stacklevel=3)

    @classmethod
    def _require_model_type(cls, value: Any) -> None:
        if value != cls.model_type:
            raise ValueError(
                f"{cls.__name__} reads configurations of type {cls.model_type!r}, "
                f"this one is of type {value!r}"
            )

    def __getattr__(self, name: str) -> Any:
        """Look up aliases and the keys that no field has (called when nothing else is found)."""
        field = self._field_of(name)
        if field != name:
            return getattr(self, field)
        extra = self.__dict__.get("_extra", {})
        if name in extra:
            return extra[name]
        if name in self._of_transformers:
            return self._of_transformers[name]
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")

    def __delattr__(self, name: str) -> None:
        """Forget a key that no field has; fields stay."""
        if name not in self.__dict__.get("_extra", {}):
            raise AttributeError(f"{name!r} is not an attribute that can be deleted")
        del self._extra[name]

    @property
    def num_labels(self) -> int:
        """How many labels `id2label` names; setting another number makes new names."""
        return len(self.id2label)

    @num_labels.setter
    def num_labels(self, value: int) -> None:
        count = fields.integer(1, fields.MOST_LABELS)("num_labels", value)
        if count != len(self.__dict__.get("id2label", ())):
            self.id2label = {i: f"LABEL_{i}" for i in range(count)}
            self.label2id = {f"LABEL_{i}": i for i in range(count)}

    def problem_of(self, *, floating: bool) -> str:
        """Return `problem_type`; where it is None, what labels mean that are floating or are not.

        One label means regression, integer labels a single label, and floating ones several.

        Raises:
            ValueError: a single label of one class: the loss would be 0, whatever the model says.
        """
        if self.problem_type is None:
            if self.num_labels == 1:
                return "regression"
            return "multi_label_classification" if floating else "single_label_classification"
        if self.problem_type == "single_label_classification" and self.num_labels == 1:
            raise ValueError(
                "problem_type is 'single_label_classification' and num_labels is 1: with one class "
                "there is nothing to learn; say num_labels=2, or problem_type='regression'"
            )
        return self.problem_type

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

    def get_text_config(self, decoder: bool | None = None, encoder: bool | None = None) -> Self:
        """Return itself: there are no parts other than for text."""
        return self

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
        for name in list(content):
            if cls._field_of(name) in cls._not_written:
                del content[name]
        for name in cls._base_checks:
            if name in content and content[name] is None:
                del content[name]
        numbers = None
        if "id2label" in content:
            content.pop("num_labels", None)  # old files disagree; the names are what counts
        elif "label2id" in content:
            try:
                _labels(content.get("num_labels"), None, content["label2id"])
            except ValueError:  # names that the model cannot go by; files may have any
                numbers = content.pop("label2id")
        extra = {n: content.pop(n) for n in list(content) if not cls.has_field(n)}
        config = cls(**content)
        config.__dict__.setdefault("_extra", {}).update(extra)
        if numbers is not None:
            config.label2id = numbers
        config.update(overrides)
        return config

    @classmethod
    def has_field(cls, name: str) -> bool:
        """Whether this is the name of a field, or another name of one."""
        field = cls._field_of(name)
        return field in ("num_labels", "model_type") or cls._check_of(field) is not None

    @classmethod
    def _base_defaults(cls) -> dict[str, Any]:
        default = cls()
        return {n: getattr(default, n) for n in cls._base_checks if n not in cls._not_written}

    def update(self, config_dict: Mapping[str, Any]) -> None:
        """Replace fields: all of them, or none if one is refused.

        Raises:
            TypeError: a name is neither a field nor an attribute, or a value is of the wrong type.
            ValueError: a value is not allowed.
        """
        known = self.__dict__.get("_extra", {}).keys() | self._of_transformers.keys()
        for name in config_dict:
            if not self.has_field(name) and name not in known:
                raise TypeError(
                    f"{type(self).__name__} has no field {name!r}{self._like(name, 0.6)}"
                )
        labels = _labels(*map(config_dict.get, ("num_labels", "id2label", "label2id")))
        rest = {name: config_dict[name] for name in config_dict if name not in labels}
        changed = copy.deepcopy(self)
        for name, value in {**rest, **labels}.items():
            setattr(changed, name, value)
        changed.validate()
        self.__dict__.update(changed.__dict__)

    # Writing

    def to_dict(self) -> dict[str, Any]:
        """Return every field and extra key, with `model_type`."""
        known = {n: getattr(self, n) for n in [*self.checks, *self._base_checks]}
        content = {**self.__dict__.get("_extra", {}), **known, "model_type": self.model_type}
        for name in self._not_written:
            del content[name]
        if content["dtype"] is not None:
            content["dtype"] = fields.dtype_name(content["dtype"])
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

    def __iter__(self) -> Iterator[str]:
        """Iterate over the keys of `to_dict`, so that `"dim" in config` asks for one."""
        return iter(self.to_dict())

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and other.to_dict() == self.to_dict()

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"{type(self).__name__} {self.to_json_string()}"


def _labels(
    count: int | None, names: dict[int, str] | None, numbers: dict[str, int] | None
) -> dict[str, Any]:
    """Return both mappings of labels where one is given, in the order in which they are set."""
    if names is None and numbers is None:
        return {}
    given = "label2id" if names is None else "id2label"
    if names is None:
        names = fields.names_by_number(given, numbers)
    else:
        names = fields.label_names(given, names)
    if count is not None and count != len(names):
        raise ValueError(f"num_labels is {count}, but {given} names {len(names)} labels")
    if numbers is None:
        numbers = {label: index for index, label in names.items()}
    return {"label2id": numbers, "id2label": names}
