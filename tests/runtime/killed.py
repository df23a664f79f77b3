"""A small training run under SIGKILL; started by test_checkpoint.py.

Torch is imported once and every run is a fork of this process, which never computes itself. Prints
how many runs were killed, how many resumed from a checkpoint, and how many left half a checkpoint.
"""

import contextlib
import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import torch
from torch import nn

from distilbert.runtime.checkpoint import latest, load_weights, save, weights_of
from distilbert.runtime.metrics import METRICS_FILE, Metrics
from distilbert.runtime.optimisation import learning_rate, make_optimizer, restore, state_tensors
from distilbert.runtime.run import start_run
from distilbert.runtime.scratch import REMOVING, SAVING

STEPS, KILLS = 150, 30


def train(folder):
    """Train to the end, from the last checkpoint if there is one."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(16, 700), nn.Tanh(), nn.Dropout(0.1), nn.Linear(700, 200))
    optimizer = make_optimizer(model, weight_decay=0.01)
    with start_run(folder, {"steps": STEPS}):
        found, step = latest(folder), 0
        if found is not None:
            load_weights(model, found.tensors("weights"))
            restore(optimizer, found.tensors("optimizer"))
            step = found.step
        with Metrics(folder, step=step) as metrics:
            while step < STEPS:
                torch.manual_seed(step)
                loss = model(torch.randn(8, 16)).square().mean()
                loss.backward()
                for group in optimizer.param_groups:
                    group["lr"] = learning_rate(step, total=STEPS, warmup=5, peak=1e-2)
                optimizer.step()
                optimizer.zero_grad()
                step += 1
                metrics.write(step, {"loss": loss.item()})
                files = {"weights": weights_of(model), "optimizer": state_tensors(optimizer)}
                save(folder, step, files, {"loss": loss.item()})


def fork(folder):
    """Start `train` in a process of its own and return its id."""
    with warnings.catch_warnings():  # Python 3.12 on the idle threads of BLAS
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        train(folder)
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def step_of(folder):
    """Return the newest checkpoint's step by its name alone."""
    return max((int(path.name[5:]) for path in folder.glob("step-*")), default=0)


def is_saving(folder):
    """Say whether a checkpoint is half written; it may get its name while this looks."""
    with contextlib.suppress(FileNotFoundError):
        return any(folder.glob(f"{SAVING}0*/*"))
    return False


def losses(folder):
    lines = map(json.loads, (folder / METRICS_FILE).read_text().splitlines())
    return [(line["step"], line["loss"]) for line in lines]


def main(root):
    torch.set_num_threads(1)
    make_optimizer(nn.Linear(1, 1))  # imports what every fork would import again,
    Metrics(root / "nothing").close()  # and this
    whole, broken = root / "whole", root / "broken"
    assert os.waitpid(fork(whole), 0)[1] == 0

    kills = resumes = unfinished = before = 0
    chance = random.Random(0)
    while kills < KILLS and before < STEPS:
        child = fork(broken)
        in_a_save = kills % 2 == 0  # else after one: so that it gets on
        while not (is_saving(broken) if in_a_save else step_of(broken) > before):
            time.sleep(0.0005)
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        time.sleep(chance.uniform(0.0, 0.004))
        os.kill(child, signal.SIGKILL)
        status = os.waitpid(child, 0)[1]
        assert os.WIFSIGNALED(status) or status == 0
        kills += os.WIFSIGNALED(status)
        found = latest(broken)
        step = found.step if found is not None else 0
        assert found is None or not found.damaged, found.damaged
        assert step >= before, f"went back from {before} to {step}"
        resumes += bool(0 < before < step)
        unfinished += any(broken.glob(f"{SAVING}0*"))
        before = step
    assert os.waitpid(fork(broken), 0)[1] == 0
    assert not list(broken.glob(f"{SAVING}*"))
    assert not list(broken.glob(f"{REMOVING}*"))
    for file in ("weights.safetensors", "optimizer.safetensors", "state.json"):
        name = f"step-{STEPS:08d}/{file}"
        assert (whole / name).read_bytes() == (broken / name).read_bytes(), file
    assert losses(whole) == losses(broken)
    assert [step for step, _ in losses(whole)] == list(range(1, STEPS + 1))
    print(kills, resumes, unfinished)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
