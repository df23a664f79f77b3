"""The recipes on a CUDA device: they learn in bf16 without padding, and go on bit for bit."""

import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from distilbert.recipes import distill, finetune, pretrain
from distilbert.runtime.metrics import read_metrics

from .conftest import TEACHER

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]
WIDE = {**TEACHER, "dim": 32, "heads": 2, "dropout": 0.1, "precision": "bf16"}


def last_loss(folder: Path) -> float:
    return [line for line in read_metrics(folder) if "validation/loss" in line][-1][
        "validation/loss"
    ]


def test_pretraining_and_distillation_learn(fresh, corpus, tmp_path):
    fresh()
    pretrain.main(pretrain.Settings(corpus=corpus, out=str(tmp_path / "teacher"), **WIDE))
    assert last_loss(tmp_path / "teacher") < 2.9  # 3.9 where it knows nothing
    fresh()
    distill.main(
        distill.Settings(
            teacher=str(tmp_path / "teacher/model"), corpus=corpus, out=str(tmp_path / "student"),
            steps=60, sequences_per_step=32, learning_rate=5e-3, precision="bf16",
            hidden=0.1, attention=0.1, relation=0.1, relation_heads=2,
        )
    )  # fmt: skip
    assert last_loss(tmp_path / "student") < 2.9


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_a_run_goes_on_bit_for_bit(fresh, corpus, teacher, tmp_path, precision):
    folder = tmp_path / "run"
    settings = distill.Settings(
        teacher=teacher, corpus=corpus, out=str(folder), steps=8, save_every=4,
        sequences_per_step=32, micro_tokens=128, precision=precision, deterministic=True,
    )  # fmt: skip
    fresh()
    distill.main(settings)
    whole = load_file(folder / "model/model.safetensors")
    shutil.rmtree(folder / "checkpoints/step-00000008")
    shutil.rmtree(folder / "model")
    fresh()
    distill.main(settings)
    again = load_file(folder / "model/model.safetensors")
    assert all(torch.equal(whole[name], tensor) for name, tensor in again.items())


def test_fine_tuning_and_task_distillation(fresh, reviews, masked_lm, tmp_path):
    settings = {
        **reviews, "model": masked_lm, "learning_rate": 5e-3, "batch_size": 16, "epochs": 5.0,
        "precision": "bf16",
    }  # fmt: skip
    fresh()
    scores = finetune.main(finetune.Settings(out=str(tmp_path / "alone"), **settings))
    assert scores["accuracy"] > 0.95
    fresh()
    settings |= {
        "teacher": str(tmp_path / "alone/model"), "hidden": 0.1, "attention": 0.1,
        "augment": 1, "augmenter": masked_lm,
    }  # fmt: skip
    scores = finetune.main(finetune.Settings(out=str(tmp_path / "taught"), **settings))
    assert scores["accuracy"] > 0.95
