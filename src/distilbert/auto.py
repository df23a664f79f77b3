"""Classes that open a DistilBERT or a BERT, whichever a folder holds; here that of configurations.

Those of models are in `modeling/auto.py` and `tf/auto.py`, that of tokenizers in
`tokenization/auto.py`. There are these two kinds and no registry of others.
"""

import os
from typing import Any, ClassVar, Generic, Literal, TypeVar, overload

from distilbert.checkpoint import full_name, is_bert
from distilbert.config import BertConfig, DistilBertConfig, PretrainedConfig
from distilbert.foreign_options import without_foreign
from distilbert.hub import Source

__all__ = ["AutoConfig"]

Model = TypeVar("Model")


class AutoClass:
    """A class that is not constructed; its class methods return what fits."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        name = type(self).__name__
        other = f" or {name}.from_config(config)" if hasattr(self, "from_config") else ""
        raise TypeError(f"{name} is not constructed: say {name}.from_pretrained(folder){other}")


class AutoConfig(AutoClass):
    """The configuration of a DistilBERT or a BERT; open it with `from_pretrained`.

    Example:
        >>> import tempfile
        >>> from distilbert import AutoConfig, BertConfig
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     BertConfig(num_hidden_layers=4).save_pretrained(folder)
        ...     config = AutoConfig.from_pretrained(folder, num_labels=3)
        >>> type(config).__name__, config.num_hidden_layers, config.num_labels
        ('BertConfig', 4, 3)
    """

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str], **options: Any
    ) -> DistilBertConfig | BertConfig:
        """Read the `config.json` of a local folder or a hub repository.

        Args:
            options: those of `DistilBertConfig.from_pretrained`.

        Raises:
            OSError: the file cannot be found or reached.
            ValueError, TypeError: it is neither's, or not valid.
        """
        source = Source.reached(pretrained_model_name_or_path, options)
        kind: type[DistilBertConfig | BertConfig] = (
            BertConfig if is_bert(source) else DistilBertConfig
        )
        return kind.from_pretrained(pretrained_model_name_or_path, **options)


class AutoModelClass(AutoClass, Generic[Model]):
    """What the classes for models of both frameworks share; not used directly."""

    for_distilbert: ClassVar[type[Any]]
    for_bert: ClassVar[type[Any]]

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        output_loading_info: Literal[False] = ...,
        **options: Any,
    ) -> Model: ...

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: str | os.PathLike[str] | None,
        *,
        output_loading_info: Literal[True],
        **options: Any,
    ) -> tuple[Model, dict[str, list[Any]]]: ...

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: str | os.PathLike[str] | None, **options: Any
    ) -> Any:
        """Open a checkpoint, a local folder or a hub id, by the class for its kind of model.

        Args:
            pretrained_model_name_or_path: as in the class's own `from_pretrained`.
            options: those of the class's own; `config=…`, if given, says the kind.

        Raises:
            OSError: files that cannot be found or reached.
            ValueError: it is neither a DistilBERT nor a BERT; and as the class's own.
            TypeError: an argument that is neither an option nor a field.
        """
        config = options.get("config")
        if isinstance(config, PretrainedConfig):
            kind = cls._class_for(config)
            options["config"] = cls._for_its_class(config)
        else:
            is_place = isinstance(config, str | os.PathLike)
            place: Any = config if is_place else pretrained_model_name_or_path
            kind = cls.for_bert if is_bert(Source.reached(place, options)) else cls.for_distilbert
        return kind.from_pretrained(pretrained_model_name_or_path, **options)

    @classmethod
    def from_config(cls, config: PretrainedConfig, **options: Any) -> Model:
        """Build a new model, with weights drawn anew, of the class for its configuration.

        Args:
            options: those of the class's constructor.

        Raises:
            TypeError: the configuration is neither a `DistilBertConfig` nor a `BertConfig`, or an
                unknown option.
        """
        if not isinstance(config, PretrainedConfig):
            raise TypeError(
                f"{cls.__name__} takes a distilbert.DistilBertConfig or a distilbert.BertConfig, "
                f"got a {full_name(type(config))}"
            )
        kind, own = cls._class_for(config), cls._for_its_class(config)
        return kind(own, **without_foreign(options, of="from_config"))

    @classmethod
    def _class_for(cls, config: PretrainedConfig) -> type[Any]:
        return cls.for_bert if isinstance(config, BertConfig) else cls.for_distilbert

    @classmethod
    def _for_its_class(cls, config: PretrainedConfig) -> PretrainedConfig:
        """Return a BERT's configuration as a DistilBERT's, where there is no class for a BERT."""
        is_converted = isinstance(config, BertConfig) and cls.for_bert is cls.for_distilbert
        return config.to_distilbert() if is_converted else config
