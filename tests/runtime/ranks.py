"""Two processes against one; started by test_launch.py under torchrun."""

import copy
import platform
import re
import tempfile
import warnings
from pathlib import Path

import pytest
import torch
from torch import nn

from distilbert.runtime import launch as launching
from distilbert.runtime.metrics import METRICS_FILE, Metrics
from distilbert.runtime.optimisation import make_optimizer, state_tensors, update
from distilbert.runtime.progress import Progress
from distilbert.runtime.run import RUN_FILE, Run, start_run

MICRO = (((0, 5), (5, 6)), ((6, 14), (14, 16)))
"""[rank][micro-batch]: which of 16 examples; unequal on purpose."""


def loss_of(model, part, total):
    inputs = torch.randn(16, 4, generator=torch.Generator().manual_seed(1))[slice(*part)]
    return model(inputs).square().sum() / total


def main():
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    launch = launching.start(cpu=True, seed=1)
    assert (launch.ranks, launch.is_main) == (2, launch.rank == 0)
    total = launch.reduce_sum(torch.tensor(sum(b - a for a, b in MICRO[launch.rank])))
    assert total.item() == 16

    assert launch.gather(launch.rank) == [0, 1]
    launch.agree({"step": 7, "seed": None})
    host = re.escape(platform.node())
    said = rf"things: step is 7 in process 0 on {host}, 8 in process 1 on {host}; b is nothing in "
    with pytest.raises(ValueError, match=said + f"process 0 on {host}, 1 in process 1"):
        launch.agree({"step": 7 + launch.rank, "seed": None} | ({"b": 1} if launch.rank else {}))

    assert launch.on_main(lambda: launch.rank) == 0
    kind, text = (OSError, "process 0 has failed: 'x'") if launch.rank else (KeyError, "'x'")
    with pytest.raises(kind, match=f"^{text}$"):
        launch.on_main(lambda: {}["x"])
    found = launch.tensors_of_main(lambda: {"a": torch.tensor(launch.rank), "b": torch.ones(2, 3)})
    assert list(found) == ["a", "b"]
    assert found["a"].item() == 0
    assert found["b"].tolist() == [[1.0] * 3] * 2

    model = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 2))
    alone = copy.deepcopy(model)
    wrapped = launch.wrap(model)
    assert wrapped is not model
    optimizer, single = make_optimizer(model), make_optimizer(alone)
    for step in range(3):
        *first, last = MICRO[launch.rank]
        with launch.no_sync(wrapped):
            for part in first:
                launch.backward(loss_of(wrapped, part, total))
        launch.backward(loss_of(wrapped, last, total))
        loss_of(alone, (0, 16), 16).backward()
        for mine, whole in zip(model.parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(mine.grad, whole.grad)
        norms = [
            update(launch, each, step=step, rate=0.01, max_norm=0.1) for each in (optimizer, single)
        ]
        assert abs(norms[0] - norms[1]) < 1e-5 * norms[1]
    for mine, whole in zip(model.parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(mine, whole)
        assert torch.equal(launch.reduce_sum(mine.detach()), 2 * mine), "ranks differ"
    assert set(state_tensors(optimizer)) == set(state_tensors(single))

    folder = Path(tempfile.mkdtemp())  # one of its own in each process
    with (
        start_run(folder, {}) if launch.is_main else Run(folder),
        Metrics(folder, is_main=launch.is_main) as metrics,
        Progress(total=1, is_main=launch.is_main) as progress,
    ):
        metrics.write(1, {"loss": 1.0})
        progress.advance(1)
        progress.say("said")
    for name in (RUN_FILE, METRICS_FILE):
        assert (folder / name).exists() == launch.is_main
    if launch.is_main:
        print("spoken")
    launch.gather(None)  # both are here
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main()
