"""What all pipelines share: inputs read ahead, rows run in batches, answers in order."""

import os
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from distilbert.fields import integer
from distilbert.foreign_options import Table
from distilbert.pipelines.inputs import (
    Count,
    characters,
    is_dataset,
    items_of,
    length_of,
    named,
    until_error,
    until_full,
)
from distilbert.pipelines.models import as_arrays, check_head, move
from distilbert.pipelines.options import Options, replaced
from distilbert.pipelines.progress import with_bar
from distilbert.pipelines.rows import rows_of
from distilbert.pipelines.running import Outputs, Row, run

if TYPE_CHECKING:
    from distilbert.tokenization.tokenizer import BertStyleTokenizer

MOST_CHARACTERS_AHEAD = 1_000_000

# Methods of transformers' pipelines that its subclasses override, and what does that here.
_NEVER_CALLED = {
    "preprocess": "change the inputs in __call__ and pass them on",
    "forward": "override compute, or pass a function of arrays as the model",
    "_forward": "override compute, or pass a function of arrays as the model",
    "postprocess": "override answer, or change the answers in __call__",
    "_sanitize_parameters": "take options of your own in __call__",
}


@dataclass(frozen=True)
class Encoded:
    """The rows of one input, and what is needed to read its answer off the outputs.

    Args:
        candidates: how many answers `top_k` asks for, in each row or mask; 0 where a task has as
            many as inputs or labels.
    """

    rows: list[Row]
    source: Any
    candidates: int = 0


@dataclass(frozen=True)
class Request:
    """The inputs of one call, read and encoded, as `Pipeline.read` gives them.

    Args:
        inputs: as they were given.
        encoded: each of them.
        options: of the call, checked.
    """

    inputs: Any
    encoded: list[Encoded]
    options: Any

    @property
    def rows(self) -> list[tuple[Row, Any]]:
        """What is to be computed: the rows of all inputs, each with its input's source."""
        return [(row, each.source) for each in self.encoded for row in each.rows]


class Pipeline(ABC):
    """Turns texts into answers with a model, whatever computes it.

    One input gives its answer, a list a list of answers, any other iterable or map-style dataset
    (`__len__` and `__getitem__`) an iterator that reads ahead no more than `read_ahead` inputs, so
    that memory stays constant. Answers come in the order of the inputs and do not depend on the
    other inputs; an iterator gives those before an input that is wrong, and then raises.

    Args:
        model: a PyTorch model, or any callable that takes `input_ids` and `attention_mask`, NumPy
            int64 (B, T), and `token_type_ids` if the configuration has a `type_vocab_size`, as
            keywords, and returns the outputs by name or in order.
        tokenizer: that of the model. It and the model are attributes of these names.
        config: the model's configuration; `model.config` by default.
        device: where a PyTorch model is moved to: what PyTorch takes, or -1 for the CPU.
        batch_tokens: most tokens that the model is given at a time, padding included.
        read_ahead: inputs that are sorted by length together.
        options: of the task; a call may replace them.

    Raises:
        TypeError: an option that the task has not or of the wrong type, or a model without
            configuration, a device of what is no PyTorch model, or what is no tokenizer or no
            configuration.
        ValueError: an option's value is impossible, the model has another head, or fewer embeddings
            than the tokenizer has tokens; or a device that is not there.
        AttributeError: a prepared model is to be moved.
    """

    task: ClassVar[str]
    head: ClassVar[str]
    outputs: ClassVar[tuple[str, ...]] = ("logits",)
    options_class: ClassVar[type[Options]] = Options
    foreign: ClassVar[Table] = {}
    default_batch_tokens: ClassVar[int] = 4096
    with_choices: ClassVar[bool] = False

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        for name, remedy in _NEVER_CALLED.items():
            if hasattr(cls, name):
                raise TypeError(
                    f"{cls.__name__}.{name} would never be called: a pipeline's call is read, "
                    f"compute and answer here; {remedy}"
                )

    def __init__(
        self,
        model: Any,
        tokenizer: "BertStyleTokenizer",
        *,
        config: Any = None,
        device: Any = None,
        batch_tokens: int | None = None,
        read_ahead: int = 256,
        **options: Any,
    ) -> None:
        check_head(model, self.head, self.task)
        self.model = model
        self.tokenizer = tokenizer
        self.config: Any = getattr(model, "config", None) if config is None else config
        if self.config is None:
            raise TypeError(f"{type(model).__name__} has no config; pass config=…")
        if not hasattr(self.config, "max_position_embeddings"):
            raise TypeError(
                f"config must be a configuration, not {self.config!r:.60} "
                f"({type(self.config).__name__}); "
                "distilbert.DistilBertConfig.from_pretrained opens a folder"
            )
        if not hasattr(tokenizer, "get_vocab"):
            raise TypeError(
                f"expected a tokenizer, not {tokenizer!r:.60} ({type(tokenizer).__name__}); "
                "distilbert.DistilBertTokenizerFast.from_pretrained opens a folder"
            )
        needed = max(tokenizer.get_vocab().values(), default=-1) + 1
        if needed > getattr(self.config, "vocab_size", needed):
            raise ValueError(
                f"the tokenizer has {needed} ids and the model {self.config.vocab_size} "
                "(config.vocab_size): take the model's own tokenizer, or give the model new "
                f"embeddings with model.resize_token_embeddings({needed}) and train them"
            )
        given = self.default_batch_tokens if batch_tokens is None else batch_tokens
        self.batch_tokens = integer(1)("batch_tokens", given)
        self.read_ahead = integer(1)("read_ahead", read_ahead)
        self._with_types = getattr(self.config, "type_vocab_size", 0) > 1
        self.options = self.options_class()
        self.set_options(**options)
        if device is not None:
            move(model, device)

    def set_options(self, /, **options: Any) -> None:
        """Replace options that calls begin with.

        Raises:
            TypeError, ValueError: as the constructor raises them for its options.
        """
        self.options = self._checked(self.options, options)

    @property
    def model(self) -> Any:
        """The model as it was given; another may be put in its place."""
        return self._model

    @model.setter
    def model(self, model: Any) -> None:
        self._model, self._arrays = model, as_arrays(model)

    @property
    def device(self) -> Any:
        """Where the model computes, if it says so, as any in PyTorch does; else None."""
        return getattr(self._arrays, "device", None)

    def save_pretrained(self, save_directory: str | os.PathLike[str]) -> None:
        """Write the model, with its own configuration, and the tokenizer into a folder.

        Raises:
            TypeError: the model is nothing that can be saved, such as a function.
        """
        if not hasattr(self.model, "save_pretrained"):
            raise TypeError(
                f"the model of this pipeline ({type(self.model).__name__}) has no save_pretrained; "
                "a model in PyTorch or Keras that from_pretrained opened has it"
            )
        self.model.save_pretrained(save_directory)
        self.tokenizer.save_pretrained(save_directory)

    def __call__(self, inputs: Any, *, progress: bool = False, **options: Any) -> Any:
        """Answer one input, a list of them, or lazily any other iterable or dataset.

        Args:
            progress: shows a bar on standard error.
            options: replace those of the pipeline for this call.

        Raises:
            TypeError: an input of the wrong type, or an option that the task has not.
            ValueError: an input that is empty, too long or otherwise impossible; the message has
                its number.
        """
        if self._comes_alone(inputs):
            request = self.read(inputs, **options)
            return self.answer(request, self.compute(request.rows))
        is_list = isinstance(inputs, list | tuple)
        answers = self._stream(items_of(inputs), self._checked(self.options, options), not is_list)
        if progress:
            answers = with_bar(answers, length_of(inputs))
        return list(answers) if is_list else answers

    # A call in three steps, for whoever has many callers and computes for them together

    def read(self, inputs: Any, count: Count | None = None, /, **options: Any) -> Request:
        """Check and encode one input, or all of a list; compute nothing.

        Args:
            count: is told of tokens, again and again, while the rows are made, and may raise to
                have no more of them made.

        Raises:
            TypeError, ValueError: as a call raises them for its inputs and options.
        """
        chosen = self._checked(self.options, options)
        if self._comes_alone(inputs):
            encoded = self._encode([self._read(inputs, chosen)], chosen, count)
        else:
            encoded, numbered = [], enumerate(items_of(inputs))
            while ahead := [*self._read_ahead(numbered, chosen)]:
                encoded += self._encode_numbered(ahead, chosen, count)
        return Request(inputs, encoded, chosen)

    def compute(self, rows: Sequence[tuple[Row, Any]]) -> list[Any]:
        """Return what is kept of the model's outputs for each row, of one request or of many."""
        return run(
            self._arrays,
            [row for row, _ in rows],
            self.outputs,
            lambda i, outputs: self._take(*rows[i], outputs),
            batch_tokens=self.batch_tokens,
            with_types=self._with_types,
            with_choices=self.with_choices,
        )

    def answer(self, request: Request, kept: Iterable[Any]) -> Any:
        """Return what the call would have, given what `compute` kept of the request's rows.

        Args:
            kept: is read on before each input's answer, and may raise to have no more of them.
        """
        rest = iter(kept)
        answers = [
            self._decode(each, list(islice(rest, len(each.rows))), request.options)
            for each in request.encoded
        ]
        alone = self._comes_alone(request.inputs)
        return self._alone(request.inputs, answers[0]) if alone else answers

    # What a task says

    _expected: ClassVar[str] = "a text (str) or an iterable of texts"

    def _is_one(self, inputs: Any) -> bool:
        """Whether this is one input, not several; a string always is."""
        return False

    def _size(self, item: Any, options: Any) -> int:
        """Return how many characters an input, as `_read` returns it, has in all its rows."""
        return characters(item)

    def _alone(self, item: Any, answer: Any) -> Any:
        """Return the answer to an input that comes alone, not in a list."""
        return answer

    @abstractmethod
    def _read(self, item: Any, options: Any) -> Any:
        """Check one input."""

    @abstractmethod
    def _encode(self, items: list[Any], options: Any, count: Count | None) -> list[Encoded]:
        """Turn inputs, as `_read` returns them, into rows, and tell `count` of their tokens."""

    @abstractmethod
    def _decode(self, encoded: Encoded, kept: list[Any], options: Any) -> Any:
        """Return the answer, from what `_take` kept of each row."""

    def _take(self, row: Row, source: Any, outputs: Outputs) -> Any:
        """Copy what is needed of a row's outputs; by default those of its tokens."""
        return outputs["logits"][: len(row.ids)].copy()

    def _label_logits(self, logits: NDArray[Any], ndim: int) -> NDArray[Any]:
        """Copy a row's logits, whose last axis must be the configuration's labels.

        Raises:
            ValueError: it is not.
        """
        labels = len(self.config.id2label)
        if logits.ndim != ndim or logits.shape[-1] != labels:
            raise ValueError(
                f"the model gave logits of shape {logits.shape} for a row, and the configuration "
                f"has {labels} labels: {self.task} needs a …{self.head} model"
            )
        return logits.copy()

    def _check_options(self, options: Any) -> None:
        """Raise ValueError for options that this model or tokenizer cannot serve."""
        self._check_positions("max_length", options.max_length)

    def _check_positions(self, name: str, length: int | None) -> None:
        most = self.config.max_position_embeddings
        if length is not None and length > most:
            raise ValueError(f"{name}={length} must be from 1 to the model's {most} positions")

    # What is the same for all

    def _comes_alone(self, inputs: Any) -> bool:
        """Tell one input from several.

        Raises:
            TypeError: it is neither.
        """
        # A string is an iterable, but never one of inputs.
        if isinstance(inputs, str | bytes) or self._is_one(inputs):
            return True
        if not (isinstance(inputs, Iterable) or is_dataset(inputs)) or isinstance(inputs, Mapping):
            raise TypeError(f"expected {self._expected}, not {inputs!r:.60}")
        return False

    def _checked(self, before: Options, options: Mapping[str, Any]) -> Any:
        chosen = replaced(before, options, self.foreign, self.task)
        self._check_options(chosen)
        return chosen

    def _limit(self, options: Options) -> int:
        """Return how many tokens a row may have."""
        if options.max_length is not None:
            return options.max_length
        return min(self.config.max_position_embeddings, self.tokenizer.model_max_length)

    def _stream(
        self, inputs: Iterable[Any], options: Any, answers_before_errors: bool
    ) -> Iterator[Any]:
        numbered = enumerate(inputs)
        errors: list[Exception] = []
        while not errors:
            ahead = until_error(self._read_ahead(numbered, options), errors)
            if not ahead:
                break
            encoded = until_error(self._encode_numbered(ahead, options, None), errors)
            if errors and not answers_before_errors:
                break
            request = Request([], encoded, options)
            yield from self.answer(request, self.compute(request.rows))
        if errors:
            del errors[:-1]  # the last is about the first input that is wrong
            raise errors.pop()  # of a name here, it would keep this frame and the model alive

    def _read_ahead(
        self, numbered: Iterator[tuple[int, Any]], options: Any
    ) -> Iterator[tuple[int, Any]]:
        """Read checked inputs until there are enough to fill batches of similar lengths."""
        reads = self._reads(islice(numbered, self.read_ahead), options)
        return until_full(reads, lambda each: self._size(each[1], options), MOST_CHARACTERS_AHEAD)

    def _reads(
        self, numbered: Iterable[tuple[int, Any]], options: Any
    ) -> Iterator[tuple[int, Any]]:
        for number, item in numbered:
            with named(number):
                read = self._read(item, options)
            yield number, read

    def _encode_numbered(
        self, ahead: list[tuple[int, Any]], options: Any, count: Count | None
    ) -> Iterator[Encoded]:
        try:
            encoded = self._encode([item for _, item in ahead], options, count)
        except (TypeError, ValueError):
            for number, item in ahead:  # one by one, to find the one that is wrong
                with named(number):
                    encoded = self._encode([item], options, None)  # they have been counted
                yield from encoded
        else:
            yield from encoded

    def _rows(
        self,
        texts: Iterable[tuple[str, str | None]],
        options: Any,
        truncation: bool | str,
        count: Count | None,
    ) -> list[Row]:
        """Encode texts, each with another one or None, as a row each; see `rows_of`."""
        return rows_of(self.tokenizer, texts, self._limit(options), truncation, count)


def softmax(logits: NDArray[Any]) -> NDArray[np.float64]:
    """Return probabilities over the last axis, in float64."""
    shifted = np.exp(logits.astype(np.float64) - logits.max(-1, keepdims=True))
    return shifted / shifted.sum(-1, keepdims=True)
