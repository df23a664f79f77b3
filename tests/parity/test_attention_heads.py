"""`head_mask` and `prune_heads` against transformers 4.57, live; 5.23 has neither.

In 5.23's environment the files and outputs of test_fixtures_4_57.py stand for it.
"""

import pytest
import torch

pytestmark = pytest.mark.parity

LAYERS, HEADS = 3, 4
MASKS = {
    "per-head": torch.tensor([1.0, 0.0, 0.5, 1.0]),
    "per-layer": torch.tensor([[1.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0], [1.0, 1.0, 0.3, 0.0]]),
}
PRUNED = {0: [1], 2: [0, 1, 3]}


@pytest.fixture
def pair(make_pair, class_name, peer_version):
    if peer_version >= (5, 0):
        pytest.skip("transformers 5 has no head_mask and no prune_heads")
    names = {"DistilBert": ("n_layers", "n_heads", "dim")}
    fields = names.get(
        class_name.split("For")[0].removesuffix("Model"),
        ("num_hidden_layers", "num_attention_heads", "hidden_size"),
    )
    return make_pair(class_name, seed=1, **dict(zip(fields, (LAYERS, HEADS, 16), strict=True)))


@pytest.mark.parametrize("heads", MASKS.values(), ids=MASKS)
def test_head_mask(pair, heads, mask):
    given = {**pair.inputs(mask, labels=True), "head_mask": heads}
    pair.check(given, gradients=True, output_attentions=True)


def test_prune_heads(pair, mask):
    for model in (pair.theirs, pair.ours):
        model.prune_heads(PRUNED)
    pair.check(pair.inputs(mask, labels=True), gradients=True, output_attentions=True)


def test_prune_heads_twice(pair):
    """Heads keep their first numbers, and pruning one again changes nothing."""
    for model in (pair.theirs, pair.ours):
        model.prune_heads({0: [1]})
        model.prune_heads({0: [0, 1], 1: [3]})
    pair.check(pair.inputs("holed"), output_attentions=True)


def test_pruned_files_of_theirs(pair, tmp_path):
    pair.theirs.prune_heads(PRUNED)
    pair.theirs.save_pretrained(tmp_path)
    pair.ours = type(pair.ours).from_pretrained(tmp_path)
    pair.check(pair.inputs("holed"), gradients=True)


def test_pruned_files_of_ours(pair, tmp_path):
    pair.ours.prune_heads(PRUNED)
    pair.ours.save_pretrained(tmp_path)
    pair.theirs, info = type(pair.theirs).from_pretrained(
        tmp_path, output_loading_info=True, attn_implementation="eager"
    )
    assert not any(info.values()), info
    pair.check(pair.inputs("holed"), gradients=True)
