"""Answers to questions, as places in a context of any length."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from distilbert.fields import boolean, integer, optional
from distilbert.pipelines.flow import Encoded, Pipeline
from distilbert.pipelines.inputs import Count, text_of
from distilbert.pipelines.options import Options
from distilbert.pipelines.running import Outputs, Row
from distilbert.tasks.answers import find_answers, log_probabilities
from distilbert.tasks.windows import Windows, make_windows

USUAL_LENGTH, USUAL_STRIDE = 384, 128


@dataclass(frozen=True)
class QuestionAnsweringOptions(Options):
    """What question answering can be told; `max_seq_len` is another name of `max_length`.

    Args:
        top_k: answers per question, the likeliest first.
        doc_stride: tokens of the context that consecutive windows share; by default 128, or half
            of a short window.
        max_question_len: questions of more tokens are refused; none is ever cut.
        max_answer_len: longest answer, in tokens.
        handle_impossible_answer: whether "" may be the answer.
        align_to_words: whether answers are widened to whole words.
    """

    top_k: int = 1
    max_seq_len: int | None = None
    doc_stride: int | None = None
    max_question_len: int | None = None
    max_answer_len: int = 15
    handle_impossible_answer: bool = False
    align_to_words: bool = True

    checks = Options.checks | {
        "top_k": integer(1),
        "max_seq_len": optional(integer(1)),
        "doc_stride": optional(integer(0)),
        "max_question_len": optional(integer(1)),
        "max_answer_len": integer(1),
        "handle_impossible_answer": boolean,
        "align_to_words": boolean,
    }


class QuestionAnsweringPipeline(Pipeline):
    """Finds the answer to a question in a context.

    Called with a question and a context, texts or lists of them, or with dicts of both. The answer
    is a dict with `answer` (the text), `start` and `end` (its characters in the context) and
    `score`, or with `top_k` above 1 a list of dicts, the likeliest first.

    A context of any length is read in windows. The score is the probability of the answer among
    all spans of a window and [CLS], which stands for no answer; of several windows the best
    counts. Spans of a window that spell the same, in whatever case, count together.

    Args:
        model, tokenizer, config, batch_tokens, read_ahead: see
            `distilbert.pipelines.flow.Pipeline`.
        options: `top_k` (1), `max_seq_len` or `max_length` (of a window, 384), `doc_stride` (128),
            `max_question_len` (None), `max_answer_len` (15), `handle_impossible_answer` (False),
            `align_to_words` (True).

    Raises:
        ValueError: a question without a context, or so long that windows have no room for one.

    Example:
        >>> import numpy as np
        >>> from distilbert import DistilBertConfig, DistilBertTokenizer, QuestionAnsweringPipeline
        >>> words = "[PAD] [UNK] [CLS] [SEP] [MASK] who sat the cat".split()
        >>> tokenizer = DistilBertTokenizer({word: i for i, word in enumerate(words)})
        >>> def model(input_ids, attention_mask):  # any callable in the place of a model
        ...     return 9.0 * (input_ids == 7), 9.0 * (input_ids == 8)
        >>> answer = QuestionAnsweringPipeline(model, tokenizer, config=DistilBertConfig())
        >>> found = answer(question="Who sat?", context="The cat sat.")
        >>> found["answer"], found["start"], found["end"]
        ('The cat', 0, 7)
    """

    task = "question-answering"
    head = "ForQuestionAnswering"
    outputs = ("start_logits", "end_logits")
    options_class = QuestionAnsweringOptions
    _expected = "a dict with question and context, or an iterable of these"

    def __call__(
        self,
        inputs: Any = None,
        context: str | Sequence[str] | None = None,
        *,
        question: str | Sequence[str] | None = None,
        progress: bool = False,
        **options: Any,
    ) -> Any:
        """As `distilbert.pipelines.flow.Pipeline`.

        Args:
            inputs: a dict with `question` and `context`, or an iterable of these; before a context
                another name of `question`.
            question, context: instead of it; one context may serve several questions.
        """
        if question is None and context is not None:
            inputs, question = None, inputs
        if (inputs is None) == (question is None and context is None):
            raise ValueError("give either question=… and context=…, or dicts with both keys")
        if inputs is None:
            inputs = _paired(question, context)
        return super().__call__(inputs, progress=progress, **options)

    def _is_one(self, inputs: Any) -> bool:
        return isinstance(inputs, Mapping)

    def _check_options(self, options: QuestionAnsweringOptions) -> None:
        super()._check_options(options)
        if None not in (options.max_length, options.max_seq_len):
            raise ValueError("max_seq_len is another name of max_length: give one of them")
        self._check_positions("max_seq_len", options.max_seq_len)

    def _limit(self, options: Any) -> int:
        given = options.max_length or options.max_seq_len
        return given or min(super()._limit(options), USUAL_LENGTH)

    def _read(self, item: Any, options: QuestionAnsweringOptions) -> tuple[str, str]:
        if not isinstance(item, Mapping):
            raise TypeError(f"expected a dict with question and context, not {item!r:.60}")
        absent = [name for name in ("question", "context") if item.get(name) is None]
        if absent:
            raise ValueError(
                f"there is no {absent[0]}: an input needs question and context, got {list(item)}"
            )
        return text_of(item["question"], "the question"), text_of(item["context"], "the context")

    def _encode(
        self, items: list[Any], options: QuestionAnsweringOptions, count: Count | None
    ) -> list[Encoded]:
        limit = self._limit(options)
        stride = options.doc_stride
        stride = min(USUAL_STRIDE, limit // 2) if stride is None else stride
        found = []
        for question, context in items:
            self._check_question(question, options.max_question_len)
            windows = make_windows(self.tokenizer, [question], [context], limit, stride, count)
            if not any(map(len, windows.chars)) and not options.handle_impossible_answer:
                raise ValueError(f"the context {context!r:.80} has no tokens")
            both = zip(windows.input_ids, windows.token_type_ids, strict=True)
            rows = [Row(*each) for each in both]
            found.append(Encoded(rows, windows, len(rows) * options.top_k))
        return found

    def _check_question(self, question: str, most: int | None) -> None:
        if most is None:
            return
        count = len(self.tokenizer.tokenize(question))
        if count > most:
            raise ValueError(
                f"the question {question!r:.80} has {count} tokens, and max_question_len={most}: "
                "shorten it, or leave max_question_len out to have it read whole"
            )

    def _take(self, row: Row, source: Windows, outputs: Outputs) -> Any:
        n = len(row.ids)
        taken = [outputs[name][:n].copy() for name in self.outputs]
        if any(values.shape != (n,) for values in taken):
            raise ValueError(
                f"the model gave start and end logits of shapes {[v.shape for v in taken]} for a "
                f"row of {n} tokens: question-answering needs a …ForQuestionAnswering model"
            )
        return taken

    def _decode(self, encoded: Encoded, kept: list[Any], options: QuestionAnsweringOptions) -> Any:
        logits = [rows[0] for rows in kept], [rows[1] for rows in kept]
        # Aligned to words, several spans make one answer: look at more of them.
        n_best = 2 * options.top_k + 10 if options.align_to_words else options.top_k
        answers = find_answers(
            encoded.source,
            *log_probabilities(encoded.source, *logits),
            n_best,
            options.max_answer_len,
            options.align_to_words,
        )[0]
        found: list[dict[str, Any]] = [
            {"score": float(np.exp(a.score)), "start": a.start, "end": a.end, "answer": a.text}
            for a in answers.best
        ]
        if options.handle_impossible_answer:
            null = float(np.exp(answers.null_score))
            found.append({"score": null, "start": 0, "end": 0, "answer": ""})
            found.sort(key=lambda each: -each["score"])
        if not found:
            raise ValueError("the model gave start and end logits that are no numbers")
        return found[0] if options.top_k == 1 else found[: options.top_k]


def _paired(question: Any, context: Any) -> dict[str, Any] | list[dict[str, Any]]:
    """Return the inputs that questions and contexts make."""
    if not isinstance(question, list | tuple) and not isinstance(context, list | tuple):
        return {"question": question, "context": context}
    questions = [question] * len(context) if isinstance(question, str) else question
    contexts = [context] * len(questions or ()) if isinstance(context, str) else context
    if questions is None or contexts is None or len(questions) != len(contexts):
        counts = [0 if each is None else len(each) for each in (questions, contexts)]
        raise ValueError(f"there are {counts[0]} questions and {counts[1]} contexts")
    return [{"question": q, "context": c} for q, c in zip(questions, contexts, strict=True)]
