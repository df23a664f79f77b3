"""Runs of the command under SIGKILL; started by test_loop.py.

torch is imported once and every run is a fork of this process, which never computes itself. Prints
for each recipe the steps at which runs were killed.
"""

import json
import os
import random
import signal
import sys
import time
import warnings
from pathlib import Path

import accelerate
import jsonargparse
import sklearn.metrics
import torch
from tensorboard.summary.writer import record_writer

from distilbert import cli
from distilbert.recipes import distill, finetune, pretrain
from distilbert.runtime.metrics import METRICS_FILE
from distilbert.runtime.optimisation import make_optimizer

STEPS, KILLS = 40, 4
IMPORTED = (accelerate, jsonargparse, record_writer, sklearn.metrics, distill, finetune, pretrain)
SHARED = f"--steps {STEPS} --save_every 4 --micro_tokens 96"
ON_CORPUS = "--sequences_per_step 24 --dropout 0.1"


def fork(arguments, before=lambda: None):
    """Start the command in a process of its own, where something is done before; return its id."""
    with warnings.catch_warnings():  # Python 3.12 on the idle threads of BLAS
        warnings.filterwarnings("ignore", "This process .* is multi-threaded", DeprecationWarning)
        child = os.fork()
    if child:
        return child
    try:
        before()
        os._exit(cli.main(arguments))
    except BaseException:
        sys.excepthook(*sys.exc_info())
        os._exit(1)


def finish(arguments):
    assert os.waitpid(fork(arguments), 0)[1] == 0


def warm_up():
    """Import what every fork would import again."""
    torch.set_num_threads(1)
    make_optimizer(torch.nn.Linear(1, 1))


def step_of(folder):
    """Return the newest checkpoint's step by its name alone."""
    steps = (int(path.name[5:]) for path in (folder / "checkpoints").glob("step-*"))
    return max(steps, default=0)


def kill(child, seconds):
    """Kill a run after so many seconds, unless it has ended; return whether it had not."""
    time.sleep(seconds)
    os.kill(child, signal.SIGKILL)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])


def content_of(folder):
    """Return all that a run leaves, times and record aside."""
    paths = (path for part in ("model", "checkpoints") for path in (folder / part).rglob("*"))
    files = {str(p.relative_to(folder)): p.read_bytes() for p in paths if p.is_file()}
    lines = map(json.loads, (folder / METRICS_FILE).read_text().splitlines())
    return files, [{k: v for k, v in line.items() if k != "time"} for line in lines]


def main(root, recipe, flags):
    whole, broken = root / f"{recipe}-whole", root / f"{recipe}-broken"
    command = [recipe, *flags.split(), *SHARED.split(), "--out"]
    finish([*command, str(whole)])
    chance = random.Random(0)
    steps = [0]
    assert kill(fork([*command, str(broken)]), chance.uniform(0, 0.2))  # before there is anything
    while len(steps) <= KILLS:
        child = fork([*command, str(broken)])
        wanted = steps[-1] + chance.randint(1, 2 * STEPS // KILLS)
        while step_of(broken) < wanted:
            time.sleep(0.001)
            if os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
        if not kill(child, chance.uniform(0, 0.05)):
            break
        steps.append(step_of(broken))
    finish([*command, str(broken)])
    one, other = content_of(whole), content_of(broken)
    assert one[0].keys() == other[0].keys(), one[0].keys() ^ other[0].keys()
    assert one[1] == other[1]
    assert [name for name in one[0] if one[0][name] != other[0][name]] == []
    assert not [p for p in broken.rglob("*") if p.name.startswith((".saving-", ".removing-"))]
    print(json.dumps({recipe: steps}))


if __name__ == "__main__":
    warm_up()
    root, corpus, teacher, examples, masked_lm = sys.argv[1:]
    pretrain_flags = f"--corpus {corpus} --layers 2 --dim 16 --heads 2 --kind distilbert"
    main(Path(root), "pretrain", f"{pretrain_flags} {ON_CORPUS}")
    distill_flags = f"--corpus {corpus} --teacher {teacher} --hidden 1 --relation 1"
    main(Path(root), "distill", f"{distill_flags} {ON_CORPUS}")
    data = f"--train {examples} --validation {examples} --batch_size 16"
    main(Path(root), "finetune", f"--model {masked_lm} {data} --learning_rate 1e-3")
