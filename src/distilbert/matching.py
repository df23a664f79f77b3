"""Which weights of a checkpoint a model takes, whichever framework computes it.

What becomes of a BERT's, and the report of what did not fit. A weight is anything with a shape; its
values are not looked at here.
"""

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from distilbert import keymap
from distilbert.config import PretrainedConfig
from distilbert.printable import printable

logger = logging.getLogger("distilbert")

_MANY = 6  # modules that are still named one by one
_WRAPPERS = ("module.", "_orig_mod.")  # of DistributedDataParallel and of torch.compile

Shape = tuple[int, ...]


class Model(Protocol):
    """A model of either framework."""

    config: PretrainedConfig
    base_model_prefix: ClassVar[str]


@dataclass(frozen=True)
class Match:
    """Which weights of a checkpoint go where.

    Args:
        taken: the model's names to the file's.
        unused: names in the modules to the file's, of what is left; buffers are taken from it yet.
        mismatched: those of another shape, which are not taken: (name in the file, its shape, the
            model's).
        token_type: (C,), what BERT adds to every token of segment 0; None where there is nothing to
            add.
        dropped_head: whether the model misses a head that a DistilBERT cannot use of a BERT.
    """

    taken: dict[str, str]
    unused: dict[str, str]
    mismatched: list[tuple[str, Shape, Shape]]
    token_type: Any
    dropped_head: bool

    def report(self, model: Model, name: str, new: list[str]) -> dict[str, list[Any]]:
        """Log in one line what was new or unused: a warning if it matters, information if not.

        Args:
            new: what was not in the files, by the model's names.

        Returns:
            The loading info of `from_pretrained`.
        """
        info: dict[str, list[Any]] = {
            "missing_keys": new,
            "unexpected_keys": sorted(self.unused.values()),
            "mismatched_keys": self.mismatched,
        }
        unused = [keymap.from_file(key) or key for key in info["unexpected_keys"]]
        alarming = [k for k in unused if keymap.is_encoder(k) and not k.startswith("pooler.")]
        harmless = _modules([k for k in unused if k not in alarming])
        parts = []
        if new:
            parts.append(f"new, to be trained before use: {_modules(new)}")
        if self.dropped_head:
            parts.append("BERT's classification head (pooler, tanh) has no equal in DistilBERT")
        if alarming:
            parts.append(f"in the files but not in the model: {_modules(alarming)}")
        level = logging.WARNING if parts else logging.INFO
        if harmless:
            parts.append(f"not used: {harmless}")
        if parts:
            logger.log(level, "%s from %s; %s", type(model).__name__, name, "; ".join(parts))
        return info


def match(
    model: Model,
    shapes: Mapping[str, Shape],
    weights: Mapping[str, Any],
    *,
    name: str,
    ignore_mismatched_sizes: bool,
    unfit: Callable[[Any], str],
) -> Match:
    """Find the weight in a checkpoint for each of a model's.

    Args:
        shapes: of the model's, by their names.
        weights: the checkpoint's, by their names in the files.
        name: of the checkpoint, in messages.
        unfit: says what a weight is that holds no floating-point numbers; else empty.

    Raises:
        ValueError: nothing fits, a shape does not, or a weight holds no numbers.
    """
    theirs = keymap.by_module_name(weights)
    unused = dict(theirs)  # what is left when the model has taken its share
    dropped_head = _drop_bert_head(model, weights, unused)
    token_type = _take_token_type(model, weights, unused, name)
    taken: dict[str, str] = {}
    mismatched = []
    for full, shape in shapes.items():
        key = full.removeprefix(f"{model.base_model_prefix}.")
        if key not in unused:
            continue
        file_name = unused.pop(key)
        weight = weights[file_name]
        if what := unfit(weight):
            raise ValueError(
                f"{name}: {file_name} does not hold floating-point numbers ({what}); "
                "quantised files are not read"
            )
        found = tuple(weight.shape)
        if found == shape:
            taken[full] = file_name
        else:
            mismatched.append((file_name, found, shape))
    if mismatched and not ignore_mismatched_sizes:
        first, found, expected = mismatched[0]
        raise ValueError(
            f"{name}: {first} has shape {found}, the model needs {expected}"
            + (f" (and {len(mismatched) - 1} more)" if len(mismatched) > 1 else "")
            + "; change the configuration, or pass ignore_mismatched_sizes=True to draw it anew"
        )
    if not any(keymap.is_encoder(key) for key in theirs.keys() - unused.keys()):
        first = next(iter(weights), "none")
        wrapper = next((each for each in _WRAPPERS if first.startswith(each)), None)
        remedy = f"; strip {wrapper!r} from the names, a wrapper put it there" if wrapper else ""
        raise ValueError(
            f"{name}: none of its {len(weights)} weights belongs to a {model.config.model_type} "
            f"encoder (the first is {first!r}{remedy})"
        )
    return Match(taken, unused, mismatched, token_type, dropped_head)


def untie(model: Model, name: str) -> None:
    """Note that a masked LM's decoder in a file is not the word embeddings."""
    logger.warning(
        "%s: its decoder differs from its word embeddings, so the two are not tied "
        "(config.tie_word_embeddings is now False)",
        name,
    )
    model.config.tie_word_embeddings = False


def _is_conversion(model: Model, weights: Mapping[str, Any]) -> bool:
    """Whether a BERT's weights go into a DistilBERT."""
    return model.config.type_vocab_size == 0 and keymap.are_bert(weights)


def _take_token_type(
    model: Model, weights: Mapping[str, Any], unused: dict[str, str], name: str
) -> Any:
    """Take what BERT adds to every token of segment 0, for a model without token types."""
    if keymap.TOKEN_TYPES not in unused or not _is_conversion(model, weights):
        return None
    file_name = unused.pop(keymap.TOKEN_TYPES)
    table = weights[file_name]
    if len(table.shape) != 2 or table.shape[0] < 1 or table.shape[1] != model.config.dim:
        raise ValueError(
            f"{name}: {file_name} has shape {tuple(table.shape)}, "
            f"the model needs (…, {model.config.dim})"
        )
    return table[0]


def _drop_bert_head(model: Model, weights: Mapping[str, Any], unused: dict[str, str]) -> bool:
    """Leave out what a DistilBERT cannot use of a BERT; True if it misses a head by that.

    BERT classifies tanh(pooler(first token)), DistilBERT relu(pre_classifier(first token)). A
    tagger's head is the same in both.
    """
    if not _is_conversion(model, weights):
        return False
    has_pooler = unused.pop("pooler.dense.weight", None) is not None
    unused.pop("pooler.dense.bias", None)
    written_by = model.config.architectures
    is_tagger = (
        any(name.endswith("ForTokenClassification") for name in written_by)
        if written_by
        else not has_pooler
    )
    if is_tagger and not hasattr(model, "pre_classifier"):
        return False
    unused.pop("classifier.bias", None)
    return unused.pop("classifier.weight", None) is not None and hasattr(model, "classifier")


def _modules(keys: list[str]) -> str:
    """Name the modules that own these weights, each once; if many, whole layers as `layer.6-11`."""
    names = list(dict.fromkeys(printable(key.rpartition(".")[0] or key) for key in keys))
    if len(names) <= _MANY:
        return ", ".join(names)
    numbers: dict[str, list[int]] = {}  # the layers of each stack; none for another module
    for name in names:
        layer = re.match(r"(.*\blayer\.)(\d+)\.", name)
        known = numbers.setdefault(layer[1] if layer else name, [])
        if layer and int(layer[2]) not in known:
            known.append(int(layer[2]))
    return ", ".join(stem + _spans(sorted(found)) for stem, found in numbers.items())


def _spans(numbers: list[int]) -> str:
    if len(numbers) > 1 and numbers[-1] - numbers[0] == len(numbers) - 1:
        return f"{numbers[0]}-{numbers[-1]}"
    return "/".join(map(str, numbers))
