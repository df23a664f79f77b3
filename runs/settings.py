"""What the experiment compares: students, tasks, and how long each is trained.

Everything that may be changed is here; budgets in tokens are arguments of `evidence.py` as well.
"""

from dataclasses import dataclass, field
from typing import Any

SEQUENCE = 128  # tokens of the corpus's packed sequences

# Of the teacher, all-MiniLM-L6-v2 with a masked-LM head that is new.
TEACHER = {
    "sequences_per_step": 512,
    "micro_tokens": 65536,
    "learning_rate": 5e-4,
    "warmup": 0.05,
    "save_every": 400,
}

# Of every student; a row changes some.
STUDENT = {
    "sequences_per_step": 256,
    "micro_tokens": 32768,
    "learning_rate": 5e-4,
    "save_every": 500,
}
NOTHING = {"ce": 0.0, "mlm": 0.0, "cos": 0.0}


@dataclass(frozen=True)
class Row:
    """A model that the tasks score.

    Args:
        what: in words, for the table.
        tokens: of its training, in parts of the students' budget; 0 copies weights and stops.
        changes: to `STUDENT`, settings of `distilbert distill`.
        first: it has the first half of the teacher's layers, instead of the last of every two.
    """

    what: str
    tokens: float = 1.0
    changes: dict[str, Any] = field(default_factory=dict)
    first: bool = False

    def layers(self, teacher_layers: int) -> tuple[int, ...]:
        """Return the teacher's layers, from 0, that the student begins with."""
        return tuple(range(teacher_layers // 2) if self.first else range(1, teacher_layers, 2))


BEST = {"recipe": "combined-2026"}

# In the order in which they are trained, the most important first, and long ones not at the end,
# where they would train alone.
ROWS: dict[str, Row] = {
    "a": Row("every second layer of the teacher, nothing else", 0),
    "e": Row("triple loss, the paper's settings"),
    "h": Row("relations, hidden states, L_ce at masked tokens, no dropout", 1, BEST),
    "h-triple": Row("(h), three times the tokens", 3, BEST),
    "c": Row("same start, masked LM only, no teacher", 1, {**NOTHING, "mlm": 1.0}),
    "f": Row("MiniLMv2 relations", 1, {**NOTHING, "relation": 1.0}),
    "g": Row("hidden states and attention of all layers", 1,
             {**NOTHING, "hidden": 1.0, "attention": 1.0}),
    "d": Row("random start, triple loss", 1, {"start": "random"}),
    "e-ce": Row("(e) without L_ce", 1, {"ce": 0.0}),
    "e-cos": Row("(e) without L_cos", 1, {"cos": 0.0}),
    "e-mlm": Row("(e) without L_mlm", 1, {"mlm": 0.0}),
    "b": Row("the first half of its layers, nothing else", 0, first=True),
    "h-quarter": Row("(h), a quarter of the tokens", 0.25, BEST),
    "h-long": Row("(h), six times the tokens", 6, BEST),
}  # fmt: skip


@dataclass(frozen=True)
class Task:
    """A task and how it is learned; the same for all models.

    Args:
        name: of `distilbert finetune`.
        metric: the score that counts.
        steps: optimiser steps.
        batch: examples per step.
        rate: highest learning rate.
        seeds: how many.
        augment: changed copies of each example where a teacher labels them.
        options: other settings of `distilbert finetune`.
        longer: times as many steps where a teacher teaches longer.
        copies: changed copies of each example there.
        unlabelled: data set whose training texts are learned from there, instead of copies.
    """

    name: str
    metric: str
    steps: int
    batch: int
    rate: float
    seeds: int
    augment: int = 0
    options: dict[str, Any] = field(default_factory=dict)
    longer: float = 4.0
    copies: int = 8
    unlabelled: str = ""

    @property
    def more(self) -> bool:
        """Whether it is learned from more texts where a teacher teaches longer."""
        return bool(self.copies or self.unlabelled)


TASKS: dict[str, Task] = {
    "cola": Task("cola", "matthews", 530, 64, 2e-4, 5, 4, copies=16),
    "mrpc": Task("mrpc", "f1", 290, 64, 2e-4, 5, 4, longer=2.0),
    "rte": Task("rte", "accuracy", 240, 64, 2e-4, 5, 4),
    "stsb": Task("stsb", "spearman", 360, 64, 2e-4, 5, 4),
    "sick": Task("classification", "accuracy", 350, 64, 2e-4, 5, 4,
                 {"text_column": "sentence_A", "second_text_column": "sentence_B"}),
    "sst2": Task("sst2", "accuracy", 1050, 128, 2e-4, 1, longer=1.0, copies=0),
    "conll2003": Task("conll2003", "f1", 880, 64, 3e-4, 1, longer=2.0, copies=4),
    "squad": Task("squad", "f1", 1000, 64, 3e-4, 1, 0, {"max_length": 384},
                  longer=1.5, copies=0, unlabelled="squad-whole"),
}  # fmt: skip

# Of the students, all of which a fine-tuned teacher teaches once more, also with augmented texts:
# those that it teaches longer.
LONGER = ("h-long",)
# Weights with a teacher; of texts that nobody labelled only its word counts.
WEIGHTS = {
    "taught": {"labels": 0.5, "ce": 0.5},
    "augmented": {"labels": 0.0, "ce": 1.0},
    "longer": {"labels": 0.0, "ce": 1.0},
}
# Kinds of runs that learn from other texts: the kind of run that makes these.
TEXTS = {"augmented": "texts", "longer": "more-texts"}

# Whole data sets with the teacher's own six layers, one seed: how good, how long.
LARGE: dict[str, Task] = {
    "imdb": Task("imdb", "accuracy", 1250, 32, 1e-4, 1, 0, {"max_length": 512}),
    "squad-whole": Task("squad", "f1", 2740, 64, 2e-4, 1, 0, {"max_length": 384}),
}
