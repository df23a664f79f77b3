"""What the quickstart measures of its models, all of it from their saved folders."""

import csv
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from distilbert.distillation.batches import StepSource
from distilbert.distillation.evaluation import masked_lm_hits
from distilbert.extras import require
from distilbert.modeling.opening import open_masked_lm
from distilbert.pipelines import pipeline
from distilbert.recipes.bench_task import Trial
from distilbert.recipes.masked_lm import validation_batches
from distilbert.recipes.task_model import outputs_of
from distilbert.runtime.launch import Launch

_BATCH_TOKENS = 4096


@dataclass(frozen=True)
class Share:
    """How often something was right.

    Args:
        hits: of each item, whether it was; or in which share of several runs.
    """

    hits: np.ndarray

    @property
    def mean(self) -> float:
        """The share, 0 to 1."""
        return float(self.hits.mean())

    @property
    def error(self) -> float:
        """The standard error of the share."""
        return float(self.hits.std() / math.sqrt(len(self.hits)))

    def minus(self, other: "Share") -> tuple[float, float]:
        """Return how much larger it is than another's on the same items, and its standard error.

        The error is that of paired differences: what is hard for both does not count.
        """
        difference = self.hits.astype(float) - other.hits
        return float(difference.mean()), float(difference.std() / math.sqrt(len(difference)))


def mean_of(shares: Iterable[Share]) -> Share:
    """Return the mean of several runs on the same items."""
    return Share(np.mean([share.hits for share in shares], axis=0))


@dataclass(frozen=True)
class Row:
    """A line of the table; None where it does not apply.

    Args:
        name: of the model.
        task: labels of the task that were right, in the mean of several runs of fine-tuning.
        guesses: masked tokens that were right.
        parameters, encoder: how many there are, and how many of them in the layers.
        size_mb: of the file of weights, megabytes.
        latency_ms: of a text alone.
        texts_per_s: in batches.
    """

    name: str
    task: Share
    guesses: Share | None = None
    parameters: int | None = None
    encoder: int | None = None
    size_mb: float | None = None
    latency_ms: float | None = None
    texts_per_s: float | None = None


def tfidf(train: Path, test: Path) -> Share:
    """Return how often logistic regression on TF-IDF of words finds the label.

    Raises:
        ImportError: scikit-learn is not installed.
    """
    require("sklearn")
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    texts, labels = _columns(train)
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True), LogisticRegression(max_iter=1000))
    model.fit(texts, labels)
    texts, labels = _columns(test)
    return Share(model.predict(texts) == np.array(labels))


def _columns(path: Path) -> tuple[list[str], list[str]]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["label"] for row in rows]


def most_frequent(source: StepSource) -> float:
    """Return how often always guessing the training text's most frequent token is right."""
    special = list(source.corpus.special_ids.values())
    counts = source.corpus.counts.copy()
    counts[special] = 0
    right = total = 0
    for micro in validation_batches(source):
        right += int(np.count_nonzero(micro.targets == counts.argmax()))
        total += micro.masked
    return right / total


def guesses(launch: Launch, folder: Path, source: StepSource) -> Share:
    """Return which masked tokens of the validation split a saved masked LM guesses."""
    model = open_masked_lm(str(folder), attn_implementation="varlen").to(launch.device)
    with launch.autocast():
        return Share(masked_lm_hits(model, validation_batches(source)))


def answers(launch: Launch, trial: Trial) -> Share:
    """Return which labels of the task a classifier gives rightly."""
    features = trial.examples.features
    outputs, _ = outputs_of(launch, trial.model.to(launch.device), features, _BATCH_TOKENS)
    return Share(outputs.argmax(-1) == features.labels)


def fill(models: Mapping[str, Path], texts: Sequence[str]) -> list[dict[str, str]]:
    """Return each text with what the models put at its mask, the likeliest first."""
    pipelines = {name: pipeline("fill-mask", str(folder)) for name, folder in models.items()}
    return [
        {"text": text}
        | {
            name: ", ".join(f"{guess['token_str']} {guess['score']:.0%}" for guess in fill(text))
            for name, fill in pipelines.items()
        }
        for text in texts
    ]
