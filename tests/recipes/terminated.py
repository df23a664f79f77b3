"""Runs of the command under SIGTERM; started by test_loop.py.

As in `killed.py` every run is a fork of this process. Most signal themselves, at a known moment.
"""

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

from killed import content_of, finish, fork, step_of, warm_up

from distilbert.distillation.batches import StepSource
from distilbert.recipes import masked_lm, pretrain
from distilbert.recipes.masked_lm import MaskedLMJob
from distilbert.runtime import checkpoint
from distilbert.tasks.batches import TaskSource

STEPS, EVERY = 12, 4


def signalled(kind, method, number=None, signal_number=signal.SIGTERM):
    """Return what makes a process signal itself in a method, if that is given this number."""
    original = getattr(kind, method)

    def signal_first(*given, **options):
        if number is None or number in given:
            os.kill(os.getpid(), signal_number)
        return original(*given, **options)

    return lambda: setattr(kind, method, signal_first)


def stop(command, before):
    status = os.waitpid(fork(command, before), 0)[1]
    assert os.waitstatus_to_exitcode(status) == 143


def result_of(folder):
    """Return the model, the last checkpoint and the numbers: which others are left may differ."""
    files, lines = content_of(folder)
    last = f"step-{step_of(folder):08d}"
    return {n: f for n, f in files.items() if n.startswith("model") or last in n}, lines


def outcomes_of(folder):
    return [start["outcome"] for start in json.loads((folder / "run.json").read_text())["starts"]]


def stopped_everywhere(root, corpus):
    """Stop before the first step, where a validation is due, during it, and at the end."""
    whole, broken = root / "whole", root / "broken"
    flags = f"--corpus {corpus} --layers 1 --dim 16 --heads 2 --steps {STEPS} --save_every {EVERY}"
    command = ["pretrain", *flags.split(), "--sequences_per_step", "24", "--out"]
    finish([*command, str(whole)])
    command.append(str(broken))
    for before, step in (
        (signalled(MaskedLMJob, "validate", 0), 1),
        (signalled(StepSource, "step", 3), 4),
        (signalled(MaskedLMJob, "validate", 4), 5),
        (signalled(StepSource, "step", 7), 8),
        (signalled(StepSource, "step", 11), 12),
    ):
        stop(command, before)
        said = f"stopped by SIGTERM after step {step}, whose checkpoint is written; the same"
        assert step_of(broken) == step
        assert said in outcomes_of(broken)[-1]
        assert not (broken / "model").exists()
        if step == 8:  # killed after the validation that was due, before its checkpoint is written
            child = fork(command, signalled(checkpoint, "save", 8, signal.SIGKILL))
            assert os.WIFSIGNALED(os.waitpid(child, 0)[1])
    stop(command, signalled(MaskedLMJob, "publish"))
    assert "at the end of this run, which is finished" in outcomes_of(broken)[-1]
    assert (broken / "model").exists()
    finish(command)
    assert outcomes_of(broken)[-1] == "finished"
    assert result_of(whole) == result_of(broken)


def stopped_from_outside(root, corpus):
    """With no checkpoint but that of the stop; and where there is none to write."""
    flags = f"--corpus {corpus} --layers 1 --dim 16 --heads 2 --steps 40 --save_every 100"
    command = ["pretrain", *flags.split(), "--sequences_per_step", "24", "--out"]
    finish([*command, str(root / "outside-whole")])
    broken = root / "outside-broken"
    command.append(str(broken))
    child = fork(command)
    metrics = broken / "metrics.jsonl"
    while not (metrics.exists() and metrics.read_text()):
        time.sleep(0.001)
    for _ in range(2):  # as from Slurm and from torchrun
        os.kill(child, signal.SIGTERM)
        time.sleep(0.001)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 143
    assert 0 < step_of(broken) < 40
    finish(command)
    assert result_of(root / "outside-whole") == result_of(broken)

    def without():
        begin = masked_lm.begin

        def changed(*given, **options):
            launch, source, plan = begin(*given, **options)
            return launch, source, dataclasses.replace(plan, checkpoints=False)

        pretrain.begin = changed
        signalled(StepSource, "step", 2)()

    stop([*command[:-1], str(root / "nothing")], without)
    said = "after step 3, without a checkpoint: the same command begins anew"
    assert said in outcomes_of(root / "nothing")[-1]
    assert step_of(root / "nothing") == 0


def stopped_between_seeds(root, examples, model):
    """Both seeds, whose best weights are of an earlier step; the stop ends the whole command."""
    whole, broken = root / "seeds-whole", root / "seeds-broken"
    flags = f"--model {model} --train {examples} --validation {examples} --batch_size 16"
    flags += f" --steps {STEPS} --save_every {EVERY} --seeds 0 1 --learning_rate 0.05 --patience 2"
    command = ["finetune", *flags.split(), "--out"]
    finish([*command, str(whole)])
    command.append(str(broken))
    for seed in (0, 1):
        stop(command, signalled(TaskSource, "step", 5))
        assert step_of(broken / f"seed-{seed}") == 6
        assert (broken / f"seed-{seed}" / "checkpoints/step-00000006/best.safetensors").exists()
        assert not (broken / f"seed-{seed}" / "model").exists()
        assert (broken / "seed-1").exists() == (seed == 1)
        assert "after step 6" in outcomes_of(broken)[-1]
    finish(command)
    assert (whole / "seeds.json").read_bytes() == (broken / "seeds.json").read_bytes()
    for seed in (0, 1):
        assert result_of(whole / f"seed-{seed}") == result_of(broken / f"seed-{seed}")


if __name__ == "__main__":
    warm_up()
    folder, corpus, examples, masked = sys.argv[1:]
    stopped_everywhere(Path(folder), corpus)
    stopped_from_outside(Path(folder), corpus)
    stopped_between_seeds(Path(folder), examples, masked)
