"""Filling masks: which tokens belong where a text has the mask token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.fields import integer, optional
from distilbert.pipelines.flow import Encoded, Pipeline, softmax
from distilbert.pipelines.inputs import Count, text_of, words
from distilbert.pipelines.options import Options
from distilbert.pipelines.running import Outputs, Row


def _targets(name: str, value: Any) -> tuple[str, ...]:
    """A word, or words of any iterable."""
    return (value,) if isinstance(value, str) else words(name, value)


@dataclass(frozen=True)
class FillMaskOptions(Options):
    """What filling masks can be told.

    Args:
        top_k: tokens per mask, the likeliest first.
        targets: only these words are considered, not all of the tokenizer's tokens; each must be
            one of them.
        truncation: whether the end of a text that is too long is cut off.
    """

    top_k: int = 5
    targets: str | Sequence[str] | None = None
    truncation: bool = False

    checks = Options.checks | {"top_k": integer(1), "targets": optional(_targets)}


class FillMaskPipeline(Pipeline):
    """Fills masked tokens.

    The answer to a text is a list of dicts with `score` (probability), `token` (id), `token_str`
    and `sequence` (the text with it), the likeliest first; with several masks a list of such
    lists, each mask on its own.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`.
        options: `top_k` (5) tokens per mask, of `targets` only if given; `max_length`; with
            `truncation` a long text is cut, else refused.

    Raises:
        ValueError: a text without a mask, or a target that is not one token.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, FillMaskPipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] the cat sat".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable: here all it knows is "cat"
        ...     return np.eye(8)[np.full_like(input_ids, 6)]
        >>> fill = FillMaskPipeline(model, tokenizer, config=DistilBertConfig(vocab_size=8))
        >>> fill("the [MASK] sat")[0]["sequence"]
        'the cat sat'
    """

    task = "fill-mask"
    head = "ForMaskedLM"
    options_class = FillMaskOptions
    default_batch_tokens = 1024  # logits are tokens x vocabulary
    _vocabulary: NDArray[np.int64] = np.empty(0, np.int64)  # kept: 30,000 take 1 ms

    def _check_options(self, options: FillMaskOptions) -> None:
        super()._check_options(options)
        if self.tokenizer.mask_token is None:
            raise ValueError("the tokenizer has no mask token; set tokenizer.mask_token")
        if self.tokenizer.split_special_tokens:
            raise ValueError(
                "the tokenizer cuts mask tokens like other text; set "
                "tokenizer.split_special_tokens = False"
            )
        if options.targets is not None:
            self._target_ids(options)

    def _target_ids(self, options: FillMaskOptions) -> NDArray[np.int64]:
        """Return the ids of the targets, each once."""
        if options.targets is None:  # a model may have more ids, to fill up its last rows
            if len(self._vocabulary) != len(self.tokenizer):
                self._vocabulary = np.fromiter(self.tokenizer.get_vocab().values(), np.int64)
            return self._vocabulary
        if not options.targets:
            raise ValueError("targets is empty: name a word, or leave targets out")
        ids = []
        for word in options.targets:
            pieces = self.tokenizer.encode(text_of(word, "a target"), add_special_tokens=False)
            found = self.tokenizer.convert_tokens_to_ids(word)
            if found == self.tokenizer.unk_token_id or found is None:
                if len(pieces) != 1 or pieces[0] == self.tokenizer.unk_token_id:
                    tokens = self.tokenizer.convert_ids_to_tokens(pieces)
                    raise ValueError(
                        f"the target {word!r} is not one token of the vocabulary but {tokens}: "
                        "a mask stands for one token, so choose others"
                    )
                found = pieces[0]
            ids.append(found)
        return np.array(list(dict.fromkeys(ids)), np.int64)

    def _read(self, item: Any, options: FillMaskOptions) -> str:
        text = text_of(item)
        mask = str(self.tokenizer.mask_token)
        if mask not in text:
            raise ValueError(f"{text!r:.80} has no {mask}; write it where a token is to be found")
        return text

    def _encode(
        self, items: list[str], options: FillMaskOptions, count: Count | None
    ) -> list[Encoded]:
        encoded, targets = [], self._target_ids(options)
        rows = self._rows(((text, None) for text in items), options, options.truncation, count)
        for text, row in zip(items, rows, strict=True):
            places = np.flatnonzero(np.array(row.ids) == self.tokenizer.mask_token_id)
            if not len(places):
                raise ValueError(
                    f"no {self.tokenizer.mask_token} is left of {text!r:.80} once its end is cut"
                )
            candidates = len(places) * min(options.top_k, len(targets))
            encoded.append(Encoded([row], (places, targets, options.top_k), candidates))
        return encoded

    def _take(self, row: Row, source: Any, outputs: Outputs) -> list[tuple[list[int], list[float]]]:
        places, targets, top_k = source
        logits = outputs["logits"]
        if logits.ndim != 2 or logits.shape[1] < len(self.tokenizer):
            raise ValueError(
                f"the model gave logits of shape {logits.shape} for a row: fill-mask needs one per "
                f"token and entry of the vocabulary ({len(self.tokenizer)})"
            )
        return [_best(softmax(logits[place]), targets, top_k) for place in places]

    def _decode(self, encoded: Encoded, kept: list[Any], options: FillMaskOptions) -> Any:
        places = encoded.source[0].tolist()
        found = [
            # With several masks the others are to be seen.
            self._fill(encoded.rows[0].ids, place, *best, hides_masks=len(places) == 1)
            for place, best in zip(places, kept[0], strict=True)
        ]
        return found[0] if len(found) == 1 else found

    def _fill(
        self, ids: list[int], at: int, tokens: list[int], scores: list[float], *, hides_masks: bool
    ) -> list[dict[str, Any]]:
        """Return the answers for the mask at a place."""
        answers = []
        for token, score in zip(tokens, scores, strict=True):
            filled = [*ids[:at], token, *ids[at + 1 :]]
            answers.append(
                {
                    "score": score,
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=hides_masks),
                }
            )
        return answers


def _best(
    scores: NDArray[np.float64], targets: NDArray[np.int64], top_k: int
) -> tuple[list[int], list[float]]:
    """Return the best of some tokens, the likeliest first, and their scores."""
    found = scores[targets]
    if top_k < len(found):  # equal ones in the order of the targets, as sorting all would have them
        least = np.partition(found, -top_k)[-top_k]
        is_good = ~(found < least)  # NaN stays, to be seen
        targets, found = targets[is_good], found[is_good]
    order = np.argsort(-found, kind="stable")[:top_k]
    return targets[order].tolist(), found[order].tolist()
