"""Small models of every head, exported."""

import numpy as np
import pytest

import distilbert as d
from distilbert.checkpoint import KINDS

HEADS = ("Model", *KINDS)
VOCABULARY, LONGEST = 97, 40


@pytest.fixture
def made():
    """Make a model: head, family, and fields of the configuration by DistilBERT's names."""
    torch = pytest.importorskip("torch")
    pytest.importorskip("onnx")

    def make(head, family="DistilBert", **fields):
        torch.manual_seed(0)
        sizes = {
            "vocab_size": VOCABULARY, "max_position_embeddings": LONGEST, "n_layers": 2,
            "n_heads": 4, "dim": 32, "hidden_dim": 48, "initializer_range": 0.3,
            "num_labels": 2 if head == "ForQuestionAnswering" else 3,
        } | fields  # fmt: skip
        config = getattr(d, f"{family}Config")(**sizes, attn_implementation="varlen")
        model = getattr(d, family + head)(config).eval()
        for parameter in model.parameters():  # biases and norms that are not 0 and 1
            parameter.data += 0.1 * torch.randn(parameter.shape)
        return model

    return make


@pytest.fixture
def exported(tmp_path):
    """Save a model, export it, check the file and open it."""
    onnx = pytest.importorskip("onnx")

    def export(model, **options):
        model.save_pretrained(tmp_path / "model")
        d.export_onnx(tmp_path / "model", tmp_path / "onnx", **options)
        onnx.checker.check_model(tmp_path / "onnx" / "model.onnx", full_check=True)
        return d.OnnxModel(tmp_path / "onnx", threads=1)

    return export


@pytest.fixture
def batch():
    """Make a batch: ids of any length, a mask with holes, padding on both sides, and segments."""

    def make(head, family="DistilBert"):
        random = np.random.default_rng(0)
        shape = (4, 2, 13) if head == "ForMultipleChoice" else (8, 13)
        mask = (random.random(shape) > 0.2).astype(np.int64)
        rows = mask.reshape(8, 13)
        rows[:, 5] = 1
        rows[1, 3:] = 0
        rows[1, 0] = 1
        rows[2, :4] = 0
        rows[3] = 1
        made = {"input_ids": random.integers(0, VOCABULARY, shape), "attention_mask": mask}
        if family == "Bert":
            made["token_type_ids"] = random.integers(0, 2, shape)
        return made

    return make
