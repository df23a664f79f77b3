"""`AutoTokenizer`: either tokenizer, by the name that scripts use."""

import os
from pathlib import Path
from typing import Any, Literal, overload

from distilbert.auto import AutoClass
from distilbert.checkpoint import is_bert
from distilbert.fields import boolean
from distilbert.folders import read_json
from distilbert.hub import CONFIG_FILE, Source
from distilbert.tokenization.fast import DistilBertTokenizerFast
from distilbert.tokenization.files import TOKENIZER_CONFIG_FILE
from distilbert.tokenization.slow import DistilBertTokenizer

PathLike = str | os.PathLike[str]
_OF_BERT = ["input_ids", "token_type_ids", "attention_mask"]


class AutoTokenizer(AutoClass):
    """The tokenizer of a DistilBERT or a BERT; open it with `from_pretrained`.

    Example:
        >>> import tempfile
        >>> from distilbert import AutoTokenizer, BertConfig, DistilBertTokenizer
        >>> tokens = "[PAD] [UNK] [CLS] [SEP] [MASK] small models"
        >>> slow = DistilBertTokenizer({t: i for i, t in enumerate(tokens.split())})
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = slow.save_pretrained(folder)
        ...     BertConfig().save_pretrained(folder)
        ...     tokenizer = AutoTokenizer.from_pretrained(folder)
        >>> type(tokenizer).__name__, tokenizer("small", "models")["token_type_ids"]
        ('DistilBertTokenizerFast', [0, 0, 0, 1, 1])
    """

    @overload
    @classmethod
    def from_pretrained(
        cls,
        pretrained_model_name_or_path: PathLike,
        *,
        use_fast: Literal[True] = ...,
        **options: Any,
    ) -> DistilBertTokenizerFast: ...

    @overload
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: PathLike, *, use_fast: Literal[False], **options: Any
    ) -> DistilBertTokenizer: ...

    @overload
    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: PathLike, *, use_fast: bool, **options: Any
    ) -> DistilBertTokenizerFast | DistilBertTokenizer: ...

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: PathLike, *, use_fast: bool = True, **options: Any
    ) -> Any:
        """Open the tokenizer of a folder or a hub repository.

        That of a BERT, as `config.json` says, gives `token_type_ids` as well, unless
        `tokenizer_config.json` lists other `model_input_names`.

        Args:
            use_fast: `DistilBertTokenizerFast`; else `DistilBertTokenizer`.
            options: those of their `from_pretrained`.

        Raises:
            OSError: there are no tokenizer files, or they cannot be reached.
            TypeError: an unknown argument.
            ValueError: the folder is of another kind of model or tokenizer, or a file is malformed.
        """
        kind = DistilBertTokenizerFast if boolean("use_fast", use_fast) else DistilBertTokenizer
        source = Source.reached(pretrained_model_name_or_path, options)
        is_file = Path(pretrained_model_name_or_path).is_file()  # a vocabulary by itself
        if not is_file and source.find(CONFIG_FILE) is not None and is_bert(source):
            path = source.find(TOKENIZER_CONFIG_FILE)
            listed = None if path is None else read_json(path).get("model_input_names")
            if listed is None:
                options.setdefault("model_input_names", _OF_BERT)
        return kind.from_pretrained(pretrained_model_name_or_path, **options)
