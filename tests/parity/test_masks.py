"""Masks per query (3-D, 4-D) against transformers 5.23; 4.57 crashes on every one of them.

5.23 takes, in 4-D only: floating (added to the scores) in `eager`; boolean (true keeps) and
floating in `sdpa`. It adds a boolean as 0 or 1 in `eager`, refuses an integer in `sdpa`, and
crashes on 3-D: those of ours are held against the 4-D boolean mask that says the same.
"""

import pytest
import torch

pytestmark = pytest.mark.parity

B, T = 3, 6
HEADS = 2
SHAPES = {"per-sequence": (B, 1, T, T), "per-head": (B, HEADS, T, T), "shared": (1, 1, T, T)}
CLASSES = ["DistilBertModel", "DistilBertForTokenClassification", "BertModel"]


def draw_keep(shape):
    """A random mask; every token sees at least itself."""
    generator = torch.Generator().manual_seed(0)
    return (torch.rand(shape, generator=generator) > 0.5) | torch.eye(T, dtype=torch.bool)


def additive(keep):
    return torch.zeros(keep.shape).masked_fill(~keep, torch.finfo(torch.float32).min)


@pytest.fixture(params=["eager", "sdpa"])
def our_attention(request):
    return request.param


@pytest.fixture
def make(make_pair, peer_version, our_attention):
    if peer_version < (5, 0):
        pytest.skip("transformers 4.57 crashes on 3-D and 4-D masks")

    def make(class_name, their_attention):
        names = ("hidden_size", "num_attention_heads")
        names = names if class_name.startswith("Bert") else ("dim", "n_heads")
        sizes = dict(zip(names, (8, HEADS), strict=True))
        pair = make_pair(class_name, seed=2, attention=their_attention, **sizes)
        pair.ours.set_attn_implementation(our_attention)
        return pair

    return make


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("class_name", CLASSES)
def test_boolean_4d(make, class_name, shape):
    pair = make(class_name, "sdpa")
    pair.check({**pair.inputs(), "attention_mask": draw_keep(shape)}, gradients=True)


@pytest.mark.parametrize("their_attention", ["eager", "sdpa"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("kind", ["keep-or-drop", "weighing"])
def test_floating_4d_is_added(make, kind, shape, their_attention):
    pair = make("DistilBertModel", their_attention)
    bias = additive(draw_keep(shape))
    if kind == "weighing":
        bias += torch.randn(shape, generator=torch.Generator().manual_seed(1))
    pair.check({**pair.inputs(), "attention_mask": bias}, gradients=True)


@pytest.mark.parametrize("class_name", CLASSES)
@pytest.mark.parametrize("dims", [3, 4])
@pytest.mark.parametrize("kind", [torch.Tensor.bool, torch.Tensor.long, torch.Tensor.int, additive])
def test_same_mask_in_other_forms(make, class_name, dims, kind):
    pair = make(class_name, "sdpa")
    keep = draw_keep(SHAPES["per-sequence"])
    mask = kind(keep) if dims == 4 else kind(keep).squeeze(1)
    given = pair.inputs()
    pair.check(
        {**given, "attention_mask": mask},
        gradients=True,
        peer_given={**given, "attention_mask": keep},
    )


def test_4d_of_a_2d_mask(make):
    pair = make("DistilBertModel", "sdpa")
    given = pair.inputs("holed")
    keep = given["attention_mask"].bool()[:, None, None].expand(SHAPES["per-sequence"])
    pair.check({**given, "attention_mask": keep}, peer_given=given)
