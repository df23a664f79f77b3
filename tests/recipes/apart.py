"""Two machines without a shared disk; started by test_loop.py under torchrun.

The processes work in folders of their own, `process-0` and `process-1` of the given one, both with
copies of the data. What runs there leaves its files with process 0.
"""

import json
import os
import platform
import re
import shutil
import sys
from pathlib import Path

import pytest
import torch
from terminated import signalled

from distilbert.distillation.batches import StepSource
from distilbert.recipes import distill, evaluate, finetune, pretrain
from distilbert.recipes.masked_lm import MaskedLMJob
from distilbert.runtime import checkpoint
from distilbert.runtime import launch as launching
from distilbert.runtime.metrics import read_metrics
from distilbert.runtime.termination import Terminated

HOST = re.escape(platform.node())
ON_CORPUS = {"corpus": "corpus", "sequences_per_step": 24, "micro_tokens": 96, "steps": 8,
             "save_every": 4}  # fmt: skip
NEW = {"layers": 1, "dim": 16, "heads": 2}
ON_REVIEWS = {"model": "model", "train": "train.csv", "validation": "dev.csv", "steps": 8,
              "save_every": 4, "batch_size": 16, "micro_tokens": 96}  # fmt: skip
RECIPES = {
    "pretrain": (pretrain, ON_CORPUS | NEW),
    "distill": (distill, ON_CORPUS | {"teacher": "teacher"}),
    "finetune": (finetune, ON_REVIEWS | {"seeds": (0, 1), "metric": "loss"}),
}


def train(recipe, out, **settings):
    module, usual = RECIPES[recipe]
    return module.main(module.Settings(out=out, **(usual | settings)))


def weights_of(run):
    return (Path(run) / "model" / "model.safetensors").read_bytes() if is_main() else None


def is_main():
    return launching.start().is_main


def it_goes_on(recipe):
    """Begin where process 0 alone has the run, and after a stop end with the same bits."""
    folders = [Path(recipe)]
    if recipe == "finetune":
        folders = [Path(recipe, f"seed-{seed}") for seed in (0, 1)]
    scores = train(recipe, recipe)
    assert Path(recipe).exists() == is_main()
    whole = weights_of(recipe)
    for folder in folders:
        if is_main():
            shutil.rmtree(folder / "checkpoints" / "step-00000008")
            shutil.rmtree(folder / "model")
        else:  # that of another run
            foreign = {"weights": {"x": torch.ones(1)}, "optimizer": {"x.step": torch.ones(1)}}
            checkpoint.save(folder / "checkpoints", 4, foreign, {})
    assert train(recipe, recipe) == scores
    if is_main():
        assert weights_of(recipe) == whole
        for folder in folders:
            lines = [line["step"] for line in read_metrics(folder)]
            assert lines == sorted(lines)
            assert len(json.loads((folder / "run.json").read_text())["starts"]) == 2


def process_0_alone_knows_a_finished_run():
    if is_main():
        shutil.rmtree("pretrain/checkpoints")
    else:
        shutil.rmtree("pretrain")
    before = weights_of("pretrain")
    scores = train("pretrain", "pretrain")
    assert launching.start().gather(scores) == [scores, scores]
    assert weights_of("pretrain") == before


def process_0_alone_knows_another_run():
    kind, said = (ValueError, "") if is_main() else (OSError, "process 0 has failed: ")
    with pytest.raises(kind, match=rf"^{said}pretrain holds a run with other settings: dim was"):
        train("pretrain", "pretrain", dim=32)
    with pytest.raises(kind, match=rf"^{said}finetune has seed-1 as well"):
        train("finetune", "finetune", seeds=(0, 2))


def what_differs_is_named():
    own = 1 - is_main()
    for recipe, name, values in (
        ("pretrain", "learning_rate", (0.001, 0.1)),
        ("pretrain", "micro_tokens", (96, 64)),
        ("distill", "save_every", (4, 2)),
        ("finetune", "seeds", ((0, 1), (0,))),
        ("finetune", "train", ("train.csv", "dev.csv")),
        ("finetune", "teacher", ("trained", None)),
        ("pretrain", "corpus", ("corpus", "other-corpus")),
    ):
        values_said = [re.escape(repr(value)) for value in values]
        if name in ("train", "teacher", "corpus"):
            values_said = [r"'\w+'", r"'\w+'|None"]
        first, other = values_said
        said = rf"{name} is {first} in process 0 on {HOST}, ({other}) in process 1 on {HOST}\. Give"
        with pytest.raises(ValueError, match=rf"different things: {said}"):
            train(recipe, "different", **{name: values[own]})
        assert not Path("different").exists()
    for values in ({"model": ("trained", "other-trained")}, {"data": ("dev.csv", "train.csv")}):
        [name] = values
        given = {"model": "trained", "data": "dev.csv", name: values[name][own]}
        with pytest.raises(ValueError, match=rf"different things: {name} is '\w+' in process 0"):
            evaluate.main(evaluate.Settings(**given))
    scores = evaluate.main(evaluate.Settings(model="trained", data="dev.csv"))["scores"]
    assert launching.start().gather(scores) == [scores, scores]


def the_other_machine_is_further():
    """A launcher has numbered the machines otherwise than before."""
    if not is_main():
        checkpoint.save("moved/checkpoints", 20, {}, {})
    said = rf"at step 20 in moved on {HOST}, and at step 0 on {HOST}, .*copy moved from {HOST}"
    with pytest.raises(ValueError, match=said):
        train("pretrain", "moved")
    assert Path("moved").exists() != is_main()


def the_other_machine_is_asked_to_end():
    """All stop after the same step, and go on with the same bits."""
    for kind, method, number, said in (
        (StepSource, "step", 5, "after step 6, whose checkpoint is written; the same command goes"),
        (MaskedLMJob, "publish", None, "at the end of this run, which is finished"),
    ):
        original = getattr(kind, method)
        if not is_main():
            signalled(kind, method, number)()
        with pytest.raises(Terminated, match=f"stopped by SIGTERM {said}"):
            train("pretrain", "asked")
        setattr(kind, method, original)
    train("pretrain", "asked")
    assert weights_of("asked") == weights_of("pretrain")
    if is_main():
        lines, whole = (
            [{**line, "time": 0} for line in read_metrics(folder)]
            for folder in ("asked", "pretrain")
        )
        assert lines == whole
        starts = json.loads(Path("asked/run.json").read_text())["starts"]
        assert "after step 6" in starts[0]["outcome"]
        assert len(starts) == 3


def the_other_machine_is_lost():
    original = StepSource.step

    def step(self, number):
        if number == 5 and not is_main():
            os._exit(0)
        return original(self, number)

    StepSource.step = step
    said = r"another process of the run has ended \(its own output says why\): start the same"
    with pytest.raises(ConnectionError, match=said):
        train("pretrain", "lost")
    outcome = json.loads(Path("lost/run.json").read_text())["starts"][0]["outcome"]
    assert re.match(f"ConnectionError: {said}", outcome)


def main():
    torch.set_num_threads(1)
    os.chdir(Path(sys.argv[1], f"process-{os.environ['RANK']}"))
    for recipe in RECIPES:
        it_goes_on(recipe)
    process_0_alone_knows_a_finished_run()
    process_0_alone_knows_another_run()
    what_differs_is_named()
    the_other_machine_is_further()
    the_other_machine_is_asked_to_end()
    the_other_machine_is_lost()


if __name__ == "__main__":
    main()
