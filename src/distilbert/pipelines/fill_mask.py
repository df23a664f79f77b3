"""Filling masks: which tokens belong where a text has the mask token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from distilbert.fields import integer, optional
from distilbert.pipelines.flow import Encoded, Options, Pipeline, softmax, text_of, text_or_words
from distilbert.pipelines.running import Outputs, Row


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

    checks = Options.checks | {"top_k": integer(1), "targets": optional(text_or_words)}


class FillMaskPipeline(Pipeline):
    """Fills masked tokens.

    The answer to a text is a list of dicts with `score` (probability), `token` (id), `token_str`
    and `sequence` (the text with it), the likeliest first; with several masks a list of such
    lists, each mask on its own.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see `Pipeline`.
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

    def _check_options(self, options: FillMaskOptions) -> None:
        super()._check_options(options)
        if self.tokenizer.mask_token is None:
            raise ValueError("the tokenizer has no mask token; set tokenizer.mask_token")
        if options.targets is not None:
            self._targets(options)

    def _targets(self, options: FillMaskOptions) -> NDArray[np.int64]:
        """Return the ids of the targets, each once."""
        if options.targets is None:  # a model may have more ids, to fill up its last rows
            return np.fromiter(self.tokenizer.get_vocab().values(), np.int64)
        words = [options.targets] if isinstance(options.targets, str) else list(options.targets)
        if not words:
            raise ValueError("targets is empty: name a word, or leave targets out")
        ids = []
        for word in words:
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

    def _encode(self, items: list[str], options: FillMaskOptions) -> list[Encoded]:
        encoded, targets = [], self._targets(options)
        for text, row in zip(
            items, self._rows(items, None, options, options.truncation), strict=True
        ):
            places = np.flatnonzero(np.array(row.ids) == self.tokenizer.mask_token_id)
            if not len(places):
                raise ValueError(
                    f"no {self.tokenizer.mask_token} is left of {text!r:.80} once its end is cut"
                )
            encoded.append(Encoded([row], (places, targets)))
        return encoded

    def _take(self, row: Row, source: Any, outputs: Outputs) -> NDArray[np.float32]:
        logits = outputs["logits"]
        if logits.ndim != 2 or logits.shape[1] < len(self.tokenizer):
            raise ValueError(
                f"the model gave logits of shape {logits.shape} for a row: fill-mask needs one per "
                f"token and entry of the vocabulary ({len(self.tokenizer)})"
            )
        return logits[source[0]]  # (masks, V), a copy

    def _decode(self, encoded: Encoded, kept: list[Any], options: FillMaskOptions) -> Any:
        found = [
            self._fill(encoded, at, softmax(logits), options.top_k)
            for at, logits in zip(encoded.source[0], kept[0], strict=True)
        ]
        return found[0] if len(found) == 1 else found

    def _fill(
        self, encoded: Encoded, at: int, scores: NDArray[np.float64], top_k: int
    ) -> list[dict[str, Any]]:
        """Return the best tokens for the mask at a place."""
        ids = encoded.rows[0].ids
        places, targets = encoded.source
        best = targets[np.argsort(-scores[targets], kind="stable")[:top_k]]
        answers = []
        for token in best.tolist():
            filled = [*ids[:at], token, *ids[at + 1 :]]
            answers.append(
                {
                    "score": float(scores[token]),
                    "token": token,
                    "token_str": self.tokenizer.decode([token]),
                    # With several masks the others are to be seen.
                    "sequence": self.tokenizer.decode(filled, skip_special_tokens=len(places) == 1),
                }
            )
        return answers
