"""The loop that pre-training and distillation share: steps, validation, checkpoints, the end.

What differs between the two is the module that turns a micro-batch into a loss, so that is what
they bring. Everything random is a function of (seed, step, rank, micro-batch): a run that was
killed and started again ends with the same bits.
"""

import logging
import math
import shutil
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from distilbert.distillation.batches import Counts, StepSource, check_budget
from distilbert.distillation.corpus import Corpus
from distilbert.distillation.evaluation import masked_lm_sums, to_tensors
from distilbert.distillation.masking import Masking
from distilbert.distillation.randomness import torch_seed
from distilbert.distillation.step import DistillationStep, MaskedLMStep
from distilbert.modeling.heads import MaskedLM
from distilbert.runtime import checkpoint
from distilbert.runtime.launch import Launch
from distilbert.runtime.metrics import Metrics
from distilbert.runtime.optimisation import (
    check_finite,
    learning_rate,
    make_optimizer,
    restore,
    state_tensors,
    update,
)
from distilbert.runtime.progress import Progress
from distilbert.tokenization import DistilBertTokenizerFast

BETAS = (0.9, 0.98)
EPS = 1e-6
VALIDATION_SEQUENCES = 2000  # the most that are looked at, the first of the validation split
_LOG_EVERY = 10  # steps

_logger = logging.getLogger("distilbert")


@dataclass(frozen=True)
class Plan:
    """How a model is trained, by AdamW.

    Attributes:
        steps: optimiser steps.
        peak: highest learning rate.
        warmup: share of the steps in which the rate rises to it; then it falls linearly.
        weight_decay: of matrices.
        max_norm: gradients are scaled down to this norm; 0 leaves them alone.
        seed: of dropout (order and masks have theirs in the source).
        save_every: steps between checkpoints, each after a validation.

    Raises:
        ValueError: a number is out of range.
    """

    steps: int
    peak: float
    warmup: float
    weight_decay: float
    max_norm: float
    seed: int
    save_every: int

    def __post_init__(self) -> None:
        for name, value, is_right, rule in (
            ("learning_rate", self.peak, 0 < self.peak < math.inf, "above 0"),
            ("warmup", self.warmup, 0 <= self.warmup <= 1, "a share, from 0 to 1"),
            ("weight_decay", self.weight_decay, 0 <= self.weight_decay < math.inf, "0 or more"),
            ("max_norm", self.max_norm, 0 <= self.max_norm < math.inf, "0 (off) or more"),
            ("save_every", self.save_every, self.save_every >= 1, "1 or more"),
        ):
            if not is_right:
                raise ValueError(f"{name} must be {rule}, got {value}")


def train(
    launch: Launch,
    folder: Path,
    module: MaskedLMStep | DistillationStep,
    model: MaskedLM,
    source: StepSource,
    plan: Plan,
    description: str,
    notes: Sequence[str] = (),
) -> dict[str, float]:
    """Train `module` to the end of the plan, from the last checkpoint in `folder` if there is one.

    Args:
        module: turns a micro-batch into a loss and the sums of its terms.
        model: the part of it that is validated and published as `folder / "model"`.
        notes: sentences to say at the start.

    Returns:
        The validation's loss and accuracy at the end.

    Raises:
        ValueError: training diverged. OSError: a shard cannot be read, a checkpoint not written.
    """
    module.to(launch.device)
    optimizer = make_optimizer(module, betas=BETAS, eps=EPS, weight_decay=plan.weight_decay)
    start, scores = _resume(launch, folder, module, optimizer)
    wrapped = launch.wrap(module).train()
    with (
        source,
        Metrics(folder, step=start, is_main=launch.is_main) as metrics,
        Progress(
            total=plan.steps,
            done=start,
            description=description,
            device=launch.device,
            is_main=launch.is_main,
        ) as progress,
    ):
        for note in notes:
            progress.say(note)
        if start == 0:
            scores = _validate(launch, model, source, metrics, 0, progress.say)
        else:
            progress.say(f"going on from the checkpoint of step {start:,}")
        for step in range(start, plan.steps):
            done = step + 1
            rate = learning_rate(
                step, total=plan.steps, peak=plan.peak, warmup=round(plan.warmup * plan.steps)
            )
            sums, counts = _accumulate(launch, wrapped, source, step, plan.seed)
            loss = sums.pop("loss")
            check_finite(loss, "the loss", step)
            norm = update(launch, optimizer, step=step, rate=rate, max_norm=plan.max_norm)
            progress.advance(done, counts.tokens, loss=loss)
            if done % _LOG_EVERY == 0 or done == plan.steps:
                terms = {
                    name: total
                    / max(counts.masked if name in module.at_masked else counts.tokens, 1)
                    for name, total in sums.items()
                }
                metrics.write(done, loss=loss, rate=rate, norm=norm, tokens=counts.tokens, **terms)
            if done % plan.save_every == 0 or done == plan.steps:
                scores = _validate(launch, model, source, metrics, done, progress.say)
                _save(launch, folder, done, module, optimizer, scores)
    publish(launch, model, source.corpus, folder / "model")
    return scores


def _accumulate(
    launch: Launch, wrapped: nn.Module, source: StepSource, step: int, seed: int
) -> tuple[dict[str, float], Counts]:
    """Add up the gradients of this rank's micro-batches, and loss and terms of all ranks."""
    dealt, counts = source.step(step)
    sums: dict[str, Tensor] = {}
    micros = dealt[launch.rank]
    for number, micro in enumerate(micros):
        if not len(micro):
            continue  # never the last, in which gradients are reduced
        torch.manual_seed(torch_seed(seed, "dropout", step, launch.rank, number))
        ids, labels = to_tensors(micro, launch.device)
        is_last = number == len(micros) - 1
        with nullcontext() if is_last else launch.no_sync(wrapped):
            with launch.autocast():
                loss, terms = wrapped(ids, labels, micro.lengths, counts)
            launch.backward(loss)
        for name, term in {"loss": loss.detach(), **terms}.items():
            sums[name] = sums.get(name, 0) + term.double()
    totals = torch.stack(list(sums.values()))
    if launch.ranks > 1:
        totals = launch.reduce_sum(totals)
    return dict(zip(sums, totals.tolist(), strict=True)), counts


def _validate(
    launch: Launch,
    model: MaskedLM,
    source: StepSource,
    metrics: Metrics,
    done: int,
    say: Callable[[str], None],
) -> dict[str, float]:
    batches = source.validation(
        source.micro_tokens, rank=launch.rank, max_sequences=VALIDATION_SEQUENCES
    )
    with launch.autocast():
        sums = masked_lm_sums(model, batches)
    if launch.ranks > 1:
        sums = launch.reduce_sum(sums)
    loss, right, count = sums.tolist()
    scores = {"loss": loss / max(count, 1), "accuracy": right / max(count, 1)}
    check_finite(scores["loss"], "the validation loss", done)
    metrics.write(done, validation__loss=scores["loss"], validation__accuracy=scores["accuracy"])
    say(
        f"step {done:,}: validation loss {scores['loss']:.4f}, "
        f"masked-token accuracy {scores['accuracy']:.2%}"
    )
    return scores


def _resume(
    launch: Launch, folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer
) -> tuple[int, dict[str, float]]:
    """Return how many steps are done, and the last validation's scores."""
    found = checkpoint.latest(folder / "checkpoints")
    launch.agree(found.step if found else 0, "the step to resume from")
    if found is None:
        return 0, {}
    for defect in found.damaged:
        _logger.warning("%s is passed over: %s", folder, defect)
    checkpoint.load_weights(module, found.tensors("weights"))
    restore(optimizer, found.tensors("optimizer"))
    launch.restore_scaler(found.state["scaler"])
    return found.step, dict(found.state["scores"])


def _save(
    launch: Launch,
    folder: Path,
    done: int,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
    scores: dict[str, float],
) -> None:
    if launch.is_main:
        checkpoint.save(
            folder / "checkpoints",
            done,
            {"weights": checkpoint.weights_of(module), "optimizer": state_tensors(optimizer)},
            {"scaler": launch.scaler_state(), "scores": scores},
        )
    launch.barrier()


def publish(launch: Launch, model: MaskedLM, corpus: Corpus, folder: Path) -> None:
    """Write the model and its tokenizer as a folder that `from_pretrained` opens."""
    if launch.is_main:
        model.save_pretrained(folder)
        for file in ("vocab.txt", "tokenizer.json", "tokenizer_config.json",
                     "special_tokens_map.json", "added_tokens.json"):  # fmt: skip
            if (corpus.tokenizer_folder / file).exists():
                shutil.copyfile(corpus.tokenizer_folder / file, folder / file)
    launch.barrier()


def open_source(
    launch: Launch,
    corpus: str,
    *,
    seed: int,
    sequences_per_step: int,
    micro_tokens: int,
    masking: Masking,
) -> StepSource:
    """Open both splits of a corpus, and find out whether they can be dealt as wanted.

    Raises:
        OSError: a shard is missing, truncated or unreadable.
        ValueError: a split is empty, or a sequence longer than `micro_tokens`.
    """
    source = StepSource(
        Corpus.open(corpus),
        seed=seed,
        sequences_per_step=sequences_per_step,
        micro_tokens=micro_tokens,
        ranks=launch.ranks,
        masking=masking,
    )
    check_budget(Corpus.open(corpus, "validation").longest, 1, micro_tokens, 1)
    return source


def steps_of(steps: int, epochs: float, sequences: int, per_step: int) -> int:
    """Return the steps of a run: as given, or so many passes over the corpus.

    Raises:
        ValueError: neither is positive, or the passes are less than one step.
    """
    if steps < 0 or not 0 <= epochs < math.inf or (steps == 0 and epochs == 0):
        raise ValueError(f"give steps or epochs, not steps={steps} and epochs={epochs}")
    count = steps or int(epochs * sequences / per_step)
    if count < 1:
        raise ValueError(
            f"{epochs} epochs of {sequences} sequences are less than one step of {per_step}; "
            "lower sequences_per_step or give steps"
        )
    return count


def check_vocabulary(name: str, model: MaskedLM, corpus: Corpus, *, exact: bool = True) -> None:
    """Check that a model reads the ids of a corpus.

    Args:
        name: where it was opened: its tokenizer, if it has one, is compared entry by entry.
        exact: False lets the model have more entries than the corpus.

    Raises:
        ValueError: its vocabulary is another, or it has too few positions.
    """
    known, needed = model.config.vocab_size, corpus.vocab_size
    remedy = f"prepare the corpus with --tokenizer {name}"
    if known < needed or (exact and known != needed):
        raise ValueError(
            f"{name} has a vocabulary of {known} entries, the corpus {corpus.folder} one of "
            f"{needed}: {remedy}"
        )
    positions = model.config.max_position_embeddings
    longest = max(Corpus.open(corpus.folder, split).longest for split in ("train", "validation"))
    if positions < longest:
        raise ValueError(
            f"{name} has {positions} positions, the corpus {corpus.folder} sequences of "
            f"{longest} tokens: prepare it with --max_length {positions}"
        )
    try:
        theirs = DistilBertTokenizerFast.from_pretrained(name).get_vocab()
    except OSError:
        _logger.warning(
            "%s has no tokenizer: only the size of its vocabulary was compared with the corpus",
            name,
        )
        return
    ours = DistilBertTokenizerFast.from_pretrained(corpus.tokenizer_folder).get_vocab()
    other = [token for token, entry in ours.items() if theirs.get(token) != entry]
    if other:
        raise ValueError(
            f"{name} has another vocabulary than the corpus {corpus.folder}: {len(other)} of "
            f"{len(ours)} entries differ, such as {min(other, key=ours.__getitem__)!r}; {remedy}"
        )
