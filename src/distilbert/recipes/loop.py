"""The loop that all training shares: steps, validation, checkpoints, the best and the end.

What differs between pre-training, distillation and fine-tuning is a `Job`. Everything random is a
function of (seed, step, rank, micro-batch): a run that was killed and started again ends with the
same bits. At a SIGTERM it finishes its step, on all ranks the same, and writes a checkpoint there.
"""

import logging
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from torch import Tensor, nn

from distilbert.distillation.randomness import torch_seed
from distilbert.hub import CONFIG_FILE
from distilbert.native.memory import Trimming
from distilbert.recipes.job import Job
from distilbert.recipes.plan import Plan, gain
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
from distilbert.runtime.run import CHECKPOINTS, Run, recorded_scores
from distilbert.runtime.termination import Terminated, Termination

_LOG_EVERY = 10  # steps
_VALIDATION = "validation/"  # before the names of its scores

_logger = logging.getLogger("distilbert")


@dataclass
class Standing:
    """Where a run stands.

    Attributes:
        step: optimiser steps done.
        scores: of the validation after that step; empty if there was none (yet).
        best_step: when the best scores were reached.
        best_scores: those; empty before the first validation, or where the last weights count.
        best_weights: those of the module at that step.
        stale: validations since the best one.
    """

    step: int = 0
    scores: dict[str, float] = field(default_factory=dict)
    best_step: int = 0
    best_scores: dict[str, float] = field(default_factory=dict)
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    stale: int = 0

    def is_over(self, plan: Plan) -> bool:
        """Whether the run ends here, at the last step or before."""
        is_last = self.step >= plan.steps or 0 < plan.patience <= self.stale
        return is_last and not self.is_due(plan)

    def is_due(self, plan: Plan) -> bool:
        """Whether a validation is to follow; a SIGTERM may have come between."""
        if self.step == 0 or self.scores:
            return False
        return self.step % plan.save_every == 0 or self.step == plan.steps

    def advance(self, done: int) -> None:
        """Go on to where so many steps are done."""
        self.step, self.scores = done, {}

    def judge(self, scores: dict[str, float], plan: Plan, module: nn.Module) -> None:
        """Take over the scores of a validation, and the weights if they are the best so far."""
        self.scores = scores
        if plan.metric is None:
            return
        best = self.best_scores
        if best and not gain(plan.metric, scores) > gain(plan.metric, best):
            self.stale += 1
            return
        self.best_step, self.best_scores, self.stale = self.step, scores, 0
        weights = checkpoint.weights_of(module)
        self.best_weights = {name: weight.cpu().clone() for name, weight in weights.items()}

    def state(self) -> dict[str, Any]:
        """Return what of it a checkpoint keeps as JSON."""
        return {
            "scores": self.scores,
            "best_step": self.best_step,
            "best_scores": self.best_scores,
            "stale": self.stale,
        }


def train(
    launch: Launch,
    run: Run,
    job: Job,
    plan: Plan,
    description: str,
    notes: Sequence[str] = (),
) -> dict[str, float]:
    """Do a job to the end of the plan, from the last checkpoint of the run if there is one.

    The model is published as `model` in the run's folder. A run that has published it and whose
    checkpoints were removed is left as it is.

    Args:
        run: begun, on every rank.
        notes: sentences to say at the start, before those of the run.

    Returns:
        The scores of the weights that are published.

    Raises:
        ValueError: training diverged. OSError: a shard cannot be read, a checkpoint not written.
        Terminated: a rank got SIGTERM. It is raised on all, after the same step.
    """
    with Termination() as termination:
        scores = _train(launch, run, job, plan, description, notes, termination)
        if any(launch.gather(termination.asked)):  # after the last step
            _end(launch, "at the end of this run, which is finished; the same command goes on")
        return scores


def _train(
    launch: Launch,
    run: Run,
    job: Job,
    plan: Plan,
    description: str,
    notes: Sequence[str],
    termination: Termination,
) -> dict[str, float]:
    folder = run.folder
    module = job.module.to(launch.device)
    optimizer = make_optimizer(
        module,
        betas=plan.betas,
        eps=plan.eps,
        weight_decay=plan.weight_decay,
        scale_of=plan.scale_of,
    )
    standing = _resume(launch, folder, module, optimizer)
    start = standing.step
    published = None if start else launch.on_main(lambda: _published_scores(folder))
    if published is not None:
        _logger.info(
            "%s is finished, and its checkpoints were removed: its model is left as it is", folder
        )
        return published
    wrapped = launch.wrap(module).train()
    with (
        job.source,
        Metrics(
            folder,
            step=start,
            again=_VALIDATION if standing.is_due(plan) else None,
            is_main=launch.is_main,
        ) as metrics,
        Progress(
            total=plan.steps,
            done=start,
            description=description,
            device=launch.device,
            is_main=launch.is_main,
        ) as progress,
    ):

        def validate() -> dict[str, float]:
            done = standing.step
            scores = job.validate(launch, done)
            metrics.write(done, {_VALIDATION + name: s for name, s in scores.items()})
            progress.say(f"step {done:,}: {job.describe(scores)}")
            return scores

        def save() -> None:
            if plan.checkpoints:
                _save(launch, folder, standing, module, optimizer)

        def judge() -> None:
            standing.judge(validate(), plan, module)
            save()

        for note in (*notes, *run.notes):
            progress.say(note)
        if start:
            last = ", the last: nothing is left to do" if standing.is_over(plan) else ""
            progress.say(f"going on from the checkpoint of step {start:,}{last}")
        elif plan.validates_first:
            validate()
        if standing.is_due(plan):
            judge()
        trimming = Trimming(launch.device)
        for step in range(start, plan.steps):
            if standing.is_over(plan):
                break
            done = step + 1
            rate = learning_rate(
                step, total=plan.steps, peak=plan.peak, warmup=round(plan.warmup * plan.steps)
            )
            terms, tokens = _accumulate(launch, wrapped, job, step, plan.seed, termination)
            loss, askers = terms.pop("loss"), terms.pop("askers")
            check_finite(loss, "the loss", step)
            norm = update(launch, optimizer, step=step, rate=rate, max_norm=plan.max_norm)
            progress.advance(done, tokens, loss=loss)
            if done % _LOG_EVERY == 0 or done == plan.steps:
                numbers = {"loss": loss, "rate": rate, "norm": norm, "tokens": tokens}
                metrics.write(done, numbers | terms)
            trimming.after(tokens)
            standing.advance(done)
            if askers:  # there may be no time for a validation
                save()
                left = "whose checkpoint is written; the same command goes on"
                if not plan.checkpoints:
                    left = "without a checkpoint: the same command begins anew"
                _end(launch, f"after step {done:,}, {left}")
            if standing.is_due(plan):
                judge()
        if standing.best_scores:
            checkpoint.load_weights(module, standing.best_weights)
            progress.say(
                f"the best, step {standing.best_step:,}: {job.describe(standing.best_scores)}"
            )
    job.publish(launch, folder / "model")
    run.scores = standing.best_scores or standing.scores
    return run.scores


def _end(launch: Launch, when: str) -> NoReturn:
    text = f"stopped by SIGTERM {when}"
    if launch.is_main:
        _logger.warning(text)
    raise Terminated(text)


def _accumulate(
    launch: Launch,
    wrapped: nn.Module,
    job: Job,
    step: int,
    seed: int,
    termination: Termination,
) -> tuple[dict[str, float], int]:
    """Add up this rank's gradients; return loss and terms of all ranks, and their tokens.

    Among the terms are the `askers`: how many ranks have got SIGTERM.
    """
    dealt, counts = job.source.step(step)
    sums: dict[str, Tensor] = {}
    micros = dealt[launch.rank]
    for number, micro in enumerate(micros):
        if not len(micro):
            continue  # never the last, in which gradients are reduced
        torch.manual_seed(torch_seed(seed, "dropout", step, launch.rank, number))
        inputs = job.inputs(micro, launch.device)
        is_last = number == len(micros) - 1
        with nullcontext() if is_last else launch.no_sync(wrapped):
            with launch.autocast():
                loss, terms = wrapped(*inputs, counts)
            launch.backward(loss)
        for name, term in {"loss": loss.detach(), **terms}.items():
            sums[name] = sums.get(name, 0) + term.double()
    sums["askers"] = sums["loss"].new_tensor(float(termination.asked))
    totals = torch.stack(list(sums.values()))
    if launch.ranks > 1:
        totals = launch.reduce_sum(totals)
    return dict(zip(sums, totals.tolist(), strict=True)), counts.tokens


def _resume(
    launch: Launch, folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer
) -> Standing:
    """Return where the run stands by its last checkpoint, whose weights and state are put back.

    On every rank they are those that the main process reads.
    """
    found = launch.on_main(lambda: checkpoint.latest(folder / CHECKPOINTS))
    if found is None:
        return Standing()
    for defect in found.damaged:
        _logger.warning("%s is passed over: %s", folder, defect)

    def read(name: str) -> dict[str, Tensor]:
        return launch.tensors_of_main(lambda: found.tensors(name))

    checkpoint.load_weights(module, read("weights"))
    restore(optimizer, read("optimizer"))
    state = dict(found.state)
    launch.restore_scaler(state.pop("scaler"))
    best = {}
    if state["best_scores"]:
        best = read("weights" if state["best_step"] == found.step else "best")
        # A copy: what was read is a map of the file, and Windows removes none that is mapped.
        best = {name: tensor.clone() for name, tensor in best.items()}
    return Standing(found.step, **state, best_weights=best)


def _save(
    launch: Launch,
    folder: Path,
    standing: Standing,
    module: nn.Module,
    optimizer: torch.optim.Optimizer,
) -> None:
    def save() -> None:
        tensors = {"weights": checkpoint.weights_of(module), "optimizer": state_tensors(optimizer)}
        if standing.best_step < standing.step and standing.best_weights:
            tensors["best"] = standing.best_weights
        checkpoint.save(
            folder / CHECKPOINTS,
            standing.step,
            tensors,
            {"scaler": launch.scaler_state(), **standing.state()},
        )

    launch.on_main(save)


def _published_scores(folder: Path) -> dict[str, float] | None:
    """Return the scores of the model that the run has published; None if it has not."""
    return recorded_scores(folder) if (folder / "model" / CONFIG_FILE).exists() else None
