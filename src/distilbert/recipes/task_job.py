"""The job of fine-tuning: how a model that learns a task is fed, validated and published."""

import logging
from pathlib import Path

import numpy as np
import torch

from distilbert.recipes.job import Job, publish
from distilbert.recipes.task_model import in_words, outputs_of
from distilbert.runtime.launch import Launch
from distilbert.runtime.optimisation import check_finite
from distilbert.tasks.batches import TaskSource
from distilbert.tasks.features import Batch
from distilbert.tasks.step import Inputs, TaskStep, to_inputs
from distilbert.tasks.task import Examples
from distilbert.tasks.words import UsedWords

_logger = logging.getLogger("distilbert")
_ALIKE = 0.01  # of logits, or of the labels' range: outputs of models that learn differ by 0.1


class TaskJob(Job):
    """A model that learns a task.

    Args:
        module: turns a micro-batch into its parts of the loss and its terms; its model is
            validated and published.
        source: of its batches.
        validation: what it is scored on.
        tokenizer: folder or hub id of the one that is published with it.
    """

    module: TaskStep
    source: TaskSource

    def __init__(
        self, module: TaskStep, source: TaskSource, validation: Examples, tokenizer: str
    ) -> None:
        self.module, self.model, self.source = module, module.model, source
        self.validation, self.tokenizer = validation, tokenizer

    def inputs(self, micro: Batch, device: torch.device) -> Inputs:
        """Return ids, token types, lengths, labels and the teacher's outputs."""
        return to_inputs(micro, device)

    def validate(self, launch: Launch, done: int) -> dict[str, float]:
        """Return the loss and the task's scores."""
        features = self.validation.features
        outputs, loss = outputs_of(launch, self.model, features, self.source.micro_tokens)
        check_finite(loss, "the validation loss", done)  # before a score of NaN is an error
        if launch.is_main and self._is_collapsed(outputs):
            _logger.warning(
                "step %d: the model answers nearly the same to every text: it has not begun to "
                "learn, or has collapsed; if this stays so, take a lower learning_rate or more "
                "warmup",
                done,
            )
        return {"loss": loss, **self.validation.score(outputs)}

    def _is_collapsed(self, outputs: np.ndarray) -> bool:
        """Whether the outputs for all examples are nearly the same."""
        features = self.validation.features
        if len(features) < 2:
            return False
        scale = 1.0
        if self.model.config.problem_type == "regression":
            scale = float(np.ptp(features.labels))
        # Of a choice's endings one is as good as another: they are compared with each other too.
        spread = np.ptp(outputs) if features.rows > 1 else np.ptp(outputs, axis=0).max()
        return bool(spread < _ALIKE * scale)

    def describe(self, scores: dict[str, float]) -> str:
        """Return the scores in words."""
        return f"validation {in_words(scores)}"

    def publish(self, launch: Launch, folder: Path) -> None:
        """Write the model and its tokenizer."""
        words = self.model.get_input_embeddings()
        if isinstance(words, UsedWords):
            self.model.set_input_embeddings(words.whole())
        launch.on_main(lambda: publish(self.model, self.tokenizer, folder))
